//! What the service was asked, and who waits for the answers.

use std::{collections::HashMap, sync::Mutex};

use tokio::sync::oneshot;

use super::event::Via;
use crate::{lock::lock, platform::SharedBytes};

/// So many may be open at once. Each ends within seconds.
const LIMIT: usize = 64 * 1024;

/// What the service answers to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    /// The endpoint that answered.
    pub(crate) endpoint: usize,
    /// 1 done or yes, 2 not found or no, 3 too late, 4 the service failed, 5 forbidden.
    pub(crate) status: i32,
    pub(crate) payload: Option<SharedBytes>,
}

/// The questions of a hub that are open, by their ack ids, which no two of them share. An answer may come over another server
/// connection than the question went.
#[derive(Default)]
pub(super) struct Questions(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: i32,
    waiting: HashMap<i32, (Via, oneshot::Sender<Ack>)>,
}

/// A question that is open. It is forgotten with this.
pub(super) struct Question<'q> {
    pub(super) ack_id: i32,
    /// Ends without an answer when the server connection does.
    pub(super) answer: oneshot::Receiver<Ack>,
    questions: &'q Questions,
}

impl Questions {
    /// A new question, which goes over this server connection. `None`: too many are open.
    pub(super) fn ask(&self, via: Via) -> Option<Question<'_>> {
        let mut open = lock(&self.0);
        if open.waiting.len() >= LIMIT {
            return None;
        }
        let ack_id = loop {
            // From 1 on, as with the SDK; after the last, again.
            open.last = if open.last == i32::MAX { 1 } else { open.last + 1 };
            if !open.waiting.contains_key(&open.last) {
                break open.last;
            }
        };
        let (sender, answer) = oneshot::channel();
        open.waiting.insert(ack_id, (via, sender));
        Some(Question { ack_id, answer, questions: self })
    }

    /// An answer. One that nobody waits for is late.
    pub(super) fn handle_answer(&self, ack_id: i32, endpoint: usize, status: i32, payload: Option<Vec<u8>>) {
        let waiting = lock(&self.0).waiting.remove(&ack_id);
        if let Some((_, sender)) = waiting {
            let _ = sender.send(Ack { endpoint, status, payload: payload.map(SharedBytes::from) });
        }
    }

    /// A server connection has ended, and with it what was asked over it.
    pub(super) fn handle_lost(&self, via: Via) {
        lock(&self.0).waiting.retain(|_, (of, _)| *of != via);
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.questions.0).waiting.remove(&self.ack_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIA: Via = Via { endpoint: 0, number: 7 };

    #[tokio::test]
    async fn each_question_has_its_answer() {
        let questions = Questions::default();
        let (first, second) = (questions.ask(VIA).unwrap(), questions.ask(VIA).unwrap());
        assert_eq!((first.ack_id, second.ack_id), (1, 2));
        questions.handle_answer(2, 1, 2, Some(vec![0xc0]));
        questions.handle_answer(1, 0, 1, None);
        questions.handle_answer(1, 0, 4, None);
        questions.handle_answer(-3, 0, 4, None);
        let mut question = second;
        let answer = (&mut question.answer).await.unwrap();
        assert_eq!(answer, Ack { endpoint: 1, status: 2, payload: Some(vec![0xc0].into()) });
        let mut question = first;
        assert_eq!((&mut question.answer).await.unwrap().status, 1);
    }

    #[tokio::test]
    async fn a_question_ends_with_its_server_connection_and_is_forgotten_when_nobody_waits() {
        let questions = Questions::default();
        let other = Via { endpoint: 1, ..VIA };
        let (mut lost, kept) = (questions.ask(VIA).unwrap(), questions.ask(other).unwrap());
        questions.handle_lost(VIA);
        assert!((&mut lost.answer).await.is_err());
        assert_eq!(lock(&questions.0).waiting.len(), 1);
        drop(kept);
        assert_eq!(lock(&questions.0).waiting.len(), 0);
    }

    #[test]
    fn there_is_an_end_of_questions_and_ids_begin_anew() {
        let questions = Questions::default();
        lock(&questions.0).last = i32::MAX - 1;
        let all: Vec<_> = (0..LIMIT).map(|_| questions.ask(VIA).unwrap()).collect();
        assert_eq!(all.iter().take(3).map(|q| q.ack_id).collect::<Vec<_>>(), [i32::MAX, 1, 2]);
        assert!(questions.ask(VIA).is_none());
        drop(all);
        assert!(questions.ask(VIA).is_some());
    }
}
