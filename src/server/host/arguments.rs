//! The arguments of a method: values, and streams that the client uploads.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_channel::mpsc::UnboundedReceiver as Receiver;
use futures_core::Stream;
use serde::de::{DeserializeOwned, Deserializer, SeqAccess, Visitor};

use crate::{
    PayloadError,
    core::{HubProtocol, codec::Payload},
    payload::{Decode as _, Read, read},
    property_names::PropertyNames,
    server::host::budget::Waiting,
};

/// What comes of an upload. Without an end, it is the connection or the call that has ended.
#[derive(Debug)]
pub(super) enum UploadEvent {
    Item(Vec<u8>, Waiting),
    Ended(Option<String>),
}

/// A stream that the client uploads with a call: an argument of a method.
///
/// An error is the last thing it gives. When it is dropped, what still comes is ignored. A client that uploads faster
/// than a method reads has to wait.
pub struct Incoming<T> {
    events: Receiver<UploadEvent>,
    protocol: HubProtocol,
    ended: bool,
    items: PhantomData<fn() -> T>,
}

/// Why an upload broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The client says that it failed.
    #[error("the client's stream failed: {0}")]
    Failed(String),
    /// The connection has ended, or the call that the stream belongs to.
    #[error("the connection or the call ended before the client's stream did")]
    Disconnected,
    /// An item is not of the type that was asked for.
    #[error("an item of the client's stream cannot be read: {0}")]
    Item(#[from] PayloadError),
}

impl<T: DeserializeOwned> Incoming<T> {
    /// The next item; `None` after the end, or after an error.
    pub async fn next(&mut self) -> Option<Result<T, UploadError>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl<T: DeserializeOwned> Incoming<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, UploadError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match std::task::ready!(Pin::new(&mut self.events).poll_next(cx)) {
            None => Err(UploadError::Disconnected),
            Some(UploadEvent::Item(item, _waiting)) => {
                let payload = Payload::new(self.protocol, &item);
                payload.decode(PropertyNames::AsDeclared).map_err(UploadError::Item)
            }
            Some(UploadEvent::Ended(None)) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(UploadEvent::Ended(Some(text))) => Err(UploadError::Failed(text)),
        };
        self.ended = item.is_err();
        Poll::Ready(Some(item))
    }
}

impl<T: DeserializeOwned> Stream for Incoming<T> {
    type Item = Result<T, UploadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

/// The arguments of a call as they came.
pub(super) struct RawArguments {
    pub(super) protocol: HubProtocol,
    pub(super) list: Vec<u8>,
    pub(super) uploads: Vec<Receiver<UploadEvent>>,
}

impl RawArguments {
    /// The next stream that the client uploads.
    pub(super) fn take_upload<T>(&mut self) -> Option<Incoming<T>> {
        let next = (!self.uploads.is_empty()).then(|| self.uploads.remove(0))?;
        Some(Incoming { events: next, protocol: self.protocol, ended: false, items: PhantomData })
    }
}

/// Why a method cannot be called with the arguments that came.
pub(super) enum Mismatch {
    /// They are too few, too many, or of other types.
    Values(String),
    /// So are the streams that the client uploads with them.
    Streams { sent: usize, expected: usize },
}

/// The arguments of a method, as a tuple.
pub(super) trait HubArguments: Sized {
    fn take(raw: RawArguments) -> Result<Self, Mismatch>;
}

/// One argument of a method: whatever serde can read, or an [`Incoming`] stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a hub's method",
    label = "serde cannot read this",
    note = "an argument implements `serde::Deserialize` and owns what it holds: `String`, not `&str`; or it is a `hubwire::server::Incoming`"
)]
pub trait HubArgument: Sized + Send + 'static {
    #[doc(hidden)]
    const IS_STREAM: bool;

    #[doc(hidden)]
    fn value<'de, S: SeqAccess<'de>>(list: &mut S) -> Result<Option<Self>, S::Error>;

    #[doc(hidden)]
    fn stream(upload: sealed::Upload) -> Option<Self>;
}

impl<T: DeserializeOwned + Send + 'static> HubArgument for T {
    const IS_STREAM: bool = false;

    fn value<'de, S: SeqAccess<'de>>(list: &mut S) -> Result<Option<Self>, S::Error> {
        list.next_element()
    }

    fn stream(_: sealed::Upload) -> Option<Self> {
        None
    }
}

impl<T: DeserializeOwned + Send + 'static> HubArgument for Incoming<T> {
    const IS_STREAM: bool = true;

    fn value<'de, S: SeqAccess<'de>>(_: &mut S) -> Result<Option<Self>, S::Error> {
        Ok(None)
    }

    fn stream(sealed::Upload(protocol, events): sealed::Upload) -> Option<Self> {
        Some(Self { events, protocol, ended: false, items: PhantomData })
    }
}

mod sealed {
    use super::{HubProtocol, Receiver, UploadEvent};

    /// Not for others.
    #[allow(missing_debug_implementations, reason = "nobody sees it")]
    pub struct Upload(pub(super) HubProtocol, pub(super) Receiver<UploadEvent>);
}

/// What was read, or how many arguments there are instead.
type Counted<T> = Result<T, usize>;

macro_rules! arguments {
    ($($count:literal: $($name:ident)*;)*) => {
        $(
            impl<$($name: HubArgument),*> HubArguments for ($($name,)*) {
                #[allow(non_snake_case, unused_mut, unused_variables, reason = "the names of the types are used for the values")]
                fn take(raw: RawArguments) -> Result<Self, Mismatch> {
                    let RawArguments { protocol, list, uploads } = raw;
                    let are_streams: &[bool] = &[$($name::IS_STREAM),*];
                    let streams = are_streams.iter().filter(|is_stream| **is_stream).count();
                    let expected = are_streams.len() - streams;

                    struct Values<$($name),*>(PhantomData<fn() -> ($($name,)*)>);

                    impl<$($name: HubArgument),*> Read for Values<$($name),*> {
                        type Value = Counted<($(Option<$name>,)*)>;

                        fn read<'de, De: Deserializer<'de>>(self, deserializer: De) -> Result<Self::Value, De::Error> {
                            deserializer.deserialize_seq(self)
                        }
                    }

                    impl<'de, $($name: HubArgument),*> Visitor<'de> for Values<$($name),*> {
                        type Value = Counted<($(Option<$name>,)*)>;

                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            f.write_str("a list of arguments")
                        }

                        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                            let mut given = 0_usize;
                            $(
                                let $name = if $name::IS_STREAM {
                                    None
                                } else {
                                    let value = $name::value(&mut list)?;
                                    if value.is_none() {
                                        return Ok(Err(given));
                                    }
                                    given += 1;
                                    value
                                };
                            )*
                            let known = given;
                            while list.next_element::<serde::de::IgnoredAny>()?.is_some() {
                                given += 1;
                            }
                            Ok(if given == known { Ok(($($name,)*)) } else { Err(given) })
                        }
                    }

                    let payload = Payload::new(protocol, &list);
                    let values = read(payload, Values::<$($name),*>(PhantomData));
                    let ($($name,)*) = values
                        .map_err(|error| Mismatch::Values(error.to_string()))?
                        .map_err(|given| Mismatch::Values(format!(
                            "InvalidDataException: Invocation provides {given} argument(s) but target expects {expected}."
                        )))?;
                    let sent = uploads.len();
                    if sent != streams {
                        return Err(Mismatch::Streams { sent, expected: streams });
                    }
                    let mut uploads = uploads.into_iter();
                    $(
                        let $name = match $name {
                            Some(value) => value,
                            None => uploads
                                .next()
                                .and_then(|events| $name::stream(sealed::Upload(protocol, events)))
                                .ok_or(Mismatch::Streams { sent, expected: streams })?,
                        };
                    )*
                    Ok(($($name,)*))
                }
            }
        )*
    };
}

arguments! {
    0: ;
    1: A1;
    2: A1 A2;
    3: A1 A2 A3;
    4: A1 A2 A3 A4;
    5: A1 A2 A3 A4 A5;
    6: A1 A2 A3 A4 A5 A6;
    7: A1 A2 A3 A4 A5 A6 A7;
    8: A1 A2 A3 A4 A5 A6 A7 A8;
}
