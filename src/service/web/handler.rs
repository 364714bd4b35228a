//! What decides about a client: a closure of the application's, at once or by a future.

use std::{future::Future, pin::Pin, sync::Arc};

use http::request::Parts;

use crate::service::{
    negotiate::{options::NegotiateOptions, refresh::ConnectionClaims},
    web::rejection::NegotiateRejection,
};

/// What a handler has decided.
pub(super) type Decision = Result<NegotiateOptions, NegotiateRejection>;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A handler, whatever it returns.
pub(super) type Handler = dyn Fn(Parts) -> BoxFuture<Decision> + Send + Sync;

/// What a client wants to change by a refresh, for
/// [a rule](crate::service::NegotiateService::authentication_refresh_if) of the application's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuthenticationChange {
    /// The connection's present claims.
    pub previous: ConnectionClaims,
    /// Those that the handler has given the client now.
    pub new: ConnectionClaims,
}

/// The application's rule about changes.
pub(super) type Rule = dyn Fn(AuthenticationChange) -> BoxFuture<bool> + Send + Sync;

/// What a handler of a [`NegotiateService`](crate::service::NegotiateService) may return: [`NegotiateOptions`], a
/// `Result` of them and a [`NegotiateRejection`], or a future of either that is `Send`.
///
/// A status is a rejection with `into()`: `Err(StatusCode::FORBIDDEN.into())`; `?` does so by itself.
///
/// `M` tells them apart. It is found by inference.
#[diagnostic::on_unimplemented(
    message = "this is not an answer to who a client is",
    note = "a handler returns `NegotiateOptions`, or `Result<NegotiateOptions, NegotiateRejection>`, or a future of one of them: `|parts| async move {{ … }}`",
    note = "a status becomes a rejection by `.into()`: `Err(StatusCode::FORBIDDEN.into())`",
    note = "the future is `Send` and owns what it captures: `Arc`, not `Rc`, and clones of what the handler has captured"
)]
pub trait NegotiateAnswer<M>: sealed::Answer<M> {}
impl<M, T: sealed::Answer<M>> NegotiateAnswer<M> for T {}

/// What a rule of [`authentication_refresh_if`](crate::service::NegotiateService::authentication_refresh_if) may return: a
/// `bool`, or a future of one that is `Send`.
///
/// `M` tells them apart. It is found by inference.
#[diagnostic::on_unimplemented(
    message = "this is not an answer to whether a client may change its authentication",
    note = "a rule returns a `bool`, or a future of one: `|change| async move {{ … }}`"
)]
pub trait RefreshAnswer<M>: sealed::Ruling<M> {}
impl<M, T: sealed::Ruling<M>> RefreshAnswer<M> for T {}

mod sealed {
    use super::{BoxFuture, Decision, Future, NegotiateOptions};

    /// Marks what is there when the handler returns.
    #[derive(Debug)]
    pub struct Plain;

    /// Marks a future.
    #[derive(Debug)]
    pub struct Async;

    #[allow(private_interfaces, reason = "nobody outside can name it")]
    pub trait Answer<M> {
        fn into_future(self) -> BoxFuture<Decision>;
    }

    pub trait Plainly: Send + 'static {
        fn into_result(self) -> Decision;
    }

    impl Plainly for NegotiateOptions {
        fn into_result(self) -> Decision {
            Ok(self)
        }
    }

    impl Plainly for Decision {
        fn into_result(self) -> Decision {
            self
        }
    }

    pub trait Ruling<M> {
        fn into_ruling(self) -> BoxFuture<bool>;
    }

    impl Ruling<Plain> for bool {
        fn into_ruling(self) -> BoxFuture<bool> {
            Box::pin(std::future::ready(self))
        }
    }

    impl<F: Future<Output = bool> + Send + 'static> Ruling<Async> for F {
        fn into_ruling(self) -> BoxFuture<bool> {
            Box::pin(self)
        }
    }

    impl<T: Plainly> Answer<Plain> for T {
        fn into_future(self) -> BoxFuture<Decision> {
            Box::pin(std::future::ready(self.into_result()))
        }
    }

    impl<F: Future<Output: Plainly> + Send + 'static> Answer<Async> for F {
        fn into_future(self) -> BoxFuture<Decision> {
            Box::pin(async move { self.await.into_result() })
        }
    }
}

/// Takes in a handler, whatever it returns.
pub(super) fn boxed<R: NegotiateAnswer<M>, M>(
    handler: impl Fn(Parts) -> R + Send + Sync + 'static,
) -> Arc<Handler> {
    Arc::new(move |parts| sealed::Answer::into_future(handler(parts)))
}

/// Takes in a rule, whatever it returns.
pub(super) fn boxed_rule<R: RefreshAnswer<M>, M>(
    rule: impl Fn(AuthenticationChange) -> R + Send + Sync + 'static,
) -> Arc<Rule> {
    Arc::new(move |change| sealed::Ruling::into_ruling(rule(change)))
}
