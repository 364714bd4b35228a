use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_core::Stream as _;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};

use crate::client::backlog::{Backlog, Waiting};
use crate::client::call::Callee;
use crate::client::connection::Connection;
use crate::client::json::Json;
use crate::core::message::Invocation;
use crate::platform::{MaybeSend, MaybeSync, Spawner};

/// A function that the server can call: a closure of up to eight arguments, each of any type that serde can read.
///
/// More arguments than it takes are ignored, as the official JavaScript client does, so that a server can add one.
pub trait Handler<A>: sealed::Handler<A> {}
impl<A, F: sealed::Handler<A>> Handler<A> for F {}

mod sealed {
    use super::{DeserializeOwned, MaybeSend};

    /// The arguments of a handler, read from a list that may be longer.
    #[derive(Debug)]
    pub struct List<A>(pub A);

    pub trait Handler<A>: MaybeSend + 'static {
        type Arguments: DeserializeOwned + MaybeSend + 'static;
        fn call(&mut self, arguments: Self::Arguments);
    }
}

use self::sealed::List;

macro_rules! handlers {
    ($($count:literal: $($name:ident)*;)*) => {
        $(
            impl<F, $($name),*> sealed::Handler<($($name,)*)> for F
            where
                F: FnMut($($name),*) + MaybeSend + 'static,
                $($name: DeserializeOwned + MaybeSend + 'static,)*
            {
                type Arguments = List<($($name,)*)>;

                #[allow(non_snake_case)]
                fn call(&mut self, List(($($name,)*)): Self::Arguments) {
                    self($($name),*);
                }
            }

            impl<'de, $($name: DeserializeOwned),*> Deserialize<'de> for List<($($name,)*)> {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct Arguments<A>(PhantomData<A>);

                    impl<'de, $($name: DeserializeOwned),*> Visitor<'de> for Arguments<($($name,)*)> {
                        type Value = List<($($name,)*)>;

                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            f.write_str(concat!("a list of at least ", $count, " arguments"))
                        }

                        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                            let arguments = ($(match list.next_element::<$name>()? {
                                Some(argument) => argument,
                                None => return Err(S::Error::custom(concat!("fewer than ", $count, " arguments"))),
                            },)*);
                            while list.next_element::<IgnoredAny>()?.is_some() {}
                            Ok(List(arguments))
                        }
                    }

                    deserializer.deserialize_seq(Arguments(PhantomData))
                }
            }
        )*
    };
}

handlers! {
    0: ;
    1: A1;
    2: A1 A2;
    3: A1 A2 A3;
    4: A1 A2 A3 A4;
    5: A1 A2 A3 A4 A5;
    6: A1 A2 A3 A4 A5 A6;
    7: A1 A2 A3 A4 A5 A6 A7;
    8: A1 A2 A3 A4 A5 A6 A7 A8;
}

/// One registered handler, without its types.
trait Registered: MaybeSend + MaybeSync {
    fn call(&self, spawner: &Spawner, target: &str, arguments: &str);
}

/// A handler runs in a task of its own: one that is slow, or panics, holds up neither the connection nor the others.
struct Queue<A, F> {
    sender: UnboundedSender<(A, Waiting)>,
    backlog: Arc<Backlog>,
    /// The task begins with the first call, since there may be no runtime before.
    waiting: Mutex<Option<(UnboundedReceiver<(A, Waiting)>, F)>>,
}

impl<A, F> Registered for Queue<A, F>
where
    A: DeserializeOwned + MaybeSend + 'static,
    F: FnMut(A) + MaybeSend + 'static,
{
    fn call(&self, spawner: &Spawner, target: &str, json: &str) {
        let arguments = match serde_json::from_str(json) {
            Ok(arguments) => arguments,
            Err(error) => {
                tracing::error!(target_method = target, %error, "arguments of another type than the handler's");
                return;
            }
        };
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((receiver, handler)) = waiting {
            spawner.spawn(run(receiver, handler, target.to_owned()));
        }
        // It fails when the handler's task is gone with its runtime.
        let _ = self.sender.unbounded_send((arguments, self.backlog.enter(json.len())));
    }
}

async fn run<A, F: FnMut(A)>(mut receiver: UnboundedReceiver<(A, Waiting)>, mut handler: F, target: String) {
    while let Some((arguments, waiting)) = poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await {
        let call = std::panic::AssertUnwindSafe(|| handler(arguments));
        if std::panic::catch_unwind(call).is_err() {
            tracing::error!(target_method = target, "a handler panicked");
        }
        drop(waiting);
    }
}

/// Shared, so that no lock is held while a handler's arguments are read, which is the user's code.
type ById = Arc<Vec<(u64, Arc<dyn Registered>)>>;

/// The handlers of a connection, by target. Names are compared without regard to case.
#[derive(Default)]
pub(crate) struct Handlers {
    backlog: Arc<Backlog>,
    by_target: RwLock<HashMap<String, ById>>,
    next_id: Mutex<u64>,
    spawner: Mutex<Option<Spawner>>,
}

impl Handlers {
    pub(crate) fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.backlog)
    }

    pub(crate) fn add<A, H: Handler<A>>(self: &Arc<Self>, target: &str, mut handler: H) -> Subscription {
        let (sender, receiver) = mpsc::unbounded();
        let run = move |arguments| sealed::Handler::call(&mut handler, arguments);
        let queue = Queue { sender, backlog: self.backlog(), waiting: Mutex::new(Some((receiver, run))) };
        let id = {
            let mut next = self.next_id.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        let target = target.to_lowercase();
        let mut by_target = self.by_target.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(by_target.entry(target.clone()).or_default()).push((id, Arc::new(queue)));
        Subscription { handlers: Arc::downgrade(self), target, id }
    }

    fn remove(&self, target: &str, id: u64) {
        let mut by_target = self.by_target.write().unwrap_or_else(PoisonError::into_inner);
        let Some(registered) = by_target.get_mut(target) else { return };
        let at = registered.iter().position(|(known, _)| *known == id);
        let removed = at.map(|at| Arc::make_mut(registered).remove(at));
        if registered.is_empty() {
            by_target.remove(target);
        }
        drop(by_target);
        // The handler's closure may own anything, a connection too: it is dropped outside of the lock.
        drop(removed);
    }
}

impl Callee<Json> for Arc<Handlers> {
    fn start(&self, spawner: Spawner) {
        *self.spawner.lock().unwrap_or_else(PoisonError::into_inner) = Some(spawner);
    }

    fn call(&self, _connection: &Arc<Connection<Json>>, call: Invocation<'_, &str>) {
        let spawner = self.spawner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(spawner) = spawner else { return };
        let lower;
        let key = if call.target.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
            lower = call.target.to_lowercase();
            lower.as_str()
        } else {
            &call.target
        };
        let registered = self.by_target.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        match registered {
            Some(registered) => {
                for (_, handler) in &*registered {
                    handler.call(&spawner, &call.target, call.arguments);
                }
            }
            None => tracing::warn!(target_method = &*call.target, "no handler is registered for this method"),
        }
    }
}

/// A registered handler. Dropping it changes nothing: the handler stays until [`unsubscribe`](Self::unsubscribe)
/// or the end of the connection.
#[derive(Clone)]
pub struct Subscription {
    handlers: Weak<Handlers>,
    target: String,
    id: u64,
}

impl Subscription {
    /// Removes the handler. Calls that are already under way to it still arrive.
    pub fn unsubscribe(self) {
        if let Some(handlers) = self.handlers.upgrade() {
            handlers.remove(&self.target, self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("target", &self.target).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_lists_may_be_longer_but_not_shorter() {
        let read = |json| serde_json::from_str::<List<(String, u32)>>(json).map(|list| list.0);
        assert_eq!(read(r#"["a",1]"#).unwrap(), ("a".to_owned(), 1));
        assert_eq!(read(r#"["a",1,{"more":[]},null]"#).unwrap(), ("a".to_owned(), 1));
        assert!(read(r#"["a"]"#).unwrap_err().to_string().contains("fewer than 2 arguments"));
        assert!(read(r#"["a","b"]"#).is_err());
        assert!(serde_json::from_str::<List<()>>("[1]").is_ok());
    }
}
