//! The calls of a method that await an answer, as a stream, for front-end frameworks.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_channel::oneshot;
use futures_core::Stream as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::HubConnection;
use crate::client::handler::sealed::Callable;
use crate::client::handlers::Subscription;
use crate::client::listener::Event;
use crate::platform::MaybeSend;

/// The calls of one method that await an answer, one after the other. Dropping it removes its handler.
pub(crate) struct Questions<T, V> {
    questions: UnboundedReceiver<Question<T, V>>,
    subscription: Option<Subscription>,
}

/// A call that awaits an answer.
pub(crate) struct Question<T, V> {
    arguments: T,
    answer: oneshot::Sender<Result<V, String>>,
}

impl<T, V> Questions<T, V> {
    /// Listens to what a handler asks that this registers.
    pub(crate) fn new(register: impl FnOnce(Ask<T, V>) -> Subscription) -> Self {
        let (sender, questions) = mpsc::unbounded();
        let subscription = register(Ask(sender));
        Self { questions, subscription: Some(subscription) }
    }

    /// The next call; `None` when the connection's handlers are gone.
    pub(crate) async fn next(&mut self) -> Option<Question<T, V>> {
        poll_fn(|cx| Pin::new(&mut self.questions).poll_next(cx)).await
    }
}

impl<T, V> Drop for Questions<T, V> {
    fn drop(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.unsubscribe();
        }
    }
}

impl<T, V> Question<T, V> {
    /// Answers, unless the server cancels the call before.
    pub(crate) async fn answer<F, E>(self, find: impl FnOnce(T) -> F)
    where
        F: Future<Output = Result<V, E>>,
        E: fmt::Display,
    {
        let Self { arguments, mut answer } = self;
        let mut found = pin!(find(arguments));
        let result = poll_fn(|cx| match answer.poll_canceled(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => found.as_mut().poll(cx).map(Some),
        });
        if let Some(result) = result.await {
            // It fails when the call was cancelled in this moment.
            let _ = answer.send(result.map_err(|error| error.to_string()));
        }
    }
}

/// Gives the calls of a method to a component that answers.
pub struct Ask<T, V>(UnboundedSender<Question<T, V>>);

impl<T, V> Ask<T, V> {
    /// Gives the arguments of a call to the component, and awaits its answer.
    pub fn ask(&self, arguments: T) -> impl Future<Output = Result<V, String>> + use<T, V> {
        self.hand_over(arguments)
    }

    fn hand_over(&self, arguments: T) -> Answered<V> {
        let (answer, answered) = oneshot::channel();
        // It fails when the component is gone in this moment, and so does the answer.
        let _ = self.0.unbounded_send(Question { arguments, answer });
        Answered(answered)
    }
}

impl<T, V> fmt::Debug for Ask<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").finish_non_exhaustive()
    }
}

impl HubConnection {
    /// Registers a handler that asks.
    pub(crate) fn ask<T, V>(&self, target: &str, ask: Ask<T, V>) -> Subscription
    where
        T: DeserializeOwned + MaybeSend + 'static,
        V: Serialize + MaybeSend + 'static,
    {
        self.subscribe_answer(target, Asker(ask))
    }
}

/// The handler that asks.
struct Asker<T, V>(Ask<T, V>);

impl<T, V> Callable<Self> for Asker<T, V>
where
    T: DeserializeOwned + MaybeSend + 'static,
    V: Serialize + MaybeSend + 'static,
{
    type Arguments = Event<T>;
    type Output = Result<V, String>;
    type Future = Answered<V>;

    const IS_PLAIN: bool = false;

    fn call(&mut self, Event(arguments): Event<T>) -> Answered<V> {
        self.0.hand_over(arguments)
    }
}

struct Answered<V>(oneshot::Receiver<Result<V, String>>);

impl<V> Future for Answered<V> {
    type Output = Result<V, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = |_| Err("Client's handler was removed.".to_owned());
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(gone))
    }
}
