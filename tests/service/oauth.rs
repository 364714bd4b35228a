//! Client secrets and client certificates at an OAuth 2.0 server that is not ours: the npm package `oidc-provider`,
//! which checks the secret, and of an assertion the signature, the audience and every claim.
#![cfg(feature = "service")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::certificate::{PASSWORD, file, path};
use crate::fakes::{EXCHANGE, Fake, all_well};
use hubwire::service::{
    NegotiateOptions, ServiceError,
    credentials::{ClientCertificate, ClientSecret, Credential, CredentialError, SigningAlgorithm},
};
use serde_json::Value;

/// Ends when this is dropped: its standard input does.
struct Authority {
    _child: Child,
    url: String,
}

/// `None`, and a loud line, where Node.js or the package is missing.
fn authority(test: &str) -> Option<Authority> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("node_modules/oidc-provider").is_dir() {
        crate::support::skipped(test, "npm's oidc-provider is not installed; npm ci installs it");
        return None;
    }
    let spawned = Command::new("node")
        .arg(root.join("tests/oauth/authority.mjs"))
        .arg(path("application.crt"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = spawned else {
        crate::support::skipped(test, "Node.js is not installed");
        return None;
    };
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "the authority starts: {url}");
    Some(Authority { _child: child, url: url.trim().to_owned() })
}

/// The claims of the token that this credential gets, as the service sees it.
async fn claims(credential: impl Into<Credential>) -> Result<Value, ServiceError> {
    let fake = Fake::start(all_well).await;
    let hub = fake.client(credential).hub("chat").unwrap();
    hub.negotiate(NegotiateOptions::for_user("alice")).await?;
    let token = fake.seen(EXCHANGE)[0].bearer().to_owned();
    Ok(jsonwebtoken::dangerous::insecure_decode::<Value>(&token).unwrap().claims)
}

fn certificate(client_id: &str, pem: &str) -> ClientCertificate {
    ClientCertificate::from_pem("tenant-1", client_id, file(pem)).unwrap()
}

#[tokio::test]
async fn every_proof_gets_a_token() {
    let Some(authority) = authority("service_oauth::every_proof_gets_a_token") else { return };
    let secret =
        ClientSecret::new("tenant-1", "with-secret", "oidc secret ~ &+=/%").authority(&authority.url);
    let pfx = ClientCertificate::from_pfx("tenant-1", "with-certificate", file("application.pfx"), PASSWORD);
    let credentials: [(&str, Credential); 4] = [
        ("with-secret", secret.into()),
        (
            "with-certificate",
            certificate("with-certificate", "application.pem").authority(&authority.url).into(),
        ),
        (
            "with-certificate",
            pfx.await.unwrap().send_certificate_chain(true).authority(&authority.url).into(),
        ),
        (
            "with-rs256",
            certificate("with-rs256", "application-pkcs1.pem")
                .signing_algorithm(SigningAlgorithm::Rs256)
                .authority(&authority.url)
                .into(),
        ),
    ];
    for (client_id, credential) in credentials {
        let claims = claims(credential).await.unwrap();
        assert_eq!(claims["client_id"], client_id);
        assert_eq!(claims["aud"], "https://signalr.azure.com");
        assert_eq!(claims["iss"], authority.url.as_str());
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let Some(authority) = authority("service_oauth::what_is_wrong_is_refused") else { return };
    let wrong = ClientSecret::new("tenant-1", "with-secret", "another").authority(&authority.url);
    let error = claims(wrong).await.expect_err("the secret is wrong");
    assert!(
        matches!(error, ServiceError::Credential(CredentialError::InvalidClientSecret { .. })),
        "{error:?}"
    );
    for credential in [
        // Another key, another algorithm, another application.
        certificate("with-certificate", "chain.pem"),
        certificate("with-certificate", "application.pem").signing_algorithm(SigningAlgorithm::Rs256),
        certificate("with-secret", "application.pem"),
    ] {
        let error = claims(credential.authority(&authority.url)).await.expect_err("the assertion is wrong");
        assert!(
            matches!(error, ServiceError::Credential(CredentialError::InvalidClientAssertion { .. })),
            "{error:?}"
        );
    }
}
