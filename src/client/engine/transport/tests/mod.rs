//! Server-Sent Events and long polling against a server that the test speaks for, one request at a time.

mod closing;
mod events;
mod polls;
mod requests;

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
use crate::core::{Cause, ErrorChain};
use crate::platform::Network;

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
        let cookies = crate::platform::Cookies::new(true, None);
        let http = HttpClient::new(cookies, &Network::default()).unwrap();
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
    renewed: Mutex<VecDeque<Result<Option<AccessToken>, Cause>>>,
    rejected: Mutex<Vec<Option<AccessToken>>>,
    refreshes: Mutex<u32>,
}

impl Tokens {
    fn new(
        current: &str,
        renewed: impl IntoIterator<Item = Result<Option<&'static str>, &'static str>>,
    ) -> Arc<Self> {
        let renewed = renewed.into_iter();
        let renewed = renewed.map(|token| token.map(|t| t.map(Into::into)).map_err(Cause::from)).collect();
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

    fn renew(&self, rejected: Option<AccessToken>) -> BoxFuture<Result<Option<AccessToken>, Cause>> {
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
