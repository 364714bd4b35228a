//! What the board's server and its page agree on. It compiles natively, where it describes the server as well, and for the
//! browser.

use serde::{Deserialize, Serialize};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What the methods call it by.
    pub id: u64,
    /// What is to be done.
    pub text: String,
    /// Who has added it.
    pub by: String,
    /// Whether it is done.
    pub is_done: bool,
}

hubwire::hub! {
    /// A list of things to do. A connection belongs to one list, which it names in its URL: `/board?user=Ann&list=shopping`.
    pub trait Board: Hub<BoardClient> + Served<BoardHub> {
        /// The whole list: as it is, and whenever it has changed.
        stream fn tasks() -> Vec<Task>;
        /// Puts something on the list.
        fn add(text: &str);
        /// Says that something is done, or not.
        fn set_done(id: u64, is_done: bool);
        /// Takes off what is done, if the caller confirms it. How much that was.
        fn clear() -> usize;
    }

    /// What the server calls.
    pub trait BoardClient {
        /// Who has the list open.
        fn visitors(names: Vec<String>);
        /// Somebody else has done something with the list.
        fn noticed(name: String, what: String);
        /// Asks the user.
        fn confirm(question: String) -> bool;
    }
}
