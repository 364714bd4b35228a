//! What is shown of a connection: lines for people, or JSON, one event a line. Each has `time` and `type`:
//!
//! | type | further members |
//! | --- | --- |
//! | `connecting` | `url` |
//! | `connected`, `reconnected` | `connectionId`, `transport`, `protocol` |
//! | `reconnecting`, `disconnected` | `error` |
//! | `message` | `target`, `arguments` |
//! | `question` (the server waits for a result) | the same, and `answer` |
//! | `unreadable` | `target`, `error` |
//! | `sent`, `cancelled`, `failed` | `call` (its number), `target`; `error` |
//! | `result` | `call`, `target`, `result`, `milliseconds` |
//! | `item`, `end` | `call`, `target`; `item`, or how many `items` there were |
//! | `uploadEnded` (by its call, before all items were there) | `call`, `target` |
//! | `refreshed`, `refreshFailed`, `state` | `text` |
//! | `mistake` (in a line that was read) | `error` |
//!
//! Nothing follows `disconnected`.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    ConnectionInfo, HubProtocol,
    cli::{
        connect::{command::HELP, editor::Prompt},
        output::{BAD, FAINT, GOOD, NAME, Output, STRONG, WARNING},
        value::{printable, rfc3339},
    },
    core::ErrorChain,
    lock::lock,
};

/// How many methods are remembered to complete what is typed.
const REMEMBERED: usize = 256;

/// Which methods are shown.
#[derive(Debug, Default)]
struct Shown {
    /// What goes for methods that are not among the exceptions.
    hidden: bool,
    /// In lower case, as the names of methods are compared.
    exceptions: HashSet<String>,
}

/// Where everything about a connection is shown.
pub(super) struct Screen {
    output: Output,
    /// The line that is being typed, with which all else is written.
    prompt: OnceLock<Arc<Prompt>>,
    shown: Mutex<Shown>,
    /// Whether the last event was shown.
    is_over: Mutex<bool>,
    methods: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

/// A call, as it is named on the screen.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) id: u64,
    pub(super) method: String,
}

impl Screen {
    pub(super) fn new(output: &Output) -> Self {
        Self {
            output: *output,
            prompt: OnceLock::new(),
            shown: Mutex::default(),
            is_over: Mutex::default(),
            methods: Mutex::default(),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.output.is_json()
    }

    /// From now on lines go above the one that is being typed.
    pub(super) fn print_above(&self, prompt: Arc<Prompt>) {
        // There is one terminal.
        let _ = self.prompt.set(prompt);
    }

    /// Shows a method's messages, or all, or hides them.
    pub(super) fn show(&self, method: Option<&str>, show: bool) {
        let mut shown = lock(&self.shown);
        match method {
            None => *shown = Shown { hidden: !show, exceptions: HashSet::new() },
            Some(method) if show == shown.hidden => {
                shown.exceptions.insert(method.to_lowercase());
            }
            Some(method) => {
                shown.exceptions.remove(&method.to_lowercase());
            }
        }
    }

    fn shows(&self, method: &str) -> bool {
        let shown = lock(&self.shown);
        shown.hidden == shown.exceptions.contains(&method.to_lowercase())
    }

    /// Methods that were called from either side.
    pub(super) fn methods(&self) -> Vec<String> {
        lock(&self.methods).iter().cloned().collect()
    }

    pub(super) fn remember(&self, method: &str) {
        let mut methods = lock(&self.methods);
        if methods.len() < REMEMBERED {
            methods.insert(method.to_owned());
        }
    }

    pub(super) fn styled(&self, text: impl fmt::Display) -> String {
        self.output.styled(text)
    }

    /// One event: as JSON with its time and kind, or as a line.
    fn put(&self, kind: &str, mut value: Value, line: impl fmt::Display) {
        let mut is_over = lock(&self.is_over);
        // The connection may have been lost just before it was stopped, and its handlers tell that when they come to it.
        if *is_over {
            return;
        }
        *is_over = kind == "disconnected";
        let time = OffsetDateTime::now_utc();
        if self.output.is_json() {
            let mut event = json!({ "time": rfc3339(milliseconds(time)), "type": kind });
            if let (Some(event), Some(value)) = (event.as_object_mut(), value.as_object_mut()) {
                event.append(value);
            }
            self.output.json(&event);
            return;
        }
        let (hour, minute, second) = time.to_hms();
        let time = format!("{hour:02}:{minute:02}:{second:02}.{:03}", time.millisecond());
        self.line(format_args!("{FAINT}{time}{FAINT:#} {line}"));
    }

    /// A line for people, which is nothing where JSON is wanted.
    pub(super) fn line(&self, line: impl fmt::Display) {
        if self.output.is_json() {
            return;
        }
        match self.prompt.get() {
            Some(prompt) => prompt.print_above(&self.output.styled(format_args!("{line}\n"))),
            None => self.output.line(line),
        }
    }

    pub(super) fn connecting(&self, url: &str) {
        self.put(
            "connecting",
            json!({ "url": url }),
            format_args!("{FAINT}connecting to {}{FAINT:#}", printable(url)),
        );
    }

    pub(super) fn connected(&self, info: Option<&ConnectionInfo>, protocol: HubProtocol, again: bool) {
        let (kind, word) =
            if again { ("reconnected", "connected again") } else { ("connected", "connected") };
        let id = info.and_then(|info| info.connection_id.as_deref());
        let transport = info.map(|info| info.transport.name());
        let (value, mut line) = (
            json!({ "connectionId": id, "transport": transport, "protocol": protocol.name() }),
            format!(
                "{GOOD}{word}{GOOD:#} over {}, {}",
                transport.unwrap_or("another transport"),
                protocol.name()
            ),
        );
        if let Some(id) = id {
            line = format!("{line} {FAINT}{}{FAINT:#}", printable(id));
        }
        self.put(kind, value, line);
    }

    pub(super) fn reconnecting(&self, error: &(impl std::error::Error + 'static)) {
        let error = ErrorChain::new(error).to_string();
        let line = format!("{WARNING}connection lost{WARNING:#}, trying again: {}", printable(&error));
        self.put("reconnecting", json!({ "error": error }), line);
    }

    pub(super) fn remark(&self, kind: &str, text: &str) {
        self.put(kind, json!({ "text": text }), printable(text));
    }

    pub(super) fn disconnected(&self, error: Option<&str>) {
        let line = match error {
            None => format!("{FAINT}disconnected{FAINT:#}"),
            Some(error) => format!("{BAD}disconnected{BAD:#}: {}", printable(error)),
        };
        self.put("disconnected", json!({ "error": error }), line);
    }

    /// A call of the server. `answer` is what it gets, if it waits for an answer and there is one.
    pub(super) fn message(&self, method: &str, arguments: &[Value], awaited: bool, answer: Option<&Value>) {
        self.remember(method);
        if !self.shows(method) {
            return;
        }
        let mut value = json!({ "target": method, "arguments": arguments });
        let mut line = format!("{NAME}{}{NAME:#}", printable(method));
        for argument in arguments {
            line = format!("{line} {}", shown(argument));
        }
        match (awaited, answer, value.as_object_mut()) {
            (true, Some(answer), Some(value)) => {
                line = format!("{line} {FAINT}answered with{FAINT:#} {}", shown(answer));
                value.insert("answer".to_owned(), answer.clone());
            }
            (true, None, Some(value)) => {
                let advice = format!("`answer {} VALUE` gives one", printable(method));
                line = format!("{line} {WARNING}the server waits for an answer{WARNING:#}: {advice}");
                value.insert("answer".to_owned(), Value::Null);
            }
            _ => {}
        }
        self.put(if awaited { "question" } else { "message" }, value, line);
    }

    pub(super) fn unreadable(&self, method: &str, error: &str) {
        let line =
            format!("{NAME}{}{NAME:#} {BAD}unreadable{BAD:#}: {}", printable(method), printable(error));
        self.put("unreadable", json!({ "target": method, "error": error }), line);
    }

    pub(super) fn result(&self, call: &Named, result: &Value, took: Duration) {
        let took = took.as_secs_f64() * 1e3;
        self.of(
            "result",
            call,
            json!({ "result": result, "milliseconds": (took * 1e3).round() / 1e3 }),
            format_args!("{} {FAINT}{took:.1} ms{FAINT:#}", shown(result)),
        );
    }

    pub(super) fn item(&self, call: &Named, item: &Value) {
        self.of("item", call, json!({ "item": item }), shown(item));
    }

    pub(super) fn end(&self, call: &Named, items: u64) {
        let unit = if items == 1 { "item" } else { "items" };
        self.of(
            "end",
            call,
            json!({ "items": items }),
            format_args!("{FAINT}ended after {items} {unit}{FAINT:#}"),
        );
    }

    pub(super) fn sent(&self, call: &Named) {
        self.of("sent", call, json!({}), format_args!("{FAINT}sent{FAINT:#}"));
    }

    pub(super) fn cancelled(&self, call: &Named) {
        self.of("cancelled", call, json!({}), format_args!("{FAINT}cancelled{FAINT:#}"));
    }

    /// Tells a person who types what is wanted now.
    pub(super) fn upload_begins(&self) {
        if self.prompt.get().is_some() {
            self.line(format_args!(
                "{FAINT}every line is an item now; a single `.` or Ctrl-D ends the upload{FAINT:#}"
            ));
        }
    }

    /// A call is over, and with it its upload, which is still being typed.
    pub(super) fn upload_ended(&self, call: &Named, then: &str) {
        let line = format!("{WARNING}the call is over, and its upload with it{WARNING:#}; {then}");
        self.of("uploadEnded", call, json!({}), line);
    }

    pub(super) fn failed(&self, call: &Named, error: &str) {
        self.of(
            "failed",
            call,
            json!({ "error": error }),
            format_args!("{BAD}failed{BAD:#}: {}", printable(error)),
        );
    }

    /// What becomes of a call.
    fn of(&self, kind: &str, call: &Named, mut value: Value, line: impl fmt::Display) {
        if let Some(value) = value.as_object_mut() {
            value.insert("call".to_owned(), call.id.into());
            value.insert("target".to_owned(), call.method.clone().into());
        }
        let method = printable(&call.method);
        self.put(kind, value, format_args!("{FAINT}#{}{FAINT:#} {STRONG}{method}{STRONG:#} {line}", call.id));
    }

    /// A line that was typed is not understood.
    pub(super) fn mistake(&self, text: &str) {
        self.put("mistake", json!({ "error": text }), format_args!("{BAD}error:{BAD:#} {}", printable(text)));
    }

    pub(super) fn help(&self) {
        for (form, meaning) in HELP {
            self.line(format_args!("  {NAME}{form:<30}{NAME:#} {meaning}"));
        }
        self.line(format_args!(
            "{FAINT}A VALUE is JSON, such as 1, \"two words\" or {{\"a\": [true]}}; a word that is not JSON is a text.{FAINT:#}"
        ));
    }
}

fn milliseconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_millisecond(time.millisecond()).unwrap_or(time)
}

/// A value as compact JSON that is safe in a terminal.
fn shown(value: &Value) -> String {
    printable(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Color;

    #[test]
    fn methods_are_shown_and_hidden() {
        let screen = Screen::new(&Output::new(true, Color::Never));
        assert!(screen.shows("News"));
        screen.show(Some("news"), false);
        assert!(!screen.shows("News") && screen.shows("Other"));
        screen.show(Some("NEWS"), true);
        assert!(screen.shows("News"));
        screen.show(None, false);
        assert!(!screen.shows("News"));
        screen.show(Some("News"), true);
        assert!(screen.shows("news") && !screen.shows("Other"));
        screen.show(Some("News"), false);
        assert!(!screen.shows("news"));
        screen.show(None, true);
        assert!(screen.shows("News"));
    }
}
