//! Microsoft Entra credentials and the exchange of their tokens for access keys.
#![cfg(feature = "service")]

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::fakes::{
    CLIENT_SECRET, EXCHANGE, Fake, Seen, TOKEN, advance, all_well, entra_error, exchanged, hurried, key,
    nobody, reply, token, verified,
};
use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    time::OffsetDateTime,
};
use hubwire::service::{
    NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
    credentials::{AccessKey, ClientSecret, CredentialError},
    error::Operation,
};
use serde_json::json;
use tokio::sync::Notify;

fn alice() -> NegotiateOptions {
    NegotiateOptions::for_user("alice")
}

async fn negotiate_error(client: &ServiceClient) -> ServiceError {
    client.hub("chat").unwrap().negotiate(alice()).await.expect_err("negotiation fails")
}

#[tokio::test]
async fn a_client_secret_becomes_a_client_token() {
    let fake = Fake::start(all_well).await;
    let hub = fake.entra_client().hub("Chat").unwrap();
    let access = hub.negotiate(alice().claim("role", "admin")).await.unwrap();

    assert_eq!(access.url, format!("{}/client/?hub=chat", fake.url));
    let (header, claims) = verified(&access.access_token, &exchanged(1));
    assert_eq!((&header["kid"], &header["alg"]), (&json!("key-1"), &json!("HS256")));
    assert_eq!((&claims["asrs.s.uid"], &claims["role"]), (&json!("alice"), &json!("admin")));
    assert_eq!(claims["aud"], "http://127.0.0.1/client/?hub=chat");

    let request = &fake.seen(TOKEN)[0];
    assert_eq!(request.method, "POST");
    let form: Vec<_> = request.body.split('&').collect();
    assert_eq!(
        form,
        [
            "client_id=app-1",
            "client_secret=client+secret+%7E+%26%2B%3D%2F%25",
            "grant_type=client_credentials",
            "scope=https%3A%2F%2Fsignalr.azure.com%2F.default",
        ]
    );
    let exchange = &fake.seen(EXCHANGE)[0];
    assert_eq!((exchange.method.as_str(), exchange.target.as_str()), ("GET", EXCHANGE));
    assert_eq!((exchange.bearer(), exchange.body.as_str()), ("entra-token-1", ""));

    // The next ones need no request.
    hub.negotiate(alice()).await.unwrap();
    assert_eq!(fake.all().len(), 2);
}

#[tokio::test]
async fn the_exchange_goes_to_the_server_endpoint_and_the_scope_can_be_set() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        "/proxy/api/v1/auth/accessKey" => key(1),
        _ => all_well(seen),
    })
    .await;
    let endpoint = ServiceEndpoint::new("https://contoso.service.signalr.net", fake.client_secret())
        .and_then(|endpoint| endpoint.server_endpoint(&format!("{}/proxy/", fake.url)))
        .map(|endpoint| endpoint.scope("api://other/.default"))
        .unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).build().unwrap();
    let access = client.hub("chat").unwrap().negotiate(alice()).await.unwrap();
    assert_eq!(access.url, "https://contoso.service.signalr.net/client/?hub=chat");
    assert_eq!(verified(&access.access_token, &exchanged(1)).1["aud"], access.url.as_str());
    assert!(fake.seen(TOKEN)[0].body.ends_with("&scope=api%3A%2F%2Fother%2F.default"));
}

#[tokio::test]
async fn a_wrong_client_secret_says_so_at_once() {
    // 7000215: wrong, 7000222: expired.
    for code in [7_000_215, 7_000_222] {
        let fake = Fake::start(move |_: &Seen| entra_error(401, "invalid_client", code)).await;
        let error = negotiate_error(&fake.entra_client()).await;
        let ServiceError::Credential(CredentialError::InvalidClientSecret {
            client_id,
            error: oauth,
            code: aadsts,
        }) = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((client_id.as_str(), oauth.as_deref()), ("app-1", Some("invalid_client")));
        assert_eq!(aadsts.as_deref(), Some(format!("AADSTS{code}").as_str()));
        let text = error.to_string();
        assert!(text.contains("client secret") && text.contains(&code.to_string()), "{text}");
        assert!(!text.contains(CLIENT_SECRET) && !error.is_retryable());
        assert_eq!(fake.count(TOKEN), 1, "a refusal is not tried again");
        assert_eq!(fake.count(EXCHANGE), 0);
    }
}

#[tokio::test]
async fn other_refusals_keep_status_and_codes() {
    let fake = Fake::start(|_: &Seen| entra_error(400, "unauthorized_client", 700_016)).await;
    let error = negotiate_error(&fake.entra_client()).await;
    let ServiceError::Credential(CredentialError::Refused {
        status: 400,
        error: Some(oauth),
        code: Some(code),
        ..
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((oauth.as_str(), code.as_str()), ("unauthorized_client", "AADSTS700016"));

    // Without the list of codes, the code stands in the description.
    let answer = json!({"error": "invalid_scope", "error_description": "AADSTS70011: \"scope\"\r\n"});
    let fake = Fake::start(move |_: &Seen| reply(400, &answer)).await;
    let error = negotiate_error(&fake.entra_client()).await;
    assert!(error.to_string().contains("invalid_scope, AADSTS70011"), "{error}");

    let fake = Fake::start(|_: &Seen| reply(404, "<html>not here</html>")).await;
    let error = negotiate_error(&fake.entra_client()).await;
    assert!(error.to_string().contains("404 (no error code)"), "{error}");
}

#[tokio::test]
async fn an_authority_in_trouble_is_asked_again_and_reported_as_such() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.nth) {
        (TOKEN, 1) => reply(503, "busy"),
        _ => all_well(seen),
    })
    .await;
    fake.entra_client().hub("chat").unwrap().negotiate(alice()).await.unwrap();
    assert_eq!(fake.count(TOKEN), 2);

    let fake = Fake::start(|_: &Seen| reply(503, "busy")).await;
    let error = negotiate_error(&fake.entra_client()).await;
    assert!(
        matches!(error, ServiceError::Credential(CredentialError::Unavailable { status: 503 })),
        "{error:?}"
    );
    assert!(error.is_retryable());
    assert_eq!(fake.count(TOKEN), 3, "retries are bounded");
}

#[tokio::test]
async fn an_authority_that_cannot_be_reached_is_reported_as_such() {
    let fake = Fake::start(all_well).await;
    let secret = ClientSecret::new("tenant-1", "app-1", "s").authority(nobody());
    let error = negotiate_error(&fake.client(secret)).await;
    assert!(matches!(error, ServiceError::Credential(CredentialError::Connection(_))), "{error:?}");
    assert!(error.source().is_some() && error.is_retryable());
}

#[tokio::test]
async fn a_slow_authority_ends_in_a_timeout() {
    let never = Arc::new(Notify::new());
    let fake = Fake::start(move |_: &Seen| token("t", 3600).behind(&never)).await;
    let endpoint = ServiceEndpoint::new(&fake.url, fake.client_secret()).unwrap();
    let limit = Duration::from_millis(200);
    let client = ServiceClient::builder().endpoint(endpoint).credential_timeout(limit).build().unwrap();
    let error = negotiate_error(&client).await;
    assert!(
        matches!(error, ServiceError::Credential(CredentialError::Timeout { after }) if after == limit),
        "{error:?}"
    );
}

#[tokio::test]
async fn answers_without_a_usable_token_are_errors() {
    for body in [
        "{}",
        "no json",
        r#"{"access_token":"","expires_in":3600}"#,
        r#"{"access_token":"t","expires_in":0}"#,
    ] {
        let fake = Fake::start(move |_: &Seen| reply(200, body)).await;
        let error = negotiate_error(&fake.entra_client()).await;
        assert!(
            matches!(error, ServiceError::Credential(CredentialError::UnusableToken)),
            "{body}: {error:?}"
        );
    }
}

#[tokio::test]
async fn fifty_callers_make_one_request_of_each_kind() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let fake = Fake::start(move |seen: &Seen| match seen.path() {
        TOKEN => token("t", 3599).behind(&opened),
        _ => all_well(seen),
    })
    .await;
    let hub = fake.entra_client().hub("chat").unwrap();
    // The first caller, whose request it is, goes away; the others still get their answer.
    let first = hub.clone();
    let leaving = tokio::spawn(async move { first.negotiate(alice()).await });
    fake.wait_for(TOKEN, 1).await;
    leaving.abort();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let hub = hub.clone();
        callers.spawn(async move { hub.negotiate(alice()).await });
    }
    tokio::task::yield_now().await;
    gate.notify_one();
    while let Some(result) = callers.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!((fake.count(TOKEN), fake.count(EXCHANGE)), (1, 1));
}

#[tokio::test]
async fn a_missing_role_is_named() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        EXCHANGE => reply(403, json!({"code": "Forbidden", "message": "no\r\npermission"})),
        _ => all_well(seen),
    })
    .await;
    let error = negotiate_error(&fake.entra_client()).await;
    let ServiceError::Forbidden(refusal) = &error else { panic!("{error:?}") };
    assert_eq!((refusal.operation(), refusal.status()), (Operation::ExchangeAccessKey, 403));
    assert_eq!(refusal.message(), Some("no  permission"));
    let text = error.to_string();
    for part in
        ["\"SignalR App Server\"", "\"SignalR Service Owner\"", "30 minutes", "network access control"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(fake.count(EXCHANGE), 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.bearer()) {
        (EXCHANGE, "entra-token-1") => reply(401, ""),
        _ => all_well(seen),
    })
    .await;
    fake.entra_client().hub("chat").unwrap().negotiate(alice()).await.unwrap();
    assert_eq!((fake.count(TOKEN), fake.count(EXCHANGE)), (2, 2));

    let fake = Fake::start(|seen: &Seen| match seen.path() {
        EXCHANGE => reply(401, "").with("x-ms-error-code", "Unauthorized"),
        _ => all_well(seen),
    })
    .await;
    let error = negotiate_error(&fake.entra_client()).await;
    let ServiceError::Unauthorized(refusal) = &error else { panic!("{error:?}") };
    assert_eq!(refusal.error_code(), Some("Unauthorized"));
    assert_eq!((fake.count(TOKEN), fake.count(EXCHANGE)), (2, 2));
}

#[tokio::test]
async fn a_failing_exchange_is_a_typed_error() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.nth) {
        (EXCHANGE, 1) => reply(404, ""),
        (EXCHANGE, 2) => reply(200, json!({"KeyId": "k"})),
        (EXCHANGE, 3) => reply(200, json!({"KeyId": "k", "AccessKey": ""})),
        (EXCHANGE, 4) => reply(307, "").with("location", "/elsewhere"),
        (EXCHANGE, 5) => reply(503, "").with("retry-after", "70"),
        (EXCHANGE, 6..=8) => reply(200, "x".repeat(1 << 20)),
        _ => all_well(seen),
    })
    .await;
    let client = fake.entra_client();
    assert!(matches!(negotiate_error(&client).await, ServiceError::NotFound(_)));
    assert!(matches!(negotiate_error(&client).await, ServiceError::InvalidResponse { .. }));
    assert!(matches!(negotiate_error(&client).await, ServiceError::InvalidResponse { .. }));
    assert_eq!(negotiate_error(&client).await.status(), Some(307));
    let error = negotiate_error(&client).await;
    assert_eq!(error.refusal().and_then(|r| r.retry_after()), Some(Duration::from_secs(70)));
    assert!(matches!(hurried(negotiate_error(&client)).await, ServiceError::Connection { .. }));
    assert_eq!(fake.count("/elsewhere"), 0, "redirects are not followed");
    // A failure is not remembered.
    client.hub("chat").unwrap().negotiate(alice()).await.unwrap();

    let endpoint = ServiceEndpoint::new(&nobody(), fake.client_secret()).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).build().unwrap();
    let error = hurried(negotiate_error(&client)).await;
    assert!(
        matches!(error, ServiceError::Connection { operation: Operation::ExchangeAccessKey, .. }),
        "{error:?}"
    );

    let never = Arc::new(Notify::new());
    let fake = Fake::start(move |seen: &Seen| match seen.path() {
        EXCHANGE => key(1).behind(&never),
        _ => all_well(seen),
    })
    .await;
    let endpoint = ServiceEndpoint::new(&fake.url, fake.client_secret()).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).credential_timeout(Duration::from_millis(300));
    let error = negotiate_error(&client.build().unwrap()).await;
    assert!(matches!(error, ServiceError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn an_exchange_that_fails_for_now_is_tried_three_times() {
    // How the first attempts end, how often the service is asked, and how it ends.
    for (first, attempts, ends_well) in [
        (vec![503, 500], 3, true),
        (vec![429], 2, true),
        (vec![503, 503, 503], 3, false),
        (vec![403], 1, false),
        (vec![400], 1, false),
    ] {
        let answers = first.clone();
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            EXCHANGE => answers.get(seen.nth - 1).map_or_else(|| key(1), |status| reply(*status, "")),
            _ => all_well(seen),
        })
        .await;
        let hub = fake.entra_client().hub("chat").unwrap();
        let started = tokio::time::Instant::now();
        // A claim of its own cannot do without the exchange.
        let result = hurried(hub.negotiate(alice().claim("role", "admin"))).await;
        let waited = started.elapsed().as_secs();
        assert_eq!((result.is_ok(), fake.count(EXCHANGE)), (ends_well, attempts), "{first:?}: {result:?}");
        let pauses = 3 * (attempts as u64 - 1);
        assert!((pauses..pauses + 3).contains(&waited), "{first:?} took {waited} seconds");
    }
}

#[tokio::test]
async fn an_exchange_that_a_proxy_keeps_back_is_done_without() {
    for (status, page) in [(404, ""), (200, "<html>not here</html>"), (403, "")] {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            EXCHANGE => reply(status, page),
            path if path.ends_with("/:generateToken") => reply(200, json!({"token": "made-by-the-service"})),
            _ => all_well(seen),
        })
        .await;
        let hub = fake.entra_client().hub("chat").unwrap();
        let access = hub.negotiate(alice()).await.unwrap();
        assert_eq!(access.access_token, "made-by-the-service", "{status}");
        // What such a token cannot carry needs the exchange.
        let error = hub.negotiate(alice().claim("role", "admin")).await.expect_err("no exchange");
        assert!(!matches!(error, ServiceError::NeedsAccessKey { .. }), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn the_key_is_renewed_in_the_background_from_55_minutes() {
    let fake = Fake::start(all_well).await;
    let hub = fake.entra_client().hub("chat").unwrap();
    hub.negotiate(alice()).await.unwrap();

    advance(54).await;
    verified(&hub.negotiate(alice()).await.unwrap().access_token, &exchanged(1));
    assert_eq!(fake.count(EXCHANGE), 1);

    advance(7).await;
    // Nobody waits for the renewal.
    verified(&hub.negotiate(alice()).await.unwrap().access_token, &exchanged(1));
    fake.wait_for(EXCHANGE, 2).await;
    let renewed = async {
        while verified_by(&hub.negotiate(alice()).await.unwrap().access_token) != "key-2" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewed).await.expect("the new key comes into use");
    assert_eq!(fake.count(EXCHANGE), 2);
}

fn verified_by(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn a_key_outlives_failing_renewals_until_85_minutes() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.nth) {
        (EXCHANGE, 2..) => reply(500, ""),
        _ => all_well(seen),
    })
    .await;
    let hub = fake.entra_client().hub("chat").unwrap();
    hub.negotiate(alice()).await.unwrap();
    advance(61).await;
    hub.negotiate(alice()).await.unwrap();
    hurried(fake.wait_for(EXCHANGE, 4)).await;
    advance(23).await;
    verified(&hub.negotiate(alice()).await.unwrap().access_token, &exchanged(1));
    advance(2).await;
    let error = hurried(hub.negotiate(alice())).await.expect_err("the key has ended");
    assert_eq!(error.status(), Some(500));
}

#[tokio::test]
async fn a_token_outlives_failing_renewals() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.nth) {
        (TOKEN, 2..) => entra_error(401, "invalid_client", 7_000_222),
        _ => all_well(seen),
    })
    .await;
    let hub = fake.entra_client().hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
    advance(55).await;
    hub.all().send("m", ()).await.unwrap();
    fake.wait_for(TOKEN, 2).await;
    hub.all().send("m", ()).await.unwrap();
    assert_eq!(fake.last().bearer(), "entra-token-1");
    advance(6).await;
    let error = hub.all().send("m", ()).await.expect_err("the token has expired");
    assert!(
        matches!(error, ServiceError::Credential(CredentialError::InvalidClientSecret { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_key_can_be_renewed_on_demand() {
    let fake = Fake::start(|seen: &Seen| match (seen.path(), seen.nth) {
        (EXCHANGE, 3) => reply(403, ""),
        _ => all_well(seen),
    })
    .await;
    let client = fake.entra_client();
    let hub = client.hub("chat").unwrap();
    hub.negotiate(alice()).await.unwrap();
    client.refresh_access_key().await.unwrap();
    verified(&hub.negotiate(alice()).await.unwrap().access_token, &exchanged(2));
    assert!(matches!(client.refresh_access_key().await, Err(ServiceError::Forbidden(_))));
    verified(&hub.negotiate(alice()).await.unwrap().access_token, &exchanged(2));

    fake.key_client().refresh_access_key().await.unwrap();
    assert_eq!(fake.count(EXCHANGE), 3);
}

/// A credential of the application's own.
#[derive(Debug, Default)]
struct Own {
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl TokenCredential for Own {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://signalr.azure.com/.default"]);
        let n = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(n < 3, "this one panics at the third request");
        Ok(AccessToken::new(format!("own-token-{n}"), OffsetDateTime::now_utc() + Duration::from_secs(600)))
    }
}

#[tokio::test]
async fn any_token_credential_will_do() {
    let fake = Fake::start(all_well).await;
    let own = Arc::new(Own::default());
    let hub = fake.client(Arc::clone(&own)).hub("chat").unwrap();
    hub.negotiate(alice()).await.unwrap();
    hub.all().send("m", ()).await.unwrap();
    assert_eq!(fake.seen(EXCHANGE)[0].bearer(), "own-token-1");
    assert_eq!(own.asked.load(Ordering::Relaxed), 1, "its token is cached");

    let shared: Arc<dyn TokenCredential> = own;
    let hub = fake.client(shared).hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
    assert_eq!(fake.last().bearer(), "own-token-2");
}

#[tokio::test]
async fn a_credential_that_panics_leaves_nobody_waiting() {
    let fake = Fake::start(all_well).await;
    let own = Arc::new(Own { asked: AtomicUsize::new(2) });
    let client = fake.client(own);
    for _ in 0..2 {
        let waiting = tokio::time::timeout(Duration::from_secs(20), negotiate_error(&client));
        let error = waiting.await.expect("an end");
        assert!(matches!(error, ServiceError::Credential(CredentialError::Cancelled)), "{error:?}");
    }
}

#[tokio::test]
async fn an_access_key_needs_no_authority() {
    let fake = Fake::start(all_well).await;
    let client = fake.client(AccessKey::new(crate::fakes::ACCESS_KEY));
    client.hub("chat").unwrap().negotiate(alice()).await.unwrap();
    assert!(fake.all().is_empty());
}
