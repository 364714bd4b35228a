//! Hubs in TypeScript (feature `typescript`, native): what [`hub!`](crate::hub) describes, for pages that use the npm package
//! `hubwire`.
//!
//! A program that has a hub's methods in Rust, for its own clients, for Yew or for Leptos, need not write them down once more
//! for a page in JavaScript. The types of arguments and results get a `#[derive(TS)]` of
//! [`ts-rs`](https://docs.rs/ts-rs), which follows the attributes of serde; the hub's trait gets `#[typescript]`:
//!
//! ```toml
//! [dependencies]
//! hubwire = "0.1"
//! serde = { version = "1", features = ["derive"] }
//!
//! [dev-dependencies]
//! hubwire = { version = "0.1", features = ["typescript"] }
//! ts-rs = "12"
//! ```
//!
//! ```
//! use hubwire::Upload;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! # #[derive(ts_rs::TS)]
//! #[cfg_attr(test, derive(ts_rs::TS))]
//! #[serde(rename_all = "camelCase")]
//! pub struct Message {
//!     pub user_name: String,
//!     pub text: String,
//! }
//!
//! hubwire::hub! {
//!     /// What the chat offers.
//! #   #[typescript]
//!     #[cfg_attr(test, typescript)]
//!     pub trait Chat: Hub<ChatClient> {
//!         /// Sends a message to everybody.
//!         fn send_message(message: &Message);
//!         stream fn history(last_days: u32) -> Message;
//!         fn average(samples: Upload<f64>) -> Option<f64>;
//!     }
//!
//!     pub trait ChatClient {
//!         fn receive_message(message: Message);
//!         /// Asks for a confirmation.
//!         fn confirm(question: String) -> bool;
//!     }
//! }
//!
//! // As a test, this keeps the file up to date as you work, and fails where nobody would commit it.
//! fn chat_in_typescript() -> Result<(), hubwire::typescript::TypeScriptError> {
//!     let (path, typescript) = ("page/src/chat.d.ts", hubwire::typescript::TypeScript::of::<Chat>());
//!     if std::env::var_os("CI").is_some() { typescript.check(path) } else { typescript.write(path) }
//! }
//! # let text = hubwire::typescript::TypeScript::of::<Chat>().to_text().unwrap();
//! # let readme = "  /** Sends a message to everybody. */
//! #   SendMessage(message: Message): void;
//! #   History(lastDays: number): AsyncIterable<Message>;
//! #   Average(samples: AsyncIterable<number>): number | null;
//! # }";
//! # assert!(readme.lines().all(|line| text.contains(line.trim())), "{text}");
//! ```
//!
//! It writes
//!
//! ```ts
//! import type { HubConnection } from "hubwire";
//!
//! export type Message = {
//!   userName: string;
//!   text: string;
//! };
//!
//! /** What the chat offers. */
//! export interface Chat {
//!   /** Sends a message to everybody. */
//!   SendMessage(message: Message): void;
//!   History(lastDays: number): AsyncIterable<Message>;
//!   Average(samples: AsyncIterable<number>): number | null;
//! }
//!
//! export interface ChatClient {
//!   ReceiveMessage(message: Message): void;
//!   /** Asks for a confirmation. */
//!   Confirm(question: string): boolean;
//! }
//!
//! /** A connection to `Chat`. */
//! export type ChatConnection = HubConnection<Chat, ChatClient>;
//! ```
//!
//! and the page uses it, in TypeScript or by a comment in JavaScript; nothing of it is there when the page runs:
//!
//! ```ts
//! const chat = new HubConnectionBuilder().withUrl("/chat").build<Chat, ChatClient>();
//! /** @type {import("./chat.d.ts").ChatConnection} */
//! const chat = new HubConnectionBuilder().withUrl("/chat").build();
//!
//! chat.on("ReceiveMessage", ({ userName, text }) => console.log(userName, text));
//! for await (const message of chat.stream("History", 7)) console.log(message.text);
//! ```
//!
//! The file needs a name of its own: beside a `chat.ts` or `chat.js`, TypeScript takes a `chat.d.ts` for what that declares.
//!
//! # Types
//!
//! | Rust | TypeScript |
//! | --- | --- |
//! | numbers up to 32 bits, `usize`, `f64` | `number` |
//! | `u64`, `i64`, `u128`, `i128` | `number`: `JSON.parse` and MessagePack read them as such, and lose digits beyond 2⁵³; with [`big_integers`](TypeScript::big_integers), `number \| bigint` |
//! | `bool`, `String`, `&str`, `char` | `boolean`, `string` |
//! | `Option<T>` | `T \| null` |
//! | `Vec<T>`, `&[T]`, tuples, maps | `Array<T>`, `[A, B]`, `{ [key in string]: T }` |
//! | `Vec<u8>` | `Array<number>`, which is how serde writes it |
//! | [`Binary`](crate::Binary) | base64 in a `string`; with [`message_pack`](TypeScript::message_pack) a `Uint8Array` |
//! | [`Timestamp`](crate::Timestamp) | ISO 8601 in a `string`; with [`message_pack`](TypeScript::message_pack) a `Date`, which is what it is in UTC |
//! | [`Upload<T>`](crate::Upload) among the arguments | `AsyncIterable<T>`: async iterables, `Subject`s and what else has a method `subscribe` are accepted |
//! | the `T` of `stream fn` | `AsyncIterable<T>`, for `stream` |
//! | no result, `()` | `void` |
//! | `serde_json::Value` | `JsonValue` |
//! | structs and enums with `#[derive(TS)]` | a type of their name, as their attributes of serde and of `ts` say |
//!
//! - Types of other crates (`uuid`, `chrono`, `time`, …) are known to ts-rs by its features of their names. For a
//!   `std::time::Duration`, which serde writes as `{ secs, nanos }`, say what it is at the field: `#[ts(type = "…")]`.
//! - The names of fields are those that serde gives them. For clients of [`PropertyNames::DotNet`](crate::PropertyNames) give
//!   the types the names that a page sees, by `#[serde(rename_all = "camelCase")]`.
//! - An argument `impl Serialize` has no name to be called by in TypeScript: describe such a method with a type.
//! - Where a type has no TypeScript, the compiler says so at the method.

mod contract;
mod error;
mod text;
mod types;

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ts_rs::Config;

pub use self::contract::{Contract, DescribedMethod, Description};
pub use self::error::TypeScriptError;

/// Hubs in TypeScript. See the [module's text](self).
#[must_use]
#[derive(Clone)]
pub struct TypeScript {
    hubs: Vec<fn(&mut Description<'_>)>,
    message_pack: bool,
    big_integers: bool,
}

impl TypeScript {
    /// A hub that [`hub!`](crate::hub) describes with `#[typescript]`, in values of JSON.
    pub fn of<Hub: Contract>() -> Self {
        Self { hubs: vec![Hub::describe], message_pack: false, big_integers: false }
    }

    /// Another hub, in the same file.
    pub fn and<Hub: Contract>(mut self) -> Self {
        self.hubs.push(Hub::describe);
        self
    }

    /// For connections with a `MessagePackHubProtocol`: bytes are a `Uint8Array`, timestamps a `Date`.
    pub fn message_pack(mut self) -> Self {
        self.message_pack = true;
        self
    }

    /// For a `MessagePackHubProtocol` with `useBigInt64`, which reads small integers as `number` and large ones as `bigint`.
    pub fn big_integers(mut self) -> Self {
        self.big_integers = true;
        self
    }

    /// The text of the file.
    ///
    /// # Errors
    ///
    /// When one name would stand for two types or methods.
    pub fn to_text(&self) -> Result<String, TypeScriptError> {
        let integer = if self.big_integers { "number | bigint" } else { "number" };
        let config = Config::new().with_large_int(integer);
        let hubs = self.hubs.iter().map(|describe| {
            let mut description = Description::new(&config, self.message_pack);
            describe(&mut description);
            description
        });
        text::write(hubs.collect())
    }

    /// Writes the file, unless it has this text already.
    ///
    /// # Errors
    ///
    /// When one name would stand for two types or methods, and when the file cannot be read or written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), TypeScriptError> {
        let path = path.as_ref();
        let text = self.to_text()?;
        if difference(path, &text)?.is_none() {
            return Ok(());
        }
        fs::write(path, text).map_err(|source| TypeScriptError::Write { path: path.to_owned(), source })
    }

    /// Fails unless the file has this text: a test for continuous integration. Line ends of Windows do not count.
    ///
    /// # Errors
    ///
    /// [`TypeScriptError::OutOfDate`]; and as for [`write`](Self::write).
    pub fn check(&self, path: impl AsRef<Path>) -> Result<(), TypeScriptError> {
        let path = path.as_ref();
        match difference(path, &self.to_text()?)? {
            Some(line) => Err(TypeScriptError::OutOfDate { path: path.to_owned(), line }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for TypeScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeScript")
            .field("hubs", &self.hubs.len())
            .field("message_pack", &self.message_pack)
            .field("big_integers", &self.big_integers)
            .finish()
    }
}

/// The first line in which a file differs from a text. A file that is not there differs in its first line.
fn difference(path: &Path, text: &str) -> Result<Option<usize>, TypeScriptError> {
    let found = match fs::read(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(1)),
        Err(source) => return Err(TypeScriptError::Read { path: path.to_owned(), source }),
    };
    let (mut found, mut wanted) = (found.split(|byte| *byte == b'\n'), text.split('\n').map(str::as_bytes));
    for line in 1.. {
        match (found.next(), wanted.next()) {
            (None, None) => break,
            (Some(found), Some(wanted)) if found.strip_suffix(b"\r").unwrap_or(found) == wanted => {}
            _ => return Ok(Some(line)),
        }
    }
    Ok(None)
}
