//! Losing a connection, and getting it back.

use super::*;

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
        (0, Duration::ZERO, &Arc::new(reason.clone()))
    );
    bench.machine.handle_retry_delay(bench.now, Some(2 * SECOND));
    assert_eq!(bench.effects(), [Effect::Reconnecting(Arc::new(reason))]);
    assert_eq!(bench.machine.poll_timeout(), Some(at(2)));
    bench.now = at(2);
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
    bench.now = at(1);
    bench.machine.handle_timeout(bench.now);
    bench.token(Err("no".into()));
    bench.effects();
    bench.machine.handle_retry_delay(bench.now, None);
    let last = Arc::new(ConnectionError::AccessToken("no".into()));
    let error = ConnectionError::RetriesExhausted { attempts: 1, elapsed: SECOND, last };
    assert_eq!(bench.effects(), [Effect::Disconnected(Arc::new(error))]);
}

/// A machine that takes a connection over from another one.
fn lost_elsewhere(automatic_reconnect: bool, failed: u32) -> Bench {
    let mut options = ClientOptions::new(HubUrl::parse("https://app/chat").unwrap());
    options.automatic_reconnect = automatic_reconnect;
    let machine = ClientMachine::new(options, RawCodec::default());
    let mut bench = Bench { machine, now: at(1) };
    bench.machine.start_lost(bench.now, lost(), failed, 20 * SECOND).unwrap();
    let again = bench.machine.start_lost(bench.now, lost(), failed, 20 * SECOND);
    assert_eq!(again, Err(ConnectionError::AlreadyStarted));
    assert_eq!(bench.machine.state(), ConnectionState::Reconnecting);
    bench
}

#[test]
fn a_connection_that_another_machine_had_comes_back_after_the_policys_delay() {
    let reason = Arc::new(ConnectionError::Transport(lost()));
    let mut bench = lost_elsewhere(true, 0);
    let effects = bench.effects();
    let [Effect::Lost(_), Effect::AskRetryPolicy(context)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((context.previous_retry_count, &context.reason), (0, &reason));
    bench.machine.handle_retry_delay(bench.now, Some(2 * SECOND));
    assert_eq!(bench.effects(), [Effect::Reconnecting(reason)]);
    assert_eq!(bench.machine.poll_timeout(), Some(at(3)));
    bench.now = at(3);
    bench.machine.handle_timeout(bench.now);
    bench.answer(200, ANSWER);
    bench.open();
    bench.shake_hands();
    assert!(matches!(bench.effects().last(), Some(Effect::Connected { again: true, .. })));
}

#[test]
fn attempts_of_another_machine_count() {
    let mut bench = lost_elsewhere(true, 3);
    let effects = bench.effects();
    let [Effect::AskRetryPolicy(context)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((context.previous_retry_count, context.elapsed), (3, 20 * SECOND));
    bench.machine.handle_retry_delay(bench.now, Some(SECOND));
    assert_eq!(bench.effects(), [], "the owner knows it already");
    bench.now = at(2);
    bench.machine.handle_timeout(bench.now);
    bench.answer(503, "");
    let effects = bench.effects();
    let Some(Effect::AskRetryPolicy(context)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((context.previous_retry_count, context.elapsed), (4, 21 * SECOND));
    bench.machine.handle_retry_delay(bench.now, None);
    let effects = bench.effects();
    let [Effect::Disconnected(error)] = &effects[..] else { panic!("{effects:?}") };
    assert!(matches!(**error, ConnectionError::RetriesExhausted { attempts: 4, .. }), "{error:?}");
}

#[test]
fn without_automatic_reconnect_the_loss_in_another_machine_is_the_end() {
    let mut bench = lost_elsewhere(false, 0);
    let error = Arc::new(ConnectionError::Transport(lost()));
    assert_eq!(bench.effects(), [Effect::Lost(Arc::clone(&error)), Effect::Disconnected(error)]);
    assert_eq!(bench.machine.state(), ConnectionState::Disconnected);
}

#[test]
fn stop_ends_what_another_machine_has_lost() {
    let mut bench = lost_elsewhere(true, 1);
    assert!(bench.machine.stop(bench.now));
    let effects = bench.effects();
    assert_eq!(effects.last(), Some(&Effect::Disconnected(Arc::new(ConnectionError::Stopped))));
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
    for (life, lost_at, kept) in [(3600, 3539, true), (3600, 3540, false), (40, 29, true), (40, 30, false)] {
        let mut bench = reconnecting(expiring(life));
        bench.now = at(lost_at);
        bench.machine.handle_transport_closed(bench.now, lost());
        bench.machine.handle_retry_delay(bench.now, Some(Duration::ZERO));
        let effects = bench.effects();
        assert_eq!(
            matches!(effects.last(), Some(Effect::Negotiate(_))),
            kept,
            "{lost_at} of {life}: {effects:?}"
        );
        // A start by the user always asks.
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
