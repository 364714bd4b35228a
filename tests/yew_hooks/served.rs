//! A page that has every hook, as a server renders it and as the browser goes on with it.

use std::convert::Infallible;

use hubwire::yew_hooks::{
    HubProvider, use_hub, use_hub_event, use_hub_handler, use_hub_invoke, use_hub_invoke_handler,
    use_hub_resource, use_hub_state, use_hub_stream, use_hub_stream_handler,
};
use yew::prelude::*;

/// What a server sends (in a release build, whose marks have no names of components in them).
pub(crate) const HTML: &str = "<!--<[]>--><!--<[]>--><!--<[]>--><!--<[]>--><!--<[]>-->\
    <p id=\"state\">Disconnected</p><button>1 + 2</button><ul><li id=\"sum\">None</li><li id=\"price\">None</li>\
    <li id=\"calls\">0</li><li id=\"last\">None false</li><li id=\"items\">0 false</li></ul>\
    <!--</[]>--><!--<[]>--><!--<[]>--><!--<?>--><!--<[]>--><p id=\"resource\">nothing yet</p>\
    <!--</[]>--><!--</?>--><!--</[]>--><!--</[]>--><!--</[]>--><!--</[]>--><!--</[]>--><!--</[]>-->";

#[derive(Clone, PartialEq, Properties)]
pub(crate) struct Props {
    pub(crate) url: AttrValue,
}

#[component]
pub(crate) fn Page(props: &Props) -> Html {
    html! {
        <HubProvider url={props.url.clone()}>
            <Everything />
            <Suspense fallback={html! { <p id="fallback">{ "…" }</p> }}><Resource /></Suspense>
        </HubProvider>
    }
}

#[component]
fn Everything() -> Html {
    let _hub = use_hub();
    let state = use_hub_state().connection.to_string();
    let sum = use_hub_invoke::<i32>("Add");
    let price = use_hub_event::<f64>("Price");
    let update = use_force_update();
    let (calls, items) = (use_mut_ref(|| 0), use_mut_ref(|| 0));
    let (call, item) = (calls.clone(), items.clone());
    let updated = update.clone();
    use_hub_handler("Price", move |_: f64| {
        *call.borrow_mut() += 1;
        updated.force_update();
    });
    let last = use_hub_stream::<u32>("Counter", (10, 0));
    let all = use_hub_stream_handler("Counter", (10, 0), move |_: u32| {
        *item.borrow_mut() += 1;
        update.force_update();
    });
    use_hub_invoke_handler("Question", |question: String| async move { Ok::<_, Infallible>(question) });

    let text = format!("{:?}", sum.result().map(|sum| sum.as_ref().ok()));
    html! {
        <>
            <p id="state">{ state }</p>
            <button onclick={move |_| sum.call((1, 2))}>{ "1 + 2" }</button>
            <ul>
                <li id="sum">{ text }</li>
                <li id="price">{ format!("{price:?}") }</li>
                <li id="calls">{ *calls.borrow() }</li>
                <li id="last">{ format!("{:?} {}", last.latest, last.is_done) }</li>
                <li id="items">{ format!("{} {}", items.borrow(), all.is_some()) }</li>
            </ul>
        </>
    }
}

/// Other elements when it has a result than when it has none.
#[component]
fn Resource() -> HtmlResult {
    let sum = use_hub_resource::<i32, _>("Add", (3, 4))?;
    Ok(match sum.as_deref() {
        Some(Ok(sum)) => html! { <h1 id="resource"><b>{ *sum }</b></h1> },
        Some(Err(error)) => html! { <i>{ error.to_string() }</i> },
        None => html! { <p id="resource">{ "nothing yet" }</p> },
    })
}
