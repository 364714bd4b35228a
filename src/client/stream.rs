//! The items of a stream that the server sends.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_core::Stream;
use serde::de::DeserializeOwned;

use crate::client::CallError;
use crate::client::engine::backlog::{Backlog, Hungry, Waiting};
use crate::client::engine::calls::PendingCall;
use crate::client::engine::connection::{CallEnd, Subscriber};
use crate::client::trace::CallSpan;
use crate::core::codec::{Payload, RawCodec};
use crate::core::message::Outcome;
use crate::payload::Decode as _;
use crate::platform::MaybeSend;
use crate::property_names::PropertyNames;

/// The items of a stream that the server sends, in order, from the first on.
///
/// An error is the last thing it gives: the server's, the end of the connection, or an item of another type. Dropping
/// it before its end tells the server to stop. It does not keep the connection alive: that ends with its last handle.
///
/// It is a [`Stream`], to be combined with others; [`next`](Self::next) needs no other crate.
///
/// ```no_run
/// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
/// let mut ticks = hub.stream::<u64>("Ticks", ("MSFT",)).await?;
/// while let Some(tick) = ticks.next().await {
///     println!("{}", tick?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a stream cancels it"]
pub struct HubStream<T> {
    items: UnboundedReceiver<Delivery<T>>,
    backlog: Arc<Backlog>,
    /// `None` after the end.
    call: Option<Call>,
    hungry: Option<Hungry>,
}

/// The call behind a stream, and its span, which lasts as long.
type Call = (PendingCall<RawCodec>, CallSpan);

/// The last one may be an error, which takes no room.
type Delivery<T> = (Result<T, CallError>, Option<Waiting>);

impl<T: DeserializeOwned + MaybeSend + 'static> HubStream<T> {
    /// What the connection gives the items to, and the way to the stream that hands them on.
    #[allow(clippy::type_complexity, reason = "a name for it would say less")]
    pub(super) fn new(
        backlog: &Arc<Backlog>,
        names: PropertyNames,
    ) -> (Arc<dyn Subscriber<RawCodec>>, impl FnOnce(Call) -> Self) {
        let (sender, items) = mpsc::unbounded();
        let backlog = Arc::clone(backlog);
        let subscriber = Items { sender, backlog: Arc::clone(&backlog), names };
        (Arc::new(subscriber), |call| Self { items, backlog, call: Some(call), hungry: None })
    }
}

impl<T> HubStream<T> {
    /// The next item; `None` after the end, or after an error.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        match Pin::new(&mut self.items).poll_next(cx) {
            Poll::Ready(delivery) => {
                self.hungry = None;
                if !matches!(delivery, Some((Ok(_), _)))
                    && let Some((_, span)) = self.call.take()
                    && let Some((Err(error), _)) = &delivery
                {
                    span.fail(error);
                }
                Poll::Ready(delivery.map(|(item, _waiting)| item))
            }
            Poll::Pending => {
                self.hungry.get_or_insert_with(|| self.backlog.hunger());
                Poll::Pending
            }
        }
    }
}

impl<T> Stream for HubStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<T> fmt::Debug for HubStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubStream").field("has_ended", &self.call.is_none()).finish_non_exhaustive()
    }
}

/// The connection's side of a stream.
struct Items<T> {
    sender: UnboundedSender<Delivery<T>>,
    backlog: Arc<Backlog>,
    names: PropertyNames,
}

impl<T: DeserializeOwned + MaybeSend> Subscriber<RawCodec> for Items<T> {
    fn item(&self, item: Payload<'_>) -> bool {
        match item.decode(self.names) {
            Ok(value) => {
                let waiting = self.backlog.enter(item.as_ref().len());
                // It fails when the stream was dropped in this moment.
                self.sender.unbounded_send((Ok(value), Some(waiting))).is_ok()
            }
            Err(error) => {
                let _ = self.sender.unbounded_send((Err(CallError::Result(error)), None));
                self.sender.close_channel();
                false
            }
        }
    }

    fn end(&self, end: CallEnd<'_, Payload<'_>>) {
        let error = match end {
            CallEnd::Outcome(Outcome::Error(error)) => Some(CallError::Server(error.into_owned())),
            CallEnd::Closed(error) => Some(CallError::Connection(error.clone())),
            CallEnd::Outcome(Outcome::Void | Outcome::Value(_)) | CallEnd::UnexpectedItem => None,
        };
        if let Some(error) = error {
            let _ = self.sender.unbounded_send((Err(error), None));
        }
        self.sender.close_channel();
    }
}
