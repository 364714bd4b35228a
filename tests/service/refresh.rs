//! The authentication refresh: the endpoint, which answers as the official SDK does, and the calls behind it.
#![cfg(feature = "local")]

use std::time::{Duration, SystemTime};

use crate::fakes::{ACCESS_KEY, EXCHANGE, Fake, Reply, Seen, all_well, exchanged, reply, verified};
use hubwire::service::{
    HubClient, NegotiateOptions, NegotiateRejection, NegotiateService, RetryOptions, ServiceClient,
    ServiceEndpoint, ServiceError,
    credentials::AccessKey,
    negotiate::{EntraStrategy, RefreshOptions},
};
use serde_json::{Value, json};
use tower_service::Service;

const REFRESH: &str = "/api/hubs/chat/connections/:refreshAuth";
const CLAIMS: &str = "/api/hubs/chat/connections/claims";

fn alice() -> NegotiateOptions {
    NegotiateOptions::for_user("alice")
}

fn key_hub(fake: &Fake) -> HubClient {
    fake.key_client().hub("chat").unwrap()
}

/// What an endpoint answers to a POST.
pub(crate) async fn post(service: NegotiateService, target: &str, token: Option<&str>) -> (u16, Value) {
    request(service, "POST", target, token).await
}

async fn request(
    mut service: NegotiateService,
    method: &str,
    target: &str,
    token: Option<&str>,
) -> (u16, Value) {
    let mut request = http::Request::builder().method(method).uri(target);
    if let Some(token) = token {
        request = request.header("X-SignalR-Connection-Token", token);
    }
    let response = service.call(request.body(()).unwrap()).await.unwrap();
    let (status, text) = (response.status().as_u16(), response.into_body());
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") })
}

fn said(error: &str) -> Value {
    json!({ "error": error })
}

fn claim(name: &str, value: &str) -> Value {
    json!({ "type": name, "value": value })
}

fn endpoint(hub: HubClient) -> NegotiateService {
    NegotiateService::new(hub, |_| {
        alice().claim("role", "a").claim("role", "b").lifetime(Duration::from_secs(900))
    })
}

/// A service that has one connection, and takes on what it is told.
async fn service(claims: Value) -> Fake {
    Fake::start(move |seen: &Seen| match seen.path() {
        CLAIMS => reply(200, json!({ "claims": claims })),
        REFRESH => {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            let now = if body["claims"].is_null() { &claims } else { &body["claims"] };
            reply(200, json!({ "claims": now }))
        }
        _ => all_well(seen),
    })
    .await
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn expire_time(body: &Value) -> Option<u64> {
    let time = azure_core::time::parse_rfc3339(body["expireTime"].as_str()?).unwrap();
    Some(u64::try_from(time.unix_timestamp()).unwrap())
}

fn body(fake: &Fake) -> Value {
    serde_json::from_str(&fake.last().body).unwrap()
}

#[tokio::test]
async fn a_connection_gets_new_credentials() {
    let fake = service(json!([])).await;
    let service = endpoint(key_hub(&fake)).authentication_refresh();
    let (status, answer) = post(service.clone(), "/chat/negotiate", None).await;
    // What is left of the current second is not promised.
    let lasts_15_minutes =
        |answer: &Value| matches!(answer["tokenLifetimeSeconds"].as_u64(), Some(899 | 900));
    assert!(status == 200 && lasts_15_minutes(&answer), "{answer}");

    let (status, answer) = post(service, "/chat/refresh/?id=another", Some("connection 1")).await;
    assert!(status == 200 && lasts_15_minutes(&answer), "{answer}");
    let (_, claims) = verified(answer["accessToken"].as_str().unwrap(), ACCESS_KEY);
    assert_eq!((&claims["asrs.s.uid"], &claims["role"]), (&json!("alice"), &json!(["a", "b"])));
    assert_eq!(claims["iss"], "azure-signalr");
    let asked = fake.last();
    let target = format!("{REFRESH}?api-version=2026-07-01");
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", target.as_str()));
    // The handler says nothing of when the authentication ends, so that nothing is changed of it.
    let claims = [claim("asrs.s.uid", "alice"), claim("role", "a"), claim("role", "b")];
    assert_eq!(body(&fake), json!({ "connectionToken": "connection 1", "claims": claims }));
}

#[tokio::test]
async fn a_refreshed_token_ends_with_the_authentication() {
    let fake = service(json!([])).await;
    let hub = key_hub(&fake);
    let now = SystemTime::now();
    let (soon, late) = (now + Duration::from_secs(600), now + Duration::from_secs(7200));
    // The lifetime is an hour: the sooner of both counts for the token, and the authentication for the connection.
    for (options, exp, deadline) in [
        (alice().authentication_expiry(soon), seconds(soon), Some(seconds(soon))),
        (alice().authentication_expiry(late), seconds(now) + 3600, Some(seconds(late))),
        (alice().authentication_expiry(late).close_on_expiry(), seconds(now) + 3600, Some(seconds(late))),
        (alice(), seconds(now) + 3600, None),
        (alice().close_on_expiry(), seconds(now) + 3600, Some(seconds(now) + 3600)),
    ] {
        let access = hub.refresh_authentication("c", options).await.unwrap();
        let (_, claims) = verified(&access.access_token, ACCESS_KEY);
        let near = |at: u64, wanted: u64| (wanted..=wanted + 5).contains(&at);
        assert!(near(claims["exp"].as_u64().unwrap(), exp), "{claims}");
        let sent = body(&fake);
        match (expire_time(&sent), deadline) {
            (Some(sent), Some(deadline)) => assert!(near(sent, deadline), "{sent} {deadline}"),
            (sent, deadline) => assert_eq!(sent, deadline),
        }
        if let Some(end) = claims["asrs.s.aeo"].as_str() {
            assert_eq!(end.parse().ok(), expire_time(&sent));
        }
    }
    let kept = key_hub(&service(json!([claim("asrs.s.aeo", &seconds(soon).to_string())])).await);
    let access = kept.refresh_authentication("c", RefreshOptions::keep_claims()).await.unwrap();
    let (_, claims) = verified(&access.access_token, ACCESS_KEY);
    assert_eq!(claims["exp"].as_u64(), Some(seconds(soon)), "the service says when the connection closes");
}

#[tokio::test]
async fn the_token_is_made_of_what_the_service_has() {
    let known = json!([
        claim("asrs.s.uid", "alice"),
        claim("asrs.s.ttl", "9"),
        claim("role", "a"),
        claim("role", "b"),
        claim("asrs.u.aud", "app"),
        claim("exp", "1"),
        claim("iss", "somebody"),
        json!({ "type": "level", "value": 7 }),
    ]);
    let fake = service(known).await;
    let hub = key_hub(&fake);
    let claims = hub.connection_claims("connection 1").await.unwrap();
    let asked = fake.last();
    let target = format!("{CLAIMS}?api-version=2026-07-01");
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("QUERY", target.as_str()));
    assert!(asked.header("content-type").starts_with("application/json"));
    assert_eq!(body(&fake), json!({ "connectionToken": "connection 1" }));
    assert_eq!((claims.user_id(), claims.get("role"), claims.get("none")), (Some("alice"), Some("a"), None));
    let own: Vec<_> = claims.iter().collect();
    assert_eq!(own, [("role", "a"), ("role", "b"), ("aud", "app"), ("level", "7")]);
    assert!(!format!("{claims:?}").contains("app\""), "{claims:?}");

    let options = RefreshOptions::keep_claims().lifetime(Duration::from_secs(60));
    let access = hub.refresh_authentication("connection 1", options).await.unwrap();
    assert_eq!(body(&fake), json!({ "connectionToken": "connection 1" }), "everything is kept");
    assert_eq!(access.claims, claims);
    let (_, mut token) = verified(&access.access_token, ACCESS_KEY);
    let time = |name: &str| token[name].as_u64().unwrap();
    assert_eq!(time("exp") - time("iat"), 60);
    for name in ["exp", "nbf", "iat", "aud"] {
        token.as_object_mut().unwrap().remove(name).unwrap();
    }
    let expected = json!({
        "asrs.s.uid": "alice", "asrs.s.ttl": "9", "role": ["a", "b"], "asrs.u.aud": "app", "level": "7",
        "iss": "azure-signalr",
    });
    assert_eq!(token, expected);
    let text = format!("{access:?}");
    assert!(!text.contains(&access.access_token), "{text}");
    let answer = json!(access);
    assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
}

#[tokio::test]
async fn what_the_service_does_not_say_is_an_error() {
    for answer in [json!({}), json!({ "claims": [] }), json!([]), json!({ "claims": [{}] })] {
        let fake = Fake::start(move |_: &Seen| reply(200, answer.clone())).await;
        let refused = key_hub(&fake).refresh_authentication("c", alice()).await.unwrap_err();
        assert!(matches!(refused, ServiceError::InvalidResponse { .. }), "{refused:?}");
    }
    let fake = service(json!([])).await;
    let anonymous = key_hub(&fake).refresh_authentication("c", NegotiateOptions::anonymous()).await;
    assert_eq!(anonymous.unwrap().claims.user_id(), None, "there are clients without claims");
    let nothing = key_hub(&fake).refresh_authentication("", alice()).await.unwrap_err();
    assert!(matches!(nothing, ServiceError::InvalidName { what: "connection token", .. }), "{nothing:?}");
}

/// What the application may not do is found out before the service changes anything.
#[tokio::test]
async fn tokens_of_refreshed_connections_are_made_by_those_who_may() {
    const GENERATE: &str = "/api/hubs/chat/:generateToken";
    let start = |exchange: bool, claims: Value| {
        Fake::start(move |seen: &Seen| match seen.path() {
            EXCHANGE if !exchange => reply(403, ""),
            GENERATE => reply(200, json!({ "token": "made" })),
            REFRESH => reply(200, json!({ "claims": claims })),
            _ => all_well(seen),
        })
    };
    let user = || json!([claim("nameid", "alice")]);
    let more = || json!([claim("nameid", "alice"), claim("role", "a")]);
    let made = |fake: &Fake, options: RefreshOptions| {
        let hub = fake.entra_client().hub("chat").unwrap();
        async move { hub.refresh_authentication("c", options).await.map(|access| access.access_token) }
    };
    let fake = start(false, user()).await;
    assert_eq!(made(&fake, alice().into()).await.unwrap(), "made");
    assert_eq!(made(&fake, RefreshOptions::keep_claims()).await.unwrap(), "made");
    let generate = fake.seen(GENERATE);
    assert!(generate.iter().all(|seen| seen.target.contains("userId=alice")), "{generate:?}");
    let refreshed = fake.count(REFRESH);
    let refused = made(&fake, alice().claim("role", "a").into()).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused:?}");
    let strategy = alice().close_on_expiry().entra_strategy(EntraStrategy::GenerateToken);
    let refused = made(&fake, strategy.into()).await.unwrap_err();
    assert!(matches!(refused, ServiceError::NeedsAccessKey { .. }), "{refused:?}");
    assert_eq!(fake.count(REFRESH), refreshed, "nothing was changed");

    let kept = RefreshOptions::keep_claims;
    let fake = start(false, more()).await;
    let generated = made(&fake, kept().entra_strategy(EntraStrategy::GenerateToken)).await.unwrap_err();
    assert!(matches!(generated, ServiceError::NeedsAccessKey { option: "claims" }), "{generated:?}");
    let fake = start(true, more()).await;
    let token = made(&fake, kept()).await.unwrap();
    assert_eq!(verified(&token, &exchanged(1)).1["role"], "a");
}

#[tokio::test]
async fn of_several_endpoints_the_one_that_has_the_connection_refreshes_it() {
    let start = |status: u16| {
        Fake::start(move |seen: &Seen| match seen.path() {
            REFRESH | CLAIMS if status == 200 => {
                reply(200, json!({ "claims": [{ "type": "asrs.s.uid", "value": "alice" }] }))
            }
            REFRESH | CLAIMS => reply(status, ""),
            _ => reply(200, ""),
        })
    };
    let endpoint = |fake: &Fake| ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let hub = |a: &Fake, b: &Fake| {
        let builder =
            ServiceClient::builder().endpoint(endpoint(a)).endpoint(endpoint(b)).retry(RetryOptions::none());
        builder.build().unwrap().hub("chat").unwrap()
    };
    // What others say who do not have it makes no difference.
    for status in [404, 403, 500] {
        let (other, its) = (start(status).await, start(200).await);
        let hub = hub(&other, &its);
        let access = hub.refresh_authentication("connection 1", alice()).await.unwrap();
        let (_, claims) = verified(&access.access_token, ACCESS_KEY);
        assert_eq!(claims["asrs.s.uid"], "alice");
        assert_eq!((other.count(REFRESH), its.count(REFRESH)), (1, 1));
        let claims = hub.connection_claims("connection 1").await.unwrap();
        assert_eq!((claims.user_id(), other.count(CLAIMS), its.count(CLAIMS)), (Some("alice"), 1, 1));
    }
    for (one, other) in [(404, 403), (403, 404)] {
        let (one, other) = (start(one).await, start(other).await);
        let error = hub(&one, &other).refresh_authentication("connection 1", alice()).await.unwrap_err();
        assert!(matches!(error, ServiceError::Forbidden(_)), "{error:?}");
    }
    let (one, other) = (start(404).await, start(404).await);
    let error = hub(&one, &other).refresh_authentication("connection 1", alice()).await.unwrap_err();
    assert!(matches!(error, ServiceError::NotFound(_)), "{error:?}");
    let wrong = alice().lifetime(Duration::ZERO);
    let error = hub(&one, &other).refresh_authentication("connection 1", wrong).await.unwrap_err();
    assert!(matches!(error, ServiceError::InvalidLifetime), "{error:?}");
}

#[tokio::test]
async fn only_the_header_names_a_connection() {
    let fake = service(json!([])).await;
    let service = endpoint(key_hub(&fake)).authentication_refresh();
    let missing = (400, said("missing_connection_token"));
    for (target, token) in [
        ("/chat/refresh", None),
        ("/chat/refresh?id=connection%201", None),
        ("/chat/refresh", Some("")),
        ("/chat/refresh?id=c", Some(" ")),
    ] {
        assert_eq!(post(service.clone(), target, token).await, missing, "{target} {token:?}");
    }
    // ASP.NET Core and the official SDK answer these without a body.
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = request(service.clone(), method, "/chat/refresh", Some("c")).await;
        assert_eq!(answer, (405, Value::Null), "{method}");
    }
    for method in ["POST", "GET"] {
        let off = request(endpoint(key_hub(&fake)), method, "/chat/refresh", Some("c")).await;
        assert_eq!(off, (404, Value::Null), "{method}");
    }
    let negotiated = post(endpoint(key_hub(&fake)), "/chat/negotiate", None).await.1;
    assert!(negotiated.get("tokenLifetimeSeconds").is_none(), "{negotiated}");
    assert_eq!((fake.count(REFRESH), fake.count(CLAIMS)), (0, 0));

    // What a page has to be allowed to send.
    let mut pages = service.allow_origin("https://app.example.com").unwrap();
    let asked = http::Request::options("/chat/refresh")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-signalr-connection-token");
    let preflight = pages.call(asked.body(()).unwrap()).await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-headers"], "x-signalr-connection-token");
}

#[tokio::test]
async fn a_refused_refresh_says_why() {
    for (answer, status, error) in [
        (|| reply(404, ""), 404, "connection_not_found"),
        (
            || reply(403, json!({ "code": "ConnectionUserMismatch", "message": "ConnectionUserMismatch" })),
            403,
            "permission_change_rejected",
        ),
        (|| reply(403, ""), 500, "internal_server_error"),
        (|| reply(400, ""), 500, "internal_server_error"),
        (|| reply(200, json!({ "claims": [] })), 500, "internal_server_error"),
        (
            || reply(200, json!({ "claims": [{ "type": "x", "value": "y".repeat(4000) }] })),
            500,
            "internal_server_error",
        ),
    ] as [(fn() -> Reply, u16, &str); 6]
    {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            REFRESH => answer(),
            _ => all_well(seen),
        })
        .await;
        let service = endpoint(key_hub(&fake)).authentication_refresh();
        assert_eq!(post(service, "/chat/refresh", Some("c")).await, (status, said(error)));
    }
    let fake = service(json!([])).await;
    let over =
        NegotiateService::new(key_hub(&fake), |_| alice().authentication_expiry(SystemTime::UNIX_EPOCH));
    let expired = (401, said("invalid_token"));
    assert_eq!(post(over.clone().authentication_refresh(), "/chat/refresh", Some("c")).await, expired);
    assert_eq!(post(over, "/chat/negotiate", None).await, (401, said("Sign in again.")));

    for (user, status, error) in [("", 401, "invalid_token"), ("a\nb", 400, "invalid_claims")] {
        let service = NegotiateService::new(key_hub(&fake), move |_| NegotiateOptions::for_user(user));
        let refused = post(service.authentication_refresh(), "/chat/refresh", Some("c")).await;
        assert_eq!(refused, (status, said(error)));
    }

    // The application's own answer, from a handler that has to ask somebody.
    let strange = NegotiateService::new(key_hub(&fake), |_| async {
        tokio::task::yield_now().await;
        Err::<NegotiateOptions, _>(NegotiateRejection::unauthorized())
    });
    let refused = post(strange.authentication_refresh(), "/chat/refresh", Some("c")).await;
    assert_eq!(refused, (401, said("Sign in first.")));
    assert_eq!(fake.count(REFRESH), 0);
}

#[tokio::test]
async fn a_rule_of_the_applications_decides_about_a_change() {
    let fake = service(json!([claim("asrs.s.uid", "alice"), claim("role", "a")])).await;
    let service = |role: &'static str| {
        NegotiateService::new(key_hub(&fake), move |_| async move { alice().claim("role", role) })
            .authentication_refresh_if(|change| async move {
                tokio::task::yield_now().await;
                assert_eq!((change.previous.user_id(), change.new.user_id()), (Some("alice"), Some("alice")));
                change.previous.get("role") == change.new.get("role")
            })
    };
    assert_eq!(post(service("a"), "/chat/refresh", Some("c")).await.0, 200);
    assert_eq!((fake.count(CLAIMS), fake.count(REFRESH)), (1, 1));
    let refused = post(service("b"), "/chat/refresh", Some("c")).await;
    assert_eq!(refused, (403, said("permission_change_rejected")));
    assert_eq!((fake.count(CLAIMS), fake.count(REFRESH)), (2, 1), "nothing was changed");

    // A rule that has nothing to wait for.
    for (allowed, status) in [(true, 200), (false, 403)] {
        let service = endpoint(key_hub(&fake)).authentication_refresh_if(move |_| allowed);
        assert_eq!(post(service, "/chat/refresh", Some("c")).await.0, status);
    }

    for (status, answer) in [(404, "connection_not_found"), (403, "internal_server_error")] {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            CLAIMS => reply(status, ""),
            _ => all_well(seen),
        })
        .await;
        let service = endpoint(key_hub(&fake)).authentication_refresh_if(|_| async { true });
        let expected = if status == 404 { 404 } else { 500 };
        assert_eq!(post(service, "/chat/refresh", Some("c")).await, (expected, said(answer)));
        assert_eq!(fake.count(REFRESH), 0);
    }
}

/// Who has a connection token can refresh the connection.
#[tokio::test]
async fn errors_do_not_show_the_connection_token() {
    for status in [400, 401, 403, 404, 409, 429] {
        let fake = Fake::start(move |_: &Seen| {
            reply(status, json!({ "message": "no connection secret-token-1" })).with("retry-after", "3600")
        })
        .await;
        let hub = key_hub(&fake);
        for error in [
            hub.refresh_authentication("secret-token-1", alice()).await.unwrap_err(),
            hub.connection_claims("secret-token-1").await.unwrap_err(),
        ] {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret-token-1") && error.refusal().is_some(), "{text}");
        }
    }
}

/// It asks and changes nothing, so that it is asked again where a change would not be made again.
#[tokio::test]
async fn a_question_for_claims_is_asked_again() {
    let fake = Fake::start(|seen: &Seen| match seen.nth {
        1 => reply(500, ""),
        _ => reply(200, json!({ "claims": [] })),
    })
    .await;
    let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let quick = RetryOptions::default().delay(Duration::from_millis(1));
    let hub = ServiceClient::builder().endpoint(endpoint).retry(quick).build().unwrap().hub("chat").unwrap();
    let claims = hub.connection_claims("c").await.unwrap();
    assert_eq!((claims.iter().count(), fake.count(CLAIMS)), (0, 2));
    assert!(hub.refresh_authentication("c", RefreshOptions::keep_claims()).await.is_err());
    assert_eq!(fake.count(REFRESH), 1);
}
