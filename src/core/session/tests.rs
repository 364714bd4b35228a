use super::recover::FRUITLESS_RESUMES;
use super::*;
use crate::core::negotiate::{NegotiateAnswer, SkipReason, Transports};

/// The wall clock of the tests, which tokens count by.
const UNIX_NOW: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
const ANSWER: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

/// A session whose effects are collected, at a clock that the test sets.
struct Bench {
    session: Session<&'static str, &'static str, ()>,
    now: Moment,
}

impl Bench {
    fn new(change: impl FnOnce(&mut SessionOptions)) -> Self {
        let mut options = SessionOptions::new(HubUrl::parse("https://app/chat").unwrap());
        change(&mut options);
        let mut bench = Self { session: Session::new(options), now: Moment::ZERO };
        bench.session.start(bench.now);
        bench
    }

    fn effects(&mut self) -> Vec<Effect<&'static str, &'static str>> {
        std::iter::from_fn(|| self.session.poll_effect()).collect()
    }

    fn token(&mut self, token: Result<Option<AccessToken>, String>) {
        self.session.handle_token(self.now, UNIX_NOW, token);
    }

    fn answer(&mut self, status: u16, body: &str) {
        let answer = NegotiateAnswer { status, retry_after: None, body: body.as_bytes() };
        self.session.handle_negotiate(self.now, Ok(answer));
    }

    /// Up to the given step: 0 fetching a token, 1 negotiating, 2 opening, 3 shaking hands, 4 connected.
    fn at(step: u32) -> Self {
        let mut bench = Self::new(|options| options.has_token_provider = true);
        for step in 0..step {
            match step {
                0 => bench.token(Ok(Some("t".into()))),
                1 => bench.answer(200, ANSWER),
                2 => bench.session.handle_open(bench.now, Ok(())),
                _ => assert_eq!(bench.session.handle_handshake(bench.now, b"{}\x1e"), b""),
            }
        }
        bench
    }

    fn end(&mut self) -> (ConnectionError, Vec<Pending<&'static str, &'static str>>) {
        let mut effects = self.effects();
        let Some(Effect::Disconnected(error)) = effects.pop() else { panic!("{effects:?}") };
        let calls = match effects.pop() {
            Some(Effect::Lost { error: lost, calls }) => {
                assert_eq!(lost, error);
                assert_eq!(effects.pop(), Some(Effect::CloseTransport));
                calls
            }
            last => {
                assert_eq!(last, Some(Effect::CloseTransport));
                Vec::new()
            }
        };
        assert_eq!(self.session.poll_timeout(), None);
        (error, calls)
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
    assert_eq!(
        bench.effects(),
        [Effect::Open {
            transport: Transport::WebSockets,
            url: HubUrl::parse("https://svc/client/?hub=chat&id=token").unwrap(),
            token: Some("svc".into()),
            redirected_token: true,
        }]
    );
    bench.session.handle_open(bench.now, Ok(()));
    assert_eq!(
        bench.effects(),
        [Effect::SendHandshake(b"{\"protocol\":\"json\",\"version\":1}\x1e".to_vec())]
    );
    assert!(bench.session.is_handshaking());
    assert_eq!(bench.session.handle_handshake(bench.now, b"{"), b"");
    assert_eq!(bench.session.handle_handshake(bench.now, b"}\x1e{\"type\":6}\x1e"), b"{\"type\":6}\x1e");
    let effects = bench.effects();
    let [Effect::Connected(info), Effect::SendPing] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(info.connection_id.as_deref(), Some("id"));
    assert_eq!(info.url.to_text(), "https://svc/client/?hub=chat");
    assert!(bench.session.is_connected());
}

#[test]
fn a_restart_begins_at_the_hub_again() {
    let mut bench = Bench::at(1);
    bench.answer(200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#);
    bench.answer(500, "");
    assert_eq!(bench.end().0.status(), Some(500));
    bench.session.start(bench.now);
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
        bench.session.stop();
        let mut effects = bench.effects();
        assert_eq!(effects.remove(0) == Effect::SendClose, step == 4, "step {step}");
        assert_eq!(effects.pop(), Some(Effect::Disconnected(ConnectionError::Stopped)), "step {step}");
        bench.session.stop();
        assert_eq!(bench.effects(), []);
    }
}

#[test]
fn each_step_has_its_limit() {
    for (step, limit) in [(0, 100), (1, 100), (3, 15)] {
        let mut bench = Bench::at(step);
        bench.effects();
        assert_eq!(bench.session.poll_timeout(), Some(limit * SECOND), "step {step}");
        bench.session.handle_timeout(limit * SECOND - Duration::from_millis(1));
        assert_eq!(bench.effects(), []);
        bench.session.handle_timeout(limit * SECOND);
        let (error, _) = bench.end();
        assert!(
            matches!(&error, ConnectionError::Timeout { limit: l, .. } if *l == limit * SECOND),
            "{error}"
        );
        assert!(error.is_retryable());
    }
    let mut bench = Bench::at(2);
    bench.effects();
    assert_eq!(bench.session.poll_timeout(), Some(100 * SECOND));
    bench.session.handle_timeout(100 * SECOND);
    let (error, _) = bench.end();
    assert!(error.is_retryable() && error.to_string().contains("too long"), "{error}");
}

#[test]
fn the_network_may_fail_at_every_step() {
    let lost = || TransportError::new("lost");
    let mut bench = Bench::at(1);
    bench.session.handle_negotiate(bench.now, Err(lost()));
    assert!(matches!(bench.end().0, ConnectionError::NegotiateRequest { .. }));
    let mut bench = Bench::at(2);
    bench.session.handle_open(bench.now, Err(lost()));
    let failed = SkippedTransport { transport: "WebSockets".into(), reason: SkipReason::Failed(lost()) };
    assert_eq!(bench.end().0, ConnectionError::NoTransport { skipped: vec![failed] });
    for step in 3..=4 {
        let mut bench = Bench::at(step);
        bench.session.handle_transport_closed(bench.now, lost());
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
        bench.session.handle_handshake(bench.now, chunk);
        assert_eq!(bench.end().0, wanted);
    }
}

#[test]
fn every_pending_call_ends_with_the_connection() {
    type Cut = fn(&mut Bench);
    let cuts: [Cut; 6] = [
        |b| b.session.stop(),
        |b| b.session.handle_slow_consumer(b.now),
        |b| b.session.handle_transport_closed(b.now, TransportError::new("lost")),
        |b| b.session.handle_protocol_error(b.now, ProtocolError::Incomplete),
        |b| b.session.handle_timeout(30 * SECOND),
        |b| {
            let close: HubMessage<'_, &str> =
                HubMessage::Close { error: Some("bye".into()), allow_reconnect: true };
            assert_eq!(b.session.handle_message(b.now, close), HubEvent::None);
        },
    ];
    for cut in cuts {
        let mut bench = Bench::at(4);
        let calls = bench.session.calls().unwrap();
        assert_eq!(calls.begin(Pending::Call("a")), 0);
        assert_eq!(calls.begin(Pending::Call("b")), 1);
        assert_eq!(calls.begin(Pending::Stream("c")), 2);
        assert_eq!(calls.abandon(0).unwrap().call, Pending::Call("a"));
        cut(&mut bench);
        assert_eq!(bench.end().1, [Pending::Call("b"), Pending::Stream("c")]);
        assert!(bench.session.calls().is_none());
    }
}

#[test]
fn pings_and_the_servers_silence() {
    let mut bench = Bench::at(4);
    bench.effects();
    bench.session.handle_sent(SECOND);
    assert_eq!(bench.session.poll_timeout(), Some(16 * SECOND));
    bench.session.handle_timeout(16 * SECOND);
    assert_eq!(bench.effects(), [Effect::SendPing]);
    bench.session.handle_received(20 * SECOND);
    bench.session.handle_timeout(49 * SECOND);
    assert_eq!(bench.effects(), [Effect::SendPing]);
    bench.session.handle_timeout(50 * SECOND);
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
    let [Effect::Open { url, token: None, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!(url.to_text(), "https://app/chat");

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
    bench.session.start(bench.now);
    bench.token(Err("late".into()));
    bench.session.handle_negotiate(bench.now, Err(TransportError::new("late")));
    bench.session.handle_open(bench.now, Err(TransportError::new("late")));
    assert_eq!(bench.effects(), []);
    bench.session.stop();
    bench.effects();
    bench.session.handle_transport_closed(bench.now, TransportError::new("late"));
    bench.session.handle_protocol_error(bench.now, ProtocolError::Incomplete);
    bench.session.handle_timeout(1000 * SECOND);
    assert_eq!(bench.effects(), []);
}

const THREE: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","availableTransports":[
    {"transport":"WebSockets","transferFormats":["Text"]},{"transport":"CarrierPigeon","transferFormats":["Text"]},
    {"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text"]}]}"#;

/// A session with a token provider and every transport, at the opening of the first.
fn opening(change: impl FnOnce(&mut SessionOptions)) -> Bench {
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
    bench.session.handle_open(bench.now, Err(status(403)));
    // The connection's id is spent, so negotiate is asked again.
    assert!(matches!(bench.effects()[..], [Effect::CloseTransport, Effect::Negotiate(_)]));
    bench.answer(200, THREE);
    let [Effect::Open { transport, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!(*transport, Transport::ServerSentEvents);
    bench.session.handle_timeout(100 * SECOND);
    bench.answer(200, THREE);
    assert!(matches!(bench.effects().last(), Some(Effect::Open { transport: Transport::LongPolling, .. })));
    bench.session.handle_open(bench.now, Err(lost()));
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
    bench.session.handle_open(bench.now, Err(lost()));
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
    bench.session.handle_open(bench.now, Ok(()));
    bench.session.handle_handshake(bench.now, b"{}\x1e");
    bench.effects();
    bench
}

#[test]
fn a_lost_connection_comes_back_after_the_policys_delay() {
    let mut bench = reconnecting("opaque".into());
    assert_eq!(bench.session.calls().unwrap().begin(Pending::Call("pending")), 0);
    bench.session.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let [Effect::CloseTransport, Effect::Lost { calls, .. }, Effect::AskRetryPolicy(context)] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(calls, &[Pending::Call("pending")]);
    let reason = ConnectionError::Transport(lost());
    assert_eq!(
        (context.previous_retry_count, context.elapsed, &context.reason),
        (0, Duration::ZERO, &reason)
    );
    bench.session.handle_retry_delay(bench.now, Some(2 * SECOND));
    assert_eq!(bench.effects(), [Effect::Reconnecting(reason)]);
    assert_eq!(bench.session.poll_timeout(), Some(2 * SECOND));
    bench.now = 2 * SECOND;
    bench.session.handle_timeout(bench.now);
    // A token that does not tell its end is asked for again.
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.token(Ok(None));
    bench.answer(503, "");
    let effects = bench.effects();
    let Some(Effect::AskRetryPolicy(context)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((context.previous_retry_count, context.elapsed), (1, 2 * SECOND));
    assert_eq!(context.reason.status(), Some(503));
    bench.session.handle_retry_delay(bench.now, Some(Duration::ZERO));
    bench.token(Ok(None));
    bench.answer(200, ANSWER);
    bench.session.handle_open(bench.now, Ok(()));
    bench.session.handle_handshake(bench.now, b"{}\x1e");
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::Connected(_))));
    // The next loss counts from the beginning.
    bench.session.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let Some(Effect::AskRetryPolicy(context)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(context.previous_retry_count, 0);
}

#[test]
fn a_policy_that_gives_up() {
    let mut bench = reconnecting("opaque".into());
    bench.session.handle_transport_closed(bench.now, lost());
    bench.effects();
    bench.session.handle_retry_delay(bench.now, None);
    assert_eq!(bench.effects(), [Effect::Disconnected(ConnectionError::Transport(lost()))]);

    let mut bench = reconnecting("opaque".into());
    bench.session.handle_transport_closed(bench.now, lost());
    bench.session.handle_retry_delay(bench.now, Some(SECOND));
    bench.now = SECOND;
    bench.session.handle_timeout(bench.now);
    bench.token(Err("no".into()));
    bench.effects();
    bench.session.handle_retry_delay(bench.now, None);
    let last = Box::new(ConnectionError::AccessToken("no".into()));
    let error = ConnectionError::RetriesExhausted { attempts: 1, elapsed: SECOND, last };
    assert_eq!(bench.effects(), [Effect::Disconnected(error)]);
}

#[test]
fn stop_ends_the_wait_for_a_retry_and_a_wake_cuts_it_short() {
    let mut bench = reconnecting("opaque".into());
    bench.session.handle_transport_closed(bench.now, lost());
    bench.session.handle_retry_delay(bench.now, Some(30 * SECOND));
    bench.effects();
    bench.session.handle_wake(bench.now);
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.session.stop();
    assert_eq!(bench.end().0, ConnectionError::Stopped);
}

#[test]
fn the_server_decides_whether_its_close_allows_a_reconnect() {
    for allow_reconnect in [true, false] {
        let mut bench = reconnecting("opaque".into());
        let close: HubMessage<'_, &str> = HubMessage::Close { error: None, allow_reconnect };
        bench.session.handle_message(bench.now, close);
        let asked = matches!(bench.effects().last(), Some(Effect::AskRetryPolicy(_)));
        assert_eq!(asked, allow_reconnect);
    }
}

#[test]
fn a_token_is_kept_until_shortly_before_its_end() {
    for (life, at, kept) in [(3600, 3539, true), (3600, 3540, false), (40, 29, true), (40, 30, false)] {
        let mut bench = reconnecting(expiring(life));
        bench.now = at * SECOND;
        bench.session.handle_transport_closed(bench.now, lost());
        bench.session.handle_retry_delay(bench.now, Some(Duration::ZERO));
        let effects = bench.effects();
        assert_eq!(matches!(effects.last(), Some(Effect::Negotiate(_))), kept, "{at} of {life}: {effects:?}");
        // A start of the user's own always asks.
        bench.session.stop();
        bench.effects();
        bench.session.start(bench.now);
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
    bench.session.handle_open(bench.now, Ok(()));
    let handshake = b"{\"protocol\":\"json\",\"version\":2}\x1e".to_vec();
    assert_eq!(bench.effects().pop(), Some(Effect::SendHandshake(handshake)));
    bench.session.handle_handshake(bench.now, b"{}\x1e");
    bench.effects();
    bench
}

#[test]
fn a_stateful_connection_gets_a_new_socket_and_nobody_notices() {
    let mut bench = stateful();
    assert_eq!(bench.session.calls().unwrap().begin(Pending::Call("pending")), 0);
    bench.session.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let [Effect::CloseTransport, Effect::Open { url, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(url.to_text(), "https://app/chat?id=token");
    assert!(bench.session.is_connected() && !bench.session.can_send());
    assert_eq!(bench.session.calls().unwrap().begin(Pending::Call("meanwhile")), 1);
    bench.session.handle_open(bench.now, Ok(()));
    assert_eq!(bench.effects(), [Effect::Resumed, Effect::SendPing]);
    assert!(bench.session.can_send());
}

#[test]
fn a_resume_that_fails_is_the_end_of_the_connection() {
    type Failure = fn(&mut Bench);
    let failures: [Failure; 2] =
        [|b| b.session.handle_open(b.now, Err(status(404))), |b| b.session.handle_timeout(30 * SECOND)];
    for fail in failures {
        let mut bench = stateful();
        assert_eq!(bench.session.calls().unwrap().begin(Pending::Call("pending")), 0);
        bench.session.handle_transport_closed(bench.now, lost());
        bench.effects();
        fail(&mut bench);
        assert_eq!(bench.end(), (ConnectionError::Transport(lost()), vec![Pending::Call("pending")]));
    }
}

/// A server that accepts sockets and drops them would be asked for new ones without end.
#[test]
fn resumes_without_a_word_from_the_server_end() {
    let mut bench = stateful();
    for _ in 0..FRUITLESS_RESUMES {
        bench.session.handle_transport_closed(bench.now, lost());
        bench.session.handle_open(bench.now, Ok(()));
    }
    bench.effects();
    bench.session.handle_transport_closed(bench.now, lost());
    assert_eq!(bench.end().0, ConnectionError::Transport(lost()));
}

#[test]
fn a_resume_asks_for_a_token_when_the_old_one_is_about_to_expire() {
    let mut bench = stateful();
    bench.now = 3600 * SECOND;
    bench.session.handle_transport_closed(bench.now, lost());
    assert_eq!(bench.effects(), [Effect::CloseTransport, Effect::FetchToken]);
    bench.token(Ok(Some("new".into())));
    let [Effect::Open { token, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!(token, &Some("new".into()));
}

#[test]
fn a_resume_that_is_tried_again_asks_for_no_other_token() {
    let mut bench = stateful();
    bench.now = 3600 * SECOND;
    bench.session.handle_transport_closed(bench.now, lost());
    bench.token(Ok(Some("new".into())));
    bench.effects();
    bench.session.handle_open(bench.now, Err(lost()));
    let [Effect::Open { token, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!(token, &Some("new".into()));
}

#[test]
fn long_polling_keeps_itself_alive() {
    let mut bench = opening(|options| options.transports.allowed = Transport::LongPolling.into());
    bench.session.handle_open(bench.now, Ok(()));
    bench.session.handle_handshake(bench.now, b"{}\x1e");
    assert!(!bench.effects().contains(&Effect::SendPing));
    assert_eq!(bench.session.poll_timeout(), None);
}

/// An empty token means to go without, whoever it comes from.
#[test]
fn an_empty_renewed_token_is_none() {
    let mut bench = stateful();
    bench.session.handle_renewed_token(bench.now, UNIX_NOW, Some(&"".into()));
    assert_eq!(bench.session.info().and_then(|info| info.token.as_ref()), None);
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
    bench.session.handle_open(bench.now, Ok(()));
    bench.session.handle_handshake(bench.now, b"{}\x1e");
    bench.effects();
    bench.session.handle_renewed_token(bench.now, UNIX_NOW, Some(&"newer of svc".into()));
    bench.session.handle_transport_closed(bench.now, lost());
    let effects = bench.effects();
    let [Effect::CloseTransport, Effect::Open { token, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(token, &Some("newer of svc".into()));
    bench.session.handle_open(bench.now, Err(status(404)));
    bench.session.handle_retry_delay(bench.now, Some(Duration::ZERO));
    let effects = bench.effects();
    let Some(Effect::Negotiate(request)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((request.url.host(), &request.token), ("app", &Some(expiring(3600))));
}
