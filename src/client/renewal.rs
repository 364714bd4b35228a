//! Closures that a builder was given, replaced while the connection lives: in a front-end framework every rendering makes
//! them anew, and what they have captured is the state of that rendering.

use std::future::ready;
use std::mem;
use std::sync::{Arc, Mutex, Weak};

use crate::client::engine::connection::TokenProvider;
use crate::client::engine::events::{ConnectionEvent, EventCallback};
use crate::client::handlers::Handlers;
use crate::client::{HubConnectionBuilder, RetryPolicy};
use crate::core::Cause;
use crate::core::token::AccessToken;
use crate::lock::lock;
use crate::platform::BoxFuture;

/// Replaces the closures of a connection.
pub(crate) struct Renewal {
    closures: Arc<Mutex<Closures>>,
    handlers: Weak<Handlers>,
}

/// The closures that a connection asks, or tells.
struct Closures {
    token_provider: Option<TokenProvider>,
    retry_policy: RetryPolicy,
    callbacks: Vec<EventCallback>,
}

impl Closures {
    fn take(builder: &mut HubConnectionBuilder) -> Self {
        Self {
            token_provider: builder.settings.token_provider.take(),
            retry_policy: mem::take(&mut builder.settings.retry_policy),
            callbacks: mem::take(&mut builder.callbacks),
        }
    }
}

impl HubConnectionBuilder {
    /// The same builder; its connection calls the closures that were given last.
    pub(crate) fn renewable(mut self) -> (Self, Renewal) {
        let closures = Arc::new(Mutex::new(Closures::take(&mut self)));
        let renewal = Renewal { closures, handlers: Arc::downgrade(&self.handlers) };

        let closures = Arc::clone(&renewal.closures);
        let provide = move || -> BoxFuture<Result<Option<AccessToken>, Cause>> {
            let provider = lock(&closures).token_provider.clone();
            match provider {
                Some(provider) => provider.provide(),
                None => Box::pin(ready(Ok(None))),
            }
        };
        self.settings.token_provider = Some(Arc::new(provide));

        let closures = Arc::clone(&renewal.closures);
        self.settings.retry_policy = RetryPolicy::new_async(move |context| {
            let policy = lock(&closures).retry_policy.clone();
            policy.decide(context)
        });

        let closures = Arc::clone(&renewal.closures);
        self.callbacks.push(Arc::new(move |event: ConnectionEvent| {
            let callbacks = lock(&closures).callbacks.clone();
            for callback in callbacks {
                callback.hear(event.clone());
            }
        }));

        self.handlers.built();
        (self, renewal)
    }
}

impl Renewal {
    /// From now on the closures of this builder are called. Its other settings are not looked at.
    pub(crate) fn renew(&self, mut newer: HubConnectionBuilder) {
        let Some(handlers) = self.handlers.upgrade() else { return };
        handlers.renew(&newer.handlers);
        let old = mem::replace(&mut *lock(&self.closures), Closures::take(&mut newer));
        // Outside of the lock: closures may own anything.
        drop(old);
    }
}
