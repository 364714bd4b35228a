//! Keys and endpoints that change while the client runs.
#![cfg(feature = "axum")]

use crate::fakes::{Fake, all_well};
use hubwire::service::{
    NegotiateOptions, ServiceClient, ServiceEndpoint,
    configuration::Configuration,
    credentials::{AccessKey, InvalidCredential},
    endpoints::EndpointError,
};

/// Whether a token is signed with this key.
fn is_signed(token: &str, key: &str) -> bool {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_aud = false;
    decode::<serde_json::Value>(token, &DecodingKey::from_secret(key.as_bytes()), &validation).is_ok()
}

#[tokio::test]
async fn an_access_key_is_swapped_while_the_client_runs() {
    let fake = Fake::start(all_well).await;
    let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new("first")).unwrap().named("east");
    let service = ServiceClient::builder().endpoint(endpoint).build().unwrap();
    let hub = service.hub("chat").unwrap();
    let signed = async |key: &str| {
        let access = hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
        hub.all().send("m", ()).await.unwrap();
        is_signed(&access.access_token, key) && is_signed(fake.last().bearer(), key)
    };
    assert!(signed("first").await);
    service.set_access_key(&format!("{}/", fake.url), AccessKey::new("second")).unwrap();
    assert!(signed("second").await && !signed("first").await);
    service.clone().set_access_key("east", AccessKey::new("third")).unwrap();
    assert!(signed("third").await);

    assert_eq!(service.set_access_key("west", AccessKey::new("k")), Err(EndpointError::NoSuchEndpoint));
    assert_eq!(service.set_access_key("", AccessKey::new("k")), Err(EndpointError::NoSuchEndpoint));
    let empty = Err(EndpointError::Credential(InvalidCredential::Part { what: "access key" }));
    assert_eq!(service.set_access_key("east", AccessKey::new("")), empty);
    assert!(signed("third").await);
    assert!(!format!("{service:?}").contains("third"));
}

#[tokio::test]
async fn a_configuration_is_taken_over_while_the_client_runs() {
    let fake = Fake::start(all_well).await;
    let string = |key: &str| format!("Endpoint={};AccessKey={key}", fake.url);
    let settings = |key: &str| Configuration::new().set("Azure:SignalR:ConnectionString", string(key));
    let entra = |secret: &str| {
        let section = "Azure:SignalR:Endpoints:spare";
        settings("second")
            .set(format!("{section}:serviceUri"), "https://spare.example.com")
            .set(format!("{section}:tenantId"), "t")
            .set(format!("{section}:clientId"), "c")
            .set(format!("{section}:clientSecret"), secret)
    };
    let own = ServiceEndpoint::new("https://own.example.com", AccessKey::new("k")).unwrap().weighted(0);
    let service =
        ServiceClient::builder().configuration(&settings("first")).unwrap().endpoint(own).build().unwrap();
    let hub = service.hub("chat").unwrap();
    let addresses =
        || -> Vec<String> { service.endpoints().iter().map(|e| e.endpoint().to_owned()).collect() };
    let own = "https://own.example.com".to_owned();
    assert_eq!(addresses(), [fake.url.clone(), own.clone()]);

    service.reconfigure(&settings("second")).unwrap();
    let access = hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
    assert!(is_signed(&access.access_token, "second"));
    assert_eq!(addresses(), [fake.url.clone(), own.clone()]);

    service.reconfigure(&entra("s")).unwrap();
    let spare = "https://spare.example.com".to_owned();
    assert_eq!(addresses(), [fake.url.clone(), spare, own.clone()]);
    assert!(service.reconfigure(&Configuration::new()).is_err());
    assert_eq!(addresses().len(), 3, "what is wrong changes nothing");

    service.reconfigure(&settings("third")).unwrap();
    assert_eq!(addresses(), [fake.url.clone(), own]);
    let access = hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
    assert!(is_signed(&access.access_token, "third"));
}

/// With its name, weight and key, whatever the settings say about its address.
#[tokio::test]
async fn an_endpoint_given_in_code_stays_when_the_settings_name_its_address() {
    let log = crate::capture::Capture::of_the_process();
    let own = ServiceEndpoint::new("https://own-by-code.example.com", AccessKey::new("own-key")).unwrap();
    let service = ServiceClient::builder().endpoint(own.named("own").weighted(7)).build().unwrap();
    let hub = service.hub("chat").unwrap();
    for role in ["primary", "secondary"] {
        let string = "Endpoint=https://own-by-code.example.com/;AccessKey=another-key";
        let settings = Configuration::new()
            .set("Azure:SignalR:ConnectionString:settings", "Endpoint=https://other.example.com;AccessKey=k")
            .set(format!("Azure:SignalR:Endpoints:of-settings:{role}"), string);
        service.reconfigure(&settings).unwrap();
        let endpoints = service.endpoints();
        let known: Vec<_> = endpoints.iter().map(|e| (e.endpoint(), e.name(), e.weight())).collect();
        let other = ("https://other.example.com".to_owned(), "settings", 1);
        assert_eq!(known, [other, ("https://own-by-code.example.com".to_owned(), "own", 7)], "{role}");
    }
    assert_eq!(service.remove_endpoint("settings").unwrap(), 1);
    let access = hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
    assert!(is_signed(&access.access_token, "own-key"));
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let said = |line: &&str| {
        line.contains("WARN") && line.contains("was given in code") && line.contains("of-settings")
    };
    assert_eq!(text.lines().filter(said).count(), 2);
}

/// What has not changed keeps its tokens, and what has gets new ones.
#[tokio::test]
async fn only_what_has_changed_is_replaced() {
    let fake = Fake::start(all_well).await;
    let settings = |secret: &str| {
        let base = Configuration::new().connection("C").set("AZURE_AUTHORITY_HOST", &fake.url);
        let section = [("serviceUri", fake.url.as_str()), ("tenantId", "tenant-1"), ("clientId", "app-1")];
        let all = section.iter().fold(base, |all, (key, value)| all.set(format!("C:{key}"), *value));
        all.set("C:clientSecret", secret)
    };
    let service = ServiceClient::from_configuration(&settings(crate::fakes::CLIENT_SECRET)).unwrap();
    let hub = service.hub("chat").unwrap();
    let mut tokens = Vec::new();
    for secret in [crate::fakes::CLIENT_SECRET, crate::fakes::CLIENT_SECRET, "another", "another"] {
        service.reconfigure(&settings(secret)).unwrap();
        hub.all().send("m", ()).await.unwrap();
        tokens.push(fake.count(crate::fakes::TOKEN));
    }
    assert_eq!(tokens, [1, 1, 2, 2]);
    let authority = settings("another").set("AZURE_AUTHORITY_HOST", "https://login.example.com");
    service.reconfigure(&authority).unwrap();
    assert!(format!("{service:?}").contains("login.example.com"), "{service:?}");
}
