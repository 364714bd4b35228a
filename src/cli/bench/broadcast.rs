//! A message to every connection, and when each of them has it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    HubConnection,
    arguments::ArgumentList,
    cli::{
        bench::{
            figures::{Figures, Latencies, Tally, Usage},
            load::{PATIENCE, Run},
            pace::Pace,
            plan::{Length, Publisher},
        },
        context::Place,
        failure::Failure,
        value::AnyValue,
    },
    core::ErrorChain,
    lock::lock,
    service::HubClient,
};

/// How many messages may be on their way at the same time.
const SLOTS: usize = 65_536;

/// What receivers share with the publisher.
#[derive(Debug)]
struct Board {
    begun: Instant,
    /// When messages were due, in nanoseconds from the beginning, by their number.
    sent: Vec<AtomicU64>,
    /// Messages below this number are of an earlier phase.
    first: AtomicU64,
    received: AtomicU64,
    latencies: Mutex<Latencies>,
    changed: Notify,
}

impl Board {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            sent: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            first: AtomicU64::new(0),
            received: AtomicU64::new(0),
            latencies: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn slot(&self, number: u64) -> Option<&AtomicU64> {
        self.sent.get(usize::try_from(number).ok()? % SLOTS)
    }

    fn publish(&self, number: u64, due: Instant) {
        if let Some(slot) = self.slot(number) {
            let nanoseconds = due.duration_since(self.begun).as_nanos();
            slot.store(u64::try_from(nanoseconds).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// A message with this text has come.
    fn receive(&self, text: &str) {
        let number = text.split(' ').next().and_then(|number| number.parse().ok());
        let Some((number, slot)) = number.and_then(|number| Some((number, self.slot(number)?))) else {
            return;
        };
        if number < self.first.load(Ordering::Relaxed) {
            return;
        }
        let sent = Duration::from_nanos(slot.load(Ordering::Relaxed));
        lock(&self.latencies).record(self.begun.elapsed().saturating_sub(sent));
        self.received.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits until so many have come.
    async fn have(&self, count: u64) -> bool {
        let all = async {
            while self.received.load(Ordering::Relaxed) < count {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.is_ok()
    }
}

/// Who publishes.
enum Sender {
    Hub(HubConnection),
    Rest(HubClient),
}

pub(super) async fn measure(run: &Run<'_>) -> Result<Figures, Failure> {
    let scenario = run.scenario;
    let board = Arc::new(Board::new());
    let message = scenario.message.as_deref().unwrap_or("News");
    let mut opening = Tally::default();
    let hubs = run
        .open(&mut opening, |builder| {
            let board = Arc::clone(&board);
            builder.on(message, move |AnyValue(value): AnyValue| {
                if let Value::String(text) = value {
                    board.receive(&text);
                }
            })
        })
        .await?;
    opening.latencies = Latencies::default();
    let sender = match (scenario.publish, run.target.place(), hubs.first()) {
        (Publisher::Rest, Place::Service(hub), _) => Sender::Rest(hub.clone()),
        (Publisher::Rest, Place::Hub(_), _) => {
            return Err(Failure::new("the REST API belongs to a service, and the target is a hub's URL")
                .advise("give --hub NAME with a connection string, or --publish hub"));
        }
        (Publisher::Hub, _, Some(hub)) => Sender::Hub(hub.clone()),
        (Publisher::Hub, _, None) => return Err(Failure::new("there is no connection to publish by")),
    };
    let mut phases = Phases { run, board: &board, sender, hubs: &hubs, number: 0 };
    phases.phase(scenario.warm_up, true).await;
    *lock(&board.latencies) = Latencies::default();
    let usage = Usage::start();
    let (mut tally, complete) = phases.phase(scenario.length, false).await;
    tally.latencies = std::mem::take(&mut *lock(&board.latencies));
    tally.add(&opening);
    let mut figures = usage.finish(tally);
    figures.connected = hubs.len();
    figures.more.insert("published".to_owned(), complete.count.into());
    if !complete.latencies.is_empty() {
        let [median, .., worst] = complete.latencies.milliseconds();
        figures.more.insert(
            "completeMilliseconds".to_owned(),
            serde_json::json!({ "p50": median.1, "max": worst.1 }),
        );
    }
    run.close(hubs).await;
    Ok(figures)
}

struct Phases<'p> {
    run: &'p Run<'p>,
    board: &'p Board,
    sender: Sender,
    hubs: &'p [HubConnection],
    number: u64,
}

impl Phases<'_> {
    /// Publishes; in a closed loop one message after everybody has the one before. Returns what was delivered, and what was
    /// published, with the times until the last one had it.
    async fn phase(&mut self, length: Length, warm_up: bool) -> (Tally, Tally) {
        let (run, board, hubs) = (self.run, self.board, self.hubs);
        let (scenario, receivers) = (run.scenario, hubs.len() as u64);
        let (mut tally, mut complete, mut is_complete) = (Tally::default(), Tally::default(), true);
        board.first.store(self.number, Ordering::Relaxed);
        board.received.store(0, Ordering::Relaxed);
        if length != Length::Count(0) && length != Length::Time(Duration::ZERO) {
            let pace = Pace::start(length, scenario.rate, run.stop);
            let _shown = run.on_pace.measuring(&pace, warm_up);
            let publish = async {
                while let Some(due) = pace.next().await {
                    board.publish(self.number, due);
                    let text = text(self.number, scenario.payload);
                    self.number += 1;
                    if let Err(error) = self.send(text).await {
                        tally.fail(&error);
                        continue;
                    }
                    complete.count += 1;
                    if scenario.rate.is_none() {
                        if !board.have(complete.count * receivers).await {
                            return false;
                        }
                        complete.latencies.record(due.elapsed());
                    }
                }
                true
            };
            let ended = run.bounded(hubs, Some(&pace), publish).await;
            is_complete = ended.unwrap_or(false);
            if ended.is_none() && !run.stop.is_set() {
                tally.fail("the connections were lost, or the hub had stopped answering");
            }
        }
        let expected = complete.count * receivers;
        // What was waited for in vain does not come any more.
        if is_complete {
            run.bounded(hubs, None, board.have(expected)).await;
        }
        tally.count = board.received.load(Ordering::Relaxed);
        tally.fail_often("a message did not arrive", expected.saturating_sub(tally.count));
        (tally, complete)
    }

    async fn send(&self, text: String) -> Result<(), String> {
        let scenario = self.run.scenario;
        let message = scenario.message.as_deref().unwrap_or("News");
        match &self.sender {
            Sender::Rest(hub) => {
                let sent = hub.all().send(message, (text,)).await;
                sent.map_err(|error| ErrorChain::new(&error).to_string())
            }
            Sender::Hub(hub) => {
                // A method of its own gets the text after its other arguments.
                let mut values = scenario.arguments.clone().unwrap_or_else(|| vec![message.into()]);
                values.push(text.into());
                let arguments = ArgumentList { values, uploads: Vec::new() };
                let sent = hub.send(&scenario.method, arguments).await;
                sent.map_err(|error| ErrorChain::new(&error).to_string())
            }
        }
    }
}

/// The number of a message, and blanks up to its length.
fn text(number: u64, length: usize) -> String {
    format!("{:<length$}", format!("{number} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_known_by_their_number() {
        assert_eq!(text(12, 8), "12      ");
        assert_eq!(text(12, 0), "12 ");
        let board = Board::new();
        board.publish(SLOTS as u64 + 1, board.begun);
        board.first.store(2, Ordering::Relaxed);
        for text in ["1 ", "nonsense", "", &text(SLOTS as u64 + 1, 32)] {
            board.receive(text);
        }
        assert_eq!(board.received.load(Ordering::Relaxed), 1);
        assert!(!lock(&board.latencies).is_empty());
    }
}
