//! The client's and the server's machine against each other, over a socket that is cut again and again.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Effect, ServerMachine, ServerOptions, Transmit, TransportError};
use crate::core::client::{ClientMachine, ClientOptions, Effect as ClientEffect};
use crate::core::codec::{Frame, Payload, RawCodec};
use crate::core::hub::{CallKind, HubEvent};
use crate::core::message::Outcome;
use crate::core::negotiate::{NegotiateAnswer, Transport};
use crate::core::url::HubUrl;
use crate::core::{HubProtocol, Moment};

const ANSWER: &[u8] =
    br#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token","useStatefulReconnect":true,
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

const CALLS: usize = 200;

/// Both ends with what is on its way between them, and what each has heard.
struct Pair {
    client: ClientMachine<RawCodec>,
    server: ServerMachine<RawCodec>,
    now: Moment,
    protocol: HubProtocol,
    up: VecDeque<(bool, Vec<u8>)>,
    down: VecDeque<(bool, Vec<u8>)>,
    called: Vec<String>,
    answered: Vec<u64>,
    pushed: Vec<String>,
    /// Of a generator of numbers, so that each run is the same.
    seed: u64,
    cuts: usize,
}

fn text(payload: Payload<'_>) -> String {
    String::from_utf8_lossy(payload.as_ref()).into_owned()
}

impl Pair {
    fn connect(seed: u64, protocol: HubProtocol) -> Self {
        let mut options = ClientOptions::new(HubUrl::parse("https://app/chat").unwrap());
        options.use_stateful_reconnect = true;
        let mut client = ClientMachine::new(options, RawCodec(protocol));
        let now = Moment::ZERO;
        client.start(now).unwrap();
        client.handle_token(now, Duration::ZERO, Ok(None));
        client.handle_negotiate(
            now,
            Ok(NegotiateAnswer { status: 200, body: ANSWER, ..NegotiateAnswer::default() }),
        );
        client.handle_open(now, Ok(()));
        let options = ServerOptions { stateful_buffer: Some(100_000), ..ServerOptions::default() };
        let codecs = HubProtocol::ALL.iter().map(|protocol| RawCodec(*protocol)).collect();
        let server = ServerMachine::new(now, options, codecs, Transport::WebSockets);
        let (up, down) = (VecDeque::new(), VecDeque::new());
        let (called, answered, pushed) = (Vec::new(), Vec::new(), Vec::new());
        let mut pair =
            Self { client, server, now, protocol, up, down, called, answered, pushed, seed, cuts: 0 };
        while !(pair.client.is_connected() && pair.server.is_connected()) {
            pair.exchange();
        }
        pair
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33).is_multiple_of(one_in)
    }

    /// Each end writes what it has and reads one frame.
    fn exchange(&mut self) {
        let frame = |transmit| match transmit {
            Transmit::Handshake(bytes) => (true, bytes),
            Transmit::Messages(bytes) => (false, bytes),
        };
        self.up.extend(self.client.poll_transmit(self.now).map(frame));
        self.down.extend(self.server.poll_transmit(self.now).map(frame));
        self.server.handle_transmitted(self.now);
        if let Some((is_handshake, bytes)) = self.up.pop_front() {
            self.server_reads(is_handshake, &bytes);
        }
        if let Some((is_handshake, bytes)) = self.down.pop_front() {
            self.client_reads(is_handshake, &bytes);
        }
        while let Some(effect) = self.client.poll_effect() {
            assert!(!matches!(effect, ClientEffect::Lost(_) | ClientEffect::Disconnected(_)), "{effect:?}");
        }
        while let Some(effect) = self.server.poll_effect() {
            assert!(!matches!(effect, Effect::Disconnected(_)), "{effect:?}");
        }
    }

    fn frame<'f>(&self, is_handshake: bool, bytes: &'f [u8]) -> Frame<'f> {
        match (is_handshake, self.protocol) {
            (true, _) | (_, HubProtocol::Json) => Frame::Text(std::str::from_utf8(bytes).unwrap()),
            #[cfg(feature = "msgpack")]
            (false, HubProtocol::MessagePack) => Frame::Binary(bytes),
        }
    }

    fn server_reads(&mut self, is_handshake: bool, bytes: &[u8]) {
        let (frame, mut spare) = (self.frame(is_handshake, bytes), Vec::new());
        let Some(mut messages) = self.server.handle_frame(self.now, frame, &mut spare) else { return };
        while let Some(event) = self.server.next_event(self.now, &mut messages) {
            let HubEvent::Called { call: Some(call), invocation, .. } = event else { panic!("{event:?}") };
            self.called.push(text(invocation.arguments));
            self.server.answer(call, Outcome::Void);
            self.server.send("push", invocation.arguments).unwrap();
        }
    }

    fn client_reads(&mut self, is_handshake: bool, bytes: &[u8]) {
        let (frame, mut spare) = (self.frame(is_handshake, bytes), Vec::new());
        let Some(mut messages) = self.client.handle_frame(self.now, frame, &mut spare) else { return };
        while let Some(event) = self.client.next_event(self.now, &mut messages) {
            match event {
                HubEvent::Completed { id, .. } => self.answered.push(id),
                HubEvent::Called { invocation, .. } => self.pushed.push(text(invocation.arguments)),
                event => panic!("{event:?}"),
            }
        }
    }

    /// The socket is gone with what is on its way; either end may be the first to see it. There is a new one soon.
    fn cut(&mut self) {
        self.cuts += 1;
        self.up.clear();
        self.down.clear();
        let lost = || TransportError::new("reset");
        if self.chance(2) {
            self.server.handle_transport_closed(self.now, lost());
        }
        self.client.handle_transport_closed(self.now, lost());
        self.now += Duration::from_millis(300);
        self.client.handle_open(self.now, Ok(()));
        self.server.handle_transport(self.now).unwrap();
    }

    fn run(&mut self) {
        let payloads: Vec<Vec<u8>> = (0..CALLS).map(|n| self.payload(n)).collect();
        let (mut begun, mut heard_before) = (payloads.iter(), 0);
        for _ in 0..20 * CALLS {
            if self.chance(3)
                && let Some(arguments) = begun.next()
            {
                let payload = Payload::new(self.protocol, arguments);
                self.client.invoke(CallKind::Plain, "call", payload, 0).unwrap();
            }
            self.exchange();
            // Each socket brings something new, or the client would give the server up.
            let heard = self.answered.len() + self.pushed.len();
            if heard > heard_before && self.chance(3) {
                heard_before = heard;
                self.cut();
            }
            self.now += Duration::from_millis(70);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        let all: Vec<String> =
            payloads.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert!(self.cuts > 30, "{}", self.cuts);
        assert_eq!(self.called, all, "each call arrives once and in order");
        assert_eq!(self.pushed, all);
        assert_eq!(self.answered, (0..CALLS as u64).collect::<Vec<_>>());
    }

    /// A list of one text.
    fn payload(&self, n: usize) -> Vec<u8> {
        let text = format!("{n:03}");
        match self.protocol {
            HubProtocol::Json => format!("[\"{text}\"]").into_bytes(),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => [&[0x91, 0xa3], text.as_bytes()].concat(),
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_over_any_number_of_sockets() {
    for protocol in HubProtocol::ALL {
        for seed in 0..6 {
            Pair::connect(seed, *protocol).run();
        }
    }
}
