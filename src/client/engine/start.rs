//! How a connection begins and ends, for its handles.

use std::sync::Arc;

use futures_channel::oneshot;

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{Connection, Refreshed};
use crate::client::engine::driver::Driver;
use crate::client::engine::events::ConnectionEvent;
use crate::client::engine::events::{ConnectionEvents, EventCallback, call_back};
use crate::core::client::ConnectionError;
use crate::core::client::ConnectionState;
use crate::core::refresh::RefreshError;
use crate::platform::{self, Runtime};

/// Receives the result of a start.
pub(crate) type Started = oneshot::Receiver<Result<(), Arc<ConnectionError>>>;

impl<C: WireCodec> Connection<C> {
    /// Starts connecting, and waits until the connection is up or has failed.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Arc<ConnectionError>> {
        let started = self.begin_start()?;
        started.await.unwrap_or_else(|_| Err(Arc::new(ConnectionError::Stopped)))
    }

    /// Starts connecting. How that ended comes through the receiver, and as an event.
    pub(crate) fn begin_start(self: &Arc<Self>) -> Result<Started, Arc<ConnectionError>> {
        let runtime = Runtime::current().map_err(|error| Arc::new(ConnectionError::Transport(error)))?;
        let (sender, started) = oneshot::channel();
        let mut shared = self.lock();
        shared.machine.start(platform::now()).map_err(Arc::new)?;
        shared.last_end = None;
        shared.runtime = Some(runtime.clone());
        shared.started.push(sender);
        shared.tell(&ConnectionEvent::Connecting);
        let callbacks = std::mem::take(&mut shared.callbacks);
        drop(shared);
        for (events, callback) in callbacks {
            runtime.spawn(call_back(events, callback, runtime.clone()));
        }
        self.callee.start(&runtime);
        runtime.spawn(Driver::new(Arc::clone(self)).run());
        Ok(started)
    }

    /// What happens from now on.
    pub(crate) fn events(&self) -> ConnectionEvents {
        let (listener, events) = ConnectionEvents::new();
        self.listen(listener);
        events
    }

    /// Tells a callback what happens from now on.
    pub(crate) fn on_event(&self, callback: EventCallback) {
        let events = self.events();
        let mut shared = self.lock();
        match &shared.runtime {
            Some(runtime) => runtime.spawn(call_back(events, callback, runtime.clone())),
            None => shared.callbacks.push((events, callback)),
        }
    }

    /// Gets a new token and gives it to the server.
    pub(crate) async fn refresh(&self) -> Refreshed {
        let refreshed = self.change(|shared| {
            shared.machine.refresh(platform::now())?;
            let (sender, receiver) = oneshot::channel();
            shared.refreshed.push(sender);
            Ok(receiver)
        });
        refreshed?.await.unwrap_or(Err(RefreshError::NotConnected))
    }

    /// Asks the connection to stop; the driver does.
    pub(crate) fn request_stop(&self) {
        self.change(|shared| shared.machine.stop(platform::now()));
    }

    /// Waits for the end of the connection, and says why it ended; at once if it has. `None` if it never began.
    pub(crate) async fn closed(&self) -> Option<Arc<ConnectionError>> {
        let ended = {
            let mut shared = self.lock();
            if shared.machine.state() == ConnectionState::Disconnected {
                return shared.last_end.clone();
            }
            let (sender, receiver) = oneshot::channel();
            shared.ended.push(sender);
            receiver
        };
        ended.await.ok()
    }

    /// Stops the connection and waits until it is down.
    pub(crate) async fn stop(&self) {
        let ended = self.change(|shared| {
            shared.machine.stop(platform::now()).then(|| {
                let (sender, receiver) = oneshot::channel();
                shared.ended.push(sender);
                receiver
            })
        });
        if let Some(ended) = ended {
            // A dropped sender is an end as well.
            let _ = ended.await;
        }
    }
}
