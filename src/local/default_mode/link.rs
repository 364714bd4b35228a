//! One server connection without its socket: where messages end, the handshake, pings and silence.

use crate::core::{
    Moment, ProtocolError,
    framing::{BinaryFraming, Messages},
    keepalive::{Due, KeepAlive},
    server_connection::{HANDSHAKE_TIMEOUT, PING_INTERVAL, SERVICE_TIMEOUT},
    service_protocol::ServiceMessage,
};

/// Both ends of a server connection have the same limits.
pub(super) use crate::core::server_connection::{Kind, MAX_MESSAGE};

/// What the handshake has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) kind: Kind,
    pub(super) allows_stateful_reconnect: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    framing: BinaryFraming,
    keep_alive: KeepAlive,
    /// When the handshake has to be over, until it is.
    handshake_by: Option<Moment>,
}

/// What a timer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Ping,
    /// The server connection is over.
    GiveUp(&'static str),
}

impl Link {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            framing: BinaryFraming::new(MAX_MESSAGE),
            keep_alive: KeepAlive::new(now, PING_INTERVAL, SERVICE_TIMEOUT),
            handshake_by: Some(now + HANDSHAKE_TIMEOUT),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.handshake_by.is_none()
    }

    /// Cuts bytes into messages.
    pub(super) fn handle_bytes<'f>(
        &mut self,
        now: Moment,
        bytes: &'f [u8],
        spare: &'f mut Vec<u8>,
    ) -> Messages<'f> {
        self.keep_alive.handle_received(now);
        self.framing.take(bytes, spare)
    }

    /// Takes the first message. An error is what to answer the app server.
    pub(super) fn handle_handshake(&mut self, message: &ServiceMessage<'_>) -> Result<Terms, &'static str> {
        let ServiceMessage::HandshakeRequest { version, connection_type, allow_stateful_reconnects, .. } =
            message
        else {
            return Err("The first message has to be a handshake request.");
        };
        if *version != 1 {
            return Err("The version of the protocol is not supported; the only one is 1.");
        }
        let kind = match connection_type {
            0 => Kind::Default,
            1 => Kind::OnDemand,
            2 => Kind::Weak,
            _ => return Err("The type of the server connection is unknown; it is 0, 1 or 2."),
        };
        self.handshake_by = None;
        Ok(Terms { kind, allows_stateful_reconnect: *allow_stateful_reconnects })
    }

    /// The app server was not read for a while: what it has sent may still wait.
    pub(super) fn handle_unread(&mut self, now: Moment) {
        self.keep_alive.handle_received(now);
    }

    pub(super) fn poll_timeout(&self) -> Moment {
        let timeout = self.keep_alive.poll_timeout();
        self.handshake_by.map_or(timeout, |by| by.min(timeout))
    }

    pub(super) fn handle_timeout(&mut self, now: Moment) -> Option<Timer> {
        if self.handshake_by.is_some_and(|by| now >= by) {
            return Some(Timer::GiveUp("the app server has not sent its handshake in time"));
        }
        match self.keep_alive.handle_timeout(now)? {
            // Nothing goes before the answer to the handshake.
            Due::Ping => self.is_ready().then_some(Timer::Ping),
            Due::PeerTimeout => Some(Timer::GiveUp("the app server has been silent for 30 seconds")),
        }
    }
}

/// The text that ends a server connection whose stream cannot be read on.
pub(super) fn unreadable(error: &ProtocolError) -> String {
    format!("The messages of the app server cannot be told apart: {error}.")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::service_protocol::Extensions;

    fn request(version: i32, connection_type: i32) -> ServiceMessage<'static> {
        ServiceMessage::HandshakeRequest {
            version,
            connection_type,
            target: None,
            migration_level: 0,
            extensions: Extensions::default(),
            allow_stateful_reconnects: true,
        }
    }

    const START: Moment = Moment::from_epoch(Duration::from_secs(100));

    #[test]
    fn a_handshake_is_of_version_1_and_of_a_known_type() {
        for (kind, expected) in [(0, Kind::Default), (1, Kind::OnDemand), (2, Kind::Weak)] {
            let mut link = Link::new(START);
            let terms = Terms { kind: expected, allows_stateful_reconnect: true };
            assert_eq!(link.handle_handshake(&request(1, kind)), Ok(terms));
            assert!(link.is_ready());
        }
        let ping = ServiceMessage::Ping { messages: Vec::new() };
        for bad in [request(2, 0), request(0, 0), request(1, 3), request(1, -1), ping] {
            let mut link = Link::new(START);
            assert!(link.handle_handshake(&bad).is_err() && !link.is_ready());
        }
    }

    #[test]
    fn pings_go_out_and_silence_is_the_end() {
        let mut link = Link::new(START);
        assert_eq!(link.handle_timeout(START + PING_INTERVAL), None, "not before the handshake");
        link.handle_handshake(&request(1, 0)).unwrap();
        for n in 2..6 {
            assert_eq!(link.poll_timeout(), START + n * PING_INTERVAL);
            assert_eq!(link.handle_timeout(START + n * PING_INTERVAL), Some(Timer::Ping));
            assert_eq!(link.handle_timeout(START + n * PING_INTERVAL), None);
        }
        assert!(matches!(link.handle_timeout(START + SERVICE_TIMEOUT), Some(Timer::GiveUp(_))));

        let mut silent = Link::new(START);
        assert_eq!(silent.handle_timeout(START + 2 * PING_INTERVAL), None);
        let late = silent.handle_timeout(START + HANDSHAKE_TIMEOUT);
        assert!(matches!(late, Some(Timer::GiveUp(text)) if text.contains("handshake")));
    }
}
