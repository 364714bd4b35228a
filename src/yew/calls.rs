//! Calls of the hub, by a click.

use std::cell::RefCell;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use yew::platform::spawn_local;
use yew::prelude::*;

use crate::arguments::Arguments;
use crate::client::CallError;
use crate::front_end::{Hub, Job, until_dropped};
use crate::platform::MaybeSend;
use crate::yew::use_hub;

/// Calls of a method, one at a time, for a button or a form.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew::HubProvider).
///
/// ```
/// use hubwire::yew::use_hub_invoke;
/// use yew::prelude::*;
///
/// #[component]
/// fn Sum() -> Html {
///     let sum = use_hub_invoke::<i32>("Add");
///     let text = match sum.result() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => error.to_string(),
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
    let callee = use_mut_ref(|| (hub.clone(), Rc::<str>::from(target)));
    callee.replace((hub, Rc::from(target)));
    UseHubInvoke { callee, pending, result, job }
}

/// What [`use_hub_invoke`] gives. Clones call the same method, and cancel each other's calls.
pub struct UseHubInvoke<R> {
    /// Those of the last rendering, even if this is from an earlier one.
    callee: Rc<RefCell<(Hub, Rc<str>)>>,
    pending: UseStateHandle<bool>,
    result: UseStateHandle<Option<Rc<Result<R, CallError>>>>,
    job: Rc<RefCell<Option<Job>>>,
}

impl<R: DeserializeOwned + MaybeSend + 'static> UseHubInvoke<R> {
    /// Calls the method. A call that is still pending is cancelled; so is this one when the component is unmounted.
    pub fn call(&self, arguments: impl Arguments + 'static) {
        let (hub, target) = self.callee.borrow().clone();
        let (pending, result) = (self.pending.setter(), self.result.setter());
        pending.set(true);
        let (job, task) = until_dropped(async move {
            let ended = hub.invoke(&target, arguments).await;
            pending.set(false);
            result.set(Some(Rc::new(ended)));
        });
        self.job.replace(Some(job));
        spawn_local(task);
    }
}

impl<R> UseHubInvoke<R> {
    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        *self.pending
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(&self) -> Option<&Result<R, CallError>> {
        self.result.as_deref()
    }
}

impl<R> Clone for UseHubInvoke<R> {
    fn clone(&self) -> Self {
        Self {
            callee: Rc::clone(&self.callee),
            pending: self.pending.clone(),
            result: self.result.clone(),
            job: Rc::clone(&self.job),
        }
    }
}

impl<R> std::fmt::Debug for UseHubInvoke<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UseHubInvoke").field("target", &self.callee.borrow().1).finish_non_exhaustive()
    }
}
