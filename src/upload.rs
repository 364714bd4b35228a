//! A stream among the arguments of a call.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::Serialize;

use crate::core::HubProtocol;
use crate::platform::MaybeSend;
use crate::serialize::serialize;

/// A stream that is uploaded as an argument of a call: its items follow the call, one message each.
///
/// ```no_run
/// use futures_util::stream;
/// use hubwire::Upload;
///
/// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
/// let sum: i64 = hub.invoke("UploadSum", (Upload::new(stream::iter([1, 2, 3])),)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Upload {
    /// `None` after the end.
    items: Option<Box<dyn Items>>,
}

impl Upload {
    /// Uploads the items of a stream that does not fail.
    pub fn new<S>(stream: S) -> Self
    where
        S: Stream<Item: Serialize> + MaybeSend + 'static,
    {
        Self { items: Some(Box::new(Plain(Box::pin(stream)))) }
    }

    /// Uploads the items of a stream until it fails. The server gets the error as text.
    pub fn try_new<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + MaybeSend + 'static,
        T: Serialize,
        E: fmt::Display,
    {
        Self { items: Some(Box::new(Fallible(Box::pin(stream)))) }
    }

    /// The next item as bytes, or the text of the error that ends the upload. `None` after the end.
    pub(crate) fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        protocol: HubProtocol,
    ) -> Poll<Option<Result<Vec<u8>, String>>> {
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        let item = ready!(items.poll_item(cx, protocol));
        if !matches!(item, Some(Ok(_))) {
            self.items = None;
        }
        Poll::Ready(item)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// A stream without its types.
trait Items: MaybeSend {
    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        protocol: HubProtocol,
    ) -> Poll<Option<Result<Vec<u8>, String>>>;
}

struct Plain<S>(Pin<Box<S>>);

impl<S: Stream<Item: Serialize> + MaybeSend> Items for Plain<S> {
    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        protocol: HubProtocol,
    ) -> Poll<Option<Result<Vec<u8>, String>>> {
        let item = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| bytes(protocol, &item)))
    }
}

struct Fallible<S>(Pin<Box<S>>);

impl<S, T, E> Items for Fallible<S>
where
    S: Stream<Item = Result<T, E>> + MaybeSend,
    T: Serialize,
    E: fmt::Display,
{
    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        protocol: HubProtocol,
    ) -> Poll<Option<Result<Vec<u8>, String>>> {
        let item = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| match item {
            Ok(item) => bytes(protocol, &item),
            Err(error) => Err(error.to_string()),
        }))
    }
}

fn bytes<T: Serialize>(protocol: HubProtocol, item: &T) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match serialize(protocol, &mut bytes, item) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(format!("an item cannot be serialized: {error}")),
    }
}
