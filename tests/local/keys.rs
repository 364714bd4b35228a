//! The keys of the local service: two access keys and their rotation, temporary keys that outlive a restart, and a service
//! without access keys.
#![cfg(feature = "local")]

use hubwire::{
    local::{KeyType, LocalService, LocalServiceBuilder, Role, ServiceMode},
    service::{NegotiateOptions, ServiceClient, ServiceEndpoint, credentials::ClientSecret},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::wire::{KEY, SECRET, TENANT, Wire, application, now, sign};

const SECOND: &str = "the-second-access-key";
const SEND: &str = "/api/hubs/chat/:send";

fn client_claims() -> Value {
    json!({ "aud": "http://127.0.0.1/client/?hub=chat", "exp": now() + 60 })
}

fn rest_token(key: &str, path: &str) -> String {
    sign(key, None, &json!({ "aud": format!("http://127.0.0.1{path}"), "exp": now() + 60 }))
}

/// What a client and a caller of the REST API get with tokens that a key signs.
async fn statuses(wire: &Wire, key: &str) -> [u16; 2] {
    let client = wire.negotiate("chat", &sign(key, None, &client_claims())).await;
    let body = json!({ "target": "m" });
    let rest = wire.rest_with(&rest_token(key, SEND), Method::POST, SEND, Some(body)).await;
    [client.status().as_u16(), rest.status().as_u16()]
}

fn key_of(connection_string: &str) -> String {
    let parts = connection_string.split(';').find_map(|part| part.strip_prefix("AccessKey="));
    parts.expect("an access key").to_owned()
}

#[tokio::test]
async fn either_access_key_is_good_until_it_is_regenerated() {
    let wire = Wire::start(LocalService::builder().secondary_access_key(SECOND)).await;
    for key in [KEY, SECOND] {
        assert_eq!(statuses(&wire, key).await, [200, 202], "{key}");
    }
    assert_eq!(key_of(&wire.local.connection_string_of(KeyType::Secondary)), SECOND);

    let mut client = wire.connect("chat", &sign(SECOND, None, &client_claims())).await;
    let new = wire.local.regenerate_key(KeyType::Secondary).unwrap();
    assert_eq!(statuses(&wire, SECOND).await, [401, 401]);
    for key in [KEY, &new] {
        assert_eq!(statuses(&wire, key).await, [200, 202], "{key}");
    }
    let primary = wire.local.regenerate_key(KeyType::Primary).unwrap();
    assert_eq!(statuses(&wire, KEY).await, [401, 401]);
    for (key, which) in [(primary, KeyType::Primary), (new, KeyType::Secondary)] {
        assert_eq!(statuses(&wire, &key).await, [200, 202]);
        assert_eq!(key_of(&wire.local.connection_string_of(which)), key);
    }

    // Who is connected stays. Before this message there are those that the statuses were asked with.
    let endpoint = ServiceEndpoint::from_connection_string(&wire.local.connection_string()).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    hub.all().send("last", ()).await.unwrap();
    while client.target().await != "last" {}

    for (primary, secondary) in [("a", ""), ("a", "b;c"), ("", "b")] {
        let builder = LocalService::builder().access_key(primary).secondary_access_key(secondary);
        let error = builder.start().await.unwrap_err();
        assert!(error.to_string().contains("an access key must not be empty"), "{error}");
    }
}

#[tokio::test]
async fn every_service_has_a_secondary_key_that_nobody_else_knows() {
    let [one, two] =
        [LocalService::builder().start().await.unwrap(), LocalService::builder().start().await.unwrap()];
    let [first, second] = [&one, &two].map(|local| key_of(&local.connection_string_of(KeyType::Secondary)));
    assert!(first.len() == 44 && second.len() == 44 && first != second);
    assert!(!format!("{one:?}").contains(&first));
}

#[tokio::test]
async fn generated_tokens_follow_the_primary_key() {
    let wire = Wire::start(LocalService::builder()).await;
    let path = "/api/hubs/chat/:generateToken";
    let primary = wire.local.regenerate_key(KeyType::Primary).unwrap();
    let answer = wire.rest_with(&rest_token(&primary, path), Method::POST, path, None).await;
    let token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    let key = jsonwebtoken::DecodingKey::from_secret(primary.as_bytes());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
    wire.connect("chat", &token).await.leave().await;
    wire.local.regenerate_key(KeyType::Primary).unwrap();
    assert_eq!(wire.negotiate("chat", &token).await.status(), StatusCode::UNAUTHORIZED);
}

fn with_app_server() -> LocalServiceBuilder {
    LocalService::builder().application(application("server", &[Role::ServiceOwner]))
}

/// A client token of a temporary key, as an app server with Entra makes it.
async fn token_of_a_temporary_key(wire: &Wire) -> String {
    let token = wire.entra_token("server").await;
    let answer = wire.request(Method::GET, "/api/v1/auth/accessKey").bearer_auth(token).send().await.unwrap();
    let key: Value = answer.json().await.unwrap();
    sign(key["AccessKey"].as_str().unwrap(), key["KeyId"].as_str(), &client_claims())
}

#[tokio::test]
async fn what_app_servers_have_outlives_a_restart() {
    let mut wire = Wire::start(with_app_server()).await;
    let (client, entra) = (token_of_a_temporary_key(&wire).await, wire.entra_token("server").await);
    assert_eq!(wire.negotiate("chat", &client).await.status(), 200);
    let port = wire.local.port();
    for (key, status) in
        [(KEY, StatusCode::OK), ("another-key", StatusCode::UNAUTHORIZED), (KEY, StatusCode::OK)]
    {
        wire.local.stop().await;
        wire = Wire::start(with_app_server().port(port).access_key(key)).await;
        let response = wire.negotiate("chat", &client).await;
        assert_eq!(response.status(), status, "{key}");
        let text = response.text().await.unwrap();
        assert!(status == 200 || text.contains("the signature key was not found"), "{text}");
        let path = "/api/hubs/chat/users/nobody";
        let expected = if status == 200 { StatusCode::NOT_FOUND } else { status };
        assert_eq!(wire.rest_with(&entra, Method::HEAD, path, None).await.status(), expected, "{key}");
    }
    wire.connect("chat", &client).await.leave().await;
    // Entra does not notice that access keys are replaced.
    wire.local.regenerate_key(KeyType::Primary).unwrap();
    wire.connect("chat", &client).await.leave().await;
    assert_eq!(wire.negotiate("chat", &token_of_a_temporary_key(&wire).await).await.status(), 200);
}

#[tokio::test]
async fn ids_of_temporary_keys_are_looked_at_closely() {
    let wire = Wire::start(with_app_server()).await;
    let (random, now) = ("a".repeat(43), now());
    for id in [
        format!("temporary.{:010}.{random}", now + 60),
        format!("temporary.{:010}.{random}", now + 86_400),
        format!("temporary.9999999999.{random}"),
        format!("temporary.0000000000.{random}"),
        format!("temporary.{}.x", now + 60),
        "temporary..".to_owned(),
        "local.service".to_owned(),
        "a".repeat(2000),
        "\u{0}\u{fffd}\"".to_owned(),
    ] {
        let token = sign("guess", Some(&id), &client_claims());
        let response = wire.negotiate("chat", &token).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{id}");
        assert!(response.text().await.unwrap().contains("the signature key was not found"), "{id}");
    }
}

#[tokio::test]
async fn without_local_authentication_only_entra_opens_the_service() {
    let builder = with_app_server().local_auth(false).service_mode(ServiceMode::Default);
    let wire = Wire::start(builder).await;
    let port = wire.local.port();
    let expected = format!("Endpoint=http://127.0.0.1;Port={port};AuthType=azure;Version=1.0;");
    assert_eq!(wire.local.connection_string(), expected);
    ServiceEndpoint::from_connection_string(&expected).unwrap();

    const DISABLED: &str = "local authentication is disabled";
    let client = wire.negotiate("chat", &sign(KEY, None, &client_claims())).await;
    let rest =
        wire.rest_with(&rest_token(KEY, SEND), Method::POST, SEND, Some(json!({ "target": "m" }))).await;
    let server = rest_token(KEY, "/server/?hub=chat");
    let server = wire.request(Method::GET, "/server/?hub=chat").bearer_auth(server).send().await.unwrap();
    let exchange = rest_token(KEY, "/api/v1/auth/accessKey");
    let exchange =
        wire.request(Method::GET, "/api/v1/auth/accessKey").bearer_auth(exchange).send().await.unwrap();
    for response in [client, rest, server, exchange] {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let text = response.text().await.unwrap();
        assert!(text.contains(DISABLED), "{text}");
    }
    // A key that never was one is said to be that.
    let stranger = wire.negotiate("chat", &sign("x", None, &client_claims())).await.text().await.unwrap();
    assert!(!stranger.contains(DISABLED), "{stranger}");

    // All ways of Entra: a temporary key, a token that the service makes, the Entra token itself.
    assert_eq!(wire.negotiate("chat", &token_of_a_temporary_key(&wire).await).await.status(), 200);
    let secret = ClientSecret::new(TENANT, "server", SECRET).authority(wire.local.authority());
    let endpoint = ServiceEndpoint::new(wire.local.endpoint(), secret).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
    hub.negotiate(NegotiateOptions::for_user("alice").claim("role", "admin")).await.unwrap();
    let path = "/api/hubs/chat/:generateToken?minutesToExpire=600";
    let answer = wire.rest_with(&wire.entra_token("server").await, Method::POST, path, None).await;
    let token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    assert_eq!(wire.negotiate("chat", &token).await.status(), 200);
}

/// A token's clock may be ahead by five minutes.
#[tokio::test]
async fn clocks_may_differ() {
    let wire = Wire::start(LocalService::builder()).await;
    for (ahead, status) in [(0, 200), (240, 200), (600, 401)] {
        let mut claims = client_claims();
        claims["nbf"] = json!(now() + ahead);
        claims["exp"] = json!(now() + 3600);
        assert_eq!(
            wire.negotiate("chat", &sign(KEY, None, &claims)).await.status().as_u16(),
            status,
            "{ahead}"
        );
    }
}

#[tokio::test]
async fn client_tokens_have_up_to_4096_characters() {
    let wire = Wire::start(LocalService::builder()).await;
    let token = |length: usize| {
        let mut claims = client_claims();
        claims["x"] = json!("x".repeat(length));
        sign(KEY, None, &claims)
    };
    // Base64 leaves out some lengths; both sides of the limit are found.
    let lengths = 2500..3200;
    let last = lengths.clone().rfind(|&length| token(length).len() <= 4096).unwrap();
    assert!(token(last).len() > 4090);
    assert_eq!(wire.negotiate("chat", &token(last)).await.status(), 200);
    let refused = wire.negotiate("chat", &token(last + 1)).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.text().await.unwrap().contains("longer than 4096 characters"));
    // A token for the REST API may be longer, as far as headers go.
    let long = sign(
        KEY,
        None,
        &json!({
            "aud": format!("http://127.0.0.1{SEND}"), "exp": now() + 60, "x": "x".repeat(6000),
        }),
    );
    let response = wire.rest_with(&long, Method::POST, SEND, Some(json!({ "target": "m" }))).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
}
