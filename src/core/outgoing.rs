//! What one end of a connection has to send: encoded, in order, and kept for a new socket where the connection is a
//! stateful one. Both machines write through it.

use crate::core::codec::Codec;
use crate::core::message::{Head, HubMessage};
use crate::core::stateful::{MessageBuffer, Receipt};
use crate::core::{Moment, ProtocolError};

/// Sending waits while more than this many bytes are on their way to the transport.
const HIGH_WATER: usize = 256 * 1024;

/// Something to hand to the transport, as one frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Transmit<O> {
    /// A record of the handshake. It is text in every protocol.
    Handshake(Vec<u8>),
    /// Messages, in what their protocol is carried in.
    Messages(O),
}

pub(crate) struct Outgoing<C: Codec> {
    codec: C,
    handshake: Option<Vec<u8>>,
    out: C::Out,
    /// What stateful reconnect remembers, while the connection is one of that kind.
    buffer: Option<MessageBuffer<C::Out>>,
}

impl<C: Codec> Outgoing<C> {
    pub(crate) fn new(codec: C) -> Self {
        Self { codec, handshake: None, out: C::Out::default(), buffer: None }
    }

    pub(crate) fn codec(&self) -> &C {
        &self.codec
    }

    /// A new connection begins with its handshake; nothing is left of the last one.
    pub(crate) fn begin(&mut self, handshake: Vec<u8>) {
        self.clear();
        self.buffer = None;
        self.handshake = Some(handshake);
    }

    /// The connection is a stateful one. `limit` is how many bytes are kept before sending waits.
    pub(crate) fn keep(&mut self, limit: usize) {
        self.buffer = Some(MessageBuffer::new(limit));
    }

    /// What was not handed over yet is for a transport that is gone.
    pub(crate) fn clear(&mut self) {
        self.handshake = None;
        self.out = C::Out::default();
    }

    /// Writes a message. Without a transport, what a later one has to send is kept, and the rest dropped.
    pub(crate) fn write(&mut self, message: &HubMessage<'_, C::Payload<'_>>, has_transport: bool) {
        if self.buffer.is_some() && MessageBuffer::<C::Out>::counts(message.head()) {
            let mut one = C::Out::default();
            self.codec.write(&mut one, message);
            self.write_counted(one, has_transport);
        } else if has_transport {
            self.codec.write(&mut self.out, message);
        }
    }

    /// Writes a message of a counted type that is encoded already, such as one for many connections.
    pub(crate) fn write_counted(&mut self, message: C::Out, has_transport: bool) {
        if has_transport {
            C::append(&mut self.out, &message);
        }
        if let Some(buffer) = &mut self.buffer {
            let size = C::size(&message);
            buffer.handle_sent(message, size);
        }
    }

    /// There is a new transport for the same connection: what the peer may not have got goes out again.
    pub(crate) fn resume(&mut self, now: Moment) {
        self.clear();
        let Some(buffer) = &mut self.buffer else { return };
        let (sequence_id, kept) = buffer.resume(now);
        self.codec.write(&mut self.out, &HubMessage::Sequence { sequence_id });
        for message in kept {
            C::append(&mut self.out, message);
        }
    }

    /// Takes a message that came. Without stateful reconnect every one is new.
    pub(crate) fn handle_message(&mut self, now: Moment, head: Head<'_>) -> Result<Receipt, ProtocolError> {
        match &mut self.buffer {
            Some(buffer) => buffer.handle_message(now, head),
            None => Ok(Receipt::New),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, while there is a transport.
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        self.buffer.as_ref()?.poll_timeout()
    }

    /// Writes the acknowledgement that is due.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        if let Some(sequence_id) = self.buffer.as_mut().and_then(|buffer| buffer.handle_timeout(now)) {
            self.codec.write(&mut self.out, &HubMessage::Ack { sequence_id });
        }
    }

    /// Everything that waits, as one frame.
    pub(crate) fn take(&mut self) -> Option<Transmit<C::Out>> {
        if let Some(handshake) = self.handshake.take() {
            return Some(Transmit::Handshake(handshake));
        }
        (C::size(&self.out) > 0).then(|| Transmit::Messages(C::take(&mut self.out)))
    }

    /// Whether there is something for the transport.
    pub(crate) fn is_waiting(&self) -> bool {
        self.handshake.is_some() || C::size(&self.out) > 0
    }

    /// How many bytes the transport has not taken, or the peer not acknowledged.
    pub(crate) fn unsent(&self) -> usize {
        C::size(&self.out) + self.buffer.as_ref().map_or(0, MessageBuffer::size)
    }

    /// Whether more waits than a peer leaves when it takes what is sent to it.
    pub(crate) fn is_behind(&self) -> bool {
        C::size(&self.out) > HIGH_WATER
    }

    /// Whether the next message should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.is_behind() || self.buffer.as_ref().is_some_and(MessageBuffer::is_full)
    }
}
