//! Clients built from settings.
#![cfg(feature = "axum")]

use std::time::Duration;

use crate::fakes::{CLIENT_SECRET, Fake, all_well};
use hubwire::service::{
    BuildError, NegotiateOptions, RetryOptions, ServiceClient,
    configuration::{Configuration, ConfigurationError as E, ConfigurationWarning},
    connection_string::ConnectionStringWarning,
    credentials::{CredentialSettings, InvalidCredential},
    endpoints::{EndpointError, EndpointRole},
};

const A: &str = "Endpoint=https://a;AccessKey=marked-key-a";
const B: &str = "Endpoint=https://b;AccessKey=marked-key-b";

fn with<const N: usize>(settings: [(&str, &str); N]) -> Configuration {
    settings.into_iter().fold(Configuration::new(), |all, (key, value)| all.set(key, value))
}

/// Name, address and role of each endpoint.
fn found(configuration: &Configuration) -> Vec<(String, String, EndpointRole)> {
    let endpoints = configuration.endpoints().unwrap_or_else(|error| panic!("{error}"));
    endpoints.iter().map(|e| (e.name().to_owned(), e.endpoint(), e.role())).collect()
}

fn primary(name: &str, address: &str) -> (String, String, EndpointRole) {
    (name.to_owned(), address.to_owned(), EndpointRole::Primary)
}

#[test]
fn endpoints_of_the_sdk() {
    let secondary = ("backup".to_owned(), "https://c".to_owned(), EndpointRole::Secondary);
    let all = with([
        ("Azure:SignalR:ConnectionString", A),
        ("azure:signalr:connectionstring:west", B),
        ("Azure__SignalR__ConnectionString__backup__SECONDARY", "Endpoint=https://c;AccessKey=k"),
        ("Azure:SignalR:Endpoints:north", "Endpoint=https://d;AccessKey=k"),
        // The connection of Azure Functions counts only where there is no other.
        ("AzureSignalRConnectionString", "Endpoint=https://e;AccessKey=k"),
    ]);
    assert_eq!(
        found(&all),
        [primary("", "https://a"), secondary, primary("west", "https://b"), primary("north", "https://d")]
    );
    let fallback = with([
        ("ConnectionStrings:Azure:SignalR:ConnectionString", A),
        ("ConnectionStrings:Azure:SignalR:ConnectionString:primary", B),
    ]);
    assert_eq!(found(&fallback), [primary("", "https://a"), primary("primary", "https://b")]);
    // The name of an endpoint may hold a type, in the second place.
    for (key, name, role) in [
        ("foo", "foo", EndpointRole::Primary),
        ("primary", "primary", EndpointRole::Primary),
        ("foo:primary", "foo", EndpointRole::Primary),
        ("foo:SECONDARY", "foo", EndpointRole::Secondary),
        ("foo:bar", "foo:bar", EndpointRole::Primary),
        ("a:b:secondary", "a:b:secondary", EndpointRole::Primary),
        (":secondary", "", EndpointRole::Secondary),
    ] {
        let key = format!("Azure:SignalR:ConnectionString:{key}");
        let configuration = with([("Azure:SignalR:Endpoints:other", B), (&key, A)]);
        let expected = (name.to_owned(), "https://a".to_owned(), role);
        assert_eq!(found(&configuration), [expected, primary("other", "https://b")], "{key}");
    }
    let both = with([
        ("ConnectionStrings:Azure:SignalR:ConnectionString", A),
        ("Azure:SignalR:ConnectionString", B),
    ]);
    assert_eq!(found(&both), [primary("", "https://b")]);
    assert_eq!(found(&with([("AzureSignalRConnectionString", A)])), [primary("", "https://a")]);
}

#[test]
fn later_sources_win_and_variables_of_app_service_are_connection_strings() {
    let file =
        r#"{"IsEncrypted": false, "Values": {"MyConnection": "Endpoint=https://c;AccessKey=k", "n": 7}}"#;
    let configuration = Configuration::new().json(file).unwrap().connection("MyConnection");
    assert_eq!(found(&configuration), [primary("", "https://c")]);
    let configuration = configuration.variables([("MYCONNECTION", A)]);
    assert_eq!(found(&configuration), [primary("", "https://a")]);
    let configuration = configuration.variables([("CustomConnStr_MyConnection", B)]);
    assert_eq!(found(&configuration), [primary("", "https://b")]);
    let nested = r#"{"Azure": {"SignalR": {"Endpoints": {"east": {"secondary": "Endpoint=https://c;AccessKey=k"}},
        "ConnectionString": "Endpoint=https://a;AccessKey=k"}}}"#;
    let configuration = Configuration::new().json(nested).unwrap();
    assert_eq!(
        found(&configuration),
        [primary("", "https://a"), ("east".to_owned(), "https://c".to_owned(), EndpointRole::Secondary)]
    );
}

#[test]
fn errors_name_the_key_and_never_the_value() {
    let secret = "marked-secret";
    let identity = |more: &[(&str, &str)]| {
        let section = with([("C:serviceUri", "https://a"), ("C:tenantId", "t"), ("C:clientId", "c")]);
        more.iter().fold(section, |all, (key, value)| all.set(key, *value)).connection("C")
    };
    for (configuration, key) in [
        (Configuration::new(), "Azure:SignalR:ConnectionString"),
        (Configuration::new(), "AzureSignalRConnectionString:serviceUri"),
        (Configuration::new().connection("C"), "C:serviceUri"),
        (with([("C", " ")]).connection("C"), "C"),
        (with([("ConnectionStrings:C", ""), ("C", A)]).connection("C"), "ConnectionStrings:C"),
        (with([("C", secret)]).connection("C"), "C"),
        (with([("C:serviceUri", secret)]).connection("C"), "C:serviceUri"),
        (
            with([("Azure:SignalR:Endpoints:east", "Endpoint=marked-secret;AccessKey=k")]),
            "Azure:SignalR:Endpoints:east",
        ),
        (
            with([("Azure:SignalR:Endpoints:east", "Endpoint=http://marked-secret.example;AccessKey=k")]),
            "Azure:SignalR:Endpoints:east",
        ),
        (identity(&[("C:type", secret)]), "C:type"),
        (identity(&[("C:clientEndpoint", secret)]), "C:clientEndpoint"),
        (identity(&[("C:credential", secret)]), "C:credential"),
        (identity(&[("C:credential", "workloadidentity")]), "C:tokenFilePath"),
        (identity(&[("C:credential", "managedidentityasfederatedidentity")]), "C:azureCloud"),
        (identity(&[("C:credential", "azurepipelines")]), "C:systemAccessToken"),
        (
            identity(&[("C:credential", "managedidentity"), ("C:managedIdentityObjectId", secret)]),
            "C:managedIdentityObjectId",
        ),
        (identity(&[("AZURE_TOKEN_CREDENTIALS", secret)]), "AZURE_TOKEN_CREDENTIALS"),
        (
            identity(&[("C:clientSecret", "s"), ("AZURE_AUTHORITY_HOST", "http://marked.example")]),
            "AZURE_AUTHORITY_HOST",
        ),
        (
            identity(&[("C:clientSecret", "s"), ("AZURE_AUTHORITY_HOST", "https://a/marked")]),
            "AZURE_AUTHORITY_HOST",
        ),
        (identity(&[("C:managedIdentityObjectId", secret)]), "C:managedIdentityObjectId"),
        (
            with([("C", A), ("AzureSignalRHttpClientTimeout", "5")]).connection("C"),
            "AzureSignalRHttpClientTimeout",
        ),
        (
            with([("C", A), ("AzureSignalRServiceTransportType", secret)]).connection("C"),
            "AzureSignalRServiceTransportType",
        ),
    ] {
        let error = ServiceClient::from_configuration(&configuration).expect_err(key);
        let (text, debug) = (error.to_string(), format!("{error:?} {configuration:?}"));
        assert!(text.contains(key), "{key} in {text}");
        assert!(!text.contains("marked") && !debug.contains("marked"), "{text} {debug}");
    }
    let secondary = with([("Azure:SignalR:Endpoints:east:secondary", A)]);
    assert!(matches!(secondary.endpoints(), Err(E::Build(BuildError::NoPrimaryEndpoint))));
    let json = Configuration::new().json("{\n  \"Values\": marked }").unwrap_err();
    assert!(matches!(json, E::InvalidJson { line: 2, .. }) && !json.to_string().contains("marked"), "{json}");
    assert!(matches!(Configuration::new().json("[]"), Err(E::InvalidJson { .. })));
    let encrypted = Configuration::new().json(r#"{"IsEncrypted": true, "Values": {}}"#);
    assert!(matches!(encrypted, Err(E::Encrypted)));
    let missing = Configuration::new().file("/no/such/local.settings.json").unwrap_err();
    assert!(missing.to_string().contains("/no/such/local.settings.json"), "{missing}");
}

#[test]
fn oddities_are_warnings() {
    let configuration = with([
        ("AzureSignalRConnectionString", "Endpoint=https://a;AccessKey=k;AuthType=azur"),
        ("Azure__SignalR__HubProtocol", "SystemTextJson"),
        ("AzureSignalRServiceTransportType", "Persistent"),
    ]);
    let key = "AzureSignalRConnectionString".to_owned();
    let expected = [
        ConfigurationWarning::ConnectionString { key, warning: ConnectionStringWarning::UnknownAuthType },
        ConfigurationWarning::Unused { key: "Azure:SignalR:HubProtocol".to_owned(), meant: None },
    ];
    assert_eq!(configuration.warnings().unwrap(), expected);
    ServiceClient::from_configuration(&configuration).unwrap();
}

/// Settings that are there and not used are most likely mistyped, incomplete, or left over.
#[test]
fn settings_that_are_not_used_are_warnings() {
    let identity = |more: &[(&str, &str)]| {
        let section = with([("C:serviceUri", "https://a"), ("C:clientId", "c"), ("C:tenantId", "t")]);
        more.iter().fold(section, |all, (key, value)| all.set(key, *value)).connection("C")
    };
    for (configuration, expected) in [
        (
            identity(&[("C:clientSecret", "s"), ("C:type", "primary"), ("C:serverEndpoint", "https://b")]),
            &[][..],
        ),
        // Mistyped, so the secret is none.
        (identity(&[("C:clientSecert", "s")]), &["C:clientSecert"]),
        // Incomplete.
        (identity(&[("C:tenantId", " "), ("C:clientSecret", "s")]), &["C:clientSecret"]),
        (identity(&[("C:clientSecret", "s"), ("C:clientCertificate", "s")]), &["C:clientCertificate"]),
        (
            identity(&[("C:credential", "managedidentity"), ("C:clientSecret", "s")]),
            &["C:clientSecret", "C:tenantId"],
        ),
        (identity(&[("C:credential", "workloadidentity"), ("C:tokenFilePath", "/t")]), &[]),
        (identity(&[("C:managedIdentityClientId", "m")]), &[]),
    ] {
        let warnings = configuration.warnings().unwrap();
        let keys: Vec<&str> = warnings
            .iter()
            .map(|warning| match warning {
                ConfigurationWarning::UnusedIdentity { key, .. } => key.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(keys, expected);
        assert!(!format!("{warnings:?}").contains("\"s\""));
    }
    for (configuration, key, by) in [
        (with([("C", A), ("C:serviceUri", "https://b")]).connection("C"), "C:serviceUri", "C"),
        (with([("ConnectionStrings:C", A), ("C", B)]).connection("C"), "C", "ConnectionStrings:C"),
        (
            with([("Azure:SignalR:ConnectionString", A), ("AzureSignalRConnectionString", B)]),
            "AzureSignalRConnectionString",
            "Azure:SignalR:ConnectionString",
        ),
        (
            with([
                ("C", A),
                ("Azure:SignalR:Endpoints:e:serviceUri", "https://e"),
                ("Azure:SignalR:Endpoints:e:secondary", B),
            ])
            .connection("C"),
            "Azure:SignalR:Endpoints:e:secondary",
            "Azure:SignalR:Endpoints:e:serviceUri",
        ),
    ] {
        let (key, by) = (key.to_owned(), by.to_owned());
        assert_eq!(configuration.warnings().unwrap(), [ConfigurationWarning::Shadowed { key, by }]);
    }
    let unused = ["Azure:SignalR:AccessTokenLifetimeInSeconds", "AzureSignalRRetry:MaxRetry"];
    let configuration = unused.iter().fold(with([("C", A)]).connection("C"), |all, key| all.set(key, "1"));
    let meant = [None, Some("AzureSignalRRetry:MaxRetries".to_owned())];
    let expected: Vec<_> = std::iter::zip(unused, meant)
        .map(|(key, meant)| ConfigurationWarning::Unused { key: key.to_owned(), meant })
        .collect();
    assert_eq!(configuration.warnings().unwrap(), expected);
}

#[test]
fn a_named_service_of_an_app_server_is_found() {
    let named = with([
        ("Azure:SignalR:chat:ConnectionString", A),
        ("Azure:SignalR:chat:ConnectionString:west:primary", B),
    ]);
    assert_eq!(
        found(&named.clone().connection("chat")),
        [primary("", "https://a"), primary("west", "https://b")]
    );
    assert_eq!(named.clone().connection("chat").warnings().unwrap(), []);
    let other = named.set("ConnectionStrings:chat", "Endpoint=https://c;AccessKey=k").connection("chat");
    assert_eq!(found(&other), [primary("", "https://c")]);
}

#[test]
fn the_options_of_the_management_sdk_are_read() {
    let configuration = with([
        ("AzureSignalRConnectionString", A),
        ("Azure:SignalR:ServiceTransportType", "Transient"),
        ("Azure:SignalR:RetryOptions:MaxRetries", "5"),
        ("Azure:SignalR:RetryOptions:Mode", "Fixed"),
        ("AzureSignalRRetry:MaxRetries", "2"),
        ("AzureSignalRRetry:MaxDelay", "00:00:07"),
    ]);
    let retry = RetryOptions::default().max_retries(5).max_delay(Duration::from_secs(7)).fixed(true);
    let shown = format!("{:?}", ServiceClient::builder().configuration(&configuration).unwrap());
    assert!(shown.contains(&format!("{retry:?}")), "{shown}");
    assert_eq!(configuration.warnings().unwrap(), []);
    for key in ["Azure:SignalR:ServiceTransportType", "Azure:SignalR:RetryOptions:Mode"] {
        let error = ServiceClient::from_configuration(&configuration.clone().set(key, "odd")).unwrap_err();
        assert!(matches!(&error, E::Invalid { key: named, .. } if named == key), "{error}");
    }
}

#[test]
fn the_client_gets_its_options_from_the_settings() {
    let configuration = with([
        ("AzureSignalRConnectionString", A),
        ("Azure:SignalR:ApplicationName", "Shop"),
        ("AzureSignalRHttpClientTimeout", "1.02:03:04.5"),
        ("AzureSignalRRetry__MaxRetries", "7"),
        ("AzureSignalRRetry:Delay", "00:00:02"),
        ("AzureSignalRRetry:MaxDelay", "00:00:09"),
        ("AzureSignalRRetry:Mode", "Fixed"),
    ]);
    let builder = ServiceClient::builder().configuration(&configuration).unwrap();
    let shown = format!("{builder:?}");
    assert!(shown.contains("93784.5s") && shown.contains("Shop") && !shown.contains("marked"), "{shown}");
    let retry = RetryOptions::default()
        .max_retries(7)
        .delay(Duration::from_secs(2))
        .max_delay(Duration::from_secs(9))
        .fixed(true);
    assert!(shown.contains(&format!("{retry:?}")), "{shown}");
    for (key, value) in [("MaxRetries", "-1"), ("MaxRetries", "many"), ("Delay", "5"), ("Mode", "Linear")] {
        let key = format!("AzureSignalRRetry:{key}");
        let wrong = configuration.clone().set(&key, value);
        let error = ServiceClient::from_configuration(&wrong).expect_err(value);
        assert!(matches!(&error, E::Invalid { key: named, .. } if *named == key), "{error}");
    }
    for timeout in
        ["5", "00:00:00", "-00:00:05", "00:01", "1:2:3:4", "00:60:00", "00:00:60", "24:00:00", "a:b:c", ""]
    {
        let wrong = configuration.clone().set("AzureSignalRHttpClientTimeout", timeout);
        let error = ServiceClient::from_configuration(&wrong).expect_err(timeout);
        assert!(matches!(error, E::Invalid { .. }), "{error}");
    }
}

#[test]
fn credentials_are_made_as_described() {
    let section = |more: &[(&str, &str)]| {
        let base =
            with([("C:serviceUri", "https://a"), ("C:tenantId", "t"), ("C:clientId", "c")]).connection("C");
        more.iter().fold(base, |all, (key, value)| all.set(key, *value))
    };
    let federated = [
        ("C:credential", "managedidentityasfederatedidentity"),
        ("C:azureCloud", "usgov"),
        ("C:managedIdentityObjectId", "o"),
    ];
    let environment = [("C:clientId", ""), ("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
    for (configuration, shown) in [
        (section(&[("C:clientSecret", "marked")]), "ClientSecret"),
        (section(&[("C:credential", "managedidentity")]), "ManagedIdentity"),
        (section(&[("C:credential", "workloadidentity"), ("C:tokenFilePath", "/token")]), "WorkloadIdentity"),
        (section(&federated), "FederatedCredential"),
        (section(&environment).set("AZURE_CLIENT_SECRET", "marked"), "CredentialChain [ClientSecret"),
        (
            section(&environment).set("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"),
            "CredentialChain [ClientCertificate",
        ),
        (section(&environment).set("AZURE_TOKEN_CREDENTIALS", "dev"), "CredentialChain [AzureCli"),
        (section(&[]), "CredentialChain [ManagedIdentity"),
    ] {
        let client =
            ServiceClient::from_configuration(&configuration).unwrap_or_else(|e| panic!("{shown}: {e}"));
        let debug = format!("{client:?}");
        assert!(
            debug.contains(&format!("credential: {shown}")) && !debug.contains("marked"),
            "{shown}: {debug}"
        );
    }
}

#[test]
fn credentials_that_cannot_be_made_of_settings_are_described() {
    let configuration = with([
        ("C:serviceUri", "https://a"),
        ("C:tenantId", "t"),
        ("C:clientId", "c"),
        ("C:clientCertificate", "0123456789ABCDEF"),
    ])
    .connection("C");
    let endpoint = configuration.endpoints().unwrap().remove(0);
    assert!(matches!(endpoint.credential(), CredentialSettings::StoredCertificate { .. }));
    let error = ServiceClient::from_configuration(&configuration).unwrap_err();
    let E::Endpoint { key, source: EndpointError::Credential(InvalidCredential::Unsupported { .. }) } =
        &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(key, "C:serviceUri");
    assert!(hubwire::ErrorChain::new(&error).to_string().contains("ClientCertificate"), "{error:?}");
}

/// The settings tables of Microsoft's article, with both ways to give the identity, in both forms.
#[tokio::test]
async fn the_settings_of_the_article_give_a_client_that_works() {
    let fake = Fake::start(all_well).await;
    let own = [
        ("serviceUri", fake.url.as_str()),
        ("clientId", "app-1"),
        ("clientSecret", CLIENT_SECRET),
        ("tenantId", "tenant-1"),
    ];
    let predefined = [
        ("AZURE_CLIENT_ID", "app-1"),
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_AUTHORITY_HOST", fake.url.as_str()),
    ];
    let authority = &predefined[3..];
    let own_in = |separator: &str| -> Vec<(String, String)> {
        own.iter().map(|(key, value)| (format!("MyPrefix{separator}{key}"), (*value).to_owned())).collect()
    };
    let as_file = |settings: &[(String, String)]| {
        let values: serde_json::Map<_, _> =
            settings.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        serde_json::json!({ "Values": values }).to_string()
    };
    let uri = |separator: &str| vec![(format!("MyPrefix{separator}serviceUri"), fake.url.clone())];
    for configuration in [
        Configuration::new().json(&as_file(&own_in(":"))).unwrap().variables(authority.to_vec()),
        Configuration::new().variables(own_in("__")).variables(authority.to_vec()),
        Configuration::new().json(&as_file(&uri(":"))).unwrap().variables(predefined),
        Configuration::new().variables(uri("__")).variables(predefined),
    ] {
        let client = ServiceClient::from_configuration(&configuration.connection("MyPrefix")).unwrap();
        let hub = client.hub("chat").unwrap();
        hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
        hub.all().send("m", ()).await.unwrap();
    }
    assert_eq!(fake.count(crate::fakes::TOKEN), 4);
    assert_eq!(fake.count("/api/hubs/chat/:send"), 4);
    let asked = &fake.seen(crate::fakes::TOKEN)[0].body;
    assert!(asked.contains("client_id=app-1"), "{asked}");
}
