//! Client certificates: the files they come from, and the assertion that they sign.
#![cfg(feature = "service")]

use std::time::SystemTime;

use crate::certificate::{PASSWORD, certificates, file, path, verified};
use crate::fakes::{Fake, Seen, TOKEN, all_well, entra_error};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hubwire::service::{
    NegotiateOptions, ServiceError,
    credentials::{CertificateError, ClientCertificate, CredentialError, SigningAlgorithm},
};
use jsonwebtoken::Algorithm;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn pem(name: &str) -> Result<ClientCertificate, CertificateError> {
    ClientCertificate::from_pem("tenant-1", "app-1", file(name))
}

fn pfx(name: &str, password: &str) -> Result<ClientCertificate, CertificateError> {
    ClientCertificate::from_pfx("tenant-1", "app-1", file(name), password)
}

/// The forms of a token request.
fn forms(fake: &Fake) -> Vec<Vec<(String, String)>> {
    let form = |seen: Seen| form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
    fake.seen(TOKEN).into_iter().map(form).collect()
}

fn assertion(form: &[(String, String)]) -> &str {
    &form.iter().find(|(name, _)| name == "client_assertion").expect("an assertion").1
}

/// The assertion that the credential makes.
async fn made(credential: ClientCertificate) -> String {
    let fake = Fake::start(all_well).await;
    negotiate(&fake, credential).await.unwrap();
    assertion(&forms(&fake)[0]).to_owned()
}

async fn negotiate(fake: &Fake, credential: ClientCertificate) -> Result<(), ServiceError> {
    let client = fake.client(credential.authority(&fake.url));
    client.hub("chat").unwrap().negotiate(NegotiateOptions::for_user("alice")).await.map(drop)
}

fn raw_header(token: &str) -> Value {
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

#[tokio::test]
async fn the_assertion_is_what_entra_documents() {
    let fake = Fake::start(all_well).await;
    let before = now();
    negotiate(&fake, pem("application.pem").unwrap()).await.unwrap();
    let form = &forms(&fake)[0];
    let (names, values): (Vec<_>, Vec<_>) = form.iter().cloned().unzip();
    assert_eq!(names, ["client_assertion", "client_assertion_type", "client_id", "grant_type", "scope"]);
    assert_eq!(
        values[1..],
        [
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "app-1",
            "client_credentials",
            "https://signalr.azure.com/.default",
        ]
    );

    let token = &values[0];
    let header = raw_header(token);
    let der = certificates("application.crt").remove(0);
    let sha256 = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&der));
    let names: Vec<_> = header.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "typ", "x5t", "x5t#S256"], "no chain, no key id");
    assert_eq!((&header["alg"], &header["typ"]), (&Value::from("PS256"), &Value::from("JWT")));
    assert_eq!(header["x5t#S256"], sha256);
    // SHA-1 in base64url without padding: openssl x509 -fingerprint says the same.
    let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    assert_eq!(header["x5t"], BASE64_URL_SAFE_NO_PAD.encode(sha1));

    let (_, claims) = verified(token, "application.crt", Algorithm::PS256);
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"]);
    assert_eq!(claims["aud"], format!("{}{TOKEN}", fake.url));
    assert_eq!((&claims["iss"], &claims["sub"]), (&Value::from("app-1"), &Value::from("app-1")));
    let (nbf, exp) = (claims["nbf"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert!((before..=now()).contains(&nbf) && exp - nbf == 600 && claims["iat"] == nbf, "{claims}");
    assert!(claims["jti"].as_str().unwrap().len() >= 20);
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn every_form_of_the_file_signs_the_same() {
    let (pkcs1, legacy) = (pem("application-pkcs1.pem"), pfx("application-legacy.pfx", PASSWORD));
    let from_file = ClientCertificate::from_file("tenant-1", "app-1", path("application.pem"));
    let from_pfx_file =
        ClientCertificate::from_file_with_password("tenant-1", "app-1", path("application.pfx"), PASSWORD);
    let mut ids = Vec::new();
    for credential in [
        pem("application.pem").unwrap(),
        pkcs1.unwrap(),
        pfx("application.pfx", PASSWORD).unwrap(),
        legacy.unwrap(),
        pfx("application-without-password.pfx", "").unwrap(),
        from_file,
        from_pfx_file,
    ] {
        let token = made(credential).await;
        ids.push(verified(&token, "application.crt", Algorithm::PS256).1["jti"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7, "no id occurs twice");
}

#[tokio::test]
async fn rs256_and_the_chain_are_options() {
    let rs256 = pem("application.pem").unwrap().signing_algorithm(SigningAlgorithm::Rs256);
    verified(&made(rs256).await, "application.crt", Algorithm::RS256);

    // The file starts with the root; what is sent starts with the leaf and leaves the root out.
    let [_, intermediate, leaf] = certificates("chain.pem").try_into().unwrap();
    let expected: Vec<_> = [leaf, intermediate].iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    for credential in [pem("chain.pem"), pfx("chain.pfx", PASSWORD)] {
        let token = made(credential.unwrap().send_certificate_chain(true)).await;
        verified(&token, "chain.crt", Algorithm::PS256);
        assert_eq!(raw_header(&token)["x5c"], Value::from(expected.clone()));
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let public = file("application.crt");
    let key_only = String::from_utf8(file("application.pem")).unwrap();
    let key_only = key_only.split("-----BEGIN CERTIFICATE").next().unwrap().to_owned();
    let of = |text: &[u8]| ClientCertificate::from_pem("t", "c", text).expect_err("no certificate");
    assert!(matches!(of(&public), CertificateError::NoPrivateKey));
    assert!(matches!(of(key_only.as_bytes()), CertificateError::NoCertificate));
    assert!(matches!(of(b""), CertificateError::NoPrivateKey));
    assert!(matches!(
        of(b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"),
        CertificateError::Malformed
    ));
    assert!(matches!(pem("application-encrypted.pem"), Err(CertificateError::EncryptedKey)));
    assert!(matches!(pem("elliptic.pem"), Err(CertificateError::UnsupportedKey)));
    assert!(matches!(pem("mismatched.pem"), Err(CertificateError::NoCertificate)));
    for name in ["application.pfx", "application-legacy.pfx"] {
        for password in ["", "wrong"] {
            assert!(matches!(pfx(name, password), Err(CertificateError::WrongPassword)), "{name} {password}");
        }
    }
    assert!(matches!(pfx("application.pem", ""), Err(CertificateError::Malformed)));
    // Cut off anywhere, it is an error and nothing else.
    let whole = file("application.pfx");
    for length in (0..whole.len()).step_by(97) {
        assert!(ClientCertificate::from_pfx("t", "c", &whole[..length], PASSWORD).is_err());
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_comes_into_use_with_the_next_token() {
    let folder = std::env::temp_dir().join(format!("hubwire-certificate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("current.pem");
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN => crate::fakes::token(&format!("t{}", seen.nth), 3599),
        _ => crate::fakes::reply(401, ""),
    })
    .await;
    let credential = ClientCertificate::from_file("tenant-1", "app-1", &path).authority(&fake.url);
    let hub = fake.client(credential).hub("chat").unwrap();
    let error = hub.all().send("m", ()).await.expect_err("there is no file");
    let ServiceError::Credential(CredentialError::Certificate(error)) = error else { panic!("{error:?}") };
    assert!(
        matches!(error, CertificateError::Unreadable { .. }) && error.to_string().contains("current.pem")
    );

    // Each 401 of the service is answered with a new token.
    for (content, signer) in [
        (file("application.pem"), "application.crt"),
        (file("chain.pem"), "chain.crt"),
        (b"half a file".to_vec(), "chain.crt"),
        (file("application.pem"), "application.crt"),
    ] {
        std::fs::write(&path, content).unwrap();
        hub.all().send("m", ()).await.expect_err("the service says 401");
        verified(assertion(forms(&fake).last().unwrap()), signer, Algorithm::PS256);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_refused_assertion_says_what_to_do() {
    for (code, hint) in [
        (700_027, "register this certificate"),
        (700_024, "clock"),
        (1_000_502, "has expired"),
        (700_213, "federated credential"),
    ] {
        let fake = Fake::start(move |_: &Seen| entra_error(401, "invalid_client", code)).await;
        let error = negotiate(&fake, pem("application.pem").unwrap()).await.expect_err("refused");
        let text = error.to_string();
        assert!(text.contains(hint) && text.contains(&code.to_string()) && text.contains("app-1"), "{text}");
        assert!(matches!(error, ServiceError::Credential(CredentialError::InvalidClientAssertion { .. })));
        assert_eq!(fake.count(TOKEN), 1, "a refusal is not tried again");
    }
}
