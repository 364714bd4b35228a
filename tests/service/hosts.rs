//! Where managed identities and developers' tools are, and what is there in their place.
#![cfg(feature = "local")]

use std::{error::Error, path::Path, process::Command};

use crate::fakes::{EXCHANGE, Fake, Reply, Seen, TOKEN, all_well, hurried, nobody, reply};
use crate::identities::{elsewhere, folder};
use hubwire::service::{ServiceEndpoint, credentials::Credential};
use hubwire::service::{
    ServiceError,
    credentials::{AzureCli, CredentialChain, CredentialError, InvalidCredential, ManagedIdentity},
    endpoints::EndpointError,
};
use serde_json::json;

const IDENTITY: &str = "/metadata/identity/oauth2/token";
const PAGE: &str = "<!DOCTYPE html><html><body>Sign in to the network</body></html>";

type Answer = Box<dyn Fn() -> Reply + Send + Sync>;

async fn token_error(fake: &Fake, credential: impl Into<Credential>) -> CredentialError {
    let result =
        hurried(async { fake.client(credential).hub("chat").unwrap().all().send("m", ()).await }).await;
    match result.expect_err("no token") {
        ServiceError::Credential(error) => error,
        error => panic!("{error:?}"),
    }
}

/// An error's own text, and those of its sources.
fn texts(error: &dyn Error) -> Vec<String> {
    let (mut texts, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts
}

#[tokio::test]
async fn a_chain_goes_on_where_something_else_answers_for_the_metadata_service() {
    let page = |status| move || reply(status, PAGE).with("content-type", "text/html");
    let empty = |status| move || reply(status, "");
    let answers: Vec<(&str, Answer)> = vec![
        ("a page", Box::new(page(200))),
        ("nothing", Box::new(empty(200))),
        ("blanks", Box::new(|| reply(200, " \r\n"))),
        ("another API", Box::new(|| reply(200, json!({"router": "ok"})))),
        ("a list", Box::new(|| reply(200, "[]"))),
        ("no content", Box::new(empty(204))),
        ("a redirect", Box::new(|| reply(302, "").with("location", "/login"))),
        ("a permanent redirect", Box::new(|| reply(308, "").with("location", "https://portal.example/"))),
        ("a page that is not there", Box::new(page(404))),
        ("a text", Box::new(|| reply(404, "404 page not found\n"))),
        ("a proxy that wants a password", Box::new(empty(407))),
        ("a bad gateway", Box::new(empty(502))),
        ("its page", Box::new(page(502))),
        ("the page of a proxy that is busy", Box::new(page(503))),
        ("a gateway's timeout", Box::new(empty(504))),
        ("a captive portal", Box::new(page(511))),
        ("an endless page", Box::new(|| reply(200, "x".repeat(1 << 20)))),
    ];
    for (name, answer) in answers {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            IDENTITY => answer(),
            _ => all_well(seen),
        })
        .await;
        let identity = ManagedIdentity::system_assigned().metadata_service(&fake.url);
        let chain = CredentialChain::new().or(identity.clone()).or(fake.client_secret());
        fake.client(chain).hub("chat").unwrap().all().send("m", ()).await.unwrap();
        assert_eq!((fake.count(IDENTITY), fake.count(TOKEN)), (1, 1), "{name}: at once");
        assert_eq!(fake.count("/login"), 0, "{name}");
        let error = token_error(&fake, identity).await;
        assert!(matches!(error, CredentialError::NoManagedIdentity(_)), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn the_metadata_service_itself_is_asked_again() {
    for status in [404, 410, 429, 500, 503] {
        let fake = Fake::start(move |seen: &Seen| match (seen.path(), seen.nth) {
            (IDENTITY, 1..=3) => reply(status, if status == 503 { "" } else { "{}" }),
            (IDENTITY, _) => reply(200, json!({"access_token": "msi", "expires_on": "4102444800"})),
            _ => all_well(seen),
        })
        .await;
        let identity = ManagedIdentity::system_assigned().metadata_service(&fake.url);
        hurried(async { fake.client(identity).hub("chat").unwrap().all().send("m", ()).await })
            .await
            .unwrap();
        assert_eq!((fake.count(IDENTITY), fake.last().bearer()), (4, "msi"), "{status}");
    }
}

#[tokio::test]
async fn an_endpoint_that_starts_late_is_waited_for() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        "/app" => reply(200, json!({"access_token": "msi", "expires_on": "4102444800"})),
        _ => all_well(seen),
    })
    .await;
    // Nobody listens at first.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let identity = ManagedIdentity::system_assigned().app_service(format!("http://{address}/app"), "h");
    let hub = fake.client(identity).hub("chat").unwrap();
    let asking = tokio::spawn(async move { hub.all().send("m", ()).await });
    let leads_to = crate::network::address_of(&fake.url);
    hurried(async move {
        let started = tokio::time::Instant::now();
        while started.elapsed() < std::time::Duration::from_millis(900) {
            tokio::task::yield_now().await;
        }
        let listener = socket.listen(8).unwrap();
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(leads_to).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    })
    .await;
    asking.await.unwrap().unwrap();
    assert_eq!(fake.last().bearer(), "msi");

    let never = ManagedIdentity::system_assigned().app_service(format!("{}/app", nobody()), "h");
    let started = tokio::time::Instant::now();
    let error = token_error(&fake, never).await;
    assert!(matches!(error, CredentialError::NoManagedIdentity(_)) && error.is_retryable(), "{error:?}");
    assert!((5..7).contains(&started.elapsed().as_secs()), "bounded: {:?}", started.elapsed());
}

#[tokio::test]
async fn the_endpoints_own_words_are_in_the_error() {
    let several = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity \
                   in the token request";
    for (body, words, hint) in [
        (json!({"error": "invalid_request", "error_description": several}), several, "set the client id"),
        (
            json!({"error": "invalid_request", "error_description": "Identity not found"}),
            "Identity not found",
            "assign",
        ),
        (
            json!({"statusCode": 400, "message": "No User Assigned\r\nor Delegated Managed Identity found"}),
            "No User Assigned  or Delegated",
            "assign",
        ),
        (
            json!({"error": {"code": "ManagedIdentityNotFound", "message": "Identity is not there"}}),
            "Identity is not there",
            "assign",
        ),
    ] {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            IDENTITY | "/app" => reply(400, &body),
            _ => all_well(seen),
        })
        .await;
        let identity = ManagedIdentity::system_assigned();
        for identity in [
            identity.clone().metadata_service(&fake.url),
            identity.app_service(format!("{}/app", fake.url), "header-1"),
        ] {
            let error = token_error(&fake, identity).await;
            let CredentialError::ManagedIdentityRefused { status: 400, message: Some(message) } = &error
            else {
                panic!("{error:?}")
            };
            assert!(message.starts_with(words), "{message}");
            assert!(error.to_string().contains(words) && error.to_string().contains(hint), "{error}");
        }
        assert_eq!(fake.all().len(), 2, "a refusal is not tried again");
    }
    // An endpoint that gives back what it got.
    let echo =
        Fake::start(|seen: &Seen| reply(400, json!({"message": seen.header("x-identity-header")}))).await;
    let identity =
        ManagedIdentity::system_assigned().app_service(format!("{}/app", echo.url), "marked-header");
    let error = token_error(&echo, identity).await;
    assert!(matches!(error, CredentialError::ManagedIdentityRefused { message: None, .. }), "{error:?}");
}

#[tokio::test]
async fn an_expiry_is_a_date_or_seconds() {
    for expires_on in [
        json!("01/01/2100 00:00:00 +00:00"),
        json!("1/1/2100 12:00:00 AM +00:00"),
        json!("2100-01-01T00:00:00Z"),
        json!("4102444800"),
        json!(4_102_444_800_u64),
    ] {
        let fake = Fake::start(move |seen: &Seen| match seen.path() {
            "/app" => reply(200, json!({"access_token": "msi", "expires_on": expires_on})),
            _ => all_well(seen),
        })
        .await;
        let identity = ManagedIdentity::system_assigned().app_service(format!("{}/app", fake.url), "h");
        fake.client(identity).hub("chat").unwrap().all().send("m", ()).await.unwrap();
        assert_eq!(fake.last().bearer(), "msi");
    }
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        "/app" => reply(200, json!({"access_token": "msi", "expires_on": "some day"})),
        _ => all_well(seen),
    })
    .await;
    let identity = ManagedIdentity::system_assigned().app_service(format!("{}/app", fake.url), "h");
    assert!(matches!(token_error(&fake, identity).await, CredentialError::UnusableToken));
}

#[tokio::test]
async fn machine_learning_and_cloud_shell_are_found_by_their_variables() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        "/ml" => reply(200, json!({"access_token": "of-ml", "expires_on": "01/01/2100 00:00:00 +00:00"})),
        "/shell" => reply(200, json!({"access_token": "of-shell", "expires_on": "4102444800"})),
        _ => all_well(seen),
    })
    .await;
    let (ml, shell) = (format!("{}/ml", fake.url), format!("{}/shell", fake.url));
    let ml = [("MSI_ENDPOINT", &*ml), ("MSI_SECRET", "ml-secret")];
    let default = [&ml[..], &[("DEFAULT_IDENTITY_CLIENT_ID", "default-id")]].concat();
    for (kind, variables, id) in [
        ("identity", &ml[..], ""),
        ("identity", &default, "&clientid=default-id"),
        ("user identity", &default, "&clientid=user"),
    ] {
        let text = elsewhere(kind, variables).await;
        assert!(text.contains("bearer=of-ml"), "{text}");
        let seen = fake.seen("/ml").pop().unwrap();
        let expected = format!("/ml?api-version=2017-09-01&resource=https%3A%2F%2Fsignalr.azure.com{id}");
        assert_eq!((seen.target.as_str(), seen.header("secret")), (expected.as_str(), "ml-secret"));
    }

    let text = elsewhere("identity", &[("MSI_ENDPOINT", &shell)]).await;
    assert!(text.contains("bearer=of-shell"), "{text}");
    let seen = fake.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), seen.header("metadata")),
        ("POST", "/shell", "true")
    );
    assert_eq!(seen.body, "resource=https%3A%2F%2Fsignalr.azure.com");
    let text = elsewhere("user identity", &[("MSI_ENDPOINT", &shell)]).await;
    assert!(text.contains("leave the id out"), "{text}");
}

/// A tool of this name that a shell script stands in for, and a search path with it alone in front.
fn tool(folder: &Path, name: &str, script: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[tokio::test]
async fn the_azure_cli_is_asked() {
    let folder = folder("az");
    let arguments = "test \"$*\" = 'account get-access-token -o json --scope https://signalr.azure.com/.default --tenant \
                     tenant-1' || exit 1";
    let plain = r#"{"accessToken": "cli-token", "expires_on": 4102444800, "tokenType": "Bearer"}"#;
    let coloured = r#"printf '\033[33mWARNING: beta\033[0m\n\033[1m{\033[0m"accessToken": \033[32m"cli-token"\033[0m, "expires_on": 4102444800}\n'"#;
    for script in [format!("{arguments}\necho '{plain}'"), format!("{arguments}\n{coloured}")] {
        let search = tool(&folder, "az", &script);
        let text = elsewhere("az", &[("PATH", &search)]).await;
        assert!(text.contains("bearer=cli-token"), "{text}");
    }
    let old = r#"echo '{"accessToken": "secret-token", "expiresOn": "2023-10-31 21:59:10.000000"}'"#;
    let locked_out =
        r#"printf '\033[31mERROR: Please run '"'az login'"' to setup account.\033[0m\n' >&2; exit 1"#;
    for (script, words) in [
        (old, "too old; install 2.54.0"),
        (locked_out, "az says \"ERROR: Please run 'az login' to setup account.\""),
        ("exit 3", "exit status: 3"),
        ("echo no", "printed no token"),
    ] {
        let search = tool(&folder, "az", script);
        let text = elsewhere("az", &[("PATH", &search)]).await;
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("error=")).collect();
        assert!(lines[0].contains("run az login") && lines[1].contains(words), "{text}");
        assert!(!text.contains("secret-token"), "{text}");
    }
    let text = elsewhere("az", &[("PATH", "/nowhere")]).await;
    assert!(text.contains("az is not installed, or not in PATH"), "{text}");

    // In a chain too, in the text and behind it.
    let search = tool(&folder, "az", locked_out);
    let nobody = nobody();
    let text =
        elsewhere("default", &[("PATH", &search), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &nobody)]).await;
    let words = "ERROR: Please run 'az login' to setup account.";
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("error=")).collect();
    for word in ["AZURE_TENANT_ID", "no managed identity here", words] {
        assert!(lines[0].contains(word), "{word}: {text}");
        assert!(lines[1..].iter().any(|line| line.contains(word)), "{word}: {text}");
    }
    std::fs::remove_dir_all(folder).unwrap();

    for credential in
        [AzureCli::new().tenant("a b"), AzureCli::new().tenant(""), AzureCli::new().subscription("a&b")]
    {
        let refused = ServiceEndpoint::new("https://h", credential);
        assert!(
            matches!(refused, Err(EndpointError::Credential(InvalidCredential::Part { .. }))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn the_azure_developer_cli_is_asked() {
    let folder = folder("azd");
    let arguments = "test \"$*\" = 'auth token --output json --no-prompt --scope https://signalr.azure.com/.default' || exit 1";
    let script =
        format!(r#"{arguments}; echo '{{"token": "azd-token", "expiresOn": "2100-01-01T00:00:00Z"}}'"#);
    let search = tool(&folder, "azd", &script);
    let text = elsewhere("azd", &[("PATH", &search)]).await;
    assert!(text.contains("bearer=azd-token"), "{text}");

    let script = r#"echo '{"type":"consoleMessage","data":{"message":"ERROR: not logged in, run azd auth login\n"}}' >&2; exit 1"#;
    let search = tool(&folder, "azd", script);
    let text = elsewhere("azd", &[("PATH", &search)]).await;
    assert!(text.contains("not logged in, run azd auth login"), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_error_of_a_chain_has_the_words_of_all() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        IDENTITY => reply(400, json!({"error_description": "Identity not found"})),
        TOKEN | EXCHANGE => all_well(seen),
        _ => reply(200, PAGE),
    })
    .await;
    let identity = ManagedIdentity::system_assigned();
    let portal = identity.clone().metadata_service(format!("{}/portal", fake.url));
    let chain = CredentialChain::new().or(portal).or(identity.metadata_service(&fake.url));
    let error = token_error(&fake, chain).await;
    let CredentialError::NoneAvailable(first) = &error else { panic!("{error:?}") };
    let texts = texts(&error);
    for words in ["something that is not JSON", "Identity not found"] {
        assert!(texts[0].contains(words) && texts[1..].iter().any(|text| text.contains(words)), "{texts:?}");
    }
    let all: Vec<_> = first.iter().map(|tried| (tried.name(), tried.error().status())).collect();
    assert_eq!(all, [("managed identity", None), ("managed identity", Some(400))]);
}
