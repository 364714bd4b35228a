//! The token of a connection that is open.

use super::*;

/// An empty token means no token, wherever it comes from.
#[test]
fn an_empty_renewed_token_is_none() {
    let mut bench = stateful();
    let rejected = bench.machine.link_token().cloned();
    assert_eq!(bench.machine.handle_rejected_token(rejected.as_ref()), Renewal::Ask);
    bench.machine.handle_renewed_token(bench.now, UNIX_NOW, Ok(Some("".into()))).unwrap();
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
    bench.machine.refresh(bench.now).unwrap();
    bench.machine.handle_refresh_token(bench.now, Ok(Some("of the app server".into())));
    let answer: &[u8] = br#"{"accessToken":"newer of svc"}"#;
    bench.machine.handle_refresh(bench.now, UNIX_NOW, Ok((200, answer)));
    bench.effects();
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
fn wait(bench: &mut Bench, until: u64) {
    while bench.now < at(until) {
        bench.now = bench.machine.poll_timeout().unwrap().min(at(until));
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
    bench.machine.handle_renewed_token(bench.now, UNIX_NOW, Ok(Some("u".into()))).unwrap();
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

/// The provider may answer when the connection whose request was rejected is gone, and another is with another server.
#[test]
fn a_token_that_was_renewed_for_an_earlier_connection_is_for_no_other() {
    let mut bench = Bench::new(|options| {
        options.has_token_provider = true;
        options.automatic_reconnect = true;
    });
    bench.token(Ok(Some("t".into())));
    bench.answer(200, ANSWER);
    bench.open();
    bench.shake_hands();
    assert_eq!(bench.machine.handle_rejected_token(Some(&"t".into())), Renewal::Ask);
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.machine.handle_retry_delay(bench.now, Some(Duration::ZERO));
    bench.token(Ok(Some("u".into())));
    bench.answer(200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"svc"}"#);
    bench.answer(200, ANSWER);
    let late = bench.machine.handle_renewed_token(bench.now, UNIX_NOW, Ok(Some("late".into())));
    assert_eq!((late, bench.machine.link_token()), (Ok(None), Some(&"svc".into())));
}

/// Long polling says goodbye by a request, which a server refuses without the token.
#[test]
fn a_transport_that_closes_still_has_its_token() {
    for step in [3, 4] {
        let mut bench = Bench::at(step);
        bench.machine.stop(bench.now);
        assert_eq!(bench.machine.link_token(), Some(&"t".into()), "step {step}");
        let mut bench = Bench::at(step);
        bench.machine.handle_protocol_error(bench.now, ProtocolError::Incomplete);
        assert_eq!(bench.machine.link_token(), Some(&"t".into()), "step {step}");
    }
    let mut bench = Bench::at(4);
    bench.machine.stop(bench.now);
    bench.effects();
    bench.machine.start(bench.now).unwrap();
    bench.token(Ok(None));
    bench.answer(200, ANSWER);
    assert_eq!(bench.machine.link_token(), None, "the next one has its own");
}
