//! Filters: code around every call of a hub, and around the beginning and the end of its connections.

use std::{fmt, future::Future, sync::Arc};

use super::{caller::Caller, error::HubError, invocation::HubInvocation, reply::Reply};
use crate::platform::BoxFuture;

/// Code around calls and connections, as ASP.NET Core's `IHubFilter`. Each method goes on by default.
///
/// The filter that is added first is the outermost: it sees a call first and its reply last. A call has passed its rate
/// limits and policies before a filter sees it; its arguments are not read yet, and its method need not exist.
///
/// ```
/// use std::time::Instant;
///
/// use hubwire::server::{
///     Caller, HubError, HubInvocation, HubServer, Reply,
///     filter::{HubFilter, Next, NextConnected},
/// };
///
/// struct Audit;
///
/// impl HubFilter for Audit {
///     async fn invoke_method(&self, call: HubInvocation, next: Next) -> Result<Reply, HubError> {
///         let (method, begun) = (call.method().to_owned(), Instant::now());
///         if method.starts_with("Admin") && !call.caller().has_claim("role", "admin") {
///             return Err(HubError::new("for administrators only")); // the method does not run
///         }
///         let reply = next.run(call).await;
///         println!("{method} took {:?}, and failed: {}", begun.elapsed(), reply.is_err());
///         reply
///     }
///
///     async fn on_connected(&self, caller: Caller, next: NextConnected) -> Result<(), HubError> {
///         println!("{} comes", caller.connection_id());
///         next.run(caller).await
///     }
/// }
///
/// let hub = HubServer::builder()
///     .on("AdminReset", |_: Caller| async move { Ok(()) })
///     .filter(Audit)
///     // A closure is a filter of calls.
///     .filter(|mut call: HubInvocation, next: Next| async move {
///         if call.method() == "Say" {
///             let (text,): (String,) = call.arguments()?;
///             call.set_arguments((text.replace("damn", "d***"),))?;
///         }
///         next.run(call).await
///     })
///     .build();
/// # drop(hub);
/// ```
pub trait HubFilter: Send + Sync + 'static {
    /// Around each call, of methods that do not exist as well. Without [`Next::run`] the method does not run, and what is
    /// returned here is the reply.
    ///
    /// A stream is replied with before its first item; [`Reply::on_end`] tells of its end.
    fn invoke_method(
        &self,
        call: HubInvocation,
        next: Next,
    ) -> impl Future<Output = Result<Reply, HubError>> + Send {
        next.run(call)
    }

    /// Around the beginning of each connection. An error refuses it.
    fn on_connected(
        &self,
        caller: Caller,
        next: NextConnected,
    ) -> impl Future<Output = Result<(), HubError>> + Send {
        next.run(caller)
    }

    /// Around the end of each connection that was not refused. [`Caller::disconnect_error`] tells why it ended.
    fn on_disconnected(&self, caller: Caller, next: NextDisconnected) -> impl Future<Output = ()> + Send {
        next.run(caller)
    }
}

impl<F, R> HubFilter for F
where
    F: Fn(HubInvocation, Next) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply, HubError>> + Send + 'static,
{
    fn invoke_method(
        &self,
        call: HubInvocation,
        next: Next,
    ) -> impl Future<Output = Result<Reply, HubError>> + Send {
        self(call, next)
    }
}

/// A filter without its type.
pub(super) trait AnyFilter: Send + Sync {
    fn invoke_method(self: Arc<Self>, call: HubInvocation, next: Next) -> BoxFuture<Result<Reply, HubError>>;

    fn on_connected(self: Arc<Self>, caller: Caller, next: NextConnected) -> BoxFuture<Result<(), HubError>>;

    fn on_disconnected(self: Arc<Self>, caller: Caller, next: NextDisconnected) -> BoxFuture<()>;
}

impl<F: HubFilter> AnyFilter for F {
    fn invoke_method(self: Arc<Self>, call: HubInvocation, next: Next) -> BoxFuture<Result<Reply, HubError>> {
        Box::pin(async move { HubFilter::invoke_method(&*self, call, next).await })
    }

    fn on_connected(self: Arc<Self>, caller: Caller, next: NextConnected) -> BoxFuture<Result<(), HubError>> {
        Box::pin(async move { HubFilter::on_connected(&*self, caller, next).await })
    }

    fn on_disconnected(self: Arc<Self>, caller: Caller, next: NextDisconnected) -> BoxFuture<()> {
        Box::pin(async move { HubFilter::on_disconnected(&*self, caller, next).await })
    }
}

pub(super) type Filters = Arc<Vec<Arc<dyn AnyFilter>>>;

/// The method, behind all filters.
pub(super) type LastCall = Box<dyn FnOnce(HubInvocation) -> BoxFuture<Result<Reply, HubError>> + Send + Sync>;

pub(super) type OnConnected = Arc<dyn Fn(Caller) -> BoxFuture<Result<(), HubError>> + Send + Sync>;

pub(super) type OnDisconnected = Arc<dyn Fn(Caller) -> BoxFuture<()> + Send + Sync>;

macro_rules! next {
    ($(#[$doc:meta])* $name:ident, $last:ty) => {
        $(#[$doc])*
        #[must_use = "nothing goes on until `run` is called"]
        pub struct $name {
            filters: Filters,
            /// Which filter it is.
            index: usize,
            /// What is behind all of them.
            last: $last,
        }

        impl $name {
            /// The first filter.
            pub(super) fn first(filters: &Filters, last: $last) -> Self {
                Self { filters: filters.clone(), index: 0, last }
            }

            /// The filter and what is behind it, or what is behind all filters.
            fn filter(self) -> Result<(Arc<dyn AnyFilter>, Self), $last> {
                match self.filters.get(self.index).cloned() {
                    Some(filter) => Ok((filter, Self { index: self.index + 1, ..self })),
                    None => Err(self.last),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

next! {
    /// What is behind a filter of a call: the next filter, or the method.
    Next, LastCall
}

next! {
    /// What is behind a filter of the beginning of a connection: the next filter, or the hub's
    /// [`on_connected`](crate::server::HubServerBuilder::on_connected).
    NextConnected, Option<OnConnected>
}

next! {
    /// What is behind a filter of the end of a connection: the next filter, or the hub's
    /// [`on_disconnected`](crate::server::HubServerBuilder::on_disconnected).
    NextDisconnected, Option<OnDisconnected>
}

impl Next {
    /// Goes on with the call. A method that does not exist is an error here.
    ///
    /// # Errors
    /// What the method fails with, or the filters in between.
    pub async fn run(self, call: HubInvocation) -> Result<Reply, HubError> {
        match self.filter() {
            Ok((filter, next)) => filter.invoke_method(call, next).await,
            Err(method) => method(call).await,
        }
    }
}

impl NextConnected {
    /// Goes on with the connection.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn run(self, caller: Caller) -> Result<(), HubError> {
        match self.filter() {
            Ok((filter, next)) => filter.on_connected(caller, next).await,
            Err(Some(on_connected)) => on_connected(caller).await,
            Err(None) => Ok(()),
        }
    }
}

impl NextDisconnected {
    /// Goes on with the end of the connection.
    pub async fn run(self, caller: Caller) {
        match self.filter() {
            Ok((filter, next)) => filter.on_disconnected(caller, next).await,
            Err(Some(on_disconnected)) => on_disconnected(caller).await,
            Err(None) => {}
        }
    }
}
