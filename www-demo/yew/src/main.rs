//! A chat and a live clock in Yew.

use hubwire::yew_hooks::{HubProvider, use_hub_event, use_hub_handler, use_hub_invoke, use_hub_state};
use hubwire::{ConnectionState, ErrorChain};
use web_sys::HtmlInputElement;
use yew::prelude::*;

const NAME: &str = "Yew";
/// How many messages stay on the page.
const KEPT: usize = 100;

#[component]
fn App() -> Html {
    let online = use_state(|| true);
    let toggle = {
        let online = online.clone();
        move |_| online.set(!*online)
    };
    html! {
        <main>
            <header>
                <h1>{ "hubwire " }<span>{ "in Yew" }</span></h1>
                <button type="button" onclick={toggle}>{ if *online { "Leave" } else { "Join" } }</button>
            </header>
            if *online {
                <HubProvider url={format!("/chat?user={NAME}")}>
                    <Status />
                    <Clock />
                    <Chat />
                </HubProvider>
            } else {
                <p class="status" role="status" data-state="left">{ "You have left: the connection is closed." }</p>
            }
        </main>
    }
}

#[component]
fn Status() -> Html {
    let state = use_hub_state();
    let text = match state.connection {
        ConnectionState::Connected => "Connected",
        ConnectionState::Reconnecting => "Connection lost, trying again …",
        ConnectionState::Disconnected if state.error.is_some() => "Disconnected",
        _ => "Connecting …",
    };
    let why = state.error.as_ref().map(|error| ErrorChain::new(error).to_string());
    html! {
        <p class="status" role="status" data-state={state.connection.to_string().to_lowercase()}>
            { text }<small>{ why }</small>
        </p>
    }
}

#[component]
fn Clock() -> Html {
    let time = use_hub_event::<String>("Clock");
    html! {
        <section aria-labelledby="clock-title">
            <h2 id="clock-title">{ "Server clock" }</h2>
            <p class="clock"><time>{ time.as_deref().and_then(|time| time.get(11..19)).unwrap_or("–") }</time></p>
        </section>
    }
}

#[component]
fn Chat() -> Html {
    let messages = use_mut_ref(Vec::<(String, String)>::new);
    let update = use_force_update();
    let more = messages.clone();
    use_hub_handler("ReceiveMessage", move |message: (String, String)| {
        let mut messages = more.borrow_mut();
        messages.push(message);
        let old = messages.len().saturating_sub(KEPT);
        messages.drain(..old);
        update.force_update();
    });

    let say = use_hub_invoke::<()>("Say");
    let connected = use_hub_state().is_connected();
    let disabled = !connected || say.is_pending();
    let error =
        say.result().and_then(|result| result.as_ref().err()).map(|error| ErrorChain::new(error).to_string());
    let text = use_state(String::new);
    let oninput = {
        let text = text.clone();
        move |event: InputEvent| text.set(event.target_unchecked_into::<HtmlInputElement>().value())
    };
    let onsubmit = {
        let text = text.clone();
        move |event: SubmitEvent| {
            event.prevent_default();
            if !disabled && !text.trim().is_empty() {
                say.call(((*text).clone(),));
                text.set(String::new());
            }
        }
    };
    html! {
        <section aria-labelledby="chat-title">
            <h2 id="chat-title">{ "Messages" }</h2>
            <ol role="log" aria-label="Messages">
                { for messages.borrow().iter().map(|(user, text)| html! { <li><b>{ user }</b>{ " " }{ text }</li> }) }
            </ol>
            <form {onsubmit}>
                <label for="text">{ "Message" }</label>
                <input id="text" maxlength="500" autocomplete="off" value={(*text).clone()} {oninput} />
                <button {disabled}>{ "Send" }</button>
            </form>
            <p class="error" role="alert">{ error }</p>
        </section>
    }
}

fn main() {
    yew::Renderer::<App>::new().render();
}
