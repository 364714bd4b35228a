//! A server that renders Yew connects nowhere.

#![cfg(feature = "yew")]

use std::io::ErrorKind;
use std::net::TcpListener;

use hubwire::yew::{
    HubProvider, use_hub, use_hub_event, use_hub_handler, use_hub_invoke, use_hub_state, use_hub_stream,
};
use yew::prelude::*;

#[derive(PartialEq, Properties)]
struct Props {
    url: AttrValue,
}

#[component]
fn App(props: &Props) -> Html {
    html! { <HubProvider url={props.url.clone()}><Everything /></HubProvider> }
}

#[component]
fn Everything() -> Html {
    let hub = use_hub();
    let price = use_hub_event::<f64>("Price");
    use_hub_handler("Price", |_: f64| panic!("there is no connection"));
    let ticks = use_hub_stream::<u64>("Ticks", ("MSFT",));
    let sum = use_hub_invoke::<i32>("Add");
    let state = use_hub_state();
    html! {
        <p>
            { state.connection }{ " " }{ state.error.is_some() }{ " " }{ price.is_none() && ticks.latest.is_none() }
            { " " }{ sum.is_pending() || ticks.is_done || sum.result().is_some() }{ " " }{ hub.connection().is_ok() }
        </p>
    }
}

#[tokio::test]
async fn rendering_connects_nowhere() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/hub", server.local_addr().unwrap());
    let html = yew::ServerRenderer::<App>::with_props(move || Props { url: url.into() })
        .hydratable(false)
        .render()
        .await;
    assert_eq!(html, "<p>Disconnected false true false true</p>");
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
