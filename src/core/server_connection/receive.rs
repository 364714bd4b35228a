//! What comes from the service.

use super::{ERROR_TIMEOUT, Effect, KEY_INTERVAL, Phase, ServerConnection, Status};
use crate::core::Moment;
use crate::core::service_protocol::{ServiceMessage, Text, codes::INSTANCE, parse};
use crate::core::text::clipped;

/// The longest name of an instance, and the longest ping that is sent back.
const MAX_NAME: usize = 1024;
const MAX_ECHO: usize = 4096;

/// What type 39 means in its two numbers.
const SERVER_CONNECTION: i32 = 2;
const OFFLINE: i32 = 4;

impl ServerConnection {
    /// Bytes of the service. Messages may begin and end anywhere in them.
    pub fn handle_bytes(&mut self, now: Moment, bytes: &[u8]) {
        if self.phase == Phase::Closed {
            return;
        }
        self.keep_alive.handle_received(now);
        let (mut framing, mut spare) = (std::mem::take(&mut self.framing), Vec::new());
        for frame in framing.take(bytes, &mut spare) {
            // Where the next message begins is not known after that. The SDK reads on for ever, and understands nothing.
            let Ok(frame) = frame else {
                self.close("the service has sent a message of no length or too long");
                break;
            };
            match parse(frame) {
                Ok(Some(message)) => self.handle_message(now, frame, &message),
                // Newer than this.
                Ok(None) => {}
                Err(error) => self.note(format!("a message of the service could not be read: {error}")),
            }
            if self.phase == Phase::Closed {
                break;
            }
        }
        self.framing = framing;
    }

    fn handle_message(&mut self, now: Moment, frame: &[u8], message: &ServiceMessage<'_>) {
        if let Phase::Handshaking { .. } = self.phase {
            return self.handle_handshake(now, message);
        }
        match message {
            ServiceMessage::Ping { messages } => self.handle_ping(messages),
            ServiceMessage::Ack { ack_id, status, payload, .. } => {
                // Nothing and nil are read as no bytes, of which no value is made.
                let payload = payload.filter(|payload| !payload.is_empty()).map(<[u8]>::to_vec);
                let (ack_id, status) = (*ack_id, *status);
                self.effects.push_back(Effect::Acknowledged { ack_id, status, payload });
            }
            ServiceMessage::ServiceError { error_message: Some(text) }
                if !text.is_empty() && self.broken_until.is_none() =>
            {
                self.broken_until = Some(now + ERROR_TIMEOUT);
                self.effects.push_back(Effect::Block(clipped(text)));
            }
            ServiceMessage::ServiceEvent { object_type, event, message, .. } => {
                let text = message.as_deref().unwrap_or_default();
                self.note(format!("event {event} about an object of type {object_type}: {}", clipped(text)));
            }
            ServiceMessage::AccessKeyResponse { kid, access_key, error_type, error_message, .. } => {
                let text = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().to_owned();
                let (id, key) = (text(kid), text(access_key));
                self.effects.push_back(match error_type.as_deref() {
                    None | Some("") if !id.is_empty() && !key.is_empty() => Effect::Key { id, key },
                    kind => Effect::KeyRefused(format!(
                        "{}: {}",
                        clipped(kind.unwrap_or("there is no key in the answer")),
                        clipped(error_message.as_deref().unwrap_or_default())
                    )),
                });
            }
            ServiceMessage::ConnectionFlowControl {
                connection_type: SERVER_CONNECTION, operation, ..
            } => match *operation {
                OFFLINE => self.effects.push_back(Effect::Retire),
                other => self.note(format!("flow control {other} of a server connection is not known")),
            },
            ServiceMessage::OpenConnection { connection_id, headers, .. } => {
                let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(INSTANCE));
                let instance = header.and_then(|(_, values)| values.first()?.as_deref()).unwrap_or_default();
                self.clients.insert(connection_id.as_ref().into(), instance.into());
                self.pass(frame);
            }
            ServiceMessage::CloseConnection { connection_id, .. } => {
                self.clients.remove(connection_id.as_ref());
                self.pass(frame);
            }
            ServiceMessage::ConnectionData { .. }
            | ServiceMessage::ClientInvocation { .. }
            | ServiceMessage::ClientCompletion { .. }
            | ServiceMessage::ErrorCompletion { .. }
            | ServiceMessage::ServiceMapping { .. }
            | ServiceMessage::ConnectionReconnect { .. }
            | ServiceMessage::ConnectionFlowControl { .. }
            | ServiceMessage::UpdateConnectionClaims { .. } => self.pass(frame),
            // What app servers send, and a second answer to the handshake.
            _ => {}
        }
    }

    fn handle_handshake(&mut self, now: Moment, message: &ServiceMessage<'_>) {
        let ServiceMessage::HandshakeResponse { error_message, .. } = message else {
            return self.close("the service has not answered the handshake, but sent something else");
        };
        if let Some(text) = error_message.as_deref().filter(|text| !text.is_empty()) {
            self.note(clipped(text));
            return self.close("the service has refused the handshake");
        }
        self.phase = Phase::Ready;
        self.effects.push_back(Effect::Ready);
        if self.terms.asks_for_keys {
            self.next_key = now + KEY_INTERVAL;
            self.effects.push_back(Effect::KeyIsDue);
        }
    }

    /// Several keys may share one ping.
    fn handle_ping(&mut self, messages: &[Option<Text<'_>>]) {
        let (mut status, mut echo) = (None, false);
        for pair in messages.chunks(2) {
            let (Some(Some(key)), value) = (pair.first(), pair.get(1)) else { continue };
            let value = value.and_then(Option::as_deref).unwrap_or_default();
            let number = || value.parse().ok();
            match &**key {
                "status" => status.get_or_insert_with(Status::default).has_clients = value == "1",
                "clientcount" => status.get_or_insert_with(Status::default).client_count = number(),
                "servercount" => status.get_or_insert_with(Status::default).server_count = number(),
                "capacity" => status.get_or_insert_with(Status::default).capacity = number(),
                "target" if !value.is_empty() && value.len() <= MAX_NAME => {
                    self.effects.push_back(Effect::Rebalance(value.to_owned()));
                }
                "offline" if value.len() <= MAX_NAME => {
                    self.clients.retain(|_, instance| !value.is_empty() && **instance != *value);
                    self.effects.push_back(Effect::Offline(value.to_owned()));
                }
                "shutdown" if value == "finack" && self.announcement.take().is_some() => {
                    self.effects.push_back(Effect::FinDone);
                }
                "echo" => echo = true,
                _ => {}
            }
        }
        self.effects.extend(status.map(Effect::Status));
        if echo {
            self.echo(messages);
        }
    }

    /// Sends a ping back unchanged, if it is a short one.
    fn echo(&mut self, messages: &[Option<Text<'_>>]) {
        let length: usize = messages.iter().map(|text| text.as_deref().unwrap_or_default().len() + 5).sum();
        if self.broken_until.is_none() && length <= MAX_ECHO {
            self.transmit(&ServiceMessage::Ping { messages: messages.to_vec() });
        }
    }

    fn pass(&mut self, frame: &[u8]) {
        self.effects.push_back(Effect::Message(frame.to_vec()));
    }

    fn note(&mut self, text: String) {
        self.effects.push_back(Effect::Note(text));
    }
}
