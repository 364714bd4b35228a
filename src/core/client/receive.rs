//! What comes from the server: frames, the messages in them, and the end of the transport.

use super::{ClientMachine, ConnectionError, Live, Load, Phase, TransportError};
use crate::core::codec::Codec;
use crate::core::hub::{HubEvent, Meaning};
use crate::core::message::{Head, HubMessage};
use crate::core::stateful::Receipt;
use crate::core::text::clip;
use crate::core::{Moment, ProtocolError};

/// The official clients refuse a stream with such a text.
const NO_STREAMS: &str = "Clients have no methods that stream.";

impl<C: Codec> ClientMachine<C> {
    /// Whether to read the next frame. To be asked whenever there could be one, and before
    /// [`poll_timeout`](Self::poll_timeout).
    pub fn may_read(&mut self, now: Moment, load: Load) -> bool {
        !self.has_transport() || self.hold.may_read(now, load, self.hub.pending_calls() > 0)
    }

    /// A frame came. Returns the messages in it, each to be taken with [`next_event`](Self::next_event); `None` when
    /// there are none, or when there is no transport that it could have come from: it is refused then. An empty frame is
    /// a sign of life.
    ///
    /// `spare` holds a message that began in an earlier frame.
    pub fn handle_frame<'f>(
        &mut self,
        now: Moment,
        frame: C::Frame<'f>,
        spare: &'f mut Vec<u8>,
    ) -> Option<C::Messages<'f>> {
        let skip = match &mut self.phase {
            Phase::Connected(live) => {
                self.hold.handle_frame();
                if !live.link.info.stateful {
                    live.handle_sign_of_life(now);
                }
                0
            }
            Phase::Handshaking(..) => {
                let bytes = C::bytes(&frame);
                let skip = self.shake_hands(now, &bytes)?;
                if skip == bytes.len() {
                    return None;
                }
                drop(bytes);
                skip
            }
            _ => return None,
        };
        match C::decode(&mut self.decoder, frame, skip, spare) {
            Ok(messages) => Some(messages),
            Err(error) => {
                self.handle_protocol_error(now, error);
                None
            }
        }
    }

    /// Takes the messages of a frame up to the next one that means something to the owner. `None` after the last, or
    /// when the connection is no longer up: what follows means nothing then.
    pub fn next_event<'f>(
        &mut self,
        now: Moment,
        messages: &mut C::Messages<'f>,
    ) -> Option<HubEvent<'f, C::Payload<'f>>> {
        while self.has_transport() {
            match messages.next()? {
                Ok(message) => match self.handle_message(now, message) {
                    HubEvent::None => {}
                    event => return Some(event),
                },
                Err(error) => self.handle_protocol_error(now, error),
            }
        }
        None
    }

    /// A message came. What does not concern the owner is dealt with here: Close, numbers of stateful reconnect, what
    /// clients do not do. Payloads are only passed on, so that they may be of any type.
    #[inline]
    pub fn handle_message<'a, P>(&mut self, now: Moment, message: HubMessage<'a, P>) -> HubEvent<'a, P> {
        let meaning = self.handle_head(now, message.head());
        HubEvent::new(message, meaning)
    }

    /// The same for an owner who keeps what a message carries.
    pub fn handle_head(&mut self, now: Moment, head: Head<'_>) -> Meaning {
        let Phase::Connected(live) = &mut self.phase else { return Meaning::None };
        match self.outgoing.handle_message(now, head) {
            Ok(Receipt::New) => live.handle_sign_of_life(now),
            // ASP.NET Core still acknowledges when everything else it has to say is stuck, so this shows nothing.
            Ok(Receipt::Duplicate | Receipt::Bookkeeping) => return Meaning::None,
            Err(error) => {
                self.handle_protocol_error(now, error);
                return Meaning::None;
            }
        }
        match (self.hub.handle_head(head), head) {
            (_, Head::Close { error, allow_reconnect }) => {
                let error = error.filter(|text| !text.is_empty()).map(|text| clip(text).into());
                self.fail(now, ConnectionError::ServerClosed { error, allow_reconnect });
            }
            (Meaning::Called(Some(call)), Head::Call { streams: true, .. }) => self.refuse(call, NO_STREAMS),
            (Meaning::Called(None), Head::Call { streams: true, .. }) => {}
            (Meaning::Refused(reason), Head::Call { id: Some(id), .. }) => self.write_refusal(id, reason),
            // Clients have no methods that take streams.
            (Meaning::Refused(_) | Meaning::Uploaded | Meaning::UploadCompleted, _) => {}
            (meaning, _) => return meaning,
        }
        Meaning::None
    }

    /// The protocol was broken.
    pub fn handle_protocol_error(&mut self, now: Moment, error: ProtocolError) {
        if matches!(self.phase, Phase::Connected(_) | Phase::Handshaking(..)) {
            self.fail(now, ConnectionError::Protocol(error));
        }
    }

    /// More of the server's messages wait for handlers and streams than the client can hold.
    pub fn handle_slow_consumer(&mut self, now: Moment) {
        if matches!(self.phase, Phase::Connected(_) | Phase::Handshaking(..)) {
            self.fail(now, ConnectionError::SlowConsumer);
        }
    }

    /// The transport has ended without being closed by the client.
    pub fn handle_transport_closed(&mut self, now: Moment, error: TransportError) {
        // In any other phase there is no transport that could have ended.
        if matches!(self.phase, Phase::Connected(_) | Phase::Handshaking(..)) {
            self.fail(now, ConnectionError::Transport(error));
        }
    }

    /// The network or the page is back: a waiting retry is made now, and a connection is probed for signs of life.
    pub fn handle_wake(&mut self, now: Moment) {
        match &mut self.phase {
            Phase::WaitingToRetry => self.attempt(now),
            Phase::Connected(Live { keep_alive: Some(_), .. }) => self.write(&HubMessage::Ping),
            _ => {}
        }
    }
}
