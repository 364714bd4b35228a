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

async fn pfx(name: &str, password: &str) -> Result<ClientCertificate, CertificateError> {
    ClientCertificate::from_pfx("tenant-1", "app-1", file(name), password).await
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
    let (pkcs1, legacy) = (pem("application-pkcs1.pem"), pfx("application-legacy.pfx", PASSWORD).await);
    let from_file = ClientCertificate::from_file("tenant-1", "app-1", path("application.pem"));
    let from_pfx_file =
        ClientCertificate::from_file_with_password("tenant-1", "app-1", path("application.pfx"), PASSWORD);
    let mut ids = Vec::new();
    for credential in [
        pem("application.pem").unwrap(),
        pkcs1.unwrap(),
        pfx("application.pfx", PASSWORD).await.unwrap(),
        legacy.unwrap(),
        pfx("application-without-password.pfx", "").await.unwrap(),
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

/// What editors, shells and people add to a PEM text.
#[tokio::test]
async fn a_pem_text_is_found_in_what_surrounds_it() {
    let plain = String::from_utf8(file("application.pem")).unwrap();
    let lines = |change: &dyn Fn(&str) -> String| plain.lines().map(change).collect::<Vec<_>>().join("\n");
    let utf16: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes) in [
        ("mark", format!("\u{feff}{plain}").into_bytes()),
        (
            "remark",
            format!("# key: of the server\r\nBag Attributes\r\n  friendlyName: a\r\n{plain}").into_bytes(),
        ),
        ("Latin-1", [b"Schl\xfcssel\n", plain.as_bytes()].concat()),
        ("indented", lines(&|line| format!("    {line}")).into_bytes()),
        ("tabs and blanks", lines(&|line| format!("\t{line}  \r")).into_bytes()),
        ("mark and indentation", format!("\u{feff}\n\n  {plain}").into_bytes()),
        ("carriage returns", plain.replace('\n', "\r").into_bytes()),
        ("UTF-16", [&[0xff, 0xfe], &utf16[..]].concat()),
    ] {
        let credential = ClientCertificate::from_pem("tenant-1", "app-1", &bytes).expect(name);
        verified(&made(credential).await, "application.crt", Algorithm::PS256);
        let folder = std::env::temp_dir().join(format!("hubwire-pem-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("application.pem");
        std::fs::write(&path, &bytes).unwrap();
        let credential = ClientCertificate::from_file("tenant-1", "app-1", &path);
        verified(&made(credential).await, "application.crt", Algorithm::PS256);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn encrypted_keys_are_opened_with_their_password() {
    let open = async |text: &str, password| {
        ClientCertificate::from_pem_with_password("tenant-1", "app-1", text, password).await
    };
    let certificate = String::from_utf8(file("application.crt")).unwrap();
    let whole = String::from_utf8(file("encrypted-keys.pem")).unwrap();
    let keys: Vec<_> = whole.split_inclusive("PRIVATE KEY-----\n").collect();
    let keys: Vec<_> = keys.chunks(2).map(|parts| format!("{}{certificate}", parts.concat())).collect();
    assert_eq!(keys.len(), 7);
    for text in &keys {
        let kind = text.lines().nth(2).unwrap();
        let credential = open(text, PASSWORD).await.expect(kind);
        verified(&made(credential).await, "application.crt", Algorithm::PS256);
        let wrong = open(text, "wrong").await;
        assert!(matches!(wrong, Err(CertificateError::WrongPassword)), "{kind}: {wrong:?}");
        let none = ClientCertificate::from_pem("tenant-1", "app-1", text).expect_err(kind);
        assert!(
            matches!(none, CertificateError::EncryptedKey) && none.to_string().contains("give its password")
        );
    }
    verified(
        &made(open(&String::from_utf8(file("application-encrypted.pem")).unwrap(), PASSWORD).await.unwrap())
            .await,
        "application.crt",
        Algorithm::PS256,
    );
    // The password of a key that has none does not matter.
    open(&String::from_utf8(file("application.pem")).unwrap(), PASSWORD).await.unwrap();

    let folder = std::env::temp_dir().join(format!("hubwire-encrypted-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("application.pem");
    std::fs::write(&path, &keys[2]).unwrap();
    let credential = ClientCertificate::from_file_with_password("tenant-1", "app-1", &path, PASSWORD);
    verified(&made(credential).await, "application.crt", Algorithm::PS256);
    std::fs::remove_dir_all(folder).unwrap();

    for (from, to, expected) in [
        ("AES-256-CBC", "DES-CBC", "algorithm"),
        ("AES-256-CBC,", "AES-256-CBC,xyz", "neither PEM"),
        ("DEK-Info: AES-256-CBC", "DEK-Info: nothing", "algorithm"),
    ] {
        let error = open(&keys[2].replace(from, to), PASSWORD).await.expect_err(to);
        assert!(error.to_string().contains(expected), "{to}: {error}");
    }
}

#[tokio::test]
async fn an_archive_may_be_in_base64() {
    let encoded = BASE64_STANDARD.encode(file("application-without-password.pfx"));
    let wrapped: String =
        encoded.as_bytes().chunks(76).map(|line| format!("{}\r\n", String::from_utf8_lossy(line))).collect();
    for text in [encoded, wrapped] {
        let credential = ClientCertificate::from_pfx("tenant-1", "app-1", &text, "").await.unwrap();
        verified(&made(credential).await, "application.crt", Algorithm::PS256);
    }
    let text = BASE64_STANDARD.encode(file("application.pfx"));
    let wrong = ClientCertificate::from_pfx("tenant-1", "app-1", &text, "").await;
    assert!(matches!(wrong, Err(CertificateError::WrongPassword)), "{wrong:?}");
    for nonsense in ["", "AAAA", "MIIB", "no base64 at all"] {
        let error = ClientCertificate::from_pfx("tenant-1", "app-1", nonsense, "").await;
        assert!(matches!(error, Err(CertificateError::Malformed)), "{nonsense}: {error:?}");
    }
}

/// A certificate of this key, valid until this year.
fn issued(key: &rcgen::KeyPair, until: i32) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new([]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params.self_signed(key).unwrap().der().to_vec()
}

/// A PKCS#12 archive of these pairs.
fn archive(pairs: &[(&rcgen::KeyPair, Vec<u8>)]) -> Vec<u8> {
    let mut store = p12_keystore::KeyStore::new();
    for (index, (key, certificate)) in pairs.iter().enumerate() {
        let key = p12_keystore::PrivateKey::from_der(&key.serialize_der()).unwrap();
        let certificate = p12_keystore::Certificate::from_der(certificate).unwrap();
        let id = format!("id-{index}");
        let chain = p12_keystore::PrivateKeyChain::new(id.as_bytes(), key, [certificate]);
        store.add_entry(&id, p12_keystore::KeyStoreEntry::PrivateKeyChain(chain));
    }
    store.writer(PASSWORD).encryption_iterations(2).mac_iterations(2).write().unwrap()
}

fn rsa(name: &str) -> rcgen::KeyPair {
    let text = String::from_utf8(file(name)).unwrap();
    let key = text.split("-----BEGIN CERTIFICATE").find(|part| part.contains("PRIVATE KEY")).unwrap();
    rcgen::KeyPair::from_pem(&key[key.find("-----BEGIN").unwrap()..]).unwrap()
}

#[tokio::test]
async fn of_several_pairs_the_rsa_pair_that_is_valid_longest_signs() {
    let (one, other, elliptic) =
        (rsa("application.pem"), rsa("chain.pem"), rcgen::KeyPair::generate().unwrap());
    let pair = |key, until| (key, issued(key, until));
    for years in [[2040, 2060], [2060, 2040]] {
        let pairs = [pair(&elliptic, 2090), pair(&one, years[0]), pair(&other, years[1])];
        let longest = pairs[1 + usize::from(years[1] > years[0])].1.clone();
        let expected = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&longest));
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let ordered = order.map(|index| pairs[index].clone());
            let credential =
                ClientCertificate::from_pfx("tenant-1", "app-1", archive(&ordered), PASSWORD).await.unwrap();
            assert_eq!(raw_header(&made(credential).await)["x5t#S256"], expected, "{years:?} {order:?}");
            let text: String = ordered
                .iter()
                .map(|(key, der)| {
                    let body = BASE64_STANDARD.encode(der);
                    format!(
                        "{}-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n",
                        key.serialize_pem()
                    )
                })
                .collect();
            let credential = ClientCertificate::from_pem("tenant-1", "app-1", text).unwrap();
            assert_eq!(raw_header(&made(credential).await)["x5t#S256"], expected, "{years:?} {order:?}");
        }
    }
    let none = archive(&[pair(&elliptic, 2090)]);
    let none = ClientCertificate::from_pfx("tenant-1", "app-1", none, PASSWORD).await;
    assert!(matches!(none, Err(CertificateError::UnsupportedKey)), "{none:?}");
}

#[tokio::test]
async fn opening_an_archive_does_not_hold_up_the_runtime() {
    let slow = file("application-slow.pfx");
    // This runtime has one thread: what stands beside the opening takes its turns meanwhile.
    let opening = ClientCertificate::from_pfx("tenant-1", "app-1", &slow, PASSWORD);
    let mut turns = 0;
    let others = async {
        loop {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    let opened = tokio::select! {
        opened = opening => opened,
        never = others => never,
    };
    assert!(opened.is_ok() && turns > 1000, "{turns} {opened:?}");

    // The same archive with another number in it: 1 000 001 rounds.
    let (rounds, more) = ([2, 3, 0x01, 0x86, 0xa0], [2, 3, 0x0f, 0x42, 0x41]);
    let mut endless = slow.clone();
    while let Some(at) = endless.windows(5).position(|bytes| *bytes == rounds) {
        endless[at..at + 5].copy_from_slice(&more);
    }
    assert_ne!(endless, slow);
    let refused = ClientCertificate::from_pfx("tenant-1", "app-1", endless, PASSWORD).await;
    assert!(matches!(refused, Err(CertificateError::UnsupportedEncryption)), "{refused:?}");
}

#[tokio::test]
async fn rs256_and_the_chain_are_options() {
    let rs256 = pem("application.pem").unwrap().signing_algorithm(SigningAlgorithm::Rs256);
    verified(&made(rs256).await, "application.crt", Algorithm::RS256);

    // The file starts with the root; what is sent starts with the leaf and leaves the root out.
    let [_, intermediate, leaf] = certificates("chain.pem").try_into().unwrap();
    let expected: Vec<_> = [leaf, intermediate].iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    for credential in [pem("chain.pem"), pfx("chain.pfx", PASSWORD).await] {
        let token = made(credential.unwrap().send_certificate_chain(true)).await;
        verified(&token, "chain.crt", Algorithm::PS256);
        assert_eq!(raw_header(&token)["x5c"], Value::from(expected.clone()));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
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
            assert!(
                matches!(pfx(name, password).await, Err(CertificateError::WrongPassword)),
                "{name} {password}"
            );
        }
    }
    assert!(matches!(pfx("application.pem", "").await, Err(CertificateError::Malformed)));
    // Cut off anywhere, it is an error and nothing else.
    let whole = file("application.pfx");
    for length in (0..whole.len()).step_by(97) {
        assert!(ClientCertificate::from_pfx("t", "c", &whole[..length], PASSWORD).await.is_err());
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
