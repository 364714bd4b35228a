//! Calls of the hub, by a click.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use yew::platform::spawn_local;
use yew::prelude::*;

use crate::arguments::Arguments;
use crate::client::CallError;
use crate::front_end::{Hub, Job, until_dropped};
use crate::platform::MaybeSend;
use crate::typed::TypedHub;
use crate::yew_hooks::use_hub;

/// Calls of a method, one at a time, for a button or a form.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_invoke;
/// use yew::prelude::*;
///
/// #[component]
/// fn Sum() -> Html {
///     let sum = use_hub_invoke::<i32>("Add");
///     let text = match sum.result() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
///         None => String::new(),
///     };
///     let disabled = sum.is_pending();
///     html! { <><button {disabled} onclick={move |_| sum.call((1, 2))}>{ "1 + 2" }</button>{ text }</> }
/// }
/// ```
#[hook]
pub fn use_hub_invoke<R>(target: &str) -> UseHubInvoke<R>
where
    R: DeserializeOwned + MaybeSend + 'static,
{
    let calls = use_calls();
    let shared = use_mut_ref(|| Rc::<str>::from(target));
    shared.replace(Rc::from(target));
    UseHubInvoke { target: shared, calls }
}

/// What [`use_hub_invoke`] gives. Clones call the same method, and cancel each other's calls.
pub struct UseHubInvoke<R> {
    /// That of the last rendering, even if this is from an earlier one.
    target: Rc<RefCell<Rc<str>>>,
    calls: Calls<R>,
}

impl<R: DeserializeOwned + MaybeSend + 'static> UseHubInvoke<R> {
    /// Calls the method. A call that is still pending is cancelled; so is this one when the component is unmounted.
    pub fn call(&self, arguments: impl Arguments + 'static) {
        let (hub, target) = (self.calls.hub(), self.target.borrow().clone());
        self.calls.begin(async move { hub.invoke(&target, arguments).await });
    }
}

impl<R> UseHubInvoke<R> {
    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        *self.calls.pending
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(&self) -> Option<&Result<R, CallError>> {
        self.calls.result.as_deref()
    }
}

impl<R> Clone for UseHubInvoke<R> {
    fn clone(&self) -> Self {
        Self { target: Rc::clone(&self.target), calls: self.calls.clone() }
    }
}

impl<R> fmt::Debug for UseHubInvoke<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UseHubInvoke").field("target", &self.target.borrow()).finish_non_exhaustive()
    }
}

/// As [`use_hub_invoke`], by the typed handle that [`hub!`](crate::hub) makes: names and types are checked when the
/// program is compiled.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_invoke_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Calculator { fn add(a: i32, b: i32) -> i32; }
/// }
///
/// #[component]
/// fn Sum() -> Html {
///     let sum = use_hub_invoke_as::<Calculator, i32>();
///     let text = match sum.result() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
///         None => String::new(),
///     };
///     let disabled = sum.is_pending();
///     let add = move |_| sum.call(|calculator| async move { calculator.add(1, 2).await });
///     html! { <><button {disabled} onclick={add}>{ "1 + 2" }</button>{ text }</> }
/// }
/// ```
#[hook]
pub fn use_hub_invoke_as<H, R>() -> UseHubInvokeAs<H, R>
where
    H: TypedHub,
    R: 'static,
{
    UseHubInvokeAs { calls: use_calls(), handle: PhantomData }
}

/// What [`use_hub_invoke_as`] gives. Clones cancel each other's calls.
pub struct UseHubInvokeAs<H, R> {
    calls: Calls<R>,
    handle: PhantomData<fn() -> H>,
}

impl<H: TypedHub, R: 'static> UseHubInvokeAs<H, R> {
    /// Makes a call. One that is still pending is cancelled; so is this one when the component is unmounted.
    pub fn call<F>(&self, call: impl FnOnce(H) -> F + 'static)
    where
        F: Future<Output = Result<R, CallError>> + 'static,
    {
        let hub = self.calls.hub();
        self.calls.begin(async move { call(hub.typed()?).await });
    }
}

impl<H, R> UseHubInvokeAs<H, R> {
    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        *self.calls.pending
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(&self) -> Option<&Result<R, CallError>> {
        self.calls.result.as_deref()
    }
}

impl<H, R> Clone for UseHubInvokeAs<H, R> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), handle: PhantomData }
    }
}

impl<H, R> fmt::Debug for UseHubInvokeAs<H, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UseHubInvokeAs").finish_non_exhaustive()
    }
}

/// Calls, one at a time.
struct Calls<R> {
    /// That of the last rendering, even if this is from an earlier one.
    hub: Rc<RefCell<Hub>>,
    pending: UseStateHandle<bool>,
    result: UseStateHandle<Option<Rc<Result<R, CallError>>>>,
    job: Rc<RefCell<Option<Job>>>,
}

#[hook]
fn use_calls<R: 'static>() -> Calls<R> {
    let hub = use_hub();
    let pending = use_state_eq(|| false);
    let result = use_state(|| None);
    let job = use_mut_ref(|| None);
    use_effect_with(hub.clone(), {
        let (job, pending) = (job.clone(), pending.setter());
        move |_| {
            move || {
                drop(job.take());
                // The component may go on, with another hub.
                pending.set(false);
            }
        }
    });
    let shared = use_mut_ref(|| hub.clone());
    shared.replace(hub);
    Calls { hub: shared, pending, result, job }
}

impl<R> Calls<R> {
    fn hub(&self) -> Hub {
        self.hub.borrow().clone()
    }
}

impl<R: 'static> Calls<R> {
    fn begin(&self, call: impl Future<Output = Result<R, CallError>> + 'static) {
        let (pending, result) = (self.pending.setter(), self.result.setter());
        pending.set(true);
        let (job, task) = until_dropped(async move {
            let ended = call.await;
            pending.set(false);
            result.set(Some(Rc::new(ended)));
        });
        self.job.replace(Some(job));
        spawn_local(task);
    }
}

impl<R> Clone for Calls<R> {
    fn clone(&self) -> Self {
        Self {
            hub: Rc::clone(&self.hub),
            pending: self.pending.clone(),
            result: self.result.clone(),
            job: Rc::clone(&self.job),
        }
    }
}
