//! Where the connection comes from, and what it is doing.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::HubConnectionBuilder;
use crate::client::HubConnection;
use crate::core::client::{ConnectionError, ConnectionState};
use crate::front_end::{Hub, HubState, Job, until_dropped, watch};
use crate::platform::{MaybeSend, MaybeSync, ThreadBound};
use crate::typed::TypedHub;

/// What components find of the nearest hub.
#[derive(Clone, Copy)]
pub(super) struct Provided {
    hub: StoredValue<Hub>,
    state: ReadSignal<HubState>,
    /// Which connection it is: another URL makes another.
    turn: Memo<u32>,
    /// Which of its sessions is up, if one is. One that is lost and back is another, even where nobody saw the loss.
    session: Memo<Option<u32>>,
    end: Memo<Option<ConnectionError>>,
}

impl Provided {
    pub(super) fn nearest() -> Self {
        use_context().expect("use_hub and its like need a provide_hub in a component above")
    }

    pub(super) fn hub(self) -> Option<Hub> {
        self.hub.try_get_value()
    }

    /// Which connection it is, and which of its sessions is up: tracked.
    pub(super) fn session(self) -> (u32, Option<u32>) {
        (self.turn.get(), self.session.get())
    }

    /// Why there is no connection and none is on its way, if it was not stopped on purpose: tracked.
    pub(super) fn end(self) -> Option<ConnectionError> {
        self.end.get()
    }

    pub(super) fn connection(self) -> Option<HubConnection> {
        self.hub()?.connection().ok()
    }

    /// The connection while it is up: not tracked.
    pub(super) fn connected(self) -> Option<HubConnection> {
        self.session.try_get_untracked().flatten()?;
        self.connection()
    }

    /// Does something with the connection from when the current component is there, and with the next one when the
    /// URL changes; on a server not at all. What comes of it is dropped when it is over, or the component is gone.
    pub(super) fn with_connection<G: 'static>(self, mut begin: impl FnMut(HubConnection) -> G + 'static) {
        in_browser(move |last: Option<Option<G>>| {
            drop(last);
            self.turn.track();
            self.connection().map(&mut begin)
        });
    }
}

/// An effect in browsers; on a server nothing, whichever of Leptos's features are on.
pub(super) fn in_browser<T: 'static>(effect: impl FnMut(Option<T>) -> T + 'static) {
    if !cfg!(feature = "leptos-ssr") {
        Effect::new(effect);
    }
}

/// Runs a task until what this returns is dropped.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) -> Job {
    let (job, task) = until_dropped(task);
    spawn_local(task);
    job
}

/// Shares a connection to a hub among the current component and those under it, until the current one is gone.
///
/// The URL may be relative to the page. `setup` gets a builder that tries again when the connection cannot be made or
/// is lost ([`with_automatic_reconnect`](HubConnectionBuilder::with_automatic_reconnect),
/// [`with_first_connect_retry`](HubConnectionBuilder::with_first_connect_retry)), and may change that, give tokens,
/// choose the protocol:
///
/// ```
/// use hubwire::leptos_hooks::provide_hub;
/// use leptos::prelude::*;
///
/// # async fn fetch_token() -> std::io::Result<String> { Ok(String::new()) }
/// #[component]
/// fn App() -> impl IntoView {
///     provide_hub("https://example.com/chat", |hub| {
///         hub.with_access_token(|| async { fetch_token().await })
///     });
///     view! { "…" }
/// }
/// ```
///
/// The URL may also be a signal, or a closure that reads some. Another URL is another connection: the old one ends,
/// and handlers, streams and resources of all components follow. The same goes for signals that `setup` reads:
///
/// ```
/// use hubwire::leptos_hooks::provide_hub;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Room(id: ReadSignal<u32>, tenant: ReadSignal<String>) -> impl IntoView {
///     provide_hub(
///         move || format!("/rooms/{}", id.get()),
///         move |hub| hub.with_header("X-Tenant", tenant.get()),
///     );
///     view! { "…" }
/// }
/// ```
///
/// A token that is read *in the provider of tokens* changes without another connection: it is asked for at every
/// start, at every reconnect that needs another one, and to refresh the authentication.
///
/// ```
/// use std::convert::Infallible;
/// use hubwire::leptos_hooks::HubProvider;
/// use leptos::prelude::*;
///
/// #[component]
/// fn App() -> impl IntoView {
///     let (token, set_token) = signal(None::<String>);
///     HubProvider::new("/chat")
///         .enabled(move || token.read().is_some())
///         .setup(move |hub| {
///             hub.with_access_token(move || async move {
///                 Ok::<_, Infallible>(token.get_untracked().unwrap_or_default())
///             })
///         })
///         .provide();
///     view! { <button on:click=move |_| set_token.set(Some("…".to_owned()))>"Sign in"</button> }
/// }
/// ```
pub fn provide_hub<M>(
    url: impl IntoReactiveValue<Signal<String>, M>,
    setup: impl Fn(HubConnectionBuilder) -> HubConnectionBuilder + MaybeSend + MaybeSync + 'static,
) -> Hub {
    HubProvider::new(url).setup(setup).provide()
}

/// A connection to a hub that components share: [`provide_hub`] with every option.
///
/// ```
/// use hubwire::leptos_hooks::{HubProvider, use_hub_event};
/// use leptos::prelude::*;
///
/// #[component]
/// fn App() -> impl IntoView {
///     let (live, set_live) = signal(false);
///     HubProvider::new("/prices").enabled(live).provide();
///     let price = use_hub_event::<f64>("Price");
///     view! {
///         <button on:click=move |_| set_live.set(!live.get())>"live"</button>
///         <p>{price}</p>
///     }
/// }
/// ```
#[must_use = "nothing is there before `provide`"]
pub struct HubProvider<F = fn(HubConnectionBuilder) -> HubConnectionBuilder> {
    url: Signal<String>,
    enabled: Signal<bool>,
    setup: F,
}

impl HubProvider {
    /// Begins with the hub URL, which may be relative to the page: text, a signal, or a closure that reads signals.
    pub fn new<M>(url: impl IntoReactiveValue<Signal<String>, M>) -> Self {
        Self { url: url.into_reactive_value(), enabled: true.into(), setup: |hub| hub }
    }
}

impl<F> HubProvider<F> {
    /// Sets up the connection: tokens, protocol, retries. See [`provide_hub`].
    pub fn setup<S>(self, setup: S) -> HubProvider<S>
    where
        S: Fn(HubConnectionBuilder) -> HubConnectionBuilder + MaybeSend + MaybeSync + 'static,
    {
        HubProvider { url: self.url, enabled: self.enabled, setup }
    }

    /// Whether there is to be a connection: a value, a signal, or a closure that reads signals. Default: `true`.
    ///
    /// It connects when this becomes `true`, and disconnects when it becomes `false`. In between, [`Hub::start`] and
    /// [`Hub::stop`] do the same by hand.
    pub fn enabled<M>(self, enabled: impl IntoReactiveValue<Signal<bool>, M>) -> Self {
        Self { enabled: enabled.into_reactive_value(), ..self }
    }
}

impl<F> HubProvider<F>
where
    F: Fn(HubConnectionBuilder) -> HubConnectionBuilder + MaybeSend + MaybeSync + 'static,
{
    /// Provides the hub to the current component and those under it, until the current one is gone.
    pub fn provide(self) -> Hub {
        let Self { url, enabled, setup } = self;
        let url = Memo::new(move |_| url.get());
        let enabled = Memo::new(move |_| enabled.get());
        let hub = Hub::unset();
        let setup = Arc::new(ThreadBound::new(setup));
        let turn = Memo::new({
            let hub = hub.clone();
            move |last: Option<&u32>| {
                hub.replace(&url.read(), |builder| setup(builder));
                last.map_or(0, |turn| turn.wrapping_add(1))
            }
        });
        // The connection is there at once, and on a server too.
        turn.get_untracked();

        let (state, set_state) = signal(HubState::default());
        let (sessions, set_sessions) = signal(0);
        let session = Memo::new(move |_| state.read().is_connected().then(|| sessions.get()));
        let end = Memo::new(move |_| {
            let state = state.read();
            state.error.clone().filter(|_| state.connection == ConnectionState::Disconnected)
        });
        let provided = Provided { hub: StoredValue::new(hub.clone()), state, turn, session, end };
        provide_context(provided);
        in_browser(move |last| {
            drop(last);
            turn.track();
            let hub = provided.hub()?;
            let _gone = set_state.try_set(HubState::default());
            Some(spawn(watch(&hub, move |state| {
                if state.is_connected() {
                    let _gone =
                        set_sessions.try_update(|sessions: &mut u32| *sessions = sessions.wrapping_add(1));
                }
                let _gone = set_state.try_set(state);
            })))
        });
        in_browser(move |last: Option<()>| {
            let (enabled, Some(hub)) = (enabled.get(), provided.hub()) else { return };
            if enabled {
                hub.start();
            } else if last.is_some() {
                hub.stop();
            }
        });
        hub
    }
}

impl<F> fmt::Debug for HubProvider<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubProvider").finish_non_exhaustive()
    }
}

/// The hub of the nearest [`provide_hub`], to call it, to start and to stop it.
///
/// # Panics
/// Where there is no [`provide_hub`] above.
///
/// ```
/// use hubwire::leptos_hooks::use_hub;
/// use leptos::prelude::*;
/// use leptos::task::spawn_local;
///
/// #[component]
/// fn Wave() -> impl IntoView {
///     let hub = use_hub();
///     let wave = move |_| {
///         let hub = hub.clone();
///         spawn_local(async move {
///             if let Err(error) = hub.send("Wave", ("hello",)).await {
///                 tracing::warn!(error = %hubwire::ErrorChain::new(&error), "the wave was not sent");
///             }
///         });
///     };
///     view! { <button on:click=wave>"Wave"</button> }
/// }
/// ```
#[must_use]
pub fn use_hub() -> Hub {
    Provided::nearest().hub().expect("the component that provides the hub is still there")
}

/// What the connection is doing.
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos_hooks::use_hub_state;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Status() -> impl IntoView {
///     let state = use_hub_state();
///     let text = move || {
///         let state = state.get();
///         match state.error {
///             _ if state.is_reconnecting() => "Lost; trying again …".to_owned(),
///             Some(error) => hubwire::ErrorChain::new(&error).to_string(),
///             None => state.connection.to_string(),
///         }
///     };
///     view! { <p role="status">{text}</p> }
/// }
/// ```
#[must_use]
pub fn use_hub_state() -> ReadSignal<HubState> {
    Provided::nearest().state
}

/// The hub as the typed handle that [`hub!`](crate::hub) makes, while it is connected.
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos_hooks::use_hub_as;
/// use leptos::prelude::*;
/// use leptos::task::spawn_local;
///
/// hubwire::hub! {
///     trait Chat { fn send_message(user: &str, text: &str); }
/// }
///
/// #[component]
/// fn Wave() -> impl IntoView {
///     let chat = use_hub_as::<Chat>();
///     let wave = move |_| {
///         let Some(chat) = chat.get_untracked() else { return };
///         spawn_local(async move {
///             if let Err(error) = chat.send_message("alice", "hello").await {
///                 tracing::warn!(error = %hubwire::ErrorChain::new(&error), "the wave was not sent");
///             }
///         });
///     };
///     view! { <button prop:disabled=move || chat.get().is_none() on:click=wave>"Wave"</button> }
/// }
/// ```
#[must_use]
pub fn use_hub_as<H: TypedHub>() -> UseHubAs<H> {
    UseHubAs { provided: Provided::nearest(), handle: PhantomData }
}

/// What [`use_hub_as`] gives.
pub struct UseHubAs<H> {
    provided: Provided,
    handle: PhantomData<fn() -> H>,
}

impl<H: TypedHub> UseHubAs<H> {
    /// The handle, while there is a connection; tracked, as a signal is.
    #[must_use]
    pub fn get(self) -> Option<H> {
        self.provided.turn.try_get()?;
        self.provided.session.try_get()??;
        self.get_untracked()
    }

    /// The handle, while there is a connection.
    #[must_use]
    pub fn get_untracked(self) -> Option<H> {
        self.provided.connected().map(H::over)
    }
}

impl<H> Clone for UseHubAs<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for UseHubAs<H> {}

impl<H> fmt::Debug for UseHubAs<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UseHubAs").finish_non_exhaustive()
    }
}
