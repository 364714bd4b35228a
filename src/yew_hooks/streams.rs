//! Streams from the hub.

use serde::de::DeserializeOwned;
use yew::prelude::*;

use crate::arguments::Arguments;
use crate::client::{CallError, HubConnection, HubStream};
use crate::front_end::{StreamEnd, StreamEvent, StreamState, follow_items};
use crate::platform::MaybeSend;
use crate::typed::TypedHub;
use crate::yew_hooks::{spawn, use_hub, use_latest};

/// The items of a stream from the hub: the last one, and whether there will be more. It begins when there is a
/// connection, and again after a reconnect. When the method or the arguments are others than in the last rendering, the
/// stream is cancelled and another begins; it is cancelled with the component as well.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_stream;
/// use yew::prelude::*;
///
/// #[component]
/// fn Ticks() -> Html {
///     let ticks = use_hub_stream::<u64>("Ticks", ("MSFT",));
///     html! { <p>{ ticks.latest }{ ticks.is_done.then_some(" (closed)") }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_stream<T>(
    target: &str,
    arguments: impl Arguments + Clone + PartialEq + 'static,
) -> StreamState<T>
where
    T: DeserializeOwned + MaybeSend + Clone + 'static,
{
    use_latest_item((target.to_owned(), arguments), open_by_name)
}

/// As [`use_hub_stream`], by the typed handle that [`hub!`](crate::hub) makes: names and types are checked when the
/// program is compiled. The function captures nothing: what it needs are arguments, so that another stream begins when
/// they change.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_stream_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Stocks { stream fn ticks(symbol: &str) -> u64; }
/// }
///
/// #[component]
/// fn Ticks() -> Html {
///     let symbol = use_state(|| "MSFT".to_owned());
///     let ticks = use_hub_stream_as((*symbol).clone(), |stocks: Stocks, symbol| async move {
///         stocks.ticks(&symbol).await
///     });
///     html! { <p>{ ticks.latest }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_stream_as<H, T, A, F>(arguments: A, open: fn(H, A) -> F) -> StreamState<T>
where
    H: TypedHub,
    T: Clone + 'static,
    A: Clone + PartialEq + 'static,
    F: Future<Output = Result<HubStream<T>, CallError>> + 'static,
{
    use_latest_item(arguments, move |connection, arguments| open(H::over(connection), arguments))
}

/// Gives every item of a stream from the hub, in order, to a function: that of the last rendering. What it returns tells
/// the end of the stream, and `None` before.
///
/// It begins, begins again and is cancelled as that of [`use_hub_stream`]. After a reconnect the items come from the
/// first one on, whatever that is for this method.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_stream_handler;
/// use yew::prelude::*;
///
/// #[component]
/// fn Log() -> Html {
///     let lines = use_mut_ref(Vec::new);
///     let update = use_force_update();
///     let more = lines.clone();
///     let end = use_hub_stream_handler("Log", ("today",), move |line: String| {
///         more.borrow_mut().push(line);
///         update.force_update();
///     });
///     html! {
///         <>
///             { for lines.borrow().iter().map(|line| html! { <p>{ line }</p> }) }
///             { end.map(|end| end.error.map_or("The end.".to_owned(), |error| hubwire::ErrorChain::new(&*error).to_string())) }
///         </>
///     }
/// }
/// ```
#[hook]
pub fn use_hub_stream_handler<T, F>(
    target: &str,
    arguments: impl Arguments + Clone + PartialEq + 'static,
    handler: F,
) -> Option<StreamEnd>
where
    T: DeserializeOwned + MaybeSend + 'static,
    F: Fn(T) + 'static,
{
    use_items((target.to_owned(), arguments), open_by_name, handler)
}

/// As [`use_hub_stream_handler`], by the typed handle that [`hub!`](crate::hub) makes, like [`use_hub_stream_as`].
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_stream_handler_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Stocks { stream fn ticks(symbol: &str) -> u64; }
/// }
///
/// #[component]
/// fn Total() -> Html {
///     let total = use_mut_ref(|| 0);
///     let update = use_force_update();
///     let sum = total.clone();
///     use_hub_stream_handler_as(
///         (),
///         |stocks: Stocks, ()| async move { stocks.ticks("MSFT").await },
///         move |tick| {
///             *sum.borrow_mut() += tick;
///             update.force_update();
///         },
///     );
///     html! { <p>{ *total.borrow() }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_stream_handler_as<H, T, A, R, F>(
    arguments: A,
    open: fn(H, A) -> R,
    handler: F,
) -> Option<StreamEnd>
where
    H: TypedHub,
    T: 'static,
    A: Clone + PartialEq + 'static,
    R: Future<Output = Result<HubStream<T>, CallError>> + 'static,
    F: Fn(T) + 'static,
{
    use_items(arguments, move |connection, arguments| open(H::over(connection), arguments), handler)
}

async fn open_by_name<T: DeserializeOwned + MaybeSend + 'static>(
    connection: HubConnection,
    (target, arguments): (String, impl Arguments),
) -> Result<HubStream<T>, CallError> {
    connection.stream(&target, arguments).await
}

#[hook]
fn use_latest_item<T, A, F>(arguments: A, open: impl Fn(HubConnection, A) -> F + 'static) -> StreamState<T>
where
    T: Clone + 'static,
    A: Clone + PartialEq + 'static,
    F: Future<Output = Result<HubStream<T>, CallError>> + 'static,
{
    let shown = use_state(StreamState::default);
    let set = shown.setter();
    use_stream(arguments, open, move || {
        let mut state = StreamState::default();
        set.set(state.clone());
        let set = set.clone();
        move |event| {
            if state.change(event) {
                set.set(state.clone());
            }
        }
    });
    (*shown).clone()
}

#[hook]
fn use_items<T, A, R, F>(
    arguments: A,
    open: impl Fn(HubConnection, A) -> R + 'static,
    handler: F,
) -> Option<StreamEnd>
where
    T: 'static,
    A: Clone + PartialEq + 'static,
    R: Future<Output = Result<HubStream<T>, CallError>> + 'static,
    F: Fn(T) + 'static,
{
    let shown = use_state(|| None);
    let set = shown.setter();
    let latest = use_latest(handler);
    use_stream(arguments, open, move || {
        set.set(None);
        move |event| match event {
            StreamEvent::Begins => {}
            StreamEvent::Item(item) => {
                let handler = latest.borrow().clone();
                handler(item);
            }
            StreamEvent::Ends(end) => set.set(Some(end)),
        }
    });
    (*shown).clone()
}

/// A stream that another replaces when the arguments are others than in the last rendering.
#[hook]
fn use_stream<T, A, F, E>(
    arguments: A,
    open: impl Fn(HubConnection, A) -> F + 'static,
    begin: impl FnOnce() -> E + 'static,
) where
    T: 'static,
    A: Clone + PartialEq + 'static,
    F: Future<Output = Result<HubStream<T>, CallError>> + 'static,
    E: FnMut(StreamEvent<T>) + 'static,
{
    let hub = use_hub();
    use_effect_with((hub, arguments), move |(hub, arguments)| {
        let (hub, arguments) = (hub.clone(), arguments.clone());
        let open = move |connection| open(connection, arguments.clone());
        spawn(follow_items(hub, open, begin()))
    });
}
