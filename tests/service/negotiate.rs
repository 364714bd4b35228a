//! Client tokens, client URLs and the negotiate endpoint.
#![cfg(feature = "axum")]

use std::time::Duration;

use crate::fakes::{ACCESS_KEY, EXCHANGE, Fake, Seen, all_well, entra_error, nobody, reply, verified};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
};
use hubwire::service::{
    HubClient, NegotiateOptions, NegotiateRejection, NegotiateService, ServiceClient, ServiceEndpoint,
    ServiceError,
    credentials::{AccessKey, ClientSecret},
    negotiate::EntraStrategy,
    negotiate::TokenAlgorithm,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn hub() -> HubClient {
    let endpoint = ServiceEndpoint::new("http://127.0.0.1:8888", AccessKey::new(ACCESS_KEY)).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap()
}

async fn claims(options: NegotiateOptions) -> Value {
    let access = hub().negotiate(options).await.unwrap();
    let (_, mut claims) = verified(&access.access_token, ACCESS_KEY);
    // As every token of the official SDK has it since version 1.34.
    assert_eq!(claims["iss"], "azure-signalr");
    for name in ["aud", "exp", "iat", "iss", "nbf"] {
        claims.as_object_mut().unwrap().remove(name).unwrap();
    }
    claims
}

async fn url(options: NegotiateOptions) -> String {
    hub().negotiate(options).await.unwrap().url
}

#[tokio::test]
async fn claims_of_a_client_token() {
    let any = NegotiateOptions::anonymous;
    assert_eq!(claims(any()).await, json!({}));
    assert_eq!(
        claims(NegotiateOptions::for_user("a\"b").claim("role", "x").claim("dept", "ü")).await,
        json!({"asrs.s.uid": "a\"b", "role": "x", "dept": "ü"})
    );
    assert_eq!(
        claims(any().claim("role", "a").claim("x", "1").claim("role", "b").claim("role", "a")).await,
        json!({"role": ["a", "b", "a"], "x": "1"})
    );
    let mut options = any();
    let mut renamed = serde_json::Map::new();
    for name in ["aud", "exp", "iat", "nbf", "iss", "actort", "acr", "azp", "c_hash", "jti", "nonce"] {
        options = options.claim(name, "v");
        renamed.insert(format!("asrs.u.{name}"), json!("v"));
    }
    assert_eq!(claims(options).await, Value::Object(renamed));
    assert_eq!(
        claims(any().claim("aud", "1").claim("aud", "2").claim("AUD", "3").claim("nameid", "4")).await,
        json!({"asrs.u.aud": ["1", "2"], "AUD": "3", "nameid": "4"})
    );
    assert_eq!(
        claims(any().claim("sub", "1").claim("sub", "2").claim("sub", "3")).await,
        json!({"sub": "1", "asrs.u.sub": ["2", "3"]})
    );
}

#[tokio::test]
async fn reserved_claims_are_refused() {
    for name in ["asrs.s.uid", "asrs.s.aeo", "ASRS.S.uid", "asrs.s."] {
        let error =
            hub().negotiate(NegotiateOptions::anonymous().claim(name, "v")).await.expect_err("refused");
        assert!(matches!(&error, ServiceError::ReservedClaim { name: n } if n == name), "{error:?}");
    }
}

#[tokio::test]
async fn claims_that_an_upstream_would_read_as_others_are_refused() {
    let any = NegotiateOptions::anonymous;
    for (name, value) in [
        ("name", "Bob, role: admin"),
        ("name", "Bob,role:admin"),
        ("name", "Doe, Jane, role: admin"),
        ("x,role", "admin"),
        ("role: admin", ""),
        (" role", "admin"),
    ] {
        let options = any().claim("dept", "1").claim(name, value);
        let error = hub().negotiate(options.clone()).await.expect_err("refused");
        assert!(matches!(&error, ServiceError::AmbiguousClaim { name: n } if n == name), "{error:?}");
        assert!(error.to_string().contains("allow_ambiguous_claims") && !error.to_string().contains("Bob"));
        assert_eq!(claims(options.allow_ambiguous_claims()).await[name], value);
    }
    let error = hub().negotiate(NegotiateOptions::for_user("Bob, role: admin")).await.expect_err("refused");
    assert!(matches!(error, ServiceError::AmbiguousClaim { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with("the user id would read") && !text.contains("asrs") && !text.contains("claim asrs"),
        "{text}"
    );
    assert!(!text.contains("leave it out") && !text.contains("Bob"), "{text}");
    for (name, value) in
        [("name", "Doe, Jane"), ("url", "http://x/:y?z=a"), ("http://a/b", "c: d"), ("a:b", "")]
    {
        assert_eq!(claims(any().claim(name, value)).await[name], value);
    }
}

/// In the headers of upstream requests such a claim takes all others with it.
#[tokio::test]
async fn claims_that_no_header_can_have_are_refused() {
    let any = NegotiateOptions::anonymous;
    for (name, value) in [
        ("", "v"),
        ("dept", "a\r\nb"),
        ("dept", "a\n"),
        ("dept", "\0"),
        ("dept", "a\tb"),
        ("dept", "\u{7f}"),
        ("de\rpt", "a"),
        ("dept\0", "a"),
    ] {
        let options = any().claim(name, value).claim("role", "a");
        let error = hub().negotiate(options.clone()).await.expect_err("refused");
        assert!(matches!(&error, ServiceError::InvalidClaim { name: n, .. } if n == name), "{error:?}");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
        // Where no upstream reads them, they do no harm; but a name there must be.
        let allowed = hub().negotiate(options.allow_ambiguous_claims()).await;
        assert_eq!(allowed.is_ok(), !name.is_empty(), "{name:?}");
    }
    for user in ["alice\n", "\0", "a\rb"] {
        let error = hub().negotiate(NegotiateOptions::for_user(user)).await.expect_err("refused");
        assert!(matches!(&error, ServiceError::InvalidClaim { .. }), "{error:?}");
        assert!(error.to_string().starts_with("the user id is not valid"), "{error}");
    }
    assert_eq!(
        claims(any().claim("dept", "").claim("name", "Zoë, 名")).await,
        json!({"dept": "", "name": "Zoë, 名"})
    );
}

/// The service would take the client for an anonymous one.
#[tokio::test]
async fn an_empty_user_id_is_refused() {
    for user in ["", " ", "\u{3000}"] {
        for strategy in [EntraStrategy::Automatic, EntraStrategy::GenerateToken] {
            let options = NegotiateOptions::for_user(user).entra_strategy(strategy);
            let error = hub().negotiate(options).await.expect_err("refused");
            assert!(matches!(&error, ServiceError::EmptyUserId), "{error:?}");
            assert!(error.to_string().contains("NegotiateOptions::anonymous()"), "{error}");
        }
    }
}

#[tokio::test]
async fn tokens_with_another_algorithm_and_of_an_app_server_with_several_endpoints() {
    let endpoint = ServiceEndpoint::new("http://127.0.0.1:8888", AccessKey::new(ACCESS_KEY)).unwrap();
    let builder = ServiceClient::builder().endpoint(endpoint).token_algorithm(TokenAlgorithm::Hs512);
    let hub = builder.build().unwrap().hub("chat").unwrap();
    let access = hub.negotiate(NegotiateOptions::anonymous().endpoint_count(2)).await.unwrap();
    let (header, claims) = verified(&access.access_token, ACCESS_KEY);
    assert_eq!((&header["alg"], &claims["asrs.s.secn"]), (&json!("HS512"), &json!("2")));
    assert_eq!(self::claims(NegotiateOptions::anonymous().endpoint_count(1)).await, json!({}));

    let fake = Fake::start(all_well).await;
    let endpoint = ServiceEndpoint::new(&fake.url, fake.client_secret()).unwrap();
    let builder = ServiceClient::builder().endpoint(endpoint).token_algorithm(TokenAlgorithm::Hs512);
    let hub = builder.build().unwrap().hub("chat").unwrap();
    let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
    let (header, _) = verified(&access.access_token, &crate::fakes::exchanged(1));
    assert_eq!((&header["alg"], &header["kid"]), (&json!("HS512"), &json!("key-1")));
}

#[tokio::test]
async fn lifetimes() {
    for (lifetime, seconds) in [
        (None, 3600),
        (Some(Duration::from_secs(60)), 60),
        (Some(Duration::from_millis(1500)), 2),
        (Some(Duration::from_nanos(1)), 1),
        (Some(Duration::from_secs(86_400)), 86_400),
    ] {
        let options = NegotiateOptions::anonymous();
        let options = lifetime.map_or(options.clone(), |lifetime| options.lifetime(lifetime));
        let access = hub().negotiate(options).await.unwrap();
        let (_, claims) = verified(&access.access_token, ACCESS_KEY);
        let time = |name: &str| claims[name].as_u64().unwrap();
        assert_eq!((time("exp") - time("iat"), time("nbf")), (seconds, time("iat")));
    }
    for lifetime in [Duration::ZERO, Duration::MAX, Duration::from_secs(253_402_300_799)] {
        let error =
            hub().negotiate(NegotiateOptions::anonymous().lifetime(lifetime)).await.expect_err("refused");
        assert!(matches!(error, ServiceError::InvalidLifetime));
    }
}

#[tokio::test]
async fn a_token_that_is_too_long_names_its_largest_claims() {
    let with = |length: usize| {
        NegotiateOptions::for_user("u")
            .claim("small", "x")
            .claim("groups", "g".repeat(length))
            .claim("medium", "m".repeat(100))
            .claim("tiny", "")
    };
    let error = hub().negotiate(with(3000)).await.expect_err("too long");
    let ServiceError::TokenTooLong { length, largest } = &error else { panic!("{error:?}") };
    assert!(*length > 4096);
    let names: Vec<_> = largest.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    assert_eq!(names[..2], [("groups", 3002), ("medium", 102)]);
    assert!(error.to_string().contains("groups (3002)"), "{error}");

    // The limit is exact: find the first value that is too long.
    let mut longest = 0;
    for length in 2500..3000 {
        match hub().negotiate(with(length)).await {
            Ok(access) => longest = access.access_token.len(),
            Err(ServiceError::TokenTooLong { length, .. }) => {
                assert!(length > 4096 && (4093..=4096).contains(&longest), "{longest}, {length}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no limit");
}

#[tokio::test]
async fn urls_of_an_app_server_carry_the_clients_query() {
    let base = "http://127.0.0.1:8888/client/?hub=chat";
    for (path, query, expected) in [
        ("/chat/negotiate", "negotiateVersion=1", "&asrs.op=%2Fchat&negotiateVersion=1"),
        ("/user/path/negotiate/", "", "&asrs.op=%2Fuser%2Fpath"),
        ("/negotiate", "a=1&b=two%20words&c", "&a=1&b=two%20words&c"),
        ("/chat", "?a=/?:@-._~!$'()*+,;=", "&a=/?:@-._~!$'()*+,;="),
        ("/a b/ü/negotiate", "", "&asrs.op=%2Fa%20b%2F%C3%BC"),
        ("/x/negotiate", "a=1&&b=2&", "&asrs.op=%2Fx&a=1&b=2"),
        // What means something to the service stays behind, however it is written.
        ("/negotiate", "hub=other&HUB=x&%68ub=y&h%75b&+hub=z", ""),
        ("/negotiate", "asrs.op=x&asrs.s.uid=y&ASRS.x&%61srs.op=z&asrs_request_id=1", ""),
        ("/negotiate", "access_token=t&Access%5FToken=t&id=1&Id=2", ""),
        ("/negotiate", "hubs=1&ids=2&my_access_token=3&asrs=4", "&hubs=1&ids=2&my_access_token=3&asrs=4"),
        // What cannot stand in a query is encoded.
        ("/negotiate", "a=b c\r\nd#e\"<>\u{e9}", "&a=b%20c%0D%0Ad%23e%22%3C%3E%C3%A9"),
        ("/negotiate", "%=1&%4=2&%zz=3", "&%=1&%4=2&%zz=3"),
    ] {
        let options = NegotiateOptions::anonymous().original_request(path, query);
        let url = url(options).await;
        let (url, id) = url.rsplit_once("&asrs_request_id=").expect("a request id");
        assert_eq!(url, format!("{base}{expected}"), "{path}?{query}");
        assert_eq!(id.len(), 16);
    }
    assert_eq!(url(NegotiateOptions::anonymous()).await, base);
    let twice = NegotiateOptions::anonymous().original_request("/negotiate", "");
    assert_ne!(url(twice.clone()).await, url(twice).await, "request ids differ");
}

#[tokio::test]
async fn an_application_prefixes_its_hubs() {
    let endpoint = ServiceEndpoint::new("https://a", AccessKey::new(ACCESS_KEY)).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).application_name("My_App").build().unwrap();
    let access = client.hub("Chat").unwrap().negotiate(NegotiateOptions::anonymous()).await.unwrap();
    assert_eq!(access.url, "https://a/client/?hub=my_app_chat");
    assert_eq!(verified(&access.access_token, ACCESS_KEY).1["aud"], access.url.as_str());
}

/// A running app and a client for it.
struct App {
    url: String,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl App {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, client: crate::plain_http::plain_http().build().unwrap() }
    }

    async fn call(&self, method: &str, target: &str, headers: &[(&'static str, &str)]) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{target}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        Answer { status, headers, body }
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_negotiate_endpoint_answers_clients() {
    let router = hubwire::axum_routes::negotiate("/chat", hub(), |parts| {
        let user = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
        user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
    });
    let app = App::start(Router::new().merge(router)).await;

    let target = "/chat/negotiate?negotiateVersion=1&room=5&hub=other";
    let answer = app.call("POST", target, &[("x-user", "alice")]).await;
    assert_eq!((answer.status, header(&answer, "content-type")), (200, Some("application/json")));
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    assert_eq!(header(&answer, "access-control-allow-origin"), None);
    let names: Vec<_> = answer.body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["accessToken", "availableTransports", "url"]);
    assert_eq!(answer.body["availableTransports"], json!([]));
    let url = answer.body["url"].as_str().unwrap();
    let expected =
        "http://127.0.0.1:8888/client/?hub=chat&asrs.op=%2Fchat&negotiateVersion=1&room=5&asrs_request_id=";
    assert!(url.starts_with(expected), "{url}");
    let (_, claims) = verified(answer.body["accessToken"].as_str().unwrap(), ACCESS_KEY);
    assert_eq!(claims["asrs.s.uid"], "alice");

    let answer = app.call("POST", target, &[]).await;
    assert_eq!((answer.status, &answer.body), (401, &json!({"error": "Sign in first."})));

    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = app.call(method, target, &[("x-user", "alice")]).await;
        assert_eq!((answer.status, header(&answer, "allow")), (405, Some("POST")), "{method}");
        assert!(answer.body["error"].is_string());
    }
    assert_eq!(app.client.post(format!("{}/chat", app.url)).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_handler_may_reject_with_any_status() {
    let router = hubwire::axum_routes::negotiate::<(), _, _>("/", hub(), |parts| match parts.uri.query() {
        Some("ok") => Ok(NegotiateOptions::anonymous().original_request("", "")),
        Some("big") => Ok(NegotiateOptions::anonymous().claim("x", "x".repeat(4000))),
        Some("asrs") => Ok(NegotiateOptions::anonymous().claim("asrs.s.uid", "root")),
        Some("ambiguous") => Ok(NegotiateOptions::for_user("Bob, role: admin")),
        Some("control") => Ok(NegotiateOptions::for_user("bob").claim("name", "Bob\n")),
        Some("nobody") => Ok(NegotiateOptions::for_user("")),
        Some("forbidden") => Err(NegotiateRejection::forbidden()),
        _ => Err(NegotiateRejection::new(StatusCode::IM_A_TEAPOT, "No \"tea\".")),
    });
    let app = App::start(router).await;
    let answer = app.call("POST", "/negotiate?ok", &[]).await;
    assert!(
        answer.body["url"].as_str().unwrap().starts_with("http://127.0.0.1:8888/client/?hub=chat&asrs_req")
    );
    let answer = app.call("POST", "/negotiate?tea", &[]).await;
    assert_eq!((answer.status, answer.body), (418, json!({"error": "No \"tea\"."})));
    assert_eq!(app.call("POST", "/negotiate?forbidden", &[]).await.status, 403);
    let answer = app.call("POST", "/negotiate?big", &[]).await;
    let text = "The access token would be longer than 4096 characters.";
    assert_eq!((answer.status, answer.body), (413, json!({"error": text})));
    // What the client can do something about: its name, its claims, that it has not signed in.
    for (query, status, text) in [
        ("ambiguous", 400, "The user's name or a claim cannot be used here. The server's log says why."),
        ("control", 400, "The user's name or a claim cannot be used here. The server's log says why."),
        ("nobody", 401, "Sign in first."),
    ] {
        let answer = app.call("POST", &format!("/negotiate?{query}"), &[]).await;
        assert_eq!((answer.status, answer.body), (status, json!({"error": text})), "{query}");
    }
    let answer = app.call("POST", "/negotiate?asrs", &[]).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body["error"].is_string() && !answer.body.to_string().contains("asrs"));
}

/// Somewhere else than here, and later.
async fn looked_up(name: &str) -> Result<Option<String>, StatusCode> {
    tokio::task::yield_now().await;
    match name {
        "" => Ok(None),
        "down" => Err(StatusCode::SERVICE_UNAVAILABLE),
        name => Ok(Some(format!("user {name}"))),
    }
}

#[tokio::test]
async fn a_handler_may_wait_for_somebody_else() {
    async fn by_name(parts: http::request::Parts) -> NegotiateOptions {
        let user = looked_up(parts.uri.query().unwrap_or_default()).await;
        NegotiateOptions::for_user(user.ok().flatten().unwrap_or_default())
    }
    let names = std::sync::Arc::new("names that the handler keeps".to_owned());
    let router = Router::new()
        .merge(hubwire::axum_routes::negotiate("/chat", hub(), move |parts| {
            let names = std::sync::Arc::clone(&names);
            async move {
                assert!(!names.is_empty());
                let user = looked_up(parts.uri.query().unwrap_or_default()).await?;
                Ok(NegotiateOptions::for_user(user.ok_or_else(NegotiateRejection::unauthorized)?))
            }
        }))
        .merge(hubwire::axum_routes::negotiate("/plain", hub(), by_name));
    let app = App::start(router).await;
    for (target, user) in [("/chat/negotiate?ann", "user ann"), ("/plain/negotiate?bo", "user bo")] {
        let answer = app.call("POST", target, &[]).await;
        let (_, claims) = verified(answer.body["accessToken"].as_str().unwrap(), ACCESS_KEY);
        assert_eq!((answer.status, &claims["asrs.s.uid"]), (200, &json!(user)));
        let query = target.split('?').nth(1).unwrap();
        assert!(answer.body["url"].as_str().unwrap().contains(&format!("&{query}&asrs_request_id=")));
    }
    for (target, status, error) in
        [("/chat/negotiate", 401, "Sign in first."), ("/chat/negotiate?down", 503, "Service Unavailable")]
    {
        let answer = app.call("POST", target, &[]).await;
        assert_eq!((answer.status, answer.body), (status, json!({ "error": error })));
    }
}

#[tokio::test]
async fn trouble_behind_the_endpoint_is_told_without_details() {
    let forbidden = Fake::start(|seen: &Seen| match seen.path() {
        EXCHANGE => reply(403, "role"),
        _ => all_well(seen),
    })
    .await;
    let unavailable = Fake::start(|seen: &Seen| match seen.path() {
        EXCHANGE => reply(503, ""),
        _ => all_well(seen),
    })
    .await;
    let wrong_secret = Fake::start(|_: &Seen| entra_error(401, "invalid_client", 7_000_215)).await;
    let no_authority = ClientSecret::new("tenant-1", "app-1", "s").authority(nobody());
    for (client, status) in [
        (forbidden.entra_client(), 502),
        (unavailable.entra_client(), 503),
        (wrong_secret.entra_client(), 502),
        (forbidden.client(no_authority), 503),
    ] {
        let router = hubwire::axum_routes::negotiate("/c", client.hub("chat").unwrap(), |_| {
            NegotiateOptions::anonymous()
        });
        let answer = App::start(router).await.call("POST", "/c/negotiate", &[]).await;
        assert_eq!(answer.status, status);
        let text = answer.body["error"].as_str().expect("an error text");
        for detail in ["role", "tenant-1", "app-1", "AADSTS", "127.0.0.1", "Entra"] {
            assert!(!text.contains(detail), "{text}");
        }
    }
}

#[tokio::test]
async fn other_origins_are_let_in_one_by_one() {
    let service = NegotiateService::new(hub(), |_| NegotiateOptions::anonymous())
        .allow_origin("https://App.Example.com:443")
        .and_then(|service| service.allow_origin("tauri://localhost"))
        .and_then(|service| service.allow_origin("http://localhost:3000"))
        .unwrap()
        .allow_origin_if(|origin| {
            assert_ne!(origin, "null", "it is not asked about");
            origin.strip_prefix("https://").is_some_and(|host| host.ends_with(".preview.example.com"))
        });
    let app = App::start(hubwire::axum_routes::negotiate_service("/chat", service)).await;
    let target = "/chat/negotiate";
    let allowed = [
        "https://app.example.com",
        "http://localhost:3000",
        "tauri://localhost",
        "https://7.preview.example.com",
    ];
    for origin in allowed {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-requested-with,x-signalr-user-agent"),
        ];
        let preflight = app.call("OPTIONS", target, &asked).await;
        assert_eq!(preflight.status, 204);
        assert_eq!(header(&preflight, "access-control-allow-methods"), Some("POST"));
        let headers = Some("x-requested-with,x-signalr-user-agent");
        assert_eq!(header(&preflight, "access-control-allow-headers"), headers);
        for answer in [preflight, app.call("POST", target, &[("origin", origin)]).await] {
            assert_eq!(header(&answer, "access-control-allow-origin"), Some(origin));
            assert_eq!(header(&answer, "access-control-allow-credentials"), Some("true"));
            assert_eq!(header(&answer, "vary"), Some("Origin"));
        }
    }
    let others = [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "http://7.preview.example.com",
        "https://7.preview.example.com:8443",
        "null",
        "*",
    ];
    for origin in others {
        for (method, status) in [("OPTIONS", 403), ("POST", 200)] {
            let answer = app.call(method, target, &[("origin", origin)]).await;
            assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (status, None));
            assert_eq!(header(&answer, "access-control-allow-credentials"), None);
            assert_eq!(header(&answer, "vary"), Some("Origin"));
        }
    }
    let answer = app.call("GET", target, &[]).await;
    assert_eq!((answer.status, header(&answer, "allow")), (405, Some("POST, OPTIONS")));
}
