//! `hubwire token`: what a token says and what the service would refuse about it; and a new one.

use std::{
    io::{IsTerminal as _, stdin},
    process::ExitCode,
    time::Duration,
};

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    cli::{
        context::{Contexts, Pair, Target, TargetOptions, Timeout, endpoint_and_key},
        duration::{self, words},
        failure::Failure,
        output::{BAD, FAINT, GOOD, NAME, Output, STRONG, WARNING},
        secret::SecretSource,
        value::{printable, shortened},
    },
    core::token::{
        ClientToken, SERVICE_LIMIT, TokenExpectation, TokenProblem, claim_meaning, without_scheme,
    },
    platform::unix_now,
    service::{
        jwt::{Key, Token, verify::TokenError},
        secret::Secret,
    },
};

/// The claims whose values are times.
const TIMES: [&str; 4] = ["exp", "iat", "nbf", "asrs.s.aeo"];
const LONGEST_VALUE: usize = 300;

/// Read a client token, or make one
///
/// Shows the token's header and claims with what they mean, and what Azure SignalR Service would refuse about it; then the exit
/// code is 1. The token comes from standard input, the environment or a file, never from the command line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire token env:TOKEN
  pbpaste | hubwire token - --hub chat
  hubwire token env:TOKEN --connection-string env:AzureSignalRConnectionString
  hubwire token --make --hub chat --user alice --claim role=admin --ttl 1h")]
pub(super) struct Arguments {
    /// The token to read: env:NAME, file:PATH or - for standard input
    #[arg(value_name = "SOURCE", conflicts_with = "make")]
    token: Option<SecretSource>,
    /// Make a token with the service's access key or identity, and print it
    #[arg(long)]
    make: bool,
    /// How long the token that is made lasts, up to 365d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::parse_lifetime, requires = "make")]
    ttl: Duration,
    /// The user of the token that is made
    #[arg(long, value_name = "ID", requires = "make")]
    user: Option<String>,
    /// A claim of the token that is made; repeatable
    #[arg(long = "claim", value_name = "NAME=VALUE", requires = "make")]
    claims: Vec<Pair>,
    /// The hub that the token is for
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
    /// The service's connection string, to check endpoint and signature by: env:NAME, file:PATH or - for standard input
    #[arg(long, value_name = "SOURCE")]
    connection_string: Option<SecretSource>,
    /// The service's address, to check the audience by
    #[arg(long, value_name = "URL", conflicts_with = "connection_string")]
    endpoint: Option<String>,
    /// The access key, to check the signature by: env:NAME or file:PATH
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["connection_string", "make"])]
    key: Option<SecretSource>,
    /// The application name of the service's hubs
    #[arg(long, value_name = "NAME")]
    application_name: Option<String>,
    /// Check the times alone: the token is one of an app server, not of the service
    #[arg(long, conflicts_with_all = ["make", "key", "connection_string", "endpoint", "hub"])]
    other: bool,
    #[command(flatten)]
    timeout: Timeout,
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    if arguments.make { make(arguments, contexts, output).await } else { read(&arguments, contexts, output) }
}

async fn make(arguments: Arguments, contexts: &Contexts, output: &Output) -> Result<ExitCode, Failure> {
    let Arguments { ttl, user, claims, hub, connection_string, endpoint, application_name, timeout, .. } =
        arguments;
    let flags = TargetOptions {
        hub,
        connection_string,
        endpoint,
        application_name,
        user,
        claims,
        timeout,
        ..TargetOptions::default()
    };
    let target: Target = contexts.target(None, flags)?;
    let access = target.access(ttl).await?;
    if output.is_json() {
        let seconds = access.expires_in.as_secs();
        output.json(&json!({ "url": access.url, "token": access.access_token, "expiresInSeconds": seconds }));
    } else {
        output.line(access.access_token);
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of checking a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Valid,
    Wrong,
    /// Without a key, or by an algorithm that has none.
    Unknown,
}

impl Signature {
    fn check(token: &str, key: Option<&Secret>) -> Self {
        let (Some(key), Some(token)) = (key, Token::parse(token)) else { return Self::Unknown };
        match Key::new(key.expose(), None).verify_signature(&token) {
            Ok(()) => Self::Valid,
            Err(TokenError::Signature) => Self::Wrong,
            Err(_) => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Wrong => "wrongKey",
            Self::Unknown => "unknown",
        }
    }
}

/// What is wrong with a token.
struct Verdict {
    problems: Vec<String>,
    warnings: Vec<String>,
    signature: Signature,
}

fn read(arguments: &Arguments, contexts: &Contexts, output: &Output) -> Result<ExitCode, Failure> {
    let source = arguments.token.clone().unwrap_or(SecretSource::StandardInput);
    if source == SecretSource::StandardInput && stdin().is_terminal() {
        output.note(format_args!(
            "{FAINT}Paste the token, then press Enter and Ctrl-D (Ctrl-Z on Windows).{FAINT:#}"
        ));
    }
    if source == SecretSource::StandardInput
        && arguments.connection_string == Some(SecretSource::StandardInput)
    {
        return Err(Failure::usage("token and connection string cannot both come from standard input")
            .advise("give one of them as env:NAME or file:PATH"));
    }
    let text = source.read()?;
    let text = without_scheme(text.expose());
    let token = ClientToken::parse(text).map_err(|error| {
        Failure::new("the text is not a token that can be read").because(error).advise(
            "a client token has three parts with dots between them, and begins with eyJ; give the token alone, without quotes",
        )
    })?;
    let verdict = judge(arguments, contexts, text, &token)?;
    if output.is_json() {
        output.json(&as_json(&token, &verdict));
    } else {
        print(&token, &verdict, output);
    }
    Ok(if verdict.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(
    arguments: &Arguments,
    contexts: &Contexts,
    text: &str,
    token: &ClientToken,
) -> Result<Verdict, Failure> {
    let mut key = arguments.key.as_ref().map(SecretSource::read).transpose()?;
    let (mut hub, mut endpoint) = (arguments.hub.clone(), arguments.endpoint.clone());
    let mut application = arguments.application_name.clone();
    if arguments.connection_string.is_some() || (contexts.is_named() && !arguments.other) {
        let flags = TargetOptions {
            hub: hub.clone(),
            connection_string: arguments.connection_string.clone(),
            ..TargetOptions::default()
        };
        let options = contexts.options(None, flags)?;
        if options.url.is_none() {
            let (address, found) = endpoint_and_key(&options)?;
            (endpoint, key) = (endpoint.or(Some(address)), key.or(found));
            hub = hub.or(options.hub);
            application = application.or(options.application_name);
        }
    }
    let application = application.map(|name| format!("{}_", name.to_ascii_lowercase()));
    let hub = hub.map(|hub| format!("{}{hub}", application.unwrap_or_default()));
    let expected = TokenExpectation { now: now(), hub: hub.as_deref(), endpoint: endpoint.as_deref() };
    let found = if arguments.other { token.problems_of_time(now()) } else { token.problems(&expected) };
    let (warnings, problems): (Vec<_>, Vec<_>) = found.into_iter().partition(|problem| problem.is_warning());
    let text_of = |list: Vec<TokenProblem>| list.iter().map(ToString::to_string).collect();
    let mut verdict = Verdict {
        problems: text_of(problems),
        warnings: text_of(warnings),
        signature: Signature::check(text, key.as_ref()),
    };
    if verdict.signature == Signature::Wrong {
        let other = match token.key_id() {
            Some(_) => {
                ": its key has an id, so that it may be a temporary one of Microsoft Entra, which cannot be checked here"
            }
            None => ": take the current key; the resource has two, and either is good",
        };
        verdict.problems.push(format!("it is signed with another key{other}"));
    }
    Ok(verdict)
}

fn now() -> i64 {
    i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX)
}

/// `{header, claims, audience, hub, user, issuedAt, expiresAt, expiresInSeconds, length, signature, problems, warnings}`; times
/// are in seconds since 1970.
fn as_json(token: &ClientToken, verdict: &Verdict) -> Value {
    let parsed =
        |text: Option<&str>| serde_json::from_str::<Value>(text.unwrap_or("null")).unwrap_or_default();
    let header: serde_json::Map<_, _> =
        token.header_names().map(|name| (name.to_owned(), parsed(token.header_value(name)))).collect();
    let claims: Vec<_> = token
        .claim_names()
        .map(|name| json!({ "name": name, "value": parsed(token.claim(name)), "meaning": claim_meaning(name) }))
        .collect();
    json!({
        "header": header,
        "claims": claims,
        "audience": token.audience(),
        "hub": token.hub(),
        "user": token.user_id(),
        "issuedAt": token.issued_at(),
        "expiresAt": token.expires_at(),
        "expiresInSeconds": token.expires_at().map(|at| at.saturating_sub(now())),
        "length": token.length(),
        "signature": verdict.signature.name(),
        "problems": verdict.problems,
        "warnings": verdict.warnings,
    })
}

fn print(token: &ClientToken, verdict: &Verdict, output: &Output) {
    output.line(format_args!("{STRONG}Header{STRONG:#}"));
    for name in token.header_names() {
        output.line(format_args!("  {NAME}{}{NAME:#}  {}", clean(name), shown(token.header_value(name))));
    }
    output.line(format_args!("{STRONG}Claims{STRONG:#}"));
    let widest = token.claim_names().map(|name| name.chars().count()).max().unwrap_or_default().min(24);
    for name in token.claim_names() {
        let value = token.claim(name);
        let time = value
            .filter(|_| TIMES.contains(&name))
            .and_then(|text| text.trim_matches('"').parse().ok())
            .and_then(date);
        let value = time.unwrap_or_else(|| shown(value));
        output.line(format_args!("  {NAME}{:widest$}{NAME:#}  {value}", clean(name)));
        if let Some(meaning) = claim_meaning(name) {
            output.line(format_args!("  {:widest$}  {FAINT}{meaning}{FAINT:#}", ""));
        }
    }
    output.line("");
    let fact = |name: &str, value: &dyn std::fmt::Display| {
        output.line(format_args!("{FAINT}{name:<10}{FAINT:#} {value}"));
    };
    if let Some(hub) = token.hub() {
        fact("hub", &clean(&hub));
    }
    fact("user", &token.user_id().map_or("nobody by name".to_owned(), |user| clean(&user)));
    if let Some(at) = token.expires_at() {
        let left = at.saturating_sub(now());
        let seconds = Duration::from_secs(left.unsigned_abs());
        if left > 0 {
            fact("expires", &format_args!("in {}", words(seconds)));
        } else {
            fact("expired", &format_args!("{BAD}{} ago{BAD:#}", words(seconds.max(Duration::from_secs(1)))));
        }
    }
    fact("length", &format_args!("{} of at most {SERVICE_LIMIT} characters", token.length()));
    match verdict.signature {
        Signature::Valid => fact("signature", &format_args!("{GOOD}valid{GOOD:#}")),
        Signature::Wrong => fact("signature", &format_args!("{BAD}of another key{BAD:#}")),
        Signature::Unknown => fact("signature", &"not checked (--connection-string or --key)"),
    }
    output.line("");
    for warning in &verdict.warnings {
        output.line(format_args!("{WARNING}warning{WARNING:#}  {warning}"));
    }
    for problem in &verdict.problems {
        output.line(format_args!("{BAD}refused{BAD:#}  {problem}"));
    }
    if verdict.problems.is_empty() {
        output.line(format_args!("{GOOD}nothing{GOOD:#} that would be refused"));
    }
}

/// A value as JSON, not longer than a few lines.
fn shown(json: Option<&str>) -> String {
    let text = json.unwrap_or_default();
    let plain = serde_json::from_str::<String>(text);
    clean(plain.as_deref().unwrap_or(text))
}

/// A text of the network, cut to a few lines.
fn clean(text: &str) -> String {
    printable(&shortened(text, LONGEST_VALUE))
}

/// Seconds since 1970 as a date: `2026-11-30 18:05:00 UTC`.
fn date(seconds: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (date, time) = (at.date(), at.time());
    Some(format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC {FAINT}({seconds}){FAINT:#}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    ))
}
