//! Nothing that the local service logs has a secret in it, not even when it refuses something.
#![cfg(feature = "local")]

use crate::capture::Capture;
use crate::wire::{TENANT, Wire, now, sign};
use hubwire::local::{EntraApplication, KeyType, LocalManagedIdentity, LocalService, Role, UpstreamRule};
use reqwest::Method;
use serde_json::{Value, json};

const ACCESS_KEY: &str = "marked-access-key";
const CLIENT_SECRET: &str = "marked-client-secret";
const CLAIM: &str = "marked-claim";
/// Functions have theirs in the URL of the upstream.
const FUNCTION_KEY: &str = "marked-function-key";

#[tokio::test]
async fn logs_have_no_secrets() {
    let logs = Capture::of_the_process();
    let mut secrets = [ACCESS_KEY, CLIENT_SECRET, CLAIM, FUNCTION_KEY].map(str::to_owned).to_vec();

    let application = EntraApplication::new(TENANT, "app", CLIENT_SECRET).role(Role::SignalRAppServer);
    let builder = LocalService::builder().access_key(ACCESS_KEY).application(application);
    let identity = LocalManagedIdentity::system_assigned(TENANT, "identity");
    // Nobody is there, which is logged.
    let upstream = UpstreamRule::new(format!("http://127.0.0.1:9/?code={FUNCTION_KEY}")).unwrap();
    let builder = builder.upstream_rule(upstream.managed_identity("api://upstream"));
    let wire = Wire::start(builder.managed_identity(identity)).await;
    secrets.push(wire.local.regenerate_key(KeyType::Secondary).unwrap());
    secrets.push(wire.local.identity_header().to_owned());
    for (secret, status) in [(CLIENT_SECRET, 200), ("marked-client-secret-2", 401)] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_secret", secret),
            ("scope", "https://signalr.azure.com/.default"),
        ];
        let (got, answer) = wire.entra(TENANT, &form).await;
        assert_eq!(got, status);
        secrets.extend(answer["access_token"].as_str().map(str::to_owned));
    }
    let entra_token = secrets.last().unwrap().clone();
    for (header, status) in [(wire.local.identity_header(), 200), ("marked-identity-header", 401)] {
        let path = "/msi/token?api-version=2019-08-01&resource=https://signalr.azure.com";
        let request = wire.request(Method::GET, path).header("x-identity-header", header);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let answer: Value = answer.json().await.unwrap();
        secrets.extend(answer["access_token"].as_str().map(str::to_owned));
    }
    let assertion = sign("marked-key", None, &json!({ "iss": "app", "private": CLAIM }));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("client_assertion", assertion.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("scope", "https://signalr.azure.com/.default"),
    ];
    assert_eq!(wire.entra(TENANT, &form).await.0, 401);
    secrets.extend([assertion, "marked-identity-header".to_owned()]);
    let response = wire.request(Method::GET, "/api/v1/auth/accessKey").bearer_auth(&entra_token).send().await;
    let key: Value = response.unwrap().json().await.unwrap();
    secrets.push(key["AccessKey"].as_str().unwrap().to_owned());

    let claims = |hub: &str| {
        let audience = format!("http://127.0.0.1/client/?hub={hub}");
        json!({ "aud": audience, "exp": now() + 60, "private": CLAIM })
    };
    let (good, bad) = (sign(ACCESS_KEY, None, &claims("chat")), sign(ACCESS_KEY, None, &claims("other")));
    for (token, status) in [(&good, 200), (&bad, 401)] {
        let answer = wire.negotiate("chat", token).await;
        assert_eq!(answer.status().as_u16(), status);
        let answer: Option<Value> = answer.json().await.ok();
        secrets.extend(answer.and_then(|a| Some(a["connectionToken"].as_str()?.to_owned())));
    }
    let id = secrets.last().unwrap();
    let query = format!("hub=chat&id={id}&access_token={good}");
    let mut socket = wire.open(&query).await.unwrap();
    socket.handshake().await;
    assert_eq!(wire.open(&query).await.err().unwrap().0, 409);
    let refused = wire.rest_with(&bad, Method::POST, "/api/hubs/chat/:send", Some(json!({}))).await;
    assert_eq!(refused.status(), 401);
    let forbidden = wire.rest_with(&entra_token, Method::POST, "/api/hubs/chat/:send", Some(json!({}))).await;
    assert_eq!(forbidden.status(), 403);
    socket.send(&["nonsense"]).await;
    socket.closed().await;
    wire.local.stop().await;
    secrets.extend([good, bad]);

    let logs = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    for expected in
        ["the local service has started", "refused a token", "refused a client", "client connected"]
    {
        assert!(logs.contains(expected), "{expected} is not in: {logs}");
    }
    for secret in secrets {
        assert!(!logs.contains(&secret), "{secret} is in: {logs}");
    }
}
