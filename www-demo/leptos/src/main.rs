//! A chat and a live clock in Leptos.

use hubwire::leptos::{provide_hub, use_hub_event, use_hub_handler, use_hub_invoke, use_hub_state};
use hubwire::{ConnectionState, ErrorChain};
use leptos::prelude::*;

const NAME: &str = "Leptos";
/// How many messages stay on the page.
const KEPT: usize = 100;

#[component]
fn App() -> impl IntoView {
    let (online, set_online) = signal(true);
    let toggle = move |_| set_online.update(|online| *online = !*online);
    view! {
        <main>
            <header>
                <h1>"hubwire " <span>"in Leptos"</span></h1>
                <button type="button" on:click=toggle>{move || if online.get() { "Leave" } else { "Join" }}</button>
            </header>
            <Show
                when=move || online.get()
                fallback=|| view! {
                    <p class="status" role="status" data-state="left">"You have left: the connection is closed."</p>
                }
            >
                <Room />
            </Show>
        </main>
    }
}

#[component]
fn Room() -> impl IntoView {
    provide_hub(format!("/chat?user={NAME}"), |hub| hub);
    view! { <Status /> <Clock /> <Chat /> }
}

#[component]
fn Status() -> impl IntoView {
    let state = use_hub_state();
    let text = move || match state.get() {
        state if state.is_connected() => "Connected",
        state if state.is_reconnecting() => "Connection lost, trying again …",
        state if state.connection == ConnectionState::Disconnected && state.error.is_some() => "Disconnected",
        _ => "Connecting …",
    };
    let why = move || state.get().error.map(|error| ErrorChain::new(&error).to_string());
    view! {
        <p class="status" role="status" data-state=move || state.get().connection.to_string().to_lowercase()>
            {text} <small>{why}</small>
        </p>
    }
}

#[component]
fn Clock() -> impl IntoView {
    let time = use_hub_event::<String>("Clock");
    let text =
        move || time.get().and_then(|time| time.get(11..19).map(str::to_owned)).unwrap_or("–".to_owned());
    view! {
        <section aria-labelledby="clock-title">
            <h2 id="clock-title">"Server clock"</h2>
            <p class="clock"><time>{text}</time></p>
        </section>
    }
}

#[component]
fn Chat() -> impl IntoView {
    let (messages, set_messages) = signal(Vec::<(String, String)>::new());
    use_hub_handler("ReceiveMessage", move |message: (String, String)| {
        set_messages.update(|messages| {
            messages.push(message);
            let old = messages.len().saturating_sub(KEPT);
            messages.drain(..old);
        });
    });

    let say = use_hub_invoke::<()>("Say");
    let state = use_hub_state();
    let disabled = move || !state.get().is_connected() || say.is_pending().get();
    let error = move || {
        let result = say.result().get()?;
        result.as_ref().as_ref().err().map(|error| ErrorChain::new(error).to_string())
    };
    let (text, set_text) = signal(String::new());
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if !disabled() && !text.get().trim().is_empty() {
            say.call((text.get(),));
            set_text.set(String::new());
        }
    };
    let list = move || {
        let messages = messages.get().into_iter();
        messages.map(|(user, text)| view! { <li><b>{user}</b> " " {text}</li> }).collect_view()
    };
    view! {
        <section aria-labelledby="chat-title">
            <h2 id="chat-title">"Messages"</h2>
            <ol role="log" aria-label="Messages">{list}</ol>
            <form on:submit=submit>
                <label for="text">"Message"</label>
                <input
                    id="text"
                    maxlength="500"
                    autocomplete="off"
                    prop:value=text
                    on:input=move |event| set_text.set(event_target_value(&event))
                />
                <button prop:disabled=disabled>"Send"</button>
            </form>
            <p class="error" role="alert">{error}</p>
        </section>
    }
}

fn main() {
    mount_to_body(App);
}
