//! The calls between one client and its app server that are in progress: what a stop of the service waits for.

use std::collections::HashSet;

use crate::core::message::Head;

/// So many calls each way are kept in mind, and ids of this length. What is beyond, a stop does not wait for.
const MOST: usize = 1024;
const LONGEST: usize = 128;

/// By their ids.
#[derive(Debug, Default)]
pub(super) struct Progress {
    by_client: HashSet<Box<str>>,
    by_server: HashSet<Box<str>>,
    /// Whether the ends of calls cannot be seen any more.
    is_blind: bool,
}

impl Progress {
    pub(super) fn is_idle(&self) -> bool {
        self.by_client.is_empty() && self.by_server.is_empty()
    }

    pub(super) fn client_says(&mut self, message: Head<'_>) {
        match message {
            Head::Call { id: Some(id), .. } if !self.is_blind => begin(&mut self.by_client, id),
            Head::End { id, .. } => drop(self.by_server.remove(id)),
            _ => {}
        }
    }

    pub(super) fn server_says(&mut self, message: Head<'_>) {
        match message {
            Head::Call { id: Some(id), .. } => begin(&mut self.by_server, id),
            Head::End { id, .. } => drop(self.by_client.remove(id)),
            _ => {}
        }
    }

    /// The service calls a method of the client for an app server, which waits for the result.
    pub(super) fn server_asks(&mut self, id: &str) {
        begin(&mut self.by_server, id);
    }

    /// What the app server says cannot be read on: the ends of the client's calls are not seen.
    pub(super) fn give_up(&mut self) {
        self.by_client.clear();
        self.is_blind = true;
    }

    pub(super) fn is_blind(&self) -> bool {
        self.is_blind
    }
}

fn begin(calls: &mut HashSet<Box<str>>, id: &str) {
    if calls.len() < MOST && id.len() <= LONGEST {
        calls.insert(id.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Head<'_> {
        Head::Call { id: Some(id), streams: false, uploads: &[] }
    }

    fn end(id: &str) -> Head<'_> {
        Head::End { id, has_value: false }
    }

    #[test]
    fn a_call_is_in_progress_until_the_other_side_ends_it() {
        let mut progress = Progress::default();
        progress.client_says(Head::Call { id: None, streams: false, uploads: &[] });
        assert!(progress.is_idle(), "nobody waits for it");
        progress.client_says(call("1"));
        progress.server_asks("1");
        progress.client_says(end("1"));
        assert!(!progress.is_idle(), "the client's own is another one");
        progress.server_says(end("2"));
        assert!(!progress.is_idle());
        progress.server_says(end("1"));
        assert!(progress.is_idle());
        progress.server_says(call("2"));
        assert!(!progress.is_idle());
        progress.client_says(end("2"));
        assert!(progress.is_idle());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut progress = Progress::default();
        progress.client_says(call(&"x".repeat(LONGEST + 1)));
        assert!(progress.is_idle());
        for number in 0..2 * MOST {
            progress.client_says(call(&number.to_string()));
        }
        assert_eq!(progress.by_client.len(), MOST);
        progress.give_up();
        progress.client_says(call("1"));
        assert!(progress.is_idle() && progress.is_blind());
    }
}
