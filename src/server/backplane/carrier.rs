//! What carries bytes between servers: the trait that a broker is put behind.

use std::{fmt, future::Future, sync::Arc};

use futures_util::future::BoxFuture;

use crate::Cause;

/// Publish and subscribe of bytes, by whatever broker: all that several servers need to be one hub.
///
/// Channels are texts of up to a few hundred bytes; a hub has one for each connection, user and group. What is published
/// to a channel reaches every subscriber once, the publisher among them, in the order in which one publisher has
/// published it. A message that cannot be published is an error and is not kept for later: the caller decides what to do.
///
/// ```
/// use std::{collections::HashMap, sync::{Arc, Mutex, OnceLock}};
/// use hubwire::server::backplane::{Backplane, BackplaneError, BackplaneSink};
///
/// /// A broker within this process. [`InMemoryBackplane`](hubwire::server::backplane::InMemoryBackplane) is a better one.
/// #[derive(Clone, Default)]
/// struct Broker(Arc<Mutex<HashMap<String, Vec<BackplaneSink>>>>);
///
/// struct Line { broker: Broker, sink: OnceLock<BackplaneSink> }
///
/// impl Backplane for Line {
///     fn start(&self, sink: BackplaneSink) {
///         let _ = self.sink.set(sink);
///     }
///
///     async fn publish(&self, channel: &str, message: &[u8]) -> Result<Option<u64>, BackplaneError> {
///         let subscribers = self.broker.0.lock().unwrap().get(channel).cloned().unwrap_or_default();
///         subscribers.iter().for_each(|sink| sink.message(channel, message.to_vec()));
///         Ok(Some(subscribers.len() as u64))
///     }
///
///     async fn subscribe(&self, channel: &str) -> Result<(), BackplaneError> {
///         let sink = self.sink.get().expect("it is started").clone();
///         self.broker.0.lock().unwrap().entry(channel.to_owned()).or_default().push(sink);
///         Ok(())
///     }
///
///     async fn unsubscribe(&self, channel: &str) -> Result<(), BackplaneError> {
///         let (mut channels, sink) = (self.broker.0.lock().unwrap(), self.sink.get());
///         if let (Some(subscribers), Some(sink)) = (channels.get_mut(channel), sink) {
///             subscribers.retain(|other| !other.is(sink));
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Backplane: Send + Sync + 'static {
    /// Connects, and keeps connected until this is dropped. Called once, before anything else, within a tokio runtime.
    /// What arrives, and whether the connection stands, is told to `sink`.
    fn start(&self, sink: BackplaneSink);

    /// Publishes a message. How many have received it, if the broker knows.
    fn publish(
        &self,
        channel: &str,
        message: &[u8],
    ) -> impl Future<Output = Result<Option<u64>, BackplaneError>> + Send;

    /// Subscribes to a channel. It is never called for a channel that is subscribed to. While there is no connection it
    /// notes the channel, for when there is one again, and succeeds.
    fn subscribe(&self, channel: &str) -> impl Future<Output = Result<(), BackplaneError>> + Send;

    /// Ends a subscription. While there is no connection it notes that, and succeeds.
    fn unsubscribe(&self, channel: &str) -> impl Future<Output = Result<(), BackplaneError>> + Send;
}

/// Why something was not published.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackplaneError {
    /// There is no connection to the broker. The message was not sent.
    #[error("there is no connection to the backplane")]
    Unavailable(#[source] Cause),
    /// The connection broke, or the broker did not answer in time. The message may have arrived or not.
    #[error("the connection to the backplane broke while a message was sent, which may have arrived or not")]
    Uncertain(#[source] Cause),
    /// The broker does not do it, say because of missing permissions.
    #[error("the backplane has refused")]
    Refused(#[source] Cause),
}

/// Where a [`Backplane`] tells what arrives. It is cheap to clone.
#[derive(Clone)]
pub struct BackplaneSink(Arc<dyn Fn(Arrival<'_>) + Send + Sync>);

/// What a [`Backplane`] tells.
pub(super) enum Arrival<'a> {
    Message(&'a str, Vec<u8>),
    Lost(Cause),
    Restored,
}

impl BackplaneSink {
    pub(super) fn new(take: impl Fn(Arrival<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// A message has arrived. It is put into the queues of its clients before this returns; nothing in it waits, so that
    /// the broker's own flow control holds back what comes too fast.
    pub fn message(&self, channel: &str, message: Vec<u8>) {
        (self.0)(Arrival::Message(channel, message));
    }

    /// The connection is lost, or could not be made at first. What others publish from now on does not arrive.
    pub fn lost(&self, why: impl Into<Cause>) {
        (self.0)(Arrival::Lost(why.into()));
    }

    /// The connection stands again, and everything is subscribed to.
    pub fn restored(&self) {
        (self.0)(Arrival::Restored);
    }

    /// Whether both lead to the same hub.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for BackplaneSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackplaneSink")
    }
}

/// A [`Backplane`] whose type is not known.
pub(crate) trait AnyBackplane: Send + Sync {
    fn start(&self, sink: BackplaneSink);
    fn publish<'a>(
        &'a self,
        channel: &'a str,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<u64>, BackplaneError>>;
    fn subscribe<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<(), BackplaneError>>;
    fn unsubscribe<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<(), BackplaneError>>;
}

impl<B: Backplane> AnyBackplane for B {
    fn start(&self, sink: BackplaneSink) {
        Backplane::start(self, sink);
    }

    fn publish<'a>(
        &'a self,
        channel: &'a str,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<u64>, BackplaneError>> {
        Box::pin(Backplane::publish(self, channel, message))
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(Backplane::subscribe(self, channel))
    }

    fn unsubscribe<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(Backplane::unsubscribe(self, channel))
    }
}
