//! Calls of the hub, for buttons and forms.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::de::DeserializeOwned;

use crate::arguments::Arguments;
use crate::client::CallError;
use crate::front_end::{Job, until_dropped};
use crate::leptos_hooks::provider::Provided;
use crate::typed::TypedHub;

/// Calls of a method, one at a time, for a button or a form.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_invoke;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Sum() -> impl IntoView {
///     let sum = use_hub_invoke::<i32>("Add");
///     let text = move || match sum.result().get().as_deref() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
///         None => String::new(),
///     };
///     view! { <button prop:disabled=sum.is_pending() on:click=move |_| sum.call((1, 2))>"1 + 2"</button>{text} }
/// }
/// ```
#[must_use]
pub fn use_hub_invoke<R>(target: &str) -> UseHubInvoke<R>
where
    R: DeserializeOwned + Send + Sync + 'static,
{
    UseHubInvoke { target: StoredValue::new(target.into()), calls: Calls::new() }
}

/// What [`use_hub_invoke`] gives.
pub struct UseHubInvoke<R: Send + Sync + 'static> {
    target: StoredValue<Arc<str>>,
    calls: Calls<R>,
}

impl<R: DeserializeOwned + Send + Sync + 'static> UseHubInvoke<R> {
    /// Calls the method. A call that is still pending is cancelled; so is this one when the component is gone.
    pub fn call(self, arguments: impl Arguments + 'static) {
        let (Some(hub), Some(target)) = (self.calls.provided.hub(), self.target.try_get_value()) else {
            return;
        };
        self.calls.begin(async move { hub.invoke(&target, arguments).await });
    }

    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(self) -> ReadSignal<bool> {
        self.calls.pending.read_only()
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(self) -> ReadSignal<Option<Arc<Result<R, CallError>>>> {
        self.calls.result.read_only()
    }
}

/// As [`use_hub_invoke`], by the typed handle that [`hub!`](crate::hub) makes.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_invoke_as;
/// use leptos::prelude::*;
///
/// hubwire::hub! {
///     trait Calculator { fn add(a: i32, b: i32) -> i32; }
/// }
///
/// #[component]
/// fn Sum() -> impl IntoView {
///     let sum = use_hub_invoke_as::<Calculator, i32>();
///     let add = move |_| sum.call(|calculator| async move { calculator.add(1, 2).await });
///     let text = move || match sum.result().get().as_deref() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
///         None => String::new(),
///     };
///     view! { <button prop:disabled=sum.is_pending() on:click=add>"1 + 2"</button>{text} }
/// }
/// ```
#[must_use]
pub fn use_hub_invoke_as<H, R>() -> UseHubInvokeAs<H, R>
where
    H: TypedHub,
    R: Send + Sync + 'static,
{
    UseHubInvokeAs { calls: Calls::new(), handle: PhantomData }
}

/// What [`use_hub_invoke_as`] gives.
pub struct UseHubInvokeAs<H, R: Send + Sync + 'static> {
    calls: Calls<R>,
    handle: PhantomData<fn() -> H>,
}

impl<H: TypedHub, R: Send + Sync + 'static> UseHubInvokeAs<H, R> {
    /// Makes a call. One that is still pending is cancelled; so is this one when the component is gone.
    pub fn call<F>(self, call: impl FnOnce(H) -> F + 'static)
    where
        F: Future<Output = Result<R, CallError>> + 'static,
    {
        let Some(hub) = self.calls.provided.hub() else { return };
        self.calls.begin(async move { call(hub.typed()?).await });
    }

    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(self) -> ReadSignal<bool> {
        self.calls.pending.read_only()
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(self) -> ReadSignal<Option<Arc<Result<R, CallError>>>> {
        self.calls.result.read_only()
    }
}

struct Calls<R: Send + Sync + 'static> {
    provided: Provided,
    pending: RwSignal<bool>,
    result: RwSignal<Option<Arc<Result<R, CallError>>>>,
    /// Dropped with the component.
    job: StoredValue<Option<Job>>,
}

impl<R: Send + Sync + 'static> Calls<R> {
    fn new() -> Self {
        Self {
            provided: Provided::nearest(),
            pending: RwSignal::new(false),
            result: RwSignal::new(None),
            job: StoredValue::new(None),
        }
    }

    fn begin(self, call: impl Future<Output = Result<R, CallError>> + 'static) {
        let _gone = self.pending.try_set(true);
        let (job, task) = until_dropped(async move {
            let result = call.await;
            let _gone = self.pending.try_set(false);
            let _gone = self.result.try_set(Some(Arc::new(result)));
        });
        // Where the component is gone, so is the job, and the call is not made.
        let _gone = self.job.try_set_value(Some(job));
        spawn_local(task);
    }
}

macro_rules! copies {
    ($($Type:ident<$($Parameter:ident),*>)*) => {
        $(
            impl<$($Parameter),*> Clone for $Type<$($Parameter),*>
            where
                R: Send + Sync,
            {
                fn clone(&self) -> Self {
                    *self
                }
            }

            impl<$($Parameter),*> Copy for $Type<$($Parameter),*> where R: Send + Sync {}

            impl<$($Parameter),*> fmt::Debug for $Type<$($Parameter),*>
            where
                R: Send + Sync,
            {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($Type)).finish_non_exhaustive()
                }
            }
        )*
    };
}

copies! { UseHubInvoke<R> UseHubInvokeAs<H, R> Calls<R> }
