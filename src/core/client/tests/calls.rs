//! Calls, and what comes from the server.

use super::*;

#[test]
fn every_pending_call_ends_with_the_connection() {
    type Cut = fn(&mut Bench);
    let cuts: [Cut; 6] = [
        |b| assert!(b.machine.stop(b.now)),
        |b| b.machine.handle_slow_consumer(b.now),
        |b| b.machine.handle_transport_closed(b.now, TransportError::new("lost")),
        |b| b.machine.handle_protocol_error(b.now, ProtocolError::Incomplete),
        |b| b.machine.handle_timeout(at(30)),
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

/// An id that the server chose never ends a call of the client.
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
    bench.now = at(1);
    assert!(bench.sent().ends_with(PING));
    assert_eq!(bench.machine.poll_timeout(), Some(at(16)));
    bench.now = at(16);
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.sent(), PING);
    bench.now = at(20);
    bench.frame(PING);
    bench.machine.handle_timeout(at(49));
    assert_eq!(bench.effects(), []);
    bench.machine.handle_timeout(at(50));
    assert_eq!(bench.end().0, ConnectionError::ServerTimeout { limit: 30 * SECOND });
}

/// While the client does not read, silence shows nothing, until it has looked.
#[test]
fn a_silent_server_is_noticed_by_a_client_that_does_not_read() {
    let full = Load { is_full: true, ..Load::default() };
    let hold = |bench: &mut Bench, seconds: u64| {
        bench.now = at(seconds);
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
