//! Faults of other SignalR clients that have to do with connecting and staying connected, each with the test that
//! this client does not have it. Issues and pull requests are those of dotnet/aspnetcore.

use std::time::Duration;

use crate::machine::driver::{Driver, Heard};
use crate::machine::{GOOD, REDIRECT, STATEFUL};
use hubwire::AccessToken;
use hubwire::core::client::{ClientOptions, ConnectionError, Effect, TransportError};
use hubwire::core::handshake::HandshakeRequest;
use hubwire::core::keepalive::{Due, KeepAlive};
use hubwire::core::message::HubMessage;
use hubwire::core::negotiate::{Transport, with_token_in_query};
use hubwire::core::stateful::{MessageBuffer, Receipt};
use hubwire::core::{Moment, ProtocolError};

const SECOND: Duration = Duration::from_secs(1);

/// So long after the epoch of the tests' clock.
fn after(time: Duration) -> Moment {
    Moment::from_epoch(time)
}
const PING: &str = "{\"type\":6}\u{1e}";

const ANSWER: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"a+b/c=&d",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
/// A client that is started, and what it asks for.
struct Client(Driver);

impl Client {
    fn start(change: impl FnOnce(&mut ClientOptions)) -> Self {
        let mut driver = Driver::with(change);
        driver.start();
        Self(driver)
    }

    fn effects(&mut self) -> Vec<Effect> {
        self.0.take_effects()
    }

    fn last(&mut self) -> Effect {
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
        self.0.token(Ok(Some(token.into())));
    }

    fn answer(&mut self, status: u16, body: &str) {
        self.0.answer_negotiate(Ok((status, body)));
    }

    /// From a negotiate that is answered to a connection.
    fn connect(&mut self, body: &str) {
        self.answer(200, body);
        self.0.open(Ok(()));
        assert_eq!(self.0.receive("{}\u{1e}"), []);
        assert!(self.0.can_hear());
        self.effects();
        self.0.take_sent();
    }

    fn lose(&mut self) {
        self.0.transport_closed(TransportError::new("lost"));
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
        if has_token_provider {
            client.token(GOOD);
        }
        for start in ["first", "reconnect", "restart"] {
            assert_eq!(client.asks(), ("app".to_owned(), own.clone()), "{start}");
            client.answer(200, REDIRECT);
            assert_eq!(client.asks(), ("svc".to_owned(), Some("of-the-redirect".into())), "{start}");
            client.connect(ANSWER);
            if start == "first" {
                client.lose();
                client.0.retry_delay(Some(Duration::ZERO));
            } else {
                client.0.stop();
                client.effects();
                client.0.start();
                if has_token_provider {
                    client.token(GOOD);
                }
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
    assert_eq!(client.0.machine.info().and_then(|info| info.token.clone()), Some("new".into()));
}

/// `@microsoft/signalr` 10 opens a new socket for a stateful connection when the server falls silent, and then
/// neither uses nor closes it.
#[test]
fn a_server_timeout_leaks_the_socket_of_a_stateful_connection() {
    let mut client = Client::start(|options| options.use_stateful_reconnect = true);
    client.connect(STATEFUL);
    let timeout = client.0.machine.options().server_timeout;
    client.0.sleep_until(after(timeout));
    let effects = client.effects();
    assert!(
        matches!(
            &effects[..],
            [Effect::CloseTransport { .. }, Effect::Open { transport: Transport::WebSockets, .. }]
        ),
        "{effects:?}"
    );
    client.0.take_sent();
    client.0.open(Ok(()));
    assert_eq!(client.effects(), [Effect::Resumed]);
    assert_eq!(client.0.take_sent(), format!("{{\"type\":9,\"sequenceId\":1}}\u{1e}{PING}"));
    // It is the connection's socket now, with a full measure of time.
    assert!(client.0.can_hear());
    client.0.sleep_until(after(timeout * 2 - SECOND));
    assert_eq!((client.effects(), client.0.take_sent().as_str()), (vec![], PING));
    client.0.stop();
    assert!(client.effects().contains(&Effect::CloseTransport { abort: false }));
}

/// A Sequence below 1 silences the official clients for good: every later message is a duplicate (69283).
#[test]
fn a_negative_sequence_silences_the_client() {
    let mut buffer = MessageBuffer::<()>::new(1_000);
    assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::New));
    for sequence_id in [i64::MIN, -1, 0] {
        let refused = buffer.handle_message(Moment::ZERO, sequence(sequence_id).head());
        assert_eq!(refused, Err(ProtocolError::Sequence { sequence_id }));
    }
    assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::New));
}

/// The JavaScript client drops what comes on a new socket before the Sequence (50409).
#[test]
fn messages_before_the_sequence_are_dropped() {
    let mut buffer = MessageBuffer::<()>::new(1_000);
    drop(buffer.resume(Moment::ZERO).1);
    assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::New));
    assert_eq!(buffer.handle_message(Moment::ZERO, sequence(2).head()), Ok(Receipt::Bookkeeping));
    assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::New));
}

/// An official client that loses the next socket among messages that are sent again closes the connection, when
/// these were acknowledged meanwhile: "Sequence ID greater than amount of messages we've received".
#[test]
fn a_second_loss_while_messages_are_sent_again_ends_the_connection() {
    let mut buffer = MessageBuffer::<()>::new(1_000);
    for _ in 0..3 {
        assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::New));
    }
    assert_eq!(buffer.handle_message(Moment::ZERO, sequence(1).head()), Ok(Receipt::Bookkeeping));
    assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::Duplicate));
    assert_eq!(buffer.handle_message(Moment::ZERO, sequence(4).head()), Ok(Receipt::Bookkeeping));
    assert_eq!(buffer.handle_message(Moment::ZERO, item().head()), Ok(Receipt::New));
}

/// The official clients tell a wrong number of retries (42806), or stay in the state Reconnecting for ever.
#[test]
fn retries_are_counted_wrongly_or_have_no_end() {
    let mut client = Client::start(|options| options.automatic_reconnect = true);
    client.connect(ANSWER);
    client.0.sleep_until(after(10 * SECOND));
    client.lose();
    for n in 0..4 {
        let Effect::AskRetryPolicy(context) = client.last() else { panic!("retry {n}") };
        assert_eq!((context.previous_retry_count, context.elapsed), (n, n * 2 * SECOND));
        client.0.retry_delay(Some(2 * SECOND));
        client.0.wait();
        client.answer(503, "");
    }
    client.effects();
    client.0.retry_delay(None);
    let Effect::Disconnected(error) = client.last() else { panic!("no end") };
    let ConnectionError::RetriesExhausted { attempts: 4, elapsed, last } = &*error else {
        panic!("{error:?}")
    };
    assert_eq!((*elapsed, last.status()), (8 * SECOND, Some(503)));
    assert_eq!(client.0.machine.poll_timeout(), None);
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

/// The official clients do not retry the first connect (24957).
#[test]
fn the_first_connect_is_not_retried() {
    let mut client = Client::start(|options| options.retry_first_connect = true);
    client.answer(503, "");
    assert!(matches!(client.last(), Effect::AskRetryPolicy(_)));
    client.0.retry_delay(Some(Duration::ZERO));
    assert_eq!(client.asks().0, "app");
    client.connect(ANSWER);
}

/// `signalr-client` reconnects with the connection token of the connection that is gone.
#[test]
fn a_reconnect_does_not_negotiate() {
    let mut client = Client::start(|options| options.automatic_reconnect = true);
    client.connect(ANSWER);
    client.lose();
    client.0.retry_delay(Some(Duration::ZERO));
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
        client.0.open(Ok(()));
        let request = HandshakeRequest { protocol: "json".into(), version: 1 };
        let mut wanted = Vec::new();
        request.write(&mut wanted);
        assert_eq!(client.0.take_sent().as_bytes(), wanted);
        client
    };
    let mut client = shaking_hands();
    client.0.receive("{\"error\":\"no\"}\u{1e}");
    assert_eq!(client.last(), Effect::Disconnected(ConnectionError::Handshake("no".into()).into()));
    let stream = "{}\u{1e}{\"type\":1,\"target\":\"Early\",\"arguments\":[]}\u{1e}";
    let early = || Heard::Called { call: None, target: "Early".to_owned(), arguments: "[]".to_owned() };
    for cut in 0..3 {
        let mut client = shaking_hands();
        assert_eq!(client.0.receive(&stream[..cut]), []);
        assert_eq!(client.0.receive(&stream[cut..]), [early()]);
        assert!(client.0.is_up());
    }
}

/// The JavaScript client sends its next ping only when something comes from the server; `signalrs-client` sends none
/// that the hub sees.
#[test]
fn pings_stop_when_the_server_is_silent() {
    let mut timers = KeepAlive::new(Moment::ZERO, 15 * SECOND, 100 * SECOND);
    for n in 1..=6 {
        assert_eq!(timers.poll_timeout(), after(n * 15 * SECOND));
        assert_eq!(timers.handle_timeout(after(n * 15 * SECOND)), Some(Due::Ping));
    }
    assert_eq!(timers.handle_timeout(after(100 * SECOND)), Some(Due::PeerTimeout));
    let mut client = Client::start(|_| {});
    client.answer(200, ANSWER);
    client.0.open(Ok(()));
    client.0.take_sent();
    client.0.receive("{}\u{1e}");
    assert_eq!(client.0.take_sent(), PING, "a server's own timeout begins with the first one");
    for n in 1..=3 {
        client.0.wait_until(after(n * 15 * SECOND - SECOND));
        client.0.receive(PING);
        assert_eq!(client.0.take_sent(), "");
        client.0.wait_until(after(n * 15 * SECOND));
        assert_eq!(client.0.take_sent(), PING, "whether the server says something or not");
    }
}
