//! What describes a target: as flags of a command, as a saved context, and both in one.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    HubProtocol, Transport,
    cli::{
        context::named::{HeaderValue, Pair, is_secretive},
        duration::{self, Span},
        failure::Failure,
        secret::SecretSource,
    },
    core::url::HubUrl,
    platform,
};

/// A way to carry messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum TransportName {
    #[value(name = "websockets", aliases = ["ws", "web-sockets"])]
    #[serde(rename = "websockets")]
    WebSockets,
    #[value(alias = "sse")]
    ServerSentEvents,
    #[value(alias = "lp")]
    LongPolling,
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::WebSockets => Self::WebSockets,
            TransportName::ServerSentEvents => Self::ServerSentEvents,
            TransportName::LongPolling => Self::LongPolling,
        }
    }
}

/// How messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum ProtocolName {
    Json,
    #[value(name = "messagepack", alias = "msgpack")]
    MessagePack,
}

impl From<ProtocolName> for HubProtocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::Json => Self::Json,
            ProtocolName::MessagePack => Self::MessagePack,
        }
    }
}

/// The address of a Redis server, or where one with a password stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(in crate::cli) enum RedisAddress {
    Url(String),
    Elsewhere(SecretSource),
}

impl RedisAddress {
    pub(in crate::cli) fn read(&self) -> Result<String, Failure> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::Elsewhere(source) => Ok(source.read()?.expose().to_owned()),
        }
    }
}

impl FromStr for RedisAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(source) => Ok(Self::Elsewhere(source)),
            Err(_) if text.contains('@') || text.contains("password=") => {
                Err("an address with a password is given as `env:NAME` or `file:PATH`, not by itself")
            }
            Err(_) => Ok(Self::Url(text.to_owned())),
        }
    }
}

impl TryFrom<String> for RedisAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RedisAddress> for String {
    fn from(address: RedisAddress) -> Self {
        match address {
            RedisAddress::Url(url) => url,
            RedisAddress::Elsewhere(source) => source.to_string(),
        }
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Elsewhere(source) => source.fmt(f),
        }
    }
}

/// How long to wait for a server: one and the same option of every command that speaks to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::cli) struct Timeout {
    /// How long each step of connecting, and each request, may take: 5 (seconds), 500ms, 1m [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = span, help_heading = "Target")]
    timeout: Option<Span>,
}

fn span(text: &str) -> Result<Span, &'static str> {
    duration::parse_positive(text).map(Span)
}

impl Timeout {
    const DEFAULT: Duration = Duration::from_secs(15);

    pub(in crate::cli) fn or_default(self) -> Duration {
        self.given().unwrap_or(Self::DEFAULT)
    }

    /// Unless it is left to the default.
    pub(in crate::cli) fn given(self) -> Option<Duration> {
        self.timeout.map(|Span(time)| time)
    }

    pub(in crate::cli) fn or(self, other: Self) -> Self {
        Self { timeout: self.timeout.or(other.timeout) }
    }

    fn is_default(&self) -> bool {
        self.timeout.is_none()
    }
}

/// What describes a target. No secret is in it: only where secrets stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Target")]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::cli) struct TargetOptions {
    /// The hub's URL, which each command takes by its position.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) url: Option<String>,
    /// The name of a hub of Azure SignalR Service; the client token is then made here
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) hub: Option<String>,
    /// The service's connection string: env:NAME, file:PATH or - for standard input; by default the environment variables
    /// that Azure's SDKs read, such as AzureSignalRConnectionString
    #[arg(long, value_name = "SOURCE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) connection_string: Option<SecretSource>,
    /// The service's address instead of a connection string, with Microsoft Entra: AZURE_CLIENT_ID and so on, or whatever
    /// identity this machine has
    #[arg(long, value_name = "URL", conflicts_with = "connection_string")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) endpoint: Option<String>,
    /// The application name of the service's hubs
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) application_name: Option<String>,
    /// The user in a client token that is made here
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) user: Option<String>,
    /// A claim in a client token that is made here; repeatable
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) claims: Vec<Pair>,
    /// The access token for the hub: env:NAME, file:PATH or - for standard input
    #[arg(long, value_name = "SOURCE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) token: Option<SecretSource>,
    /// A header for every request; repeatable. A value env:NAME or file:PATH is read from there
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) headers: Vec<HeaderValue>,
    /// A parameter for the query of the hub's URL; repeatable. A value env:NAME or file:PATH is read from there
    #[arg(long = "query", value_name = "NAME=VALUE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) query: Vec<Pair>,
    /// Allow only these transports, with commas between them [default: all]
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) transport: Vec<TransportName>,
    /// How messages are encoded [default: json]
    #[arg(long, value_name = "NAME", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) protocol: Option<ProtocolName>,
    /// Trust the certificates of this PEM file, besides those of the system
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) root_certificate: Option<PathBuf>,
    /// Allow plain http to other machines: tokens and messages can then be read on the way
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub(in crate::cli) insecure_http: bool,
    #[command(flatten)]
    #[serde(skip_serializing_if = "Timeout::is_default")]
    pub(in crate::cli) timeout: Timeout,
    /// Which commands that publish take by a flag of their own.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) redis: Option<RedisAddress>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// How sure it is that the user means the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// By its name, for this command.
    Named,
    /// It is the current one.
    Current,
}

impl TargetOptions {
    /// Fills in from a context what the flags leave out. What belongs to the context's target, above all its token and
    /// headers, is left out when the flags name another target: it must not go there.
    pub(super) fn or(self, saved: Self, chosen: Chosen) -> Self {
        let mut all = self;
        if all.is_for(&saved, chosen) {
            let names_service =
                all.hub.is_some() || all.connection_string.is_some() || all.endpoint.is_some();
            all.url = all.url.or(saved.url.filter(|_| !names_service));
            if all.url.is_none() {
                all.hub = all.hub.or(saved.hub);
                // Each of the two stands for the whole service.
                if all.connection_string.is_none() && all.endpoint.is_none() {
                    all.connection_string = saved.connection_string;
                    all.endpoint = saved.endpoint;
                }
                all.application_name = all.application_name.or(saved.application_name);
            }
            all.user = all.user.or(saved.user);
            all.token = all.token.or(saved.token);
            fill(&mut all.claims, saved.claims);
            fill(&mut all.headers, saved.headers);
            fill(&mut all.query, saved.query);
            all.root_certificate = all.root_certificate.or(saved.root_certificate);
            all.insecure_http |= saved.insecure_http;
        }
        fill(&mut all.transport, saved.transport);
        all.protocol = all.protocol.or(saved.protocol);
        all.redis = all.redis.or(saved.redis);
        all.timeout = all.timeout.or(saved.timeout);
        all
    }

    /// Whether they say by themselves where to go.
    pub(super) fn names_target(&self) -> bool {
        self.url.is_some() || self.redis.is_some() || self.names_service()
    }

    /// Whether these flags, if they name a target, name that of the context.
    fn is_for(&self, saved: &Self, chosen: Chosen) -> bool {
        if let Some(url) = &self.url {
            let origin = |url: &str| platform::absolute_url(url).ok();
            return match (&saved.url, origin(url)) {
                (Some(known), Some(url)) => origin(known).is_some_and(|known| known.has_same_origin(&url)),
                // A context of a token and headers alone.
                (None, _) => chosen == Chosen::Named && !saved.names_service(),
                (_, None) => false,
            };
        }
        if self.connection_string.is_some() || self.endpoint.is_some() {
            return self.connection_string == saved.connection_string && self.endpoint == saved.endpoint;
        }
        self.hub.is_none() || saved.url.is_none()
    }

    fn names_service(&self) -> bool {
        self.hub.is_some() || self.connection_string.is_some() || self.endpoint.is_some()
    }

    /// Refuses what must not be saved, and what cannot work.
    pub(super) fn check_saved(&self) -> Result<(), Failure> {
        if let Some(url) = &self.url {
            let parsed = platform::absolute_url(url)
                .map_err(|error| Failure::usage("the URL cannot be used").because(error))?;
            check_url(&parsed, url)?;
        }
        let sources = [
            ("--token", &self.token),
            ("--connection-string", &self.connection_string),
            (
                "--redis",
                &match &self.redis {
                    Some(RedisAddress::Elsewhere(source)) => Some(source.clone()),
                    _ => None,
                },
            ),
        ];
        for (name, source) in sources {
            if source.as_ref() == Some(&SecretSource::StandardInput) {
                return Err(Failure::usage(format!("{name} - cannot be saved"))
                    .advise("a context says where a secret stands: give `env:NAME` or `file:PATH`"));
            }
        }
        if self.url.is_some() && self.names_service() {
            return Err(Failure::usage("a context is for a hub's URL or for a hub of a service, not for both")
                .advise("leave out the URL, or --hub, --connection-string and --endpoint; save two contexts if you need both"));
        }
        Ok(())
    }
}

/// What a list says as a whole counts.
fn fill<T>(list: &mut Vec<T>, saved: Vec<T>) {
    if list.is_empty() {
        *list = saved;
    }
}

/// Secrets in a URL would be saved with it.
fn check_url(url: &HubUrl, text: &str) -> Result<(), Failure> {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Failure::usage("the URL has a user name or a password in it, which is not saved")
            .advise("leave it out, and give `--header 'Authorization: env:NAME'`"));
    }
    let names = url.query().split('&').filter_map(|pair| pair.split('=').next());
    match names.into_iter().find(|name| is_secretive(name)) {
        Some(name) => Err(Failure::usage(format!(
            "the URL's parameter `{name}` looks like a secret, which is not saved"
        ))
        .advise(format!("leave it out of the URL, and give `--query {name}=env:VARIABLE`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(url: &str) -> TargetOptions {
        TargetOptions { url: Some(url.into()), ..TargetOptions::default() }
    }

    fn saved() -> TargetOptions {
        TargetOptions {
            token: Some(SecretSource::Environment("TOKEN".into())),
            headers: vec!["X-Api-Key: env:KEY".parse().expect("a header")],
            transport: vec![TransportName::LongPolling],
            ..hub("https://a.example/chat")
        }
    }

    #[test]
    fn a_flag_wins() {
        let flags = TargetOptions {
            token: Some(SecretSource::Environment("OTHER".into())),
            transport: vec![TransportName::WebSockets],
            ..TargetOptions::default()
        };
        let all = flags.or(saved(), Chosen::Current);
        assert_eq!(all.url.as_deref(), Some("https://a.example/chat"));
        assert_eq!(all.token, Some(SecretSource::Environment("OTHER".into())));
        assert_eq!(all.transport, [TransportName::WebSockets]);
        assert_eq!(all.headers.len(), 1);
    }

    #[test]
    fn secrets_of_a_context_stay_with_its_target() {
        for (url, goes) in [
            ("https://a.example/other", true),
            ("https://A.example:443/", true),
            ("http://a.example/chat", false),
            ("https://b.example/chat", false),
            ("https://a.example:8443/chat", false),
        ] {
            let all = hub(url).or(saved(), Chosen::Named);
            assert_eq!(all.token.is_some(), goes, "{url}");
            assert_eq!(all.headers.is_empty(), !goes, "{url}");
            assert_eq!(all.url.as_deref(), Some(url));
            assert_eq!(all.transport, [TransportName::LongPolling]);
        }
        let service = TargetOptions { hub: Some("chat".into()), ..TargetOptions::default() };
        let all = service.or(saved(), Chosen::Current);
        assert_eq!((all.url, all.token, all.hub.as_deref()), (None, None, Some("chat")));
    }

    #[test]
    fn a_context_without_a_target_counts_by_its_name() {
        let token = TargetOptions { url: None, ..saved() };
        assert!(hub("https://a/").or(token.clone(), Chosen::Current).token.is_none());
        assert!(hub("https://a/").or(token, Chosen::Named).token.is_some());
    }

    #[test]
    fn a_service_is_one_thing() {
        let saved = TargetOptions {
            hub: Some("chat".into()),
            connection_string: Some(SecretSource::Environment("A".into())),
            user: Some("alice".into()),
            ..TargetOptions::default()
        };
        let flags = TargetOptions { hub: Some("news".into()), ..TargetOptions::default() };
        let all = flags.or(saved.clone(), Chosen::Current);
        assert_eq!((all.hub.as_deref(), all.user.as_deref()), (Some("news"), Some("alice")));
        assert_eq!(all.connection_string, saved.connection_string);
        let flags = TargetOptions { endpoint: Some("https://b".into()), ..TargetOptions::default() };
        let all = flags.or(saved.clone(), Chosen::Named);
        assert_eq!((all.hub, all.user, all.connection_string), (None, None, None));
        let all = hub("https://c/").or(saved, Chosen::Current);
        assert_eq!((all.hub, all.user, all.connection_string), (None, None, None));
    }

    #[test]
    fn secrets_are_not_saved() {
        for url in [
            "https://user:c2VjcmV0@a/chat",
            "https://a/chat?access_token=c2VjcmV0",
            "https://a/?x=1&code=c2VjcmV0",
        ] {
            let failure = hub(url).check_saved().expect_err(url);
            assert!(!failure.to_string().contains("c2VjcmV0"), "{failure}");
        }
        let input = TargetOptions { token: Some(SecretSource::StandardInput), ..TargetOptions::default() };
        assert!(input.check_saved().is_err());
        assert!("redis://:c2VjcmV0@host".parse::<RedisAddress>().is_err());
        assert!(saved().check_saved().is_ok());
        assert!(TargetOptions { hub: Some("chat".into()), ..saved() }.check_saved().is_err());
    }
}
