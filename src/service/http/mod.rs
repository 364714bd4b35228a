//! Requests over HTTP: the clients that send them, the rules for their addresses, the limits of what comes back.

pub(in crate::service) mod addresses;
pub(crate) mod body;
pub(in crate::service) mod clients;
pub(in crate::service) mod url;
