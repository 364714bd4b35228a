//! Faults of other SignalR clients that have to do with connecting and staying connected, each with the test that
//! this client does not have it. Issues and pull requests are those of dotnet/aspnetcore.

use std::time::Duration;

use hubwire::core::handshake::HandshakeRequest;
use hubwire::core::keepalive::{Due, KeepAlive};
use hubwire::core::message::HubMessage;
use hubwire::core::negotiate::{NegotiateAnswer, Transport, with_token_in_query};
use hubwire::core::session::{ConnectionError, Effect, Session, SessionOptions, TransportError};
use hubwire::core::stateful::MessageBuffer;
use hubwire::core::{Moment, ProtocolError};
use hubwire::{AccessToken, HubUrl};

const SECOND: Duration = Duration::from_secs(1);
const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// `{"exp":1800086400}`: good for a day.
const GOOD: &str = "e30.eyJleHAiOjE4MDAwODY0MDB9.x";

const ANSWER: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"a+b/c=&d",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
const STATEFUL: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
const REDIRECT: &str = r#"{"url":"https://svc/client/?hub=chat","accessToken":"of-the-redirect"}"#;

/// A session that is started, and what it asks for.
struct Client {
    session: Session<(), (), ()>,
    now: Moment,
}

impl Client {
    fn start(change: impl FnOnce(&mut SessionOptions)) -> Self {
        let mut options = SessionOptions::new(HubUrl::parse("https://app/chat").unwrap());
        change(&mut options);
        let mut client = Self { session: Session::new(options), now: Moment::ZERO };
        client.session.start(client.now);
        client
    }

    fn effects(&mut self) -> Vec<Effect<(), ()>> {
        std::iter::from_fn(|| self.session.poll_effect()).collect()
    }

    fn last(&mut self) -> Effect<(), ()> {
        self.effects().pop().expect("something to do")
    }

    /// The request that is to be made now.
    fn asks(&mut self) -> (String, Option<AccessToken>) {
        match self.last() {
            Effect::Negotiate(request) => (request.url.host().to_owned(), request.token),
            effect => panic!("{effect:?}"),
        }
    }

    fn token(&mut self, token: &str) {
        self.session.handle_token(self.now, UNIX + self.now, Ok(Some(token.into())));
    }

    fn answer(&mut self, status: u16, body: &str) {
        let answer = NegotiateAnswer { status, retry_after: None, body: body.as_bytes() };
        self.session.handle_negotiate(self.now, Ok(answer));
    }

    /// From a negotiate that is answered to a connection.
    fn connect(&mut self, body: &str) {
        self.answer(200, body);
        self.session.handle_open(self.now, Ok(()));
        self.session.handle_handshake(self.now, b"{}\x1e");
        assert!(self.session.can_send());
        self.effects();
    }

    fn lose(&mut self) {
        self.session.handle_transport_closed(self.now, TransportError::new("lost"));
    }
}

fn item() -> HubMessage<'static, &'static str> {
    HubMessage::StreamItem { headers: vec![], invocation_id: "1".into(), item: "1" }
}

fn sequence(sequence_id: i64) -> HubMessage<'static, &'static str> {
    HubMessage::Sequence { sequence_id }
}

/// `@microsoft/signalr` 10 keeps a redirect's token and sends it to the app server on the next start and the next
/// reconnect, if there is no token provider (PR 65638).
#[test]
fn a_redirects_token_is_sent_back_to_the_app_server() {
    for has_token_provider in [false, true] {
        let own = has_token_provider.then(|| AccessToken::from(GOOD));
        let mut client = Client::start(|options| {
            options.automatic_reconnect = true;
            options.has_token_provider = has_token_provider;
        });
        client.token(GOOD);
        for start in ["first", "reconnect", "restart"] {
            assert_eq!(client.asks(), ("app".to_owned(), own.clone()), "{start}");
            client.answer(200, REDIRECT);
            assert_eq!(client.asks(), ("svc".to_owned(), Some("of-the-redirect".into())), "{start}");
            client.connect(ANSWER);
            if start == "first" {
                client.lose();
                client.session.handle_retry_delay(client.now, Some(Duration::ZERO));
            } else {
                client.session.stop();
                client.effects();
                client.session.start(client.now);
                client.token(GOOD);
            }
        }
    }
}

/// The official clients give up at a 401 although a new token could be had (56494, 5297). What a transport's own
/// requests do is tested with the transports.
#[test]
fn a_401_is_the_end_although_a_new_token_could_be_had() {
    let mut client = Client::start(|options| options.has_token_provider = true);
    client.token("old");
    client.effects();
    client.answer(401, "");
    assert_eq!(client.last(), Effect::FetchToken);
    client.token("new");
    assert_eq!(client.asks().1, Some("new".into()));
    client.connect(ANSWER);
    assert_eq!(client.session.info().and_then(|info| info.token.clone()), Some("new".into()));
}

/// `@microsoft/signalr` 10 opens a new socket for a stateful connection when the server falls silent, and then
/// neither uses nor closes it.
#[test]
fn a_server_timeout_leaks_the_socket_of_a_stateful_connection() {
    let mut client = Client::start(|options| options.use_stateful_reconnect = true);
    client.connect(STATEFUL);
    let timeout = client.session.options().server_timeout;
    client.now = timeout;
    client.session.handle_timeout(client.now);
    let effects = client.effects();
    assert!(
        matches!(
            &effects[..],
            [Effect::CloseTransport, Effect::Open { transport: Transport::WebSockets, .. }]
        ),
        "{effects:?}"
    );
    client.session.handle_open(client.now, Ok(()));
    assert_eq!(client.effects(), [Effect::Resumed, Effect::SendPing]);
    // It is the connection's socket now, with a full measure of time.
    assert!(client.session.can_send());
    client.now += timeout - SECOND;
    client.session.handle_timeout(client.now);
    assert_eq!(client.effects(), [Effect::SendPing]);
    client.session.stop();
    assert!(client.effects().contains(&Effect::CloseTransport));
}

/// A Sequence below 1 silences the official clients for good: every later message is a duplicate (69283).
#[test]
fn a_negative_sequence_silences_the_client() {
    let mut buffer = MessageBuffer::<()>::new(1_000);
    assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(true));
    for sequence_id in [i64::MIN, -1, 0] {
        let refused = buffer.handle_message(Moment::ZERO, &sequence(sequence_id));
        assert_eq!(refused, Err(ProtocolError::Sequence { sequence_id }));
    }
    assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(true));
}

/// The JavaScript client drops what comes on a new socket before the Sequence (50409).
#[test]
fn messages_before_the_sequence_are_dropped() {
    let mut buffer = MessageBuffer::<()>::new(1_000);
    drop(buffer.resume().1);
    assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(true));
    assert_eq!(buffer.handle_message(Moment::ZERO, &sequence(2)), Ok(false));
    assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(true));
}

/// An official client that loses the next socket among messages that are sent again closes the connection, when
/// these were acknowledged meanwhile: "Sequence ID greater than amount of messages we've received".
#[test]
fn a_second_loss_while_messages_are_sent_again_ends_the_connection() {
    let mut buffer = MessageBuffer::<()>::new(1_000);
    for _ in 0..3 {
        assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(true));
    }
    assert_eq!(buffer.handle_message(Moment::ZERO, &sequence(1)), Ok(false));
    assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(false));
    assert_eq!(buffer.handle_message(Moment::ZERO, &sequence(4)), Ok(false));
    assert_eq!(buffer.handle_message(Moment::ZERO, &item()), Ok(true));
}

/// The official clients tell a wrong number of retries (42806), or stay in the state Reconnecting for ever.
#[test]
fn retries_are_counted_wrongly_or_have_no_end() {
    let mut client = Client::start(|options| options.automatic_reconnect = true);
    client.connect(ANSWER);
    client.now = 10 * SECOND;
    client.lose();
    for n in 0..4 {
        let Effect::AskRetryPolicy(context) = client.last() else { panic!("retry {n}") };
        assert_eq!((context.previous_retry_count, context.elapsed), (n, n * 2 * SECOND));
        client.session.handle_retry_delay(client.now, Some(2 * SECOND));
        client.now += 2 * SECOND;
        client.session.handle_timeout(client.now);
        client.answer(503, "");
    }
    client.effects();
    client.session.handle_retry_delay(client.now, None);
    let Effect::Disconnected(error) = client.last() else { panic!("no end") };
    let ConnectionError::RetriesExhausted { attempts: 4, elapsed, last } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*elapsed, last.status()), (8 * SECOND, Some(503)));
    assert_eq!(client.session.poll_timeout(), None);
}

/// The official clients tell the status of a failed start only as a part of the text (39079).
#[test]
fn the_status_of_a_failed_start_is_lost() {
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let mut client = Client::start(|_| {});
        client.answer(status, "");
        let Effect::Disconnected(error) = client.last() else { panic!("{status}") };
        assert_eq!(error.status(), Some(status));
    }
}

/// The official clients don't retry the first connect (24957).
#[test]
fn the_first_connect_is_not_retried() {
    let mut client = Client::start(|options| options.retry_first_connect = true);
    client.answer(503, "");
    assert!(matches!(client.last(), Effect::AskRetryPolicy(_)));
    client.session.handle_retry_delay(client.now, Some(Duration::ZERO));
    assert_eq!(client.asks().0, "app");
    client.connect(ANSWER);
}

/// `signalr-client` reconnects with the connection token of the connection that is gone.
#[test]
fn a_reconnect_does_not_negotiate() {
    let mut client = Client::start(|options| options.automatic_reconnect = true);
    client.connect(ANSWER);
    client.lose();
    client.session.handle_retry_delay(client.now, Some(Duration::ZERO));
    client.asks();
    client.answer(200, &ANSWER.replace("a+b/c=&d", "second"));
    let Effect::Open { url, .. } = client.last() else { panic!("not opened") };
    assert_eq!(url.to_text(), "https://app/chat?id=second");
}

/// `signalr-client` puts tokens into URLs as they are.
#[test]
fn tokens_break_the_query() {
    let mut client = Client::start(|_| {});
    client.answer(200, ANSWER);
    let Effect::Open { url, .. } = client.last() else { panic!("not opened") };
    assert_eq!(url.to_text(), "https://app/chat?id=a%2Bb/c=%26d");
    let url = with_token_in_query(&url, Some(&"a b+c/d=&#e".into()));
    assert_eq!(url.parameter("access_token"), Some("a%20b%2Bc%2Fd%3D%26%23e"));
}

/// `signalr-client` does not look at an error in the handshake; the JavaScript client needs the whole of it in one
/// chunk; `signalr-client` and `signalrs-client` lose what comes in the same one.
#[test]
fn the_handshake_is_read_carelessly() {
    let shaking_hands = || {
        let mut client = Client::start(|_| {});
        client.answer(200, ANSWER);
        client.session.handle_open(client.now, Ok(()));
        let request = HandshakeRequest { protocol: "json".into(), version: 1 };
        let mut wanted = Vec::new();
        request.write(&mut wanted);
        assert_eq!(client.last(), Effect::SendHandshake(wanted));
        client
    };
    let mut client = shaking_hands();
    client.session.handle_handshake(client.now, b"{\"error\":\"no\"}\x1e");
    assert_eq!(client.last(), Effect::Disconnected(ConnectionError::Handshake("no".into())));
    let stream = b"{}\x1e{\"type\":6}\x1e";
    for cut in 0..3 {
        let mut client = shaking_hands();
        assert_eq!(client.session.handle_handshake(client.now, &stream[..cut]), b"");
        assert_eq!(client.session.handle_handshake(client.now, &stream[cut..]), b"{\"type\":6}\x1e");
        assert!(client.session.is_connected());
    }
}

/// The JavaScript client sends its next ping only when something comes from the server; `signalrs-client` sends none
/// that the hub sees.
#[test]
fn pings_stop_when_the_server_is_silent() {
    let mut timers = KeepAlive::new(Moment::ZERO, 15 * SECOND, 100 * SECOND);
    for n in 1..=6 {
        assert_eq!(timers.poll_timeout(), n * 15 * SECOND);
        assert_eq!(timers.handle_timeout(n * 15 * SECOND), Some(Due::Ping));
    }
    assert_eq!(timers.handle_timeout(100 * SECOND), Some(Due::PeerTimeout));
    let mut client = Client::start(|_| {});
    client.answer(200, ANSWER);
    client.session.handle_open(client.now, Ok(()));
    client.session.handle_handshake(client.now, b"{}\x1e");
    assert_eq!(client.last(), Effect::SendPing, "a server's own timeout begins with the first one");
}
