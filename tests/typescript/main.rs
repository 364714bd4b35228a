//! Hubs in TypeScript. What the compiler for TypeScript says of the result is tested with the npm package's types.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use hubwire::typescript::{Contract, TypeScript, TypeScriptError};
use hubwire::{Binary, Timestamp, Upload};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A line of the chat.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
struct Message {
    /// Who wrote it.
    user_name: String,
    text: String,
    sent_at: Timestamp,
    #[serde(rename = "re-sent")]
    resent: bool,
    attachments: Vec<Attachment>,
    reaction: Option<Reaction>,
    #[serde(skip)]
    #[allow(dead_code, reason = "it is not sent")]
    local: u8,
}

#[derive(Debug, Clone, Serialize, Deserialize, TS)]
struct Attachment {
    size: u64,
    content: Binary,
    tags: HashMap<String, Vec<u8>>,
}

/// Ways to react.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Reaction {
    Like,
    Emoji { code: char },
    Quote { of: Box<Message> },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
enum Level {
    Debug,
    Info,
}

#[derive(Debug, Clone, Serialize, Deserialize, TS)]
struct Page<T> {
    items: Vec<T>,
    next: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, TS)]
struct Stamp(i64);

hubwire::hub! {
    /// What the chat offers.
    ///
    /// Its comments come along, even with `*/` in them.
    #[typescript]
    pub(crate) trait Chat: Hub<ChatClient> + Served<ChatHub> {
        /// Sends a message to everybody.
        fn send_message(message: &Message, r#in: &str) -> Stamp;
        #[name = "people.online"]
        fn people() -> BTreeMap<String, Level>;
        fn history(last_days: u32, levels: &[Level]) -> Page<Message>;
        fn levels() -> Page<Level>;
        fn find(text: Option<&str>, from: (u32, f64)) -> Option<Message>;
        #[deprecated(note = "use `history`")]
        fn everything();
        send fn log(line: &str, _level: Level);
        /// Counts.
        stream fn counter(count: u64) -> u64;
        stream fn search(words: Upload<&str>) -> Option<Message>;
        fn average(samples: Upload<f64>, weights: Upload<Attachment>) -> Option<f64>;
        fn anything(value: serde_json::Value) -> ();
        #[cfg(any())]
        fn never_compiled(value: NoSuchType);
    }

    /// What it calls.
    pub(crate) trait ChatClient {
        /// A message was sent.
        fn receive_message(message: Message);
        fn confirm(question: String) -> bool;
        fn ready();
    }
}

hubwire::hub! {
    #[cfg_attr(all(), typescript)]
    trait Clock: Served<ClockHub> {
        stream fn ticks() -> Timestamp;
    }
}

hubwire::hub! {
    #[cfg_attr(any(), typescript)]
    #[allow(dead_code, reason = "it is compiled")]
    trait Unnamed {
        fn echo(value: impl Serialize) -> serde_json::Value;
    }
}

hubwire::hub! {
    #[typescript]
    trait Copied: Hub<ChatClient> {}

    /// It has a name of its own, since a client may have one for several hubs.
    trait CopiedClient {}
}

/// Where the files are that the tests of the npm package's types compile.
fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/npm/types", name].iter().collect()
}

/// With `UPDATE` in the environment the files are written.
fn kept(typescript: &TypeScript, name: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE").is_some() {
        typescript.write(&path).unwrap();
    }
    typescript
        .check(&path)
        .unwrap_or_else(|error| panic!("{error} with UPDATE=1\n{}", typescript.to_text().unwrap()));
}

#[test]
fn a_hub_in_typescript() {
    kept(&TypeScript::of::<Chat>().and::<Clock>(), "chat.d.ts");
    kept(&TypeScript::of::<Chat>().message_pack().big_integers(), "chat-messagepack.d.ts");
}

#[test]
fn hubs_share_types_and_the_interface_of_their_clients() {
    let text = TypeScript::of::<Chat>().and::<Copied>().to_text().unwrap();
    for once in ["type Message = ", "interface ChatClient ", "interface Chat ", "interface Copied {}"] {
        assert_eq!(text.matches(once).count(), 1, "{once}\n{text}");
    }
    assert!(text.contains("type CopiedConnection = HubConnection<Copied, ChatClient>;"), "{text}");
    assert!(text.starts_with("// Written by hubwire from the hub contract `Chat` and `Copied`."), "{text}");
}

#[test]
fn one_name_stands_for_one_thing() {
    mod other {
        #[derive(ts_rs::TS, serde::Serialize)]
        pub(super) struct Message;
    }
    #[derive(TS, Serialize)]
    struct Date;
    #[derive(TS, Serialize)]
    struct NamesakeConnection;
    hubwire::hub! {
        #[typescript]
        trait TwoTypes { fn one(message: &Message); fn other(message: &other::Message); }
    }
    hubwire::hub! {
        #[typescript]
        trait AnotherMessage { fn one(message: &other::Message); }
    }
    hubwire::hub! {
        #[typescript]
        trait Hides { fn one(date: &Date); }
    }
    hubwire::hub! {
        #[typescript]
        trait Namesake { fn one(connection: &NamesakeConnection); }
    }
    hubwire::hub! {
        #[typescript]
        trait TwoMethods { fn echo(text: &str); #[name = "Echo"] fn echo_number(number: u8); }
    }

    fn error<Hub: Contract>() -> TypeScriptError {
        TypeScript::of::<Hub>().to_text().unwrap_err()
    }
    let duplicate = |error, wanted: &str| match error {
        TypeScriptError::DuplicateType { name } => assert_eq!(name, wanted),
        other => panic!("{other}"),
    };
    duplicate(error::<TwoTypes>(), "Message");
    duplicate(TypeScript::of::<Chat>().and::<AnotherMessage>().to_text().unwrap_err(), "Message");
    duplicate(error::<Namesake>(), "NamesakeConnection");
    assert!(matches!(error::<Hides>(), TypeScriptError::ReservedType { name } if name == "Date"));
    let twice = error::<TwoMethods>();
    assert_eq!(
        twice.to_string(),
        "`TwoMethods` has two methods of the name `Echo`, which can have only one type in TypeScript"
    );
}

#[test]
fn a_file_is_written_when_it_differs_and_checked_line_by_line() {
    let folder = std::env::temp_dir().join(format!("hubwire-typescript-files-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (path, typescript) = (folder.join("clock.d.ts"), TypeScript::of::<Clock>());
    let text = typescript.to_text().unwrap();
    let out_of_date = || match typescript.check(&path) {
        Err(TypeScriptError::OutOfDate { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(out_of_date(), 1);
    typescript.write(&path).unwrap();
    typescript.check(&path).unwrap();

    // What git makes of it on Windows is neither out of date nor written again.
    let windows = text.replace('\n', "\r\n");
    fs::write(&path, &windows).unwrap();
    typescript.check(&path).unwrap();
    typescript.write(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), windows);

    let lines = text.lines().count();
    fs::write(&path, text.replace("Ticks", "Tocks")).unwrap();
    let changed = text.lines().position(|line| line.contains("Ticks")).unwrap() + 1;
    assert_eq!(out_of_date(), changed);
    fs::write(&path, format!("{text}// more\n")).unwrap();
    assert_eq!(out_of_date(), lines + 1);
    fs::write(&path, text.trim_end()).unwrap();
    assert_eq!(out_of_date(), lines + 1);
    typescript.write(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    // A folder is not a file, and a folder that is not there has no files.
    assert!(matches!(typescript.check(&folder), Err(TypeScriptError::Read { .. })));
    assert!(matches!(typescript.write(folder.join("no/clock.d.ts")), Err(TypeScriptError::Write { .. })));
    fs::remove_dir_all(folder).unwrap();
}
