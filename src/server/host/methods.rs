//! The methods of a hub, by name.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_core::Stream;
use serde::Serialize;

use super::{
    arguments::{HubArgument, HubArguments as _, Mismatch, RawArguments},
    caller::Caller,
    error::HubError,
    reply::{Encoded, Items, Reply, encode, encode_items},
};
use crate::platform::{BoxFuture, lowercase};

/// What a method does when it is called.
pub(super) enum Running {
    /// It has one result.
    Plain(BoxFuture<Encoded>),
    /// It answers with a stream.
    Stream(Items),
    /// Which of the two is known later.
    Later(BoxFuture<Result<Reply, HubError>>),
}

/// A method without its types. An error says what is wrong with the arguments.
pub(super) type Method = Arc<dyn Fn(Caller, RawArguments) -> Result<Running, Mismatch> + Send + Sync>;

/// A function that clients can call: an `async` closure of the [`Caller`] and up to eight arguments that returns a
/// `Result<T, HubError>`.
#[diagnostic::on_unimplemented(
    message = "this is not a method of a hub",
    note = "a method is `|caller: Caller, name: String, n: u32| async move {{ … Ok(result) }}` and returns a `Result` of a value that serde can write and a `HubError`",
    note = "each argument implements `serde::Deserialize` and owns what it holds: `String`, not `&str`; or it is an `Incoming` stream"
)]
pub trait HubMethod<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_method(self) -> IntoMethod;
}

/// A function that clients can call for a stream: a closure of the [`Caller`] and up to eight arguments that returns a
/// `Stream` of `Result<T, HubError>`; or an `async` one that returns a `Result` of such a stream and a [`HubError`], and so
/// can refuse before it begins.
#[diagnostic::on_unimplemented(
    message = "this is not a streaming method of a hub",
    note = "a streaming method is `|caller: Caller, to: u32| …` and returns a `Stream` whose items are `Result<T, HubError>`",
    note = "or it is `|caller: Caller, to: u32| async move {{ … Ok(stream) }}`"
)]
pub trait HubStreamMethod<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_method(self) -> IntoMethod;
}

/// Tells streaming methods that can refuse from those that cannot.
#[derive(Debug)]
pub struct Fallible<M>(PhantomData<M>);

/// Not for others.
pub struct IntoMethod(pub(super) Method);

impl fmt::Debug for IntoMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntoMethod")
    }
}

macro_rules! methods {
    ($($($name:ident)*;)*) => {
        $(
            impl<F, R, T, $($name),*> HubMethod<(T, $($name,)*)> for F
            where
                F: Fn(Caller, $($name),*) -> R + Send + Sync + 'static,
                R: Future<Output = Result<T, HubError>> + Send + 'static,
                T: Serialize + 'static,
                $($name: HubArgument,)*
            {
                #[allow(non_snake_case, reason = "the names of the types are used for the values")]
                fn into_method(self) -> IntoMethod {
                    IntoMethod(Arc::new(move |caller, raw| {
                        let protocol = raw.protocol;
                        let ($($name,)*) = <($($name,)*)>::take(raw)?;
                        let future = self(caller, $($name),*);
                        Ok(Running::Plain(Box::pin(async move { encode(protocol, &future.await?) })))
                    }))
                }
            }

            impl<F, S, T, $($name),*> HubStreamMethod<(T, $($name,)*)> for F
            where
                F: Fn(Caller, $($name),*) -> S + Send + Sync + 'static,
                S: Stream<Item = Result<T, HubError>> + Send + 'static,
                T: Serialize + 'static,
                $($name: HubArgument,)*
            {
                #[allow(non_snake_case, reason = "the names of the types are used for the values")]
                fn into_method(self) -> IntoMethod {
                    IntoMethod(Arc::new(move |caller, raw| {
                        let protocol = raw.protocol;
                        let ($($name,)*) = <($($name,)*)>::take(raw)?;
                        Ok(Running::Stream(encode_items(protocol, self(caller, $($name),*))))
                    }))
                }
            }

            impl<F, R, S, T, $($name),*> HubStreamMethod<Fallible<(R, S, T, $($name,)*)>> for F
            where
                F: Fn(Caller, $($name),*) -> R + Send + Sync + 'static,
                R: Future<Output = Result<S, HubError>> + Send + 'static,
                S: Stream<Item = Result<T, HubError>> + Send + 'static,
                T: Serialize + 'static,
                $($name: HubArgument,)*
            {
                #[allow(non_snake_case, reason = "the names of the types are used for the values")]
                fn into_method(self) -> IntoMethod {
                    IntoMethod(Arc::new(move |caller, raw| {
                        let ($($name,)*) = <($($name,)*)>::take(raw)?;
                        let future = self(caller, $($name),*);
                        Ok(Running::Later(Box::pin(async move { Ok(Reply::stream(future.await?)) })))
                    }))
                }
            }
        )*
    };
}

methods! {
    ;
    A1;
    A1 A2;
    A1 A2 A3;
    A1 A2 A3 A4;
    A1 A2 A3 A4 A5;
    A1 A2 A3 A4 A5 A6;
    A1 A2 A3 A4 A5 A6 A7;
    A1 A2 A3 A4 A5 A6 A7 A8;
}

/// Whether a caller may call a method.
pub(super) type Allows = Arc<dyn Fn(&Caller) -> bool + Send + Sync>;

/// How often a method was called while there was a dashboard.
#[derive(Debug, Default)]
pub(super) struct Counts {
    calls: AtomicU64,
    errors: AtomicU64,
}

impl Counts {
    pub(super) fn count(&self, is_error: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(u64::from(is_error), Ordering::Relaxed);
    }

    /// Calls, and those of them that have failed.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed))
    }
}

/// A method as it is registered.
#[derive(Clone)]
pub(super) struct Registered {
    /// As it was written.
    pub(super) name: Arc<str>,
    pub(super) method: Method,
    pub(super) streams: bool,
    /// Whether the caller may call it.
    pub(super) allows: Option<Allows>,
    pub(super) counts: Arc<Counts>,
}

/// Names are compared without regard to case, as in ASP.NET Core.
#[derive(Clone, Default)]
pub(super) struct Methods(HashMap<String, Registered>);

impl Methods {
    /// Whether the name was free.
    pub(super) fn add(&mut self, name: &str, method: Registered) -> bool {
        self.0.insert(lowercase(name), method).is_none()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Registered> {
        self.0.get(&lowercase(name))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Registered> {
        self.0.values()
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut Registered> {
        self.0.get_mut(&lowercase(name))
    }
}
