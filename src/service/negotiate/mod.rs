//! What a client is given to connect with: a URL of the service and a token.
//!
//! [`NegotiateOptions`](crate::service::NegotiateOptions) say what the token says about the client,
//! [`ClientAccess`](crate::service::ClientAccess) is the result of
//! [`HubClient::negotiate`](crate::service::HubClient::negotiate), and [`EntraStrategy`] chooses who signs the token.
//! [`RefreshOptions`] say what a [refresh](crate::service::HubClient::refresh_authentication) changes,
//! [`RefreshedAccess`] is what comes of it.

pub(super) mod client_url;
pub(super) mod options;
pub(super) mod refresh;
pub(super) mod token;

pub use crate::core::negotiate::{Transport, Transports};
pub use options::{EntraStrategy, TokenAlgorithm};
pub use refresh::{ConnectionClaims, RefreshOptions, RefreshedAccess};
