//! Upstream: signatures and tokens, handlers and completions, and the local service as the caller.
#![cfg(feature = "local")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::fakes::{Fake, Seen, reply};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_channel::mpsc;
use futures_util::StreamExt;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hubwire::{
    CallError, HubConnection,
    local::{LocalError, LocalService},
    service::{
        NegotiateOptions, ServiceClient, ServiceEndpoint,
        credentials::{AccessKey, InvalidCredential},
        upstream::{EntraTokenValidator, UpstreamError, UpstreamKeys, UpstreamRouter, ValidatorError},
    },
};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use tower_service::Service;

const KEY: &str = "an-access-key-of-the-resource";
/// HMAC-SHA256 of `conn-1` under [`KEY`], made with OpenSSL.
const SIGNATURE: &str = "sha256=958cd61b12aacad9d970ae2bb3e180a075282407f80a6bc878725577169905fe";

struct Answer {
    status: u16,
    kind: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

async fn call(router: &UpstreamRouter, headers: &[(&str, &[u8])], body: &[u8]) -> Answer {
    let mut request =
        Request::post("/upstream").body(Full::new(axum::body::Bytes::copy_from_slice(body))).unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).expect("a header's value"));
    }
    let response = router.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    Answer { status: parts.status.as_u16(), kind, body: body.collect().await.unwrap().to_bytes().to_vec() }
}

/// A call with good headers, some of them replaced or, with `-`, left out.
async fn event(
    router: &UpstreamRouter,
    category: &str,
    event: &str,
    changes: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("x-asrs-hub", "chat"),
        ("x-asrs-category", category),
        ("x-asrs-event", event),
        ("x-asrs-connection-id", "conn-1"),
        ("x-asrs-signature", SIGNATURE),
    ];
    for change in changes {
        headers.retain(|(name, _)| *name != change.0);
        if change.1 != "-" {
            headers.push(*change);
        }
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    call(router, &headers, body.as_bytes()).await
}

fn router() -> UpstreamRouter {
    UpstreamRouter::new()
        .access_key(&AccessKey::new("another-key"))
        .unwrap()
        .access_key(&AccessKey::new(KEY))
        .unwrap()
        .on_connected("Chat", |client| async move {
            if client.user_id() == Some("mallory") { Err(UpstreamError::new("no")) } else { Ok(()) }
        })
        .on_disconnected("chat", |_, _| async {})
        .on_message("chat", "Add", |message| async move {
            let (a, b): (u32, u32) = message.arguments()?;
            Ok(a + b)
        })
        .on_message("chat", "Nothing", |_| async { Ok(()) })
}

const ADD: &str = r#"{"type":1,"invocationId":"7","target":"add","arguments":[1,2]}"#;

#[tokio::test]
async fn handlers_answer_with_completions() {
    let router = router();
    let answer = event(&router, "messages", "Add", &[], ADD).await;
    assert_eq!((answer.status, answer.kind.as_deref()), (200, Some("application/json")));
    assert_eq!(answer.text(), "{\"type\":3,\"invocationId\":\"7\",\"result\":3}\u{1e}");
    let answer = event(&router, "messages", "ADD", &[], &ADD.replace("[1,2]", "[1]")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(r#""error":"The arguments of 'add' have"#), "{}", answer.text());
    let nothing = r#"{"type":1,"invocationId":"8","target":"Nothing","arguments":[]}"#;
    let answer = event(&router, "messages", "Nothing", &[], nothing).await;
    assert_eq!(answer.text(), "{\"type\":3,\"invocationId\":\"8\",\"result\":null}\u{1e}");
    // Nobody waits for the end of a `send`.
    let answer = event(&router, "messages", "Add", &[], &ADD.replace(r#""invocationId":"7","#, "")).await;
    assert_eq!((answer.status, answer.text(), answer.kind.as_deref()), (200, "", None));

    assert_eq!(event(&router, "connections", "connected", &[], "").await.status, 200);
    let refused = event(&router, "connections", "connected", &[("x-asrs-user-id", "mallory")], "{}").await;
    assert_eq!((refused.status, refused.text()), (403, r#"{"error":"The client was refused."}"#));
    for (body, status) in [(r#"{"Type":11,"Error":"gone"}"#, 200), (r#"{"type":10}"#, 400), ("[]", 400)] {
        assert_eq!(event(&router, "connections", "disconnected", &[], body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn what_is_no_upstream_request_is_refused_with_json() {
    let router = router();
    for (changes, status) in [
        (("x-asrs-signature", "-"), 401),
        (("x-asrs-signature", "sha256=00"), 401),
        (("x-asrs-connection-id", "conn-2"), 401),
        (("x-asrs-connection-id", "-"), 400),
        (("x-asrs-hub", "-"), 400),
        (("x-asrs-hub", "other"), 404),
        (("x-asrs-category", "connections"), 404),
        (("x-asrs-event", "Other"), 404),
        (("content-type", "text/plain"), 415),
        (("content-type", "-"), 415),
    ] {
        let answer = event(&router, "messages", "Add", &[changes], ADD).await;
        assert_eq!(
            (answer.status, answer.kind.as_deref()),
            (status, Some("application/json")),
            "{changes:?}"
        );
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(body["error"].is_string(), "{changes:?}");
    }
    for body in ["", "nonsense", r#"{"type":6}"#, r#"{"type":1,"target":"other","arguments":[]}"#] {
        assert_eq!(event(&router, "messages", "Add", &[], body).await.status, 400, "{body}");
    }
    let large = "x".repeat(4 * 1024 * 1024 + 1);
    assert_eq!(event(&router, "messages", "Add", &[], &large).await.status, 413);
    // The signature is looked at before the body.
    assert_eq!(event(&router, "messages", "Add", &[("x-asrs-signature", "-")], "nonsense").await.status, 401);

    let get = Request::get("/upstream").body(Full::<axum::body::Bytes>::default()).unwrap();
    let answer = router.clone().call(get).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["allow"]),
        (405, &HeaderValue::from_static("POST"))
    );
}

#[tokio::test]
async fn nothing_gets_in_that_nobody_vouches_for() {
    let handled = |router: UpstreamRouter| router.on_connected("chat", |_| async { Ok(()) });
    for (router, status) in [
        (UpstreamRouter::new(), 401),
        (UpstreamRouter::new().access_key(&AccessKey::new("another-key")).unwrap(), 401),
        (UpstreamRouter::new().allow_unsigned(), 200),
        (UpstreamRouter::new().access_key(&AccessKey::new(KEY)).unwrap(), 200),
    ] {
        assert_eq!(event(&handled(router), "connections", "connected", &[], "{}").await.status, status);
    }
    let text = format!("{:?}", router());
    assert!(!text.contains(KEY), "{text}");
}

#[tokio::test]
async fn access_keys_are_replaced_while_the_router_serves() {
    let keys = UpstreamKeys::default();
    let router = UpstreamRouter::new().access_keys(&keys).on_connected("chat", |_| async { Ok(()) });
    let served = router.clone();
    let status = async || event(&served, "connections", "connected", &[], "{}").await.status;
    assert_eq!(status().await, 401, "no key yet");
    keys.replace([AccessKey::new("another-key"), AccessKey::new(KEY)]).unwrap();
    assert_eq!(status().await, 200, "the second of two");
    let empty = Err(InvalidCredential::Part { what: "access key" });
    assert_eq!(keys.replace([AccessKey::new("another-key"), AccessKey::new(" \n")]), empty);
    assert_eq!(status().await, 200, "nothing has changed");
    keys.replace([AccessKey::new("another-key")]).unwrap();
    assert_eq!(status().await, 401, "replaced");
    let both = router.access_key(&AccessKey::new(KEY)).unwrap();
    assert_eq!(event(&both, "connections", "connected", &[], "{}").await.status, 200);
    keys.replace([AccessKey::new(KEY)]).unwrap();
    assert!(!format!("{keys:?} {both:?}").contains(KEY));
}

/// Once a minute: whoever is not let in must not fill the log.
#[tokio::test]
async fn refusals_are_told_once_for_each_cause() {
    let log = crate::capture::Capture::default();
    // Of this thread, which the test runs on alone.
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let told = |text: &str| {
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains("WARN") && line.contains(text)).count()
    };
    let keyed = UpstreamRouter::new().access_key(&AccessKey::new("marked-key")).unwrap();
    let served = keyed.on_connected("chat", |_| async { Ok(()) });
    let refused = async |router: &UpstreamRouter, signature: &str| {
        let changes = [("x-asrs-signature", signature)];
        assert_eq!(event(router, "connections", "connected", &changes, "{}").await.status, 401);
    };
    let causes = ["The signature is not one of", "The signature is missing.", "neither access keys nor"];
    let counts = || causes.map(told);
    refused(&served, "sha256=00").await;
    refused(&served.clone(), "sha256=01").await;
    assert_eq!(counts(), [1, 0, 0]);
    refused(&served, "-").await;
    refused(&served, "-").await;
    refused(&UpstreamRouter::new(), "-").await;
    assert_eq!(counts(), [1, 1, 1]);
    assert_eq!(told("marked-key"), 0);
}

/// Whoever is not let in cannot make a server take a body, neither into memory nor over the network.
#[tokio::test]
async fn nothing_of_a_body_is_read_before_the_head_is_accepted() {
    let body = || {
        let read = futures_util::stream::poll_fn(|_| panic!("the body was read"));
        http_body_util::StreamBody::new(
            read.map(|()| Ok::<_, std::io::Error>(http_body::Frame::data(&b""[..]))),
        )
    };
    for (event, signature, status) in [("Add", "sha256=00", 401), ("Other", SIGNATURE, 404)] {
        let request = Request::post("/upstream")
            .header("content-type", "application/json")
            .header("x-asrs-hub", "chat")
            .header("x-asrs-category", "messages")
            .header("x-asrs-event", event)
            .header("x-asrs-connection-id", "conn-1")
            .header("x-asrs-signature", signature);
        let answer = router().call(request.body(body()).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
}

// --- Entra tokens ---

const TENANT: &str = "11111111-aaaa-4000-8000-000000000001";
const KEYS: &str = "/11111111-aaaa-4000-8000-000000000001/discovery/v2.0/keys";

fn key_pair(n: usize) -> RsaKeyPair {
    let der: &[u8] = match n {
        1 => include_bytes!("../keys/authority-1.der"),
        _ => include_bytes!("../keys/authority-2.der"),
    };
    RsaKeyPair::from_der(der).expect("a key")
}

fn jwk(n: usize) -> Value {
    let public = PublicKeyComponents::<Vec<u8>>::from(key_pair(n).public());
    json!({
        "kty": "RSA", "use": "sig", "kid": format!("kid-{n}"),
        "n": BASE64_URL_SAFE_NO_PAD.encode(public.n), "e": BASE64_URL_SAFE_NO_PAD.encode(public.e),
    })
}

fn token(n: usize, header: Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let pair = key_pair(n);
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("signed");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn rs256(n: usize) -> Value {
    json!({ "alg": "RS256", "typ": "JWT", "kid": format!("kid-{n}") })
}

fn claims() -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "aud": "api://upstream", "iss": format!("https://sts.windows.net/{TENANT}/"), "tid": TENANT,
        "oid": "object-1", "appid": "app-1", "nbf": now - 10, "iat": now - 10, "exp": now + 600,
    })
}

fn with_token(fake: &Fake) -> UpstreamRouter {
    // Ids are compared without case; the authority writes them in lower case.
    let validator = EntraTokenValidator::builder(TENANT.to_uppercase(), "api://upstream")
        .authority(&fake.url)
        .allow_identity("OBJECT-1")
        .build()
        .unwrap();
    UpstreamRouter::new().entra(validator).on_connected("chat", |_| async { Ok(()) })
}

async fn status(router: &UpstreamRouter, header: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    event(router, "connections", "connected", &[("x-asrs-signature", "-"), (header, &bearer)], "{}")
        .await
        .status
}

#[tokio::test]
async fn tokens_of_the_services_identity_are_checked() {
    let fake =
        Fake::start(|_: &Seen| reply(200, json!({ "keys": [{ "kty": "EC", "kid": "x" }, jwk(1)] }))).await;
    let router = with_token(&fake);
    let good = token(1, rs256(1), &claims());
    for header in ["authorization", "authentication"] {
        assert_eq!(status(&router, header, &good).await, 200, "{header}");
    }
    assert_eq!(fake.count(KEYS), 1, "keys are kept");
    let v2 = {
        let mut claims = claims();
        claims["iss"] = json!(format!("{}/{TENANT}/v2.0", fake.url));
        claims["azp"] = json!("object-1");
        claims["oid"] = json!("other");
        claims
    };
    assert_eq!(status(&router, "authorization", &token(1, rs256(1), &v2)).await, 200);

    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        token(1, rs256(1), &claims)
    };
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (_, other) =
        changed("appid", json!("x")).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for (name, bad) in [
        ("expired", changed("exp", json!(1_000))),
        ("no expiry", changed("exp", Value::Null)),
        ("not yet valid", changed("nbf", json!(9_999_999_999_u64))),
        ("audience", changed("aud", json!("api://other"))),
        ("audiences", changed("aud", json!(["api://upstream"]))),
        ("issuer", changed("iss", json!("https://sts.windows.net/other/"))),
        ("tenant", changed("tid", json!("other"))),
        ("identity", changed("oid", json!("other"))),
        ("another token's signature", format!("{signed}.{other}")),
        ("key", token(2, rs256(1), &claims())),
        (
            "none",
            format!(
                "{}.{signature}",
                signed.replace(
                    &BASE64_URL_SAFE_NO_PAD.encode(rs256(1).to_string()),
                    &BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#)
                )
            ),
        ),
        ("HS256", token(1, json!({ "alg": "HS256", "kid": "kid-1" }), &claims())),
        ("extensions", token(1, json!({ "alg": "RS256", "kid": "kid-1", "crit": ["exp"] }), &claims())),
        ("no kid", token(1, json!({ "alg": "RS256" }), &claims())),
        ("no token", String::new()),
        ("nonsense", "a.b.c".to_owned()),
    ] {
        assert_eq!(status(&router, "authorization", &bad).await, 401, "{name}");
    }
    assert_eq!(fake.count(KEYS), 1);
}

#[tokio::test]
async fn a_new_key_is_looked_for_and_strangers_are_not_worth_it() {
    let published = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&published);
    let fake = Fake::start(move |_: &Seen| {
        let keys: Vec<_> = (1..=current.load(Ordering::SeqCst)).map(jwk).collect();
        reply(200, json!({ "keys": keys }))
    })
    .await;
    let router = with_token(&fake);
    assert_eq!(status(&router, "authorization", &token(1, rs256(1), &claims())).await, 200);
    published.store(2, Ordering::SeqCst);
    assert_eq!(status(&router, "authorization", &token(2, rs256(2), &claims())).await, 200);
    assert_eq!(fake.count(KEYS), 2);
    for _ in 0..5 {
        assert_eq!(status(&router, "authorization", &token(1, rs256(9), &claims())).await, 401);
    }
    assert_eq!(fake.count(KEYS), 2, "not again within a minute");
}

#[tokio::test]
async fn without_keys_nobody_gets_in_and_the_answer_says_try_again() {
    let fake = Fake::start(|seen: &Seen| match seen.nth {
        1 => reply(500, ""),
        2 => reply(200, "nonsense"),
        _ => reply(200, json!({ "keys": [jwk(1)] })),
    })
    .await;
    let router = with_token(&fake);
    let good = token(1, rs256(1), &claims());
    for expected in [503, 503, 200] {
        assert_eq!(status(&router, "authorization", &good).await, expected);
    }
}

#[test]
fn a_validator_wants_to_know_whom_to_let_in() {
    let build = |tenant: &str, audience: &str, identity: &str, authority: &str| {
        EntraTokenValidator::builder(tenant, audience).allow_identity(identity).authority(authority).build()
    };
    let cloud = "https://login.microsoftonline.us";
    assert!(build(TENANT, "a", "i", cloud).is_ok());
    assert!(matches!(build("contoso.com", "a", "i", cloud), Err(ValidatorError::InvalidTenant)));
    assert!(matches!(build(TENANT, "", "i", cloud), Err(ValidatorError::NoAudience)));
    assert!(matches!(build(TENANT, "a", "", cloud), Err(ValidatorError::NoIdentity)));
    for authority in ["http://login.example.com", "https://a/b", "nonsense"] {
        assert!(matches!(build(TENANT, "a", "i", authority), Err(ValidatorError::InvalidAuthority)));
    }
}

// --- The local service calls ---

#[tokio::test]
async fn the_local_service_tells_its_upstream() {
    let (sender, mut told) = mpsc::unbounded::<String>();
    let tell = {
        let sender = sender.clone();
        move |text: String| {
            let _ = sender.unbounded_send(text);
        }
    };
    let (connected, disconnected, sent) = (tell.clone(), tell.clone(), tell);
    let upstream = UpstreamRouter::new()
        .access_key(&AccessKey::new(KEY))
        .unwrap()
        .on_connected("chat", move |client| {
            let role = client.claim("role").map(str::to_owned);
            connected(format!(
                "connected {:?} {role:?} {:?}",
                client.user_id(),
                client.query_parameter("access_token")
            ));
            async { Ok(()) }
        })
        .on_disconnected("chat", move |client, reason| {
            disconnected(format!("disconnected {:?} {reason:?}", client.user_id()));
            async {}
        })
        .on_message("chat", "Add", |message| async move {
            let (a, b): (u32, u32) = message.arguments()?;
            Ok(a + b)
        })
        .on_message("chat", "Fail", |_| async { Err::<(), _>(UpstreamError::new("No \"way\".")) })
        .on_message("chat", "Note", move |message| {
            let note = message.arguments::<(String,)>().map(|(text,)| text);
            sent(format!("note {note:?} {}", message.is_awaited()));
            async { Ok(()) }
        });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/up/{{hub}}/{{category}}/{{event}}", listener.local_addr().unwrap());
    let app = axum::Router::new().route_service("/up/{*rest}", upstream);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let local = LocalService::builder().access_key(KEY).upstream(url).start().await.unwrap();
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    let access = hub.negotiate(NegotiateOptions::for_user("alice").claim("role", "admin")).await.unwrap();
    let token = access.access_token.clone();
    let connection = HubConnection::builder(&access.url)
        .with_access_token(move || {
            let token = token.clone();
            async move { Ok::<_, std::convert::Infallible>(token) }
        })
        .connect()
        .await
        .unwrap();
    let mut next =
        async || tokio::time::timeout(Duration::from_secs(10), told.next()).await.expect("in time").unwrap();
    assert_eq!(next().await, r#"connected Some("alice") Some("admin") None"#);

    assert_eq!(connection.invoke::<u32>("Add", (1, 2)).await.unwrap(), 3);
    let error = connection.invoke::<()>("Fail", ()).await.expect_err("the handler fails");
    assert!(matches!(&error, CallError::Server(text) if text == "No \"way\"."), "{error:?}");
    let error = connection.invoke::<()>("Nobody", ()).await.expect_err("nobody handles it");
    assert!(
        matches!(&error, CallError::Server(text) if text == "Invocation failed, status code 404"),
        "{error:?}"
    );
    connection.send("Note", ("hi",)).await.unwrap();
    assert_eq!(next().await, r#"note Ok("hi") false"#);
    connection.stop().await;
    assert_eq!(next().await, r#"disconnected Some("alice") None"#);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_fails_calls_and_nothing_else() {
    let nobody = crate::fakes::nobody();
    let local = LocalService::builder().upstream(nobody).start().await.unwrap();
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
    let connection = HubConnection::builder(&access.url)
        .with_access_token(move || {
            let token = access.access_token.clone();
            async move { Ok::<_, std::convert::Infallible>(token) }
        })
        .connect()
        .await
        .unwrap();
    let error = connection.invoke::<u32>("Add", (1, 2)).await.expect_err("nobody answers");
    assert!(
        matches!(&error, CallError::Server(text) if text == "Invocation failed, status code 500"),
        "{error:?}"
    );
    connection.stop().await;
    for url in ["nonsense", "ftp://a", ""] {
        let error = LocalService::builder().upstream(url).start().await.expect_err("no URL");
        assert!(matches!(error, LocalError::InvalidUpstream), "{url}");
    }
}
