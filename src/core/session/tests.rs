use super::*;

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

    fn answer(&mut self, status: u16, body: &str) {
        let answer = NegotiateAnswer { status, retry_after: None, body: body.as_bytes() };
        self.session.handle_negotiate(self.now, Ok(answer));
    }

    /// Up to the given step: 0 fetching a token, 1 negotiating, 2 opening, 3 shaking hands, 4 connected.
    fn at(step: u32) -> Self {
        let mut bench = Self::new(|options| options.has_token_provider = true);
        for step in 0..step {
            match step {
                0 => bench.session.handle_token(bench.now, Ok(Some("t".into()))),
                1 => bench.answer(200, ANSWER),
                2 => bench.session.handle_open(bench.now, Ok(())),
                _ => assert_eq!(bench.session.handle_handshake(bench.now, b"{}\x1e"), b""),
            }
        }
        bench
    }

    fn end(&mut self) -> (ConnectionError, Vec<Pending<&'static str, &'static str>>) {
        let mut effects = self.effects();
        let Some(Effect::Disconnected { error, calls }) = effects.pop() else { panic!("{effects:?}") };
        assert_eq!(effects.pop(), Some(Effect::CloseTransport));
        assert_eq!(self.session.poll_timeout(), None);
        (error, calls)
    }
}

#[test]
fn the_whole_way_up() {
    let mut bench = Bench::new(|options| options.has_token_provider = true);
    assert_eq!(bench.effects(), [Effect::FetchToken]);
    bench.session.handle_token(bench.now, Ok(Some("app".into())));
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
            token: Some("svc".into())
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
    bench.session.handle_token(bench.now, Ok(None));
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
        assert_eq!(
            effects.pop(),
            Some(Effect::Disconnected { error: ConnectionError::Stopped, calls: vec![] }),
            "step {step}"
        );
        bench.session.stop();
        assert_eq!(bench.effects(), []);
    }
}

#[test]
fn each_step_has_its_limit() {
    for (step, limit) in [(0, 100), (1, 100), (2, 100), (3, 15)] {
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
}

#[test]
fn the_network_may_fail_at_every_step() {
    let lost = || TransportError::new("lost");
    let mut bench = Bench::at(1);
    bench.session.handle_negotiate(bench.now, Err(lost()));
    assert!(matches!(bench.end().0, ConnectionError::NegotiateRequest { .. }));
    let mut bench = Bench::at(2);
    bench.session.handle_open(bench.now, Err(lost()));
    assert_eq!(bench.end().0, ConnectionError::Transport(lost()));
    for step in 3..=4 {
        let mut bench = Bench::at(step);
        bench.session.handle_transport_closed(lost());
        assert_eq!(bench.end().0, ConnectionError::Transport(lost()));
    }
}

#[test]
fn a_token_provider_that_fails() {
    let mut bench = Bench::at(0);
    bench.session.handle_token(bench.now, Err("no network".into()));
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
        |b| b.session.handle_slow_consumer(),
        |b| b.session.handle_transport_closed(TransportError::new("lost")),
        |b| b.session.handle_protocol_error(ProtocolError::Incomplete),
        |b| b.session.handle_timeout(30 * SECOND),
        |b| {
            let close: HubMessage<'_, &str> =
                HubMessage::Close { error: Some("bye".into()), allow_reconnect: true };
            assert_eq!(b.session.handle_message(close), HubEvent::None);
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
    bench.session.handle_token(bench.now, Err("late".into()));
    bench.session.handle_negotiate(bench.now, Err(TransportError::new("late")));
    bench.session.handle_open(bench.now, Err(TransportError::new("late")));
    assert_eq!(bench.effects(), []);
    bench.session.stop();
    bench.effects();
    bench.session.handle_transport_closed(TransportError::new("late"));
    bench.session.handle_protocol_error(ProtocolError::Incomplete);
    bench.session.handle_timeout(1000 * SECOND);
    assert_eq!(bench.effects(), []);
}
