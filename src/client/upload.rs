//! Streams that go to the server with a call.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_channel::oneshot;
use futures_core::Stream;
use serde::Serialize;

use crate::arguments::serialize;
use crate::client::engine::connection::{Connection, Job};
use crate::core::HubProtocol;
use crate::core::codec::{Payload, RawCodec};
use crate::platform::MaybeSend;

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
    fn poll_item(
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

/// The uploads of one call.
pub(super) struct Uploads(Vec<(Upload, oneshot::Receiver<()>)>);

impl Uploads {
    /// Each has a job, which stops it when it is dropped.
    pub(super) fn new(uploads: Vec<Upload>) -> (Vec<Job>, Self) {
        let with_job = |upload| {
            let (job, stopped) = oneshot::channel();
            (job, (upload, stopped))
        };
        let (jobs, uploads) = uploads.into_iter().map(with_job).unzip();
        (jobs, Self(uploads))
    }

    /// Begins to send, now that the call is written and its uploads have numbers.
    pub(super) fn start(
        self,
        connection: &Arc<Connection<RawCodec>>,
        protocol: HubProtocol,
        ids: Range<u64>,
    ) {
        if self.0.is_empty() {
            return;
        }
        let Some(runtime) = connection.runtime() else { return };
        for ((upload, stopped), id) in self.0.into_iter().zip(ids) {
            runtime.spawn(run(Arc::clone(connection), id, protocol, upload, stopped));
        }
    }
}

/// Sends an upload, item by item, until it ends or is no longer wanted.
async fn run(
    connection: Arc<Connection<RawCodec>>,
    id: u64,
    protocol: HubProtocol,
    mut upload: Upload,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut running = Running { connection, id, error: Some("The client's stream failed.".to_owned()) };
    loop {
        let item = poll_fn(|cx| match Pin::new(&mut stopped).poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => upload.poll_item(cx, protocol),
        });
        match item.await {
            Some(Ok(item)) => {
                let mut sent = pin!(running.connection.upload(id, Payload::new(protocol, &item)));
                let wanted = poll_fn(|cx| match sent.as_mut().poll(cx) {
                    // This task is woken when no more items are wanted.
                    Poll::Pending if Pin::new(&mut stopped).poll(cx).is_ready() => Poll::Ready(false),
                    wanted => wanted,
                });
                if !wanted.await {
                    return;
                }
            }
            Some(Err(error)) => {
                running.error = Some(error);
                return;
            }
            None => {
                running.error = None;
                return;
            }
        }
    }
}

/// Tells the server of the end of an upload, even if the stream panics.
struct Running {
    connection: Arc<Connection<RawCodec>>,
    id: u64,
    error: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.connection.end_upload(self.id, self.error.as_deref());
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
