//! The client's machine step by step, by a clock that the tests set.

mod authentication;
mod calls;
mod connect;
mod recover;
mod stateful;

use super::link::FRUITLESS_RESUMES;
use super::*;
use crate::core::codec::{Frame, Payload, RawCodec};
use crate::core::hub::{CallKind, HubEvent};
use crate::core::message::Outcome;
use crate::core::moment::at;
use crate::core::negotiate::{NegotiateAnswer, SkipReason, Transports};
use crate::core::{Cause, ProtocolError};

/// The wall clock of the tests, which tokens count by.
const UNIX_NOW: Duration = Duration::from_secs(1_800_000_000);

const SECOND: Duration = Duration::from_secs(1);

const PING: &str = "{\"type\":6}\u{1e}";

const ANSWER: &str = r#"{"negotiateVersion":1,"connectionId":"id","connectionToken":"token",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}"#;

/// A machine whose effects are collected, at a clock that the test sets.
struct Bench {
    machine: ClientMachine<RawCodec>,
    now: Moment,
}

impl Bench {
    fn new(change: impl FnOnce(&mut ClientOptions)) -> Self {
        let mut options = ClientOptions::new(HubUrl::parse("https://app/chat").unwrap());
        change(&mut options);
        let machine = ClientMachine::new(options, RawCodec::default());
        let mut bench = Self { machine, now: Moment::ZERO };
        bench.machine.start(bench.now).unwrap();
        bench
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.machine.poll_effect()).collect()
    }

    /// What goes to the transport, as text.
    fn sent(&mut self) -> String {
        let mut sent = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit(self.now) {
            sent.extend(match transmit {
                Transmit::Handshake(bytes) | Transmit::Messages(bytes) => bytes,
            });
        }
        String::from_utf8(sent).unwrap()
    }

    /// A frame comes: what it means, in short.
    fn frame(&mut self, text: &str) -> Vec<String> {
        let (mut spare, mut events) = (Vec::new(), Vec::new());
        let messages = self.machine.handle_frame(self.now, Frame::Text(text), &mut spare);
        if let Some(mut messages) = messages {
            while let Some(event) = self.machine.next_event(self.now, &mut messages) {
                events.push(match event {
                    HubEvent::Called { call, invocation, .. } => format!("{call:?} {}", invocation.target),
                    HubEvent::Completed { id, outcome: Outcome::Value(Payload::Json(value)) } => {
                        format!("{id} = {value}")
                    }
                    HubEvent::Completed { id, .. } => format!("{id} ended"),
                    HubEvent::Item { id, .. } => format!("item of {id}"),
                    event => format!("{event:?}"),
                });
            }
        }
        events
    }

    fn call(&mut self, kind: CallKind) -> u64 {
        self.machine.invoke(kind, "M", Payload::Json("[]"), 0).unwrap().id
    }

    fn token(&mut self, token: Result<Option<AccessToken>, Cause>) {
        self.machine.handle_token(self.now, UNIX_NOW, token);
    }

    fn answer(&mut self, status: u16, body: &str) {
        let answer = NegotiateAnswer { status, body: body.as_bytes(), ..NegotiateAnswer::default() };
        self.machine.handle_negotiate(self.now, Ok(answer));
    }

    fn open(&mut self) {
        self.machine.handle_open(self.now, Ok(()));
    }

    fn shake_hands(&mut self) {
        assert_eq!(self.frame("{}\u{1e}"), [""; 0]);
    }

    /// Up to the given step: 0 fetching a token, 1 negotiating, 2 opening, 3 shaking hands, 4 connected.
    fn at(step: u32) -> Self {
        let mut bench = Self::new(|options| options.has_token_provider = true);
        for step in 0..step {
            match step {
                0 => bench.token(Ok(Some("t".into()))),
                1 => bench.answer(200, ANSWER),
                2 => bench.open(),
                _ => bench.shake_hands(),
            }
        }
        bench
    }

    /// Why it has ended, and whether it was up.
    fn end(&mut self) -> (ConnectionError, bool) {
        let mut effects = self.effects();
        let Some(Effect::Disconnected(error)) = effects.pop() else { panic!("{effects:?}") };
        let was_up = matches!(effects.last(), Some(Effect::Lost(_)));
        if was_up {
            assert_eq!(effects.pop(), Some(Effect::Lost(Arc::clone(&error))));
        }
        assert_eq!(effects.pop(), Some(Effect::CloseTransport { abort: false }));
        assert_eq!(
            (self.machine.poll_timeout(), self.machine.state()),
            (None, ConnectionState::Disconnected)
        );
        (Arc::unwrap_or_clone(error), was_up)
    }
}

fn lost() -> TransportError {
    TransportError::new("lost")
}

fn status(status: u16) -> TransportError {
    TransportError { status: Some(status), ..TransportError::new("refused") }
}

/// A JWT that expires so many seconds after the tests' now.
fn expiring(seconds: u64) -> AccessToken {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let claims = format!("{{\"exp\":{}}}", UNIX_NOW.as_secs() + seconds);
    format!("e30.{}.x", Base64UrlUnpadded::encode_string(claims.as_bytes())).into()
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
    bench.open();
    assert_eq!(bench.sent(), "{\"protocol\":\"json\",\"version\":2}\u{1e}");
    bench.shake_hands();
    bench.effects();
    bench
}
