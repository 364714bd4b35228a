//! The REST API of one endpoint: what a request addresses, what it carries, how it is authenticated and repeated.

pub(in crate::service) mod exchange;
pub(in crate::service) mod keys;
pub(in crate::service) mod payload;
pub(in crate::service) mod request;
pub(in crate::service) mod retry;
pub(in crate::service) mod scope;
