//! What a connection needs to know before it starts.

use std::time::Duration;

use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::negotiate::{TransferFormat, Transport, TransportChoice, Transports};
use crate::core::url::HubUrl;
use crate::core::{keepalive, refresh, stateful};

/// How long a token, an HTTP answer or an open socket is waited for. The official clients' `timeout`.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(100);

/// How long the answer to the handshake is waited for.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// What a connection needs to know. Times are those of the official clients unless set.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The hub.
    pub url: HubUrl,
    /// Which transports can carry the connection. Their format is that of the codec.
    pub transports: TransportChoice,
    /// The driver has a transport of its own for every connection, whatever the server offers.
    pub custom_transport: bool,
    /// Open a WebSocket at the hub's URL without negotiate. There is no connection id then, and no redirect.
    pub skip_negotiation: bool,
    /// Whether to ask for stateful reconnect.
    pub use_stateful_reconnect: bool,
    /// How many bytes wait for their acknowledgement, with stateful reconnect, before sending waits.
    pub stateful_buffer_size: usize,
    /// How long before their end the credentials are refreshed automatically; `None` for not at all.
    pub refresh_lead: Option<Duration>,
    /// The largest message that the server may send, in bytes. The driver's transport has to allow as much.
    pub message_limit: usize,
    /// Whether there is a retry policy to ask when the connection is lost.
    pub automatic_reconnect: bool,
    /// Whether that policy is asked as well when the first connect fails in a way that may pass.
    pub retry_first_connect: bool,
    /// Whether there is an access token provider to ask.
    pub has_token_provider: bool,
    /// Whether plain http to other machines is allowed.
    pub insecure_http: bool,
    /// A ping is sent after so long without another message.
    pub keep_alive_interval: Duration,
    /// The connection ends after so long without a byte from the server.
    pub server_timeout: Duration,
    /// See [`DEFAULT_HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// See [`DEFAULT_REQUEST_TIMEOUT`].
    pub request_timeout: Duration,
}

impl ClientOptions {
    /// WebSockets alone, with the default times.
    #[must_use]
    pub fn new(url: HubUrl) -> Self {
        Self {
            url,
            transports: TransportChoice {
                allowed: Transports::ALL,
                available: Transport::WebSockets.into(),
                format: TransferFormat::Text,
            },
            custom_transport: false,
            skip_negotiation: false,
            use_stateful_reconnect: false,
            stateful_buffer_size: stateful::DEFAULT_BUFFER_SIZE,
            refresh_lead: Some(refresh::DEFAULT_LEAD),
            message_limit: DEFAULT_MESSAGE_LIMIT,
            automatic_reconnect: false,
            retry_first_connect: false,
            has_token_provider: false,
            insecure_http: false,
            keep_alive_interval: keepalive::DEFAULT_INTERVAL,
            server_timeout: keepalive::DEFAULT_TIMEOUT,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
        }
    }

    pub(super) fn is_allowed(&self, url: &HubUrl) -> bool {
        url.is_https() || url.is_loopback() || self.insecure_http
    }
}
