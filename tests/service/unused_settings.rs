//! What is set and not used, and what is nearly right.
#![cfg(feature = "service")]

use hubwire::service::{
    configuration::{Configuration, ConfigurationError as E, ConfigurationWarning as W},
    connection_string::{ConnectionString, ConnectionStringError, ConnectionStringWarning},
    credentials::AuthKind,
};

const A: &str = "Endpoint=https://a;AccessKey=marked-key-a";

fn with<const N: usize>(settings: [(&str, &str); N]) -> Configuration {
    settings.into_iter().fold(Configuration::new(), |all, (key, value)| all.set(key, value))
}

fn unused(key: &str, meant: Option<&str>) -> W {
    W::Unused { key: key.to_owned(), meant: meant.map(str::to_owned) }
}

fn beside(key: &str, used: AuthKind, meant: Option<&str>) -> W {
    W::UnusedIdentity { key: key.to_owned(), used, meant: meant.map(str::to_owned) }
}

fn shadowed(key: &str, by: &str) -> W {
    W::Shadowed { key: key.to_owned(), by: by.to_owned() }
}

#[test]
fn an_identity_beside_a_connection_string_is_not_used() {
    let key = AuthKind::AccessKey;
    for (configuration, expected) in [
        (
            with([("C", A), ("C:clientId", "c"), ("C:clientSecret", "s"), ("C:type", "secondary")])
                .connection("C"),
            vec![
                beside("C:clientId", key, None),
                beside("C:clientSecret", key, None),
                beside("C:type", key, None),
            ],
        ),
        (
            with([("ConnectionStrings:C", A), ("C:credential", "managedidentity")]).connection("C"),
            vec![beside("C:credential", key, None)],
        ),
        (
            with([
                ("AzureSignalRConnectionString", "Endpoint=https://a;AuthType=azure.msi"),
                ("AzureSignalRConnectionString:managedIdentityClientId", "m"),
            ]),
            vec![beside(
                "AzureSignalRConnectionString:managedIdentityClientId",
                AuthKind::ManagedIdentity,
                None,
            )],
        ),
        (
            with([("Azure:SignalR:Endpoints:east", A), ("Azure:SignalR:Endpoints:east:clientId", "c")]),
            vec![beside("Azure:SignalR:Endpoints:east:clientId", key, None)],
        ),
        (
            with([
                ("Azure:SignalR:Endpoints:east:primary", A),
                ("Azure:SignalR:Endpoints:east:secondary", "Endpoint=https://b;AccessKey=k"),
                ("Azure:SignalR:Endpoints:east:tenantId", "t"),
            ]),
            vec![beside("Azure:SignalR:Endpoints:east:tenantId", key, None)],
        ),
        (with([("C", A), ("C:clientId", " ")]).connection("C"), vec![]),
    ] {
        assert_eq!(configuration.warnings().unwrap(), expected);
    }
}

#[test]
fn names_that_are_nearly_right_are_recognized() {
    let secret = AuthKind::ClientSecret;
    let identity = |key, value| {
        let section =
            [("serviceUri", "https://a"), ("tenantId", "t"), ("clientId", "c"), ("clientSecret", "s")];
        let all = section
            .iter()
            .fold(Configuration::new(), |all, (key, value)| all.set(format!("C:{key}"), *value));
        all.set(key, value).connection("C")
    };
    for (configuration, expected) in [
        (
            identity("C:serverEndpont", "https://b"),
            beside("C:serverEndpont", secret, Some("C:serverEndpoint")),
        ),
        // The right one is there too, so this is none of it.
        (identity("C:clientId2", "c"), beside("C:clientId2", secret, None)),
        (identity("AZURE_AUTORITY_HOST", "h"), unused("AZURE_AUTORITY_HOST", Some("AZURE_AUTHORITY_HOST"))),
        (identity("AZURE_CLIENTID", "c"), unused("AZURE_CLIENTID", Some("AZURE_CLIENT_ID"))),
        (
            identity("Azure:SignalR:ApplicatonName", "a"),
            unused("Azure:SignalR:ApplicatonName", Some("Azure:SignalR:ApplicationName")),
        ),
        (
            identity("AzureSignalRRetries:MaxRetries", "3"),
            unused("AzureSignalRRetries:MaxRetries", Some("AzureSignalRRetry:MaxRetries")),
        ),
        (
            identity("Azure:SignalR:Endpoint:east", A),
            unused("Azure:SignalR:Endpoint:east", Some("Azure:SignalR:Endpoints:east")),
        ),
        (
            identity("Azure__SignalR__Endpoints__east__serviceUrl", "https://b"),
            unused(
                "Azure:SignalR:Endpoints:east:serviceUrl",
                Some("Azure:SignalR:Endpoints:east:serviceUri"),
            ),
        ),
        (
            identity("Azure:SignalR:Endpoints:east:clientId", "c"),
            unused("Azure:SignalR:Endpoints:east:clientId", None),
        ),
        (identity("Hubwire:DevelopmentHosts", "b"), unused("Hubwire:DevelopmentHosts", None)),
    ] {
        assert_eq!(configuration.warnings().unwrap(), [expected]);
    }
    // Other settings of the environment are of no concern.
    let other = identity("AZURE_STORAGE_ACCOUNT", "a").set("PATH", "/bin").set("D", "d").set("C2:x", "y");
    assert_eq!(other.warnings().unwrap(), []);
}

#[test]
fn the_error_about_a_missing_connection_says_what_is_nearly_one() {
    for (key, meant) in [
        ("AzureSignalRConectionString", "AzureSignalRConnectionString"),
        ("Azure__SignalR__ConnectionStrings", "Azure:SignalR:ConnectionString"),
        ("AzureSignalRConnectionString__serviceUrl", "AzureSignalRConnectionString:serviceUri"),
        ("Azure:SignalR:Endpoint:east", "Azure:SignalR:Endpoints:east"),
    ] {
        let error = with([(key, A)]).endpoints().unwrap_err();
        assert!(error.to_string().contains(meant), "{error}");
        let E::NoConnection { misspelt, .. } = error else { panic!("{error:?}") };
        assert_eq!(misspelt, [(key.replace("__", ":"), meant.to_owned())]);
    }
    let E::NoConnection { misspelt, .. } = with([("Other", A)]).endpoints().unwrap_err() else { panic!() };
    assert_eq!(misspelt, []);
}

/// .NET takes the white space for a part of the value, and Entra refuses it.
#[test]
fn white_space_and_quotation_marks_around_values() {
    let configuration = with([
        ("C:serviceUri", "https://a"),
        ("C:tenantId", "t\n"),
        ("C:clientId", " c"),
        ("C:clientSecret", "\"s\""),
    ])
    .connection("C");
    let endpoint = configuration.endpoints().unwrap().remove(0);
    assert_eq!(
        (endpoint.credential().tenant_id(), endpoint.credential().client_id()),
        (Some("t"), Some("c"))
    );
    let key = |name: &str| format!("C:{name}");
    assert_eq!(
        configuration.warnings().unwrap(),
        [
            W::WhiteSpace { key: key("tenantId") },
            W::WhiteSpace { key: key("clientId") },
            W::Quoted { key: key("clientSecret") },
        ]
    );
    let environment = with([
        ("C", "Endpoint=https://a;AuthType=azure"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c\r\n"),
        ("AZURE_CLIENT_SECRET", "s"),
    ])
    .connection("C");
    assert_eq!(environment.warnings().unwrap(), [W::WhiteSpace { key: "AZURE_CLIENT_ID".to_owned() }]);
    let quoted = with([("C:serviceUri", "\"https://a\"")]).connection("C").endpoints().unwrap_err();
    assert!(
        matches!(&quoted, E::Invalid { key, expected } if key == "C:serviceUri" && expected.contains("quotation"))
    );
}

#[test]
fn references_that_were_not_resolved_are_refused() {
    let reference = "@Microsoft.KeyVault(SecretUri=https://marked.vault.azure.net/secrets/s/)";
    for text in
        [reference, "@microsoft.keyvault(VaultName=v;SecretName=s)", "@Microsoft.AppConfiguration(Key=k)"]
    {
        assert_eq!(ConnectionString::parse(text).unwrap_err(), ConnectionStringError::UnresolvedReference);
    }
    let identity = |key: &str| {
        let base = with([("C:serviceUri", "https://a"), ("C:tenantId", "t"), ("C:clientId", "c")]);
        base.set("C:clientSecret", "s").set(key, reference).connection("C")
    };
    for key in ["C:serviceUri", "C:clientSecret", "C:tenantId", "C:clientEndpoint"] {
        let error = identity(key).endpoints().expect_err(key);
        assert!(!error.to_string().contains("marked"), "{error}");
        assert!(matches!(&error, E::UnresolvedReference { key: named } if named == key), "{error:?}");
    }
    let chain =
        |key: &str| with([("C", "Endpoint=https://a;AuthType=azure")]).set(key, reference).connection("C");
    for configuration in [
        chain("AZURE_CLIENT_SECRET"),
        with([("C:serviceUri", "https://a")]).set("AZURE_CLIENT_SECRET", reference).connection("C"),
    ] {
        let error = configuration.endpoints().unwrap_err();
        assert!(
            matches!(&error, E::UnresolvedReference { key } if key == "AZURE_CLIENT_SECRET"),
            "{error:?}"
        );
    }
    // What is not used is not in the way.
    with([("C", A), ("AZURE_CLIENT_SECRET", reference)]).connection("C").endpoints().unwrap();
    let error = with([("C", reference)]).connection("C").endpoints().unwrap_err();
    assert!(hubwire::ErrorChain::new(&error).to_string().contains("portal"), "{error:?}");
}

#[test]
fn connection_strings_that_are_nearly_right() {
    use ConnectionStringError as Error;
    use ConnectionStringWarning as Warning;
    for (text, error) in [
        ("\"Endpoint=https://a;AccessKey=k;Version=1.0;\"", Error::Quoted),
        (" 'Endpoint=https://a;AccessKey=k' ", Error::Quoted),
        ("Endpont=https://a;AccessKey=k", Error::Misspelt { meant: "Endpoint" }),
        ("Endpoint=https://a;AccesKey=k", Error::Misspelt { meant: "AccessKey" }),
        ("Endpoint=https://a;Access-Key=k", Error::Misspelt { meant: "AccessKey" }),
        (
            "Endpoint=https://a;AuthType=azure.app;ClientId=c;TenentId=t",
            Error::Misspelt { meant: "TenantId" },
        ),
        (
            "Endpoint=https://a;AuthType=azure.app;ClientId=c;TenantId=t;ClientSecert=s",
            Error::Misspelt { meant: "ClientSecret" },
        ),
        ("Endpoint=https://a;SharedAccessKey=k", Error::MissingAccessKey),
    ] {
        assert_eq!(ConnectionString::parse(text).unwrap_err(), error, "{text}");
    }
    for (text, warning) in [
        (
            "Endpoint=https://a;AccessKey=k;ClientEndpont=https://b",
            Warning::MisspeltProperty { meant: "ClientEndpoint" },
        ),
        ("Endpoint=https://a;AccessKey=k;marked=x", Warning::UnknownProperty),
        ("Endpoint=https://a;AccessKey=k;marked", Warning::NotAProperty),
    ] {
        assert_eq!(
            ConnectionString::parse(text).unwrap().warnings(),
            std::slice::from_ref(&warning),
            "{text}"
        );
        let error = ConnectionString::parse_strict(text).unwrap_err();
        assert!(!format!("{warning} {error:?}").contains("marked"));
    }
}

/// As in .NET: a connection string comes before the named endpoints, an identity after them.
#[test]
fn of_one_address_a_named_endpoint_wins_over_an_identity() {
    let names = |configuration: &Configuration| -> Vec<String> {
        configuration.endpoints().unwrap().iter().map(|e| e.name().to_owned()).collect()
    };
    let named = with([("Azure:SignalR:Endpoints:east", A), ("C:serviceUri", "https://a/")]).connection("C");
    assert_eq!(names(&named), ["east"]);
    assert_eq!(named.warnings().unwrap(), [shadowed("C:serviceUri", "Azure:SignalR:Endpoints:east")]);
    let secondary = with([("Azure:SignalR:Endpoints:east:secondary", A), ("C:serviceUri", "https://a")]);
    assert_eq!(names(&secondary.connection("C")), [""], "a primary endpoint wins over a secondary one");
    let string = with([("Azure:SignalR:Endpoints:east", A), ("C", A)]).connection("C");
    assert_eq!(names(&string), [""]);
    assert_eq!(string.warnings().unwrap(), [shadowed("Azure:SignalR:Endpoints:east", "C")]);
    let both = with([("Azure:SignalR:Endpoints:east", A), ("C:serviceUri", "https://b")]).connection("C");
    assert_eq!(names(&both), ["east", ""]);
}

#[test]
fn warnings_are_logged_without_values() {
    let log = crate::capture::Capture::of_the_process();
    let settings =
        with([("C", A), ("C:clientSecret", "marked-unused"), ("AZURE_CLIENT_SECERT", "marked-unused")]);
    hubwire::service::ServiceClient::from_configuration(&settings.connection("C")).unwrap();
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for key in ["C:clientSecret", "AZURE_CLIENT_SECRET"] {
        assert!(text.lines().any(|line| line.contains("WARN") && line.contains(key)), "{text}");
    }
    assert!(!text.contains("marked-unused"));
}
