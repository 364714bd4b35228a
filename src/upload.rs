//! A stream among the arguments of a call.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::Serialize;

use crate::platform::MaybeSend;
use crate::serialize::{Encoding, serialize};

/// A stream of `T` that is uploaded as an argument of a call: its items follow the call, one message each.
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
pub struct Upload<T> {
    items: UploadItems,
    item: PhantomData<fn() -> T>,
}

impl<T: Serialize> Upload<T> {
    /// Uploads the items of a stream that does not fail.
    pub fn new<S>(stream: S) -> Self
    where
        S: Stream<Item = T> + MaybeSend + 'static,
    {
        Self::encoded(stream, |encoding, item| bytes(encoding, &item))
    }

    /// Uploads the items of a stream until it fails. The server gets the error as text.
    pub fn try_new<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + MaybeSend + 'static,
        E: fmt::Display,
    {
        Self::encoded(stream, |encoding, item| bytes(encoding, &item.map_err(|error| error.to_string())?))
    }

    fn encoded<S: Stream + MaybeSend + 'static>(
        stream: S,
        encode: fn(Encoding, S::Item) -> Result<Vec<u8>, String>,
    ) -> Self {
        let items = UploadItems(Some(Box::new(Encoded { stream: Box::pin(stream), encode })));
        Self { items, item: PhantomData }
    }
}

impl<T> Upload<T> {
    /// The items, whatever they are.
    pub(crate) fn into_items(self) -> UploadItems {
        self.items
    }
}

impl<T> fmt::Debug for Upload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// The items of an [`Upload`] without their type; `None` after the end.
pub(crate) struct UploadItems(Option<Box<dyn Items>>);

impl fmt::Debug for UploadItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadItems").finish_non_exhaustive()
    }
}

impl UploadItems {
    /// The next item as bytes, or the text of the error that ends the upload. `None` after the end.
    pub(crate) fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        encoding: Encoding,
    ) -> Poll<Option<Result<Vec<u8>, String>>> {
        let Some(items) = &mut self.0 else { return Poll::Ready(None) };
        let item = ready!(items.poll_item(cx, encoding));
        if !matches!(item, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(item)
    }
}

/// A stream without its types.
trait Items: MaybeSend {
    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        encoding: Encoding,
    ) -> Poll<Option<Result<Vec<u8>, String>>>;
}

struct Encoded<S: Stream> {
    stream: Pin<Box<S>>,
    encode: fn(Encoding, S::Item) -> Result<Vec<u8>, String>,
}

impl<S: Stream + MaybeSend> Items for Encoded<S> {
    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
        encoding: Encoding,
    ) -> Poll<Option<Result<Vec<u8>, String>>> {
        let item = ready!(self.stream.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| (self.encode)(encoding, item)))
    }
}

fn bytes<T: Serialize>(encoding: Encoding, item: &T) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match serialize(encoding, &mut bytes, item) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(format!("an item cannot be serialized: {error}")),
    }
}
