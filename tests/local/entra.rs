//! The local service's Entra authority, the exchange of its tokens for keys, and roles.
#![cfg(feature = "local")]

use std::time::Duration;

use crate::wire::{KEY, SECRET, TENANT, Wire, application, now, sign, token_form};
use hubwire::{
    local::{EntraApplication, LocalError, LocalService, Role},
    service::{ServiceClient, ServiceEndpoint, credentials::ClientSecret},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn start() -> Wire {
    Wire::start(
        LocalService::builder()
            .application(application("server", &[Role::SignalRAppServer]))
            .application(application("owner", &[Role::RestApiOwner]))
            .application(application("reader", &[Role::RestApiReader]))
            .application(application("all", &[Role::ServiceOwner]))
            .application(application("none", &[]))
            .application(EntraApplication::new("another-tenant", "guest", SECRET)),
    )
    .await
}

const KEY_PATHS: [&str; 2] = ["/api/v1/auth/accessKey", "/api/auth/accessKey?api-version=2024-12-01"];

#[tokio::test]
async fn an_application_gets_a_token_as_from_entra() {
    let wire = start().await;
    let (status, answer) = wire.entra(TENANT, &token_form("server")).await;
    assert_eq!(status, 200);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!((&answer["expires_in"], &answer["ext_expires_in"]), (&json!(3600), &json!(3600)));

    let token = answer["access_token"].as_str().unwrap();
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims;
    assert_eq!(claims["aud"], "https://signalr.azure.com");
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!((claims["tid"].as_str(), claims["appid"].as_str()), (Some(TENANT), Some("server")));
    assert!(claims["exp"].as_u64().unwrap() > now() + 3500);
    assert!(claims.get("roles").is_none());

    // Ids are GUIDs, which have no case.
    let (status, _) = wire.entra(&TENANT.to_uppercase(), &token_form("SERVER")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn what_entra_refuses_has_entras_codes() {
    let wire = start().await;
    let form = |name: &str, value: Option<&'static str>| {
        let mut form = token_form("server").to_vec();
        form.retain(|(known, _)| *known != name);
        form.extend(value.map(|value| {
            (
                ["grant_type", "client_id", "client_secret", "scope"]
                    .into_iter()
                    .find(|known| *known == name)
                    .unwrap(),
                value,
            )
        }));
        form
    };
    for (tenant, form, status, error, code) in [
        (TENANT, form("client_secret", Some("wrong")), 401, "invalid_client", 7_000_215),
        (TENANT, form("client_secret", Some("")), 401, "invalid_client", 7_000_218),
        (TENANT, form("client_secret", None), 401, "invalid_client", 7_000_218),
        (TENANT, form("client_id", Some("stranger")), 400, "unauthorized_client", 700_016),
        (TENANT, form("client_id", Some("guest")), 400, "unauthorized_client", 700_016),
        (TENANT, form("client_id", None), 400, "invalid_request", 900_144),
        ("nowhere", form("", None), 400, "invalid_request", 90_002),
        (TENANT, form("scope", Some("https://vault.azure.net/.default")), 400, "invalid_scope", 70_011),
        (TENANT, form("scope", None), 400, "invalid_request", 900_144),
        (TENANT, form("grant_type", Some("password")), 400, "unsupported_grant_type", 70_003),
        (TENANT, vec![], 400, "invalid_request", 900_144),
    ] {
        let (got, answer) = wire.entra(tenant, &form).await;
        assert_eq!((got, answer["error"].as_str()), (status, Some(error)), "{answer}");
        assert_eq!(answer["error_codes"], json!([code]));
        let description = answer["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
        assert!(!description.contains("wrong"), "{description}");
    }
}

#[tokio::test]
async fn a_token_is_exchanged_for_a_key_that_signs_client_tokens() {
    let wire = start().await;
    for client_id in ["server", "all"] {
        let token = wire.entra_token(client_id).await;
        for path in KEY_PATHS {
            let response = wire.request(Method::GET, path).bearer_auth(&token).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let key: Value = response.json().await.unwrap();
            let (id, text) = (key["KeyId"].as_str().unwrap(), key["AccessKey"].as_str().unwrap());
            let claims = json!({ "aud": "http://127.0.0.1/client/?hub=chat", "exp": now() + 60 });
            let response = wire.negotiate("chat", &sign(text, Some(id), &claims)).await;
            assert_eq!(response.status(), StatusCode::OK);
            // The id belongs to the key, and the key to the id.
            for (key, id) in [(KEY, id), (text, "another")] {
                let response = wire.negotiate("chat", &sign(key, Some(id), &claims)).await;
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            }
        }
    }
}

#[tokio::test]
async fn the_exchange_needs_an_entra_token_and_a_role() {
    let wire = start().await;
    let access_key_token = |path: &str| {
        let audience = format!("http://127.0.0.1{}", path.split('?').next().unwrap());
        sign(KEY, None, &json!({ "aud": audience, "exp": now() + 60 }))
    };
    for path in KEY_PATHS {
        let get = |token: String| wire.request(Method::GET, path).bearer_auth(token).send();
        let response = wire.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        for token in ["x".to_owned(), access_key_token(path)] {
            assert_eq!(get(token).await.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        for (client_id, roles) in [("owner", "\"SignalR REST API Owner\""), ("none", "none")] {
            let response = get(wire.entra_token(client_id).await).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let error: Value = response.json().await.unwrap();
            let expected = format!(
                "The application {client_id} may not perform Microsoft.SignalRService/SignalR/auth/accessKey/action. \
                 Assign it the role \"SignalR App Server\" or \"SignalR Service Owner\". Its roles: {roles}."
            );
            assert_eq!(error, json!({ "code": "Forbidden", "message": expected }));
        }
    }
}

#[tokio::test]
async fn roles_decide_what_a_token_may_do() {
    let wire = start().await;
    let body = json!({ "target": "m", "arguments": [] });
    let calls: [(Method, &str, Option<Value>, u16); 5] = [
        (Method::POST, "/api/hubs/chat/:send", Some(body.clone()), 202),
        (Method::POST, "/api/hubs/chat/users/u/:send", Some(body), 202),
        (Method::PUT, "/api/hubs/chat/users/u/groups/g", None, 200),
        (Method::HEAD, "/api/hubs/chat/users/u/groups/g", None, 200),
        (Method::POST, "/api/hubs/chat/:closeConnections", None, 204),
    ];
    let denied = [403, 403, 403, 403, 403];
    for (client_id, expected) in [
        ("owner", calls.each_ref().map(|call| call.3)),
        ("all", calls.each_ref().map(|call| call.3)),
        ("reader", [403, 403, 403, 200, 403]),
        ("server", [403, 403, 403, 403, 204]),
        ("none", denied),
    ] {
        let token = wire.entra_token(client_id).await;
        let mut statuses = Vec::new();
        for (method, path, body, _) in &calls {
            let response = wire.rest_with(&token, method.clone(), path, body.clone()).await;
            statuses.push(response.status().as_u16());
        }
        assert_eq!(statuses, expected, "{client_id}");
    }
}

#[tokio::test]
async fn an_expired_or_foreign_token_is_refused() {
    let expiring = LocalService::builder()
        .application(application("all", &[Role::ServiceOwner]))
        .token_lifetime(Duration::ZERO);
    let wire = Wire::start(expiring).await;
    let expired = wire.entra_token("all").await;
    // With the same access key it would be the same authority.
    let foreign = LocalService::builder().access_key("another").application(application("all", &[]));
    let foreign = Wire::start(foreign).await.entra_token("all").await;
    for (token, reason) in [(expired, "the token has expired"), (foreign, "the signature key was not found")]
    {
        let response = wire.request(Method::GET, KEY_PATHS[0]).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let error: Value = response.json().await.unwrap();
        assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
        let response = wire.rest_with(&token, Method::POST, "/api/hubs/chat/:send", Some(json!({}))).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn generated_tokens_let_their_user_in() {
    let wire = start().await;
    let path = "/api/hubs/Chat/:generateToken?userId=al%20ice&minutesToExpire=5";
    let token = wire.entra_token("owner").await;
    let answer: Value = wire.rest_with(&token, Method::POST, path, None).await.json().await.unwrap();
    let client = wire.connect("chat", answer["token"].as_str().unwrap()).await;
    assert_eq!(wire.status(Method::HEAD, "/api/hubs/chat/users/al%20ice").await.0, 200);
    client.leave().await;

    let token = wire.entra_token("server").await;
    assert_eq!(wire.rest_with(&token, Method::POST, path, None).await.status(), StatusCode::FORBIDDEN);
    for minutes in ["0", "-1", "x"] {
        let path = format!("/api/hubs/chat/:generateToken?minutesToExpire={minutes}");
        assert_eq!(wire.status(Method::POST, &path).await.0, 400);
    }
}

#[tokio::test]
async fn what_can_not_start_says_why() {
    let running = LocalService::builder().start().await.unwrap();
    let port = running.port();
    let taken = LocalService::builder().port(port).start().await;
    assert!(matches!(taken, Err(LocalError::Listen { port: p, .. }) if p == port), "{taken:?}");
    running.stop().await;
    LocalService::builder().port(port).start().await.unwrap().stop().await;

    for key in ["", "a;b"] {
        let refused = LocalService::builder().access_key(key).start().await;
        assert!(matches!(refused, Err(LocalError::InvalidAccessKey)), "{refused:?}");
    }
    let twice = LocalService::builder().application(application("a", &[])).application(application("a", &[]));
    assert!(matches!(twice.start().await, Err(LocalError::DuplicateApplication { .. })));
}

#[tokio::test]
async fn secrets_do_not_show_in_debug() {
    let builder = LocalService::builder().access_key("marked-key").application(application("a", &[]));
    let shown = format!("{builder:?}");
    let local = builder.start().await.unwrap();
    let shown = format!("{shown} {local:?}");
    assert!(!shown.contains("marked-key") && !shown.contains(SECRET), "{shown}");
    let port = local.port();
    assert_eq!(
        local.connection_string(),
        format!("Endpoint=http://127.0.0.1;Port={port};AccessKey=marked-key;Version=1.0;")
    );
}

#[tokio::test]
async fn the_service_is_there_over_https_as_well() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let builder = || LocalService::builder().application(application("server", &[Role::ServiceOwner]));
    let local = builder().https(certificate.clone(), key.clone()).start().await.unwrap();
    let https = local.https_endpoint().unwrap().to_owned();
    assert_eq!(local.authority(), https);
    // Who begins a handshake and says nothing more keeps nobody waiting.
    let address = https.strip_prefix("https://").unwrap();
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let credential = ClientSecret::new(TENANT, "server", SECRET).authority(&*https);
    let endpoint = ServiceEndpoint::new(local.endpoint(), credential).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).root_certificate(&certificate).build().unwrap();
    client.hub("chat").unwrap().all().send("News", ("hello",)).await.unwrap();

    let other = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap().signing_key.serialize_pem();
    for (certificate, key, reason) in [
        (String::new(), key.clone(), "there is no certificate"),
        (certificate.clone(), "nothing".to_owned(), "there is no private key"),
        (certificate, other, "the key belongs to another certificate"),
    ] {
        let error = builder().https(certificate, key).start().await.unwrap_err();
        assert!(
            matches!(&error, LocalError::InvalidHttpsCertificate { reason: said } if said.contains(reason)),
            "{error}"
        );
    }
}
