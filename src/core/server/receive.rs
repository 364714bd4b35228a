//! What comes from the client: the handshake, frames, and the messages in them.

use std::time::Duration;

use super::{DisconnectReason, Effect, Live, Phase, ServerMachine};
use crate::core::codec::Codec;
use crate::core::handshake::{HandshakeRequest, HandshakeResponse};
use crate::core::hub::{HubEvent, HubMachine, Role};
use crate::core::keepalive::KeepAlive;
use crate::core::message::{HubMessage, Outcome};
use crate::core::negotiate::{TransferFormat, Transport};
use crate::core::outgoing::Outgoing;
use crate::core::stateful::Receipt;
use crate::core::text::clip;
use crate::core::{Moment, ProtocolError};

impl<C: Codec> ServerMachine<C> {
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
        let skip = match &self.phase {
            Phase::Connected => 0,
            Phase::Handshaking(_) => {
                let bytes = C::bytes(&frame);
                let skip = self.shake_hands(now, &bytes)?;
                if skip == bytes.len() {
                    return None;
                }
                drop(bytes);
                skip
            }
            Phase::Detached(_) | Phase::Closed => return None,
        };
        let live = self.live.as_mut()?;
        live.keep_alive.handle_received(now);
        match C::decode(&mut live.decoder, frame, skip, spare) {
            Ok(messages) => Some(messages),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Takes the messages of a frame up to the next one that means something to the owner. `None` after the last, when
    /// the connection is no longer up, and when the client has to take something first: where
    /// [`may_read`](Self::may_read) says no, ask again for the rest when it says yes.
    pub fn next_event<'f>(
        &mut self,
        now: Moment,
        messages: &mut C::Messages<'f>,
    ) -> Option<HubEvent<'f, C::Payload<'f>>> {
        while matches!(self.phase, Phase::Connected) && self.may_read() {
            match messages.next()? {
                Ok(message) => match self.handle_message(now, message) {
                    HubEvent::None => {}
                    event => return Some(event),
                },
                Err(error) => self.fail(error),
            }
        }
        None
    }

    /// A message came. What does not concern the owner is dealt with here: Close, numbers of stateful reconnect, calls
    /// beyond the limit.
    fn handle_message<'a>(
        &mut self,
        now: Moment,
        mut message: HubMessage<'a, C::Payload<'a>>,
    ) -> HubEvent<'a, C::Payload<'a>> {
        let Some(live) = &mut self.live else { return HubEvent::None };
        match live.outgoing.handle_message(now, message.head()) {
            Ok(Receipt::New) => {}
            Ok(Receipt::Duplicate | Receipt::Bookkeeping) => return HubEvent::None,
            Err(error) => {
                self.fail(error);
                return HubEvent::None;
            }
        }
        if let HubMessage::Completion { invocation_id, outcome, .. } = message {
            if live.hub.is_foreign(&invocation_id) {
                return HubEvent::ForeignCompletion { invocation_id, outcome: outcome.without_empty_error() };
            }
            message = HubMessage::Completion { headers: Vec::new(), invocation_id, outcome };
        }
        match live.hub.handle_message(message) {
            HubEvent::Close { error, .. } => {
                let error = error.filter(|text| !text.is_empty()).map(|text| clip(text).into());
                self.end(DisconnectReason::ClientClosed { error });
            }
            HubEvent::Refused { invocation_id: Some(id), reason } => {
                self.complete(&id, Outcome::Error(reason.into()));
            }
            HubEvent::Refused { invocation_id: None, .. } => {}
            event => return event,
        }
        HubEvent::None
    }

    /// Takes a chunk of the handshake. Returns how long the handshake was in it, once it is done.
    fn shake_hands(&mut self, now: Moment, chunk: &[u8]) -> Option<usize> {
        let Phase::Handshaking(buffer) = &mut self.phase else { return None };
        let request = match buffer.feed(chunk) {
            Ok(None) => return None,
            Ok(Some((record, rest))) => {
                HandshakeRequest::parse(&record).map(|request| (request, chunk.len() - rest.len()))
            }
            Err(error) => Err(error),
        };
        let accepted = request.map_err(malformed).and_then(|(request, skip)| {
            self.choose(&request).map(|(codec, is_stateful)| (codec, is_stateful, skip))
        });
        match accepted {
            Ok((codec, is_stateful, skip)) => {
                self.connect(now, codec, is_stateful);
                Some(skip)
            }
            Err(text) => {
                self.refuse_handshake(&text);
                None
            }
        }
    }

    pub(super) fn refuse_handshake(&mut self, text: &str) {
        let text = clip(text);
        self.refuse(&text, DisconnectReason::HandshakeRefused(text.as_ref().into()));
    }

    /// The codec that a client asks for, and whether its connection is to be a stateful one.
    fn choose(&mut self, request: &HandshakeRequest) -> Result<(C, bool), String> {
        let Some(at) =
            self.codecs.iter().position(|codec| codec.name().eq_ignore_ascii_case(&request.protocol))
        else {
            let names: Vec<_> = self.codecs.iter().map(|codec| format!("'{}'", codec.name())).collect();
            let asked = clip(&request.protocol);
            return Err(format!(
                "The protocol '{asked}' is not supported. The server speaks {}.",
                names.join(" and ")
            ));
        };
        let codec = self.codecs.swap_remove(at);
        if codec.format() == TransferFormat::Binary && self.transport == Transport::ServerSentEvents {
            return Err(format!(
                "The protocol '{}' needs a transport for bytes, which Server-Sent Events is not.",
                codec.name()
            ));
        }
        match request.version {
            // As in ASP.NET Core; there are clients that ask for version 0.
            ..=1 => Ok((codec, false)),
            // All that it adds is the messages of stateful reconnect.
            2 => Ok((codec, self.options.stateful_buffer.is_some())),
            version => Err(format!(
                "The server does not support version {version} of the '{}' protocol.",
                codec.name()
            )),
        }
    }

    fn connect(&mut self, now: Moment, codec: C, is_stateful: bool) {
        let mut response = Vec::new();
        HandshakeResponse::default().write(&mut response);
        let options = &self.options;
        let decoder = codec.decoder(options.message_limit);
        let mut outgoing = Outgoing::new(codec);
        outgoing.begin(response);
        if let Some(limit) = options.stateful_buffer.filter(|_| is_stateful) {
            outgoing.keep(limit);
        }
        let needs_pings = self.transport != Transport::LongPolling;
        let interval = if needs_pings { options.keep_alive_interval } else { Duration::MAX };
        self.live = Some(Box::new(Live {
            hub: HubMachine::new(Role::Server, options.peer_limit),
            outgoing,
            decoder,
            keep_alive: KeepAlive::new(now, interval, options.client_timeout),
            is_stateful,
        }));
        self.codecs = Vec::new();
        self.phase = Phase::Connected;
        self.effects.push_back(Effect::Connected);
    }
}

pub(super) fn malformed(error: ProtocolError) -> String {
    format!("The handshake request is malformed: {error}.")
}
