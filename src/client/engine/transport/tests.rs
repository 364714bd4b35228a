//! Server-Sent Events and long polling against a server that the test speaks for, one request at a time.

use std::future::{Future, poll_fn};
use std::sync::Mutex;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;

/// Longer than any of this takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A request that waits for its answer.
struct Received {
    method: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    answer: oneshot::Sender<Response>,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn token(&self) -> &str {
        self.header("Authorization").strip_prefix("Bearer ").unwrap_or("")
    }

    fn answer(self, status: u16, body: impl Into<Body>) {
        let answer = Response::builder().status(status).body(body.into()).unwrap();
        self.answer.send(answer).expect("the request is still awaited");
    }

    /// Answers with a body that comes piece by piece.
    fn stream(self) -> mpsc::UnboundedSender<&'static [u8]> {
        let (sender, mut pieces) = mpsc::unbounded_channel::<&[u8]>();
        let pieces = futures_util::stream::poll_fn(move |cx| {
            pieces.poll_recv(cx).map(|piece| piece.map(Ok::<_, std::convert::Infallible>))
        });
        self.answer(200, Body::from_stream(pieces));
        sender
    }

    /// Waits until the client no longer wants an answer.
    async fn aborted(mut self) {
        limited(self.answer.closed()).await;
    }
}

struct Server {
    url: HubUrl,
    requests: mpsc::UnboundedReceiver<Received>,
}

impl Server {
    async fn start() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let receive = async |State(sender): State<mpsc::UnboundedSender<Received>>, request: Request| {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let (answer, answered) = oneshot::channel();
            let query = parts.uri.query().unwrap_or_default().to_owned();
            let method = parts.method.to_string();
            sender.send(Received { method, query, headers: parts.headers, body, answer }).unwrap();
            answered.await.unwrap()
        };
        let app = axum::Router::new().fallback(receive).with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = HubUrl::parse(&format!("http://{}/hub?id=7", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, requests }
    }

    async fn next(&mut self) -> Received {
        limited(self.requests.recv()).await.unwrap()
    }

    /// The next request, which comes from polling the link.
    async fn next_while<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, TransportError>>,
    ) -> Received {
        let next = poll_fn(|cx| {
            assert!(poll(cx).is_pending());
            self.requests.poll_recv(cx)
        });
        limited(next).await.unwrap()
    }

    /// What the link polls with.
    async fn polled(&mut self, link: &mut Link) -> Received {
        self.next_while(|cx| link.poll_next(cx)).await
    }

    /// What the link sends a message with.
    async fn sent(&mut self, link: &mut Link, text: &str) -> Received {
        assert!(poll_fn(|cx| link.poll_ready(cx)).await.is_ok());
        link.start_send(Frame::from(text)).unwrap();
        self.next_while(|cx| link.poll_flush(cx)).await
    }

    fn open(
        &self,
        transport: Transport,
        tokens: &Arc<Tokens>,
    ) -> tokio::task::JoinHandle<Result<Link, TransportError>> {
        self.open_for(transport, TransferFormat::Text, tokens)
    }

    fn open_for(
        &self,
        transport: Transport,
        format: TransferFormat,
        tokens: &Arc<Tokens>,
    ) -> tokio::task::JoinHandle<Result<Link, TransportError>> {
        let headers = vec![("X-Test".to_owned(), "mine".to_owned())];
        let http = HttpClient::new(true).unwrap();
        let authorization: Arc<dyn Authorization> = Arc::clone(tokens) as _;
        tokio::spawn(Link::open(transport, format, http, self.url.clone(), authorization, headers, LIMIT))
    }

    /// An open event stream, and the server's end of it.
    async fn events(&mut self, tokens: &Arc<Tokens>) -> (Link, mpsc::UnboundedSender<&'static [u8]>) {
        let opening = self.open(Transport::ServerSentEvents, tokens);
        let pieces = self.next().await.stream();
        (opening.await.unwrap().expect("opens"), pieces)
    }

    /// Open long polling, before its second poll.
    async fn polling(&mut self, format: TransferFormat, tokens: &Arc<Tokens>) -> Link {
        let opening = self.open_for(Transport::LongPolling, format, tokens);
        self.next().await.answer(200, "");
        opening.await.unwrap().expect("opens")
    }
}

#[derive(Default)]
struct Tokens {
    current: Mutex<Option<AccessToken>>,
    /// What renewing gives: a token, none, or an error.
    renewed: Mutex<VecDeque<Result<Option<AccessToken>, String>>>,
    rejected: Mutex<Vec<Option<AccessToken>>>,
    refreshes: Mutex<u32>,
}

impl Tokens {
    fn new(
        current: &str,
        renewed: impl IntoIterator<Item = Result<Option<&'static str>, &'static str>>,
    ) -> Arc<Self> {
        let renewed = renewed.into_iter();
        let renewed = renewed.map(|token| token.map(|t| t.map(Into::into)).map_err(str::to_owned)).collect();
        Arc::new(Self {
            current: Mutex::new(Some(current.into())),
            renewed: Mutex::new(renewed),
            ..Self::default()
        })
    }

    fn rejected(&self) -> Vec<Option<AccessToken>> {
        self.rejected.lock().unwrap().clone()
    }
}

impl Authorization for Tokens {
    fn current(&self) -> Option<AccessToken> {
        self.current.lock().unwrap().clone()
    }

    fn renew(&self, rejected: Option<AccessToken>) -> BoxFuture<Result<Option<AccessToken>, String>> {
        self.rejected.lock().unwrap().push(rejected);
        let renewed = self.renewed.lock().unwrap().pop_front().expect("no more renewals than planned");
        if let Ok(token) = &renewed {
            self.current.lock().unwrap().clone_from(token);
        }
        Box::pin(std::future::ready(renewed))
    }

    fn refresh(&self) -> BoxFuture<Result<(), TransportError>> {
        *self.refreshes.lock().unwrap() += 1;
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn limited<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("nothing hangs")
}

async fn receive(link: &mut Link) -> Result<String, TransportError> {
    let frame = limited(poll_fn(|cx| link.poll_next(cx))).await?;
    assert!(frame.is_text());
    Ok(String::from_utf8(frame.bytes().into_owned()).unwrap())
}

/// Receives while the test answers requests.
fn receiving(mut link: Link) -> tokio::task::JoinHandle<(Link, Result<String, TransportError>)> {
    tokio::spawn(async move {
        let received = receive(&mut link).await;
        (link, received)
    })
}

async fn flush(link: &mut Link) -> Result<(), TransportError> {
    limited(poll_fn(|cx| link.poll_flush(cx))).await
}

/// The answer to whatever is polled here is not there yet.
fn is_pending<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> bool {
    poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
}

const BOTH: [Transport; 2] = [Transport::ServerSentEvents, Transport::LongPolling];

#[tokio::test]
async fn events_are_frames() {
    let mut server = Server::start().await;
    let opening = server.open(Transport::ServerSentEvents, &Tokens::new("one", []));
    let request = server.next().await;
    assert_eq!((&*request.method, &*request.query), ("GET", "id=7"));
    assert_eq!((request.token(), request.header("Accept")), ("one", "text/event-stream"));
    assert_eq!(request.header("X-Test"), "mine");
    // The head of the answer opens it; no event is awaited.
    let pieces = request.stream();
    let mut link = opening.await.unwrap().expect("opens");
    pieces.send(b"data: a\r\n\r\ndata: b\r\nda").unwrap();
    pieces.send(b"ta: c\r\n\r\n").unwrap();
    assert_eq!(receive(&mut link).await.unwrap(), "a");
    let mut rest = receive(&mut link).await.unwrap();
    if rest.is_empty() {
        rest = receive(&mut link).await.unwrap();
    }
    assert_eq!(rest, "b\nc");
    pieces.send(b":\r\n").unwrap();
    assert_eq!(receive(&mut link).await.unwrap(), "", "a comment is a sign of life");
    drop(pieces);
    let error = receive(&mut link).await.unwrap_err();
    assert_eq!(error.to_string(), "the server ended the event stream");
}

/// The network goes away in the middle of an answer.
#[tokio::test]
async fn a_broken_answer_is_the_end() {
    /// A piece of a body, and the end of the connection when the other half is dropped.
    fn breakable() -> (Body, oneshot::Sender<()>) {
        let (whole, broken) = oneshot::channel();
        let end = async move {
            let _ = broken.await;
            Err("broken")
        };
        let pieces = futures_util::stream::iter([Ok("data: ")]).chain(futures_util::stream::once(end));
        (Body::from_stream(pieces), whole)
    }

    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let opening = server.open(Transport::ServerSentEvents, &tokens);
    let (body, whole) = breakable();
    server.next().await.answer(200, body);
    let mut link = opening.await.unwrap().expect("opens");
    assert_eq!(receive(&mut link).await.unwrap(), "", "the event has no end");
    drop(whole);
    let error = receive(&mut link).await.unwrap_err();
    assert!(!error.message.contains("ended"), "{error}");

    let polling = receiving(server.polling(TransferFormat::Text, &tokens).await);
    let (body, whole) = breakable();
    server.next().await.answer(200, body);
    drop(whole);
    assert!(polling.await.unwrap().1.is_err());
}

#[tokio::test]
async fn events_that_are_no_text_end_the_stream() {
    let mut server = Server::start().await;
    let (mut link, pieces) = server.events(&Tokens::new("one", [])).await;
    pieces.send(b"data: \xff\n\n").unwrap();
    assert!(receive(&mut link).await.unwrap_err().message.contains("not UTF-8"));
}

#[tokio::test]
async fn a_refusal_to_open_has_its_status() {
    for transport in BOTH {
        let mut server = Server::start().await;
        for status in [204, 403, 404, 500] {
            let opening = server.open(transport, &Tokens::new("one", []));
            server.next().await.answer(status, "");
            let error = opening.await.unwrap().err().expect("refused");
            assert_eq!(error.status, Some(status), "{transport}: {error}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    for transport in BOTH {
        let mut server = Server::start().await;
        let tokens = Tokens::new("one", [Ok(Some("two"))]);
        let opening = server.open(transport, &tokens);
        let request = server.next().await;
        assert_eq!(request.token(), "one");
        request.answer(401, "");
        let request = server.next().await;
        assert_eq!(request.token(), "two");
        request.answer(200, "");
        assert!(opening.await.unwrap().is_ok());
        assert_eq!(tokens.rejected(), [Some("one".into())]);

        let tokens = Tokens::new("one", [Ok(Some("two"))]);
        let opening = server.open(transport, &tokens);
        server.next().await.answer(401, "");
        server.next().await.answer(401, "");
        assert_eq!(opening.await.unwrap().err().expect("refused").status, Some(401));

        for (renewed, wanted) in [(Ok(None), "access token is missing"), (Err("no vault"), "no vault")] {
            let opening = server.open(transport, &Tokens::new("one", [renewed]));
            server.next().await.answer(401, "");
            let error = opening.await.unwrap().err().expect("refused");
            assert_eq!(error.status, Some(401));
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_for_a_web_socket_as_well() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", [Ok(Some("two"))]);
    let opening = server.open(Transport::WebSockets, &tokens);
    let request = server.next().await;
    assert_eq!((request.token(), request.header("Upgrade")), ("one", "websocket"));
    request.answer(401, "");
    let request = server.next().await;
    assert_eq!(request.token(), "two");
    request.answer(401, "");
    assert_eq!(opening.await.unwrap().err().expect("refused").status, Some(401));
    assert_eq!(tokens.rejected(), [Some("one".into())]);
}

#[tokio::test]
async fn one_message_goes_at_a_time() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", [Ok(Some("two"))]);
    let (mut link, _pieces) = server.events(&tokens).await;
    let request = server.sent(&mut link, "first").await;
    assert_eq!((&*request.method, &*request.query, request.token()), ("POST", "id=7", "one"));
    assert_eq!(request.header("Content-Type"), "text/plain;charset=UTF-8");
    assert_eq!(&*request.body, b"first");
    assert!(is_pending(|cx| link.poll_ready(cx)));
    request.answer(202, "");
    flush(&mut link).await.unwrap();
    assert!(!is_pending(|cx| link.poll_ready(cx)));

    // A token that is refused meanwhile is renewed, and the same message sent again.
    server.sent(&mut link, "second").await.answer(401, "");
    let request = server.next_while(|cx| link.poll_flush(cx)).await;
    assert_eq!((request.token(), &*request.body), ("two", &b"second"[..]));
    request.answer(200, "");
    flush(&mut link).await.unwrap();

    for status in [404, 500] {
        server.sent(&mut link, "third").await.answer(status, "");
        assert_eq!(flush(&mut link).await.unwrap_err().status, Some(status));
    }
    assert_eq!(tokens.rejected(), [Some("one".into())]);
}

#[tokio::test]
async fn polls_follow_each_other() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", [Ok(Some("two"))]);
    let opening = server.open(Transport::LongPolling, &tokens);
    let request = server.next().await;
    let (id, stamp) = request.query.split_once("&_=").expect("no cache may answer it");
    assert_eq!((&*request.method, id, request.token()), ("GET", "id=7", "one"));
    assert!(stamp.parse::<u64>().is_ok());
    request.answer(200, "");
    let link = opening.await.unwrap().expect("opens");

    let polling = receiving(link);
    server.next().await.answer(200, "");
    server.next().await.answer(200, "a message");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap(), "a message");

    let polling = receiving(link);
    server.next().await.answer(401, "");
    let request = server.next().await;
    assert_eq!(request.token(), "two");
    request.answer(200, "another");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap(), "another");

    let polling = receiving(link);
    server.next().await.answer(204, "");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap_err().to_string(), "the server ended the long polling connection");

    let polling = receiving(link);
    server.next().await.answer(503, "");
    assert_eq!(polling.await.unwrap().1.unwrap_err().status, Some(503));
}

#[tokio::test]
async fn a_message_in_the_first_answer_is_not_lost() {
    let mut server = Server::start().await;
    let opening = server.open(Transport::LongPolling, &Tokens::new("one", []));
    server.next().await.answer(200, "early");
    let mut link = opening.await.unwrap().expect("opens");
    assert_eq!(receive(&mut link).await.unwrap(), "early");
}

#[tokio::test]
async fn a_poll_that_nothing_answers_is_asked_again() {
    let mut server = Server::start().await;
    let mut link = server.polling(TransferFormat::Text, &Tokens::new("one", [])).await;
    let unanswered = server.polled(&mut link).await;
    let polling = receiving(link);
    tokio::time::pause();
    tokio::time::advance(long_polling::POLL_TIMEOUT).await;
    tokio::time::resume();
    unanswered.aborted().await;
    server.next().await.answer(200, "at last");
    assert_eq!(polling.await.unwrap().1.unwrap(), "at last");
}

#[tokio::test]
async fn an_authentication_is_refreshed_when_the_server_asks() {
    const ASKS: &str = r#"{"error":"authentication_refresh_required"}"#;
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let link = server.polling(TransferFormat::Text, &tokens).await;

    let polling = receiving(link);
    server.next().await.answer(409, ASKS);
    server.next().await.answer(200, "");
    server.next().await.answer(409, ASKS);
    server.next().await.answer(200, "refreshed");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap(), "refreshed");
    assert_eq!(*tokens.refreshes.lock().unwrap(), 2);

    // Twice in a row is the end.
    let polling = receiving(link);
    server.next().await.answer(409, ASKS);
    server.next().await.answer(409, ASKS);
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap_err().status, Some(409));
    assert_eq!(*tokens.refreshes.lock().unwrap(), 3);

    // So is a 409 of any other kind.
    let mut link = link;
    for body in ["", "{}", r#"{"error":"something else"}"#, r#"["authentication_refresh_required"]"#] {
        let polling = receiving(link);
        server.next().await.answer(409, body);
        let (polled, received) = polling.await.unwrap();
        assert_eq!(received.unwrap_err().status, Some(409), "{body}");
        link = polled;
    }
    assert_eq!(*tokens.refreshes.lock().unwrap(), 3);
}

#[tokio::test]
async fn bodies_are_of_the_format_and_not_endless() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let polling = receiving(server.polling(TransferFormat::Text, &tokens).await);
    server.next().await.answer(200, &b"\xff"[..]);
    let (link, received) = polling.await.unwrap();
    assert!(received.unwrap_err().message.contains("not UTF-8"));

    let polling = receiving(link);
    server.next().await.answer(200, vec![b'x'; DEFAULT_MESSAGE_LIMIT + 1]);
    assert!(polling.await.unwrap().1.unwrap_err().message.contains("longer than 32 MiB"));

    let mut link = server.polling(TransferFormat::Binary, &tokens).await;
    link.start_send(Frame::binary(vec![0, 0xff])).unwrap();
    let polling = tokio::spawn(async move {
        flush(&mut link).await.unwrap();
        poll_fn(|cx| link.poll_next(cx)).await
    });
    let request = server.next().await;
    assert_eq!(request.header("Content-Type"), "application/octet-stream");
    assert_eq!(&*request.body, [0, 0xff]);
    request.answer(200, "");
    server.next().await.answer(200, &b"\xfe"[..]);
    let frame = limited(polling).await.unwrap().unwrap();
    assert!(!frame.is_text());
    assert_eq!(&*frame.bytes(), [0xfe]);
}

#[tokio::test]
async fn what_is_dropped_is_aborted() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    // While it opens.
    for transport in BOTH {
        let opening = server.open(transport, &tokens);
        let request = server.next().await;
        opening.abort();
        request.aborted().await;
    }
    // An event stream, and a message on its way.
    let (mut link, pieces) = server.events(&tokens).await;
    let request = server.sent(&mut link, "first").await;
    drop(link);
    limited(pieces.closed()).await;
    request.aborted().await;
    // A poll.
    let mut link = server.polling(TransferFormat::Text, &tokens).await;
    let polled = server.polled(&mut link).await;
    drop(link);
    polled.aborted().await;
}

#[tokio::test]
async fn closing_sends_what_is_left_and_says_goodbye() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let left = || VecDeque::from([Frame::from("left"), Frame::from("close")]);

    let mut link = server.polling(TransferFormat::Text, &tokens).await;
    let polled = server.polled(&mut link).await;
    let first = server.sent(&mut link, "first").await;
    let closing = tokio::spawn(link.close(left()));
    first.answer(200, "");
    for wanted in ["left", "close"] {
        let request = server.next().await;
        assert_eq!((&*request.method, &*request.body), ("POST", wanted.as_bytes()));
        request.answer(200, "");
    }
    let goodbye = server.next().await;
    assert_eq!((&*goodbye.method, &*goodbye.query, goodbye.token()), ("DELETE", "id=7", "one"));
    polled.aborted().await;
    goodbye.answer(404, "");
    limited(closing).await.unwrap();

    let (link, pieces) = server.events(&tokens).await;
    let closing = tokio::spawn(link.close(left()));
    server.next().await.answer(200, "");
    server.next().await.answer(200, "");
    limited(closing).await.unwrap();
    limited(pieces.closed()).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_server_that_is_gone() {
    let mut server = Server::start().await;
    let mut link = server.polling(TransferFormat::Text, &Tokens::new("one", [])).await;
    let _first = server.sent(&mut link, "first").await;
    let begun = Instant::now();
    let closing = tokio::spawn(link.close(VecDeque::from([Frame::from("left")])));
    // Nothing of what was left goes out while the first waits, but the goodbye does.
    let goodbye = server.next().await;
    assert_eq!(goodbye.method, "DELETE");
    limited(closing).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// What is written while a POST is on its way goes out together in the next.
#[tokio::test]
async fn a_connection_batches_what_it_sends() {
    use crate::HubConnection;

    let mut server = Server::start().await;
    let hub =
        HubConnection::builder(server.url.to_text()).with_transports(Transport::LongPolling).build().unwrap();
    let starting = tokio::spawn({
        let hub = hub.clone();
        async move { hub.start().await }
    });
    let negotiate = server.next().await;
    assert_eq!(negotiate.query, "id=7&negotiateVersion=1");
    negotiate.answer(
        200,
        r#"{"connectionId":"c","connectionToken":"t","negotiateVersion":1,
            "availableTransports":[{"transport":"LongPolling","transferFormats":["Text"]}]}"#,
    );
    server.next().await.answer(200, "");
    let mut polled = None;
    for _ in 0..2 {
        let request = server.next().await;
        match &*request.method {
            "POST" => {
                assert_eq!(&*request.body, b"{\"protocol\":\"json\",\"version\":1}\x1e");
                request.answer(200, "");
            }
            _ => polled = Some(request),
        }
    }
    polled.take().unwrap().answer(200, "{}\x1e");
    limited(starting).await.unwrap().unwrap();
    let polled = server.next().await;
    assert_eq!(polled.method, "GET");

    let message = |n: u32| format!("{{\"type\":1,\"target\":\"Take\",\"arguments\":[{n}]}}\x1e");
    hub.send("Take", (1,)).await.unwrap();
    let first = server.next().await;
    assert_eq!(String::from_utf8_lossy(&first.body), message(1));
    for n in 2..=4 {
        hub.send("Take", (n,)).await.unwrap();
    }
    first.answer(200, "");
    let rest = server.next().await;
    assert_eq!(String::from_utf8_lossy(&rest.body), message(2) + &message(3) + &message(4));
    rest.answer(200, "");

    let stopping = tokio::spawn(async move { hub.stop().await });
    let close = server.next().await;
    assert_eq!(&*close.body, b"{\"type\":7}\x1e");
    close.answer(200, "");
    let goodbye = server.next().await;
    assert_eq!((&*goodbye.method, &*goodbye.query), ("DELETE", "id=7&id=t"));
    goodbye.answer(202, "");
    limited(stopping).await.unwrap();
    polled.aborted().await;
}
