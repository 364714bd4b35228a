//! What happens in a local service, as lines for people: requests as they are answered, and what goes wrong.

use std::fmt::{self, Write as _};

use clap::builder::styling::Style;
use tracing::{Event, Level, Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::Context,
    registry::LookupSpan,
};

use crate::{
    cli::output::{BAD, FAINT, GOOD, Output, WARNING},
    local::REQUESTS,
};

/// Prints lines to standard error.
#[derive(Debug)]
pub(in crate::cli) struct Events {
    output: Output,
}

impl Events {
    /// Warnings, unless a log has them; with `verbose`, everything that clients do as well.
    pub(in crate::cli) fn layer<S>(output: Output, verbose: bool, has_log: bool) -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut targets = Targets::new();
        if !has_log {
            targets = targets.with_target("hubwire", LevelFilter::WARN);
        }
        if verbose {
            let told: &[&str] =
                if has_log { &[REQUESTS] } else { &["hubwire::local", "hubwire::server::session"] };
            targets = targets.with_targets(told.iter().map(|target| (*target, LevelFilter::DEBUG)));
        }
        Self { output }.with_filter(targets)
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == REQUESTS {
            let mut request = Request::default();
            event.record(&mut request);
            self.output.note(request);
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let Text { message, fields } = text;
        match *metadata.level() {
            Level::ERROR => self.output.note(format_args!("{BAD}error:{BAD:#} {message}{fields}")),
            Level::WARN => self.output.note(format_args!("{WARNING}warning:{WARNING:#} {message}{fields}")),
            _ => self.output.note(format_args!("{FAINT}{message}{fields}{FAINT:#}")),
        }
    }
}

/// `POST /api/hubs/chat/:send 202 3 ms`
#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
    hub: Option<String>,
    status: u64,
    ms: f64,
}

impl tracing::field::Visit for Request {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "method" => value.clone_into(&mut self.method),
            "path" => value.clone_into(&mut self.path),
            "hub" => self.hub = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = value;
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "ms" {
            self.ms = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, hub, status, ms } = self;
        let style: Style = match status {
            ..400 => GOOD,
            400..500 => WARNING,
            _ => BAD,
        };
        write!(f, "{method} {}", Plain(path))?;
        if let Some(hub) = hub {
            write!(f, "?hub={}", Plain(hub))?;
        }
        write!(f, " {style}{status}{style:#} {FAINT}{ms:.0} ms{FAINT:#}")
    }
}

/// The message of an event and its fields.
#[derive(Debug, Default)]
struct Text {
    message: String,
    fields: String,
}

impl tracing::field::Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.fields, " {}={}", field.name(), Plain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = Plain(&value).to_string();
        } else {
            let _ = write!(self.fields, " {}={}", field.name(), Plain(&value));
        }
    }
}

/// A text of the network, without what could command a terminal.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { '\u{fffd}' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_line() {
        let request = Request {
            method: "POST".into(),
            path: "/api/hubs/chat/:send\u{1b}[2J".into(),
            hub: Some("chat".into()),
            status: 202,
            ms: 2.7,
        };
        let line = request.to_string();
        assert!(line.starts_with("POST /api/hubs/chat/:send\u{fffd}[2J?hub=chat "), "{line}");
        assert!(line.contains("202") && line.contains("3 ms"), "{line}");
    }
}
