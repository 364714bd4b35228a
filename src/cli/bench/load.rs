//! The connections of a scenario, and what they do.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    CallError, ConnectionEvent, HubConnection,
    arguments::ArgumentList,
    cli::{
        bench::{
            figures::{Figures, Tally, Usage},
            pace::{Pace, Stop},
            plan::{Kind, Length, Scenario},
        },
        context::Target,
        failure::Failure,
        value::AnyValue,
    },
    core::ErrorChain,
    lock::lock,
};

/// How long to wait for what the hub has still to send.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The same, when the user wants an end, or nobody is there any more.
const GRACE: Duration = Duration::from_millis(500);
/// The error of calls that were under way at the end.
const UNANSWERED: &str = "there was no answer when the measurement ended";

/// A scenario on its way.
#[derive(Debug)]
pub(super) struct Run<'r> {
    pub(super) scenario: &'r Scenario,
    pub(super) target: &'r Target,
    pub(super) stop: &'r Arc<Stop>,
    /// Shown while it is measured.
    pub(super) on_pace: &'r dyn ShowPace,
}

/// Shows how far a phase has come, until what it returns is dropped.
pub(super) trait ShowPace: std::fmt::Debug + Sync {
    fn opening(&self, opened: &Arc<AtomicU64>, of: usize) -> Shown;
    fn measuring(&self, pace: &Arc<Pace>, warm_up: bool) -> Shown;
}

/// A display that goes on until it is dropped.
#[derive(Debug)]
pub(super) struct Shown(
    pub(super) Option<tokio::task::AbortHandle>,
    pub(super) Option<indicatif::ProgressBar>,
);

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
        if let Some(bar) = self.1.take() {
            bar.finish_and_clear();
        }
    }
}

impl Run<'_> {
    /// Waits for work until it is done, and no longer than it makes sense: until the user wants an end, all connections are
    /// lost, or the time of a phase is over by far.
    pub(super) async fn bounded<T>(
        &self,
        hubs: &[HubConnection],
        pace: Option<&Pace>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let lost = async {
            for hub in hubs {
                hub.closed().await;
            }
            if hubs.is_empty() {
                std::future::pending().await
            }
        };
        let hopeless = async {
            tokio::select! {
                () = self.stop.wait() => {}
                () = lost => {}
            }
            tokio::time::sleep(GRACE).await;
        };
        let late = async {
            if let Some(pace) = pace {
                pace.over().await;
            }
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = hopeless => None,
            () = late => None,
        }
    }

    /// Disconnects.
    pub(super) async fn close(&self, hubs: Vec<HubConnection>) {
        let mut stopping = JoinSet::new();
        for hub in hubs {
            stopping.spawn(async move { hub.stop().await });
        }
        self.bounded(&[], None, stopping.join_all()).await;
    }

    /// A connection that is not started yet.
    pub(super) async fn build(
        &self,
        prepare: impl FnOnce(crate::HubConnectionBuilder) -> crate::HubConnectionBuilder,
    ) -> Result<HubConnection, Failure> {
        let builder = self.target.connection().await?.with_skip_negotiation(self.scenario.skip_negotiation);
        Ok(prepare(builder).build()?)
    }

    /// Opens all connections. Those that fail are counted; when all do, that is the failure.
    pub(super) async fn open(
        &self,
        tally: &mut Tally,
        prepare: impl Fn(crate::HubConnectionBuilder) -> crate::HubConnectionBuilder,
    ) -> Result<Vec<HubConnection>, Failure> {
        let opened = Arc::<AtomicU64>::default();
        let _shown = self.on_pace.opening(&opened, self.scenario.connections);
        let (mut starting, mut open) = (JoinSet::new(), Vec::with_capacity(self.scenario.connections));
        let (mut begun, mut last) = (0, None);
        while begun < self.scenario.connections && !self.stop.is_set() || !starting.is_empty() {
            while starting.len() < self.scenario.at_once
                && begun < self.scenario.connections
                && !self.stop.is_set()
            {
                begun += 1;
                let hub = self.build(&prepare).await?;
                starting.spawn(async move {
                    let at = Instant::now();
                    let started = hub.start().await;
                    (hub, started, at.elapsed())
                });
            }
            let next = tokio::select! {
                biased;
                next = starting.join_next() => next,
                // Those that are on their way are given up.
                () = self.stop.wait() => break,
            };
            match next {
                Some(Ok((hub, Ok(()), took))) => {
                    tally.latencies.record(took);
                    opened.fetch_add(1, Ordering::Relaxed);
                    open.push(hub);
                }
                Some(Ok((_, Err(error), _))) => {
                    tally.fail(&format!("connect: {}", ErrorChain::new(&error)));
                    last = Some(error);
                }
                Some(Err(_)) => tally.fail("connect: it panicked"),
                None => {}
            }
        }
        match (open.is_empty(), last) {
            (true, Some(error)) => Err(Failure::new("no connection could be opened")
                .because(error)
                .advise("`hubwire negotiate` with the same target shows every step of connecting")),
            _ => Ok(open),
        }
    }

    /// Calls of methods: `echo`, `send` and `stream`.
    pub(super) async fn call(&self) -> Result<Figures, Failure> {
        let mut opening = Tally::default();
        let done = Arc::<Notify>::default();
        let (tell, until) = (Arc::clone(&done), self.scenario.until.clone());
        let hubs = self
            .open(&mut opening, |builder| match &until {
                Some(until) => {
                    let tell = Arc::clone(&tell);
                    builder.on(until, move || tell.notify_one())
                }
                None => builder,
            })
            .await?;
        opening.latencies = Default::default();
        // A hub that says when it has everything counts from the first message on.
        if self.scenario.until.is_none() {
            self.phase(&hubs, self.scenario.warm_up, true).await;
        }
        let usage = Usage::start();
        let mut tally = self.phase(&hubs, self.scenario.length, false).await;
        if self.scenario.kind == Kind::Send {
            self.settle(&hubs, &done, &mut tally).await;
        }
        tally.add(&opening);
        let mut figures = usage.finish(tally);
        figures.connected = hubs.len();
        self.close(hubs).await;
        Ok(figures)
    }

    async fn phase(&self, hubs: &[HubConnection], length: Length, warm_up: bool) -> Tally {
        if length == Length::Count(0) || length == Length::Time(Duration::ZERO) {
            return Tally::default();
        }
        let pace = Pace::start(length, self.scenario.rate, self.stop);
        let _shown = self.on_pace.measuring(&pace, warm_up);
        let in_flight = match (self.scenario.kind, self.scenario.rate) {
            // What is sent waits for nothing but the socket.
            (Kind::Send, None) => 1,
            _ => self.scenario.in_flight,
        };
        let (mut workers, mut tallies) = (JoinSet::new(), Vec::new());
        for hub in hubs {
            for _ in 0..in_flight {
                let tally = Arc::<Mutex<Tally>>::default();
                tallies.push(Arc::clone(&tally));
                workers.spawn(Worker::new(self.scenario, hub).work(Arc::clone(&pace), tally));
            }
        }
        let mut panicked = 0;
        let work = async {
            while let Some(done) = workers.join_next().await {
                panicked += u64::from(done.is_err());
            }
        };
        self.bounded(hubs, Some(&pace), work).await;
        let unanswered = workers.len() as u64;
        workers.shutdown().await;
        let mut all = Tally::default();
        tallies.iter().for_each(|tally| all.add(&lock(tally)));
        all.fail_often("a worker panicked", panicked);
        all.fail_often(UNANSWERED, unanswered);
        all
    }

    /// Waits until the hub has what was sent: it says so, or it answers a call that follows.
    async fn settle(&self, hubs: &[HubConnection], done: &Notify, tally: &mut Tally) {
        let settled = async {
            for hub in hubs {
                if self.scenario.until.is_some() {
                    done.notified().await;
                } else {
                    // Its result, or that there is no such method, comes after everything before it.
                    let answer = hub.invoke::<IgnoredAny>("Echo", ("",)).await;
                    if let Err(error @ CallError::Connection(_)) = answer {
                        tally.fail(&ErrorChain::new(&error).to_string());
                    }
                }
            }
        };
        if self.bounded(hubs, None, settled).await.is_none() {
            tally.fail("the hub did not say in time that it has everything");
        }
    }

    /// Connects and disconnects.
    pub(super) async fn connect(&self) -> Result<Figures, Failure> {
        self.connect_phase(self.scenario.warm_up, true).await?;
        let usage = Usage::start();
        let tally = self.connect_phase(self.scenario.length, false).await?;
        let mut figures = usage.finish(tally);
        figures.connected = self.scenario.at_once;
        Ok(figures)
    }

    async fn connect_phase(&self, length: Length, warm_up: bool) -> Result<Tally, Failure> {
        let pace = Pace::start(length, self.scenario.rate, self.stop);
        let _shown = self.on_pace.measuring(&pace, warm_up);
        let (tally, under_way) = (Mutex::<Tally>::default(), AtomicU64::new(0));
        let worker = async || {
            while let Some(begun) = pace.next().await {
                let hub = self.build(|builder| builder).await?;
                under_way.fetch_add(1, Ordering::Relaxed);
                let started = hub.start().await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                lock(&tally).call(started.map_err(CallError::Connection), begun.elapsed());
                hub.stop().await;
            }
            Ok::<_, Failure>(())
        };
        let all = futures_util::future::try_join_all((0..self.scenario.at_once).map(|_| worker()));
        self.bounded(&[], Some(&pace), all).await.transpose()?;
        let mut tally = tally.into_inner().unwrap_or_default();
        tally.fail_often(UNANSWERED, under_way.into_inner());
        Ok(tally)
    }

    /// Counts what comes.
    pub(super) async fn receive(&self) -> Result<Figures, Failure> {
        let (seen, done) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default());
        let usage = Usage::start();
        let mut opening = Tally::default();
        let hubs = self
            .open(&mut opening, |mut builder| {
                if let Some(until) = &self.scenario.until {
                    let tell = Arc::clone(&done);
                    builder = builder.on(until, move || tell.notify_one());
                }
                let count = Arc::clone(&seen);
                let message = self.scenario.message.clone().map(|message| message.to_lowercase());
                builder.on_unhandled(move |call| {
                    let wanted =
                        message.as_ref().is_none_or(|message| *message == call.method().to_lowercase());
                    // Read as an application would.
                    if wanted && call.arguments::<Vec<AnyValue>>().is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .await?;
        opening.latencies = Default::default();
        let mut usage = usage;
        if self.scenario.until.is_none() {
            // Nobody knows when it begins: what is on its way already is the warm-up.
            if let Length::Time(warm_up) = self.scenario.warm_up {
                let _ = tokio::time::timeout(warm_up, self.stop.wait()).await;
            }
            seen.store(0, Ordering::Relaxed);
            usage = Usage::start();
        }
        let by_message = self.scenario.until.is_some();
        let length = match self.scenario.length {
            // It is over when the hub says so.
            Length::Time(_) if by_message => Length::Count(u64::MAX),
            length => length,
        };
        let pace = Pace::start(length, None, self.stop);
        let shown = self.on_pace.measuring(&pace, false);
        let ended = async {
            for _ in &hubs {
                done.notified().await;
            }
        };
        let counted = async {
            while !matches!(self.scenario.length, Length::Count(count) if seen.load(Ordering::Relaxed) >= count)
            {
                pace.done.store(seen.load(Ordering::Relaxed), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let lost = async {
            for hub in &hubs {
                hub.closed().await;
            }
        };
        tokio::select! {
            () = ended, if by_message => {}
            () = counted, if !by_message => {}
            () = pace.over() => {}
            () = lost => opening.fail("the connections were lost"),
        }
        opening.count = seen.load(Ordering::Relaxed);
        drop(shown);
        let mut figures = usage.finish(opening);
        figures.connected = hubs.len();
        self.close(hubs).await;
        Ok(figures)
    }

    /// Holds connections that do nothing. Their latencies are those of connecting.
    pub(super) async fn idle(&self) -> Result<Figures, Failure> {
        let lost = Arc::<AtomicU64>::default();
        let (mut tally, before) = (Tally::default(), crate::cli::machine::resident_bytes());
        let usage = Usage::start();
        let hubs = self.open(&mut tally, |builder| builder).await?;
        let mut figures = usage.finish(tally);
        for hub in &hubs {
            let lost = Arc::clone(&lost);
            let mut events = hub.events();
            tokio::spawn(async move {
                while let Some(event) = events.next().await {
                    if let ConnectionEvent::Disconnected { error } = event
                        && error != crate::ConnectionError::Stopped
                    {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let held = match self.scenario.length {
            Length::Time(_) => self.scenario.length,
            Length::Count(_) => Length::Time(Duration::from_secs(10)),
        };
        let cpu = crate::cli::machine::cpu_seconds();
        let pace = Pace::start(held, None, self.stop);
        let shown = self.on_pace.measuring(&pace, false);
        pace.over().await;
        drop(shown);
        figures.tally.count = hubs.len() as u64;
        figures.tally.fail_often("the connection was lost while idle", lost.load(Ordering::Relaxed));
        figures.connected = hubs.len() - usize::try_from(lost.load(Ordering::Relaxed)).unwrap_or(hubs.len());
        figures.resident = crate::cli::machine::resident_bytes();
        let mut more = |name: &str, value: Option<f64>| {
            figures.more.insert(name.to_owned(), value.map_or(Value::Null, Value::from));
        };
        let grown = before.zip(figures.resident).map(|(before, after)| after.saturating_sub(before) as f64);
        more("residentBytesPerConnection", grown.map(|bytes| (bytes / hubs.len().max(1) as f64).round()));
        let spent = cpu.zip(crate::cli::machine::cpu_seconds()).map(|(before, after)| after - before);
        more("idleCpuSeconds", spent);
        self.close(hubs).await;
        Ok(figures)
    }
}

/// One call after the other on a connection.
struct Worker {
    hub: HubConnection,
    kind: Kind,
    method: String,
    arguments: Vec<Value>,
}

impl Worker {
    fn new(scenario: &Scenario, hub: &HubConnection) -> Self {
        let arguments = scenario.arguments.clone().unwrap_or_else(|| match scenario.kind {
            Kind::Stream => vec![1_000.into(), 0.into()],
            _ => vec!["x".repeat(scenario.payload).into()],
        });
        Self { hub: hub.clone(), kind: scenario.kind, method: scenario.method.clone(), arguments }
    }

    /// What is counted stays when this is dropped within a call that is never answered.
    async fn work(self, pace: Arc<Pace>, tally: Arc<Mutex<Tally>>) {
        while let Some(begun) = pace.next().await {
            let (hub, method) = (&self.hub, &self.method);
            let arguments = &self.arguments[..];
            let done = match self.kind {
                Kind::Send => hub.send(method, arguments).await,
                Kind::Stream => match self.stream().await {
                    Ok(items) => {
                        // The stream itself is counted below.
                        lock(&tally).count += items.saturating_sub(1);
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                _ => hub.invoke::<IgnoredAny>(method, arguments).await.map(drop),
            };
            let is_closed = matches!(&done, Err(error) if error.is_closed());
            lock(&tally).call(done, begun.elapsed());
            if is_closed {
                break;
            }
        }
    }

    async fn stream(&self) -> Result<u64, CallError> {
        let arguments = ArgumentList { values: self.arguments.clone(), uploads: Vec::new() };
        let mut items = self.hub.stream::<AnyValue>(&self.method, arguments).await?;
        let mut count = 0;
        while let Some(item) = items.next().await {
            item?;
            count += 1;
        }
        Ok(count)
    }
}
