//! The board's page in Yew: what it calls and hears is checked against the server's contract.

use futures_channel::oneshot;
use hubwire::yew_hooks::{
    HubProvider, use_hub_handler_as, use_hub_invoke_as, use_hub_invoke_handler_as, use_hub_state,
    use_hub_stream_as,
};
use hubwire::{CallError, ConnectionState, ErrorChain};
use hubwire_board_contract::Board;
use web_sys::HtmlInputElement;
use yew::prelude::*;

#[component]
fn App() -> Html {
    let visit = use_state(|| None::<(String, String)>);
    let (name, list) = (use_node_ref(), use_node_ref());
    let onsubmit = {
        let (visit, name, list) = (visit.clone(), name.clone(), list.clone());
        move |event: SubmitEvent| {
            event.prevent_default();
            visit.set(Some((text_of(&name), text_of(&list))));
        }
    };
    html! {
        <main>
            <header><h1>{ "Board " }<span>{ "one contract from end to end" }</span></h1></header>
            if let Some((name, list)) = &*visit {
                <HubProvider url={format!("/board?user={}&list={}", in_url(name), in_url(list))}>
                    <Status />
                    <Visitors />
                    <Tasks />
                    <Confirm />
                </HubProvider>
            } else {
                <section>
                    <form {onsubmit}>
                        <label for="name">{ "Your name" }</label>
                        <input id="name" ref={name} required=true maxlength="40" autocomplete="off" />
                        <label for="list">{ "List" }</label>
                        <input id="list" ref={list} required=true maxlength="40" autocomplete="off" />
                        <button>{ "Open" }</button>
                    </form>
                </section>
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
fn Visitors() -> Html {
    let visitors = use_state(Vec::new);
    let notice = use_state(String::new);
    let (set_visitors, set_notice) = (visitors.setter(), notice.setter());
    use_hub_handler_as(
        |board: Board, calls| board.on().visitors(move |names| calls.give(names)),
        move |names| set_visitors.set(names),
    );
    use_hub_handler_as(
        |board: Board, calls| board.on().noticed(move |name, what| calls.give((name, what))),
        move |(name, what)| set_notice.set(format!("{name} {what}")),
    );
    html! {
        <section aria-labelledby="visitors">
            <h2 id="visitors">{ "Here now" }</h2>
            <p id="names">{ visitors.join(", ") }</p>
            <p role="log" aria-label="News">{ &*notice }</p>
        </section>
    }
}

#[component]
fn Tasks() -> Html {
    // The list as the server has it: now, after each change, and again after a reconnect.
    let tasks = use_hub_stream_as((), |board: Board, ()| async move { board.tasks().await }).latest;
    let tasks = tasks.unwrap_or_default();
    let (add, set_done) = (use_hub_invoke_as::<Board, ()>(), use_hub_invoke_as::<Board, ()>());
    let clear = use_hub_invoke_as::<Board, usize>();
    let clearing = clear.clone();
    let disabled = !use_hub_state().is_connected();
    let problem = problem(add.result()).or(problem(set_done.result())).or(problem(clear.result()));
    let cleared = clear.result().and_then(|cleared| cleared.as_ref().ok());
    let can_clear = !disabled && !clear.is_pending() && tasks.iter().any(|task| task.is_done);

    let text = use_node_ref();
    let onsubmit = {
        let text = text.clone();
        move |event: SubmitEvent| {
            event.prevent_default();
            let Some(input) = text.cast::<HtmlInputElement>() else { return };
            let text = input.value();
            input.set_value("");
            add.call(|board: Board| async move { board.add(&text).await });
        }
    };
    let task = |task: &hubwire_board_contract::Task| {
        let (id, is_done, set_done) = (task.id, task.is_done, set_done.clone());
        let onchange = move |_: Event| {
            set_done.call(move |board: Board| async move { board.set_done(id, !is_done).await });
        };
        html! {
            <li key={id}>
                <label>
                    <input type="checkbox" checked={is_done} {disabled} {onchange} />{ " " }{ &task.text }
                    { " " }<small>{ &task.by }</small>
                </label>
            </li>
        }
    };
    html! {
        <section aria-labelledby="tasks">
            <h2 id="tasks">{ "To do" }</h2>
            <ol>{ for tasks.iter().map(task) }</ol>
            <form {onsubmit}>
                <label for="text">{ "Something to do" }</label>
                <input id="text" ref={text} required=true maxlength="200" autocomplete="off" />
                <button {disabled}>{ "Add" }</button>
            </form>
            <button
                type="button"
                disabled={!can_clear}
                onclick={move |_| clearing.call(|board: Board| async move { board.clear().await })}
            >{ "Take off what is done" }</button>
            <p>{ cleared.map(|count| format!("{count} taken off")) }</p>
            <p class="error" role="alert">{ problem }</p>
        </section>
    }
}

/// The server's question, until it is answered.
#[component]
fn Confirm() -> Html {
    let question = use_state(|| None::<String>);
    let answer = use_mut_ref(|| None::<oneshot::Sender<bool>>);
    {
        let (set, answer) = (question.setter(), answer.clone());
        use_hub_invoke_handler_as(
            |board: Board, calls| board.on().confirm(move |question| calls.ask(question)),
            move |question: String| {
                let (sender, answered) = oneshot::channel();
                answer.replace(Some(sender));
                set.set(Some(question));
                async move { answered.await.map_err(|_| "the page has gone on") }
            },
        );
    }
    let button = |says, text| {
        let (question, answer) = (question.clone(), answer.clone());
        let onclick = move |_| {
            if let Some(answer) = answer.take() {
                // The server may have stopped to wait.
                let _ = answer.send(says);
            }
            question.set(None);
        };
        html! { <button type="button" {onclick}>{ text }</button> }
    };
    html! {
        if let Some(question) = &*question {
            <section role="alertdialog" aria-labelledby="question">
                <h2 id="question">{ question }</h2>
                { button(true, "Yes") }{ " " }{ button(false, "No") }
            </section>
        }
    }
}

fn problem<T>(result: Option<&Result<T, CallError>>) -> Option<String> {
    result.and_then(|result| result.as_ref().err()).map(|error| ErrorChain::new(error).to_string())
}

fn text_of(input: &NodeRef) -> String {
    input.cast::<HtmlInputElement>().map(|input| input.value()).unwrap_or_default()
}

fn in_url(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

fn main() {
    yew::Renderer::<App>::new().render();
}
