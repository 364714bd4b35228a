//! Streams from the hub that survive the loss of a connection.

use std::future::Future;
use std::sync::Arc;

#[cfg(any(feature = "yew", test))]
use serde::de::DeserializeOwned;

#[cfg(any(feature = "yew", test))]
use crate::arguments::Arguments;
use crate::client::{CallError, HubStream};
#[cfg(any(feature = "yew", test))]
use crate::core::client::ConnectionState;
#[cfg(any(feature = "yew", test))]
use crate::front_end::Hub;
#[cfg(any(feature = "yew", test))]
use crate::platform::MaybeSend;

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

/// Reads a stream, from its beginning again after every loss of the connection.
#[cfg(any(feature = "yew", test))]
pub(crate) async fn follow<T, A>(hub: Hub, target: String, arguments: A, tell: impl Fn(StreamState<T>))
where
    T: DeserializeOwned + MaybeSend + Clone + 'static,
    A: Arguments + Clone,
{
    // If there is no connection, its state says why.
    let Ok(connection) = hub.connection() else { return };
    let mut events = connection.events();
    let mut state = StreamState::default();
    tell(state.clone());
    loop {
        while connection.state() != ConnectionState::Connected {
            if events.next().await.is_none() {
                return;
            }
        }
        let items = read(connection.stream(&target, arguments.clone()), |item| {
            state.latest = Some(item);
            tell(state.clone());
        });
        match items.await {
            Err(CallError::Connection(_)) => {
                if events.next().await.is_none() {
                    return;
                }
            }
            result => {
                state.is_done = true;
                state.error = result.err().map(Arc::new);
                return tell(state);
            }
        }
    }
}
