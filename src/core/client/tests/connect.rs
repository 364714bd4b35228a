//! Connecting.

use super::*;

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
fn each_step_has_its_limit() {
    for (step, limit) in [(0, 100), (1, 100), (3, 15)] {
        let mut bench = Bench::at(step);
        bench.effects();
        assert_eq!(bench.machine.poll_timeout(), Some(at(limit)), "step {step}");
        bench.machine.handle_timeout(at(limit - 1) + Duration::from_millis(999));
        assert_eq!(bench.effects(), []);
        bench.machine.handle_timeout(at(limit));
        let (error, _) = bench.end();
        assert!(
            matches!(&error, ConnectionError::Timeout { limit: l, .. } if *l == Duration::from_secs(limit)),
            "{error}"
        );
        assert!(error.is_retryable());
    }
    let mut bench = Bench::at(2);
    bench.effects();
    assert_eq!(bench.machine.poll_timeout(), Some(at(100)));
    bench.machine.handle_timeout(at(100));
    let (error, _) = bench.end();
    assert!(error.is_retryable() && error.to_string().contains("too long"), "{error}");
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
        bench.machine.handle_frame(bench.now, Frame::Binary(chunk), &mut Vec::new());
        assert_eq!(bench.end().0, wanted);
    }
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

    // Without negotiate nothing names another transport of the server.
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
    bench.machine.handle_timeout(at(1000));
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

#[test]
fn the_next_transport_takes_over_and_every_reason_is_kept() {
    let mut bench = opening(|_| {});
    bench.machine.handle_open(bench.now, Err(status(403)));
    // The connection's id can be used only once, so negotiate is asked again.
    assert!(matches!(bench.effects()[..], [Effect::CloseTransport { .. }, Effect::Negotiate(_)]));
    bench.answer(200, THREE);
    let [Effect::Open { transport, .. }] = &bench.effects()[..] else { panic!() };
    assert_eq!(*transport, Transport::ServerSentEvents);
    bench.machine.handle_timeout(at(100));
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

#[test]
fn long_polling_keeps_itself_alive() {
    let mut bench = opening(|options| options.transports.allowed = Transport::LongPolling.into());
    bench.open();
    bench.shake_hands();
    bench.effects();
    assert_eq!(bench.sent(), "{\"protocol\":\"json\",\"version\":1}\u{1e}", "no ping");
    assert_eq!(bench.machine.poll_timeout(), None);
}
