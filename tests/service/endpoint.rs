//! Connection strings and endpoints.
#![cfg(feature = "service")]

use hubwire::service::{
    BuildError, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
    connection_string::{ConnectionString, ConnectionStringError as E, ConnectionStringWarning as W},
    credentials::{AccessKey, AuthKind, ClientSecret, InvalidCredential},
    endpoints::EndpointError,
};

const KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn parse(text: &str) -> Result<ConnectionString, E> {
    ConnectionString::parse(&text.replace("=K", &format!("={KEY}")))
}

/// The endpoint, the client endpoint and the server endpoint of a connection string that is right.
fn addresses(text: &str) -> (String, String, String) {
    let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let or_none = |url: Option<&str>| url.unwrap_or("-").to_owned();
    (parsed.endpoint(), or_none(parsed.client_endpoint()), or_none(parsed.server_endpoint()))
}

#[test]
fn addresses_of_connection_strings() {
    for (text, endpoint, client, server) in [
        ("endpoint=http://aaa;accesskey=K", "http://aaa", "-", "-"),
        ("endpoint=http://aaa:80;accesskey=K", "http://aaa", "-", "-"),
        ("endpoint=https://aaa:443;accesskey=K", "https://aaa", "-", "-"),
        ("endpoint=https://aaa:500;accesskey=K", "https://aaa:500", "-", "-"),
        ("endpoint=HTTPS://AAA;accesskey=K", "https://aaa", "-", "-"),
        ("endpoint=https://aaa///;accesskey=K", "https://aaa", "-", "-"),
        ("endpoint=http://aaa:500;accesskey=K;port=400", "http://aaa:400", "-", "-"),
        ("endpoint=https://aaa:500;accesskey=K;port=443", "https://aaa", "-", "-"),
        ("ENDPOINT=http://aaa;ACCESSKEY=K;PORT=443", "http://aaa:443", "-", "-"),
        ("endpoint=http://[::1]:8888;accesskey=K", "http://[::1]:8888", "-", "-"),
        ("endpoint=https://aaa/sub/path/;accesskey=K", "https://aaa", "-", "-"),
        ("  Endpoint = https://aaa ;  AccessKey =  K  ; Version = 1.0 ; ", "https://aaa", "-", "-"),
        (";;Endpoint=https://aaa;;;AccessKey=K;;nonsense;Foo=bar", "https://aaa", "-", "-"),
        ("endpoint=http://a;accesskey=K;port=4;clientEndpoint=http://bbb", "http://a:4", "http://bbb", "-"),
        ("endpoint=http://a;authType=aad;clientEndpoint=http://b:80", "http://a", "http://b", "-"),
        ("endpoint=https://a;authType=aad;clientEndpoint=http://b:443", "https://a", "http://b:443", "-"),
        ("endpoint=http://a;accesskey=K;port=4;serverEndpoint=http://c:5", "http://a:4", "-", "http://c:5"),
        (
            "endpoint=https://a;AuthType=aad;serverendpoint=https://c:1/bar",
            "https://a",
            "-",
            "https://c:1/bar",
        ),
    ] {
        assert_eq!(addresses(text), (endpoint.to_owned(), client.to_owned(), server.to_owned()), "{text}");
    }
    assert_eq!(parse("endpoint=https://a;accesskey=K").unwrap().port(), 443);
    assert_eq!(parse("endpoint=http://a;accesskey=K").unwrap().port(), 80);
    assert_eq!(parse("endpoint=http://a;accesskey=K;port=65535").unwrap().port(), 65535);
}

#[test]
fn values_of_connection_strings() {
    let parsed = parse("Endpoint=https://a;AccessKey=a+/=b==;Version=1.1-preview;").unwrap();
    assert_eq!(parsed.access_key().map(AccessKey::secret), Some("a+/=b=="));
    assert_eq!(parsed.version(), Some("1.1-preview"));
    assert_eq!(AccessKey::new(" a+/=b==\r\n").secret(), "a+/=b==");
    assert_eq!(parse("Endpoint=https://a;AccessKey=K").unwrap().version(), None);
    // The parser takes an empty key, an endpoint does not.
    assert_eq!(parse("Endpoint=https://a;AccessKey=").unwrap().access_key().map(AccessKey::secret), Some(""));
    let empty =
        ServiceEndpoint::from_connection_string("Endpoint=https://a;AccessKey=").map(|e| e.endpoint());
    assert_eq!(empty, Err(EndpointError::Credential(InvalidCredential::Part { what: "access key" })));
    let app = "Endpoint=https://a;AuthType=azure.app;ClientId=c;TenantId=t;ClientSecret=s;AccessKey=k";
    let app = parse(app).unwrap();
    assert_eq!(
        (app.client_id(), app.tenant_id(), app.auth_kind()),
        (Some("c"), Some("t"), AuthKind::ClientSecret)
    );
    assert!(app.access_key().is_none(), "an access key does not count next to an Entra type");
}

#[test]
fn kinds_of_authentication() {
    for (properties, kind) in [
        ("AccessKey=K", AuthKind::AccessKey),
        ("AuthType=accessKey;AccessKey=K", AuthKind::AccessKey),
        ("AuthType=azure", AuthKind::DefaultAzureCredential),
        ("AuthType=azure;clientId=1;tenantId=2;clientSecret=3", AuthKind::DefaultAzureCredential),
        ("AuthType=Azure.MSI", AuthKind::ManagedIdentity),
        ("AuthType=azure.msi;clientId=1", AuthKind::ManagedIdentity),
        ("AuthType=azure.msi;clientId=1;tenantId=2;clientSecret=3", AuthKind::ManagedIdentity),
        ("AuthType=azure.app;clientId=1;tenantId=2;clientSecret=3", AuthKind::ClientSecret),
        ("AuthType=azure.app;clientId=1;tenantId=2;clientSecret=3;clientCert=4", AuthKind::ClientSecret),
        ("AuthType=azure.app;clientId=1;tenantId=2;clientCert=4", AuthKind::ClientCertificate),
        ("AuthType=azure.app;clientId=1;tenantId=2;ClientCertPath=4", AuthKind::ClientCertificate),
        ("AuthType=aad", AuthKind::ManagedIdentity),
        ("AuthType=aad;tenantId=2", AuthKind::ManagedIdentity),
        ("AuthType=aad;clientSecret=3", AuthKind::ManagedIdentity),
        ("AuthType=aad;clientId=1;clientSecret=3", AuthKind::ManagedIdentity),
        ("AuthType=aad;clientId=1;tenantId=2;clientSecret=3", AuthKind::ClientSecret),
        ("AuthType=AAD;clientId=1;tenantId=2;clientCert=4", AuthKind::ClientCertificate),
    ] {
        let parsed = parse(&format!("Endpoint=https://a;{properties}"));
        assert_eq!(parsed.map(|p| p.auth_kind()), Ok(kind), "{properties}");
    }
}

#[test]
fn faults_are_reported_in_order() {
    for (text, error) in [
        ("", E::Empty),
        (" \t ", E::Empty),
        ("XXX", E::MissingEndpoint),
        ("Endpoint=https://a", E::MissingEndpoint),
        ("AccessKey=xxx", E::MissingEndpoint),
        ("AccessKey=xxx;Version=1.0", E::MissingEndpoint),
        ("Endpoint=https://a;AccessKey=a;accesskey=b", E::DuplicateProperty { name: "AccessKey" }),
        ("Endpoint=bad;Endpoint=bad;Port=0", E::DuplicateProperty { name: "Endpoint" }),
        ("Endpoint=https://a;AccessKey=a;secret=1;SECRET=2", E::DuplicateProperty { name: "(unknown)" }),
        ("Endpoint=;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=aaa;AccessKey=K;Version=2.0", E::InvalidEndpoint),
        ("Endpoint=endpoint=aaa;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=ws://a;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=a.example.com:80;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=/path;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https://;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https:a;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https:///a;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=http://exa mple.com;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=http://a:99999;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https://user:password@a;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https://a/?b=c;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https://a/#b;AccessKey=K", E::InvalidEndpoint),
        ("Endpoint=https://a;AccessKey=K;Version=2.0;Port=0", E::UnsupportedVersion),
        ("Endpoint=https://a;AccessKey=K;Version=1.x", E::UnsupportedVersion),
        ("Endpoint=https://a;AccessKey=K;Version=1.", E::UnsupportedVersion),
        ("Endpoint=https://a;AccessKey=K;Version=v1.0", E::UnsupportedVersion),
        ("Endpoint=https://a;AccessKey=K;Version=10.0", E::UnsupportedVersion),
        ("Endpoint=https://a;AccessKey=K;Version=1.0 x", E::UnsupportedVersion),
        ("Endpoint=https://a;Port=0;ClientEndpoint=x", E::InvalidPort),
        ("Endpoint=https://a;AccessKey=K;Port=2.3", E::InvalidPort),
        ("Endpoint=https://a;AccessKey=K;Port=65536", E::InvalidPort),
        ("Endpoint=https://a;AccessKey=K;Port=", E::InvalidPort),
        ("Endpoint=https://a;AccessKey=K;ClientEndpoint=x;ServerEndpoint=y", E::InvalidClientEndpoint),
        ("Endpoint=https://a;AccessKey=K;ClientEndpoint=", E::InvalidClientEndpoint),
        ("Endpoint=https://a;AccessKey=K;ClientEndpoint=wss://b", E::InvalidClientEndpoint),
        ("Endpoint=https://a;ServerEndpoint=y", E::InvalidServerEndpoint),
        ("Endpoint=https://a;Version=1.0", E::MissingAccessKey),
        ("Endpoint=https://a;AuthType=azure.typo;Version=1.0", E::MissingAccessKey),
        ("Endpoint=https://a;AuthType=azure.app;ClientSecret=s", E::MissingClientId),
        ("Endpoint=https://a;AuthType=azure.app;ClientId=;TenantId=;ClientSecret=", E::MissingClientId),
        ("Endpoint=https://a;AuthType=azure.app;ClientId=c;ClientSecret=s", E::MissingTenantId),
        ("Endpoint=https://a;AuthType=azure.app;ClientId=c;TenantId=t", E::MissingClientCredential),
        ("Endpoint=https://a;AuthType=aad;ClientId=c;TenantId=t", E::MissingClientCredential),
    ] {
        assert_eq!(parse(text).map(|p| p.endpoint()), Err(error), "{text}");
    }
}

#[test]
fn what_is_most_likely_a_mistake_is_a_warning_and_an_error_when_strict() {
    let unused = |property, used| W::UnusedProperty { property, used };
    use AuthKind::{
        AccessKey as Key, ClientCertificate, ClientSecret as Secret, DefaultAzureCredential as Default,
        ManagedIdentity as Identity,
    };
    let app = "AuthType=azure.app;ClientId=1;TenantId=2";
    for (properties, warnings) in [
        ("AccessKey=K".to_owned(), vec![]),
        ("AccessKey=K;AuthType=".to_owned(), vec![]),
        ("AuthType=azure".to_owned(), vec![]),
        ("AuthType=azure.msi;ClientId=1".to_owned(), vec![]),
        ("AuthType=aad;ClientId=1".to_owned(), vec![]),
        (format!("{app};ClientSecret=3"), vec![]),
        (format!("{app};ClientCertPath=3"), vec![]),
        // Empty values are as good as none.
        ("AuthType=azure;ClientSecret=;AccessKey=".to_owned(), vec![]),
        ("AccessKey=K;AuthType=azur".to_owned(), vec![W::UnknownAuthType]),
        (
            "AccessKey=K;AuthType=azure.ap;ClientSecret=3".to_owned(),
            vec![W::UnknownAuthType, unused("ClientSecret", Key)],
        ),
        ("AccessKey=K;ClientSecret=3".to_owned(), vec![unused("ClientSecret", Key)]),
        ("AuthType=azure;AccessKey=K".to_owned(), vec![unused("AccessKey", Default)]),
        ("AuthType=azure;ClientId=1".to_owned(), vec![unused("ClientId", Default)]),
        // As examples of the documentation have it.
        (
            "AuthType=azure.msi;ClientId=1;TenantId=2;ClientSecret=3".to_owned(),
            vec![unused("TenantId", Identity), unused("ClientSecret", Identity)],
        ),
        ("AuthType=aad;ClientId=1;ClientSecret=3".to_owned(), vec![unused("ClientSecret", Identity)]),
        (format!("{app};ClientSecret=3;ClientCert=4"), vec![unused("ClientCert", Secret)]),
        (format!("{app};ClientCert=3;ClientCertPath=4"), vec![unused("ClientCertPath", ClientCertificate)]),
    ] {
        let text = format!("Endpoint=https://a;{properties}");
        assert_eq!(parse(&text).unwrap().warnings(), warnings, "{text}");
        let strict = ConnectionString::parse_strict(&text).map(|p| p.endpoint());
        let expected = warnings.first().map_or(Ok("https://a".to_owned()), |w| Err(E::Warning(w.clone())));
        assert_eq!(strict, expected, "{text}");
    }
    let endpoint =
        ServiceEndpoint::from_connection_string("Endpoint=https://a;AccessKey=k;AuthType=x").unwrap();
    assert_eq!(endpoint.warnings(), [W::UnknownAuthType]);
    let advice = unused("ClientSecret", Identity).to_string();
    assert!(advice.contains("a managed identity") && advice.contains("AuthType=azure.app"), "{advice}");
}

#[test]
fn written_back_they_say_the_same_without_the_secrets() {
    for (text, written) in [
        (
            "version=1.0;ACCESSKEY=K;endpoint=HTTPS://AAA:500/",
            "Endpoint=https://aaa:500;AccessKey=(redacted);Version=1.0;",
        ),
        ("Endpoint=https://a;Port=500;AccessKey=K", "Endpoint=https://a:500;AccessKey=(redacted);"),
        (
            "Endpoint=https://a/sub;AuthType=AAD;ClientId=1;TenantId=2;ClientSecret=marked;ServerEndpoint=https://s/x",
            "Endpoint=https://a/sub;AuthType=azure.app;ClientId=1;TenantId=2;ClientSecret=(redacted);ServerEndpoint=https://s/x;",
        ),
        (
            "Endpoint=https://a;AuthType=azure.app;ClientId=1;TenantId=2;ClientCertPath=/c.pem;ClientEndpoint=https://c",
            "Endpoint=https://a;AuthType=azure.app;ClientId=1;TenantId=2;ClientCert=/c.pem;ClientEndpoint=https://c;",
        ),
        ("Endpoint=https://a;AuthType=aad", "Endpoint=https://a;AuthType=azure.msi;"),
        (
            "Endpoint=https://a;AuthType=azure.msi;ClientId=1;ClientSecret=marked",
            "Endpoint=https://a;AuthType=azure.msi;ClientId=1;",
        ),
        ("Endpoint=https://a;AuthType=azure;AccessKey=K", "Endpoint=https://a;AuthType=azure;"),
    ] {
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.to_string(), written, "{text}");
        let again: ConnectionString = written.parse().unwrap();
        assert_eq!(again.to_string(), written);
        let shown = format!("{parsed:?}");
        assert!(!shown.contains(KEY) && !shown.contains("marked"), "{shown}");
    }
}

#[test]
fn every_credential_of_a_connection_string_is_made() {
    for (properties, shown) in [
        ("AccessKey=k", "AccessKey"),
        ("AuthType=azure.app;ClientId=c;TenantId=t;ClientSecret=marked", "ClientSecret"),
        ("AuthType=azure.app;ClientId=c;TenantId=t;ClientCertPath=/c.pfx", "ClientCertificate"),
        ("AuthType=azure.msi", "ManagedIdentity"),
        ("AuthType=azure.msi;ClientId=c", "ManagedIdentity"),
        ("AuthType=azure", "CredentialChain"),
    ] {
        let endpoint = ServiceEndpoint::from_connection_string(&format!("Endpoint=https://a;{properties}"));
        let debug = format!("{:?}", endpoint.unwrap());
        assert!(debug.contains(&format!("credential: {shown}")) && !debug.contains("marked"), "{debug}");
    }
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let key = || AccessKey::new(KEY);
    for url in [
        "http://localhost:8888",
        "http://127.0.0.1",
        "http://[::1]:1/",
        "https://contoso.service.signalr.net",
    ] {
        assert!(ServiceEndpoint::new(url, key()).is_ok(), "{url}");
    }
    for url in ["http://contoso.service.signalr.net", "http://10.0.0.1", "http://localhost.example.com"] {
        let error = ServiceEndpoint::new(url, key()).map(|e| e.endpoint());
        assert_eq!(error, Err(EndpointError::InsecureUrl { what: "endpoint" }), "{url}");
    }
    for url in ["", "localhost:5050", "ftp://a", "ws://a"] {
        let error = ServiceEndpoint::new(url, key()).map(|e| e.endpoint());
        assert_eq!(error, Err(EndpointError::InvalidUrl { what: "endpoint" }), "{url}");
    }
    let endpoint = ServiceEndpoint::new("https://a", key()).unwrap();
    assert!(endpoint.clone().client_endpoint("http://b").is_err());
    assert!(endpoint.server_endpoint("http://b").is_err());
    for (text, what) in [
        ("Endpoint=http://a;AccessKey=k", "endpoint"),
        ("Endpoint=https://a;AccessKey=k;ClientEndpoint=http://b", "client endpoint"),
        ("Endpoint=https://a;AccessKey=k;ServerEndpoint=http://b", "server endpoint"),
    ] {
        let error = ServiceEndpoint::from_connection_string(text).map(|e| e.endpoint());
        assert_eq!(error, Err(EndpointError::InsecureUrl { what }), "{text}");
    }
}

#[test]
fn incomplete_credentials_are_refused() {
    let with = |credential: ClientSecret| ServiceEndpoint::new("https://a", credential).map(|e| e.endpoint());
    assert!(with(ClientSecret::new("t", "c", "s")).is_ok());
    for (secret, what) in [
        (ClientSecret::new("", "c", "s"), "tenant id"),
        (ClientSecret::new("t/../x", "c", "s"), "tenant id"),
        (ClientSecret::new("t", " ", "s"), "client id"),
        (ClientSecret::new("t", "c", ""), "client secret"),
    ] {
        assert_eq!(with(secret), Err(EndpointError::Credential(InvalidCredential::Part { what })));
    }
    let authority = |url: &str| with(ClientSecret::new("t", "c", "s").authority(url));
    assert!(authority("https://login.microsoftonline.us/").is_ok());
    assert!(authority("http://127.0.0.1:1").is_ok());
    assert_eq!(
        authority("http://login.example.com"),
        Err(EndpointError::Credential(InvalidCredential::InsecureAuthority))
    );
    assert_eq!(authority("login.example.com"), Err(EndpointError::Credential(InvalidCredential::Authority)));
    assert_eq!(
        authority("https://login.example.com/path"),
        Err(EndpointError::Credential(InvalidCredential::Authority))
    );
    let empty = ServiceEndpoint::new("https://a", AccessKey::new("")).map(|e| e.endpoint());
    assert_eq!(empty, Err(EndpointError::Credential(InvalidCredential::Part { what: "access key" })));
}

#[test]
fn a_client_needs_a_primary_endpoint() {
    let endpoint = || ServiceEndpoint::new("https://a", AccessKey::new(KEY)).unwrap();
    assert!(matches!(ServiceClient::builder().build(), Err(BuildError::NoEndpoint)));
    let secondary = ServiceClient::builder().endpoint(endpoint().secondary()).build();
    assert!(matches!(secondary, Err(BuildError::NoPrimaryEndpoint)));
    for name in ["1app", "my-app", "a b", "a&b", "_"] {
        let built = ServiceClient::builder().endpoint(endpoint()).application_name(name).build();
        assert!(matches!(built, Err(BuildError::InvalidApplicationName)), "{name}");
    }
}

#[test]
fn hub_names_are_checked() {
    let endpoint = ServiceEndpoint::new("https://a", AccessKey::new(KEY)).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).build().unwrap();
    assert_eq!(client.hub("Chat_1").unwrap().name(), "chat_1");
    let long = "h".repeat(129);
    for name in ["", "1", "_", "a b", "chat/x", "chat?x=1", "chat&y=2", "..", "ä", &long] {
        assert!(matches!(client.hub(name), Err(ServiceError::InvalidName { what: "hub", .. })), "{name}");
    }
}

#[tokio::test]
async fn urls_and_audiences_follow_the_endpoint() {
    for (text, url, audience) in [
        ("Endpoint=http://127.0.0.1;Port=8888;AccessKey=K", "http://127.0.0.1:8888", "http://127.0.0.1"),
        ("Endpoint=https://a:444;AccessKey=K", "https://a:444", "https://a"),
        ("Endpoint=https://a/sub/path/;AccessKey=K", "https://a/sub/path", "https://a"),
        ("Endpoint=https://a;AccessKey=K;ClientEndpoint=https://c/signalr", "https://c/signalr", "https://a"),
        ("Endpoint=https://a;AccessKey=K;ClientEndpoint=https://c/x/", "https://c/x", "https://a"),
        ("Endpoint=https://a;AccessKey=K;ServerEndpoint=https://s", "https://a", "https://a"),
        ("Endpoint=http://[::1]:8888;AccessKey=K", "http://[::1]:8888", "http://[::1]"),
    ] {
        let endpoint = ServiceEndpoint::from_connection_string(text).unwrap();
        let client = ServiceClient::builder().endpoint(endpoint).build().unwrap();
        let access = client.hub("Chat").unwrap().negotiate(NegotiateOptions::anonymous()).await.unwrap();
        assert_eq!(access.url, format!("{url}/client/?hub=chat"), "{text}");
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.set_audience(&[format!("{audience}/client/?hub=chat")]);
        let key = jsonwebtoken::DecodingKey::from_secret(b"K");
        let decoded = jsonwebtoken::decode::<serde_json::Value>(&access.access_token, &key, &validation);
        assert!(decoded.is_ok(), "{text}: {decoded:?}");
    }
}
