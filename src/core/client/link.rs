//! What is known of a transport and of the connection on it.

use std::time::Duration;

use super::Effect;
use crate::core::Moment;
use crate::core::keepalive::KeepAlive;
use crate::core::negotiate::Transport;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;

/// How many times in a row a resume is tried without a message from the server in between.
pub(super) const FRUITLESS_RESUMES: u8 = 3;

/// What was agreed on in negotiate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Which transport carries the connection.
    pub transport: Transport,
    /// The server that hosts it: the hub's URL, or where it redirected to.
    pub url: HubUrl,
    /// The connection's public id; `None` when negotiate was skipped.
    pub connection_id: Option<String>,
    /// The version of negotiate that was agreed on.
    pub negotiate_version: i64,
    /// The token of the connection's requests. `Debug` does not show it.
    pub token: Option<AccessToken>,
    /// Whether the connection survives the loss of its socket (stateful reconnect).
    pub stateful: bool,
    /// How long the credentials are valid, if the server told it.
    pub token_lifetime: Option<Duration>,
}

/// A transport that is open or about to be, and all it takes to open it again.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) info: ConnectionInfo,
    pub(super) url: HubUrl,
    pub(super) connection_token: Option<AccessToken>,
    /// Whether the token came with a redirect, so that the provider has no newer one.
    pub(super) redirected_token: bool,
}

impl Link {
    pub(super) fn open(&self) -> Effect {
        Effect::Open { transport: self.info.transport, url: self.url.clone() }
    }
}

/// A connection that is up.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) link: Box<Link>,
    /// `None` where the transport keeps itself alive.
    pub(super) keep_alive: Option<KeepAlive>,
    /// How often the socket was replaced since the server's last sign of life.
    pub(super) fruitless_resumes: u8,
}

impl Live {
    /// The server is there.
    pub(super) fn handle_sign_of_life(&mut self, now: Moment) {
        self.fruitless_resumes = 0;
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.handle_received(now);
        }
    }
}
