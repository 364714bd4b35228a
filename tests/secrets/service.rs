//! No secret may show up in `Debug`, `Display`, errors or logs.
#![cfg(feature = "axum")]

use std::{error::Error, io::Write};

use crate::capture::Capture;
use crate::certificate::{PASSWORD, file, path};
use crate::fakes::{
    ACCESS_KEY, CLIENT_SECRET, EXCHANGE, Fake, Seen, TOKEN, entra_error, exchanged, key, nobody, reply, token,
};
use axum::{body::Body, http::Request};
use hubwire::service::{
    NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint, ServiceError,
    configuration::Configuration,
    connection_string::ConnectionString,
    credentials::{
        AccessKey, ClientCertificate, Credential, CredentialChain, FederatedCredential, ManagedIdentity,
    },
};
use serde_json::json;
use tower_service::Service;

const ENTRA_TOKEN: &str = "marked-entra-token";
const QUERY_SECRET: &str = "marked-query-secret";
const CLAIM_SECRET: &str = "marked-claim-value";
const ASSERTION: &str = "marked-assertion";
const IDENTITY_HEADER: &str = "marked-identity-header";
const WRONG_PASSWORD: &str = "marked-wrong-password";
const IDENTITY: &str = "/identity/token";

/// Every kind of Entra credential but the client secret.
async fn entra_credentials(fake: &Fake) -> Vec<Credential> {
    let certificate =
        ClientCertificate::from_pfx("tenant-1", "app-1", file("application.pfx"), PASSWORD).await;
    let locked = ClientCertificate::from_file_with_password(
        "tenant-1",
        "app-1",
        path("application.pfx"),
        WRONG_PASSWORD,
    );
    let assertion = FederatedCredential::new("tenant-1", "app-1", || async {
        Ok::<_, ServiceError>(ASSERTION.to_owned())
    });
    let identity =
        ManagedIdentity::system_assigned().app_service(format!("{}{IDENTITY}", fake.url), IDENTITY_HEADER);
    let exchanged = FederatedCredential::with_managed_identity("tenant-1", "app-1", identity.clone());
    vec![
        certificate.unwrap().send_certificate_chain(true).authority(&fake.url).into(),
        locked.authority(&fake.url).into(),
        assertion.authority(&fake.url).into(),
        exchanged.authority(&fake.url).into(),
        identity.clone().into(),
        CredentialChain::new().or(identity).or(fake.client_secret()).into(),
    ]
}

/// An error with everything behind it, as `Display` and as `Debug`.
fn texts(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(" {source} {source:?}"));
        next = source.source();
    }
    text
}

fn form_encoded(text: &str) -> String {
    let encode = |b: u8| match b {
        b'a'..=b'z' => char::from(b).to_string(),
        b' ' => "+".to_owned(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn options() -> NegotiateOptions {
    NegotiateOptions::for_user("alice")
        .claim("private", CLAIM_SECRET)
        .original_request("/chat/negotiate", format!("room={QUERY_SECRET}"))
}

/// Makes every call and collects all that comes out of it but the tokens that are asked for.
async fn everything(client: &ServiceClient, out: &mut Capture, tokens: &mut Vec<String>) {
    let mut note = |text: String| out.write_all(text.as_bytes()).unwrap();
    let hub = client.hub("chat").unwrap();
    note(format!("{client:?} {hub:?} {:?} {:?}", hub.all(), hub.group("g")));
    match hub.negotiate(options()).await {
        Ok(access) => {
            note(format!("{access:?}"));
            tokens.push(access.access_token);
        }
        Err(error) => note(texts(&error)),
    }
    for result in [
        hub.all().send("m", ("x",)).await,
        hub.user("u").send("m", ()).await,
        hub.group("g").add_connection("c").await,
        client.refresh_access_key().await,
        hub.negotiate(options().claim("asrs.s.uid", CLAIM_SECRET)).await.map(drop),
        hub.negotiate(options().claim("long", format!("{CLAIM_SECRET}{}", "x".repeat(4000)))).await.map(drop),
    ] {
        note(result.map_or_else(|error| texts(&error), |()| String::new()));
    }
    let mut endpoint = NegotiateService::new(hub, |_| options());
    let request = Request::post(format!("/chat/negotiate?room={QUERY_SECRET}")).body(Body::empty());
    let answer = endpoint.call(request.unwrap()).await.unwrap();
    note(format!("{endpoint:?}"));
    if answer.status() == 200 {
        let body: serde_json::Value = serde_json::from_str(answer.body()).unwrap();
        tokens.push(body["accessToken"].as_str().unwrap().to_owned());
    } else {
        note(answer.into_body());
    }
}

#[tokio::test]
async fn nothing_that_is_secret_is_shown() {
    let mut out = Capture::of_the_process();

    let well = Fake::start(|seen: &Seen| match seen.path() {
        IDENTITY => reply(200, json!({"access_token": ENTRA_TOKEN, "expires_on": "4102444800"})),
        TOKEN => token(ENTRA_TOKEN, 3599),
        EXCHANGE => key(1),
        _ => reply(202, ""),
    })
    .await;
    // Answers that give back whatever they got.
    let echo = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN => token(ENTRA_TOKEN, 3599),
        EXCHANGE if seen.nth == 1 => key(1),
        _ => reply(
            400,
            json!({"message": format!("you sent {} with {}", seen.header("authorization"), seen.body)}),
        ),
    })
    .await;
    let refusing = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN => entra_error(401, "invalid_client", 7_000_215),
        _ => reply(403, ""),
    })
    .await;
    let leaking = Fake::start(|seen: &Seen| {
        reply(400, json!({"error": seen.body, "error_description": seen.body, "error_codes": ["x"]}))
    })
    .await;
    let broken = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN => token(ENTRA_TOKEN, 3599),
        EXCHANGE => reply(200, json!({"KeyId": "k", "AccessKey": [exchanged(1)]})),
        _ => reply(500, ""),
    })
    .await;

    let mut tokens = Vec::new();
    for fake in [&well, &echo, &refusing, &leaking, &broken] {
        for credential in [Credential::from(fake.client_secret()), AccessKey::new(ACCESS_KEY).into()] {
            let shown = format!("{credential:?}");
            out.write_all(shown.as_bytes()).unwrap();
            let endpoint = ServiceEndpoint::new(&fake.url, credential).unwrap();
            let builder = ServiceClient::builder().endpoint(endpoint);
            out.write_all(format!("{builder:?}").as_bytes()).unwrap();
            everything(&builder.build().unwrap(), &mut out, &mut tokens).await;
        }
    }
    // Several endpoints, all well and none.
    for fakes in [[&well, &echo], [&refusing, &broken]] {
        let mut builder = ServiceClient::builder();
        for (fake, name) in fakes.into_iter().zip(["east", "west"]) {
            let endpoint = ServiceEndpoint::new(&fake.url, fake.client_secret()).unwrap();
            builder = builder.endpoint(endpoint.named(name));
        }
        let gone = ServiceEndpoint::new(&nobody(), AccessKey::new(ACCESS_KEY)).unwrap();
        let client = builder.endpoint(gone.secondary()).build().unwrap();
        out.write_all(format!("{:?}", client.endpoints()).as_bytes()).unwrap();
        everything(&client, &mut out, &mut tokens).await;
    }
    for settings in [
        [
            ("C:serviceUri", "https://a"),
            ("C:tenantId", "t"),
            ("C:clientId", "c"),
            ("C:clientSecret", CLIENT_SECRET),
        ],
        [
            ("C:serviceUri", CLIENT_SECRET),
            ("C:clientSecret", CLIENT_SECRET),
            ("C:credential", "x"),
            ("D", "x"),
        ],
        [
            ("C:serviceUri", "https://a"),
            ("C:credential", CLIENT_SECRET),
            ("C:type", CLIENT_SECRET),
            ("D", "x"),
        ],
        [("C", CLIENT_SECRET), ("D", ACCESS_KEY), ("AZURE_CLIENT_SECRET", CLIENT_SECRET), ("E", "x")],
    ] {
        let configuration = settings.into_iter().fold(Configuration::new(), |all, (k, v)| all.set(k, v));
        let configuration = configuration.connection("C");
        let shown = match configuration.endpoints() {
            Ok(endpoints) => format!("{configuration:?} {endpoints:?}"),
            Err(error) => texts(&error),
        };
        out.write_all(shown.as_bytes()).unwrap();
    }
    for fake in [&well, &echo, &refusing, &leaking] {
        for credential in entra_credentials(fake).await {
            let endpoint = ServiceEndpoint::new(&fake.url, credential).unwrap();
            out.write_all(format!("{endpoint:?}").as_bytes()).unwrap();
            let client = ServiceClient::builder().endpoint(endpoint).build().unwrap();
            everything(&client, &mut out, &mut tokens).await;
        }
    }
    for text in [
        format!("Endpoint=https://a;AccessKey={ACCESS_KEY};Version=2"),
        format!("Endpoint=https://a;AccessKey={ACCESS_KEY};{ACCESS_KEY}=1;{ACCESS_KEY}=2"),
        format!("AccessKey={ACCESS_KEY}"),
        format!("Endpoint={ACCESS_KEY};AccessKey=1"),
        format!("Endpoint=https://a;Port={ACCESS_KEY};AccessKey=1"),
        format!("Endpoint=https://a;AuthType={ACCESS_KEY};AccessKey={ACCESS_KEY}"),
        format!("Endpoint=https://a;AuthType=azure.msi;ClientSecret={CLIENT_SECRET}"),
        format!("Endpoint=https://a;AuthType=azure.app;ClientId=c;TenantId=t;ClientSecret={CLIENT_SECRET}"),
    ] {
        let shown = match ConnectionString::parse(&text) {
            Ok(parsed) => {
                let warnings: Vec<String> = parsed.warnings().iter().map(|w| texts(w)).collect();
                format!(
                    "{parsed} {parsed:?} {warnings:?} {:?}",
                    ServiceEndpoint::from_connection_string(&text)
                )
            }
            Err(error) => texts(&error),
        };
        out.write_all(shown.as_bytes()).unwrap();
    }

    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    for part in [
        "Entra token",
        "could not be fetched",
        "Azure SignalR Service answered",
        "AADSTS7000215",
        "ClientSecret",
        "ClientCertificate",
        "refused the client assertion",
        "the password of the PKCS#12 archive or of the private key is wrong",
        "the managed identity's endpoint answered",
        "has found the one that works",
    ] {
        assert!(text.contains(part), "the capture works: {part}");
    }
    assert!(tokens.len() >= 4);
    let mut secrets = tokens;
    // What a request was signed with, and every bearer token that was sent.
    for fake in [&well, &echo, &refusing, &leaking, &broken] {
        secrets
            .extend(fake.all().iter().map(|seen| seen.bearer().to_owned()).filter(|token| !token.is_empty()));
    }
    // The assertions of the certificate.
    for seen in [&well, &echo, &refusing, &leaking].iter().flat_map(|fake| fake.seen(TOKEN)) {
        let form = form_urlencoded::parse(seen.body.as_bytes());
        secrets
            .extend(form.filter(|(name, _)| name == "client_assertion").map(|(_, value)| value.into_owned()));
    }
    assert!(
        secrets.iter().any(|secret| secret.starts_with("ey") && secret.len() > 1000),
        "a signed assertion"
    );
    secrets.extend([ACCESS_KEY, CLIENT_SECRET, ENTRA_TOKEN, QUERY_SECRET, CLAIM_SECRET].map(str::to_owned));
    secrets.extend([ASSERTION, IDENTITY_HEADER, WRONG_PASSWORD, PASSWORD].map(str::to_owned));
    secrets.extend([exchanged(1), form_encoded(CLIENT_SECRET)]);
    for secret in secrets {
        let found = text.find(&secret);
        let around = found.map(|at| &text[at.saturating_sub(300)..(at + secret.len()).min(text.len())]);
        assert_eq!(around, None);
    }
}

#[test]
fn errors_are_small_enough_to_return() {
    assert!(size_of::<ServiceError>() <= 128, "{}", size_of::<ServiceError>());
}
