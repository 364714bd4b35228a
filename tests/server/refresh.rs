//! Authentication that ends and is refreshed, as by ASP.NET Core 11.

use std::time::{Duration, SystemTime};

use hubwire::server::{Caller, HubServer, HubServerBuilder, Identity, Rejection};
use hubwire::{HubConnection, Transport};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::conformance_hub::{in_time, serve};
use crate::hostile::http_client;
use crate::support::{dotnet::Dotnet, reference_dir, reference_hub_11, skipped};

/// A token is a user, a role and the seconds that it lasts from each request on.
fn hub() -> HubServerBuilder {
    let hub = HubServer::builder().authenticate(|request| {
        let identity = request.access_token().and_then(|token| {
            let mut parts = token.split('.');
            let (user, role, seconds) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
            let ends = SystemTime::now() + Duration::from_secs(seconds);
            Some(Identity::user(user).claim("role", role).expires(ends))
        });
        async move { identity.ok_or_else(Rejection::unauthorized) }
    });
    hub.enable_authentication_refresh()
        .on_authentication_refresh(|refresh| async move {
            assert!(!refresh.connection_id().is_empty());
            assert_eq!(refresh.previous().user_id(), refresh.new_identity().user_id());
            !refresh.new_identity().has_claim("role", "refused")
        })
        .on("Roles", |caller: Caller| async move {
            Ok(caller.claims("role").map(str::to_owned).collect::<Vec<_>>())
        })
}

/// What a request gets, without what differs each time.
async fn ask(
    http: &Client,
    method: &Method,
    url: &str,
    token: &str,
    id: Option<&str>,
    body: &'static str,
) -> Value {
    let mut request = http.request(method.clone(), url).body(body);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(id) = id {
        request = request.header("X-SignalR-Connection-Token", id);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let mut body: Value = serde_json::from_str(&text).unwrap_or(text.into());
    if let Some(seconds) = body.get_mut("tokenLifetimeSeconds") {
        assert!((55..=60).contains(&seconds.as_u64().unwrap()), "{seconds}");
        *seconds = true.into();
    }
    json!([status, body])
}

/// Every answer of a hub to refreshes, right and wrong.
async fn play(url: &str, [ann, bob, refused]: [&str; 3]) -> Vec<(&'static str, Value)> {
    let http = http_client();
    let refresh = format!("{url}/refresh");
    let ask = async |method: Method, url: &str, token: &str, id: Option<&str>, body| {
        ask(&http, &method, url, token, id, body).await
    };
    let negotiated = ask(Method::POST, &format!("{url}/negotiate?negotiateVersion=1"), ann, None, "").await;
    let (id, token) = (negotiated[1]["connectionId"].clone(), negotiated[1]["connectionToken"].clone());
    let (id, token) = (id.as_str().unwrap(), token.as_str().unwrap());
    let mut seen = vec![("lifetime", negotiated[1]["tokenLifetimeSeconds"].clone())];
    let connection = format!("{url}?id={token}");
    seen.extend([
        ("unauthorized", ask(Method::POST, &refresh, "", Some(token), "").await),
        ("no token", ask(Method::POST, &refresh, ann, None, "").await),
        ("empty token", ask(Method::POST, &refresh, ann, Some(""), "").await),
        ("in the query", ask(Method::POST, &format!("{refresh}?id={token}"), ann, None, "").await),
        ("unknown", ask(Method::POST, &refresh, ann, Some("nobody's"), "").await),
        ("GET", ask(Method::GET, &refresh, ann, Some(token), "").await),
        ("opened", ask(Method::GET, &connection, ann, None, "").await),
        (
            "handshake",
            ask(Method::POST, &connection, ann, None, "{\"protocol\":\"json\",\"version\":1}\u{1e}").await,
        ),
        ("polled", ask(Method::GET, &connection, ann, None, "").await),
        ("refreshed", ask(Method::POST, &refresh, ann, Some(token), "").await),
        ("by its id", ask(Method::POST, &refresh, ann, Some(id), "").await),
        ("other user", ask(Method::POST, &refresh, bob, Some(token), "").await),
        ("refused", ask(Method::POST, &refresh, refused, Some(token), "").await),
        ("polled by another", ask(Method::GET, &connection, bob, None, "").await),
        ("left", ask(Method::DELETE, &connection, ann, None, "").await),
    ]);
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_asp_net_core() {
    let ours = serve([("/hub", hub().build())]).await + "/hub";
    let ours = play(&ours, ["ann.reader.60", "bob.reader.60", "ann.refused.60"]).await;
    let answer = |name| ours.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    assert_eq!(answer("refreshed"), json!([200, {"tokenLifetimeSeconds": true}]));
    assert_eq!(answer("polled by another"), json!([409, {"error": "authentication_refresh_required"}]));
    let Some(theirs) = reference_hub_11("authentication refresh against both hubs") else { return };
    let http = http_client();
    let token = async |query: &str| {
        http.get(format!("{theirs}/token?ttl=60&user={query}")).send().await.unwrap().text().await.unwrap()
    };
    let (ann, bob, refused) = (token("ann").await, token("bob").await, token("ann&role=refused").await);
    let theirs = play(&format!("{theirs}/refreshing"), [&ann, &bob, &refused]).await;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }

    // Where it is off, there is no such thing.
    let off = serve([("/hub", HubServer::builder().build())]).await + "/hub";
    for method in [Method::POST, Method::GET] {
        assert_eq!(ask(&http, &method, &format!("{off}/refresh"), "", None, "").await, json!([404, ""]));
    }
    let negotiated =
        ask(&http, &Method::POST, &format!("{off}/negotiate?negotiateVersion=1"), "", None, "").await;
    assert!(negotiated[1].get("tokenLifetimeSeconds").is_none(), "{negotiated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_of_net_11_refreshes() {
    if reference_dir().is_none() {
        return skipped("authentication refresh of the .NET client", "no reference folder");
    }
    let (told, mut refreshed) = mpsc::unbounded_channel();
    let hub =
        hub().close_on_authentication_expiration().on_authentication_refreshed(move |caller: Caller| {
            told.send(caller.claims("role").map(str::to_owned).collect::<Vec<_>>()).unwrap();
            async {}
        });
    let url = serve([("/hub", hub.build())]).await + "/hub";
    let mut client = Dotnet::spawn_11();
    let options =
        json!({"url": url, "transport": "webSockets", "protocol": "json", "token": "ann.reader.60"});
    client.command("build", options).await;
    client.command("start", json!({})).await;
    client.command("token", json!({"value": "ann.writer.50"})).await;
    let lifetime = client.command("refresh", json!({})).await.as_u64().unwrap();
    assert!((45..=50).contains(&lifetime), "{lifetime}");
    assert_eq!(in_time(refreshed.recv()).await.unwrap(), ["writer"]);
    assert_eq!(client.command("invoke", json!({"target": "Roles"})).await, json!(["writer"]));
    for (token, status) in [("ann.refused.60", 403), ("bob.reader.60", 403), ("nobody", 401)] {
        client.command("token", json!({"value": token})).await;
        let refused = client.outcome("refresh", json!({})).await;
        assert!(refused["error"].to_string().contains(&status.to_string()), "{refused}");
        assert_eq!(client.command("invoke", json!({"target": "Roles"})).await, json!(["writer"]));
    }
    client.command("stop", json!({})).await;
}

/// By itself, in time: the connection outlives the authentication that it began with, on each transport.
#[tokio::test(flavor = "multi_thread")]
async fn refreshed_connections_outlive_their_first_token() {
    let url = serve([("/hub", hub().close_on_authentication_expiration().build())]).await + "/hub";
    let net = reference_dir().is_some();
    let mut all = tokio::task::JoinSet::new();
    for (transport, name) in [
        (Transport::WebSockets, "webSockets"),
        (Transport::ServerSentEvents, "serverSentEvents"),
        (Transport::LongPolling, "longPolling"),
    ] {
        let connect = {
            let url = url.clone();
            move |lead: Option<Duration>| {
                let token = || async { Ok::<_, std::convert::Infallible>("ann.reader.3") };
                let hub = HubConnection::builder(&url).with_transports(transport).with_access_token(token);
                hub.with_authentication_refresh(lead).connect()
            }
        };
        all.spawn(async move {
            let begun = tokio::time::Instant::now();
            let stays = connect(Some(Duration::from_secs(60))).await.unwrap();
            let ends = connect(None).await.unwrap();
            in_time(ends.closed()).await;
            assert!(begun.elapsed() >= Duration::from_secs(2));
            tokio::time::sleep_until(begun + Duration::from_millis(4_500)).await;
            assert_eq!(stays.invoke::<Vec<String>>("Roles", ()).await.unwrap(), ["reader"]);
            stays.stop().await;
        });
        if net {
            let url = url.clone();
            all.spawn(async move {
                let begun = tokio::time::Instant::now();
                let mut client = Dotnet::spawn_11();
                let options =
                    json!({"url": url, "transport": name, "protocol": "json", "token": "ann.reader.3"});
                client.command("build", options).await;
                client.command("start", json!({})).await;
                client.event("refreshed").await;
                client.event("refreshed").await;
                tokio::time::sleep_until(begun + Duration::from_millis(4_500)).await;
                assert_eq!(client.command("invoke", json!({"target": "Roles"})).await, json!(["reader"]));
                client.command("stop", json!({})).await;
            });
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_authentication_lasts_no_longer_than_it_may() {
    let most = Duration::from_secs(2);
    let hub = hub().close_on_authentication_expiration().maximum_authentication_expiration(most).build();
    let http = http_client();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let negotiated = http.post(format!("{url}/negotiate?negotiateVersion=1&access_token=ann.reader.60"));
    let negotiated: Value = negotiated.send().await.unwrap().json().await.unwrap();
    assert!(negotiated["tokenLifetimeSeconds"].as_u64().unwrap() <= 2, "{negotiated}");
    // One that has no end of its own, too.
    let connect = |lead| {
        let token = || async { Ok::<_, std::convert::Infallible>("unused") };
        let ann = hub.in_memory(Identity::user("ann")).with_access_token(token);
        ann.with_authentication_refresh(lead).connect()
    };
    let (ends, stays) = (connect(None).await.unwrap(), connect(Some(most)).await.unwrap());
    in_time(ends.closed()).await;
    assert!(tokio::time::timeout(Duration::from_millis(1_500), stays.closed()).await.is_err());
    stays.stop().await;

    // Nobody is sent away whose hub does not say so.
    let open = HubServer::builder().build();
    let brief = Identity::user("ann").expires(SystemTime::now());
    let client = open.connect_in_memory(brief).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), client.closed()).await.is_err());
}
