//! Streams from the hub that survive the loss of a connection.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::arguments::Arguments;
use crate::client::CallError;
use crate::core::client::ConnectionState;
use crate::front_end::Hub;
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

/// Reads a stream, from its beginning again after every loss of the connection.
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
        let error = match connection.stream(&target, arguments.clone()).await {
            Err(error) => Some(error),
            Ok(mut items) => loop {
                match items.next().await {
                    Some(Ok(item)) => {
                        state.latest = Some(item);
                        tell(state.clone());
                    }
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            },
        };
        match error {
            Some(CallError::Connection(_)) => {
                if events.next().await.is_none() {
                    return;
                }
            }
            error => {
                state.is_done = true;
                state.error = error.map(Arc::new);
                return tell(state);
            }
        }
    }
}
