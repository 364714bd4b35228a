//! One client's stream on its way through the service, without its transport: what goes to the app server, what comes
//! from it, and what the service says itself.

use std::ops::ControlFlow;

use axum::body::Bytes;

use crate::{
    core::{
        HubProtocol, Moment, ProtocolError,
        framing::{BinaryFraming, RECORD_SEPARATOR, TextFraming, length_prefix},
        handshake::{HandshakeRequest, HandshakeResponse},
        json,
        message::{HubMessage, Outcome},
        msgpack,
        stateful::{MessageBuffer, Receipt},
    },
    local::default_mode::{payloads::BLAZORPACK, progress::Progress},
    server::{
        calls::{Answer, Calls},
        message::Frame,
        outbox::{self, Outgoing, Relayed},
    },
};

/// What Azure says to clients whose app server is gone.
const SERVER_OFFLINE: &str = "ServerOffline";

/// The beginning of the ids of calls that the REST API makes. App servers' ids begin with that of a connection.
const CALL_ID: &str = "rest-";

/// The protocol that a handshake request asks for, and how its messages are framed. One that cannot be read is the app
/// server's to refuse.
pub(super) fn protocol_of(record: &str) -> (String, HubProtocol) {
    let name = HandshakeRequest::parse(record).map_or_else(|_| json::NAME.to_owned(), |asked| asked.protocol);
    let framed = match &*name {
        BLAZORPACK => HubProtocol::MessagePack,
        name => HubProtocol::from_name(name).unwrap_or_default(),
    };
    (name, framed)
}

/// A refused handshake.
pub(super) fn refusal(error: &str) -> Frame {
    let mut response = Vec::new();
    HandshakeResponse { error: Some(error.to_owned()) }.write(&mut response);
    Frame::new(HubProtocol::Json, response)
}

/// How clients write pings.
const PING: &str = "{\"type\":6}";
const BINARY_PING: &[u8] = &[0x91, 6];

/// So many bytes are kept for a client that may go on with another socket, as in ASP.NET Core; then sending waits.
const KEPT: usize = 100_000;

#[derive(Debug)]
enum Framing {
    Text(TextFraming),
    Binary(BinaryFraming),
}

impl Framing {
    fn new(protocol: HubProtocol, limit: usize) -> Self {
        match protocol {
            HubProtocol::Json => Self::Text(TextFraming::new(limit)),
            HubProtocol::MessagePack => Self::Binary(BinaryFraming::new(limit)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Relay {
    protocol: HubProtocol,
    limit: usize,
    framing: Framing,
    /// Where messages of the app server end, for `progress`.
    from_server: Framing,
    progress: Progress,
    /// What the client has not acknowledged, if it may go on with another socket.
    buffer: Option<MessageBuffer<Frame>>,
    /// Whether the client has said that it ends the connection.
    is_leaving: bool,
    /// Whether the client has the answer to its handshake. Nothing else may come before it.
    is_answered: bool,
    /// What was sent to the client earlier, and its size.
    held: Vec<Frame>,
    held_size: usize,
    /// The beginning of a character whose end the app server has still to send.
    cut_character: Vec<u8>,
    /// Calls of the REST API.
    calls: Calls,
    next_call: u64,
    /// How many messages have come that are not pings, for a dashboard.
    received: u64,
}

impl Relay {
    /// After the client's handshake request. `limit` is for one message of the client, in bytes.
    pub(super) fn new(protocol: HubProtocol, limit: usize, is_stateful: bool) -> Self {
        Self {
            protocol,
            limit,
            framing: Framing::new(protocol, limit),
            from_server: Framing::new(protocol, outbox::LIMIT),
            progress: Progress::default(),
            buffer: is_stateful.then(|| MessageBuffer::new(KEPT)),
            is_leaving: false,
            is_answered: false,
            held: Vec::new(),
            held_size: 0,
            cut_character: Vec::new(),
            calls: Calls::default(),
            next_call: 0,
            received: 0,
        }
    }

    /// How many messages have come since this was asked last. Pings do not count.
    pub(super) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Takes what a client sends, and gives the whole messages in it that are the app server's.
    pub(super) fn handle_received(&mut self, now: Moment, bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let (mut passed_on, mut spare) = (Vec::with_capacity(bytes.len()), Vec::new());
        let Self { calls, progress, buffer, is_leaving, framing, received, .. } = self;
        let mut reader = Reader { now, calls, progress, buffer: buffer.as_mut(), is_leaving };
        match framing {
            Framing::Text(framing) => {
                for record in framing.take(bytes, &mut spare) {
                    let record = record?;
                    *received += u64::from(record != PING);
                    if reader.passes(|| json::parse(record).ok().flatten())? {
                        passed_on.extend_from_slice(record.as_bytes());
                        passed_on.push(RECORD_SEPARATOR);
                    }
                }
            }
            Framing::Binary(framing) => {
                for message in framing.take(bytes, &mut spare) {
                    let message = message?;
                    *received += u64::from(message != BINARY_PING);
                    if reader.passes(|| msgpack::parse(message).ok().flatten())? {
                        passed_on.extend(length_prefix(message.len()));
                        passed_on.extend_from_slice(message);
                    }
                }
            }
        }
        Ok(passed_on)
    }

    /// Takes what was queued for the client, and appends what it gets. A break is the end of the connection.
    pub(super) fn handle_queued(&mut self, queued: Outgoing, out: &mut Vec<Frame>) -> ControlFlow<()> {
        match queued {
            Outgoing::Message(frame) => return self.send(frame, out),
            Outgoing::Call(call, _) => {
                drop(self.calls.take_abandoned());
                let number = self.next_call;
                self.next_call += 1;
                if let Some(frame) =
                    self.calls.begin(number, &format!("{CALL_ID}{number}"), call).frame(self.protocol)
                {
                    return self.send(frame, out);
                }
            }
            Outgoing::Relayed(Relayed::Data { bytes, counts }) => {
                self.server_says(&bytes);
                if let Some(frame) = self.stream_frame(bytes) {
                    self.put(frame, counts && self.is_answered, out);
                }
                self.is_answered = true;
                for frame in std::mem::take(&mut self.held) {
                    self.put(frame, true, out);
                }
                self.held_size = 0;
            }
            Outgoing::Relayed(Relayed::Asks(id)) => self.progress.server_asks(&id),
            Outgoing::Relayed(Relayed::Ended(error)) => {
                out.extend(error.map(|error| self.goodbye(Some(&error), false)));
                return ControlFlow::Break(());
            }
            Outgoing::Relayed(Relayed::Lost) => {
                out.push(self.goodbye(Some(SERVER_OFFLINE), true));
                return ControlFlow::Break(());
            }
            Outgoing::Close { error, allow_reconnect } => {
                out.push(self.goodbye(error.as_deref(), allow_reconnect));
                return ControlFlow::Break(());
            }
            // Calls are not the service's to answer.
            Outgoing::Item(..) | Outgoing::Answer(..) | Outgoing::Kept(_) => {}
        }
        ControlFlow::Continue(())
    }

    /// Looks for calls of the client and the ends of its own. The answer to the handshake is framed as text in every protocol.
    fn server_says(&mut self, bytes: &[u8]) {
        if !self.is_answered || self.progress.is_blind() {
            return;
        }
        let (progress, mut spare) = (&mut self.progress, Vec::new());
        let read = match &mut self.from_server {
            Framing::Text(framing) => framing.take(bytes, &mut spare).try_for_each(|record| {
                let record = record?;
                if let Ok(Some(message)) = json::parse(record) {
                    progress.server_says(message.head());
                }
                Ok::<_, ProtocolError>(())
            }),
            Framing::Binary(framing) => framing.take(bytes, &mut spare).try_for_each(|message| {
                let message = message?;
                if let Ok(Some(message)) = msgpack::parse(message) {
                    progress.server_says(message.head());
                }
                Ok(())
            }),
        };
        if read.is_err() {
            progress.give_up();
        }
    }

    /// Whether nobody waits for anything: no call of the client, of its app server or of the REST API is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.progress.is_idle() && !self.calls.is_waited_for()
    }

    fn send(&mut self, frame: Frame, out: &mut Vec<Frame>) -> ControlFlow<()> {
        if self.is_answered {
            self.put(frame, true, out);
            return ControlFlow::Continue(());
        }
        self.held_size += frame.len();
        self.held.push(frame);
        if self.held_size > outbox::LIMIT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn put(&mut self, frame: Frame, counts: bool, out: &mut Vec<Frame>) {
        if let Some(buffer) = self.buffer.as_mut().filter(|_| counts) {
            buffer.handle_sent(frame.clone(), frame.len());
        }
        out.push(frame);
    }

    /// Whether nothing more can be taken from the queue until the client has acknowledged something.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.as_ref().is_some_and(MessageBuffer::is_full)
    }

    /// Whether the loss of its socket is not the end of the connection.
    pub(super) fn may_resume(&self) -> bool {
        self.buffer.is_some() && self.is_answered && !self.is_leaving
    }

    /// When an acknowledgement is due.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.buffer.as_ref()?.poll_timeout()
    }

    /// The acknowledgement that is due.
    pub(super) fn handle_timeout(&mut self, now: Moment) -> Option<Frame> {
        let sequence_id = self.buffer.as_mut()?.handle_timeout(now)?;
        Some(self.message(&HubMessage::Ack { sequence_id }))
    }

    /// The client goes on with another socket: what it gets first.
    pub(super) fn resume(&mut self, now: Moment) -> Vec<Frame> {
        self.framing = Framing::new(self.protocol, self.limit);
        let Some(buffer) = &mut self.buffer else { return Vec::new() };
        let (sequence_id, kept) = buffer.resume(now);
        let mut frames: Vec<Frame> = kept.cloned().collect();
        frames.insert(0, self.message(&HubMessage::Sequence { sequence_id }));
        frames
    }

    fn message(&self, message: &HubMessage<'_, &[u8]>) -> Frame {
        let mut bytes = Vec::new();
        self.protocol.write(&mut bytes, message);
        Frame::new(self.protocol, bytes)
    }

    /// Bytes of the app server's as the client's protocol is carried. Text has to be cut between characters.
    fn stream_frame(&mut self, bytes: Bytes) -> Option<Frame> {
        if self.protocol == HubProtocol::MessagePack && self.is_answered {
            return Some(Frame::Binary(bytes));
        }
        let mut text = std::mem::take(&mut self.cut_character);
        text.extend_from_slice(&bytes);
        if let Err(error) = std::str::from_utf8(&text)
            && error.error_len().is_none()
        {
            self.cut_character = text.split_off(error.valid_up_to());
        }
        let text = String::from_utf8(text)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if text.is_empty() {
            None
        } else if self.protocol == HubProtocol::MessagePack {
            Some(Frame::Binary(text.into_bytes().into()))
        } else {
            Some(Frame::Text(text.into()))
        }
    }

    /// The last words of the service.
    pub(super) fn goodbye(&self, error: Option<&str>, allow_reconnect: bool) -> Frame {
        if !self.is_answered {
            return refusal(error.unwrap_or("The connection was closed."));
        }
        self.message(&HubMessage::Close { error: error.map(Into::into), allow_reconnect })
    }
}

/// What looks at the messages of a client, as far as the service has to.
struct Reader<'r> {
    now: Moment,
    calls: &'r mut Calls,
    progress: &'r mut Progress,
    buffer: Option<&'r mut MessageBuffer<Frame>>,
    is_leaving: &'r mut bool,
}

impl Reader<'_> {
    /// Whether the app server gets a message. One that cannot be read is its to refuse.
    fn passes<'m, P: AsRef<[u8]>>(
        &mut self,
        parse: impl FnOnce() -> Option<HubMessage<'m, P>>,
    ) -> Result<bool, ProtocolError> {
        let Some(message) = parse() else { return Ok(true) };
        if let Some(buffer) = &mut self.buffer
            && buffer.handle_message(self.now, message.head())? != Receipt::New
        {
            return Ok(false);
        }
        self.progress.client_says(message.head());
        *self.is_leaving |= matches!(message, HubMessage::Close { .. });
        Ok(!is_answer(self.calls, message))
    }
}

/// Whether a message answers a call of the REST API, which has the answer then.
fn is_answer<P: AsRef<[u8]>>(calls: &mut Calls, message: HubMessage<'_, P>) -> bool {
    let HubMessage::Completion { invocation_id, outcome, .. } = message else { return false };
    let number = invocation_id.strip_prefix(CALL_ID).and_then(|number| number.parse().ok());
    let Some(number) = number else { return false };
    let answer: Answer = match outcome {
        Outcome::Void => Outcome::Void,
        Outcome::Value(value) => Outcome::Value(value.as_ref().to_vec()),
        Outcome::Error(error) => Outcome::Error(error.into_owned().into()),
    };
    calls.end(number, answer);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::ZERO;

    fn data(bytes: &[u8]) -> Outgoing {
        Outgoing::Relayed(Relayed::Data { bytes: Bytes::copy_from_slice(bytes), counts: true })
    }

    fn texts(frames: &[Frame]) -> Vec<&str> {
        frames.iter().map(|frame| std::str::from_utf8(frame.bytes()).unwrap()).collect()
    }

    #[test]
    fn nothing_comes_before_the_answer_to_the_handshake() {
        let mut relay = Relay::new(HubProtocol::Json, 100, false);
        let (mut out, message) = (Vec::new(), || Outgoing::Message(Frame::Text("m\u{1e}".into())));
        assert!(relay.handle_queued(message(), &mut out).is_continue() && out.is_empty());
        assert!(relay.handle_queued(data(b"{}\x1e"), &mut out).is_continue());
        assert!(relay.handle_queued(message(), &mut out).is_continue());
        assert_eq!(texts(&out), ["{}\u{1e}", "m\u{1e}", "m\u{1e}"]);

        let mut unanswered = Relay::new(HubProtocol::Json, 100, false);
        let mut out = Vec::new();
        let half = || Outgoing::Message(Frame::Text("x".repeat(outbox::LIMIT / 2).into()));
        assert!(unanswered.handle_queued(half(), &mut out).is_continue());
        assert!(unanswered.handle_queued(half(), &mut out).is_continue());
        assert!(unanswered.handle_queued(message(), &mut out).is_break(), "there is a bound");
    }

    #[test]
    fn last_words_are_in_the_protocol_of_the_client() {
        let mut out = Vec::new();
        let lost = || Outgoing::Relayed(Relayed::Lost);
        let mut json = Relay::new(HubProtocol::Json, 100, false);
        assert!(json.handle_queued(lost(), &mut out).is_break());
        assert!(json.handle_queued(data(b"{}\x1e"), &mut out).is_continue());
        assert!(json.handle_queued(lost(), &mut out).is_break());
        let closed = "{\"type\":7,\"error\":\"ServerOffline\",\"allowReconnect\":true}\u{1e}";
        assert_eq!(texts(&out), ["{\"error\":\"ServerOffline\"}\u{1e}", "{}\u{1e}", closed]);

        let mut msgpack = Relay::new(HubProtocol::MessagePack, 100, false);
        let mut out = Vec::new();
        assert!(msgpack.handle_queued(data(b"{}\x1e"), &mut out).is_continue());
        let ended = Outgoing::Relayed(Relayed::Ended(Some("no".into())));
        assert!(msgpack.handle_queued(ended, &mut out).is_break());
        assert!(matches!(&out[0], Frame::Binary(bytes) if &bytes[..] == b"{}\x1e"));
        assert!(
            matches!(&out[1], Frame::Binary(bytes) if &bytes[..] == b"\x06\x93\x07\xa2no\xc2"),
            "{out:?}"
        );
    }

    #[test]
    fn text_is_cut_between_characters() {
        let mut relay = Relay::new(HubProtocol::Json, 100, false);
        let (mut out, text) = (Vec::new(), "a👋b".as_bytes());
        for part in [&text[..3], &text[3..4], &text[4..], b"\xff."] {
            assert!(relay.handle_queued(data(part), &mut out).is_continue());
        }
        assert_eq!(texts(&out), ["a", "👋b", "\u{fffd}."]);
    }

    #[test]
    fn whole_messages_are_passed_on() {
        let mut json = Relay::new(HubProtocol::Json, 10, false);
        assert_eq!(json.handle_received(NOW, b"123\x1e45"), Ok(b"123\x1e".to_vec()));
        assert_eq!(json.handle_received(NOW, b"6\x1e"), Ok(b"456\x1e".to_vec()));
        assert!(json.handle_received(NOW, &[b'x'; 11]).is_err());
        let mut msgpack = Relay::new(HubProtocol::MessagePack, 10, false);
        assert_eq!(msgpack.handle_received(NOW, b"\x02ab\x03c"), Ok(b"\x02ab".to_vec()));
        assert_eq!(msgpack.handle_received(NOW, b"de"), Ok(b"\x03cde".to_vec()));
        assert!(msgpack.handle_received(NOW, b"\x0b").is_err());
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_duplicates_are_dropped() {
        let mut relay = Relay::new(HubProtocol::Json, 1000, true);
        let mut out = Vec::new();
        assert!(!relay.may_resume(), "not before the handshake is answered");
        let (first, second) =
            (b"{\"type\":3,\"invocationId\":\"1\"}\x1e", Frame::Text("second\u{1e}".into()));
        for queued in [data(b"{}\x1e"), data(first), Outgoing::Message(second)] {
            assert!(relay.handle_queued(queued, &mut out).is_continue());
        }
        assert!(relay.may_resume());
        let ping = Relayed::Data { bytes: Bytes::from_static(b"{\"type\":6}\x1e"), counts: false };
        assert!(relay.handle_queued(Outgoing::Relayed(ping), &mut out).is_continue());
        let call = "{\"type\":1,\"target\":\"m\",\"arguments\":[]}\u{1e}";
        let ack = "{\"type\":8,\"sequenceId\":1}\u{1e}";
        let received = relay.handle_received(NOW, format!("{call}{ack}").as_bytes());
        assert_eq!(received, Ok(call.as_bytes().to_vec()));
        let due = relay.poll_timeout().expect("an acknowledgement is due");
        let acknowledged = relay.handle_timeout(due).expect("it is time");
        assert_eq!(texts(&[acknowledged]), ["{\"type\":8,\"sequenceId\":1}\u{1e}"]);

        assert_eq!(texts(&relay.resume(NOW)), ["{\"type\":9,\"sequenceId\":2}\u{1e}", "second\u{1e}"]);
        let again = format!("{{\"type\":9,\"sequenceId\":1}}\u{1e}{call}{{\"type\":7}}\u{1e}");
        assert_eq!(relay.handle_received(NOW, again.as_bytes()), Ok(b"{\"type\":7}\x1e".to_vec()));
        assert!(!relay.may_resume(), "the client has said goodbye");
        let skipped = b"{\"type\":9,\"sequenceId\":9}\x1e";
        assert!(relay.handle_received(NOW, skipped).is_err());
    }

    #[test]
    fn protocols_have_names() {
        let name = |record: &str| protocol_of(record);
        let json = |name: &str| (name.to_owned(), HubProtocol::Json);
        assert_eq!(name(r#"{"protocol":"json","version":1}"#), json("json"));
        assert_eq!(name(r#"{"protocol":"other","version":1}"#), json("other"));
        assert_eq!(name("x"), json("json"));
        for packed in ["messagepack", BLAZORPACK] {
            let request = format!("{{\"protocol\":\"{packed}\",\"version\":1}}");
            assert_eq!(name(&request), (packed.to_owned(), HubProtocol::MessagePack));
        }
    }
}
