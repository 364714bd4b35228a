//! Streams from the hub that survive the loss of a connection.

use std::future::Future;
use std::sync::Arc;

#[cfg(any(feature = "yew", test))]
use crate::client::HubConnection;
use crate::client::{CallError, HubStream};
#[cfg(any(feature = "yew", test))]
use crate::core::client::ConnectionState;
#[cfg(any(feature = "yew", test))]
use crate::front_end::Hub;

/// The state of a stream from the hub.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamState<T> {
    /// The item that came last. It stays when the stream ends, and until a lost connection is back.
    pub latest: Option<T>,
    /// Whether the stream has ended, with an error or without.
    pub is_done: bool,
    /// What ended it.
    pub error: Option<Arc<CallError>>,
}

impl<T> Default for StreamState<T> {
    fn default() -> Self {
        Self { latest: None, is_done: false, error: None }
    }
}

/// How a stream from the hub has ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamEnd {
    /// The server's error, or an item of another type. `None`: there are no more items.
    pub error: Option<Arc<CallError>>,
}

/// Opens a stream and hands on its items until its end.
pub(crate) async fn read<T>(
    open: impl Future<Output = Result<HubStream<T>, CallError>>,
    mut take: impl FnMut(T),
) -> Result<(), CallError> {
    let mut items = open.await?;
    while let Some(item) = items.next().await {
        take(item?);
    }
    Ok(())
}

/// How a stream has ended; `None` if it was lost with its connection, and goes on with the next.
#[cfg(feature = "leptos")]
pub(crate) fn end_of(result: Result<(), CallError>) -> Option<StreamEnd> {
    match result {
        Ok(()) => Some(StreamEnd { error: None }),
        Err(CallError::Connection(_)) => None,
        Err(error) => Some(StreamEnd { error: Some(Arc::new(error)) }),
    }
}

/// What a stream from the hub does.
#[cfg(any(feature = "yew", test))]
pub(crate) enum StreamEvent<T> {
    /// It is waiting for a connection, for the first time or again.
    Begins,
    Item(T),
    /// It has ended for good.
    Ends(StreamEnd),
}

/// Reads a stream, from its beginning again after every loss of the connection.
#[cfg(any(feature = "yew", test))]
pub(crate) async fn follow_items<T, F>(
    hub: Hub,
    open: impl Fn(HubConnection) -> F,
    mut tell: impl FnMut(StreamEvent<T>),
) where
    F: Future<Output = Result<HubStream<T>, CallError>>,
{
    // If there is no connection, its state says why.
    let Ok(connection) = hub.connection() else { return };
    let mut events = connection.events();
    loop {
        tell(StreamEvent::Begins);
        while connection.state() != ConnectionState::Connected {
            if events.next().await.is_none() {
                return;
            }
        }
        match read(open(connection.clone()), |item| tell(StreamEvent::Item(item))).await {
            Err(CallError::Connection(_)) => {
                if events.next().await.is_none() {
                    return;
                }
            }
            result => {
                let error = result.err().map(Arc::new);
                return tell(StreamEvent::Ends(StreamEnd { error }));
            }
        }
    }
}

/// Reads a stream as a state.
#[cfg(all(test, native))]
pub(crate) async fn follow<T, A>(hub: Hub, target: String, arguments: A, tell: impl Fn(StreamState<T>))
where
    T: serde::de::DeserializeOwned + crate::platform::MaybeSend + Clone + 'static,
    A: crate::arguments::Arguments + Clone,
{
    let mut state = StreamState::default();
    tell(state.clone());
    let open = |connection: HubConnection| {
        let (target, arguments) = (&target, arguments.clone());
        async move { connection.stream(target, arguments).await }
    };
    follow_items(hub, open, |event| {
        if state.change(event) {
            tell(state.clone());
        }
    })
    .await;
}

#[cfg(any(feature = "yew", test))]
impl<T> StreamState<T> {
    /// Takes up an event, and says whether it has changed anything.
    pub(crate) fn change(&mut self, event: StreamEvent<T>) -> bool {
        match event {
            StreamEvent::Begins => return false,
            StreamEvent::Item(item) => self.latest = Some(item),
            StreamEvent::Ends(end) => (self.is_done, self.error) = (true, end.error),
        }
        true
    }
}
