//! Passes on what the machine reports to those who wait for it.

use std::sync::Arc;

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{
    CallEnd, Called, ClientCall, Connection, Shared, Subscriber, Waiting,
};
use crate::client::engine::events::ConnectionEvent;
use crate::core::client::{ConnectionError, Effect};
use crate::core::hub::HubEvent;
use crate::core::message::Outcome;
use crate::core::{ErrorChain, Moment};
use crate::platform::{self, Frame};

/// How many messages are read while the connection is locked. A frame may hold millions.
const BATCH: usize = 64;

/// How many calls a frame has room for at first: servers that push much put several into one.
const FEW: usize = 16;

/// The text of the official client for a call that its server has cancelled.
const CANCELLED: &str = "The invocation was canceled.";

/// What a message means for a caller, a stream or a handler, to be told when the connection is no longer locked.
enum Delivery<'f, C: WireCodec> {
    End(ClientCall<C>, CallEnd<'f, C::Payload<'f>>),
    Item(u64, Arc<dyn Subscriber<C>>, C::Payload<'f>),
}

impl<C: WireCodec> Connection<C> {
    /// Ends a connection that nobody drives any more: all who wait are told.
    pub(super) fn abandon(&self) {
        self.lock().machine.stop(platform::now());
        loop {
            let mut shared = self.lock();
            match shared.machine.poll_effect() {
                Some(Effect::Disconnected(error)) => {
                    let waiting = shared.disconnected(&error);
                    drop(shared);
                    return waiting.tell(&error);
                }
                Some(effect) => {
                    drop(shared);
                    self.tell(effect);
                }
                None => return,
            }
        }
    }

    /// Takes a frame from the transport. Returns how many calls it has ended.
    pub(super) fn receive(self: &Arc<Self>, now: Moment, frame: Frame) -> usize {
        tracing::trace!(text = frame.is_text(), "received a frame");
        let (held, mut spare) = (C::hold(frame), Vec::new());
        let messages = self.lock().machine.handle_frame(now, C::view(&held), &mut spare);
        let Some(mut messages) = messages else { return 0 };
        let mut ended = 0;
        loop {
            let (mut deliveries, mut calls) = (Vec::new(), Vec::new());
            let goes_on = self.lock().collect(now, &mut messages, &mut deliveries, &mut calls);
            let mut called = 0;
            for (calls_before, delivery) in deliveries {
                // In the order of arrival: a result comes after the calls that the server made before it.
                let rest = calls.split_off(calls_before - called);
                called = calls_before;
                self.call_back(&held, std::mem::replace(&mut calls, rest));
                self.callee.flush();
                match delivery {
                    Delivery::End(call, end) => {
                        ended += 1;
                        call.end(end);
                    }
                    Delivery::Item(id, stream, item) => {
                        if !stream.item(item) {
                            self.cancel(id);
                        }
                    }
                }
            }
            self.call_back(&held, calls);
            if self.backlog.is_too_long() {
                self.lock().machine.handle_slow_consumer(now);
                return ended;
            }
            if !goes_on {
                return ended;
            }
        }
    }

    fn call_back(self: &Arc<Self>, frame: &C::Held, calls: Vec<Called<'_, C>>) {
        if !calls.is_empty() {
            self.callee.call(self, frame, calls);
        }
    }

    /// Tells those who are concerned what has happened to the connection.
    pub(super) fn tell(&self, effect: Effect) {
        match effect {
            Effect::Connected { info, again } => {
                tracing::Span::current().record("connection_id", info.connection_id.as_deref());
                tracing::info!(connection_id = info.connection_id, url = %info.url, transport = %info.transport, "connected");
                let connection_id = info.connection_id;
                let mut shared = self.lock();
                shared.tell(&match again {
                    false => ConnectionEvent::Connected { connection_id },
                    true => ConnectionEvent::Reconnected { connection_id },
                });
                for started in std::mem::take(&mut shared.started) {
                    let _ = started.send(Ok(()));
                }
            }
            Effect::Resumed => {
                tracing::info!("resumed the connection on a new socket");
                self.lock().yield_room();
            }
            Effect::Lost(error) => {
                let pending = self.lock().take_pending();
                for pending in pending {
                    pending.call.end(CallEnd::Closed(&error));
                }
            }
            Effect::Reconnecting(error) => {
                tracing::info!(reason = %ErrorChain::new(&*error), "reconnecting");
                let error = Arc::unwrap_or_clone(error);
                self.lock().tell(&ConnectionEvent::Reconnecting { error });
            }
            Effect::Refreshed(result) => {
                let event = match &result {
                    Ok(lifetime) => {
                        tracing::info!(?lifetime, "refreshed the authentication");
                        ConnectionEvent::AuthenticationRefreshed { lifetime: *lifetime }
                    }
                    Err(error) => {
                        tracing::warn!(error = %ErrorChain::new(error), "refreshing the authentication failed");
                        ConnectionEvent::AuthenticationRefreshFailed { error: error.clone() }
                    }
                };
                let mut shared = self.lock();
                shared.tell(&event);
                let waiting = std::mem::take(&mut shared.refreshed);
                drop(shared);
                for refreshed in waiting {
                    let _ = refreshed.send(result.clone());
                }
            }
            // The others are for the driver alone.
            _ => {}
        }
    }
}

impl<C: WireCodec> Shared<C> {
    /// Reads up to a batch of messages, and how many calls came before each delivery. Returns whether there may be more.
    fn collect<'f>(
        &mut self,
        now: Moment,
        messages: &mut C::Messages<'f>,
        deliveries: &mut Vec<(usize, Delivery<'f, C>)>,
        calls: &mut Vec<Called<'f, C>>,
    ) -> bool {
        for _ in 0..BATCH {
            let Some(event) = self.machine.next_event(now, messages) else {
                // What came may have been an acknowledgement.
                self.yield_room();
                return false;
            };
            let ended = match event {
                HubEvent::Called { call, invocation, .. } => {
                    if calls.is_empty() {
                        calls.reserve(FEW);
                    }
                    calls.push((call, invocation));
                    continue;
                }
                HubEvent::Item { id, item } => {
                    if let Some(ClientCall::Stream(stream)) = self.calls.get(id).map(|pending| &pending.call)
                    {
                        deliveries.push((calls.len(), Delivery::Item(id, Arc::clone(stream), item)));
                    }
                    continue;
                }
                HubEvent::Cancelled { call } => {
                    self.answers.take(call);
                    self.machine.answer(call, Outcome::Error(CANCELLED.into()));
                    continue;
                }
                HubEvent::Completed { id, outcome } | HubEvent::StreamCompleted { id, outcome } => {
                    (id, CallEnd::Outcome(outcome))
                }
                HubEvent::UnexpectedItem { id } => (id, CallEnd::UnexpectedItem),
                _ => continue,
            };
            let (id, end) = ended;
            if let Some(pending) = self.calls.take(id) {
                deliveries.push((calls.len(), Delivery::End(pending.call, end)));
            }
        }
        true
    }

    /// The one place where a start ends. Those who wait for it are told when the connection is no longer locked.
    pub(super) fn disconnected(&mut self, error: &Arc<ConnectionError>) -> Waiting {
        match &**error {
            ConnectionError::Stopped => tracing::info!("disconnected: the connection was stopped"),
            error => tracing::error!(reason = %ErrorChain::new(error), "disconnected"),
        }
        self.last_end = Some(Arc::clone(error));
        self.tell(&ConnectionEvent::Disconnected { error: (**error).clone() });
        self.take_waiting()
    }
}
