//! The errors of this module by the rule of all errors, which `crate::error_chains` says.

use std::{error::Error, io, sync::Arc, time::Duration};

use crate::{
    core::{Cause, ErrorChain},
    error_chains::{All, SECRET, cause, check, variants},
    serialize::SerializeError,
    service::{
        ServiceEndpoint,
        check::CheckProblem,
        configuration::{Configuration, ConfigurationError, ConfigurationWarning},
        connection_string::{ConnectionString, ConnectionStringError, ConnectionStringWarning},
        credentials::{
            AccessKey, CertificateError, Cloud, UnknownCloud,
            error::{CredentialError, InvalidCredential, TriedCredential},
            kind::AuthKind,
        },
        endpoints::endpoint::EndpointError,
        error::{BuildError, EndpointFailure, Operation, Refusal, ServiceError},
        functions::FunctionError,
        upstream::{UpstreamError, ValidatorError},
    },
};

fn refusal(status: u16) -> Refusal {
    Refusal {
        operation: Operation::Send,
        status,
        error_code: Some("Error.Connection.NotExisted".to_owned()),
        message: Some("no such connection".to_owned()),
        retry_after: None,
        foreign: false,
    }
}

fn unreachable() -> ServiceError {
    ServiceError::Connection { operation: Operation::Send, source: cause() }
}

fn failure() -> EndpointFailure {
    EndpointFailure::new("east", "https://east.example".to_owned(), unreachable())
}

fn none_available() -> CredentialError {
    let environment = CredentialError::NotConfigured { reason: "AZURE_TENANT_ID is missing".to_owned() };
    let tried = vec![("environment", environment), ("Azure CLI", CredentialError::AzureCli(cause()))];
    CredentialError::NoneAvailable(TriedCredential::of(tried).expect("two credentials"))
}

fn of_credentials() -> All {
    let client_id = || "app".to_owned();
    let (error, code) = (Some("invalid_client".to_owned()), Some("AADSTS7000215".to_owned()));
    let unreadable = || CertificateError::Unreadable {
        path: "app.pem".into(),
        source: Arc::new(io::ErrorKind::NotFound.into()),
    };
    let mut all = variants! { CredentialError:
        InvalidClientSecret{} => CredentialError::InvalidClientSecret {
            client_id: client_id(), error: error.clone(), code: code.clone(),
        },
        InvalidClientAssertion{} => CredentialError::InvalidClientAssertion {
            client_id: client_id(), error: error.clone(), code: None,
        },
        Refused{} => CredentialError::Refused { client_id: client_id(), status: 400, error, code },
        Unavailable{} => CredentialError::Unavailable { status: 503 },
        Connection(_) => CredentialError::Connection(cause()),
        Timeout{} => CredentialError::Timeout { after: Duration::from_secs(1) },
        UnusableToken() => CredentialError::UnusableToken,
        Certificate(_) => CredentialError::Certificate(unreadable()),
        Signing() => CredentialError::Signing,
        Assertion(_) => CredentialError::Assertion(cause()),
        NotConfigured{} => CredentialError::NotConfigured { reason: "AZURE_TENANT_ID is missing".to_owned() },
        NoManagedIdentity(_) => CredentialError::NoManagedIdentity(cause()),
        ManagedIdentityRefused{} => CredentialError::ManagedIdentityRefused {
            status: 404, message: Some("Identity not found".to_owned()),
        },
        AzureCli(_) => CredentialError::AzureCli(cause()),
        AzureDeveloperCli(_) => CredentialError::AzureDeveloperCli(cause()),
        NoneAvailable(_) => none_available(),
        Other(_) => CredentialError::Other(cause()),
        Cancelled() => CredentialError::Cancelled,
    };
    all.extend(variants! { InvalidCredential:
        Part{} => InvalidCredential::Part { what: "client id" },
        Authority() => InvalidCredential::Authority,
        InsecureAuthority() => InvalidCredential::InsecureAuthority,
        Url{} => InvalidCredential::Url { what: "endpoint" },
        Unsupported{} => InvalidCredential::Unsupported { kind: AuthKind::AzurePipelines },
    });
    all.extend(variants! { CertificateError:
        Unreadable{} => unreadable(),
        Malformed() => CertificateError::Malformed,
        WrongPassword() => CertificateError::WrongPassword,
        EncryptedKey() => CertificateError::EncryptedKey,
        UnsupportedEncryption() => CertificateError::UnsupportedEncryption,
        NoPrivateKey() => CertificateError::NoPrivateKey,
        UnsupportedKey() => CertificateError::UnsupportedKey,
        NoCertificate() => CertificateError::NoCertificate,
    });
    all.push(Box::new(UnknownCloud));
    all
}

fn of_calls() -> All {
    variants! { ServiceError:
        Credential(_) => ServiceError::Credential(CredentialError::Connection(cause())),
        Unauthorized(_) => ServiceError::from(refusal(401)),
        Forbidden(_) => ServiceError::from(refusal(403)),
        NotFound(_) => ServiceError::from(refusal(404)),
        BadRequest(_) => ServiceError::from(refusal(400)),
        Throttled(_) => ServiceError::from(refusal(429)),
        TooLarge(_) => ServiceError::from(refusal(413)),
        MessageTooLarge{} => ServiceError::MessageTooLarge { length: 1_048_577 },
        Failed(_) => ServiceError::from(refusal(500)),
        Connection{} => unreachable(),
        Timeout{} => ServiceError::Timeout { operation: Operation::Send, after: Duration::from_secs(1) },
        InvalidResponse{} => ServiceError::InvalidResponse { operation: Operation::Send, reason: "it is empty" },
        InvalidName{} => ServiceError::InvalidName { what: "hub", reason: "it is empty" },
        Arguments(_) => ServiceError::Arguments(SerializeError::new("a key is not a text")),
        Result(_) => ServiceError::Result(Cause::new("a number was expected")),
        TokenTooLong{} => ServiceError::TokenTooLong { length: 5000, largest: vec![("groups".to_owned(), 4000)] },
        AmbiguousClaim{} => ServiceError::AmbiguousClaim { name: "name".to_owned() },
        InvalidClaim{} => ServiceError::InvalidClaim { name: "name".to_owned(), reason: "it has a control character" },
        EmptyUserId() => ServiceError::EmptyUserId,
        ReservedClaim{} => ServiceError::ReservedClaim { name: "asrs.s.uid".to_owned() },
        NoEndpointAvailable{} => ServiceError::NoEndpointAvailable { failures: vec![failure()] },
        EndpointsFailed{} => ServiceError::EndpointsFailed { succeeded: 1, failures: vec![failure()] },
        InvalidOption{} => ServiceError::InvalidOption { option: "lifetime", range: "shorter" },
        NeedsAccessKey{} => ServiceError::NeedsAccessKey { option: "claims" },
        AuthenticationExpired() => ServiceError::AuthenticationExpired,
        InvalidLifetime() => ServiceError::InvalidLifetime,
        EmptyFilter() => ServiceError::EmptyFilter,
        ParameterTooLong{} => ServiceError::ParameterTooLong {
            operation: Operation::Send,
            parameter: "excluded",
            length: 20_000,
        },
    }
}

fn of_setups() -> All {
    let key = || "Azure:SignalR:ConnectionString".to_owned();
    let warning = || ConnectionStringWarning::UnknownAuthType;
    let mut all = variants! { ConnectionStringError:
        Empty() => ConnectionStringError::Empty,
        Quoted() => ConnectionStringError::Quoted,
        UnresolvedReference() => ConnectionStringError::UnresolvedReference,
        Misspelt{} => ConnectionStringError::Misspelt { meant: "Endpoint" },
        MissingEndpoint() => ConnectionStringError::MissingEndpoint,
        DuplicateProperty{} => ConnectionStringError::DuplicateProperty { name: "Endpoint" },
        InvalidEndpoint() => ConnectionStringError::InvalidEndpoint,
        UnsupportedVersion() => ConnectionStringError::UnsupportedVersion,
        InvalidPort() => ConnectionStringError::InvalidPort,
        InvalidClientEndpoint() => ConnectionStringError::InvalidClientEndpoint,
        InvalidServerEndpoint() => ConnectionStringError::InvalidServerEndpoint,
        MissingAccessKey() => ConnectionStringError::MissingAccessKey,
        MissingClientId() => ConnectionStringError::MissingClientId,
        MissingTenantId() => ConnectionStringError::MissingTenantId,
        MissingClientCredential() => ConnectionStringError::MissingClientCredential,
        Warning(_) => ConnectionStringError::Warning(warning()),
    };
    all.extend(variants! { ConnectionStringWarning:
        UnknownAuthType() => warning(),
        UnusedProperty{} => ConnectionStringWarning::UnusedProperty {
            property: "AccessKey", used: AuthKind::ManagedIdentity,
        },
        MisspeltProperty{} => ConnectionStringWarning::MisspeltProperty { meant: "ClientEndpoint" },
        UnknownProperty() => ConnectionStringWarning::UnknownProperty,
        NotAProperty() => ConnectionStringWarning::NotAProperty,
    });
    all.extend(variants! { EndpointError:
        ConnectionString(_) => EndpointError::ConnectionString(ConnectionStringError::Warning(warning())),
        InvalidUrl{} => EndpointError::InvalidUrl { what: "endpoint" },
        InsecureUrl{} => EndpointError::InsecureUrl { what: "endpoint" },
        PlainHttp{} => EndpointError::PlainHttp { reason: "it is Azure" },
        AuthorityHost(_) => EndpointError::AuthorityHost(InvalidCredential::InsecureAuthority),
        AuthorityOfCredential() => EndpointError::AuthorityOfCredential,
        NoSuchEndpoint() => EndpointError::NoSuchEndpoint,
        Credential(_) => EndpointError::Credential(InvalidCredential::Authority),
    });
    all.extend(variants! { ConfigurationError:
        NoConnection{} => ConfigurationError::NoConnection {
            keys: vec![key()], misspelt: vec![(key(), key())],
        },
        Empty{} => ConfigurationError::Empty { key: key() },
        UnresolvedReference{} => ConfigurationError::UnresolvedReference { key: key() },
        Missing{} => ConfigurationError::Missing { key: key(), needed_by: "the client secret" },
        Invalid{} => ConfigurationError::Invalid { key: key(), expected: "a number" },
        Conflict{} => ConfigurationError::Conflict { keys: vec![key(), key()] },
        ConnectionString{} => ConfigurationError::ConnectionString {
            key: key(), source: ConnectionStringError::Warning(warning()),
        },
        Endpoint{} => ConfigurationError::Endpoint {
            key: key(), source: EndpointError::Credential(InvalidCredential::Authority),
        },
        Unreadable{} => ConfigurationError::Unreadable {
            path: "appsettings.json".to_owned(), source: io::ErrorKind::NotFound.into(),
        },
        InvalidJson{} => ConfigurationError::InvalidJson { line: 1, column: 1 },
        Encrypted() => ConfigurationError::Encrypted,
        Build(_) => ConfigurationError::Build(BuildError::HttpClient(cause())),
    });
    all.extend(variants! { ConfigurationWarning:
        ConnectionString{} => ConfigurationWarning::ConnectionString { key: key(), warning: warning() },
        Unused{} => ConfigurationWarning::Unused { key: key(), meant: Some(key()) },
        UnusedIdentity{} => ConfigurationWarning::UnusedIdentity {
            key: key(), used: AuthKind::ManagedIdentity, meant: None,
        },
        WhiteSpace{} => ConfigurationWarning::WhiteSpace { key: key() },
        Quoted{} => ConfigurationWarning::Quoted { key: key() },
        Shadowed{} => ConfigurationWarning::Shadowed { key: key(), by: key() },
    });
    all.extend(variants! { BuildError:
        NoEndpoint() => BuildError::NoEndpoint,
        NoPrimaryEndpoint() => BuildError::NoPrimaryEndpoint,
        InvalidApplicationName() => BuildError::InvalidApplicationName,
        InvalidProxy{} => BuildError::InvalidProxy { variable: "HTTPS_PROXY" },
        InvalidCertificate{} => BuildError::InvalidCertificate { reason: "it is empty".to_owned() },
        HttpClient(_) => BuildError::HttpClient(cause()),
    });
    all.extend(variants! { ValidatorError:
        InvalidTenant() => ValidatorError::InvalidTenant,
        NoAudience() => ValidatorError::NoAudience,
        NoIdentity() => ValidatorError::NoIdentity,
        InvalidAuthority() => ValidatorError::InvalidAuthority,
        HttpClient(_) => ValidatorError::HttpClient(cause()),
    });
    all.push(Box::new(UpstreamError::new("not today")));
    all.extend(variants! { FunctionError:
        Request(_) => FunctionError::Request(cause()),
        Missing{} => FunctionError::Missing { name: "invocation".to_owned() },
        Type{} => FunctionError::Type { name: "count".to_owned(), wanted: "u8" },
    });
    all
}

fn of_checks() -> All {
    variants! { CheckProblem:
        ConnectionString(_) => CheckProblem::ConnectionString(ConnectionStringWarning::UnknownAuthType),
        Unreachable(_) => CheckProblem::Unreachable(unreachable()),
        NotTheService{} => CheckProblem::NotTheService { status: 404 },
        Unhealthy{} => CheckProblem::Unhealthy { status: 503 },
        NetworkRule() => CheckProblem::NetworkRule,
        ClockSkew{} => CheckProblem::ClockSkew { seconds: 300, ahead: true },
        Credential(_) => CheckProblem::Credential(CredentialError::Connection(cause())),
        NotPassedOn{} => CheckProblem::NotPassedOn { path: "/api/health", status: 404 },
        Audience{} => CheckProblem::Audience {
            audience: "api://other".to_owned(), expected: "https://signalr.azure.com".to_owned(),
        },
        TenantMismatch{} => CheckProblem::TenantMismatch { tenant: "t".to_owned() },
        KeyRefused() => CheckProblem::KeyRefused,
        MissingRole{} => CheckProblem::MissingRole { operation: Operation::Send, identity: "app".to_owned() },
        ClientRefused{} => CheckProblem::ClientRefused { status: 502, url: "https://example.com/client/".to_owned() },
        TooManyConnections() => CheckProblem::TooManyConnections,
        Timeout{} => CheckProblem::Timeout { after: Duration::from_secs(20) },
        Other(_) => CheckProblem::Other(unreachable()),
    }
}

#[test]
fn errors_of_credentials() {
    let mut all = of_credentials();
    all.retain(|error| !matches!(error.downcast_ref(), Some(CredentialError::NoneAvailable(_))));
    check(&all);
}

/// The exception to the rule: an error has one source, and a chain several reasons, so the text has them all. Shown
/// together with its sources, it says them once.
#[test]
fn a_chain_of_credentials_says_every_reason() {
    let error = none_available();
    let reasons = ["environment: the credential is not configured", "Azure CLI: ", "the vault is locked"];
    let whole = ErrorChain::new(&error).to_string();
    for reason in reasons {
        assert_eq!(whole.matches(reason).count(), 1, "{whole}");
    }
    assert_eq!(whole, error.to_string());
    let first = error.source().expect("the first");
    let second = first.source().expect("the second");
    assert!(first.to_string().contains(reasons[0]) && second.to_string().contains(reasons[2]), "{whole}");
    assert!(second.source().is_none());
}

#[test]
fn errors_of_the_service() {
    check(&of_calls());
    check(&of_checks());
}

#[test]
fn errors_of_setups() {
    check(&of_setups());
}

/// The first cell of a row is a part of a problem's text.
#[test]
fn the_guide_has_a_cure_for_every_problem_that_check_finds() {
    let guide = include_str!("entra_guide.md");
    let (_, section) = guide.split_once("\n# 6. Check the setup\n").expect("the section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows: Vec<_> = rows.map(str::to_lowercase).collect();
    for problem in of_checks() {
        let text = problem.to_string().to_lowercase();
        let other = matches!(problem.downcast_ref(), Some(CheckProblem::Other(_)));
        let found = rows.iter().any(|row| text.contains(row));
        assert!(found || (other && rows.contains(&"anything else".to_owned())), "{text}");
    }
    for cloud in [Cloud::Public, Cloud::UsGovernment, Cloud::China] {
        let row = format!("`{cloud}` |");
        let row = guide.lines().find(|line| line.contains(&row)).expect("the cloud's row");
        assert!(row.contains(cloud.authority()) && row.contains(&format!("`{}`", cloud.exchange_audience())));
    }
}

/// Texts that are nearly right have a secret in them too.
#[test]
fn no_error_quotes_what_may_be_a_secret() {
    let mut all = All::new();
    let strings = [
        format!("Endpoint=https://a.example;AccessKey={SECRET};Version=9"),
        format!("AccessKey={SECRET};Version=1.0;"),
        format!("Endpoint=https://{SECRET}@a.example;AccessKey={SECRET}"),
        format!("Endpoint=https://a.example;{SECRET}=1;{SECRET}=2;AccessKey={SECRET}"),
        format!("Endpoint=https://a.example;AuthType=azure.app;ClientSecret={SECRET}"),
        format!("Endpoint=https://a.example;Port={SECRET};AccessKey={SECRET}"),
    ];
    for text in strings {
        if let Err(error) = ConnectionString::parse_strict(&text) {
            all.push(Box::new(error));
        }
        let settings = Configuration::new().set("Azure:SignalR:ConnectionString", text);
        if let Err(error) = settings.endpoints() {
            all.push(Box::new(error));
        }
    }
    let url = format!("http://user:{SECRET}@example.com/?key={SECRET}");
    all.push(Box::new(ServiceEndpoint::new(&url, AccessKey::new(SECRET)).unwrap_err()));
    assert!(all.len() > 8, "{all:?}");
    check(&all);
}
