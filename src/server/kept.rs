//! Messages that wait for a client and may be dropped for newer ones of their target.
//!
//! The client's queue has a place for each message. A place takes what is the oldest message of its target when its turn
//! comes, so that messages can be dropped without looking for their places.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    lock::lock,
    platform::lowercase,
    server::{message::Frame, slow::Slow},
};

/// What a queued message costs besides its bytes.
pub(super) const OVERHEAD: usize = 64;

/// At this number of targets those are looked for of which nothing waits.
const SWEEP_AT: usize = 64;

/// The messages of one target that wait.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    /// How many places of the queue are left for them: never less than there are messages.
    places: usize,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.0)
    }

    /// The message for a place of the queue whose turn has come.
    pub(crate) fn take(&self) -> Option<Frame> {
        let mut waiting = self.lock();
        waiting.places = waiting.places.saturating_sub(1);
        waiting.frames.pop_front()
    }
}

/// What waits for one client, by target.
#[derive(Debug, Default)]
pub(crate) struct KeptTargets(Mutex<HashMap<String, Arc<Kept>>>);

/// What was dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) messages: u64,
    pub(crate) cost: usize,
}

impl Dropped {
    fn add(&mut self, frame: Option<Frame>) {
        if let Some(frame) = frame {
            self.messages += 1;
            self.cost += frame.len() + OVERHEAD;
        }
    }
}

impl KeptTargets {
    /// Adds a message. For a slow client it may take the place of others; else it needs a place in the queue, for which
    /// this gives what goes there.
    pub(crate) fn push(
        &self,
        target: &str,
        frame: Frame,
        slow: Option<Slow>,
    ) -> (Option<Arc<Kept>>, Dropped) {
        let mut targets = lock(&self.0);
        if targets.len() >= SWEEP_AT {
            targets.retain(|_, kept| kept.lock().places > 0);
        }
        let kept = targets.entry(lowercase(target)).or_default();
        let mut waiting = kept.lock();
        let mut dropped = Dropped::default();
        if waiting.places > 0 {
            match slow {
                Some(Slow::DropOldest) => dropped.add(waiting.frames.pop_front()),
                Some(Slow::KeepLatest) => waiting.frames.drain(..).for_each(|frame| dropped.add(Some(frame))),
                _ => {}
            }
        }
        waiting.frames.push_back(frame);
        let needs_place = waiting.frames.len() > waiting.places;
        if needs_place {
            waiting.places += 1;
        }
        drop(waiting);
        (needs_place.then(|| kept.clone()), dropped)
    }
}
