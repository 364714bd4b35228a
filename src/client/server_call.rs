//! Calls of the server as they are, for handlers that do not know the method beforehand.

use std::fmt;
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;

use crate::client::dispatch::{Call, Registered, panicked};
use crate::client::engine::guard::caught;
use crate::client::reply::Reply;
use crate::core::codec::Payload;
use crate::lock::lock;
use crate::payload::{Decode as _, PayloadError};
use crate::platform::MaybeSend;
use crate::serialize::Encoding;

/// A call of the server whose method and arguments are looked at when it arrives: what
/// [`on_unhandled`](crate::HubConnection::on_unhandled) gives to its handler.
///
/// `Debug` does not show the arguments.
#[derive(Clone)]
pub struct ServerCall {
    method: String,
    arguments: Vec<u8>,
    encoding: Encoding,
    is_awaited: bool,
}

impl ServerCall {
    /// The method, as the server wrote it.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Whether the server waits for a result.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// The arguments as a tuple, such as `(String, u32)`, or as a `Vec` where all are of one type. One argument is
    /// `(T,)`.
    ///
    /// # Errors
    /// When their number or types are others.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        Payload::new(self.encoding.protocol, &self.arguments).decode(self.encoding.names)
    }
}

impl fmt::Debug for ServerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCall")
            .field("method", &self.method)
            .field("is_awaited", &self.is_awaited)
            .finish_non_exhaustive()
    }
}

/// A handler that takes calls as they are.
pub(super) struct Whole<F>(Mutex<F>);

impl<F> Whole<F> {
    pub(super) fn new(handler: F) -> Self {
        Self(Mutex::new(handler))
    }
}

impl<F: FnMut(ServerCall) + MaybeSend> Registered for Whole<F> {
    fn call(self: Arc<Self>, call: &mut Call<'_>, _: Option<Reply>) {
        let taken = ServerCall {
            method: call.target.name.clone(),
            arguments: call.arguments.as_ref().to_vec(),
            encoding: Encoding { protocol: call.arguments.protocol(), names: call.names },
            is_awaited: call.is_awaited,
        };
        // Only who works on the queue takes the lock.
        let attend = || caught(|| lock(&self.0)(taken));
        let attended = match &call.span {
            None => attend(),
            Some(span) => span.in_scope(attend),
        };
        if attended.is_none() {
            panicked(&call.target.name);
        }
    }
}
