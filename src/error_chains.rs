//! Every error of this crate, by one rule: its text is not what its source says, every chain ends, and none shows a
//! secret. The lists below do not compile once a variant is missing in them.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::client::CallError;
use crate::core::client::ConnectionError;
use crate::core::codec::Payload;
use crate::core::hub_name::HubNameError;
use crate::core::negotiate::{NegotiateError, SkipReason, SkippedTransport, TransferFormat};
use crate::core::refresh::RefreshError;
use crate::core::server::DisconnectReason;
use crate::core::token::{TokenError, TokenPart};
use crate::core::url::{HubUrl, UrlError};
use crate::core::value::TimestampError;
use crate::core::{Cause, ErrorChain, ProtocolError, TransportError};
use crate::payload::Decode as _;
use crate::serialize::SerializeError;

/// It stands wherever a secret could get into an error.
pub(crate) const SECRET: &str = "c2VjcmV0";

pub(crate) type All = Vec<Box<dyn Error>>;

/// One error of every variant.
macro_rules! variants {
    ($name:ident: $($variant:ident $fields:tt => $error:expr,)+) => {{
        #[allow(dead_code, reason = "it is there to be complete")]
        fn is_listed(error: &$name) {
            match error { $(variants!(@ $name $variant $fields) => {})+ }
        }
        let all: Vec<$name> = vec![$($error),+];
        all.into_iter().map(|error| -> Box<dyn Error> { Box::new(error) }).collect::<All>()
    }};
    (@ $name:ident $variant:ident ()) => { $name::$variant };
    (@ $name:ident $variant:ident (_)) => { $name::$variant(..) };
    (@ $name:ident $variant:ident {}) => { $name::$variant { .. } };
}
pub(crate) use variants;

/// The rule, for one error.
fn check_one(error: &dyn Error) {
    let (mut last, mut depth) = (error, 0);
    while let Some(source) = last.source() {
        let (text, cause) = (last.to_string(), source.to_string());
        assert!(!text.contains(&cause), "{text:?} has in it what its source says: {cause:?}");
        assert!(!cause.is_empty() && !cause.contains(&text), "{text:?} is repeated by its source: {cause:?}");
        last = source;
        depth += 1;
        assert!(depth < 16, "the chain of {error:?} does not end");
    }
}

/// The rule, for all of them.
pub(crate) fn check(all: &All) {
    for error in all {
        check_one(&**error);
        for shown in [error.to_string(), ErrorChain::new(&**error).to_string(), format!("{error:?}")] {
            assert!(!shown.is_empty() && !shown.contains(SECRET), "{shown}");
        }
        let text = error.to_string();
        // They are parts of a sentence: "what failed: why".
        assert!(!text.ends_with(['.', ':', ' ', '\n']) && !text.contains("  "), "{text:?}");
    }
}

pub(crate) fn cause() -> Cause {
    Cause::new(io::Error::new(io::ErrorKind::PermissionDenied, "the vault is locked"))
}

fn url() -> HubUrl {
    HubUrl::parse(&format!("https://example.com/chat?access_token={SECRET}")).unwrap()
}

fn lost() -> TransportError {
    TransportError { status: Some(503), ..TransportError::because_of("the request failed", cause()) }
}

fn protocol() -> ProtocolError {
    ProtocolError::Json { offset: 1, reason: "a comma is missing" }
}

fn of_core() -> All {
    let mut all = variants! { UrlError:
        Scheme() => UrlError::Scheme,
        Host() => UrlError::Host,
        InvalidHost() => UrlError::InvalidHost,
        InternationalHost() => UrlError::InternationalHost,
        Port() => UrlError::Port,
        UserInformation() => UrlError::UserInformation,
        Backslash() => UrlError::Backslash,
        Character() => UrlError::Character,
    };
    all.extend(variants! { ProtocolError:
        Json{} => protocol(),
        MessagePack{} => ProtocolError::MessagePack { offset: 0, reason: "the bytes end too early" },
        Message(_) => ProtocolError::Message("the type is missing"),
        TooLong{} => ProtocolError::TooLong { limit: 1 },
        Incomplete() => ProtocolError::Incomplete,
        Sequence{} => ProtocolError::Sequence { sequence_id: 1 },
        NotAHandshake() => ProtocolError::NotAHandshake,
        WrongKind(_) => ProtocolError::WrongKind("text"),
    });
    all.extend(variants! { NegotiateError:
        Status{} => NegotiateError::Status { status: 401, retry_after: None, reason: None },
        HttpRedirect{} => NegotiateError::HttpRedirect { status: Some(302), location: None },
        WebPage() => NegotiateError::WebPage,
        NotJson(_) => NegotiateError::NotJson(protocol()),
        Invalid(_) => NegotiateError::Invalid("`url` is not a text"),
        WrongCase(_) => NegotiateError::WrongCase("Url".to_owned()),
        LegacyServer() => NegotiateError::LegacyServer,
        Refused(_) => NegotiateError::Refused("not you".to_owned()),
        RedirectLimit() => NegotiateError::RedirectLimit,
        RedirectUrl(_) => NegotiateError::RedirectUrl(UrlError::Host),
        InsecureRedirect() => NegotiateError::InsecureRedirect,
        UnaskedStatefulReconnect() => NegotiateError::UnaskedStatefulReconnect,
        TooLong() => NegotiateError::TooLong,
    });
    all.extend(variants! { SkipReason:
        Unknown() => SkipReason::Unknown,
        Disabled() => SkipReason::Disabled,
        Format(_) => SkipReason::Format(TransferFormat::Binary),
        Environment() => SkipReason::Environment,
        Failed(_) => SkipReason::Failed(lost()),
    });
    all.extend(variants! { RefreshError:
        NotConnected() => RefreshError::NotConnected,
        WebPage() => RefreshError::WebPage,
        NoProvider() => RefreshError::NoProvider,
        AccessToken(_) => RefreshError::AccessToken(cause()),
        Request(_) => RefreshError::Request(lost()),
        Refused{} => RefreshError::Refused { status: 403, error: Some("not you".to_owned()) },
        Invalid(_) => RefreshError::Invalid(protocol()),
    });
    all.extend(variants! { TokenError:
        TooLong{} => TokenError::TooLong { length: 1 },
        Parts{} => TokenError::Parts { parts: 1 },
        Base64(_) => TokenError::Base64(TokenPart::Claims),
        Utf8(_) => TokenError::Utf8(TokenPart::Header),
        Json{} => TokenError::Json { part: TokenPart::Claims, source: protocol() },
        Claim(_) => TokenError::Claim("exp"),
    });
    all.extend(variants! { DisconnectReason:
        ClientClosed{} => DisconnectReason::ClientClosed { error: Some("enough".into()) },
        Transport(_) => DisconnectReason::Transport(lost()),
        HandshakeTimeout{} => DisconnectReason::HandshakeTimeout { limit: Duration::from_secs(1) },
        HandshakeRefused(_) => DisconnectReason::HandshakeRefused("the protocol is not known".into()),
        ClientTimeout{} => DisconnectReason::ClientTimeout { limit: Duration::from_secs(1) },
        SlowClient{} => DisconnectReason::SlowClient { limit: Duration::from_secs(1) },
        Protocol(_) => DisconnectReason::Protocol(protocol()),
        Closed{} => DisconnectReason::Closed { error: None, allow_reconnect: false },
        Aborted() => DisconnectReason::Aborted,
    });
    all.extend(variants! { HubNameError:
        Empty() => HubNameError::Empty,
        TooLong() => HubNameError::TooLong,
        Character() => HubNameError::Character,
    });
    all.extend(variants! { TimestampError:
        Format() => TimestampError::Format,
        Range() => TimestampError::Range,
        Offset() => TimestampError::Offset,
    });
    all.push(Box::new(lost()));
    all
}

fn of_connections() -> All {
    let skipped = SkippedTransport { transport: "WebSockets".to_owned(), reason: SkipReason::Failed(lost()) };
    variants! { ConnectionError:
        InvalidUrl(_) => ConnectionError::InvalidUrl(UrlError::Scheme),
        InvalidCertificate{} => ConnectionError::InvalidCertificate { reason: "it is empty".to_owned() },
        InvalidHeader{} => ConnectionError::InvalidHeader { name: "X-Test".to_owned(), reason: "contains a line end" },
        InsecureUrl(_) => ConnectionError::InsecureUrl(url()),
        AccessToken(_) => ConnectionError::AccessToken(cause()),
        Negotiate{} => ConnectionError::Negotiate { url: url(), source: NegotiateError::NotJson(protocol()) },
        NegotiateRequest{} => ConnectionError::NegotiateRequest { url: url(), source: lost() },
        NoTransport{} => ConnectionError::NoTransport { skipped: vec![skipped] },
        Transport(_) => ConnectionError::Transport(lost()),
        Timeout{} => ConnectionError::Timeout { step: "negotiating", limit: Duration::from_secs(1) },
        Handshake(_) => ConnectionError::Handshake("the protocol is not known".to_owned()),
        Protocol(_) => ConnectionError::Protocol(protocol()),
        ServerTimeout{} => ConnectionError::ServerTimeout { limit: Duration::from_secs(1) },
        ServerClosed{} => ConnectionError::ServerClosed { error: Some("enough".into()), allow_reconnect: true },
        RetriesExhausted{} => ConnectionError::RetriesExhausted {
            attempts: 4,
            elapsed: Duration::from_secs(42),
            last: std::sync::Arc::new(ConnectionError::Transport(lost())),
        },
        SlowConsumer() => ConnectionError::SlowConsumer,
        Stopped() => ConnectionError::Stopped,
        AlreadyStarted() => ConnectionError::AlreadyStarted,
        NotConnected() => ConnectionError::NotConnected,
    }
}

fn of_calls() -> All {
    let unreadable =
        Payload::Json("\"x\"").decode::<u8>(crate::property_names::PropertyNames::default()).unwrap_err();
    let unwritable = SerializeError::new("a key is not a text");
    let mut all = variants! { CallError:
        Server(_) => CallError::Server("not today".to_owned()),
        Connection(_) => CallError::Connection(ConnectionError::Transport(lost())),
        Arguments(_) => CallError::Arguments(unwritable.clone()),
        Result(_) => CallError::Result(unreadable.clone()),
        Timeout{} => CallError::Timeout { limit: Duration::from_secs(1) },
        NotAStream() => CallError::NotAStream,
    };
    all.push(Box::new(unreadable));
    all.push(Box::new(unwritable));
    all
}

#[test]
fn errors_of_the_protocol() {
    check(&of_core());
}

#[test]
fn errors_of_connections_and_calls() {
    check(&of_connections());
    check(&of_calls());
}

#[test]
fn a_provider_gets_its_own_error_back() {
    for error in [
        Box::<dyn Error>::from(CallError::Connection(ConnectionError::AccessToken(cause()))),
        RefreshError::AccessToken(cause()).into(),
    ] {
        let mut last: &dyn Error = &*error;
        while let Some(source) = last.source() {
            last = source;
        }
        let io = last.downcast_ref::<io::Error>().expect("the error of the program itself");
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
        assert!(ErrorChain::new(&*error).to_string().ends_with(": the vault is locked"), "{error}");
    }
}

#[cfg(feature = "local")]
#[test]
fn errors_of_the_local_service() {
    use crate::local::LocalError;

    check(&variants! { LocalError:
        Listen{} => LocalError::Listen {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 80,
            source: io::ErrorKind::PermissionDenied.into(),
        },
        InvalidAccessKey() => LocalError::InvalidAccessKey,
        KeyVaultReference() => LocalError::KeyVaultReference,
        InvalidHttpsCertificate{} => LocalError::InvalidHttpsCertificate { reason: "no key".to_owned() },
        DuplicateApplication{} => LocalError::DuplicateApplication { client_id: "app".to_owned() },
        InvalidCertificate{} => LocalError::InvalidCertificate { client_id: "app".to_owned() },
        InvalidPublicEndpoint() => LocalError::InvalidPublicEndpoint,
        InvalidOrigin(_) => LocalError::InvalidOrigin(crate::cors::InvalidOrigin::Wildcard),
        InvalidHost{} => LocalError::InvalidHost { host: "a/b".to_owned() },
        InvalidUpstream() => LocalError::InvalidUpstream,
        HttpClient(_) => LocalError::HttpClient(cause()),
        Random(_) => LocalError::Random(io::ErrorKind::Unsupported.into()),
    });
}
