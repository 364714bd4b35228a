//! The client in headless Chromium, against the reference hub on ASP.NET Core 10 and 11: the same bodies as on tokio.
//!
//! The hubs have to run already; `HUBWIRE_TEST_HUB_URL` and `HUBWIRE_TEST_HUB_11_URL` name them when this is compiled.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

mod suite;

use hubwire::{ConnectionError, HubConnection, HubProtocol, NegotiateError, Transport, UrlError};
use suite::Setup;
use wasm_bindgen_test::wasm_bindgen_test;

macro_rules! against_the_reference_hub {
    ($($name:ident$(($($argument:expr),*))?;)*) => {
        $(
            #[wasm_bindgen_test]
            #[ignore = "needs the reference hub"]
            async fn $name() {
                for base in suite::reference_hubs() {
                    suite::$name(base $($(, $argument)*)?).await;
                }
            }
        )*
    };
}

macro_rules! over {
    ($transport:ident, $protocol:ident) => {
        use super::*;

        const SETUP: Setup = Setup { transport: Transport::$transport, protocol: HubProtocol::$protocol };

        against_the_reference_hub! {
            calls(SETUP);
            pushes(SETUP);
            handlers_are_on_their_own(SETUP, false);
            restart(SETUP);
            the_server_goes_away(SETUP);
            stops(SETUP);
            streams(SETUP);
            items_before_the_first_poll_are_kept(SETUP);
            cancelled_streams(SETUP);
            uploads(SETUP);
            uploads_next_to_each_other(SETUP);
            uploads_stop_with_their_call(SETUP);
            a_slow_reader_loses_nothing(SETUP);
            client_results(SETUP, false);
            messages_before_their_handler_are_kept(SETUP);
            calls_without_a_handler(SETUP);
            handlers_call_the_connection(SETUP);
            one_order(SETUP);
            slow_handlers_keep_the_order(SETUP, false);
            handlers_do_not_keep_the_connection(SETUP);
            time_limits(SETUP);
        }
    };
}

mod json_over_web_sockets {
    over!(WebSockets, Json);

    against_the_reference_hub! {
        stateful_reconnect(SETUP, 10_000, 50);
    }
}

mod json_over_server_sent_events {
    over!(ServerSentEvents, Json);
}

mod json_over_long_polling {
    over!(LongPolling, Json);
}

#[cfg(feature = "msgpack")]
mod message_pack_over_web_sockets {
    over!(WebSockets, MessagePack);

    against_the_reference_hub! {
        stateful_reconnect(SETUP, 10_000, 50);
    }
}

#[cfg(feature = "msgpack")]
mod message_pack_over_long_polling {
    over!(LongPolling, MessagePack);
}

against_the_reference_hub! {
    polls_that_bring_nothing;
    json_in_binary_frames;
    query_parameters;
    addresses;
    tokens_stay_out_of_queries;
    chat;
    redirects;
    broken_negotiate(clock);
    broken_handshakes(clock);
    broken_messages(clock);
    event_callbacks(false);
    retry_policies(false);
    stateful_reconnect_is_an_offer;
    typed_chat;
    typed_hubs;
    property_names;
    trace_context;
    values;
    own_types;
    large_values;
    packed_pieces;
}

fn clock() -> f64 {
    js_sys::Date::now() / 1000.0
}

/// Chromium repeats a GET whose connection is cut, so that a long poll goes on as if nothing had happened.
fn notices_a_cut(setup: &Setup) -> bool {
    setup.transport != Transport::LongPolling
}

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn automatic_reconnect() {
    for base in suite::reference_hubs() {
        for setup in suite::SETUPS.iter().filter(|setup| notices_a_cut(setup)) {
            suite::automatic_reconnect(base, *setup).await;
        }
    }
}

/// What a GET of the reference hub answers.
async fn get(url: String) -> String {
    gloo_net::http::Request::get(&url).send().await.unwrap().text().await.unwrap()
}

/// Tokens of the reference hub.
async fn tokens_of<const N: usize>(base: &str, queries: [&str; N]) -> [String; N] {
    let mut tokens = [const { String::new() }; N];
    for (token, query) in tokens.iter_mut().zip(queries) {
        *token = get(format!("{base}/token?{query}")).await;
    }
    tokens
}

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn tokens() {
    for base in suite::reference_hubs() {
        let [good, expired] = tokens_of(base, ["ttl=3600", "ttl=-60"]).await;
        for setup in suite::SETUPS.iter().filter(|setup| notices_a_cut(setup)) {
            suite::tokens(base, *setup, &good, &expired).await;
        }
    }
}

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn authentication_refresh() {
    for base in suite::reference_hubs() {
        let tokens = tokens_of(base, ["ttl=4", "ttl=3600", "ttl=1000", "user=somebody&ttl=1000"]).await;
        suite::authentication_refresh(base, tokens).await;
    }
}

macro_rules! of_version_11 {
    ($($name:ident: $($query:literal),*;)*) => {
        $(
            #[wasm_bindgen_test]
            #[ignore = "needs the reference hub"]
            async fn $name() {
                let base = suite::reference_hub_11();
                suite::on_each(async |setup| {
                    suite::$name(base, setup, tokens_of(base, [$($query),*]).await).await;
                })
                .await;
            }
        )*
    };
}

of_version_11! {
    a_refreshed_connection_outlives_its_first_token: "user=zoe&ttl=8", "user=zoe&ttl=3600&role=writer";
    a_refused_refresh_changes_nothing: "user=zoe", "user=zoe&role=refused", "user=eve", "user=zoe&role=writer";
    a_connection_ends_with_its_token_and_comes_back: "user=zoe&ttl=3", "user=zoe";
    cancelled_calls: ;
}

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn a_poll_of_another_user_asks_for_a_refresh() {
    let base = suite::reference_hub_11();
    let tokens = tokens_of(base, ["user=zoe&ttl=2", "user=eve", "user=zoe"]).await;
    suite::a_poll_of_another_user_asks_for_a_refresh(base, tokens).await;
}

/// A connection that is stopped is over for the server as well, which may not see that by itself.
#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn stopped_connections_are_gone() {
    let paths = ["/ws", "/sse", "/lp"];
    for (base, path) in
        suite::reference_hubs().flat_map(|base| paths.into_iter().map(move |path| (base, path)))
    {
        let hub = HubConnection::builder(format!("{base}{path}")).connect().await.unwrap();
        let id = hub.connection_id().unwrap();
        hub.stop().await;
        loop {
            let connections = get(format!("{base}/connections")).await;
            if connections.split_once("\"ended\"").unwrap().1.contains(&id) {
                break;
            }
        }
    }
}

/// What JavaScript throws has secrets in it, and ends nothing but the start.
#[wasm_bindgen_test]
async fn impossible_requests_keep_their_secrets() {
    let secret = "marked-secret";
    for builder in [
        HubConnection::builder(format!("http://u:{secret}@127.0.0.1:9/hub?q={secret}")),
        HubConnection::builder("http://127.0.0.1:9/hub").with_header("X-Test", format!("{secret}\0")),
        HubConnection::builder("http://127.0.0.1:9/hub").with_header(format!("{secret} name"), "x"),
        HubConnection::builder(format!("http://[zz]/hub?q={secret}")).with_skip_negotiation(true),
    ] {
        let error = builder.with_insecure_http(true).connect().await.expect_err("impossible");
        let text = format!("{error} {error:?}");
        assert!(!text.contains(secret) && !text.contains("cannot be reached"), "{text}");
    }
}

/// A relative URL means the page's own server, which is no hub here.
#[wasm_bindgen_test]
async fn relative_urls() {
    let error = HubConnection::builder("no-such-hub").connect().await.expect_err("no hub");
    let ConnectionError::Negotiate { url, source } = &error else { panic!("{error:?}") };
    assert!(url.is_loopback() && url.path().ends_with("no-such-hub"), "{url}");
    assert!(matches!(source, NegotiateError::Status { .. }), "{source:?}");
    let error = HubConnection::builder("ftp://example.com/hub").connect().await.expect_err("no URL");
    assert_eq!(error, ConnectionError::InvalidUrl(UrlError::Scheme));
}
