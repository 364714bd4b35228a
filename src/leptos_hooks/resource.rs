//! Results that a page is made of.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use leptos::prelude::*;
use serde::de::DeserializeOwned;

use crate::client::{CallError, HubConnection};
use crate::core::client::ConnectionError;
use crate::leptos_hooks::inputs::ReactiveArguments;
use crate::leptos_hooks::provider::{Provided, in_browser};
use crate::platform::MaybeSend;
use crate::typed::TypedHub;

/// The result of a method, as a resource: it is asked for when there is a connection, after every reconnect, when
/// signals change that a closure of arguments reads, and by `refetch`. Until then it is pending: while there is no
/// connection yet, while a call is lost with its connection, and on a server for good. Where the connection has ended, or
/// cannot be made, it is [`CallError::Connection`] until there is one. Read it in a `<Suspense>`, which a server fills
/// with its fallback, or in a `<Transition>`, which keeps the last result meanwhile.
///
/// What it shows belongs to the arguments of now: a call is cancelled when they change.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_resource;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Product(id: ReadSignal<u32>) -> impl IntoView {
///     let name = use_hub_resource::<String>("ProductName", move || (id.get(),));
///     view! {
///         <Suspense fallback=|| "…">
///             {move || Suspend::new(async move {
///                 name.await.unwrap_or_else(|error| hubwire::ErrorChain::new(&*error).to_string())
///             })}
///         </Suspense>
///     }
/// }
/// ```
#[must_use]
pub fn use_hub_resource<R>(
    target: &str,
    arguments: impl ReactiveArguments,
) -> LocalResource<Result<R, Arc<CallError>>>
where
    R: DeserializeOwned + MaybeSend + 'static,
{
    let target = Rc::<str>::from(target);
    use_hub_resource_as(move |connection: HubConnection| {
        let (target, arguments) = (Rc::clone(&target), arguments.arguments());
        async move { connection.invoke(&target, arguments).await }
    })
}

/// As [`use_hub_resource`], by the typed handle that [`hub!`](crate::hub) makes. Signals count that the closure reads
/// before its future begins.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_resource_as;
/// use leptos::prelude::*;
///
/// hubwire::hub! {
///     trait Shop { fn product_name(id: u32) -> String; }
/// }
///
/// #[component]
/// fn Product(id: ReadSignal<u32>) -> impl IntoView {
///     let name = use_hub_resource_as(move |shop: Shop| {
///         let id = id.get();
///         async move { shop.product_name(id).await }
///     });
///     view! {
///         <Suspense fallback=|| "…">
///             {move || Suspend::new(async move {
///                 name.await.unwrap_or_else(|error| hubwire::ErrorChain::new(&*error).to_string())
///             })}
///         </Suspense>
///     }
/// }
/// ```
#[must_use]
pub fn use_hub_resource_as<H, R, F>(
    ask: impl Fn(H) -> F + 'static,
) -> LocalResource<Result<R, Arc<CallError>>>
where
    H: TypedHub,
    R: 'static,
    F: Future<Output = Result<R, CallError>> + 'static,
{
    let provided = Provided::nearest();
    let question =
        Rc::new(Question { next: RefCell::default(), is_awaited: Cell::new(true), waker: Cell::default() });
    let ask = Rc::new(move |connection| -> Call<R> { Box::pin(ask(H::over(connection))) });
    let resource = LocalResource::new({
        let (question, ask) = (Rc::clone(&question), Rc::clone(&ask));
        move || {
            // The first is asked by the effect, and so is every one whose signals have changed. What is left is that
            // the user wants it again.
            if !question.is_awaited.replace(true) && question.next.borrow().is_none() {
                let again = untrack(|| provided.connected().map(|connection| ask(connection)));
                question.next.replace(again.map(Next::Call));
            }
            let question = Rc::clone(&question);
            async move { question.answer().await.map_err(Arc::new) }
        }
    });
    in_browser(move |guard: Option<End<R>>| {
        let (_, session) = provided.session();
        let call = provided.connection().map(|connection| ask(connection)).filter(|_| session.is_some());
        match call {
            Some(call) => {
                question.put(Some(Next::Call(call)));
                if !question.is_awaited.get() {
                    resource.refetch();
                }
            }
            None => {
                let next = provided.end().map_or(Next::Wait, Next::Fail);
                question.put(question.is_awaited.get().then_some(next));
            }
        }
        guard.unwrap_or_else(|| End(Rc::clone(&question)))
    });
    resource
}

type Call<R> = Pin<Box<dyn Future<Output = Result<R, CallError>>>>;

/// What is to be asked. A resource awaits one future before it makes the next: so this one takes up what is new
/// instead, whatever it is waiting for.
struct Question<R> {
    next: RefCell<Option<Next<R>>>,
    /// Whether a future of the resource is there that has not ended.
    is_awaited: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

enum Next<R> {
    Call(Call<R>),
    /// There is nobody to ask.
    Wait,
    /// There will be nobody to ask: the connection has ended, or cannot be made.
    Fail(ConnectionError),
}

impl<R> Question<R> {
    fn put(&self, next: Option<Next<R>>) {
        let last = self.next.replace(next);
        drop(last);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The result of the newest call.
    async fn answer(&self) -> Result<R, CallError> {
        let _awaited = Awaited(&self.is_awaited);
        let mut call: Option<Call<R>> = None;
        poll_fn(|cx| {
            match self.next.take() {
                Some(Next::Call(next)) => call = Some(next),
                Some(Next::Wait) => call = None,
                Some(Next::Fail(error)) => return Poll::Ready(Err(error.into())),
                None => {}
            }
            self.waker.set(Some(cx.waker().clone()));
            match call.as_mut().map(|call| call.as_mut().poll(cx)) {
                // The next session asks again.
                Some(Poll::Ready(Err(CallError::Connection(_)))) => {
                    call = None;
                    Poll::Pending
                }
                Some(poll) => poll,
                None => Poll::Pending,
            }
        })
        .await
    }
}

struct Awaited<'a>(&'a Cell<bool>);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Ends with the component: the resource's task would wait for its future for ever.
struct End<R>(Rc<Question<R>>);

impl<R> Drop for End<R> {
    fn drop(&mut self) {
        self.0.put(Some(Next::Fail(ConnectionError::Stopped)));
    }
}
