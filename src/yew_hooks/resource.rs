//! Results that the page is made of, for `<Suspense>`.

use std::cell::RefCell;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use yew::platform::spawn_local;
use yew::prelude::*;
use yew::suspense::{Suspension, SuspensionHandle, SuspensionResult};

use crate::arguments::Arguments;
use crate::client::{CallError, ConnectionEvent, HubConnection};
use crate::core::client::ConnectionState;
use crate::front_end::{Hub, HubState, Job, until_dropped};
use crate::platform::MaybeSend;
use crate::typed::TypedHub;
use crate::yew_hooks::{use_hub, use_hub_state};

/// The result of a method, for a component in a `<Suspense>`: its fallback is shown while a connection is on its way and
/// while the result is awaited. The method is called when there is a connection, again after a reconnect, and when the
/// arguments are others than in the last rendering. After a reconnect the old result stays until the new one comes.
///
/// It gives
///
/// - `None` where nothing is on its way: in the first rendering, on a server that renders the page, while the provider is
///   not [`enabled`](crate::yew_hooks::HubProviderProps::enabled), and after [`Hub::stop`]. The first rendering in the browser
///   is the server's, so that hydration fits; browsers do not get to show it where no server has rendered the page.
/// - `Some(Err(CallError::Connection(_)))` when the connection has ended, or cannot be made, and will not be tried again;
///   a call that was pending when the connection was lost is made again.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider). Yew panics where there is no `<Suspense>`.
///
/// ```
/// use hubwire::yew_hooks::use_hub_resource;
/// use yew::prelude::*;
///
/// #[derive(PartialEq, Properties)]
/// struct Props {
///     id: u32,
/// }
///
/// #[component]
/// fn Product(props: &Props) -> HtmlResult {
///     let name = use_hub_resource::<String, _>("ProductName", (props.id,))?;
///     Ok(match name.as_deref() {
///         Some(Ok(name)) => html! { <p>{ name }</p> },
///         Some(Err(error)) => html! { <p role="alert">{ hubwire::ErrorChain::new(error).to_string() }</p> },
///         None => html! { <p>{ "–" }</p> },
///     })
/// }
///
/// #[component]
/// fn Products() -> Html {
///     html! { <Suspense fallback={html! { "…" }}><Product id=7 /></Suspense> }
/// }
/// ```
#[hook]
pub fn use_hub_resource<R, A>(
    target: &str,
    arguments: A,
) -> SuspensionResult<Option<Rc<Result<R, CallError>>>>
where
    R: DeserializeOwned + MaybeSend + 'static,
    A: Arguments + Clone + PartialEq + 'static,
{
    use_answer((target.to_owned(), arguments), call_by_name)
}

async fn call_by_name<R: DeserializeOwned + MaybeSend + 'static>(
    connection: HubConnection,
    (target, arguments): (String, impl Arguments),
) -> Result<R, CallError> {
    connection.invoke(&target, arguments).await
}

/// As [`use_hub_resource`], by the typed handle that [`hub!`](crate::hub) makes: names and types are checked when the
/// program is compiled. The function captures nothing: what it needs are arguments, so that it is asked again when they
/// change.
///
/// # Panics
/// As [`use_hub_resource`].
///
/// ```
/// use hubwire::yew_hooks::use_hub_resource_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Shop { fn product_name(id: u32) -> String; }
/// }
///
/// #[derive(PartialEq, Properties)]
/// struct Props {
///     id: u32,
/// }
///
/// #[component]
/// fn Product(props: &Props) -> HtmlResult {
///     let name = use_hub_resource_as(props.id, |shop: Shop, id| async move { shop.product_name(id).await })?;
///     Ok(match name.as_deref() {
///         Some(Ok(name)) => html! { <p>{ name }</p> },
///         Some(Err(error)) => html! { <p role="alert">{ hubwire::ErrorChain::new(error).to_string() }</p> },
///         None => html! { <p>{ "–" }</p> },
///     })
/// }
/// ```
#[hook]
pub fn use_hub_resource_as<H, R, A, F>(
    arguments: A,
    ask: fn(H, A) -> F,
) -> SuspensionResult<Option<Rc<Result<R, CallError>>>>
where
    H: TypedHub,
    R: 'static,
    A: Clone + PartialEq + 'static,
    F: Future<Output = Result<R, CallError>> + 'static,
{
    use_answer(arguments, move |connection, arguments| ask(H::over(connection), arguments))
}

#[hook]
fn use_answer<R, A, F>(
    arguments: A,
    call: impl Fn(HubConnection, A) -> F + 'static,
) -> SuspensionResult<Option<Rc<Result<R, CallError>>>>
where
    R: 'static,
    A: Clone + PartialEq + 'static,
    F: Future<Output = Result<R, CallError>> + 'static,
{
    let (hub, state) = (use_hub(), use_hub_state());
    let update = use_force_update();
    let question = use_mut_ref(|| None::<Question<R, A>>);
    // While a component is suspended its effects do not run: this one runs after the first rendering, which is not.
    let mounted = use_state(|| false);
    let mount = mounted.setter();
    use_effect_with((), move |()| mount.set(true));
    if !*mounted {
        return Ok(None);
    }

    let mut question = question.borrow_mut();
    // The old call is cancelled here.
    question.take_if(|question| !question.is(&hub, &arguments));
    let asked =
        question.get_or_insert_with(|| Question::ask(hub, arguments, call, move || update.force_update()));
    let answer = &asked.answer;
    if state == HubState::default() {
        // Stopped on purpose, or not started: what an earlier user has seen is not for the next one.
        answer.result.take();
        answer.waiting.take();
        return Ok(None);
    }
    if let Some(result) = &*answer.result.borrow() {
        return Ok(Some(Rc::clone(result)));
    }
    if state.connection == ConnectionState::Disconnected {
        answer.waiting.take();
        return Ok(state.error.map(|error| Rc::new(Err(CallError::Connection(error)))));
    }
    Err(answer.waiting.borrow_mut().get_or_insert_with(Suspension::new).0.clone())
}

/// What is being asked, and the answer when there is one.
struct Question<R, A> {
    hub: Hub,
    arguments: A,
    answer: Rc<Answer<R>>,
    /// The call goes on until this is dropped.
    _job: Job,
}

struct Answer<R> {
    result: RefCell<Option<Rc<Result<R, CallError>>>>,
    /// What the component was suspended with. It is resumed when this is dropped.
    waiting: RefCell<Option<(Suspension, SuspensionHandle)>>,
}

impl<R: 'static, A: Clone + PartialEq + 'static> Question<R, A> {
    fn ask<F>(
        hub: Hub,
        arguments: A,
        call: impl Fn(HubConnection, A) -> F + 'static,
        update: impl Fn() + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, CallError>> + 'static,
    {
        let answer = Rc::new(Answer { result: RefCell::default(), waiting: RefCell::default() });
        let tell = {
            let answer = Rc::clone(&answer);
            move |result| {
                answer.result.replace(Some(Rc::new(result)));
                drop(answer.waiting.take());
                update();
            }
        };
        let asked = arguments.clone();
        let call = move |connection| call(connection, asked.clone());
        let (job, task) = until_dropped(ask(hub.clone(), call, tell));
        spawn_local(task);
        Self { hub, arguments, answer, _job: job }
    }

    fn is(&self, hub: &Hub, arguments: &A) -> bool {
        self.hub == *hub && self.arguments == *arguments
    }
}

/// Makes a call on every connection that there is.
async fn ask<R, F>(hub: Hub, call: impl Fn(HubConnection) -> F, tell: impl Fn(Result<R, CallError>))
where
    F: Future<Output = Result<R, CallError>>,
{
    // If there is no connection, its state says why.
    let Ok(connection) = hub.connection() else { return };
    let mut events = connection.events();
    loop {
        while connection.state() != ConnectionState::Connected {
            if events.next().await.is_none() {
                return;
            }
        }
        // Only what happens to this connection from here on.
        events = connection.events();
        let result = call(connection.clone()).await;
        if !matches!(result, Err(CallError::Connection(_))) {
            tell(result);
        }
        loop {
            match events.next().await {
                Some(ConnectionEvent::Connected { .. } | ConnectionEvent::Reconnected { .. }) => break,
                Some(_) => {}
                None => return,
            }
        }
    }
}
