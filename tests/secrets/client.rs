//! What a client logs, and every error it gives, has no token in it and no query of a URL.

use crate::capture::Capture;
use hubwire::{
    ConnectionError, ConnectionEvent, HubConnection, HubConnectionBuilder, RetryPolicy, Transport,
};
use serde_json::Value;

const TOKEN: &str = "marked-access-token";
const QUERY: &str = "marked-query-secret";
const HEADER: &str = "marked-header-secret";

fn builder(url: String) -> HubConnectionBuilder {
    HubConnection::builder(url)
        .with_access_token(|| std::future::ready(Ok::<_, ConnectionError>(TOKEN)))
        .with_header("X-Secret", HEADER)
}

#[tokio::test]
async fn no_secret_is_emitted() {
    let Some(base) = crate::support::reference_hub("no_secret_is_emitted") else { return };
    let logs = Capture::of_the_process();
    let mut emitted = String::new();

    // Over every transport: up, a refresh that the server refuses, lost, back again, down.
    let mut secrets = [TOKEN, QUERY, HEADER].map(str::to_owned).to_vec();
    for transport in [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling] {
        let builder = builder(format!("{base}/redirect/secure?user=alice&secret={QUERY}"))
            .with_transports(transport)
            .with_automatic_reconnect(RetryPolicy::default());
        emitted.push_str(&format!("{builder:?}"));
        let hub = builder.connect().await.unwrap();
        let info = hub.connection_info().unwrap();
        // The connection has a token of its own.
        secrets.push(info.token.clone().unwrap().secret().to_owned());
        let mut events = hub.events();
        emitted.push_str(&format!("{hub:?} {info:?} {} {events:?}", info.url));
        let claims: Value = hub.invoke("WhoAmI", ()).await.unwrap();
        assert_eq!(claims["user"], "alice");
        let refused = hub.refresh_authentication().await.expect_err("there is no refresh");
        emitted.push_str(&format!("{refused} {refused:?}"));
        hub.send("Drop", ()).await.unwrap();
        loop {
            let event = events.next().await.unwrap();
            emitted.push_str(&format!("{event:?}"));
            if matches!(event, ConnectionEvent::Reconnected { .. }) {
                break;
            }
        }
        hub.stop().await;
        let closed = hub.closed().await;
        emitted.push_str(&format!("{closed} {closed:?}"));
    }

    // Every step that can fail.
    for path in [
        "/secure",
        "/fault/html",
        "/fault/status/401",
        "/fault/cut",
        "/fault/dead-transports",
        "/redirect/nowhere",
    ] {
        let error = builder(format!("{base}{path}?secret={QUERY}")).connect().await.expect_err(path);
        emitted.push_str(&format!("{error} {error:?}\n"));
    }
    let error =
        builder(format!("http://user:{QUERY}@example.com/hub?secret={QUERY}")).connect().await.unwrap_err();
    emitted.push_str(&format!("{error} {error:?}\n"));

    let logged = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    // It is our own lines that are looked at as well, so they have to be there.
    assert!(logged.contains("negotiating") && logged.contains("reconnecting"), "{logged}");
    // Below us, reqwest and tungstenite log at levels that are their own business.
    let ours = logged.lines().filter(|line| line.contains("hubwire")).collect::<String>();
    for secret in &secrets {
        for (what, text) in [("errors and Debug", &emitted), ("logs", &ours)] {
            assert!(!text.contains(secret), "{secret} stands in {what}: {text}");
        }
    }
}
