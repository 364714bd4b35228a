//! The client's machine step by step, by a clock that the tests set.

use super::link::FRUITLESS_RESUMES;
use super::*;
use crate::core::ProtocolError;
use crate::core::codec::{Frame, Payload, RawCodec};
use crate::core::hub::{CallKind, HubEvent};
use crate::core::message::Outcome;
use crate::core::negotiate::{NegotiateAnswer, SkipReason, Transports};

/// The wall clock of the tests, which tokens count by.
const UNIX_NOW: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
const PING: &str = "{\"type\":6}\u{1e}";
const ANSWER: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

/// A machine whose effects are collected, at a clock that the test sets.
struct Bench {
    machine: ClientMachine<RawCodec>,
    now: Moment,
}

impl Bench {
    fn new(change: impl FnOnce(&mut ClientOptions)) -> Self {
        let mut options = ClientOptions::new(HubUrl::parse("https://app/chat").unwrap());
        change(&mut options);
        let machine = ClientMachine::new(options, RawCodec::default());
        let mut bench = Self { machine, now: Moment::ZERO };
        bench.machine.start(bench.now).unwrap();
        bench
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.machine.poll_effect()).collect()
    }

    /// What goes to the transport, as text.
    fn sent(&mut self) -> String {
        let mut sent = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit(self.now) {
            sent.extend(match transmit {
                Transmit::Handshake(bytes) | Transmit::Messages(bytes) => bytes,
            });
        }
        String::from_utf8(sent).unwrap()
    }

    /// A frame comes: what it means, in short.
    fn frame(&mut self, text: &str) -> Vec<String> {
        let (mut spare, mut events) = (Vec::new(), Vec::new());
        let messages = self.machine.handle_frame(self.now, Frame::text(text), &mut spare);
        if let Some(mut messages) = messages {
            while let Some(event) = self.machine.next_event(self.now, &mut messages) {
                events.push(match event {
                    HubEvent::Called { call, invocation, .. } => format!("{call:?} {}", invocation.target),
                    HubEvent::Completed { id, outcome: Outcome::Value(Payload::Json(value)) } => {
                        format!("{id} = {value}")
                    }
                    HubEvent::Completed { id, .. } => format!("{id} ended"),
                    HubEvent::Item { id, .. } => format!("item of {id}"),
                    event => format!("{event:?}"),
                });
            }
        }
        events
    }

    fn call(&mut self, kind: CallKind) -> u64 {
        self.machine.invoke(kind, "M", Payload::Json("[]"), 0).unwrap().id
    }

    fn token(&mut self, token: Result<Option<AccessToken>, String>) {
        self.machine.handle_token(self.now, UNIX_NOW, token);
    }

    fn answer(&mut self, status: u16, body: &str) {
        let answer = NegotiateAnswer { status, retry_after: None, body: body.as_bytes() };
        self.machine.handle_negotiate(self.now, Ok(answer));
    }

    fn open(&mut self) {
        self.machine.handle_open(self.now, Ok(()));
    }

    fn shake_hands(&mut self) {
        assert_eq!(self.frame("{}\u{1e}"), [""; 0]);
    }

    /// Up to the given step: 0 fetching a token, 1 negotiating, 2 opening, 3 shaking hands, 4 connected.
    fn at(step: u32) -> Self {
        let mut bench = Self::new(|options| options.has_token_provider = true);
        for step in 0..step {
            match step {
                0 => bench.token(Ok(Some("t".into()))),
                1 => bench.answer(200, ANSWER),
                2 => bench.open(),
                _ => bench.shake_hands(),
            }
        }
        bench
    }

    /// Why it has ended, and whether it was up.
    fn end(&mut self) -> (ConnectionError, bool) {
        let mut effects = self.effects();
        let Some(Effect::Disconnected(error)) = effects.pop() else { panic!("{effects:?}") };
        let was_up = matches!(effects.last(), Some(Effect::Lost(_)));
        if was_up {
            assert_eq!(effects.pop(), Some(Effect::Lost(Arc::clone(&error))));
        }
        assert_eq!(effects.pop(), Some(Effect::CloseTransport { abort: false }));
        assert_eq!(
            (self.machine.poll_timeout(), self.machine.state()),
            (None, ConnectionState::Disconnected)
        );
        (Arc::unwrap_or_clone(error), was_up)
    }
}

#[test]
fn the_whole_way_up() {
    let mut bench = Bench::new(|options| options.has_token_provider = true);
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.token(Ok(Some("app".into())));
    let request = |url: &str, token: &str| {
        Effect::Negotiate(NegotiateRequest { url: HubUrl::parse(url).unwrap(), token: Some(token.into()) })
    };
    assert_eq!(bench.effects(), [request("https://app/chat/negotiate?negotiateVersion=1", "app")]);
    bench.answer(200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#);
    assert_eq!(bench.effects(), [request("https://svc/client/negotiate?hub=chat&negotiateVersion=1", "svc")]);
    bench.answer(200, ANSWER);
    let url = HubUrl::parse("https://svc/client/?hub=chat&id=token").unwrap();
    assert_eq!(bench.effects(), [Effect::Open { transport: Transport::WebSockets, url }]);
    assert_eq!(bench.machine.link_token(), Some(&"svc".into()));
    assert_eq!(
        bench.frame("{}\u{1e}{\"type\":1,\"target\":\"Early\",\"arguments\":[]}\u{1e}"),
        [""; 0],
        "refused"
    );
    bench.open();
    assert_eq!(bench.sent(), "{\"protocol\":\"json\",\"version\":1}\u{1e}");
    assert_eq!((bench.frame("{"), bench.effects()), (vec![], vec![]));
    let early = "}\u{1e}{\"type\":6}\u{1e}{\"type\":1,\"target\":\"Early\",\"arguments\":[]}\u{1e}";
    assert_eq!(bench.frame(early), ["None Early"], "what follows the handshake in the same frame");
    assert_eq!((bench.sent().as_str(), bench.machine.state()), (PING, ConnectionState::Connecting));
    let effects = bench.effects();
    let [Effect::Connected { info, again: false }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(info.connection_id.as_deref(), Some("id"));
    assert_eq!(info.url.to_text(), "https://svc/client/?hub=chat");
    assert!(bench.machine.is_connected() && bench.machine.state() == ConnectionState::Connected);
}

#[test]
fn a_restart_begins_at_the_hub_again() {
    let mut bench = Bench::at(1);
    bench.answer(200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#);
    bench.answer(500, "");
    assert_eq!(bench.end().0.status(), Some(500));
    bench.machine.start(bench.now).unwrap();
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.token(Ok(None));
    let [Effect::Negotiate(request)] = &bench.effects()[..] else { panic!() };
    assert_eq!((request.url.path(), &request.token), ("/chat/negotiate", &None));
}

#[test]
fn stop_ends_every_step() {
    for step in 0..=4 {
        let mut bench = Bench::at(step);
        bench.effects();
        bench.sent();
        assert!(bench.machine.stop(bench.now));
        assert_eq!(bench.machine.state(), ConnectionState::Disconnecting);
        let close = if step == 4 { "{\"type\":7}\u{1e}" } else { "" };
        assert_eq!(bench.sent(), close, "step {step}");
        assert!(bench.machine.stop(bench.now), "it is not over yet");
        let started = bench.machine.start(bench.now);
        assert_eq!(started, Err(ConnectionError::AlreadyStarted), "nor is there another");
        assert_eq!(bench.end(), (ConnectionError::Stopped, step == 4));
        assert!(!bench.machine.stop(bench.now));
        assert_eq!(bench.effects(), []);
    }
}

#[test]
fn each_step_has_its_limit() {
    for (step, limit) in [(0, 100), (1, 100), (3, 15)] {
        let mut bench = Bench::at(step);
        bench.effects();
        assert_eq!(bench.machine.poll_timeout(), Some(limit * SECOND), "step {step}");
        bench.machine.handle_timeout(limit * SECOND - Duration::from_millis(1));
        assert_eq!(bench.effects(), []);
        bench.machine.handle_timeout(limit * SECOND);
        let (error, _) = bench.end();
        assert!(
            matches!(&error, ConnectionError::Timeout { limit: l, .. } if *l == limit * SECOND),
            "{error}"
        );
        assert!(error.is_retryable());
    }
    let mut bench = Bench::at(2);
    bench.effects();
    assert_eq!(bench.machine.poll_timeout(), Some(100 * SECOND));
    bench.machine.handle_timeout(100 * SECOND);
    let (error, _) = bench.end();
    assert!(error.is_retryable() && error.to_string().contains("too long"), "{error}");
}

#[test]
fn the_network_may_fail_at_every_step() {
    let lost = || TransportError::new("lost");
    let mut bench = Bench::at(1);
    bench.machine.handle_negotiate(bench.now, Err(lost()));
    assert!(matches!(bench.end().0, ConnectionError::NegotiateRequest { .. }));
    let mut bench = Bench::at(2);
    bench.machine.handle_open(bench.now, Err(lost()));
    let failed = SkippedTransport { transport: "WebSockets".into(), reason: SkipReason::Failed(lost()) };
    assert_eq!(bench.end().0, ConnectionError::NoTransport { skipped: vec![failed] });
    for step in 3..=4 {
        let mut bench = Bench::at(step);
        bench.machine.handle_transport_closed(bench.now, lost());
        assert_eq!(bench.end().0, ConnectionError::Transport(lost()));
    }
}

#[test]
fn a_token_provider_that_fails() {
    let mut bench = Bench::at(0);
    bench.token(Err("no network".into()));
    assert_eq!(bench.end().0, ConnectionError::AccessToken("no network".into()));
}

#[test]
fn handshakes_that_fail() {
    for (chunk, wanted) in [
        (&b"{\"error\":\"no such protocol\"}\x1e"[..], ConnectionError::Handshake("no such protocol".into())),
        (b"{\"type\":6}\x1e", ConnectionError::Protocol(ProtocolError::NotAHandshake)),
        (b"\xff\x1e", ConnectionError::Protocol(ProtocolError::NotAHandshake)),
    ] {
        let mut bench = Bench::at(3);
        bench.machine.handle_frame(bench.now, Frame::binary(chunk), &mut Vec::new());
        assert_eq!(bench.end().0, wanted);
    }
}

#[test]
fn every_pending_call_ends_with_the_connection() {
    type Cut = fn(&mut Bench);
    let cuts: [Cut; 6] = [
        |b| assert!(b.machine.stop(b.now)),
        |b| b.machine.handle_slow_consumer(b.now),
        |b| b.machine.handle_transport_closed(b.now, TransportError::new("lost")),
        |b| b.machine.handle_protocol_error(b.now, ProtocolError::Incomplete),
        |b| b.machine.handle_timeout(30 * SECOND),
        // What follows a Close means nothing.
        |b| {
            let close = "{\"type\":7,\"error\":\"bye\",\"allowReconnect\":true}\u{1e}";
            assert_eq!(b.frame(&format!("{close}{{\"type\":3,\"invocationId\":\"1\"}}\u{1e}")), [""; 0]);
        },
    ];
    for cut in cuts {
        let mut bench = Bench::at(4);
        assert_eq!(
            [CallKind::Plain, CallKind::Plain, CallKind::Stream].map(|kind| bench.call(kind)),
            [0, 1, 2]
        );
        assert!(bench.machine.cancel(0) && !bench.machine.cancel(0));
        cut(&mut bench);
        let refused = bench.machine.invoke(CallKind::Plain, "M", Payload::Json("[]"), 0);
        assert_eq!(refused, Err(ConnectionError::NotConnected));
        assert!(bench.end().1);
        assert!(!bench.machine.cancel(1), "it has ended already");
    }
}

#[test]
fn a_servers_text_is_shared_and_short() {
    let mut bench = Bench::at(4);
    bench.frame(&format!("{{\"type\":7,\"error\":\"{}\"}}\u{1e}", "x".repeat(1 << 20)));
    let (ConnectionError::ServerClosed { error: Some(text), .. }, _) = bench.end() else { panic!() };
    assert!(text.len() <= 4096, "{}", text.len());
}

#[test]
fn calls_on_the_wire() {
    let mut bench = Bench::at(4);
    bench.sent();
    let begun = bench.machine.invoke(CallKind::Plain, "Add", Payload::Json("[1,2]"), 1).unwrap();
    assert_eq!((begun.id, begun.uploads.clone()), (0, 1..2));
    let call = r#"{"type":1,"invocationId":"0","target":"Add","arguments":[1,2],"streamIds":["1"]}"#;
    assert_eq!(bench.sent(), format!("{call}\u{1e}"));
    assert!(bench.machine.send_item(1, Payload::Json("7")));
    assert_eq!(bench.sent(), "{\"type\":2,\"invocationId\":\"1\",\"item\":7}\u{1e}");
    assert_eq!(bench.frame("{\"type\":3,\"invocationId\":\"0\",\"result\":3}\u{1e}"), ["0 = 3"]);
    assert!(!bench.machine.send_item(1, Payload::Json("8")), "its call has ended");
    assert_eq!(bench.machine.send("Say", Payload::Json("[]"), 0), Ok(2..2));
    assert_eq!(bench.sent(), "{\"type\":1,\"target\":\"Say\",\"arguments\":[]}\u{1e}");

    let begun = bench.machine.invoke(CallKind::Stream, "Ticks", Payload::Json("[]"), 1).unwrap();
    bench.sent();
    assert_eq!(bench.frame("{\"type\":2,\"invocationId\":\"2\",\"item\":1}\u{1e}"), ["item of 2"]);
    assert!(bench.machine.cancel(begun.id));
    let end = r#"{"type":3,"invocationId":"3","error":"Stream canceled by client."}"#;
    assert_eq!(bench.sent(), format!("{{\"type\":5,\"invocationId\":\"2\"}}\u{1e}{end}\u{1e}"));
}

/// An id that the server chose never ends a call of ours.
#[test]
fn an_upload_of_the_servers_is_no_end_of_our_call() {
    let mut bench = Bench::at(4);
    assert_eq!(bench.call(CallKind::Plain), 0);
    let events = bench.frame(concat!(
        "{\"type\":1,\"target\":\"Take\",\"arguments\":[],\"streamIds\":[\"0\"]}\u{1e}",
        "{\"type\":2,\"invocationId\":\"0\",\"item\":1}\u{1e}",
        "{\"type\":3,\"invocationId\":\"0\"}\u{1e}",
        "{\"type\":3,\"invocationId\":\"0\",\"result\":\"ours\"}\u{1e}",
    ));
    assert_eq!(events, ["None Take", "0 = \"ours\""]);
}

#[test]
fn calls_of_the_server_are_answered_once() {
    let mut bench = Bench::at(4);
    bench.sent();
    let call = |id: &str, kind: u8| {
        format!("{{\"type\":{kind},\"invocationId\":\"{id}\",\"target\":\"Ask\",\"arguments\":[]}}\u{1e}")
    };
    assert_eq!(bench.frame(&(call("a", 1) + &call("b", 1))), ["Some(0) Ask", "Some(1) Ask"]);
    bench.machine.answer(0, Outcome::Value(Payload::Json("1")));
    bench.machine.answer(0, Outcome::Value(Payload::Json("2")));
    assert_eq!(bench.sent(), "{\"type\":3,\"invocationId\":\"a\",\"result\":1}\u{1e}");
    assert_eq!(bench.frame("{\"type\":5,\"invocationId\":\"b\"}\u{1e}"), ["Cancelled { call: 1 }"]);
    assert!(bench.machine.expects_answer(1));
    bench.machine.refuse(1, "no");
    assert_eq!(bench.sent(), "{\"type\":3,\"invocationId\":\"b\",\"error\":\"no\"}\u{1e}");
    assert_eq!(bench.frame(&call("c", 4)), [""; 0]);
    assert!(bench.sent().contains("Clients have no methods that stream."));
    assert_eq!(bench.frame(&(call("d", 1) + &call("d", 1))), ["Some(3) Ask"]);
    assert!(bench.sent().contains("already in use"));
}

#[test]
fn pings_and_the_servers_silence() {
    let mut bench = Bench::at(4);
    bench.effects();
    bench.now = SECOND;
    assert!(bench.sent().ends_with(PING));
    assert_eq!(bench.machine.poll_timeout(), Some(16 * SECOND));
    bench.now = 16 * SECOND;
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.sent(), PING);
    bench.now = 20 * SECOND;
    bench.frame(PING);
    bench.machine.handle_timeout(49 * SECOND);
    assert_eq!(bench.effects(), []);
    bench.machine.handle_timeout(50 * SECOND);
    assert_eq!(bench.end().0, ConnectionError::ServerTimeout { limit: 30 * SECOND });
}

/// While this side does not read, silence shows nothing, until it has looked.
#[test]
fn a_silent_server_is_noticed_by_a_client_that_does_not_read() {
    let full = Load { is_full: true, ..Load::default() };
    let hold = |bench: &mut Bench, seconds: u32| {
        bench.now = seconds * SECOND;
        bench.machine.handle_timeout(bench.now);
        bench.machine.may_read(bench.now, full)
    };
    let mut bench = Bench::at(4);
    bench.effects();
    assert!(!hold(&mut bench, 1));
    hold(&mut bench, 15);
    bench.sent();
    assert!(hold(&mut bench, 30), "it is read again, to see whether the server is there");
    assert_eq!(bench.sent(), PING, "and pinged");
    assert!(bench.machine.poll_timeout() > Some(bench.now), "once");
    bench.frame(PING);
    for _ in 1..64 {
        assert!(hold(&mut bench, 30));
        bench.frame(PING);
    }
    assert!(!hold(&mut bench, 31), "it is");
    assert!(hold(&mut bench, 60));
    assert_eq!(bench.effects(), []);
    hold(&mut bench, 65);
    assert_eq!(bench.end().0, ConnectionError::ServerTimeout { limit: 30 * SECOND });
}

#[test]
fn plain_http_stays_on_this_machine() {
    let url = |text| HubUrl::parse(text).unwrap();
    let mut bench = Bench::new(|options| options.url = url("http://example.com/chat"));
    assert!(matches!(bench.end().0, ConnectionError::InsecureUrl(_)));
    let mut bench = Bench::new(|options| {
        options.url = url("http://example.com/chat");
        options.insecure_http = true;
    });
    assert!(matches!(bench.effects()[..], [Effect::Negotiate(_)]));
    let mut bench = Bench::new(|options| options.url = url("http://localhost/chat"));
    bench.answer(200, r#"{"url":"http://example.com/","accessToken":"secret"}"#);
    assert!(matches!(bench.end().0, ConnectionError::InsecureUrl(_)));
}

#[test]
fn negotiation_can_be_skipped() {
    let mut bench = Bench::new(|options| options.skip_negotiation = true);
    let [Effect::Open { url, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!((url.to_text().as_str(), bench.machine.link_token()), ("https://app/chat", None));

    // Nobody says then that the server has another transport than this.
    let mut bench = Bench::new(|options| {
        options.skip_negotiation = true;
        options.transports.allowed = Transport::LongPolling.into();
    });
    let skipped = SkippedTransport { transport: "WebSockets".into(), reason: SkipReason::Disabled };
    assert_eq!(bench.end().0, ConnectionError::NoTransport { skipped: vec![skipped] });
}

#[test]
fn no_transport_tells_why_for_each() {
    let mut bench = Bench::at(1);
    bench.answer(
        200,
        r#"{"connectionId":"a","availableTransports":[{"transport":"CarrierPigeon","transferFormats":["Text"]},
            {"transport":"LongPolling","transferFormats":["Text"]}]}"#,
    );
    let text = bench.end().0.to_string();
    assert!(
        text.contains("CarrierPigeon: it is not known") && text.contains("LongPolling: it is not"),
        "{text}"
    );
}

#[test]
fn late_inputs_are_ignored() {
    let mut bench = Bench::at(4);
    bench.effects();
    assert_eq!(bench.machine.start(bench.now), Err(ConnectionError::AlreadyStarted));
    bench.token(Err("late".into()));
    bench.machine.handle_refresh_token(bench.now, Ok(None));
    bench.machine.handle_refresh(bench.now, UNIX_NOW, Ok((200, b"{}")));
    bench.machine.handle_negotiate(bench.now, Err(TransportError::new("late")));
    bench.machine.handle_open(bench.now, Err(TransportError::new("late")));
    assert_eq!(bench.effects(), []);
    bench.machine.stop(bench.now);
    bench.effects();
    bench.machine.handle_transport_closed(bench.now, TransportError::new("late"));
    bench.machine.handle_protocol_error(bench.now, ProtocolError::Incomplete);
    bench.machine.handle_timeout(1000 * SECOND);
    assert_eq!(bench.effects(), []);
}

const THREE: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":[
    {"transport":"WebSockets","transferFormats":["Text"]},{"transport":"CarrierPigeon","transferFormats":["Text"]},
    {"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text"]}]}"#;

/// A session with a token provider and every transport, at the opening of the first.
fn opening(change: impl FnOnce(&mut ClientOptions)) -> Bench {
    let mut bench = Bench::new(|options| {
        options.has_token_provider = true;
        options.transports.available = Transports::ALL;
        change(options);
    });
    bench.token(Ok(Some("t".into())));
    bench.answer(200, THREE);
    bench.effects();
    bench
}

fn lost() -> TransportError {
    TransportError::new("lost")
}

fn status(status: u16) -> TransportError {
    TransportError { status: Some(status), ..TransportError::new("refused") }
}

#[test]
fn the_next_transport_takes_over_and_every_reason_is_kept() {
    let mut bench = opening(|_| {});
    bench.machine.handle_open(bench.now, Err(status(403)));
    // The connection's id is spent, so negotiate is asked again.
    assert!(matches!(bench.effects()[..], [Effect::CloseTransport { .. }, Effect::Negotiate(_)]));
    bench.answer(200, THREE);
    let [Effect::Open { transport, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!(*transport, Transport::ServerSentEvents);
    bench.machine.handle_timeout(100 * SECOND);
    bench.answer(200, THREE);
    assert!(matches!(bench.effects().last(), Some(Effect::Open { transport: Transport::LongPolling, .. })));
    bench.machine.handle_open(bench.now, Err(lost()));
    let (error, _) = bench.end();
    let ConnectionError::NoTransport { skipped } = &error else { panic!("{error:?}") };
    let reasons: Vec<_> = skipped.iter().map(|s| (s.transport.as_str(), s.reason.clone())).collect();
    assert_eq!(reasons[0], ("WebSockets", SkipReason::Failed(status(403))));
    assert_eq!(reasons[1], ("CarrierPigeon", SkipReason::Unknown));
    assert!(matches!(reasons[2], ("ServerSentEvents", SkipReason::Failed(_))));
    assert_eq!(reasons[3], ("LongPolling", SkipReason::Failed(lost())));
    assert_eq!(error.status(), Some(403));
    assert!(error.is_retryable());
}

#[test]
fn a_negotiate_that_fails_during_fallback_ends_the_start() {
    let mut bench = opening(|_| {});
    bench.machine.handle_open(bench.now, Err(lost()));
    bench.answer(500, "");
    assert_eq!(bench.end().0.status(), Some(500));
}

#[test]
fn a_401_gets_one_new_token() {
    let mut bench = Bench::at(1);
    bench.effects();
    bench.answer(401, "");
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.token(Ok(Some("new".into())));
    let [Effect::Negotiate(request)] = &bench.effects()[..] else { panic!() };
    assert_eq!(request.token, Some("new".into()));
    bench.answer(401, "");
    assert_eq!(bench.end().0.status(), Some(401));

    // The provider has nothing to do with a redirect's token.
    let mut bench = Bench::at(1);
    bench.answer(200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#);
    bench.answer(401, "");
    assert_eq!(bench.end().0.status(), Some(401));
}

/// A JWT that expires so many seconds after the tests' now.
fn expiring(seconds: u64) -> AccessToken {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let claims = format!("{{\"exp\":{}}}", UNIX_NOW.as_secs() + seconds);
    format!("e30.{}.x", Base64UrlUnpadded::encode_string(claims.as_bytes())).into()
}

fn reconnecting(token: AccessToken) -> Bench {
    let mut bench = Bench::new(|options| {
        options.has_token_provider = true;
        options.automatic_reconnect = true;
    });
    bench.token(Ok(Some(token)));
    bench.answer(200, ANSWER);
    bench.open();
    bench.shake_hands();
    bench.effects();
    bench
}

#[test]
fn a_lost_connection_comes_back_after_the_policys_delay() {
    let mut bench = reconnecting("opaque".into());
    assert_eq!(bench.call(CallKind::Plain), 0);
    bench.machine.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let [Effect::CloseTransport { .. }, Effect::Lost(_), Effect::AskRetryPolicy(context)] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    let reason = ConnectionError::Transport(lost());
    assert_eq!(
        (context.previous_retry_count, context.elapsed, &context.reason),
        (0, Duration::ZERO, &reason)
    );
    bench.machine.handle_retry_delay(bench.now, Some(2 * SECOND));
    assert_eq!(bench.effects(), [Effect::Reconnecting(Arc::new(reason))]);
    assert_eq!(bench.machine.poll_timeout(), Some(2 * SECOND));
    bench.now = 2 * SECOND;
    bench.machine.handle_timeout(bench.now);
    // A token that does not tell its end is asked for again.
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.token(Ok(None));
    bench.answer(503, "");
    let effects = bench.effects();
    let Some(Effect::AskRetryPolicy(context)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((context.previous_retry_count, context.elapsed), (1, 2 * SECOND));
    assert_eq!(context.reason.status(), Some(503));
    bench.machine.handle_retry_delay(bench.now, Some(Duration::ZERO));
    bench.token(Ok(None));
    bench.answer(200, ANSWER);
    bench.open();
    bench.shake_hands();
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Connected { again: true, .. })));
    // The next loss counts from the beginning.
    bench.machine.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let Some(Effect::AskRetryPolicy(context)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(context.previous_retry_count, 0);
}

#[test]
fn a_policy_that_gives_up() {
    let mut bench = reconnecting("opaque".into());
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.effects();
    bench.machine.handle_retry_delay(bench.now, None);
    assert_eq!(bench.effects(), [Effect::Disconnected(Arc::new(ConnectionError::Transport(lost())))]);

    let mut bench = reconnecting("opaque".into());
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.machine.handle_retry_delay(bench.now, Some(SECOND));
    bench.now = SECOND;
    bench.machine.handle_timeout(bench.now);
    bench.token(Err("no".into()));
    bench.effects();
    bench.machine.handle_retry_delay(bench.now, None);
    let last = Box::new(ConnectionError::AccessToken("no".into()));
    let error = ConnectionError::RetriesExhausted { attempts: 1, elapsed: SECOND, last };
    assert_eq!(bench.effects(), [Effect::Disconnected(Arc::new(error))]);
}

#[test]
fn stop_ends_the_wait_for_a_retry_and_a_wake_cuts_it_short() {
    let mut bench = reconnecting("opaque".into());
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.machine.handle_retry_delay(bench.now, Some(30 * SECOND));
    bench.effects();
    bench.machine.handle_wake(bench.now);
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.machine.stop(bench.now);
    assert_eq!(bench.end().0, ConnectionError::Stopped);
}

#[test]
fn the_server_decides_whether_its_close_allows_a_reconnect() {
    for allow_reconnect in [true, false] {
        let mut bench = reconnecting("opaque".into());
        bench.frame(&format!("{{\"type\":7,\"allowReconnect\":{allow_reconnect}}}\u{1e}"));
        let asked = matches!(bench.effects().last(), Some(Effect::AskRetryPolicy(_)));
        assert_eq!(asked, allow_reconnect);
    }
}

#[test]
fn a_token_is_kept_until_shortly_before_its_end() {
    for (life, at, kept) in [(3600, 3539, true), (3600, 3540, false), (40, 29, true), (40, 30, false)] {
        let mut bench = reconnecting(expiring(life));
        bench.now = at * SECOND;
        bench.machine.handle_transport_closed(bench.now, lost());
        bench.machine.handle_retry_delay(bench.now, Some(Duration::ZERO));
        let effects = bench.effects();
        assert_eq!(matches!(effects.last(), Some(Effect::Negotiate(_))), kept, "{at} of {life}: {effects:?}");
        // A start of the user's own always asks.
        bench.machine.stop(bench.now);
        bench.effects();
        bench.machine.start(bench.now).unwrap();
        assert_eq!(bench.effects(), [Effect::FetchToken]);
    }
}

#[test]
fn the_first_connect_is_retried_if_that_may_help() {
    let first = |answer: u16| {
        let mut bench = Bench::new(|options| options.retry_first_connect = true);
        bench.answer(answer, "");
        bench.effects()
    };
    let effects = first(503);
    let Some(Effect::AskRetryPolicy(context)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(context.previous_retry_count, 0);
    assert!(matches!(first(404).last(), Some(Effect::Disconnected(_))));
}

const STATEFUL: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","useStatefulReconnect":true,
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;

fn stateful() -> Bench {
    let mut bench = Bench::new(|options| {
        options.has_token_provider = true;
        options.use_stateful_reconnect = true;
    });
    bench.token(Ok(Some(expiring(3600))));
    bench.answer(200, STATEFUL);
    bench.open();
    assert_eq!(bench.sent(), "{\"protocol\":\"json\",\"version\":2}\u{1e}");
    bench.shake_hands();
    bench.effects();
    bench
}

#[test]
fn a_stateful_connection_gets_a_new_socket_and_nobody_notices() {
    let mut bench = stateful();
    assert_eq!(bench.call(CallKind::Plain), 0);
    bench.machine.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let [Effect::CloseTransport { .. }, Effect::Open { url, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(url.to_text(), "https://app/chat?id=token");
    assert!(bench.machine.is_connected() && !bench.machine.has_transport());
    assert_eq!(bench.call(CallKind::Plain), 1);
    bench.open();
    assert_eq!(bench.effects(), [Effect::Resumed]);
    assert!(bench.machine.has_transport());
}

#[test]
fn a_resume_that_fails_is_the_end_of_the_connection() {
    type Failure = fn(&mut Bench);
    let failures: [Failure; 2] =
        [|b| b.machine.handle_open(b.now, Err(status(404))), |b| b.machine.handle_timeout(30 * SECOND)];
    for fail in failures {
        let mut bench = stateful();
        assert_eq!(bench.call(CallKind::Plain), 0);
        bench.machine.handle_transport_closed(bench.now, lost());
        bench.effects();
        fail(&mut bench);
        assert_eq!(bench.end(), (ConnectionError::Transport(lost()), true));
    }
}

/// A server that accepts sockets and drops them would be asked for new ones without end.
#[test]
fn resumes_without_a_word_from_the_server_end() {
    let mut bench = stateful();
    for _ in 0..FRUITLESS_RESUMES {
        bench.machine.handle_transport_closed(bench.now, lost());
        bench.open();
    }
    bench.effects();
    bench.machine.handle_transport_closed(bench.now, lost());
    assert_eq!(bench.end().0, ConnectionError::Transport(lost()));
}

#[test]
fn a_resume_asks_for_a_token_when_the_old_one_is_about_to_expire() {
    let mut bench = stateful();
    bench.now = 3600 * SECOND;
    bench.machine.handle_transport_closed(bench.now, lost());
    assert_eq!(bench.effects(), [Effect::CloseTransport { abort: false }, Effect::FetchToken]);
    bench.token(Ok(Some("new".into())));
    assert!(matches!(bench.effects()[..], [Effect::Open { .. }]));
    assert_eq!(bench.machine.link_token(), Some(&"new".into()));
}

#[test]
fn a_resume_that_is_tried_again_asks_for_no_other_token() {
    let mut bench = stateful();
    bench.now = 3600 * SECOND;
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.token(Ok(Some("new".into())));
    bench.effects();
    bench.machine.handle_open(bench.now, Err(lost()));
    assert!(matches!(bench.effects()[..], [Effect::Open { .. }]));
    assert_eq!(bench.machine.link_token(), Some(&"new".into()));
}

#[test]
fn long_polling_keeps_itself_alive() {
    let mut bench = opening(|options| options.transports.allowed = Transport::LongPolling.into());
    bench.open();
    bench.shake_hands();
    bench.effects();
    assert_eq!(bench.sent(), "{\"protocol\":\"json\",\"version\":1}\u{1e}", "no ping");
    assert_eq!(bench.machine.poll_timeout(), None);
}

/// An empty token means to go without, whoever it comes from.
#[test]
fn an_empty_renewed_token_is_none() {
    let mut bench = stateful();
    bench.machine.handle_renewed_token(bench.now, UNIX_NOW, Some("".into()));
    assert_eq!(bench.machine.info().and_then(|info| info.token.as_ref()), None);
}

#[test]
fn a_refreshed_token_of_a_redirect_is_for_the_next_socket_but_not_for_the_app_server() {
    let mut bench = Bench::new(|options| {
        options.has_token_provider = true;
        options.use_stateful_reconnect = true;
        options.automatic_reconnect = true;
    });
    bench.token(Ok(Some(expiring(3600))));
    bench.answer(200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#);
    bench.answer(200, STATEFUL);
    bench.open();
    bench.shake_hands();
    bench.effects();
    bench.machine.handle_renewed_token(bench.now, UNIX_NOW, Some("newer of svc".into()));
    bench.machine.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    assert!(matches!(effects[..], [Effect::CloseTransport { .. }, Effect::Open { .. }]), "{effects:?}");
    assert_eq!(bench.machine.link_token(), Some(&"newer of svc".into()));
    bench.machine.handle_open(bench.now, Err(status(404)));
    bench.machine.handle_retry_delay(bench.now, Some(Duration::ZERO));
    let effects = bench.effects();
    let Some(Effect::Negotiate(request)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((request.url.host(), &request.token), ("app", &Some(expiring(3600))));
}

/// ASP.NET Core acknowledges even when the rest of what it has to say is stuck behind a socket that is gone.
#[test]
fn acknowledgements_and_duplicates_are_no_signs_of_life() {
    let item = "{\"type\":1,\"target\":\"M\",\"arguments\":[]}\u{1e}";
    let mut bench = stateful();
    assert_eq!(bench.frame(item), ["None M"]);
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.open();
    bench.effects();
    for seconds in [10, 20, 29] {
        bench.now = seconds * SECOND;
        assert_eq!(
            bench.frame("{\"type\":8,\"sequenceId\":0}\u{1e}{\"type\":9,\"sequenceId\":1}\u{1e}"),
            [""; 0]
        );
        assert_eq!(bench.frame(item), [""; 0], "a duplicate");
        bench.machine.handle_timeout(bench.now);
    }
    assert_eq!(bench.effects(), []);
    bench.machine.handle_timeout(30 * SECOND);
    // The silence after a resume is final: another socket would be as silent.
    assert_eq!(bench.end(), (ConnectionError::ServerTimeout { limit: 30 * SECOND }, true));
}

#[test]
fn a_silent_socket_is_replaced_without_a_close_frame() {
    let mut bench = stateful();
    bench.machine.handle_timeout(30 * SECOND);
    let effects = bench.effects();
    assert!(
        matches!(effects[..], [Effect::CloseTransport { abort: true }, Effect::Open { .. }]),
        "{effects:?}"
    );
    bench.now = 30 * SECOND;
    bench.open();
    bench.frame(PING);
    // It has spoken since, so the next silence is another.
    bench.machine.handle_timeout(60 * SECOND);
    let effects = bench.effects();
    assert!(matches!(effects.last(), Some(Effect::Open { .. })), "{effects:?}");
    // What the silent socket did not take is for no other: the new one begins with a Sequence.
    let mut bench = stateful();
    bench.call(CallKind::Plain);
    bench.machine.handle_timeout(30 * SECOND);
    assert!(!bench.machine.has_transmit());
    bench.effects();
    bench.open();
    assert!(bench.sent().starts_with("{\"type\":9,"));
    // A socket that is lost may be closed in peace.
    let mut bench = stateful();
    bench.machine.handle_transport_closed(bench.now, lost());
    assert_eq!(bench.effects()[0], Effect::CloseTransport { abort: false });
}

#[test]
fn what_a_new_socket_has_to_send() {
    let mut bench = stateful();
    bench.call(CallKind::Plain);
    bench.sent();
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.machine.send("Meanwhile", Payload::Json("[]"), 0).unwrap();
    assert_eq!(bench.sent(), "", "there is no socket");
    bench.open();
    let first = r#"{"type":1,"invocationId":"0","target":"M","arguments":[]}"#;
    let second = r#"{"type":1,"target":"Meanwhile","arguments":[]}"#;
    let sequence = r#"{"type":9,"sequenceId":1}"#;
    assert_eq!(bench.sent(), format!("{sequence}\u{1e}{first}\u{1e}{second}\u{1e}{PING}"));
    // The answer that came is acknowledged in time, and not again with the next socket.
    assert_eq!(
        bench.frame("{\"type\":8,\"sequenceId\":2}\u{1e}{\"type\":3,\"invocationId\":\"0\"}\u{1e}"),
        ["0 ended"]
    );
    bench.now = SECOND;
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.sent(), "{\"type\":8,\"sequenceId\":1}\u{1e}");
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.open();
    assert_eq!(bench.sent(), format!("{{\"type\":9,\"sequenceId\":3}}\u{1e}{PING}"));
}

fn refreshing() -> Bench {
    let mut bench = Bench::new(|options| options.has_token_provider = true);
    bench.token(Ok(Some("first".into())));
    bench.answer(200, &ANSWER.replacen('{', "{\"tokenLifetimeSeconds\":3600,", 1));
    bench.open();
    bench.shake_hands();
    bench.effects();
    bench.sent();
    bench
}

/// Pings until then.
fn wait(bench: &mut Bench, until: u32) {
    while bench.now < until * SECOND {
        bench.now = bench.machine.poll_timeout().unwrap().min(until * SECOND);
        bench.frame(PING);
        bench.machine.handle_timeout(bench.now);
    }
}

#[test]
fn the_authentication_is_refreshed_before_its_end() {
    let mut bench = refreshing();
    wait(&mut bench, 3299);
    assert_eq!(bench.effects(), []);
    wait(&mut bench, 3300);
    assert_eq!(bench.effects(), [Effect::FetchRefreshToken]);
    assert_eq!(bench.machine.refresh(bench.now), Ok(()), "it joins the one that is under way");
    assert_eq!(bench.effects(), []);
    bench.machine.handle_refresh_token(bench.now, Ok(Some("second".into())));
    let [Effect::Refresh(request)] = &bench.effects()[..] else { panic!() };
    assert_eq!((request.url.path(), &request.token), ("/chat/refresh", &Some("second".into())));
    assert_eq!(request.connection_token, "token".into());
    bench.machine.handle_refresh(bench.now, UNIX_NOW, Ok((200, b"{\"tokenLifetimeSeconds\":60}")));
    assert_eq!(bench.effects(), [Effect::Refreshed(Ok(Some(60 * SECOND)))]);
    assert_eq!(bench.machine.link_token(), Some(&"second".into()));
    // An answer that is late means nothing.
    bench.machine.handle_refresh(bench.now, UNIX_NOW, Ok((200, b"{}")));
    assert_eq!(bench.effects(), []);
    // After half of a short life, and again after a failure.
    wait(&mut bench, 3300 + 31);
    assert_eq!(bench.effects(), [Effect::FetchRefreshToken]);
    bench.machine.handle_refresh_token(bench.now, Err("no network".into()));
    let failed = RefreshError::AccessToken("no network".into());
    assert_eq!(bench.effects(), [Effect::Refreshed(Err(failed))]);
    wait(&mut bench, 3300 + 31 + 5);
    assert_eq!(bench.effects(), [Effect::FetchRefreshToken]);
}

#[test]
fn every_refresh_ends() {
    let mut bench = refreshing();
    bench.machine.refresh(bench.now).unwrap();
    bench.effects();
    wait(&mut bench, 100);
    assert!(
        matches!(bench.effects()[..], [Effect::Refreshed(Err(RefreshError::Request(_)))]),
        "it takes too long"
    );
    bench.machine.refresh(bench.now).unwrap();
    bench.machine.handle_refresh_token(bench.now, Ok(None));
    bench.effects();
    bench.machine.stop(bench.now);
    let effects = bench.effects();
    assert!(effects.contains(&Effect::Refreshed(Err(RefreshError::NotConnected))), "{effects:?}");
    assert_eq!(bench.machine.refresh(bench.now), Err(RefreshError::NotConnected));
}

#[test]
fn a_rejected_token_is_renewed_once_for_every_attempt() {
    let mut bench = Bench::at(2);
    assert_eq!(bench.machine.handle_rejected_token(Some(&"t".into())), Renewal::Ask);
    bench.machine.handle_renewed_token(bench.now, UNIX_NOW, Some("u".into()));
    assert_eq!(bench.machine.handle_rejected_token(Some(&"t".into())), Renewal::Use(Some("u".into())));
    assert_eq!(bench.machine.handle_rejected_token(Some(&"u".into())), Renewal::Refused);
    bench.open();
    bench.shake_hands();
    for _ in 0..2 {
        assert_eq!(
            bench.machine.handle_rejected_token(Some(&"u".into())),
            Renewal::Ask,
            "whenever it is needed"
        );
    }
    bench.machine.stop(bench.now);
    assert_eq!(bench.machine.handle_rejected_token(Some(&"u".into())), Renewal::Refused);
}
