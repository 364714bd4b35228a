//! A call of a client's before its method takes it: what filters and fallbacks see.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    arguments::{Incoming, RawArguments},
    caller::Caller,
};
use crate::{
    Arguments, PayloadError, SerializeError, arguments::ArgumentWriter, client::CallTrace,
    core::codec::Payload, payload::Decode as _, property_names::PropertyNames,
};

/// A call of a client's, on its way to its method.
pub struct HubInvocation {
    pub(super) caller: Caller,
    pub(super) target: Arc<str>,
    pub(super) streams: bool,
    pub(super) arguments: RawArguments,
    /// The trace context that came with it.
    pub(super) trace: Option<Box<CallTrace>>,
}

impl HubInvocation {
    /// The client that calls, with its connection.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The name of the method, as the client writes it. Methods are found without regard to case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.target
    }

    /// Whether the client wants a stream.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.streams
    }

    /// How many streams the client uploads with the call. They are not among the [`arguments`](Self::arguments).
    #[must_use]
    pub fn uploads(&self) -> usize {
        self.arguments.uploads.len()
    }

    /// The next stream that the client uploads with the call. A method gets those that are not taken.
    pub fn take_upload<T: DeserializeOwned>(&mut self) -> Option<Incoming<T>> {
        self.arguments.take_upload()
    }

    /// The arguments, read now: as a tuple of the types of the method, such as `(String, u32)`, or, whatever they are, as
    /// `Vec<serde_json::Value>`.
    ///
    /// # Errors
    /// When they are of other types, or not as many.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let payload = Payload::new(self.arguments.protocol, &self.arguments.list);
        payload.decode(PropertyNames::AsDeclared)
    }

    /// Puts others in the place of the arguments.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn set_arguments(&mut self, arguments: impl Arguments) -> Result<(), SerializeError> {
        let mut writer = ArgumentWriter::new(self.arguments.protocol);
        arguments.write(&mut writer)?;
        self.arguments.list = writer.finish_without_uploads()?;
        Ok(())
    }
}

impl fmt::Debug for HubInvocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubInvocation").field("method", &self.target).finish_non_exhaustive()
    }
}
