//! Streams that go to the server with a call.

use std::future::{Future as _, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use futures_channel::oneshot;

use crate::client::engine::connection::{Connection, Job};
use crate::core::codec::{Payload, RawCodec};
use crate::serialize::Encoding;
use crate::upload::UploadItems;

/// The uploads of one call.
pub(super) struct Uploads(Vec<(UploadItems, oneshot::Receiver<()>)>);

impl Uploads {
    /// Each has a job, which stops it when it is dropped.
    pub(super) fn new(uploads: Vec<UploadItems>) -> (Vec<Job>, Self) {
        let with_job = |upload| {
            let (job, stopped) = oneshot::channel();
            (job, (upload, stopped))
        };
        let (jobs, uploads) = uploads.into_iter().map(with_job).unzip();
        (jobs, Self(uploads))
    }

    /// Begins to send, now that the call is written and its uploads have numbers.
    pub(super) fn start(self, connection: &Arc<Connection<RawCodec>>, encoding: Encoding, ids: Range<u64>) {
        if self.0.is_empty() {
            return;
        }
        let Some(runtime) = connection.runtime() else { return };
        for ((upload, stopped), id) in self.0.into_iter().zip(ids) {
            runtime.spawn(run(Arc::clone(connection), id, encoding, upload, stopped));
        }
    }
}

/// Sends an upload, item by item, until it ends or is no longer wanted.
async fn run(
    connection: Arc<Connection<RawCodec>>,
    id: u64,
    encoding: Encoding,
    mut upload: UploadItems,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut running = Running { connection, id, error: Some("The client's stream failed.".to_owned()) };
    loop {
        let item = poll_fn(|cx| match Pin::new(&mut stopped).poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => upload.poll_item(cx, encoding),
        });
        match item.await {
            Some(Ok(item)) => {
                let mut sent = pin!(running.connection.upload(id, Payload::new(encoding.protocol, &item)));
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
