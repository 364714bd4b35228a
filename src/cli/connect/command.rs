//! What a line of standard input asks for.

use serde_json::Value;

use crate::cli::value::values;

/// How a method is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Send,
    Stream,
}

/// A call of a method of the hub.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) method: String,
    pub(super) arguments: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Call(Call),
    /// The lines that follow are the items of an upload.
    Upload(Call),
    /// `None`: every method.
    On(Option<String>),
    Off(Option<String>),
    Answer(String, Value),
    /// A call by its number; `None`: the last one.
    Cancel(Option<u64>),
    State,
    Help,
    Quit,
    Nothing,
}

pub(super) const COMMANDS: [&str; 12] = [
    "answer",
    "cancel",
    "help",
    "invoke",
    "off",
    "on",
    "quit",
    "send",
    "state",
    "stream",
    "upload",
    "upload-stream",
];

pub(super) const HELP: [(&str, &str); 11] = [
    ("invoke METHOD [VALUE…]", "call a method and wait for its result"),
    ("send METHOD [VALUE…]", "call a method without waiting"),
    ("stream METHOD [VALUE…]", "call a method and show the items of its stream"),
    (
        "upload METHOD [VALUE…]",
        "invoke with a stream as the last argument: the lines that follow, until a single `.`",
    ),
    ("upload-stream METHOD [VALUE…]", "the same for a method that answers with a stream"),
    ("on [METHOD]", "show the messages of a method, or all"),
    ("off [METHOD]", "hide the messages of a method, or all"),
    ("answer METHOD VALUE", "what the server gets when it asks for a result"),
    ("cancel [NUMBER]", "give up a call, as #3 by its number, or the last one that is under way"),
    ("state", "what the connection is doing"),
    ("help, quit", "this list; the end"),
];

impl Command {
    /// Reads a line. An error says what is wrong with it.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        // A method is a text, whatever it looks like.
        let rest = rest.trim_start();
        let (method, values_of) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let method = method.trim_matches(['"', '\'']).to_owned();
        let call = |kind| {
            if method.is_empty() {
                return Err(format!("`{name}` wants a method: {name} METHOD [VALUE…]"));
            }
            Ok(Call { kind, method: method.clone(), arguments: values(values_of)? })
        };
        let one = || (!method.is_empty()).then(|| method.clone());
        match name.to_ascii_lowercase().as_str() {
            "" => Ok(Self::Nothing),
            _ if name.starts_with('#') => Ok(Self::Nothing),
            "invoke" | "call" => call(Kind::Invoke).map(Self::Call),
            "send" => call(Kind::Send).map(Self::Call),
            "stream" => call(Kind::Stream).map(Self::Call),
            "upload" => call(Kind::Invoke).map(Self::Upload),
            "upload-stream" => call(Kind::Stream).map(Self::Upload),
            "on" => Ok(Self::On(one())),
            "off" => Ok(Self::Off(one())),
            "answer" => match <[Value; 1]>::try_from(call(Kind::Invoke)?.arguments) {
                Ok([value]) => Ok(Self::Answer(method.clone(), value)),
                Err(_) => Err("`answer` wants a method and one value: answer METHOD VALUE".to_owned()),
            },
            "cancel" => match (method.as_str(), method.trim_start_matches('#').parse()) {
                ("", _) => Ok(Self::Cancel(None)),
                (_, Ok(number)) if values_of.trim().is_empty() => Ok(Self::Cancel(Some(number))),
                _ => Err("`cancel` wants the number of a call, such as 3, or nothing".to_owned()),
            },
            "state" => Ok(Self::State),
            "help" | "?" => Ok(Self::Help),
            "quit" | "exit" => Ok(Self::Quit),
            _ => Err(format!("`{name}` is not a command; `help` lists them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_commands() {
        let call = |kind, arguments: Value| Call {
            kind,
            method: "Add".into(),
            arguments: serde_json::from_value(arguments).expect("a list"),
        };
        let read = |line: &str| Command::parse(line);
        assert_eq!(read("invoke Add 1 2"), Ok(Command::Call(call(Kind::Invoke, json!([1, 2])))));
        assert_eq!(read("  SEND  \"Add\"  x"), Ok(Command::Call(call(Kind::Send, json!(["x"])))));
        assert_eq!(read("upload Add"), Ok(Command::Upload(call(Kind::Invoke, json!([])))));
        assert_eq!(read("on"), Ok(Command::On(None)));
        assert_eq!(read("off News"), Ok(Command::Off(Some("News".into()))));
        assert_eq!(read("answer Ask {\"a\": 1}"), Ok(Command::Answer("Ask".into(), json!({"a": 1}))));
        assert_eq!(
            (read("cancel"), read("cancel #3")),
            (Ok(Command::Cancel(None)), Ok(Command::Cancel(Some(3))))
        );
        assert_eq!((read(""), read("# a remark")), (Ok(Command::Nothing), Ok(Command::Nothing)));
        for wrong in ["invoke", "answer Ask", "answer Ask 1 2", "cancel Add", "nonsense", "invoke Add {"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_command_is_known_and_explained() {
        for name in COMMANDS {
            let line = if name == "cancel" { name.to_owned() } else { format!("{name} Method 1") };
            assert!(Command::parse(&line).is_ok(), "{name}");
            let words = |(form, _): &(&str, &str)| form.split([' ', ',']).any(|word| word == name);
            assert!(HELP.iter().any(words), "{name}");
        }
    }
}
