//! Streams from the hub.

use serde::de::DeserializeOwned;
use yew::prelude::*;

use crate::arguments::Arguments;
use crate::front_end::{StreamEvent, StreamState, follow, follow_items};
use crate::platform::MaybeSend;
use crate::yew::{spawn, use_hub, use_latest};

/// The items of a stream from the hub: the last one, and whether there will be more. It begins when there is a
/// connection, and again after a reconnect. When the method or the arguments are others than in the last rendering, the
/// stream is cancelled and another begins; it is cancelled with the component as well.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew::HubProvider).
///
/// ```
/// use hubwire::yew::use_hub_stream;
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
    let state = use_state(StreamState::default);
    let set = state.setter();
    let hub = use_hub();
    use_effect_with((hub, target.to_owned(), arguments), move |(hub, target, arguments)| {
        spawn(follow(hub.clone(), target.clone(), arguments.clone(), move |state| set.set(state)))
    });
    (*state).clone()
}

/// Gives every item of a stream from the hub, in order, to a function: that of the last rendering. It tells whether there
/// will be more; [`latest`](StreamState::latest) stays `None`.
///
/// It begins, begins again and is cancelled as that of [`use_hub_stream`]. After a reconnect the items come from the
/// first one on, whatever that is for this method.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew::HubProvider).
///
/// ```
/// use hubwire::yew::use_hub_stream_handler;
/// use yew::prelude::*;
///
/// #[component]
/// fn Log() -> Html {
///     let lines = use_mut_ref(Vec::new);
///     let update = use_force_update();
///     let more = lines.clone();
///     let log = use_hub_stream_handler("Log", ("today",), move |line: String| {
///         more.borrow_mut().push(line);
///         update.force_update();
///     });
///     html! {
///         <>
///             { for lines.borrow().iter().map(|line| html! { <p>{ line }</p> }) }
///             { log.error.as_ref().map(|error| html! { <p role="alert">{ error.to_string() }</p> }) }
///         </>
///     }
/// }
/// ```
#[hook]
pub fn use_hub_stream_handler<T, F>(
    target: &str,
    arguments: impl Arguments + Clone + PartialEq + 'static,
    handler: F,
) -> StreamState<()>
where
    T: DeserializeOwned + MaybeSend + 'static,
    F: Fn(T) + 'static,
{
    let state = use_state(StreamState::default);
    let set = state.setter();
    let hub = use_hub();
    let latest = use_latest(handler);
    use_effect_with((hub, target.to_owned(), arguments), move |(hub, target, arguments)| {
        set.set(StreamState::default());
        spawn(follow_items(hub.clone(), target.clone(), arguments.clone(), move |event| match event {
            StreamEvent::Begins => {}
            StreamEvent::Item(item) => {
                let handler = latest.borrow().clone();
                handler(item);
            }
            StreamEvent::Ends(error) => set.set(StreamState { latest: None, is_done: true, error }),
        }))
    });
    (*state).clone()
}
