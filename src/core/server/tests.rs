//! The server's machine on a virtual clock: every step, and every exit.

use std::time::Duration;

use super::*;
use crate::core::HubProtocol;
use crate::core::codec::{Frame, Payload, RawCodec};
use crate::core::hub::HubEvent;
use crate::core::message::Outcome;
use crate::core::moment::at;

const SECOND: Duration = Duration::from_secs(1);
const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const STATEFUL: &str = "{\"protocol\":\"json\",\"version\":2}\u{1e}";

/// A machine whose effects and messages are collected, at a clock that the test sets.
struct Bench {
    machine: ServerMachine<RawCodec>,
    now: Moment,
}

impl Bench {
    fn new(transport: Transport, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut options = ServerOptions::default();
        change(&mut options);
        let codecs = HubProtocol::ALL.iter().map(|protocol| RawCodec(*protocol)).collect();
        Self { machine: ServerMachine::new(Moment::ZERO, options, codecs, transport), now: Moment::ZERO }
    }

    /// After the handshake, with everything taken.
    fn connected(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut bench = Self::new(Transport::WebSockets, change);
        let handshake = if bench.machine.options.stateful_buffer.is_some() { STATEFUL } else { HANDSHAKE };
        assert_eq!(bench.receive(handshake), [""; 0]);
        assert_eq!((bench.effects(), bench.sent()), (vec![Effect::Connected], "{}\u{1e}".to_owned()));
        bench
    }

    fn stateful(limit: usize) -> Self {
        Self::connected(|options| options.stateful_buffer = Some(limit))
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.machine.poll_effect()).collect()
    }

    /// Takes a frame, and tells what of it the owner hears.
    fn receive(&mut self, text: &str) -> Vec<String> {
        self.receive_frame(Frame::Text(text))
    }

    fn receive_frame(&mut self, frame: Frame<'_>) -> Vec<String> {
        let mut spare = Vec::new();
        let Some(mut messages) = self.machine.handle_frame(self.now, frame, &mut spare) else {
            return Vec::new();
        };
        let mut events = Vec::new();
        while let Some(event) = self.machine.next_event(self.now, &mut messages) {
            events.push(described(event));
        }
        events
    }

    /// Everything that is to be sent, which the transport takes.
    fn sent(&mut self) -> String {
        let mut all = String::new();
        while let Some(transmit) = self.machine.poll_transmit(self.now) {
            let (Transmit::Handshake(bytes) | Transmit::Messages(bytes)) = transmit;
            all.push_str(std::str::from_utf8(&bytes).unwrap());
            self.machine.handle_transmitted(self.now);
        }
        all
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
    }

    fn lose_transport(&mut self) {
        self.machine.handle_transport_closed(self.now, TransportError::new("reset"));
    }

    /// The last effects of a connection, whose end has to be final.
    fn end(&mut self, abort: bool) -> DisconnectReason {
        let mut effects = self.effects();
        let Some(Effect::Disconnected(reason)) = effects.pop() else { panic!("{effects:?}") };
        assert_eq!(effects, [Effect::CloseTransport { abort }]);
        self.is_over();
        reason
    }

    fn is_over(&mut self) {
        self.sent();
        let machine = &mut self.machine;
        assert!(!machine.is_connected() && !machine.may_read() && machine.poll_timeout().is_none());
        assert_eq!(machine.handle_transport(self.now), Err(NotResumable));
        assert_eq!(machine.send("m", Payload::Json("[]")), Err(NotConnected));
        assert_eq!(machine.invoke("m", Payload::Json("[]")), Err(NotConnected));
        assert_eq!(machine.send_encoded(b"x".to_vec()), Err(NotConnected));
        machine.close(None, true);
        machine.abort();
        machine.handle_left();
        machine.handle_timeout(Moment::MAX);
        assert_eq!(self.receive("{\"type\":6}\u{1e}"), [""; 0]);
        self.lose_transport();
        assert_eq!((self.effects(), self.sent()), (vec![], String::new()));
    }
}

fn described(event: HubEvent<'_, Payload<'_>>) -> String {
    let text = |payload: Payload<'_>| String::from_utf8_lossy(payload.as_ref()).into_owned();
    match event {
        HubEvent::Called { call, streams, invocation } => {
            let (target, arguments) = (invocation.target, text(invocation.arguments));
            format!("{} {call:?} {target}{arguments}", if streams { "stream" } else { "call" })
        }
        HubEvent::Completed { id, outcome: Outcome::Value(value) } => format!("result {id} {}", text(value)),
        HubEvent::Completed { id, outcome: Outcome::Error(error) } => format!("error {id} {error}"),
        HubEvent::Completed { id, outcome: Outcome::Void } => format!("done {id}"),
        HubEvent::ForeignCompletion { invocation_id, .. } => format!("foreign {invocation_id}"),
        HubEvent::Cancelled { call } => format!("cancelled {call}"),
        HubEvent::Uploaded { stream_id, item } => format!("item {stream_id} {}", text(item)),
        HubEvent::UploadCompleted { stream_id, error } => format!("uploaded {stream_id} {error:?}"),
        event => format!("{event:?}"),
    }
}

fn call(id: &str) -> String {
    format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"m\",\"arguments\":[]}}\u{1e}")
}

#[test]
fn the_whole_way_up_and_down() {
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    assert!(bench.machine.may_read() && !bench.machine.is_connected() && bench.machine.codec().is_none());
    let (record, rest) = HANDSHAKE.split_at(5);
    assert_eq!(bench.receive(record), [""; 0]);
    assert_eq!((bench.effects(), bench.sent()), (vec![], String::new()));
    assert_eq!(bench.receive(&format!("{rest}{}", call("7"))), ["call Some(0) m[]"]);
    assert_eq!(bench.effects(), [Effect::Connected]);
    assert_eq!(bench.machine.codec(), Some(&RawCodec(HubProtocol::Json)));
    assert!(bench.machine.answer(0, Outcome::Value(Payload::Json("1"))));
    assert!(!bench.machine.answer(0, Outcome::Void), "only once");
    // The answer to the handshake is a frame of its own.
    let first = bench.machine.poll_transmit(bench.now);
    assert_eq!(first, Some(Transmit::Handshake(b"{}\x1e".to_vec())));
    assert_eq!(bench.machine.poll_transmit(bench.now), None, "one frame at a time");
    bench.machine.handle_transmitted(bench.now);
    assert_eq!(bench.sent(), "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\u{1e}");
    bench.receive("{\"type\":7,\"error\":\"bored\"}\u{1e}");
    assert_eq!(bench.end(false), DisconnectReason::ClientClosed { error: Some("bored".into()) });
}

#[test]
fn handshakes_are_refused_with_a_reason() {
    for (transport, stateful, request, reason) in [
        (
            Transport::WebSockets,
            None,
            "{\"protocol\":\"xml\",\"version\":1}",
            "The protocol 'xml' is not supported. The server speaks 'json'",
        ),
        (
            Transport::WebSockets,
            Some(1),
            "{\"protocol\":\"json\",\"version\":3}",
            "The server does not support version 3 of the 'json' protocol.",
        ),
        (Transport::WebSockets, None, "{\"type\":6}", "`protocol` is missing"),
        (Transport::WebSockets, None, "hello", "malformed"),
        #[cfg(feature = "msgpack")]
        (
            Transport::ServerSentEvents,
            None,
            "{\"protocol\":\"messagepack\",\"version\":1}",
            "a transport for bytes",
        ),
    ] {
        let mut bench = Bench::new(transport, |options| options.stateful_buffer = stateful);
        bench.receive(&format!("{request}\u{1e}{}", call("1")));
        let sent = bench.sent();
        assert!(sent.starts_with("{\"error\":\"") && sent.contains(reason), "{request}: {sent}");
        let end = bench.end(false);
        assert!(matches!(&end, DisconnectReason::HandshakeRefused(text) if text.contains(reason)), "{end}");
    }
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    bench.receive(STATEFUL);
    assert_eq!((bench.effects(), bench.machine.is_stateful()), (vec![Effect::Connected], false));
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    bench.receive("{\"protocol\":\"JSON\",\"version\":0}\u{1e}");
    assert_eq!(bench.effects(), [Effect::Connected]);
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    bench.receive(&format!("{{{}", " ".repeat(20_000)));
    assert!(matches!(bench.end(false), DisconnectReason::HandshakeRefused(_)));
}

#[test]
fn a_handshake_has_its_limit() {
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    assert_eq!(bench.machine.poll_timeout(), Some(at(15)));
    bench.pass(14 * SECOND);
    assert_eq!(bench.effects(), []);
    bench.pass(SECOND);
    assert_eq!(bench.sent(), "{\"error\":\"The handshake took too long.\"}\u{1e}");
    assert_eq!(bench.end(false), DisconnectReason::HandshakeTimeout { limit: 15 * SECOND });
}

#[test]
fn pings_follow_silence_and_the_end_follows_the_clients() {
    let mut bench = Bench::connected(|_| {});
    assert_eq!(bench.machine.poll_timeout(), Some(at(15)));
    bench.pass(15 * SECOND);
    assert_eq!(bench.sent(), "{\"type\":6}\u{1e}");
    bench.now += SECOND;
    bench.receive("{\"type\":6}\u{1e}");
    bench.pass(14 * SECOND);
    assert_eq!(bench.sent(), "{\"type\":6}\u{1e}");
    bench.pass(16 * SECOND);
    let closed = bench.sent();
    assert!(closed.contains("\"type\":7") && closed.contains("\"allowReconnect\":true"), "{closed}");
    assert_eq!(bench.end(false), DisconnectReason::ClientTimeout { limit: 30 * SECOND });
}

#[test]
fn polls_show_presence_without_pings() {
    let mut bench = Bench::new(Transport::LongPolling, |_| {});
    bench.receive(HANDSHAKE);
    assert_eq!(bench.sent(), "{}\u{1e}");
    for _ in 0..10 {
        bench.now += 20 * SECOND;
        bench.machine.handle_seen(bench.now);
        bench.machine.handle_timeout(bench.now);
        assert_eq!((bench.sent(), bench.effects().contains(&Effect::Detached)), (String::new(), false));
        assert_eq!(bench.machine.poll_timeout(), Some(bench.now + 30 * SECOND));
    }
    bench.pass(30 * SECOND);
    assert_eq!(bench.end(false), DisconnectReason::ClientTimeout { limit: 30 * SECOND });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let mut bench = Bench::connected(|_| {});
    bench.now += 20 * SECOND;
    bench.machine.send("m", Payload::Json("[]")).unwrap();
    assert!(bench.machine.poll_transmit(bench.now).is_some());
    assert!(!bench.machine.may_read(), "it has to take what it is sent first");
    // It is not read, so that it cannot show that it is there: its silence is not what ends it.
    bench.pass(10 * SECOND);
    assert_eq!(bench.effects(), []);
    bench.pass(19 * SECOND);
    assert_eq!(bench.effects(), []);
    bench.pass(SECOND);
    assert_eq!(bench.end(true), DisconnectReason::SlowClient { limit: 30 * SECOND });

    let mut taken = Bench::connected(|_| {});
    taken.machine.send("m", Payload::Json("[]")).unwrap();
    assert!(taken.machine.poll_transmit(taken.now).is_some());
    taken.pass(29 * SECOND);
    taken.machine.handle_transmitted(taken.now);
    assert!(taken.machine.may_read());
    taken.pass(SECOND);
    assert_eq!(taken.effects(), [], "what it sent meanwhile is still to be read");
    taken.pass(4 * SECOND);
    assert_eq!(taken.end(false), DisconnectReason::ClientTimeout { limit: 30 * SECOND });
}

/// Its silence shows nothing, and it is pinged as ever.
#[test]
fn a_client_that_is_not_read_is_pinged() {
    let mut bench = Bench::connected(|_| {});
    bench.pass(15 * SECOND);
    bench.machine.send("m", Payload::Json("[]")).unwrap();
    assert!(bench.machine.poll_transmit(bench.now).is_some() && !bench.machine.may_read());
    bench.pass(15 * SECOND);
    assert_eq!(bench.effects(), []);
    assert!(bench.machine.poll_timeout() > Some(bench.now), "nothing stays due");
    bench.machine.handle_transmitted(bench.now);
    assert!(bench.sent().contains("{\"type\":6}"));
}

#[test]
fn a_client_that_does_not_read_its_answers_has_to_wait() {
    let mut bench = Bench::connected(|options| options.message_limit = 1 << 20);
    let calls: String = (0..100).map(|n| call(&n.to_string())).collect();
    let (large, mut spare, mut answered) = ("x".repeat(10_000), Vec::new(), 0);
    let mut messages = bench.machine.handle_frame(bench.now, Frame::Text(&calls), &mut spare).unwrap();
    for round in 0.. {
        while let Some(HubEvent::Called { call: Some(call), .. }) =
            bench.machine.next_event(bench.now, &mut messages)
        {
            bench.machine.answer(call, Outcome::Error(large.as_str().into()));
            answered += 1;
        }
        if bench.machine.may_read() {
            assert!(round > 2 && answered == 100, "{round} {answered}");
            break;
        }
        let Some(Transmit::Messages(frame)) = bench.machine.poll_transmit(bench.now) else { panic!() };
        assert!(frame.len() < 300_000, "{}", frame.len());
        bench.machine.handle_transmitted(bench.now);
    }
}

#[test]
fn the_clients_calls_are_limited() {
    let mut bench = Bench::connected(|options| options.peer_limit = 2);
    let calls = ["1", "2", "3", "1"].map(call).concat();
    assert_eq!(bench.receive(&calls), ["call Some(0) m[]", "call Some(1) m[]"]);
    let sent = bench.sent();
    assert_eq!(sent.matches("\"type\":3").count(), 2, "{sent}");
    assert!(bench.machine.answer(0, Outcome::Void));
    assert_eq!(bench.receive(&call("3")), ["call Some(2) m[]"]);
    // Without an id nothing is to be remembered, nor answered.
    let send = "{\"type\":1,\"target\":\"n\",\"arguments\":[1]}\u{1e}";
    assert_eq!(bench.receive(send), ["call None n[1]"]);
    let uploads = "{\"type\":1,\"target\":\"n\",\"arguments\":[],\"streamIds\":[\"a\",\"b\",\"c\"]}\u{1e}";
    assert_eq!(bench.receive(uploads), [""; 0]);
    assert_eq!((bench.effects(), bench.machine.is_connected()), (vec![], true));
}

/// aiosignalr sends every frame so.
#[test]
fn json_in_binary_frames_is_read() {
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    let whole = format!("{HANDSHAKE}{}{}", call("1"), call("2"));
    let mut calls = Vec::new();
    for piece in whole.as_bytes().chunks(7) {
        calls.extend(bench.receive_frame(Frame::Binary(piece)));
    }
    assert_eq!(calls, ["call Some(0) m[]", "call Some(1) m[]"]);
    assert!(bench.machine.is_connected());
}

#[test]
fn a_message_that_breaks_the_protocol_ends_the_connection() {
    for (message, reason) in [
        ("nonsense", "malformed JSON"),
        ("{\"type\":1,\"arguments\":[]}", "`target` is missing"),
        (&"x".repeat(33_000)[..], "more than 32768 bytes"),
    ] {
        let mut bench = Bench::connected(|_| {});
        assert_eq!(bench.receive(&format!("{}{message}\u{1e}{}", call("1"), call("2"))).len(), 1);
        let sent = bench.sent();
        assert!(sent.contains("\"type\":7") && sent.contains(reason), "{sent}");
        assert!(
            sent.contains("Connection closed with an error.") && sent.contains("\"allowReconnect\":true"),
            "{sent}"
        );
        assert!(matches!(bench.end(false), DisconnectReason::Protocol(_)));
    }
    let mut bench = Bench::connected(|_| {});
    assert!(bench.machine.handle_frame(bench.now, Frame::Binary(b"\x02\x91\x06"), &mut Vec::new()).is_none());
    assert!(matches!(bench.end(false), DisconnectReason::Protocol(ProtocolError::WrongKind(_))));
    let broken = ProtocolError::Message("the frame is broken");
    let mut bench = Bench::connected(|_| {});
    bench.machine.handle_protocol_error(broken.clone());
    assert!(bench.sent().contains("the frame is broken"));
    assert_eq!(bench.end(false), DisconnectReason::Protocol(broken.clone()));
    let mut early = Bench::new(Transport::WebSockets, |_| {});
    early.machine.handle_protocol_error(broken);
    assert!(early.sent().starts_with("{\"error\":\"The handshake request is malformed"));
    assert!(matches!(early.end(false), DisconnectReason::HandshakeRefused(_)));
}

#[test]
fn clients_are_asked_by_ids_of_the_servers_own() {
    let mut bench = Bench::connected(|_| {});
    let first = bench.machine.invoke("ask", Payload::Json("[1]")).unwrap();
    let second = bench.machine.begin_call().unwrap();
    let id = bench.machine.call_id(second).unwrap();
    let message =
        format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"ask\",\"arguments\":[]}}\u{1e}");
    bench.machine.send_encoded(message.clone().into_bytes()).unwrap();
    let first_id = bench.machine.call_id(first).unwrap();
    let sent = bench.sent();
    let asked =
        format!("{{\"type\":1,\"invocationId\":\"{first_id}\",\"target\":\"ask\",\"arguments\":[1]}}\u{1e}");
    assert_eq!(sent, asked + &message);
    assert!(first_id.starts_with('s') && id.starts_with('s') && first_id != id);
    let answer = |id: &str| format!("{{\"type\":3,\"invocationId\":\"{id}\",\"result\":5}}\u{1e}");
    let other = bench.receive(&answer(&first.to_string()));
    assert_eq!(other, [format!("foreign {first}")], "a number of the client's own");
    assert_eq!(bench.receive(&answer(&first_id)), [format!("result {first} 5")]);
    assert_eq!(bench.receive(&answer(&first_id)), [""; 0], "only once");
    assert!(bench.machine.forget(second) && !bench.machine.forget(second));
    assert_eq!(bench.receive(&answer(&id)), [""; 0]);
    assert_eq!(bench.machine.call_id(second), None);
}

#[test]
fn streams_go_both_ways() {
    let mut bench = Bench::connected(|_| {});
    let stream = "{\"type\":4,\"invocationId\":\"1\",\"target\":\"ticks\",\"arguments\":[]}\u{1e}";
    assert_eq!(bench.receive(stream), ["stream Some(0) ticks[]"]);
    assert!(bench.machine.send_item(0, Payload::Json("1")));
    assert_eq!(bench.receive("{\"type\":5,\"invocationId\":\"1\"}\u{1e}"), ["cancelled 0"]);
    assert!(bench.machine.expects_answer(0));
    assert!(bench.machine.answer(0, Outcome::Void) && !bench.machine.send_item(0, Payload::Json("2")));
    assert!(!bench.machine.expects_answer(0));
    let item = "{\"type\":2,\"invocationId\":\"1\",\"item\":1}\u{1e}";
    assert_eq!(bench.sent(), format!("{item}{{\"type\":3,\"invocationId\":\"1\"}}\u{1e}"));

    let upload = "{\"type\":1,\"target\":\"up\",\"arguments\":[],\"streamIds\":[\"a\",\"b\"]}\u{1e}";
    let item = |id: &str| format!("{{\"type\":2,\"invocationId\":\"{id}\",\"item\":1}}\u{1e}");
    let end = |id: &str| format!("{{\"type\":3,\"invocationId\":\"{id}\"}}\u{1e}");
    assert_eq!(bench.receive(&format!("{upload}{}{}", item("a"), item("b"))).len(), 3);
    bench.machine.forget_upload("b");
    assert_eq!(
        bench.receive(&format!("{}{}", item("b"), end("b"))),
        ["foreign b"],
        "nobody waits for it here"
    );
    assert_eq!(bench.receive(&format!("{}{}", item("a"), end("a"))), ["item a 1", "uploaded a None"]);
}

#[test]
fn the_server_closes_in_every_phase() {
    let mut bench = Bench::new(Transport::WebSockets, |_| {});
    bench.machine.close(Some("full"), false);
    assert_eq!(bench.sent(), "", "there is no message before the handshake");
    let closed = DisconnectReason::Closed { error: Some("full".into()), allow_reconnect: false };
    assert_eq!(bench.end(false), closed);

    let mut bench = Bench::connected(|_| {});
    bench.machine.send("last", Payload::Json("[]")).unwrap();
    bench.machine.close(None, true);
    assert!(bench.sent().ends_with("{\"type\":7,\"allowReconnect\":true}\u{1e}"));
    assert_eq!(bench.end(false), DisconnectReason::Closed { error: None, allow_reconnect: true });

    let mut bench = Bench::stateful(100);
    bench.lose_transport();
    assert_eq!(bench.effects(), [Effect::CloseTransport { abort: true }, Effect::Detached]);
    bench.machine.close(None, false);
    let closed = DisconnectReason::Closed { error: None, allow_reconnect: false };
    assert_eq!(bench.effects(), [Effect::Disconnected(closed)]);
    bench.is_over();
}

#[test]
fn a_connection_is_cut_in_every_phase() {
    for mut bench in
        [Bench::new(Transport::WebSockets, |_| {}), Bench::connected(|_| {}), Bench::stateful(100)]
    {
        bench.machine.abort();
        assert_eq!(bench.end(true), DisconnectReason::Aborted);
    }
    let mut bench = Bench::stateful(100);
    bench.lose_transport();
    bench.effects();
    bench.machine.abort();
    assert_eq!(bench.effects(), [Effect::Disconnected(DisconnectReason::Aborted)]);
    bench.is_over();
}

#[test]
fn a_clients_text_is_short() {
    let mut bench = Bench::connected(|_| {});
    bench.receive(&format!("{{\"type\":7,\"error\":\"{}\"}}\u{1e}", "x".repeat(10_000)));
    let DisconnectReason::ClientClosed { error: Some(text) } = bench.end(false) else { panic!() };
    assert!(text.len() <= 4096, "{}", text.len());
}

#[test]
fn the_end_of_a_transport_ends_the_connection() {
    for mut bench in [Bench::new(Transport::WebSockets, |_| {}), Bench::connected(|_| {})] {
        bench.lose_transport();
        assert_eq!(bench.end(true), DisconnectReason::Transport(TransportError::new("reset")));
    }
    for mut bench in
        [Bench::new(Transport::WebSockets, |_| {}), Bench::connected(|_| {}), Bench::stateful(100)]
    {
        bench.machine.handle_left();
        assert_eq!(bench.end(false), DisconnectReason::ClientClosed { error: None });
    }
}

#[test]
fn a_stateful_connection_goes_on_with_another_transport() {
    let mut bench = Bench::stateful(1000);
    assert!(bench.machine.is_stateful());
    for n in ["[1]", "[2]", "[3]"] {
        bench.machine.send("m", Payload::Json(n)).unwrap();
    }
    bench.sent();
    assert_eq!(bench.receive(&format!("{}{{\"type\":8,\"sequenceId\":1}}\u{1e}", call("1"))).len(), 1);
    bench.lose_transport();
    assert_eq!(bench.effects(), [Effect::CloseTransport { abort: true }, Effect::Detached]);
    assert!(bench.machine.is_connected() && !bench.machine.may_read());
    assert_eq!(bench.receive(&call("lost")), [""; 0], "there is no transport that it could come from");
    // What is sent meanwhile waits: answers, messages for many, calls.
    assert!(bench.machine.answer(0, Outcome::Void));
    bench.machine.send_encoded(b"{\"many\":1}\x1e".to_vec()).unwrap();
    assert_eq!(bench.sent(), "");
    bench.now += 14 * SECOND;
    bench.machine.handle_timeout(bench.now);
    assert_eq!(bench.machine.handle_transport(bench.now), Ok(()));
    assert_eq!(bench.effects(), [Effect::Resumed]);
    let message = |n| format!("{{\"type\":1,\"target\":\"m\",\"arguments\":[{n}]}}\u{1e}");
    let answer = "{\"type\":3,\"invocationId\":\"1\"}\u{1e}{\"many\":1}\u{1e}";
    let sequence = "{\"type\":9,\"sequenceId\":2}\u{1e}";
    assert_eq!(bench.sent(), format!("{sequence}{}{}{answer}", message(2), message(3)));

    // The client sends again what is not acknowledged, which came already, and something new.
    let again = format!("{{\"type\":9,\"sequenceId\":1}}\u{1e}{}{}", call("1"), call("2"));
    assert_eq!(bench.receive(&again), ["call Some(1) m[]"]);
    assert_eq!(bench.machine.poll_timeout(), Some(bench.now + SECOND));
    bench.pass(SECOND);
    assert_eq!(bench.sent(), "{\"type\":8,\"sequenceId\":2}\u{1e}");
    bench.machine.handle_left();
    assert_eq!(bench.end(false), DisconnectReason::ClientClosed { error: None });
}

#[test]
fn a_message_in_pieces_does_not_go_on_over_another_transport() {
    let mut bench = Bench::stateful(1000);
    assert_eq!(bench.receive("{\"type\":1,\"target\""), [""; 0]);
    bench.lose_transport();
    bench.machine.handle_transport(bench.now).unwrap();
    let again = format!("{{\"type\":9,\"sequenceId\":1}}\u{1e}{}", call("1"));
    assert_eq!(bench.receive(&again), ["call Some(0) m[]"]);
}

#[test]
fn a_transport_that_does_not_come_in_time_is_the_end() {
    let mut bench = Bench::stateful(1000);
    bench.lose_transport();
    assert_eq!(bench.effects().len(), 2);
    assert_eq!(bench.machine.poll_timeout(), Some(at(15)));
    bench.pass(14 * SECOND);
    assert_eq!(bench.effects(), []);
    bench.pass(SECOND);
    let reason = DisconnectReason::Transport(TransportError::new("reset"));
    assert_eq!(bench.effects(), [Effect::Disconnected(reason)]);
    bench.is_over();
}

#[test]
fn a_client_may_come_before_its_old_transport_has_ended() {
    let mut bench = Bench::stateful(1000);
    bench.machine.send("m", Payload::Json("[]")).unwrap();
    assert!(bench.machine.poll_transmit(bench.now).is_some(), "it is on its way, and will not be taken");
    assert_eq!(bench.machine.handle_transport(bench.now), Ok(()));
    assert_eq!(bench.effects(), [Effect::CloseTransport { abort: true }, Effect::Resumed]);
    assert!(bench.sent().contains("\"target\":\"m\""));

    let mut plain = Bench::connected(|_| {});
    assert_eq!(plain.machine.handle_transport(plain.now), Err(NotResumable));
    let mut early = Bench::new(Transport::WebSockets, |options| options.stateful_buffer = Some(1));
    assert_eq!(early.machine.handle_transport(early.now), Err(NotResumable));
    assert_eq!(early.receive(HANDSHAKE), [""; 0]);
    assert!(early.machine.is_connected() && !early.machine.is_stateful(), "version 1 asks for none");
    assert_eq!(early.machine.handle_transport(early.now), Err(NotResumable));
}

#[test]
fn a_silent_or_slow_client_with_a_stateful_connection_may_come_back() {
    let mut silent = Bench::stateful(1000);
    silent.pass(15 * SECOND);
    assert_eq!(silent.sent(), "{\"type\":6}\u{1e}");
    silent.pass(15 * SECOND);
    assert_eq!(silent.effects(), [Effect::CloseTransport { abort: true }, Effect::Detached]);
    assert_eq!(silent.machine.handle_transport(silent.now), Ok(()));

    let mut slow = Bench::stateful(1000);
    slow.machine.send("m", Payload::Json("[]")).unwrap();
    assert!(slow.machine.poll_transmit(slow.now).is_some());
    slow.pass(30 * SECOND);
    assert_eq!(slow.effects(), [Effect::CloseTransport { abort: true }, Effect::Detached]);
    assert_eq!(slow.machine.handle_transport(slow.now), Ok(()));
    assert_eq!(slow.sent().matches("\"type\":1").count(), 1);
}

#[test]
fn a_full_buffer_waits_for_acknowledgements() {
    let mut bench = Bench::stateful(50);
    assert!(!bench.machine.is_full());
    for _ in 0..2 {
        bench.machine.send("m", Payload::Json("[]")).unwrap();
    }
    bench.sent();
    assert!(bench.machine.is_full() && bench.machine.may_read(), "acknowledgements have to be read");
    bench.receive("{\"type\":8,\"sequenceId\":2}\u{1e}");
    assert!(!bench.machine.is_full());
    for bad in [3, -1] {
        let mut bench = Bench::stateful(50);
        bench.receive(&format!("{{\"type\":8,\"sequenceId\":{bad}}}\u{1e}"));
        let refused = ProtocolError::Sequence { sequence_id: bad };
        assert_eq!(bench.end(false), DisconnectReason::Protocol(refused));
    }
}
