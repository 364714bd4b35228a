//! How the time for what a peer sends grows with its length: whatever it is made of, four times as much must not take much
//! more than four times as long. By hand: `cargo bench --features msgpack,unstable-machines --bench growth`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hubwire::HubProtocol;
use hubwire::core::Moment;
use hubwire::core::codec::{Frame, RawCodec};
use hubwire::core::handshake::HandshakeRequest;
use hubwire::core::hub::{CallKind, HubMachine, Role};
use hubwire::core::message::{Headers, HubMessage, Invocation, Outcome};
use hubwire::core::negotiate::Transport;
use hubwire::core::server::{ServerMachine, ServerOptions};
use hubwire::core::sse::EventStream;
use hubwire::core::{json, msgpack};

const LARGE: usize = 1 << 22;

type Message<'a> = HubMessage<'a, &'a [u8]>;

fn main() {
    println!("{:<44}{:>12}{:>12}{:>10}", "", "n", "4 n", "growth");
    for protocol in HubProtocol::ALL {
        let name = protocol.name();
        row(&format!("{name}: headers"), 250, |n| read(*protocol, &[call(n, 0)], n));
        row(&format!("{name}: stream ids"), 250, |n| read(*protocol, &[call(0, n)], n));
        row(&format!("{name}: escapes in an id"), 2_000, |n| {
            let id = "\"\u{1}\n\u{e9}".repeat(n);
            read(*protocol, &[completion(&id)], n)
        });
        row(&format!("{name}: calls that are answered at the end"), 1_000, |n| {
            read(*protocol, &(0..n).map(|id| call_of(&id.to_string(), &[])).collect::<Vec<_>>(), n)
        });
        row(&format!("{name}: calls, and cancellations of them"), 1_000, |n| {
            let calls = (0..n).map(|id| call_of(&id.to_string(), &[]));
            let cancellations = (0..n).map(|id| HubMessage::CancelInvocation {
                headers: Headers::new(),
                invocation_id: id.to_string().into(),
            });
            read(*protocol, &calls.chain(cancellations).collect::<Vec<_>>(), n)
        });
        row(&format!("{name}: uploads, an item and an end of each"), 1_000, |n| {
            let calls = (0..n).map(|id| call_of(&id.to_string(), &[format!("u{id}")]));
            let items = (0..n).map(|id| item(&format!("u{id}")));
            let ends = (0..n).rev().map(|id| completion(&format!("u{id}")));
            read(*protocol, &calls.chain(items).chain(ends).collect::<Vec<_>>(), n)
        });
        row(&format!("{name}: one message in frames of a byte"), 4_000, |n| {
            let bytes = write(*protocol, &[completion(&"x".repeat(n))]);
            frames(*protocol, bytes.chunks(1), n)
        });
        row(&format!("{name}: pings in one frame"), 4_000, |n| {
            read(*protocol, &(0..n).map(|_| HubMessage::Ping).collect::<Vec<_>>(), n)
        });
    }
    row("json: nested arguments", 32, |n| {
        let text = format!(
            "{{\"type\":1,\"target\":\"m\",\"arguments\":[{}{}]}}\u{1e}",
            "[".repeat(n - 2),
            "]".repeat(n - 2)
        );
        frames(HubProtocol::Json, [text.as_bytes()], n)
    });
    row("json: members of an object", 4_000, |n| {
        let mut text = "{\"type\":1,\"target\":\"m\",\"arguments\":[{".to_owned();
        (0..n).for_each(|n| write!(text, "\"m{n}\":{n},").expect("a text"));
        text.push_str("\"\":0}]}\u{1e}");
        frames(HubProtocol::Json, [text.as_bytes()], n)
    });
    row("json: members of a message", 4_000, |n| {
        let mut text = "{\"type\":6".to_owned();
        (0..n).for_each(|n| write!(text, ",\"m{n}\":{n}").expect("a text"));
        text.push_str("}\u{1e}");
        frames(HubProtocol::Json, [text.as_bytes()], n)
    });
    row("events: lines of one event", 4_000, |n| {
        let text = "data: x\r\n".repeat(n) + "\r\n";
        time(n, || {
            let mut stream = EventStream::default();
            text.as_bytes().chunks(1).for_each(|piece| stream.feed(piece, |_| ()).expect("events"));
        })
    });
    row("own calls with an upload each, ended in order", 1_000, |n| own_calls(n, 1));
    row("own calls, ended in order beside 1 000 uploads", 1_000, |n| own_calls(n, 0));
}

/// Prints how long the input of a size takes, and four times of it.
fn row(name: &str, size: usize, mut run: impl FnMut(usize) -> Duration) {
    let (one, four) = (run(size), run(4 * size));
    let growth = four.as_secs_f64() / one.as_secs_f64();
    println!("{name:<44}{:>10.0} \u{b5}s{:>9.0} \u{b5}s{growth:>9.1}", micros(one), micros(four));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The best of several rounds.
fn time(size: usize, mut run: impl FnMut()) -> Duration {
    let rounds = (200_000 / size).clamp(5, 200);
    let round = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..rounds).map(round).min().unwrap_or_default()
}

fn call(headers: usize, streams: usize) -> Message<'static> {
    HubMessage::Invocation(Invocation {
        headers: (0..headers).map(|n| (format!("name{n}").into(), "value".into())).collect(),
        invocation_id: Some("1".into()),
        target: "m".into(),
        arguments: b"",
        stream_ids: (0..streams).map(|n| format!("s{n}").into()).collect(),
    })
}

fn call_of(id: &str, streams: &[String]) -> Message<'static> {
    let stream_ids = streams.iter().map(|id| id.clone().into()).collect();
    let (invocation_id, target) = (Some(id.to_owned().into()), "m".into());
    HubMessage::Invocation(Invocation {
        headers: Headers::new(),
        invocation_id,
        target,
        arguments: b"",
        stream_ids,
    })
}

fn completion(id: &str) -> Message<'static> {
    let (headers, invocation_id) = (Headers::new(), id.to_owned().into());
    HubMessage::Completion { headers, invocation_id, outcome: Outcome::Void }
}

fn item(id: &str) -> Message<'static> {
    HubMessage::StreamItem { headers: Headers::new(), invocation_id: id.to_owned().into(), item: b"1" }
}

fn write(protocol: HubProtocol, messages: &[Message<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        let is_json = protocol == HubProtocol::Json;
        let list: &[u8] = if is_json { b"[]" } else { b"\x90" };
        let message = message.clone().map(|payload| if payload.is_empty() { list } else { payload });
        if is_json { json::write(&mut out, &message) } else { msgpack::write(&mut out, &message) }
    }
    out
}

/// How long a server takes for these messages of a client in one frame.
fn read(protocol: HubProtocol, messages: &[Message<'_>], size: usize) -> Duration {
    let bytes = write(protocol, messages);
    frames(protocol, [&bytes[..]], size)
}

fn frames<'f>(
    protocol: HubProtocol,
    frames: impl IntoIterator<Item = &'f [u8]> + Clone,
    size: usize,
) -> Duration {
    time(size, || {
        let now = Moment::ZERO;
        let mut options = ServerOptions::default();
        (options.message_limit, options.peer_limit) = (LARGE, LARGE);
        let mut server = ServerMachine::new(now, options, vec![RawCodec(protocol)], Transport::WebSockets);
        let mut hello = Vec::new();
        HandshakeRequest { protocol: protocol.name().into(), version: 1 }.write(&mut hello);
        assert!(server.handle_frame(now, Frame::Binary(&hello), &mut Vec::new()).is_none());
        while server.poll_transmit(now).is_some() {
            server.handle_transmitted(now);
        }
        for frame in frames.clone() {
            let mut spare = Vec::new();
            let messages = server.handle_frame(now, Frame::Binary(frame), &mut spare);
            let mut messages = messages.expect("a connection");
            while server.next_event(now, &mut messages).is_some() {}
        }
        assert!(server.is_connected());
        // The answers, from the first on.
        (0..size as u64).for_each(|call| {
            server.answer(call, Outcome::Void);
        });
    })
}

fn own_calls(count: usize, uploads: usize) -> Duration {
    time(count, || {
        let mut hub = HubMachine::new(Role::Client, LARGE);
        hub.begin_uploads(None, 1_000);
        let begin = |_| {
            let call = hub.begin(CallKind::Plain);
            hub.begin_uploads(Some(call), uploads);
            call
        };
        let calls: Vec<u64> = (0..count).map(begin).collect();
        for call in calls {
            let id = hub.id(call);
            hub.handle_message(completion(id.as_str()));
        }
    })
}
