//! The server's machine: every decision over one client's connection, from its first transport to its end.
//!
//! ```text
//!  Handshaking ──▶ Connected ──── the transport is lost ───▶ Detached      (stateful reconnect only)
//!       │            │    ▲                                    │  │
//!       │            │    └────────── another transport ───────┘  │ none comes in time
//!       └────────────┴───────────────▶ Closed ◀───────────────────┘
//! ```
//!
//! | part | what it decides |
//! | --- | --- |
//! | `receive` | the handshake, frames and messages of the client |
//! | `calls` | calls of the client's methods, answers to the client's calls, messages for many |
//!
//! A driver has a transport, a clock and nothing to decide. Again and again:
//!
//! 1. Perform what [`poll_effect`](ServerMachine::poll_effect) gives, until it gives `None`. After
//!    [`Effect::Disconnected`] the connection has ended.
//! 2. Unless a frame is on its way, give the transport what [`poll_transmit`](ServerMachine::poll_transmit) has, and say
//!    [`handle_transmitted`](ServerMachine::handle_transmitted) when it is taken.
//! 3. Wait for the first of: the transport has taken the frame, a frame if [`may_read`](ServerMachine::may_read), the
//!    transport's end, another transport, [`poll_timeout`](ServerMachine::poll_timeout). Hand it in by the `handle_…`
//!    method of that name.
//!
//! Calls, messages and [`close`](ServerMachine::close) may come at any time. An input that does not fit the state is
//! late, and is refused: nothing of it counts. The machine knows calls by number; the owner knows who waits for
//! each.

mod calls;
mod options;
#[cfg(test)]
mod pair;
mod reason;
mod receive;
#[cfg(test)]
mod tests;

pub use self::calls::NotConnected;
pub use self::options::{
    DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MESSAGE_LIMIT, DEFAULT_RESUME_WINDOW, ServerOptions,
};
pub use self::reason::DisconnectReason;
pub use crate::core::TransportError;
pub use crate::core::outgoing::Transmit;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::time::Duration;

use crate::core::codec::Codec;
use crate::core::handshake::HandshakeBuffer;
use crate::core::hub::HubMachine;
use crate::core::keepalive::{Due, KeepAlive};
use crate::core::message::HubMessage;
use crate::core::negotiate::Transport;
use crate::core::outgoing::Outgoing;
use crate::core::{Moment, ProtocolError};

/// A client that was not read for so long may have sent something meanwhile.
const UNREAD: Duration = Duration::from_secs(1);

/// What the driver has to do.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// The handshake is done. The answer to it waits in [`ServerMachine::poll_transmit`].
    Connected,
    /// Close the transport. No more inputs of it count.
    CloseTransport {
        /// Whether to drop it without a word. Else send what [`ServerMachine::poll_transmit`] still has first.
        abort: bool,
    },
    /// The transport of a stateful connection is gone, and another may come.
    Detached,
    /// The connection goes on with the transport that [`ServerMachine::handle_transport`] has told of.
    Resumed,
    /// The connection has ended, and every call with it: the last effect.
    Disconnected(DisconnectReason),
}

/// Why a connection does not take a new transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection cannot go on with another transport")]
pub struct NotResumable;

#[derive(Debug)]
enum Phase {
    Handshaking(HandshakeBuffer),
    Connected,
    /// Another transport may come until the deadline.
    Detached(DisconnectReason),
    Closed,
}

/// What there is after the handshake.
struct Live<C: Codec> {
    hub: HubMachine,
    outgoing: Outgoing<C>,
    decoder: C::Decoder,
    keep_alive: KeepAlive,
    is_stateful: bool,
}

/// One client's connection.
pub struct ServerMachine<C: Codec> {
    options: ServerOptions,
    /// What the client may choose from.
    codecs: Vec<C>,
    transport: Transport,
    phase: Phase,
    /// When the present phase, other than `Connected`, has to be over.
    deadline: Moment,
    live: Option<Box<Live<C>>>,
    /// Says why the handshake is refused.
    refusal: Option<Vec<u8>>,
    /// Since when a frame is on its way to the transport.
    sending: Option<Moment>,
    effects: VecDeque<Effect>,
}

impl<C: Codec> ServerMachine<C> {
    /// A connection whose transport is open, and whose handshake is to come. The client may choose one of the codecs.
    #[must_use]
    pub fn new(now: Moment, options: ServerOptions, codecs: Vec<C>, transport: Transport) -> Self {
        Self {
            deadline: now + options.handshake_timeout,
            options,
            codecs,
            transport,
            phase: Phase::Handshaking(HandshakeBuffer::default()),
            live: None,
            refusal: None,
            sending: None,
            effects: VecDeque::new(),
        }
    }

    /// The codec that the client has chosen.
    #[must_use]
    pub fn codec(&self) -> Option<&C> {
        self.live.as_ref().map(|live| live.outgoing.codec())
    }

    /// Whether the client can be called. While a stateful connection waits for a transport it can, and gets it later.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected | Phase::Detached(_))
    }

    /// Whether there is a transport whose inputs count.
    #[must_use]
    pub fn has_transport(&self) -> bool {
        matches!(self.phase, Phase::Handshaking(_) | Phase::Connected)
    }

    /// Whether no call and no upload of the client's is in progress.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.live.as_ref().is_none_or(|live| live.hub.peer_calls() + live.hub.peer_uploads() == 0)
    }

    /// Whether the connection survives the loss of its transport.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_stateful)
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What the transport has to send next, as one frame. To be asked for when it can take one: what is written in the
    /// meantime goes out together.
    pub fn poll_transmit(&mut self, now: Moment) -> Option<Transmit<C::Out>> {
        if self.sending.is_some() {
            return None;
        }
        let transmit = match self.refusal.take() {
            Some(refusal) => Transmit::Handshake(refusal),
            None => {
                let live = self.live.as_mut().filter(|_| !matches!(self.phase, Phase::Detached(_)))?;
                let transmit = live.outgoing.take()?;
                live.keep_alive.handle_sent(now);
                transmit
            }
        };
        self.sending = Some(now);
        Some(transmit)
    }

    /// The transport has taken the frame.
    pub fn handle_transmitted(&mut self, now: Moment) {
        let since = self.sending.take();
        // The client was not read meanwhile. What it sent to show that it is there may still wait.
        if since.is_some_and(|since| now.since(since) >= UNREAD)
            && let Some(live) = &mut self.live
        {
            live.keep_alive.wait(now);
        }
    }

    /// When a frame that is on its way has to be taken.
    fn sent_by(&self) -> Option<Moment> {
        self.sending.map(|since| since + self.options.client_timeout)
    }

    /// Whether to read the next frame: not while the client does not take what it is sent. So a client that calls and
    /// calls but does not read the answers has to wait, and not the server's memory.
    #[must_use]
    pub fn may_read(&self) -> bool {
        let is_behind = || self.live.as_ref().is_some_and(|live| live.outgoing.is_behind());
        self.has_transport() && self.sending.is_none() && !is_behind()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.phase {
            Phase::Handshaking(_) | Phase::Detached(_) => Some(self.deadline),
            Phase::Connected => {
                let live = self.live.as_ref()?;
                let timers =
                    [Some(live.keep_alive.poll_timeout()), live.outgoing.poll_timeout(), self.sent_by()];
                timers.into_iter().flatten().min()
            }
            Phase::Closed => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        match &self.phase {
            Phase::Connected => self.connected_timeout(now),
            Phase::Handshaking(_) if now >= self.deadline => {
                let limit = self.options.handshake_timeout;
                self.refuse("The handshake took too long.", DisconnectReason::HandshakeTimeout { limit });
            }
            Phase::Detached(cause) if now >= self.deadline => {
                let cause = cause.clone();
                self.disconnect(cause);
            }
            _ => {}
        }
    }

    /// Acknowledgements, pings, and the client's silence.
    fn connected_timeout(&mut self, now: Moment) {
        let overdue = self.sent_by().is_some_and(|deadline| now >= deadline);
        let reads = self.may_read();
        let Some(live) = &mut self.live else { return };
        live.outgoing.handle_timeout(now);
        let mut due = live.keep_alive.handle_timeout(now);
        if due == Some(Due::PeerTimeout) && !reads {
            // What is not read cannot show whether the client is there. A ping may be due as well.
            live.keep_alive.wait(now);
            due = live.keep_alive.handle_timeout(now);
        }
        if overdue {
            let limit = self.options.client_timeout;
            return self.lose(now, DisconnectReason::SlowClient { limit });
        }
        match due {
            None => {}
            // A client that shows by its polls that it is there needs no ping to know that the server is.
            Some(Due::Ping) if self.transport == Transport::LongPolling => {}
            Some(Due::Ping) => live.outgoing.write(&HubMessage::Ping, true),
            Some(Due::PeerTimeout) => {
                let limit = self.options.client_timeout;
                let reason = DisconnectReason::ClientTimeout { limit };
                if self.is_stateful() {
                    self.lose(now, reason);
                } else {
                    let text = "The client has sent nothing for longer than its timeout allows.";
                    self.end_with_close(Some(text), true, reason);
                }
            }
        }
    }

    /// Another transport is there for the connection. It needs no handshake: what the client may not have got goes out
    /// again, and messages go on. A transport that has not ended so far is closed.
    ///
    /// # Errors
    /// [`NotResumable`] unless the connection is a stateful one that has not ended.
    pub fn handle_transport(&mut self, now: Moment) -> Result<(), NotResumable> {
        let live = self.live.as_mut().filter(|live| live.is_stateful).ok_or(NotResumable)?;
        match self.phase {
            Phase::Connected => self.effects.push_back(Effect::CloseTransport { abort: true }),
            Phase::Detached(_) => {}
            Phase::Handshaking(_) | Phase::Closed => return Err(NotResumable),
        }
        live.decoder = live.outgoing.codec().decoder(self.options.message_limit);
        live.outgoing.resume(now);
        live.keep_alive.handle_received(now);
        self.phase = Phase::Connected;
        self.sending = None;
        self.effects.push_back(Effect::Resumed);
        Ok(())
    }

    /// The transport was lost.
    pub fn handle_transport_closed(&mut self, now: Moment, error: TransportError) {
        if self.has_transport() {
            self.lose(now, DisconnectReason::Transport(error));
        }
    }

    /// The client has closed the transport in good order, or said that it leaves.
    pub fn handle_left(&mut self) {
        if self.has_transport() {
            self.end(DisconnectReason::ClientClosed { error: None });
        }
    }

    /// The client was there at this moment, as the polls of a transport show that needs no pings.
    pub fn handle_seen(&mut self, at: Moment) {
        if let (Phase::Connected, Some(live)) = (&self.phase, &mut self.live) {
            live.keep_alive.handle_received(at);
        }
    }

    /// Ends the connection, with a Close message where the client can get one.
    pub fn close(&mut self, error: Option<&str>, allow_reconnect: bool) {
        let reason = DisconnectReason::Closed { error: error.map(Into::into), allow_reconnect };
        match self.phase {
            Phase::Connected => self.end_with_close(error, allow_reconnect, reason),
            Phase::Handshaking(_) => self.end(reason),
            Phase::Detached(_) => self.disconnect(reason),
            Phase::Closed => {}
        }
    }

    /// Ends the connection at once: the client does not keep up, or the server cannot wait.
    pub fn abort(&mut self) {
        if self.has_transport() {
            self.effects.push_back(Effect::CloseTransport { abort: true });
        }
        if !matches!(self.phase, Phase::Closed) {
            self.disconnect(DisconnectReason::Aborted);
        }
    }

    /// The transport brought something that no message can be read from.
    pub fn handle_protocol_error(&mut self, error: ProtocolError) {
        match self.phase {
            Phase::Handshaking(_) => self.refuse_handshake(&receive::malformed(error)),
            Phase::Connected => self.fail(error),
            Phase::Detached(_) | Phase::Closed => {}
        }
    }

    /// The protocol was broken. The client may reconnect, as in ASP.NET Core.
    fn fail(&mut self, error: ProtocolError) {
        let text = format!("Connection closed with an error. {error}.");
        self.end_with_close(Some(&text), true, DisconnectReason::Protocol(error));
    }

    fn end_with_close(&mut self, error: Option<&str>, allow_reconnect: bool, reason: DisconnectReason) {
        if let Some(live) = &mut self.live {
            live.outgoing.write(&HubMessage::Close { error: error.map(Into::into), allow_reconnect }, true);
        }
        self.end(reason);
    }

    /// The handshake is refused, in JSON whatever the protocol.
    fn refuse(&mut self, text: &str, reason: DisconnectReason) {
        let mut out = Vec::new();
        crate::core::handshake::HandshakeResponse { error: Some(text.to_owned()) }.write(&mut out);
        self.refusal = Some(out);
        self.end(reason);
    }

    /// Without its transport a stateful connection waits, and any other ends.
    fn lose(&mut self, now: Moment, cause: DisconnectReason) {
        self.effects.push_back(Effect::CloseTransport { abort: true });
        match &mut self.live {
            Some(live) if live.is_stateful => {
                live.outgoing.clear();
                self.sending = None;
                self.deadline = now + self.options.resume_window;
                self.phase = Phase::Detached(cause);
                self.effects.push_back(Effect::Detached);
            }
            _ => self.disconnect(cause),
        }
    }

    fn end(&mut self, reason: DisconnectReason) {
        self.effects.push_back(Effect::CloseTransport { abort: false });
        self.disconnect(reason);
    }

    /// The one exit.
    fn disconnect(&mut self, reason: DisconnectReason) {
        if let Some(live) = &mut self.live {
            live.hub.close();
        }
        self.phase = Phase::Closed;
        self.effects.push_back(Effect::Disconnected(reason));
    }
}

impl<C: Codec> fmt::Debug for ServerMachine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = mem::discriminant(&self.phase);
        f.debug_struct("ServerMachine").field("phase", &phase).finish_non_exhaustive()
    }
}
