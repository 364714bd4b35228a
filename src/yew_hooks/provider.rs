//! The component that holds a connection, and how others get at it.

use yew::prelude::*;

use crate::HubConnectionBuilder;
use crate::core::client::ConnectionError;
use crate::front_end::{Hub, HubState, builder, watch};
use crate::typed::TypedHub;
use crate::yew_hooks::spawn;

/// The properties of a [`HubProvider`].
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct HubProviderProps {
    /// The hub's URL, such as `https://example.com/chat`; it may be relative to the page. With another one there is
    /// another connection.
    pub url: AttrValue,
    /// Sets up the connection: tokens, protocol, retries. It gets a builder that tries again when the connection cannot
    /// be made or is lost ([`with_automatic_reconnect`](HubConnectionBuilder::with_automatic_reconnect),
    /// [`with_first_connect_retry`](HubConnectionBuilder::with_first_connect_retry)).
    ///
    /// It runs again with every new callback, and so with every rendering of a component that writes it as a closure. The
    /// *functions* that it gives the builder are always those of the last run: the access token provider, the retry
    /// policy, handlers and callbacks for events see the state of the last rendering. *Values*, such as the protocol,
    /// headers and time limits, are those of the run that made the connection, which is the first with this URL.
    #[prop_or_default]
    pub setup: Option<Callback<HubConnectionBuilder, HubConnectionBuilder>>,
    /// Whether to connect: as long as it is true, and not before. Set it to false until somebody has signed in, and
    /// again when they sign out; [`Hub::start`] and [`Hub::stop`] do the same by hand. Default: true.
    #[prop_or(true)]
    pub enabled: bool,
    /// The components that share the connection.
    #[prop_or_default]
    pub children: Html,
}

/// Shares a connection to a hub among the components in it, for as long as it is mounted.
///
/// The token provider below always sees the token of the last rendering:
///
/// ```
/// use hubwire::HubConnectionBuilder;
/// use hubwire::yew_hooks::HubProvider;
/// use yew::prelude::*;
///
/// #[component]
/// fn App() -> Html {
///     let token = use_state(|| None::<String>);
///     let sign_in = {
///         let token = token.clone();
///         move |_| token.set(Some("a token of your own sign-in".to_owned()))
///     };
///     let enabled = token.is_some();
///     let setup = move |hub: HubConnectionBuilder| {
///         let token = (*token).clone().unwrap_or_default();
///         hub.with_access_token(move || {
///             let token = token.clone();
///             async move { Ok::<_, std::convert::Infallible>(token) }
///         })
///     };
///     html! {
///         <>
///             <button onclick={sign_in}>{ "Sign in" }</button>
///             <HubProvider url="https://example.com/chat" {setup} {enabled}>{ "…" }</HubProvider>
///         </>
///     }
/// }
/// ```
#[component]
pub fn HubProvider(props: &HubProviderProps) -> Html {
    let setup = |builder| match &props.setup {
        Some(setup) => setup.emit(builder),
        None => builder,
    };
    let made = use_memo(props.url.clone(), |url| {
        let mut renewal = None;
        let hub = Hub::new(url, |builder| {
            let (builder, made) = setup(builder).renewable();
            renewal = Some(made);
            builder
        });
        (hub, renewal)
    });
    let (hub, renewal) = &*made;
    let last = use_mut_ref(|| props.setup.clone());
    if last.replace(props.setup.clone()) != props.setup
        && let Some(renewal) = renewal
    {
        renewal.renew(setup(builder(&props.url)));
    }

    let state = use_state_eq(HubState::default);
    let set = state.setter();
    use_effect_with(hub.clone(), move |hub| {
        // What is there is that of another URL.
        set.set(HubState::default());
        spawn(watch(hub, move |state| set.set(state)))
    });
    use_effect_with((hub.clone(), props.enabled), |(hub, enabled)| match enabled {
        true => hub.start(),
        false => hub.stop(),
    });
    html! {
        <ContextProvider<Hub> context={hub.clone()}>
            <ContextProvider<HubState> context={(*state).clone()}>{ props.children.clone() }</ContextProvider<HubState>>
        </ContextProvider<Hub>>
    }
}

/// The hub of the [`HubProvider`] around this component, to call it.
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::yew_hooks::use_hub;
/// use yew::prelude::*;
///
/// #[component]
/// fn Wave() -> Html {
///     let hub = use_hub();
///     let wave = move |_| {
///         let hub = hub.clone();
///         yew::platform::spawn_local(async move {
///             if let Err(error) = hub.send("Wave", ("hello",)).await {
///                 tracing::warn!(error = %hubwire::ErrorChain::new(&error), "the wave was not sent");
///             }
///         });
///     };
///     html! { <button onclick={wave}>{ "Wave" }</button> }
/// }
/// ```
#[hook]
pub fn use_hub() -> Hub {
    use_context::<Hub>().expect("use_hub and its like need a HubProvider around the component")
}

/// The typed handle that [`hub!`](crate::hub) makes, over the connection of the [`HubProvider`] around this component.
///
/// # Errors
/// [`ConnectionError::InvalidUrl`].
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::yew_hooks::use_hub_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Chat { send fn wave(to: &str); }
/// }
///
/// #[component]
/// fn Wave() -> Html {
///     let Ok(chat) = use_hub_as::<Chat>() else { return html! { "The URL is invalid." } };
///     let wave = move |_| {
///         let chat = chat.clone();
///         yew::platform::spawn_local(async move {
///             if let Err(error) = chat.wave("alice").await {
///                 tracing::warn!(error = %hubwire::ErrorChain::new(&error), "the wave was not sent");
///             }
///         });
///     };
///     html! { <button onclick={wave}>{ "Wave" }</button> }
/// }
/// ```
#[hook]
pub fn use_hub_as<H: TypedHub>() -> Result<H, ConnectionError> {
    use_hub().typed()
}

/// What the connection is doing. The component is rendered again when that changes.
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::yew_hooks::use_hub_state;
/// use yew::prelude::*;
///
/// #[component]
/// fn Status() -> Html {
///     let state = use_hub_state();
///     let text = match &state.error {
///         _ if state.is_reconnecting() => "Lost; trying again …".to_owned(),
///         Some(error) => hubwire::ErrorChain::new(error).to_string(),
///         None => state.connection.to_string(),
///     };
///     html! { <p role="status">{ text }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_state() -> HubState {
    use_context::<HubState>().expect("use_hub_state needs a HubProvider around the component")
}
