//! What the caller of a handler is told when a call of the service fails, in axum and in actix-web.
#![cfg(all(feature = "axum", feature = "actix"))]

use std::time::Duration;

use crate::fakes::{CLIENT_SECRET, Fake, Seen, all_well, entra_error, nobody, reply};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use hubwire::service::{
    NegotiateOptions, RetryOptions, ServiceClient, ServiceEndpoint, ServiceError,
    credentials::{AccessKey, ClientSecret},
    web::InvalidOrigin,
};

async fn in_axum(error: ServiceError) -> (u16, Option<String>, String) {
    let (parts, body) = Err::<(), _>(error).into_response().into_parts();
    let delay = parts.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.headers["content-type"], "application/json");
    (parts.status.as_u16(), delay, String::from_utf8(body.to_vec()).unwrap())
}

async fn in_actix(error: ServiceError) -> (u16, Option<String>, String) {
    let response = actix_web::Error::from(error).error_response();
    let delay = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_else(|_| panic!("a body"));
    (status, delay, String::from_utf8(body.to_vec()).unwrap())
}

fn client(fake: &Fake, credential: ClientSecret) -> ServiceClient {
    let endpoint = ServiceEndpoint::new(&fake.url, credential).unwrap();
    ServiceClient::builder().endpoint(endpoint).retry(RetryOptions::none()).build().unwrap()
}

#[tokio::test]
async fn a_handler_passes_errors_on_without_details() {
    let answers = |answer: fn() -> crate::fakes::Reply| {
        Fake::start(move |seen: &Seen| match seen.path() {
            path if path.starts_with("/api/hubs") => answer(),
            _ => all_well(seen),
        })
    };
    let mut errors = Vec::new();
    for (answer, status, delay) in [
        (|| reply(400, "marked"), 502, None),
        (|| reply(401, "marked"), 502, None),
        (|| reply(403, "marked"), 502, None),
        (|| reply(404, "marked"), 502, None),
        (|| reply(404, "marked").with("x-ms-error-code", "Error.Connection.NotExisted"), 404, None),
        (|| reply(429, "marked").with("retry-after", "7"), 503, Some("7")),
        (|| reply(503, "marked"), 503, None),
    ] as [(fn() -> crate::fakes::Reply, u16, Option<&str>); 7]
    {
        let fake = answers(answer).await;
        let secret = ClientSecret::new("tenant-1", "app-1", CLIENT_SECRET).authority(&fake.url);
        let hub = client(&fake, secret).hub("chat").unwrap();
        let error = hub.connection("c").send("m", ()).await.expect_err("refused");
        errors.push((error, status, delay));
    }
    let fake = Fake::start(|_: &Seen| entra_error(401, "invalid_client", 7_000_215)).await;
    let wrong = ClientSecret::new("tenant-1", "app-1", "marked").authority(&fake.url);
    errors.push((
        client(&fake, wrong).hub("chat").unwrap().all().send("m", ()).await.unwrap_err(),
        502,
        None,
    ));
    let gone = ServiceEndpoint::new(&nobody(), AccessKey::new("marked")).unwrap();
    let gone = ServiceClient::builder().endpoint(gone).retry(RetryOptions::none()).build().unwrap();
    let hub = gone.hub("chat").unwrap();
    errors.push((hub.all().send("m", ()).await.unwrap_err(), 503, None));
    errors.push((gone.hub("no hub").unwrap_err(), 500, None));
    let options = NegotiateOptions::anonymous().claim("asrs.s.uid", "marked");
    errors.push((hub.negotiate(options).await.unwrap_err(), 500, None));
    let long = NegotiateOptions::anonymous().claim("marked", "x".repeat(5000));
    errors.push((hub.negotiate(long.lifetime(Duration::from_secs(60))).await.unwrap_err(), 413, None));
    for (options, status) in [
        (NegotiateOptions::for_user("marked, role: admin"), 400),
        (NegotiateOptions::for_user("marked\n"), 400),
        (NegotiateOptions::for_user(" "), 401),
    ] {
        errors.push((hub.negotiate(options).await.unwrap_err(), status, None));
    }

    for (error, status, delay) in errors {
        let shown = format!("{error:?}");
        let (in_axum, in_actix) = (in_axum(error.clone()).await, in_actix(error).await);
        assert_eq!(in_axum, in_actix);
        let (got, after, body) = in_axum;
        assert_eq!((got, after.as_deref()), (status, delay), "{shown}");
        let text: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(text["error"].as_str().is_some_and(|text| text.ends_with('.')), "{body}");
        for detail in ["marked", "tenant-1", "app-1", "AADSTS", "127.0.0.1", "chat", "asrs", "role"] {
            assert!(!body.contains(detail), "{body}");
        }
    }
}

#[test]
fn origins_that_cannot_be_allowed_are_refused_where_they_are_set() {
    use InvalidOrigin as E;
    let endpoint = ServiceEndpoint::new("https://a", AccessKey::new("k")).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    let handler = |_| NegotiateOptions::anonymous();
    let service = hubwire::service::NegotiateService::new(hub, handler);
    let path = |origin: &str| E::Path { origin: origin.to_owned() };
    for (origin, expected) in [
        ("*", E::Wildcard),
        ("https://*.example.com", E::Pattern),
        ("https://*", E::Pattern),
        ("null", E::Null),
        ("app.example.com", E::NoScheme),
        ("localhost:3000", E::NoScheme),
        ("//app.example.com", E::NoScheme),
        ("", E::NoScheme),
        ("https://App.example.com/", path("https://app.example.com")),
        ("https://app.example.com:443/chat", path("https://app.example.com")),
        ("https://app.example.com?x", path("https://app.example.com")),
        ("http://localhost:3000/#", path("http://localhost:3000")),
        ("tauri://localhost/", path("tauri://localhost")),
        ("file:///", E::Invalid),
        ("https://", E::Invalid),
        ("https://user@app.example.com", E::Invalid),
        (" https://app.example.com", E::Invalid),
        ("https://app.example.com,https://b.example.com", E::Invalid),
        ("https://app.example.com:port", E::Invalid),
        ("https:\\\\app.example.com", E::NoScheme),
    ] {
        let error = service.clone().allow_origin(origin).map(|_| ()).expect_err(origin);
        assert_eq!(error, expected, "{origin}");
        if let E::Path { origin } = &error {
            assert!(error.to_string().contains(origin));
        }
    }
    for origin in [
        "https://app.example.com",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "https://bücher.example",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ] {
        assert!(service.clone().allow_origin(origin).is_ok(), "{origin}");
    }
}
