//! Streams from the hub.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use leptos::prelude::*;
use serde::de::DeserializeOwned;

use crate::client::{CallError, HubConnection, HubStream};
use crate::front_end::{StreamEnd, StreamState, end_of, read};
use crate::leptos_hooks::inputs::ReactiveArguments;
use crate::leptos_hooks::provider::{Provided, in_browser, spawn};
use crate::platform::MaybeSend;
use crate::typed::TypedHub;

/// The items of a stream from the hub: the last one, and whether there will be more. It begins when there is a
/// connection, again after a reconnect, and is cancelled with the component.
///
/// The arguments may be a closure: when signals change that it reads, the stream is cancelled and another one begins.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_stream;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Ticks(symbol: ReadSignal<String>) -> impl IntoView {
///     let index = use_hub_stream::<f64>("Index", ());
///     let ticks = use_hub_stream::<u64>("Ticks", move || (symbol.get(),));
///     view! {
///         <p>{move || index.read().latest}</p>
///         <p>{move || ticks.read().latest}{move || ticks.read().is_done.then_some(" (closed)")}</p>
///     }
/// }
/// ```
#[must_use]
pub fn use_hub_stream<T>(target: &str, arguments: impl ReactiveArguments) -> ReadSignal<StreamState<T>>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    use_hub_stream_as(opens(target, arguments))
}

/// As [`use_hub_stream`], by the typed handle that [`hub!`](crate::hub) makes. Signals count that the closure reads
/// before its future begins.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_stream_as;
/// use leptos::prelude::*;
///
/// hubwire::hub! {
///     trait Stocks { stream fn ticks(symbol: &str) -> u64; }
/// }
///
/// #[component]
/// fn Ticks(symbol: ReadSignal<String>) -> impl IntoView {
///     let ticks = use_hub_stream_as(move |stocks: Stocks| {
///         let symbol = symbol.get();
///         async move { stocks.ticks(&symbol).await }
///     });
///     view! { <p>{move || ticks.read().latest}</p> }
/// }
/// ```
#[must_use]
pub fn use_hub_stream_as<H, T, F>(open: impl Fn(H) -> F + 'static) -> ReadSignal<StreamState<T>>
where
    H: TypedHub,
    T: DeserializeOwned + Send + Sync + 'static,
    F: Future<Output = Result<HubStream<T>, CallError>> + 'static,
{
    let (state, set) = signal(StreamState::default());
    follow(open, move |change| {
        let _gone = set.try_update(|state| match change {
            Change::Another => *state = StreamState::default(),
            Change::Again => (state.is_done, state.error) = (false, None),
            Change::Item(item) => state.latest = Some(item),
            Change::End(end) => (state.is_done, state.error) = (true, end.error),
        });
    });
    state
}

/// Gives every item of a stream from the hub, in order, to a function; what it returns tells the end of the stream,
/// and `None` before. The stream begins as that of [`use_hub_stream`] does: after a reconnect, or with other
/// arguments, items come from its beginning again.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_stream_handler;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Log(level: ReadSignal<u8>) -> impl IntoView {
///     let (lines, set_lines) = signal(Vec::<String>::new());
///     let end = use_hub_stream_handler("Log", move || (level.get(),), move |line: String| {
///         set_lines.write().push(line);
///     });
///     view! {
///         <pre>{move || lines.read().join("\n")}</pre>
///         {move || end.get().map(|end| end.error.map_or("the end".to_owned(), |error| hubwire::ErrorChain::new(&*error).to_string()))}
///     }
/// }
/// ```
pub fn use_hub_stream_handler<T>(
    target: &str,
    arguments: impl ReactiveArguments,
    handler: impl FnMut(T) + 'static,
) -> ReadSignal<Option<StreamEnd>>
where
    T: DeserializeOwned + MaybeSend + 'static,
{
    use_hub_stream_handler_as(opens(target, arguments), handler)
}

/// As [`use_hub_stream_handler`], by the typed handle that [`hub!`](crate::hub) makes, like [`use_hub_stream_as`].
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_stream_handler_as;
/// use leptos::prelude::*;
///
/// hubwire::hub! {
///     trait Stocks { stream fn ticks(symbol: &str) -> u64; }
/// }
///
/// #[component]
/// fn Total() -> impl IntoView {
///     let (total, set_total) = signal(0);
///     use_hub_stream_handler_as(
///         |stocks: Stocks| async move { stocks.ticks("MSFT").await },
///         move |tick| *set_total.write() += tick,
///     );
///     view! { <p>{total}</p> }
/// }
/// ```
pub fn use_hub_stream_handler_as<H, T, F>(
    open: impl Fn(H) -> F + 'static,
    mut handler: impl FnMut(T) + 'static,
) -> ReadSignal<Option<StreamEnd>>
where
    H: TypedHub,
    T: DeserializeOwned + MaybeSend + 'static,
    F: Future<Output = Result<HubStream<T>, CallError>> + 'static,
{
    let (end, set) = signal(None);
    follow(open, move |change| match change {
        Change::Item(item) => handler(item),
        Change::Another | Change::Again => {
            let _gone = set.try_set(None);
        }
        Change::End(end) => {
            let _gone = set.try_set(Some(end));
        }
    });
    end
}

/// Opens the stream of a method by its name.
fn opens<T, A: ReactiveArguments>(
    target: &str,
    arguments: A,
) -> impl Fn(HubConnection) -> OpenNamed<T> + use<T, A>
where
    T: DeserializeOwned + MaybeSend + 'static,
{
    let target: Rc<str> = target.into();
    move |connection| {
        let (target, arguments) = (Rc::clone(&target), arguments.arguments());
        Box::pin(async move { connection.stream(&target, arguments).await })
    }
}

type OpenNamed<T> = std::pin::Pin<Box<dyn Future<Output = Result<HubStream<T>, CallError>>>>;

enum Change<T> {
    /// Another stream begins, or will when there is a connection.
    Another,
    /// The stream begins again, or will: its connection was lost.
    Again,
    Item(T),
    End(StreamEnd),
}

/// Reads a stream while there is a connection, from its beginning again when signals change that `open` reads.
fn follow<H, T, F>(open: impl Fn(H) -> F + 'static, tell: impl FnMut(Change<T>) + 'static)
where
    H: TypedHub,
    T: 'static,
    F: Future<Output = Result<HubStream<T>, CallError>> + 'static,
{
    let (provided, tell) = (Provided::nearest(), Rc::new(RefCell::new(tell)));
    let has_ended = Rc::new(Cell::new(false));
    in_browser(move |last: Option<((u32, Option<u32>), _)>| {
        let now = provided.session();
        if let Some((last, job)) = last {
            drop(job);
            if last == now || last.0 != now.0 {
                has_ended.set(false);
                (tell.borrow_mut())(Change::Another);
            } else if !has_ended.get() {
                (tell.borrow_mut())(Change::Again);
            }
        }
        // The closure is asked without a session too, for its signals.
        let Some(connection) = provided.connection() else { return (now, None) };
        let opening = open(H::over(connection));
        if now.1.is_none() || has_ended.get() {
            return (now, None);
        }
        let (tell, has_ended) = (Rc::clone(&tell), Rc::clone(&has_ended));
        let job = spawn(async move {
            let result = read(opening, |item| (tell.borrow_mut())(Change::Item(item))).await;
            if let Some(end) = end_of(result) {
                has_ended.set(true);
                (tell.borrow_mut())(Change::End(end));
            }
        });
        (now, Some(job))
    });
}
