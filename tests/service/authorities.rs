//! Which Entra authority gets the secret of a connection string.
#![cfg(feature = "axum")]

use hubwire::service::{
    ServiceClient, ServiceEndpoint,
    configuration::{Configuration, ConfigurationError},
    credentials::{AccessKey, ClientSecret, Cloud, InvalidCredential, ManagedIdentity},
    endpoints::EndpointError,
};

use crate::fakes::{CLIENT_SECRET, Fake, TOKEN, all_well};
use crate::network::in_a_process;

/// The string of an application at the fake service.
fn application(url: &str) -> String {
    format!("Endpoint={url};AuthType=azure.app;ClientId=app-1;TenantId=tenant-1;ClientSecret={CLIENT_SECRET}")
}

async fn sends(endpoint: ServiceEndpoint) {
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_is_given_an_authority_host() {
    let fake = Fake::start(all_well).await;
    let endpoint = ServiceEndpoint::from_connection_string(&application(&fake.url)).unwrap();
    let host = format!("{}/", fake.url);
    sends(endpoint.clone().authority_host(&host).unwrap()).await;
    assert_eq!(fake.count(TOKEN), 1);
    for host in [Cloud::UsGovernment.authority(), "login.chinacloudapi.cn", "https://login.chinacloudapi.cn/"]
    {
        assert!(endpoint.clone().authority_host(host).is_ok(), "{host}");
    }
    for (host, source) in [
        ("http://login.example.com", InvalidCredential::InsecureAuthority),
        ("https://login.example.com/tenant", InvalidCredential::Authority),
        ("login.example.com/tenant", InvalidCredential::Authority),
        ("https://login.example.com?a", InvalidCredential::Authority),
        ("https://marked@login.example.com", InvalidCredential::Authority),
        ("", InvalidCredential::Authority),
        ("ftp://login.example.com", InvalidCredential::Authority),
    ] {
        let error = endpoint.clone().authority_host(host).expect_err(host);
        assert_eq!(error, EndpointError::AuthorityHost(source), "{host}");
        assert!(error.to_string().contains("AZURE_AUTHORITY_HOST") && !error.to_string().contains("marked"));
    }
    // Where there is no authority nothing changes; where the credential was made in code it is set there.
    let key = ServiceEndpoint::from_connection_string("Endpoint=https://a;AccessKey=k").unwrap();
    assert!(key.authority_host("login.example.com").is_ok());
    let key = ServiceEndpoint::new("https://a", AccessKey::new("k")).unwrap();
    assert!(key.authority_host("login.example.com").is_ok());
    let identity = ServiceEndpoint::from_connection_string("Endpoint=https://a;AuthType=azure.msi").unwrap();
    assert!(identity.authority_host("login.example.com").is_ok());
    let secret = ServiceEndpoint::new("https://a", ClientSecret::new("t", "c", "s")).unwrap();
    assert_eq!(secret.authority_host("login.example.com").unwrap_err(), EndpointError::AuthorityOfCredential);
    let identity = ServiceEndpoint::new("https://a", ManagedIdentity::system_assigned()).unwrap();
    assert_eq!(
        identity.authority_host("login.example.com").unwrap_err(),
        EndpointError::AuthorityOfCredential
    );
}

#[tokio::test]
async fn a_setting_is_the_authority_of_connection_strings_too() {
    let fake = Fake::start(all_well).await;
    for key in ["Azure:SignalR:ConnectionString", "C", "Azure:SignalR:Endpoints:east"] {
        let settings = Configuration::new()
            .set(key, application(&fake.url))
            .set("AZURE_AUTHORITY_HOST", format!("{}/", fake.url));
        let settings = if key == "C" { settings.connection("C") } else { settings };
        let hub = ServiceClient::from_configuration(&settings).unwrap().hub("chat").unwrap();
        hub.all().send("m", ()).await.unwrap();
        let wrong = settings.set("AZURE_AUTHORITY_HOST", "http://marked.example.com");
        let error = ServiceClient::from_configuration(&wrong).unwrap_err();
        let expected =
            matches!(&error, ConfigurationError::Invalid { key, .. } if key == "AZURE_AUTHORITY_HOST");
        assert!(expected && !error.to_string().contains("marked"), "{error}");
    }
    assert_eq!(fake.count(TOKEN), 3);
}

const CHILD: &str = "HUBWIRE_TEST_ENDPOINT";

#[tokio::test]
#[ignore = "others run it in a process with an environment"]
async fn sends_by_its_environment() {
    let Ok(url) = std::env::var(CHILD) else { return };
    if std::env::var("HUBWIRE_TEST_ERROR").is_ok() {
        let error = ServiceEndpoint::from_connection_string(&application(&url)).unwrap_err();
        assert_eq!(error, EndpointError::AuthorityHost(InvalidCredential::InsecureAuthority));
        return;
    }
    sends(ServiceEndpoint::from_connection_string(&application(&url)).unwrap()).await;
    // The settings are those of a file, without the environment.
    let settings = Configuration::new().set("Azure:SignalR:ConnectionString", application(&url));
    let hub = ServiceClient::from_configuration(&settings).unwrap().hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
    // What is said in code wins.
    let other = Fake::start(all_well).await;
    let endpoint = ServiceEndpoint::from_connection_string(&application(&url)).unwrap();
    sends(endpoint.authority_host(&other.url).unwrap()).await;
    assert_eq!(other.count(TOKEN), 1);
}

#[tokio::test]
async fn the_variable_of_the_process_is_the_authority_of_connection_strings() {
    let fake = Fake::start(all_well).await;
    let test = "authorities::sends_by_its_environment";
    in_a_process(test, &[(CHILD, &fake.url), ("AZURE_AUTHORITY_HOST", &fake.url)]).await;
    assert_eq!(fake.count(TOKEN), 2);
    let wrong = [(CHILD, &*fake.url), ("AZURE_AUTHORITY_HOST", "http://a"), ("HUBWIRE_TEST_ERROR", "")];
    in_a_process(test, &wrong).await;
}
