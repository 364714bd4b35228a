//! A new socket for the same connection.

use super::*;

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
        [|b| b.machine.handle_open(b.now, Err(status(404))), |b| b.machine.handle_timeout(at(30))];
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
    bench.now = at(3600);
    bench.machine.handle_transport_closed(bench.now, lost());
    assert_eq!(bench.effects(), [Effect::CloseTransport { abort: false }, Effect::FetchToken]);
    bench.token(Ok(Some("new".into())));
    assert!(matches!(bench.effects()[..], [Effect::Open { .. }]));
    assert_eq!(bench.machine.link_token(), Some(&"new".into()));
}

#[test]
fn a_resume_that_is_tried_again_asks_for_no_other_token() {
    let mut bench = stateful();
    bench.now = at(3600);
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.token(Ok(Some("new".into())));
    bench.effects();
    bench.machine.handle_open(bench.now, Err(lost()));
    assert!(matches!(bench.effects()[..], [Effect::Open { .. }]));
    assert_eq!(bench.machine.link_token(), Some(&"new".into()));
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
        bench.now = at(seconds);
        assert_eq!(
            bench.frame("{\"type\":8,\"sequenceId\":0}\u{1e}{\"type\":9,\"sequenceId\":1}\u{1e}"),
            [""; 0]
        );
        assert_eq!(bench.frame(item), [""; 0], "a duplicate");
        bench.machine.handle_timeout(bench.now);
    }
    assert_eq!(bench.effects(), []);
    bench.machine.handle_timeout(at(30));
    // The silence after a resume is final: another socket would be as silent.
    assert_eq!(bench.end(), (ConnectionError::ServerTimeout { limit: 30 * SECOND }, true));
}

/// A driver may be in the midst of a frame when its socket is given up.
#[test]
fn what_is_left_of_a_frame_of_a_lost_socket_is_not_counted() {
    let mut bench = stateful();
    bench.machine.handle_transport_closed(bench.now, lost());
    let left = HubMessage::CancelInvocation::<&str> { headers: Vec::new(), invocation_id: "1".into() };
    assert_eq!(bench.machine.handle_message(bench.now, left), HubEvent::None);
    bench.effects();
    bench.open();
    let first = "{\"type\":9,\"sequenceId\":1}\u{1e}{\"type\":1,\"target\":\"M\",\"arguments\":[]}\u{1e}";
    assert_eq!(bench.frame(first), ["None M"]);
}

#[test]
fn a_silent_socket_is_replaced_without_a_close_frame() {
    let mut bench = stateful();
    bench.machine.handle_timeout(at(30));
    let effects = bench.effects();
    assert!(
        matches!(effects[..], [Effect::CloseTransport { abort: true }, Effect::Open { .. }]),
        "{effects:?}"
    );
    bench.now = at(30);
    bench.open();
    bench.frame(PING);
    // It has spoken since, so the next silence is another.
    bench.machine.handle_timeout(at(60));
    let effects = bench.effects();
    assert!(matches!(effects.last(), Some(Effect::Open { .. })), "{effects:?}");
    // What the silent socket did not take is for no other: the new one begins with a Sequence.
    let mut bench = stateful();
    bench.call(CallKind::Plain);
    bench.machine.handle_timeout(at(30));
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
    bench.now = at(1);
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.sent(), "{\"type\":8,\"sequenceId\":1}\u{1e}");
    bench.machine.handle_transport_closed(bench.now, lost());
    bench.open();
    assert_eq!(bench.sent(), format!("{{\"type\":9,\"sequenceId\":3}}\u{1e}{PING}"));
}
