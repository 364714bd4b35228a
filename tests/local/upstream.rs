//! Which upstream is told what, with which signatures and tokens.
#![cfg(feature = "local")]

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::HeaderMap,
    response::Response,
};
use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    local::{KeyType, LocalError, LocalManagedIdentity, LocalService, Role, UpstreamRule},
    service::{
        credentials::AccessKey,
        upstream::{EntraTokenValidator, UpstreamKeys, UpstreamRouter},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use crate::wire::{KEY, Socket, TENANT, Wire, application, client_token, now, plain_http::plain_http, sign};

const PATIENCE: Duration = Duration::from_secs(10);
const RESOURCE: &str = "api://my-upstream";

/// An upstream that takes notes.
struct Notes {
    url: String,
    told: mpsc::UnboundedReceiver<Note>,
}

#[derive(Debug)]
struct Note {
    path: String,
    headers: HeaderMap,
    body: Value,
}

impl Note {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Notes {
    /// It answers calls with what the path's end says: a status, or the path itself.
    async fn start() -> Self {
        let (sender, told) = mpsc::unbounded();
        let answer = move |request: Request| {
            let sender = sender.clone();
            async move {
                let (parts, body) = request.into_parts();
                let path = parts.uri.to_string();
                let body: Value = serde_json::from_slice(&to_bytes(body, 100_000).await.unwrap()).unwrap();
                let id = body["invocationId"].as_str().map(str::to_owned);
                let _ = sender.unbounded_send(Note { path: path.clone(), headers: parts.headers, body });
                let status = path.rsplit('/').next().and_then(|end| end.parse().ok()).unwrap_or(200);
                let body = match id {
                    _ if path.ends_with("/huge") => Body::from(vec![b' '; 16 * 1024 * 1024 + 1]),
                    Some(id) if status == 200 => {
                        Body::from(json!({ "type": 3, "invocationId": id, "result": path }).to_string())
                    }
                    _ => Body::empty(),
                };
                Response::builder().status(status).body(body).unwrap()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, told }
    }

    async fn next(&mut self) -> Note {
        timeout(PATIENCE, self.told.next()).await.expect("in time").unwrap()
    }

    /// That nothing was told: what is told arrives in order, and this is the next of it.
    async fn expect(&mut self, path: &str) -> Note {
        let note = self.next().await;
        assert_eq!(note.path, path);
        note
    }

    fn rule(&self, path: &str) -> UpstreamRule {
        UpstreamRule::new(format!("{}{path}", self.url)).unwrap()
    }
}

async fn invoke(client: &mut Socket, target: &str) -> Value {
    let call = json!({ "type": 1, "invocationId": "7", "target": target, "arguments": [] });
    client.send(&[&call.to_string()]).await;
    let mut answer = client.message().await.unwrap();
    assert_eq!((&answer["type"], &answer["invocationId"]), (&json!(3), &json!("7")), "{answer}");
    let text = answer["result"].take();
    if text.is_null() { answer["error"].take() } else { text }
}

#[tokio::test]
async fn the_first_rule_that_matches_is_followed() {
    let mut notes = Notes::start().await;
    let builder = LocalService::builder()
        .upstream_rule(
            notes.rule("/first/{hub}/{category}/{event}").hubs("Chat, news").events("connected, a b"),
        )
        .upstream_rule(notes.rule("/messages/{event}").categories("messages").events("Add,Sub"))
        .upstream_rule(notes.rule("/other").hubs("other"));
    let wire = Wire::start(builder).await;
    let mut client = wire.connect("chat", &client_token("chat", json!({}))).await;
    let note = notes.expect("/first/chat/connections/connected").await;
    assert_eq!(note.body, json!({ "type": 10 }));
    assert_eq!(invoke(&mut client, "a b").await, "/first/chat/messages/a%20b");
    assert_eq!(invoke(&mut client, "Add").await, "/messages/Add");
    assert_eq!(invoke(&mut client, "Sub").await, "/messages/Sub");
    // Nobody is told of others, and who waits for an answer is told that.
    for target in ["add", "Nobody"] {
        let error = invoke(&mut client, target).await;
        assert!(error.as_str().unwrap().starts_with("No upstream rule of the service matches"), "{error}");
    }
    client.send(&[r#"{"type":1,"target":"Nobody","arguments":[]}"#]).await;
    client.leave().await;

    let client = wire.connect("other", &client_token("other", json!({}))).await;
    for path in ["/first/chat/messages/a%20b", "/messages/Add", "/messages/Sub"] {
        notes.expect(path).await;
    }
    notes.expect("/other").await;
    client.leave().await;
    let note = notes.expect("/other").await;
    assert_eq!((note.header("x-asrs-event"), &note.body), ("disconnected", &json!({ "type": 11 })));
}

#[tokio::test]
async fn rules_change_while_the_service_runs() {
    let mut notes = Notes::start().await;
    let wire = Wire::start(LocalService::builder()).await;
    let mut client = wire.connect("chat", &client_token("chat", json!({}))).await;
    let error = invoke(&mut client, "a").await;
    assert!(error.as_str().unwrap().contains("has no upstream configured"), "{error}");
    // A connection of before is told of as well.
    wire.local.set_upstream(vec![notes.rule("/one/{event}")]).unwrap();
    assert_eq!(invoke(&mut client, "a").await, "/one/a");
    wire.local.set_upstream(vec![notes.rule("/two/{event}")]).unwrap();
    assert_eq!(invoke(&mut client, "a").await, "/two/a");
    wire.local.set_upstream(Vec::new()).unwrap();
    let error = invoke(&mut client, "a").await;
    assert!(error.as_str().unwrap().contains("has no upstream configured"), "{error}");
    wire.local.set_upstream(vec![notes.rule("/three/{event}")]).unwrap();
    client.leave().await;
    for path in ["/one/a", "/two/a", "/three/disconnected"] {
        notes.expect(path).await;
    }
    for (url, expected) in [
        ("nonsense", "must be an absolute http or https URL"),
        ("http://h/?c={@Microsoft.KeyVault(SecretUri=https://v/s)}", "Key Vault reference"),
    ] {
        let error: LocalError = LocalService::builder().upstream(url).start().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn only_200_and_204_are_success() {
    let notes = Notes::start().await;
    let wire = Wire::start(LocalService::builder().upstream_rule(notes.rule("/{event}"))).await;
    let mut client = wire.connect("chat", &client_token("chat", json!({}))).await;
    assert_eq!(invoke(&mut client, "204").await, Value::Null);
    for status in ["201", "202", "404", "500"] {
        assert_eq!(invoke(&mut client, status).await, format!("Invocation failed, status code {status}"));
    }
    assert_eq!(invoke(&mut client, "huge").await, "Invocation failed, response too large.");
    // Nobody listens on a port that is only taken.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let rule = UpstreamRule::new(format!("http://{}/", taken.local_addr().unwrap())).unwrap();
    wire.local.set_upstream(vec![rule]).unwrap();
    assert_eq!(invoke(&mut client, "m").await, "Invocation failed, status code 500");
    // A stream is asked for.
    client.send(&[r#"{"type":4,"invocationId":"8","target":"s","arguments":[]}"#]).await;
    let answer = client.message().await.unwrap();
    assert_eq!(answer["error"], "Streams are not supported in serverless mode.");
}

/// As the Functions extension checks it: entries between commas, `sha256=` in front, hex digits in any case.
fn is_signed(note: &Note, key: &str) -> bool {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    let mac = ring::hmac::sign(&key, note.header("x-asrs-connection-id").as_bytes());
    let expected: String = mac.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let signatures = note.header("x-asrs-signature").split(',').map(|entry| entry.trim().to_uppercase());
    signatures.into_iter().any(|entry| entry == format!("SHA256={expected}"))
}

async fn connected(wire: &Wire, notes: &mut Notes) -> Note {
    wire.connect("chat", &client_token("chat", json!({}))).await.leave().await;
    let connected = notes.next().await;
    notes.next().await;
    connected
}

#[tokio::test]
async fn both_keys_sign_and_rotation_is_followed() {
    let mut notes = Notes::start().await;
    let upstream = notes.rule("/").events("connected, disconnected");
    let builder = LocalService::builder().secondary_access_key("second").upstream_rule(upstream);
    let wire = Wire::start(builder).await;
    let note = connected(&wire, &mut notes).await;
    assert_eq!(note.header("x-asrs-signature").split(',').count(), 2);
    assert_eq!([KEY, "second"].map(|key| is_signed(&note, key)), [true, true]);
    let new = wire.local.regenerate_key(KeyType::Secondary).unwrap();
    let note = connected(&wire, &mut notes).await;
    assert_eq!([KEY, "second", &new].map(|key| is_signed(&note, key)), [true, false, true]);
}

/// Starts a router, and gives its address.
async fn serve(router: UpstreamRouter) -> String {
    let router = router.on_message("chat", "Add", |message| async move {
        let (a, b): (u32, u32) = message.arguments()?;
        Ok(a + b)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = axum::Router::new().route_service("/", router);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// What a client is answered that lets the upstream add.
async fn add(wire: &Wire) -> Value {
    let connection = wire.local.connection_string_of(KeyType::Secondary);
    let key = connection.split(';').find_map(|part| part.strip_prefix("AccessKey=")).unwrap();
    let claims = json!({ "aud": "http://127.0.0.1/client/?hub=chat", "exp": now() + 60 });
    let mut client = wire.connect("chat", &sign(key, None, &claims)).await;
    client.send(&[r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#]).await;
    let answer = client.message().await.unwrap();
    client.leave().await;
    answer
}

#[tokio::test]
async fn our_router_accepts_either_key_through_a_rotation() {
    let keys = UpstreamKeys::new([AccessKey::new(KEY)]).unwrap();
    let url = serve(UpstreamRouter::new().access_keys(&keys)).await;
    let wire = Wire::start(LocalService::builder().upstream(url)).await;
    let three = json!({ "type": 3, "invocationId": "1", "result": 3 });
    assert_eq!(add(&wire).await, three);
    let new = wire.local.regenerate_key(KeyType::Primary).unwrap();
    assert_eq!(add(&wire).await["error"], "Invocation failed, status code 401");
    keys.replace([AccessKey::new(KEY), AccessKey::new(new)]).unwrap();
    assert_eq!(add(&wire).await, three);
}

/// The claims of a token by discovery: document, key set, signature, as any middleware does it.
async fn verified(authority: &str, version: &str, token: &str, audience: &str) -> Value {
    let http = plain_http().build().unwrap();
    let get = async |url: String| http.get(url).send().await.unwrap().json::<Value>().await.unwrap();
    let document = get(format!("{authority}/{TENANT}{version}/.well-known/openid-configuration")).await;
    let keys = get(document["jwks_uri"].as_str().unwrap().to_owned()).await;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("its key is in the set");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[document["issuer"].as_str().unwrap()]);
    validation.validate_nbf = true;
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn managed_identity_tokens_are_verified_by_discovery() {
    let mut notes = Notes::start().await;
    let builder = LocalService::builder()
        .application(application("app", &[]))
        .upstream_rule(notes.rule("/").managed_identity(RESOURCE));
    let wire = Wire::start(builder).await;
    let note = connected(&wire, &mut notes).await;
    let token = note.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
    let claims = verified(wire.local.endpoint(), "", &token, RESOURCE).await;
    let (tenant, object) = wire.local.service_identity();
    assert_eq!(tenant, TENANT, "that of the application");
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    let named = ["tid", "oid", "appid", "ver"].map(|name| claims[name].as_str().unwrap());
    assert_eq!(named, [TENANT, object, object, "1.0"]);
    assert!(!note.header("x-asrs-signature").is_empty(), "it is signed as well");

    // What is said of the service's own tokens goes for those of applications and identities.
    let token = wire.entra_token("app").await;
    let claims = verified(wire.local.endpoint(), "", &token, "https://signalr.azure.com").await;
    assert_eq!(claims["appid"], "app");

    // Without local authentication there are no keys to sign with.
    let identity = LocalManagedIdentity::user_assigned(TENANT, "client-1").object_id("object-1");
    let builder = LocalService::builder()
        .application(application("owner", &[Role::RestApiOwner]))
        .upstream_rule(notes.rule("/").managed_identity(RESOURCE))
        .local_auth(false)
        .service_identity(identity);
    let wire = Wire::start(builder).await;
    assert_eq!(wire.local.service_identity(), (TENANT, "object-1"));
    let path = "/api/hubs/chat/:generateToken";
    let answer = wire.rest_with(&wire.entra_token("owner").await, Method::POST, path, None).await;
    let token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    wire.connect("chat", &token).await.leave().await;
    let note = notes.next().await;
    assert_eq!(note.header("x-asrs-signature"), "");
    let token = note.header("authorization").strip_prefix("Bearer ").unwrap();
    let claims = verified(wire.local.endpoint(), "", token, RESOURCE).await;
    assert_eq!((&claims["oid"], &claims["appid"]), (&json!("object-1"), &json!("client-1")));

    let missing =
        wire.request(Method::GET, "/nowhere/.well-known/openid-configuration").send().await.unwrap();
    assert_eq!(missing.status(), 400);
    assert!(missing.text().await.unwrap().contains("AADSTS90002"));
}

#[tokio::test]
async fn tokens_for_an_exchange_are_verified_by_discovery() {
    let identity = LocalManagedIdentity::system_assigned(TENANT, "identity");
    let wire = Wire::start(LocalService::builder().managed_identity(identity)).await;
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://AzureADTokenExchange";
    let answer = wire.request(Method::GET, path).header("metadata", "true").send().await.unwrap();
    let token = answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let claims = verified(wire.local.endpoint(), "/v2.0", &token, "api://AzureADTokenExchange").await;
    assert_eq!((&claims["sub"], &claims["ver"]), (&json!("identity"), &json!("2.0")));
}

#[tokio::test]
async fn our_router_accepts_the_services_identity_and_nobody_elses() {
    // The router has to know the authority, which is there only with the service.
    let wire = Wire::start(LocalService::builder().application(application("app", &[]))).await;
    let (tenant, object) = wire.local.service_identity();
    let router = |audience: &str, identity: &str| {
        let validator = EntraTokenValidator::builder(tenant, audience).authority(wire.local.endpoint());
        UpstreamRouter::new().entra(validator.allow_identity(identity).build().unwrap())
    };
    let three = json!({ "type": 3, "invocationId": "1", "result": 3 });
    for (audience, identity, is_right) in
        [(RESOURCE, object, true), ("api://other", object, false), (RESOURCE, "somebody", false)]
    {
        let url = serve(router(audience, identity)).await;
        let rule = UpstreamRule::new(url).unwrap().managed_identity(RESOURCE);
        wire.local.set_upstream(vec![rule]).unwrap();
        let answer = add(&wire).await;
        assert_eq!(answer == three, is_right, "{answer}");
        assert!(is_right || answer["error"] == "Invocation failed, status code 401", "{answer}");
    }
}
