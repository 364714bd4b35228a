//! Who signs client tokens with Entra, and what the options become.
#![cfg(feature = "local")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fakes::{
    ACCESS_KEY, EXCHANGE, Fake, Reply, Seen, advance, all_well, exchanged, reply, token, verified,
};
use hubwire::service::{
    HubClient, NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint, ServiceError,
    credentials::{AccessKey, ClientSecret},
    error::Operation,
    negotiate::{EntraStrategy, Transport, Transports},
};
use serde_json::json;

const GENERATE: &str = "/api/hubs/chat/:generateToken";

fn alice() -> NegotiateOptions {
    NegotiateOptions::for_user("alice")
}

/// A service where the application may only what these say: exchange its token, have tokens made.
async fn service(exchange: bool, generate: bool) -> Fake {
    Fake::start(move |seen: &Seen| match seen.path() {
        EXCHANGE if !exchange => reply(403, ""),
        GENERATE if !generate => reply(403, ""),
        GENERATE => made(seen),
        _ => all_well(seen),
    })
    .await
}

fn made(seen: &Seen) -> Reply {
    reply(200, json!({ "token": format!("made-{}", seen.nth) }))
}

fn hub(fake: &Fake) -> HubClient {
    fake.entra_client().hub("chat").unwrap()
}

#[tokio::test]
async fn automatically_the_service_signs_where_the_roles_ask_for_it() {
    let fake = service(false, true).await;
    let hub = hub(&fake);
    let access = hub.negotiate(alice().lifetime(Duration::from_secs(61))).await.unwrap();
    assert_eq!((access.access_token.as_str(), access.expires_in), ("made-1", Duration::from_secs(120)));
    assert_eq!(access.url, format!("{}/client/?hub=chat", fake.url));
    let request = fake.last();
    assert_eq!(
        (request.method.as_str(), request.bearer(), request.body.as_str()),
        ("POST", "entra-token-1", "")
    );
    assert_eq!(request.target, format!("{GENERATE}?api-version=2024-12-01&minutesToExpire=2&userId=alice"));

    // What is known to be refused is left alone for a while.
    let anonymous = NegotiateOptions::anonymous();
    assert_eq!(hub.negotiate(anonymous.clone()).await.unwrap().access_token, "made-2");
    assert_eq!(fake.last().target, format!("{GENERATE}?api-version=2024-12-01&minutesToExpire=60"));
    assert_eq!(fake.count(EXCHANGE), 1);
    advance(6).await;
    hub.negotiate(anonymous).await.unwrap();
    assert_eq!((fake.count(EXCHANGE), fake.count(GENERATE)), (2, 3));

    // What the service's token cannot carry needs the key, and says so.
    let error = hub.negotiate(alice().claim("role", "x")).await.expect_err("no key");
    assert!(matches!(&error, ServiceError::Forbidden(no) if no.operation() == Operation::ExchangeAccessKey));
    let text = error.to_string();
    for part in ["SignalR App Server", "SignalR REST API Owner", "EntraStrategy::GenerateToken"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn automatically_the_key_comes_first() {
    let fake = service(true, true).await;
    let access = hub(&fake).negotiate(alice()).await.unwrap();
    verified(&access.access_token, &exchanged(1));
    let hour = Duration::from_secs(3600);
    assert!(hour - Duration::from_secs(60) < access.expires_in && access.expires_in <= hour, "{access:?}");
    assert_eq!(fake.count(GENERATE), 0);
}

#[tokio::test]
async fn without_any_role_both_ways_out_are_named() {
    let fake = service(false, false).await;
    let text = hub(&fake).negotiate(alice()).await.expect_err("no role").to_string();
    for role in ["SignalR App Server", "SignalR Service Owner", "SignalR REST API Owner"] {
        assert!(text.contains(role), "{text}");
    }
}

#[tokio::test]
async fn an_explicit_strategy_is_the_only_one_tried() {
    let fake = service(false, true).await;
    let key = alice().entra_strategy(EntraStrategy::AccessKey);
    let error = hub(&fake).negotiate(key).await.expect_err("no role");
    assert!(matches!(error, ServiceError::Forbidden(_)));
    assert_eq!(fake.count(GENERATE), 0);

    let fake = service(true, false).await;
    let generate = alice().entra_strategy(EntraStrategy::GenerateToken);
    let error = hub(&fake).negotiate(generate.clone()).await.expect_err("no role");
    assert!(error.to_string().contains("EntraStrategy::AccessKey"), "{error}");
    assert_eq!(fake.count(EXCHANGE), 0);

    for (options, name) in [
        (generate.clone().claim("a", "b"), "claims"),
        (generate.clone().close_on_expiry(), "closing on expiry"),
        (generate.clone().transports(Transport::WebSockets), "set of transports"),
        (generate.clone().handshake_timeout(Duration::from_secs(5)), "handshake timeout"),
    ] {
        let error = hub(&fake).negotiate(options).await.expect_err("not possible");
        assert!(matches!(error, ServiceError::NeedsAccessKey { option } if option == name), "{error:?}");
    }

    // With a key of the resource there is nothing to choose.
    let access = fake.key_client().hub("chat").unwrap().negotiate(generate).await.unwrap();
    verified(&access.access_token, ACCESS_KEY);
}

#[tokio::test]
async fn a_made_token_carries_user_and_application_in_its_request() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        "/proxy/api/hubs/app_chat/:generateToken" => made(seen),
        _ => all_well(seen),
    })
    .await;
    let endpoint = ServiceEndpoint::new("https://a.service.signalr.net", fake.client_secret())
        .and_then(|endpoint| endpoint.server_endpoint(&format!("{}/proxy", fake.url)))
        .and_then(|endpoint| endpoint.client_endpoint("https://front.example.com/signalr"))
        .unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).application_name("App").build().unwrap();
    let options = NegotiateOptions::for_user("ä &/=").entra_strategy(EntraStrategy::GenerateToken);
    let access = client.hub("Chat").unwrap().negotiate(options).await.unwrap();
    assert_eq!(access.url, "https://front.example.com/signalr/client/?hub=app_chat");
    assert!(fake.last().target.ends_with("&userId=%C3%A4%20%26%2F%3D"), "{}", fake.last().target);
}

#[tokio::test]
async fn a_made_token_that_is_none_is_refused_and_a_401_gets_a_fresh_entra_token() {
    for body in
        [json!({}), json!({"token": ""}), json!({"token": "a\nb"}), json!({"token": "x".repeat(4097)})]
    {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            GENERATE => reply(200, &body),
            _ => all_well(seen),
        })
        .await;
        let error = hub(&fake)
            .negotiate(alice().entra_strategy(EntraStrategy::GenerateToken))
            .await
            .expect_err("no token");
        assert!(matches!(error, ServiceError::InvalidResponse { .. }), "{error:?}");
    }
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        GENERATE if seen.nth == 1 => reply(401, ""),
        GENERATE => made(seen),
        crate::fakes::TOKEN => token(&format!("entra-token-{}", seen.nth), 3599),
        _ => all_well(seen),
    })
    .await;
    let options = alice().entra_strategy(EntraStrategy::GenerateToken);
    assert_eq!(hub(&fake).negotiate(options).await.unwrap().access_token, "made-2");
    assert_eq!(fake.last().bearer(), "entra-token-2");
}

fn key_hub() -> HubClient {
    let endpoint = ServiceEndpoint::new("http://127.0.0.1:8888", AccessKey::new(ACCESS_KEY)).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap()
}

#[tokio::test]
async fn options_become_claims() {
    let hub = key_hub();
    let any = NegotiateOptions::anonymous;
    let second = Duration::from_secs(1);
    for (options, expected) in [
        (any().diagnostic(), json!({"asrs.s.dc": "true"})),
        (any().detailed_errors(), json!({"asrs.s.derror": "True"})),
        (any().handshake_timeout(20 * second), json!({"asrs.s.cht": "20"})),
        (any().handshake_timeout(second / 2), json!({"asrs.s.cht": "1"})),
        (any().handshake_timeout(15 * second), json!({})),
        (any().long_poll_interval(300 * second), json!({"asrs.s.ttl": "300"})),
        (any().transports(Transport::WebSockets), json!({"asrs.s.htt": "1"})),
        (any().transports(Transport::ServerSentEvents | Transport::LongPolling), json!({"asrs.s.htt": "6"})),
        (any().transports(Transports::ALL), json!({"asrs.s.htt": "7"})),
    ] {
        let access = hub.negotiate(options).await.unwrap();
        let (_, mut claims) = verified(&access.access_token, ACCESS_KEY);
        for name in ["aud", "exp", "iat", "iss", "nbf"] {
            claims.as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(claims, expected);
    }
    for (options, name) in [
        (any().handshake_timeout(Duration::ZERO), "handshake timeout"),
        (any().handshake_timeout(second * 30 + second / 2), "handshake timeout"),
        (any().handshake_timeout(Duration::MAX), "handshake timeout"),
        (any().long_poll_interval(Duration::ZERO), "long-poll interval"),
        (any().long_poll_interval(second * 301), "long-poll interval"),
        (any().transports(Transports::NONE), "transports"),
    ] {
        let error = hub.negotiate(options).await.expect_err("out of range");
        assert!(matches!(error, ServiceError::InvalidOption { option, .. } if option == name), "{error:?}");
    }
}

#[tokio::test]
async fn tokens_end_with_what_the_client_signed_in_with() {
    let hub = key_hub();
    let claims = async |options| {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let access = hub.negotiate(options).await.unwrap();
        let (_, claims) = verified(&access.access_token, ACCESS_KEY);
        // A token ends on a whole second: it must not be promised for longer.
        let left = Duration::from_secs(claims["exp"].as_u64().unwrap()) - before;
        assert!(access.expires_in <= left, "{:?} of {left:?}", access.expires_in);
        assert!(access.expires_in + Duration::from_secs(60) > left, "{:?} of {left:?}", access.expires_in);
        claims
    };
    let all = claims(alice().close_on_expiry()).await;
    assert_eq!(all["asrs.s.coae"], "true");
    assert_eq!(all["asrs.s.aeo"], all["exp"].as_u64().unwrap().to_string());

    let soon = SystemTime::now() + Duration::from_secs(600);
    let all = claims(alice().authentication_expiry(soon).close_on_expiry()).await;
    let seconds = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!((all["exp"].as_u64(), &all["asrs.s.aeo"]), (Some(seconds), &json!(seconds.to_string())));
    let late = claims(alice().authentication_expiry(SystemTime::now() + Duration::from_secs(7200))).await;
    assert_eq!(late["exp"].as_u64().unwrap() - late["iat"].as_u64().unwrap(), 3600);
    assert!(late.get("asrs.s.coae").is_none());
    // As with the official SDK: the connection closes with what the client has signed in with, not with the token.
    let later = SystemTime::now() + Duration::from_secs(7200);
    let all = claims(alice().authentication_expiry(later).close_on_expiry()).await;
    let seconds = later.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(all["asrs.s.aeo"], json!(seconds.to_string()));
    assert_eq!(all["exp"].as_u64().unwrap() - all["iat"].as_u64().unwrap(), 3600);
    for over in [SystemTime::now() - Duration::from_secs(1), SystemTime::UNIX_EPOCH] {
        let error = hub.negotiate(alice().authentication_expiry(over)).await.expect_err("over");
        assert!(matches!(error, ServiceError::AuthenticationExpired), "{error:?}");
    }
}

#[tokio::test]
async fn urls_carry_request_id_and_cultures() {
    let hub = key_hub();
    let options = NegotiateOptions::anonymous()
        .original_request("/chat/negotiate", "a=1")
        .request_id("trace 1&x")
        .culture("de-DE", "fr-FR");
    assert_eq!(
        hub.negotiate(options).await.unwrap().url,
        "http://127.0.0.1:8888/client/?hub=chat&asrs.op=%2Fchat&a=1&asrs_request_id=trace%201%26x\
         &asrs_lang=de-DE&asrs_ui_lang=fr-FR"
    );
}

#[tokio::test]
async fn the_path_behind_a_client_is_decoded_once() {
    let service = NegotiateService::new(key_hub(), |_| NegotiateOptions::anonymous());
    let (_, answer) = crate::refresh::post(service, "/a%20b/negotiate?x=%20", None).await;
    let url = answer["url"].as_str().unwrap();
    assert!(url.contains("&asrs.op=%2Fa%20b&x=%20&"), "{url}");
}

#[tokio::test]
async fn the_local_service_makes_tokens_by_role() {
    use hubwire::local::{EntraApplication, LocalService, Role};

    for (role, made_here) in [(Role::RestApiOwner, false), (Role::SignalRAppServer, true)] {
        let application = EntraApplication::new("tenant-1", "app-1", "secret").role(role);
        let local = LocalService::builder().application(application).start().await.unwrap();
        let secret = ClientSecret::new("tenant-1", "app-1", "secret").authority(local.authority());
        let endpoint = ServiceEndpoint::new(local.endpoint(), secret).unwrap();
        let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
        let access = hub.negotiate(alice()).await.unwrap();
        assert!(!access.access_token.is_empty());
        let claims = hub.negotiate(alice().claim("a", "b")).await;
        assert_eq!(claims.is_ok(), made_here, "{role}");
    }
}
