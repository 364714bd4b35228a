//! What a call is answered with, as filters and fallbacks see and make it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use serde::{Serialize, de::DeserializeOwned};

use super::error::HubError;
use crate::{
    PayloadError,
    core::{HubProtocol, codec::Payload},
    payload::Decode as _,
    property_names::PropertyNames,
    serialize::serialize,
};

/// An encoded value, or why there is none.
pub(super) type Encoded = Result<Vec<u8>, HubError>;

pub(super) type Items = Pin<Box<dyn Stream<Item = Encoded> + Send>>;

/// What a call is answered with: a value, or a stream.
pub struct Reply(Kind);

enum Kind {
    Value(Box<dyn FnOnce(HubProtocol) -> Encoded + Send>),
    Stream(Box<dyn FnOnce(HubProtocol) -> Items + Send>),
    /// Of a method, in its caller's protocol.
    Encoded(HubProtocol, Vec<u8>),
    Items(HubProtocol, Items),
}

/// What goes to the client.
pub(super) enum Written {
    Value(Vec<u8>),
    Items(Items),
}

impl Reply {
    /// A value.
    pub fn new(value: impl Serialize + Send + 'static) -> Self {
        Self(Kind::Value(Box::new(move |protocol| encode(protocol, &value))))
    }

    /// A stream, for a call that wants one.
    pub fn stream<T, S>(items: S) -> Self
    where
        T: Serialize + 'static,
        S: Stream<Item = Result<T, HubError>> + Send + 'static,
    {
        Self(Kind::Stream(Box::new(move |protocol| encode_items(protocol, items))))
    }

    pub(super) fn encoded(protocol: HubProtocol, value: Vec<u8>) -> Self {
        Self(Kind::Encoded(protocol, value))
    }

    pub(super) fn items(protocol: HubProtocol, items: Items) -> Self {
        Self(Kind::Items(protocol, items))
    }

    /// Whether it is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Kind::Stream(_) | Kind::Items(..))
    }

    /// The value that a method has returned, read as another type. A reply that a filter has made is written only when it is
    /// sent; it cannot be read, nor can a stream.
    ///
    /// # Errors
    /// When it is not of this type.
    pub fn value<T: DeserializeOwned>(&self) -> Option<Result<T, PayloadError>> {
        let Kind::Encoded(protocol, value) = &self.0 else { return None };
        Some(Payload::new(*protocol, value).decode(PropertyNames::AsDeclared))
    }

    /// Runs something when the client has got all of a stream, or no longer wants it. A value runs it at once.
    #[must_use]
    pub fn on_end(self, run: impl FnOnce() + Send + 'static) -> Self {
        let end = OnDrop(Some(Box::new(run)));
        match self.0 {
            Kind::Stream(make) => Self(Kind::Stream(Box::new(move |protocol| {
                Box::pin(Watched { items: make(protocol), _end: end })
            }))),
            Kind::Items(protocol, items) => Self::items(protocol, Box::pin(Watched { items, _end: end })),
            value => Self(value),
        }
    }

    pub(super) fn write(self, protocol: HubProtocol) -> Result<Written, HubError> {
        Ok(match self.0 {
            Kind::Value(write) => Written::Value(write(protocol)?),
            Kind::Stream(make) => Written::Items(make(protocol)),
            Kind::Encoded(_, value) => Written::Value(value),
            Kind::Items(_, items) => Written::Items(items),
        })
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("is_stream", &self.is_stream()).finish_non_exhaustive()
    }
}

pub(super) fn encode<T: Serialize>(protocol: HubProtocol, value: &T) -> Encoded {
    let mut out = Vec::new();
    serialize(protocol, &mut out, value)?;
    Ok(out)
}

/// A stream of values as one of encoded items.
pub(super) fn encode_items<T, S>(protocol: HubProtocol, items: S) -> Items
where
    T: Serialize + 'static,
    S: Stream<Item = Result<T, HubError>> + Send + 'static,
{
    Box::pin(EncodedItems(Box::pin(items), protocol))
}

/// The items of a stream, written.
struct EncodedItems<S>(S, HubProtocol);

impl<T: Serialize, S: Stream<Item = Result<T, HubError>>> Stream for EncodedItems<Pin<Box<S>>> {
    type Item = Encoded;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let protocol = self.1;
        let item = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| item.and_then(|item| encode(protocol, &item))))
    }
}

/// A stream whose end somebody wants to know of.
struct Watched {
    items: Items,
    _end: OnDrop,
}

struct OnDrop(Option<Box<dyn FnOnce() + Send>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

impl Stream for Watched {
    type Item = Encoded;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        self.items.as_mut().poll_next(cx)
    }
}
