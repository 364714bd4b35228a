//! Tasks that end with the component that began them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_channel::oneshot;

#[cfg(feature = "leptos")]
use crate::client::Subscription;

/// A task goes on until this is dropped.
pub(crate) type Job = oneshot::Sender<()>;

/// A future that ends early when the job is dropped, which may happen on any thread.
pub(crate) fn until_dropped(future: impl Future<Output = ()>) -> (Job, impl Future<Output = ()>) {
    let (job, mut dropped) = oneshot::channel();
    let task = async move {
        let mut future = pin!(future);
        poll_fn(|cx| match Pin::new(&mut dropped).poll(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => future.as_mut().poll(cx),
        })
        .await;
    };
    (job, task)
}

/// Removes a handler when it is dropped.
#[cfg(feature = "leptos")]
pub(crate) struct Unsubscribe(Option<Subscription>);

#[cfg(feature = "leptos")]
impl Unsubscribe {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self(Some(subscription))
    }
}

#[cfg(feature = "leptos")]
impl Drop for Unsubscribe {
    fn drop(&mut self) {
        if let Some(subscription) = self.0.take() {
            subscription.unsubscribe();
        }
    }
}
