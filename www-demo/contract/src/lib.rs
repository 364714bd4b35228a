//! The demo's hub: what it offers and what it calls, for its server, for clients in Rust, and in TypeScript for its page.

use hubwire::Binary;
use serde::{Deserialize, Serialize};

/// What everybody is told of a file that comes in parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// What its parts call it by.
    pub id: String,
    /// The name that the user sees.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// How many parts there will be.
    pub parts: u32,
    /// Of the whole content, in hexadecimal digits.
    pub sha256: String,
}

/// Somebody in the room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Person {
    /// The user's name.
    pub name: String,
    /// How many there are: one for each window.
    pub connections: usize,
}

/// The figures of the room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Figures {
    /// How many users there are.
    pub people: usize,
    /// How many connections they have.
    pub connections: usize,
    /// How many messages were published.
    pub messages: u64,
    /// How many bytes of texts and files were published.
    pub bytes: u64,
}

hubwire::hub! {
    /// What the room offers.
    #[cfg_attr(test, typescript)]
    pub trait Chat: Hub<ChatClient> {
        /// Says something to everybody.
        fn say(text: &str);
        /// Answers with the same value.
        fn echo(value: &serde_json::Value) -> serde_json::Value;
        /// Announces a file to everybody.
        fn share(file: &File);
        /// Gives a part of a file to everybody, in order.
        fn part(id: &str, index: u32, bytes: Binary);
        /// Has `tick` called that many times; returns how many times it was.
        fn burst(count: u32) -> u32;
    }

    /// What the room calls.
    pub trait ChatClient {
        /// Somebody has said something.
        fn receive_message(user: String, text: String);
        /// Somebody has announced a file.
        fn receive_file(user: String, file: File);
        /// A part of a file has come.
        fn receive_part(user: String, id: String, index: u32, bytes: Binary);
        /// Who is in the room.
        fn presence(people: Vec<Person>);
        /// The time of the server, in ISO 8601.
        fn clock(time: String);
        /// The figures of the room.
        fn metrics(figures: Figures);
        /// One call of a burst.
        fn tick(number: u32);
    }
}

#[cfg(test)]
mod tests {
    use hubwire::typescript::{TypeScript, TypeScriptError};

    /// With `UPDATE` in the environment the file is written.
    #[test]
    fn the_page_has_this_contract() -> Result<(), TypeScriptError> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../page/src/chat.d.ts");
        let typescript = TypeScript::of::<super::Chat>().message_pack();
        if std::env::var_os("UPDATE").is_some() { typescript.write(path) } else { typescript.check(path) }
    }
}
