//! What is measured: from flags, and from a file with several scenarios.

use std::{path::Path, time::Duration};

use clap::ValueEnum;
use jsonc_parser::{CollectOptions, ast, parse_to_ast};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    cli::{context::TargetOptions, duration::Span, failure::Failure, value::typed},
    service::configuration::json,
};

const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const DEFAULT_WARM_UP: Duration = Duration::from_secs(2);
/// How many calls of a connection may wait in an open loop, so that a slow answer does not hold up the next call.
const OPEN_LOOP_IN_FLIGHT: usize = 64;

const LONGEST_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);
/// More than one machine can have or keep up with.
const MOST: u64 = 1_000_000;
const LARGEST_PAYLOAD: u64 = 64 << 20;
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1e6;

/// What a scenario does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Call a method and wait for its result
    #[default]
    Echo,
    /// Call a method without waiting
    Send,
    /// Count the messages that the hub sends of its own accord
    Receive,
    /// Have a message sent to every connection
    Broadcast,
    /// Hold connections that do nothing
    Idle,
    /// Connect and disconnect
    Connect,
    /// Read a stream of the hub
    Stream,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Broadcast => "broadcast",
            Self::Idle => "idle",
            Self::Connect => "connect",
            Self::Stream => "stream",
        }
    }

    /// What is counted.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Echo => "calls",
            Self::Send | Self::Receive => "messages",
            Self::Broadcast => "deliveries",
            Self::Idle | Self::Connect => "connections",
            Self::Stream => "items",
        }
    }
}

/// Where a broadcast comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Publisher {
    /// A method of the hub that one of the connections calls
    Hub,
    /// The REST API of the service
    Rest,
}

/// What flags and files say about a scenario.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Options {
    /// What it is called in the report.
    #[arg(skip)]
    pub(super) name: Option<String>,
    /// Where it goes, in a file.
    #[arg(skip)]
    pub(super) target: TargetOptions,
    /// What to do; by default `echo`
    #[arg(long, value_name = "NAME", value_enum)]
    scenario: Option<Kind>,
    /// How many connections; by default 1
    #[arg(long, short = 'c', value_name = "N")]
    connections: Option<usize>,
    /// How many calls of a connection may wait for their results; by default 1, and 64 with --rate
    #[arg(long, value_name = "N")]
    in_flight: Option<usize>,
    /// Begin so many calls a second over all connections, whether answers come or not; without it each answer brings the
    /// next call
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How long to measure; by default 10s
    #[arg(long, short = 'd', value_name = "TIME")]
    duration: Option<Span>,
    /// Measure so many calls, messages or streams instead
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "duration")]
    count: Option<u64>,
    /// How long to go on before it is measured; by default 2s, or a quarter of --count
    #[arg(long, value_name = "TIME")]
    warm_up: Option<Span>,
    /// The length of the text that is sent, in bytes; by default 32
    #[arg(long, value_name = "BYTES")]
    payload: Option<usize>,
    /// The method to call; by default Echo, Counter for streams, and ToAll for broadcasts
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// An argument of the method instead of the text; JSON, or a text; repeatable
    #[arg(long = "argument", value_name = "VALUE", value_parser = typed, allow_negative_numbers = true)]
    arguments: Option<Vec<Value>>,
    /// The method by which messages come back; by default News, and any for `receive`
    #[arg(long, value_name = "METHOD")]
    message: Option<String>,
    /// The method by which the hub says that it has sent or got everything
    #[arg(long, value_name = "METHOD")]
    until: Option<String>,
    /// Who publishes a broadcast; by default the hub, and the REST API for a hub of the service
    #[arg(long, value_name = "WHO", value_enum)]
    publish: Option<Publisher>,
    /// How many connections are opened at the same time; by default 32, and 1 for `connect`
    #[arg(long, value_name = "N")]
    at_once: Option<usize>,
    /// Connect by WebSocket without negotiate
    #[arg(long)]
    skip_negotiation: bool,
}

impl Options {
    /// Fills in what these leave out.
    fn or(self, other: Self) -> Self {
        let own = if self.count.is_some() { None } else { other.duration };
        Self {
            name: self.name.or(other.name),
            target: self.target,
            scenario: self.scenario.or(other.scenario),
            connections: self.connections.or(other.connections),
            in_flight: self.in_flight.or(other.in_flight),
            rate: self.rate.or(other.rate),
            count: self.count.or(if self.duration.is_some() { None } else { other.count }),
            duration: self.duration.or(own),
            warm_up: self.warm_up.or(other.warm_up),
            payload: self.payload.or(other.payload),
            method: self.method.or(other.method),
            arguments: self.arguments.or(other.arguments),
            message: self.message.or(other.message),
            until: self.until.or(other.until),
            publish: self.publish.or(other.publish),
            at_once: self.at_once.or(other.at_once),
            skip_negotiation: self.skip_negotiation || other.skip_negotiation,
        }
    }

    /// Refuses numbers and times that cannot be.
    fn check(&self) -> Result<(), Failure> {
        if self.rate.is_some_and(|rate| !RATES.contains(&rate)) {
            return Err(Failure::new("--rate is not a rate that can be kept").advise(format!(
                "give it a number of calls a second from {} to {}",
                RATES.start(),
                RATES.end()
            )));
        }
        if self.payload.is_some_and(|length| length as u64 > LARGEST_PAYLOAD) {
            return Err(Failure::new("--payload is too large")
                .advise(format!("give it a number of bytes up to {LARGEST_PAYLOAD}")));
        }
        for (what, span, is_needed) in
            [("--duration", self.duration, true), ("--warm-up", self.warm_up, false)]
        {
            let Some(Span(span)) = span else { continue };
            if span > LONGEST_DURATION || is_needed && span.is_zero() {
                return Err(Failure::new(format!("{what} is {}", Span(span))).advise(format!(
                    "give it a time such as 10s or 2m, up to 30d{}",
                    if is_needed { " and above 0s" } else { "" }
                )));
            }
        }
        for (what, value, most) in [
            ("--count", self.count, u64::MAX),
            ("--connections", self.connections.map(|value| value as u64), MOST),
            ("--in-flight", self.in_flight.map(|value| value as u64), MOST),
            ("--at-once", self.at_once.map(|value| value as u64), MOST),
        ] {
            value.map_or(Ok(()), |value| within(what, value, most))?;
        }
        Ok(())
    }
}

/// When a phase is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Length {
    Time(Duration),
    Count(u64),
}

/// A scenario with everything that was left open.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) target: TargetOptions,
    pub(super) kind: Kind,
    pub(super) connections: usize,
    pub(super) in_flight: usize,
    pub(super) rate: Option<f64>,
    pub(super) length: Length,
    pub(super) warm_up: Length,
    pub(super) payload: usize,
    pub(super) method: String,
    pub(super) arguments: Option<Vec<Value>>,
    pub(super) message: Option<String>,
    pub(super) until: Option<String>,
    pub(super) publish: Publisher,
    pub(super) at_once: usize,
    pub(super) skip_negotiation: bool,
}

impl Scenario {
    fn new(options: Options) -> Result<Self, Failure> {
        let kind = options.scenario.unwrap_or_default();
        options.check()?;
        if options.rate.is_some() && matches!(kind, Kind::Receive | Kind::Idle | Kind::Stream) {
            return Err(Failure::new(format!("`{}` has no rate of its own", kind.name()))
                .advise("leave out --rate, or take echo, send, broadcast or connect"));
        }
        let length = match (options.count, options.duration) {
            (Some(count), _) => Length::Count(count),
            (None, Some(Span(duration))) => Length::Time(duration),
            (None, None) => Length::Time(DEFAULT_DURATION),
        };
        let warm_up = match (options.warm_up, length) {
            (Some(Span(duration)), _) => Length::Time(duration),
            (None, Length::Count(count)) => Length::Count(count / 4),
            (None, Length::Time(_)) => Length::Time(DEFAULT_WARM_UP),
        };
        let of_service = options.target.url.is_none() && options.target.hub.is_some();
        let message = options.message.or_else(|| (kind == Kind::Broadcast).then(|| "News".to_owned()));
        let open = if options.rate.is_some() { OPEN_LOOP_IN_FLIGHT } else { 1 };
        Ok(Self {
            name: options.name.unwrap_or_else(|| kind.name().to_owned()),
            target: options.target,
            kind,
            connections: options.connections.unwrap_or(1),
            in_flight: options.in_flight.unwrap_or(open),
            rate: options.rate,
            length,
            warm_up,
            payload: options.payload.unwrap_or(32),
            method: options.method.unwrap_or_else(|| {
                match kind {
                    Kind::Stream => "Counter",
                    Kind::Broadcast => "ToAll",
                    _ => "Echo",
                }
                .to_owned()
            }),
            arguments: options.arguments,
            message,
            until: options.until,
            publish: options.publish.unwrap_or(if of_service { Publisher::Rest } else { Publisher::Hub }),
            at_once: options.at_once.unwrap_or(if kind == Kind::Connect { 1 } else { 32 }),
            skip_negotiation: options.skip_negotiation,
        })
    }
}

/// Refuses 0, and more than there can be.
fn within(what: &str, value: u64, most: u64) -> Result<(), Failure> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    let up_to = if most == u64::MAX { String::new() } else { format!(" and at most {most}") };
    Err(Failure::new(format!("{what} is {value}")).advise(format!("give it a number of at least 1{up_to}")))
}

/// The scenarios of a file, or the one that the flags describe. Flags win over the file.
pub(super) fn plan(
    file: Option<&Path>,
    flags: Options,
    target: TargetOptions,
) -> Result<Vec<Scenario>, Failure> {
    let Some(path) = file else {
        let scenario = Scenario::new(Options { target, ..flags }).map_err(Failure::of_usage)?;
        return Ok(vec![scenario]);
    };
    flags.check().map_err(Failure::of_usage)?;
    let text = json::read(path)
        .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))?;
    let all = read(&text).map_err(|mistake| {
        Failure::new(format!("{}: {mistake}", path.display()))
            .advise("it has the form {\"scenarios\": [{\"scenario\": \"echo\", \"target\": {\"url\": \"…\"}, \"connections\": 10}]}")
    })?;
    if all.is_empty() {
        return Err(Failure::new(format!("{} has no scenarios", path.display())));
    }
    all.into_iter()
        .map(|of_file| {
            let target = merged(&target, of_file.target.clone());
            Scenario::new(Options { target, ..flags.clone().or(of_file) })
        })
        .collect()
}

/// Where a scenario of a file goes. Another hub on the command line is another target altogether.
fn merged(flags: &TargetOptions, mut of_file: TargetOptions) -> TargetOptions {
    if flags.url.is_some() || flags.hub.is_some() || (of_file.url.is_none() && of_file.hub.is_none()) {
        return flags.clone();
    }
    of_file.protocol = flags.protocol.or(of_file.protocol);
    if !flags.transport.is_empty() {
        of_file.transport.clone_from(&flags.transport);
    }
    of_file.token = flags.token.clone().or(of_file.token);
    of_file
}

fn read(text: &str) -> Result<Vec<Options>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        scenarios: Vec<Options>,
    }

    let parsed =
        parse_to_ast(text.trim_start_matches('\u{feff}'), &CollectOptions::default(), &json::OPTIONS)
            .map_err(|error| {
                format!("line {}, column {} is not JSON", error.line_display(), error.column_display())
            })?;
    let value = parsed.value.as_ref().map_or(Ok(Value::Null), plain)?;
    let scenarios = serde_json::from_value::<File>(value).map_err(|error| error.to_string())?.scenarios;
    Ok(scenarios)
}

/// A value without its comments.
fn plain(value: &ast::Value<'_>) -> Result<Value, String> {
    Ok(match value {
        ast::Value::StringLit(text) => text.value.to_string().into(),
        ast::Value::NumberLit(number) => typed(number.value)?,
        ast::Value::BooleanLit(flag) => flag.value.into(),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(items) => items.elements.iter().map(plain).collect::<Result<Vec<_>, _>>()?.into(),
        ast::Value::Object(object) => {
            let members = object.properties.iter();
            members
                .map(|member| Ok((member.name.as_str().to_owned(), plain(&member.value)?)))
                .collect::<Result<Map<_, _>, String>>()?
                .into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_scenarios_that_flags_change() {
        let text = r#"{
            // What the release is measured by.
            "scenarios": [
                {"name": "calls", "target": {"url": "http://127.0.0.1/a", "protocol": "messagepack"}, "connections": 4,},
                {"scenario": "send", "target": {"url": "http://127.0.0.1/b"}, "count": 8, "arguments": [1, "x"]},
            ],
        }"#;
        let read = read(text).expect("it is valid");
        let flags = Options { duration: Some(Span(Duration::from_secs(1))), ..Options::default() };
        let all: Vec<_> = read
            .into_iter()
            .map(|of_file| {
                let target = merged(&TargetOptions::default(), of_file.target.clone());
                Scenario::new(Options { target, ..flags.clone().or(of_file) }).expect("it is complete")
            })
            .collect();
        let names: Vec<_> = all.iter().map(|scenario| (&*scenario.name, scenario.connections)).collect();
        assert_eq!(names, [("calls", 4), ("send", 1)]);
        assert!(all.iter().all(|scenario| scenario.length == Length::Time(Duration::from_secs(1))));
        assert_eq!(all[1].target.url.as_deref(), Some("http://127.0.0.1/b"));
        assert_eq!(all[1].arguments.as_deref(), Some(&[Value::from(1), "x".into()][..]));
    }

    #[test]
    fn mistakes_in_a_file_are_named() {
        for (text, part) in [
            ("{", "line 1"),
            (r#"{"scenarios": [{"conections": 1}]}"#, "conections"),
            (r#"{"scenarios": [{"scenario": "eco"}]}"#, "eco"),
            (r#"{"scenarios": [{"duration": "10 apples"}]}"#, "90s"),
            (r#"{"scenarios": [{"arguments": [18446744073709551616]}]}"#, "18446744073709551616"),
            (r#"{"scenarios": [{"arguments": [1e400]}]}"#, "1e400"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }
}
