//! Every kind of Entra credential against the local service.
#![cfg(feature = "local")]

#[path = "../../examples/entra_applications.rs"]
mod example;

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::capture::Capture;
use crate::certificate::{PASSWORD, file, path, sign};
use crate::fakes::{EXCHANGE, Fake, Seen, TOKEN, all_well, nobody, reply};
use hubwire::{
    local::{EntraApplication, LocalManagedIdentity, LocalService, Role},
    service::{
        NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
        configuration::Configuration,
        credentials::{
            AccessKey, AzureCli, ClientCertificate, ClientSecret, Cloud, Credential, CredentialChain,
            CredentialError, EnvironmentCredential, FederatedCredential, InvalidCredential, ManagedIdentity,
            WorkloadIdentity,
        },
        endpoints::EndpointError,
    },
};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

const TENANT: &str = "tenant-1";
const ISSUER: &str = "https://cluster.example";
const SUBJECT: &str = "system:serviceaccount:default:chat";
const RESOURCE_ID: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";

async fn start() -> LocalService {
    LocalService::builder()
        .application(
            EntraApplication::without_secret(TENANT, "app")
                .certificate(file("application.crt"))
                .federated_credential(ISSUER, SUBJECT, file("application.crt"))
                .trusted_managed_identity("user")
                .role(Role::ServiceOwner),
        )
        .managed_identity(LocalManagedIdentity::system_assigned("home", "own").role(Role::ServiceOwner))
        .managed_identity(
            LocalManagedIdentity::user_assigned("home", "user")
                .object_id("user-object")
                .resource_id(RESOURCE_ID)
                .role(Role::ServiceOwner),
        )
        .start()
        .await
        .unwrap()
}

async fn negotiate(local: &LocalService, credential: impl Into<Credential>) -> Result<(), ServiceError> {
    let endpoint = ServiceEndpoint::new(local.endpoint(), credential).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    hub.negotiate(NegotiateOptions::for_user("alice")).await?;
    hub.all().send("m", ()).await
}

/// A token of the identity outside of Entra.
fn federated(audience: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": ISSUER, "sub": SUBJECT, "aud": [audience], "exp": now + 600, "iat": now});
    sign(&Header::new(Algorithm::RS256), &claims)
}

fn credential_error(result: Result<(), ServiceError>) -> CredentialError {
    match result.expect_err("no token") {
        ServiceError::Credential(error) => error,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn the_snippets_of_the_article_run() {
    example::run().await.unwrap();
}

#[tokio::test]
async fn certificates_are_accepted_when_they_are_registered() {
    let local = start().await;
    let pem = ClientCertificate::from_file(TENANT, "app", path("application.pem"));
    negotiate(&local, pem.clone().authority(local.authority())).await.unwrap();
    let pfx = ClientCertificate::from_pfx(TENANT, "app", file("application.pfx"), PASSWORD).await.unwrap();
    let pfx = pfx.send_certificate_chain(true).authority(local.authority());
    negotiate(&local, pfx).await.unwrap();

    let other = ClientCertificate::from_file(TENANT, "app", path("chain.pem")).authority(local.authority());
    let error = credential_error(negotiate(&local, other).await);
    assert!(
        matches!(&error, CredentialError::InvalidClientAssertion { code: Some(code), .. } if code == "AADSTS700027"),
        "{error:?}"
    );
    let no_secret = ClientSecret::new(TENANT, "app", "guess").authority(local.authority());
    let error = credential_error(negotiate(&local, no_secret).await);
    assert!(matches!(error, CredentialError::InvalidClientSecret { .. }), "{error:?}");
}

#[tokio::test]
async fn managed_identities_are_found_by_every_id() {
    let local = start().await;
    let on_vm = |identity: ManagedIdentity| identity.metadata_service(local.metadata_service());
    let in_app =
        |identity: ManagedIdentity| identity.app_service(local.identity_endpoint(), local.identity_header());
    for identity in [
        ManagedIdentity::system_assigned(),
        ManagedIdentity::with_client_id("user"),
        ManagedIdentity::with_object_id("user-object"),
        ManagedIdentity::with_resource_id(RESOURCE_ID),
    ] {
        negotiate(&local, on_vm(identity.clone())).await.unwrap();
        negotiate(&local, in_app(identity)).await.unwrap();
    }
    let stranger = on_vm(ManagedIdentity::with_client_id("stranger"));
    let error = credential_error(negotiate(&local, stranger).await);
    assert!(matches!(error, CredentialError::ManagedIdentityRefused { status: 400, .. }), "{error:?}");
    let wrong = ManagedIdentity::system_assigned().app_service(local.identity_endpoint(), "wrong");
    let error = credential_error(negotiate(&local, wrong).await);
    assert!(matches!(error, CredentialError::ManagedIdentityRefused { status: 401, .. }), "{error:?}");
}

#[tokio::test]
async fn the_request_for_a_managed_identity_is_that_of_azure() {
    let far = "4102444800";
    for expires_on in [json!(far), json!(4_102_444_800_u64)] {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            "/metadata/identity/oauth2/token" | "/app/token" if seen.nth == 1 => reply(503, ""),
            "/metadata/identity/oauth2/token" | "/app/token" => {
                reply(200, json!({"access_token": "msi", "expires_on": expires_on}))
            }
            _ => all_well(seen),
        })
        .await;
        let identity = ManagedIdentity::with_resource_id("/r i");
        for identity in [
            identity.clone().metadata_service(format!("{}/", fake.url)),
            identity.app_service(format!("{}/app/token", fake.url), "header-1"),
        ] {
            let hub = fake.client(identity).hub("chat").unwrap();
            hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
            assert_eq!(fake.last().bearer(), "msi");
        }
        let [first, second] = fake.seen("/metadata/identity/oauth2/token").try_into().unwrap();
        assert_eq!(first.target, second.target);
        assert_eq!(
            second.target,
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fsignalr.azure.com\
             &msi_res_id=%2Fr+i"
        );
        assert_eq!((second.method.as_str(), second.header("metadata")), ("GET", "true"));
        let app = fake.seen("/app/token").pop().unwrap();
        assert_eq!(
            app.target,
            "/app/token?api-version=2019-08-01&resource=https%3A%2F%2Fsignalr.azure.com&mi_res_id=%2Fr+i"
        );
        assert_eq!((app.header("x-identity-header"), app.header("metadata")), ("header-1", ""));
    }

    let identity = ManagedIdentity::system_assigned().metadata_service(nobody());
    let fake = Fake::start(all_well).await;
    let error = fake.client(identity).hub("chat").unwrap().all().send("m", ()).await.expect_err("nobody");
    assert!(matches!(error, ServiceError::Credential(CredentialError::NoManagedIdentity(_))), "{error:?}");
}

#[tokio::test]
async fn a_managed_identity_of_another_tenant_stands_in_for_the_application() {
    let local = start().await;
    let federated = |identity: ManagedIdentity| {
        let identity = identity.metadata_service(local.metadata_service());
        FederatedCredential::with_managed_identity(TENANT, "app", identity)
    };
    let user = || federated(ManagedIdentity::with_client_id("user"));
    for cloud in [Cloud::Public, Cloud::UsGovernment, Cloud::China] {
        negotiate(&local, user().cloud(cloud).authority(local.authority())).await.unwrap();
    }
    // The application trusts one of the two identities only, and tokens for the exchange only.
    let own = federated(ManagedIdentity::system_assigned()).authority(local.authority());
    let service = user().authority(local.authority()).exchange_audience("https://signalr.azure.com");
    for (credential, expected) in [(own, "AADSTS700213"), (service, "AADSTS700212")] {
        let error = credential_error(negotiate(&local, credential).await);
        assert!(
            matches!(&error, CredentialError::InvalidClientAssertion { code: Some(code), .. } if code == expected),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn the_exchange_audience_is_that_of_the_cloud() {
    for (cloud, audience) in [
        (Cloud::Public, "api%3A%2F%2FAzureADTokenExchange"),
        (Cloud::UsGovernment, "api%3A%2F%2FAzureADTokenExchangeUSGov"),
        (Cloud::China, "api%3A%2F%2FAzureADTokenExchangeChina"),
    ] {
        let fake = Fake::start(|seen: &Seen| match seen.path() {
            "/metadata/identity/oauth2/token" => {
                reply(200, json!({"access_token": "msi", "expires_on": "4102444800"}))
            }
            _ => all_well(seen),
        })
        .await;
        let identity = ManagedIdentity::system_assigned().metadata_service(&fake.url);
        let credential = FederatedCredential::with_managed_identity(TENANT, "app-1", identity);
        let hub = fake.client(credential.cloud(cloud).authority(&fake.url)).hub("chat").unwrap();
        hub.all().send("m", ()).await.unwrap();
        let asked = &fake.seen("/metadata/identity/oauth2/token")[0].target;
        assert!(asked.ends_with(&format!("&resource={audience}")), "{asked}");
        let form = &fake.seen(TOKEN)[0].body;
        assert!(form.starts_with("client_assertion=msi&client_assertion_type=urn%3A"), "{form}");
    }
}

#[tokio::test]
async fn any_function_can_give_the_assertion() {
    let local = start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let credential = FederatedCredential::new(TENANT, "app", move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, std::io::Error>(federated("api://AzureADTokenExchange")) }
    });
    negotiate(&local, credential.authority(local.authority())).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    let failing = FederatedCredential::new(TENANT, "app", || async { Err::<String, _>("no token today") });
    let error = credential_error(negotiate(&local, failing.authority(local.authority())).await);
    let CredentialError::Assertion(cause) = error else { panic!("{error:?}") };
    assert_eq!(cause.to_string(), "no token today");
    let wrong =
        FederatedCredential::new(TENANT, "app", || async { Ok::<_, std::io::Error>(federated("other")) });
    let error = credential_error(negotiate(&local, wrong.authority(local.authority())).await);
    assert!(error.to_string().contains("AADSTS700212"), "{error}");
}

#[tokio::test]
async fn tokens_of_every_kind_are_kept_until_they_end() {
    const IDENTITY: &str = "/metadata/identity/oauth2/token";
    for kind in ["managed identity", "federated", "certificate"] {
        let fake = Fake::start(|seen: &Seen| {
            let in_an_hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3599);
            let in_an_hour = in_an_hour.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
            match (seen.path(), seen.nth) {
                (IDENTITY, 1) => reply(200, json!({"access_token": "msi", "expires_on": in_an_hour})),
                (IDENTITY, _) => reply(400, ""),
                (TOKEN, 2..) => crate::fakes::entra_error(401, "invalid_client", 700_027),
                _ => all_well(seen),
            }
        })
        .await;
        let identity = ManagedIdentity::system_assigned().metadata_service(&fake.url);
        let (credential, path): (Credential, _) = match kind {
            "managed identity" => (identity.into(), IDENTITY),
            "federated" => {
                let federated = FederatedCredential::with_managed_identity(TENANT, "app-1", identity);
                (federated.authority(&fake.url).into(), IDENTITY)
            }
            _ => {
                let certificate = ClientCertificate::from_file(TENANT, "app-1", path("application.pem"));
                (certificate.authority(&fake.url).into(), TOKEN)
            }
        };
        let hub = fake.client(credential).hub("chat").unwrap();
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let hub = hub.clone();
            callers.spawn(async move { hub.all().send("m", ()).await });
        }
        callers.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(fake.count(path), 1, "{kind}");

        // The renewal is due and fails; what is at hand is good for the rest of the hour.
        crate::fakes::advance(55).await;
        hub.all().send("m", ()).await.unwrap();
        fake.wait_for(path, 2).await;
        hub.all().send("m", ()).await.unwrap();
        crate::fakes::advance(6).await;
        credential_error(hub.all().send("m", ()).await);
    }
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("hubwire-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn the_token_file_of_a_workload_is_read_again() {
    let folder = folder("workload");
    let path = folder.join("token");
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN | EXCHANGE => all_well(seen),
        _ => reply(401, ""),
    })
    .await;
    let identity = WorkloadIdentity::new(TENANT, "app-1", &path).authority(&fake.url);
    let hub = fake.client(identity).hub("chat").unwrap();
    let error = hub.all().send("m", ()).await.expect_err("there is no file");
    assert!(matches!(error, ServiceError::Credential(CredentialError::Assertion(_))), "{error:?}");
    for text in ["first", "second\n"] {
        std::fs::write(&path, text).unwrap();
        hub.all().send("m", ()).await.expect_err("the service says 401");
        let form = &fake.seen(TOKEN).pop().unwrap().body;
        assert!(form.starts_with(&format!("client_assertion={}&", text.trim())), "{form}");
    }
    let local = start().await;
    std::fs::write(&path, federated("api://AzureADTokenExchange")).unwrap();
    negotiate(&local, WorkloadIdentity::new(TENANT, "app", &path).authority(local.authority()))
        .await
        .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_chain_uses_the_first_that_is_there_and_remembers_it() {
    let logs = Capture::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(logs.clone())
        .with_ansi(false);
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let fake = Fake::start(|seen: &Seen| match seen.path() {
        "/metadata/identity/oauth2/token" => reply(400, json!({"error": "invalid_request"})),
        TOKEN | EXCHANGE => all_well(seen),
        _ => reply(401, ""),
    })
    .await;
    let nobody = ManagedIdentity::system_assigned().metadata_service(nobody());
    let unassigned = ManagedIdentity::with_client_id("none").metadata_service(&fake.url);
    let chain = CredentialChain::new()
        .or(nobody.clone())
        .or(unassigned.clone())
        .or(fake.client_secret())
        .or(AzureCli::new());
    let hub = fake.client(chain).hub("chat").unwrap();
    hub.all().send("m", ()).await.expect_err("the service says 401, so a second token is asked for");
    assert_eq!((fake.count("/metadata/identity/oauth2/token"), fake.count(TOKEN)), (1, 2));
    let text = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("has found the one that works").count(), 1, "{text}");
    assert!(text.contains("credential=\"client secret\""), "{text}");

    let nothing = CredentialChain::new().or(nobody).or(unassigned.clone());
    let error = fake.client(nothing).hub("chat").unwrap().all().send("m", ()).await.expect_err("nothing");
    let ServiceError::Credential(CredentialError::NoneAvailable(tried)) = &error else { panic!("{error:?}") };
    assert_eq!(tried.iter().count(), 2);
    assert!(error.to_string().contains("managed identity: "), "{error}");

    // One that is there and refused ends it.
    let refusing = Fake::start(|_: &Seen| crate::fakes::entra_error(401, "invalid_client", 7_000_222)).await;
    let chain = CredentialChain::new().or(refusing.client_secret()).or(fake.client_secret());
    let error = fake.client(chain).hub("chat").unwrap().all().send("m", ()).await.expect_err("refused");
    assert!(
        matches!(error, ServiceError::Credential(CredentialError::InvalidClientSecret { .. })),
        "{error:?}"
    );

    let empty = Credential::from(CredentialChain::new());
    let key = CredentialChain::new().or(AccessKey::new("k")).into();
    let incomplete = CredentialChain::new().or(ClientSecret::new("", "c", "s")).into();
    for credential in [empty, key, incomplete] {
        let refused = ServiceEndpoint::new("https://h", credential);
        assert!(
            matches!(refused, Err(EndpointError::Credential(InvalidCredential::Part { .. }))),
            "{refused:?}"
        );
    }
}

/// The part of the tests below that runs in a process of its own, whose environment can be set. It says which token
/// the service got.
#[tokio::test]
#[ignore = "others run it in a process with an environment"]
async fn in_another_process() {
    let kind = std::env::var("HUBWIRE_TEST_CREDENTIAL").expect("others set it");
    let credential: Option<Credential> = match kind.as_str() {
        "environment" => Some(EnvironmentCredential::new().into()),
        "workload" => Some(WorkloadIdentity::from_environment().unwrap().into()),
        "identity" => Some(ManagedIdentity::system_assigned().into()),
        "user identity" => Some(ManagedIdentity::with_client_id("user").into()),
        "az" => Some(AzureCli::new().tenant("tenant-1").into()),
        "azd" => None,
        "default" => Some(CredentialChain::azure_default().into()),
        other => panic!("{other}"),
    };
    let fake = Fake::start(all_well).await;
    let url = std::env::var("HUBWIRE_TEST_SERVICE").unwrap_or_else(|_| fake.url.clone());
    let client = match credential {
        Some(credential) => {
            let endpoint = ServiceEndpoint::new(&url, credential).unwrap();
            ServiceClient::builder().endpoint(endpoint).build().unwrap()
        }
        // It can be asked for in settings only.
        None => {
            let settings = Configuration::new()
                .set("AzureSignalRConnectionString:serviceUri", &url)
                .set("AZURE_TOKEN_CREDENTIALS", "AzureDeveloperCliCredential");
            ServiceClient::from_configuration(&settings).unwrap()
        }
    };
    let hub = client.hub("chat").unwrap();
    if let Err(error) = hub.all().send("m", ()).await {
        let mut next = Some(&error as &dyn std::error::Error);
        while let Some(error) = next {
            println!("error={error}");
            next = error.source();
        }
        return;
    }
    if url == fake.url {
        println!("bearer={}", fake.last().bearer());
    }
}

/// Runs it with these variables.
pub(crate) async fn elsewhere(kind: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "identities::in_another_process", "--ignored", "--nocapture"])
        .env("HUBWIRE_TEST_CREDENTIAL", kind);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AZURE_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{kind}: {text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn the_environment_describes_credentials() {
    let local = start().await;
    let folder = folder("environment");
    let (token, certificate) = (folder.join("token"), path("application.pfx"));
    std::fs::write(&token, federated("api://AzureADTokenExchange")).unwrap();
    let (token, certificate) = (token.to_str().unwrap(), certificate.to_str().unwrap());
    let (endpoint, header) = (local.identity_endpoint(), local.identity_header().to_owned());
    let authority = format!("{}/", local.authority());
    let common = [
        ("HUBWIRE_TEST_SERVICE", local.endpoint()),
        ("AZURE_AUTHORITY_HOST", &authority),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", "app"),
    ];
    let with_certificate = [
        &common[..],
        &[("AZURE_CLIENT_CERTIFICATE_PATH", certificate), ("AZURE_CLIENT_CERTIFICATE_PASSWORD", PASSWORD)],
    ]
    .concat();
    let with_token = [&common[..], &[("AZURE_FEDERATED_TOKEN_FILE", token)]].concat();
    elsewhere("environment", &with_certificate).await;
    elsewhere("environment", &with_token).await;
    elsewhere("workload", &with_token).await;
    elsewhere("default", &with_certificate).await;
    let service = ("HUBWIRE_TEST_SERVICE", local.endpoint());
    let app = [service, ("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", &header)];
    elsewhere("identity", &app).await;
    elsewhere("identity", &[service, ("AZURE_POD_IDENTITY_AUTHORITY_HOST", local.metadata_service())]).await;
    elsewhere("default", &app).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn every_claim_of_an_assertion_is_checked() {
    let local = start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let audience = format!("{}/{TENANT}/oauth2/v2.0/token", local.authority());
    let good = json!({"aud": audience, "iss": "app", "sub": "app", "jti": "1", "nbf": now, "exp": now + 600});
    let thumbprint = |certificate: &str| {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(&crate::certificate::certificates(certificate)[0]);
        base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, digest)
    };
    let header = |certificate: Option<&str>, algorithm| Header {
        x5t_s256: certificate.map(thumbprint),
        ..Header::new(algorithm)
    };
    let known = header(Some("application.crt"), Algorithm::PS256);
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let mut cases = vec![
        (known.clone(), good.clone(), None),
        (header(Some("application.crt"), Algorithm::RS256), good.clone(), None),
        (header(Some("application.crt"), Algorithm::PS512), good.clone(), Some(50_027)),
        (header(Some("chain.crt"), Algorithm::PS256), good.clone(), Some(700_027)),
        (header(None, Algorithm::PS256), good.clone(), Some(700_027)),
    ];
    for (name, value, code) in [
        ("aud", json!("https://elsewhere/token"), 700_023),
        ("aud", json!(null), 700_023),
        ("iss", json!("other"), 700_021),
        ("sub", json!("other"), 700_021),
        ("jti", json!(""), 50_027),
        ("exp", json!(now - 301), 700_024),
        ("exp", json!(now + 3600), 700_024),
        ("exp", json!(null), 700_024),
        ("nbf", json!(now + 900), 700_024),
        ("nbf", json!(null), 700_024),
    ] {
        cases.push((known.clone(), changed(name, value), Some(code)));
    }
    // A federated token.
    let outside = json!({"aud": "api://AzureADTokenExchange", "iss": ISSUER, "sub": SUBJECT, "exp": now + 9});
    let plain = Header::new(Algorithm::RS256);
    cases.push((plain.clone(), outside.clone(), None));
    for (name, value, code) in [
        ("sub", json!("system:serviceaccount:default:other"), 700_213),
        ("aud", json!("api://other"), 700_212),
        ("exp", json!(now - 301), 700_024),
    ] {
        let mut claims = outside.clone();
        claims[name] = value;
        cases.push((plain.clone(), claims, Some(code)));
    }
    let http = crate::plain_http::plain_http().build().unwrap();
    for (header, claims, expected) in cases {
        let token = sign(&header, &claims);
        assert_eq!(ask(&http, &audience, &token).await, expected, "{header:?} {claims}");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{rest}.{flipped}{}", &signature[1..]);
        assert!(ask(&http, &audience, &forged).await.is_some(), "{claims}");
    }
    for text in ["", "a.b.c", "nonsense"] {
        assert!(ask(&http, &audience, text).await.is_some());
    }
    let unknown = LocalService::builder().application(EntraApplication::new("t", "c", "s").certificate("x"));
    assert!(unknown.start().await.is_err_and(|error| error.to_string().contains("application c")));
}

/// Entra's code for this assertion; none when there is a token.
async fn ask(http: &reqwest::Client, url: &str, assertion: &str) -> Option<u64> {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_assertion", assertion),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_id", "app"),
            ("grant_type", "client_credentials"),
            ("scope", "https://signalr.azure.com/.default"),
        ])
        .finish();
    let request = http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let code = answer["error_codes"][0].as_u64();
    assert_eq!(code.is_none(), answer["access_token"].is_string(), "{answer}");
    code
}
