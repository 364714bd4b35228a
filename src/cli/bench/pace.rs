//! When the next call begins, and when a phase is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, Semaphore};

use crate::cli::bench::plan::Length;

/// Whether the user wants it to end.
#[derive(Debug, Default)]
pub(super) struct Stop {
    is_wanted: AtomicBool,
    told: Notify,
}

impl Stop {
    pub(super) fn set(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
        self.told.notify_waiters();
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Waits until the user wants it.
    pub(super) async fn wait(&self) {
        // It hears what is told from now on.
        let told = self.told.notified();
        if !self.is_set() {
            told.await;
        }
    }
}

/// The pace of a phase, which all workers share.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Instant,
    until: Option<Instant>,
    count: u64,
    taken: AtomicU64,
    /// How many are done, for the progress bar.
    pub(super) done: AtomicU64,
    stop: Arc<Stop>,
    schedule: Option<Schedule>,
}

/// An open loop: calls begin by the clock, whatever has become of those before.
#[derive(Debug)]
struct Schedule {
    interval: Duration,
    due: Arc<Semaphore>,
}

impl Pace {
    pub(super) fn start(length: Length, rate: Option<f64>, stop: &Arc<Stop>) -> Arc<Self> {
        let begun = Instant::now();
        let (until, count) = match length {
            Length::Time(time) => (Some(begun + time), u64::MAX),
            Length::Count(count) => (None, count),
        };
        let schedule = rate.map(|rate| {
            let interval = Duration::from_secs_f64(1.0 / rate);
            let due = Arc::new(Semaphore::new(0));
            (Schedule { interval, due: Arc::clone(&due) }, due)
        });
        let (schedule, due) = schedule.unzip();
        let pace = Arc::new(Self {
            begun,
            until,
            count,
            taken: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stop: Arc::clone(stop),
            schedule,
        });
        if let Some(due) = due {
            let pace = Arc::clone(&pace);
            // A thread of its own sleeps more exactly than the runtime's timer, which counts milliseconds.
            thread::spawn(move || pace.keep(&due));
        }
        pace
    }

    /// Makes calls due, each in its time.
    fn keep(&self, due: &Semaphore) {
        let Some(Schedule { interval, .. }) = self.schedule else { return };
        let mut made = 0;
        while made < self.count && !self.is_over() {
            let elapsed = self.begun.elapsed();
            let owed = (elapsed.as_secs_f64() / interval.as_secs_f64()) as u64 + 1;
            let new = owed.min(self.count).saturating_sub(made);
            due.add_permits(usize::try_from(new).unwrap_or(Semaphore::MAX_PERMITS));
            made += new;
            let next = self.begun + interval.mul_f64(made as f64);
            thread::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
        }
        // Workers that wait for a call that will not come are told so; all others get theirs.
        if made < self.count {
            due.close();
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_set() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Waits until the next call has to begin. Returns from when on its time counts; `None` when the phase is over.
    ///
    /// In an open loop that is the moment at which it was due, if nobody was free to begin it then: otherwise an answer that
    /// takes long would hide how long others would have taken (coordinated omission).
    pub(super) async fn next(&self) -> Option<Instant> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.count {
            return None;
        }
        let mut is_late = false;
        if let Some(Schedule { due, .. }) = &self.schedule {
            match due.try_acquire() {
                Ok(permit) => {
                    permit.forget();
                    is_late = true;
                }
                Err(_) => due.acquire().await.ok()?.forget(),
            }
        }
        if self.is_over() {
            return None;
        }
        // Counted behind the permit: whoever has one of so many permits has one that was due by then.
        let begun_before = self.done.fetch_add(1, Ordering::Relaxed);
        let due_at = self.schedule.as_ref().filter(|_| is_late);
        Some(due_at.map_or_else(Instant::now, |schedule| {
            self.begun + schedule.interval.mul_f64(begun_before as f64)
        }))
    }

    /// How much of the phase is over, of 1.
    pub(super) fn progress(&self) -> f64 {
        match self.until {
            Some(until) => {
                let all = until.duration_since(self.begun).as_secs_f64().max(1e-9);
                (self.begun.elapsed().as_secs_f64() / all).min(1.0)
            }
            None => (self.done.load(Ordering::Relaxed) as f64 / self.count.max(1) as f64).min(1.0),
        }
    }

    /// Waits until the time of the phase is over.
    pub(super) async fn over(&self) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_counts_from_when_a_call_was_due() {
        let pace = Pace::start(Length::Count(30), Some(1_000.0), &Arc::default());
        let first = pace.next().await.expect("the first call");
        // Nobody is free for a while: the calls that were due meanwhile are late by that.
        thread::sleep(Duration::from_millis(20));
        let now = Instant::now();
        let late = now.duration_since(pace.next().await.expect("the second call"));
        assert!(late >= Duration::from_millis(15) && first <= now, "{late:?}");
        let mut rest = 0;
        while pace.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, 28);
        assert!(pace.begun.elapsed() >= Duration::from_millis(29));
    }

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_count_or_when_it_is_stopped() {
        let stop = Arc::default();
        let pace = Pace::start(Length::Count(2), None, &stop);
        assert!(pace.next().await.is_some() && pace.next().await.is_some());
        assert!(pace.next().await.is_none());
        let pace = Pace::start(Length::Count(2), None, &stop);
        stop.set();
        stop.wait().await;
        assert!(pace.next().await.is_none());
    }
}
