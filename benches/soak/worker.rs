//! One connection behind the proxy, and those who use it all the time: each proves by numbers that nothing is lost,
//! doubled or out of order.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::{StreamExt, stream};
use hubwire::{
    CallError, ConnectionError, ConnectionEvent, ConnectionState, HubConnection, HubConnectionBuilder, Upload,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant, timeout};

use crate::random::Random;
use crate::tally::{Fault, Kind, Tally, is_expected, is_silence};

/// What takes longer than this hangs. A stateful connection whose server has fallen silent needs four times its
/// server timeout until it is replaced.
pub(crate) const HANG: Duration = Duration::from_secs(90);

/// The server's keep-alive interval does not matter: there is always traffic.
const SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long everything may take to end once the connection is stopped.
const STOP: Duration = Duration::from_secs(30);

/// What the server has of a series of numbers. .NET writes its names in two ways.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    #[serde(alias = "Count")]
    pub(crate) count: i64,
    #[serde(alias = "Last")]
    pub(crate) last: i64,
    #[serde(alias = "InOrder")]
    pub(crate) in_order: bool,
    #[serde(alias = "Duplicates")]
    pub(crate) duplicates: Vec<i64>,
    #[serde(alias = "Missing")]
    pub(crate) missing: Vec<i64>,
}

/// Numbers that went to the server on one connection, in order from 0.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) who: String,
    pub(crate) name: String,
    /// So many went out on that connection for sure; the next one perhaps, or on the connection after it.
    pub(crate) sent: i64,
}

impl Series {
    /// Holds what the server has against what was sent. All of it has to be there if that is `complete`; else the end
    /// may be missing, as it does when a connection is lost. Returns whether it is right.
    pub(crate) fn check(&self, report: &Report, complete: bool, tally: &Tally) -> bool {
        let who = format!("{}, sent as {}", self.who, self.name);
        let fault = if !report.duplicates.is_empty() {
            Fault::Doubled
        } else if !report.in_order {
            Fault::Reordered
        } else if !report.missing.is_empty() && report.last < self.sent
            || complete && report.count < self.sent
        {
            Fault::Lost
        } else {
            return true;
        };
        tally.fault(fault, &who, &format!("{} were sent: {report:?}", self.sent));
        false
    }
}

/// Everyone who uses a connection.
#[derive(Clone)]
pub(crate) struct Worker {
    hub: HubConnection,
    name: String,
    kind: Arc<Kind>,
    tally: Arc<Tally>,
    seed: u64,
    stop: watch::Receiver<bool>,
    series: Arc<Mutex<Vec<Series>>>,
}

impl Worker {
    pub(crate) fn new(
        builder: HubConnectionBuilder,
        name: &str,
        seed: u64,
        tally: Arc<Tally>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, ConnectionError> {
        let kind = tally.kind(name);
        let (counting, reasons) = (Arc::clone(&kind), Arc::clone(&tally));
        let mut random = Random::new(seed);
        let delays: Vec<_> = (0..64).map(|_| random.millis(0..700)).collect();
        let hub = builder
            .with_automatic_reconnect(hubwire::RetryPolicy::new(move |context| {
                // Without end.
                delays.get(context.previous_retry_count as usize % delays.len()).copied()
            }))
            .with_server_timeout(SERVER_TIMEOUT)
            .with_handshake_timeout(Duration::from_secs(5))
            .with_request_timeout(Duration::from_secs(8))
            .with_call_timeout(Duration::from_secs(20))
            .on_event(move |event| match event {
                ConnectionEvent::Reconnecting { error } => {
                    if is_silence(&error) {
                        counting.silent.add();
                    }
                    reasons.reason(&counting.name, "lost", &error);
                }
                ConnectionEvent::Disconnected { error } => reasons.reason(&counting.name, "ended", &error),
                ConnectionEvent::Reconnected { .. } => counting.reconnects.add(),
                _ => {}
            })
            .build()?;
        Ok(Self { hub, name: name.to_owned(), kind, tally, seed, stop, series: Arc::default() })
    }

    /// Works until it is told to stop. Gives what it has sent.
    pub(crate) async fn run(self, with_streams: bool, with_uploads: bool) -> Vec<Series> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().record());
        tasks.spawn(self.clone().invoke());
        tasks.spawn(self.clone().push());
        if with_streams {
            tasks.spawn(self.clone().stream());
        }
        if with_uploads {
            tasks.spawn(self.clone().upload());
        }
        self.keep().await;
        // Most of them end on their own now; the others end with the connection.
        let mut all =
            async |limit| timeout(limit, async { while tasks.join_next().await.is_some() {} }).await;
        let _ = all(Duration::from_secs(3)).await;
        if timeout(STOP, self.hub.stop()).await.is_err() {
            self.fault(Fault::Hung, "stop");
        }
        if all(STOP).await.is_err() {
            self.fault(Fault::Hung, "a call after the connection was stopped");
        }
        self.series.lock().expect("no panic while it is locked").clone()
    }

    fn fault(&self, fault: Fault, what: &str) {
        self.tally.fault(fault, &self.name, what);
    }

    fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    fn random(&self, number: u64) -> Random {
        Random::fork(self.seed, number)
    }

    /// Starts the connection, and starts it again whenever it has ended for good.
    async fn keep(&self) {
        let mut stop = self.stop.clone();
        while !self.stopping() {
            match timeout(HANG, self.hub.start()).await {
                Err(_) => return self.fault(Fault::Hung, "start"),
                Ok(Err(ConnectionError::AlreadyStarted)) => {
                    return self.fault(Fault::Wrong, "a connection that has ended is started already");
                }
                Ok(Err(_)) => {
                    time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Ok(Ok(())) => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = self.hub.closed() => self.kind.restarts.add(),
                () = self.is_down_for_long() => return self.fault(Fault::Hung, "the way back to a connection"),
            }
        }
    }

    async fn is_down_for_long(&self) {
        let mut last_up = Instant::now();
        while last_up.elapsed() < HANG {
            time::sleep(Duration::from_millis(200)).await;
            if self.hub.state() == ConnectionState::Connected {
                last_up = Instant::now();
            }
        }
    }

    /// The id of the connection, once it is up. `None` when it is time to stop.
    async fn connected(&self) -> Option<String> {
        while !self.stopping() {
            if let Some(id) = self.hub.connection_id() {
                return Some(id);
            }
            time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    fn is_still(&self, id: &str) -> bool {
        self.hub.connection_id().as_deref() == Some(id)
    }

    /// Counts a call, which has to end, and in a way that can be accounted for.
    async fn call<T>(&self, what: &str, call: impl Future<Output = Result<T, CallError>>) -> Option<T> {
        self.kind.made.add();
        let result = timeout(HANG, call).await;
        match result {
            Err(_) => {
                self.fault(Fault::Hung, what);
                return None;
            }
            Ok(_) => self.kind.ended.add(),
        }
        match result.expect("it has ended") {
            Ok(value) => Some(value),
            Err(error) => {
                self.kind.failed.add();
                if !is_expected(&error) {
                    self.fault(Fault::Wrong, &format!("{what}: {error}"));
                }
                // Calls fail at once while the connection is about to be lost; the one who loses it needs its turn.
                time::sleep(Duration::from_millis(10)).await;
                None
            }
        }
    }

    /// Sends numbers, and asks now and then which have arrived.
    async fn record(self) {
        let mut random = self.random(1);
        for number in 0.. {
            let Some(id) = self.connected().await else { return };
            let name = format!("{} {} {number}", self.name, self.seed);
            let mut series = Series { who: self.name.clone(), name, sent: 0 };
            let mut is_right = true;
            while is_right && !self.stopping() && self.send_some(&id, &mut series, &mut random).await {
                let recorded = self.hub.invoke::<Report>("Recorded", (&series.name,));
                let Some(report) = self.call("Recorded", recorded).await else { break };
                // An answer that came on this connection tells of all that was sent on it before.
                if !self.is_still(&id) {
                    break;
                }
                is_right = series.check(&report, true, &self.tally);
            }
            // One fault is told once.
            if series.sent > 0 && is_right {
                self.series.lock().expect("no panic while it is locked").push(series);
            }
        }
    }

    /// Returns whether all of it went out on the connection of this id.
    async fn send_some(&self, id: &str, series: &mut Series, random: &mut Random) -> bool {
        for _ in 0..random.within(1..60) {
            let sent = self.hub.send("Record", (&series.name, series.sent));
            if self.call("Record", sent).await.is_none() || !self.is_still(id) {
                return false;
            }
            series.sent += 1;
            if random.one_in(8) {
                time::sleep(random.millis(0..40)).await;
            }
        }
        true
    }

    /// Calls with small and large answers.
    async fn invoke(self) {
        let mut random = self.random(2);
        while self.connected().await.is_some() {
            let (a, b) = (random.within(0..1 << 20) as i32, random.within(0..1 << 20) as i32);
            if let Some(sum) = self.call("Add", self.hub.invoke::<i32>("Add", (a, b))).await
                && sum != a + b
            {
                self.fault(Fault::Wrong, &format!("{a} + {b} = {sum}"));
            }
            // Larger than a segment now and then, so that cuts fall inside of messages; the server takes 32 KiB.
            let length = if random.one_in(10) { random.within(0..14_000) } else { random.within(0..500) };
            let text = "é".repeat(length as usize);
            if let Some(echo) =
                self.call("EchoString", self.hub.invoke::<String>("EchoString", (&text,))).await
                && echo != text
            {
                self.fault(Fault::Wrong, &format!("an echo of {} bytes for {}", echo.len(), text.len()));
            }
            time::sleep(random.millis(0..30)).await;
        }
    }

    /// Has the server send numbers, and hears all of them, in order.
    async fn push(self) {
        let mut random = self.random(3);
        for number in 0.. {
            let Some(id) = self.connected().await else { return };
            let (target, count) = (format!("Push{number}"), random.within(20..400));
            let (sender, numbers) = mpsc::unbounded();
            let subscription = self.hub.on(&target, move |number: u64| {
                let _ = sender.unbounded_send(number);
            });
            let asked = self.hub.invoke::<()>("PushSeries", (&target, count, random.within(0..15)));
            if self.call("PushSeries", asked).await.is_some() && self.is_still(&id) {
                self.hear(&id, &target, numbers, count).await;
            }
            subscription.unsubscribe();
        }
    }

    /// All numbers have to come, unless the connection of this id ends.
    async fn hear(&self, id: &str, target: &str, mut numbers: mpsc::UnboundedReceiver<u64>, count: u64) {
        let (mut wanted, mut missing) = (0, BTreeSet::new());
        let mut last = Instant::now();
        while wanted < count && !self.stopping() {
            let Ok(number) = timeout(Duration::from_millis(200), numbers.next()).await else {
                if !self.is_still(id) {
                    break;
                }
                if last.elapsed() > HANG {
                    self.fault(Fault::Lost, &format!("{target}: nothing after {wanted} of {count}"));
                    return;
                }
                continue;
            };
            let Some(number) = number else { break };
            last = Instant::now();
            self.kind.messages.add();
            if number >= wanted {
                missing.extend(wanted..number);
                wanted = number + 1;
            } else if missing.remove(&number) {
                self.fault(Fault::Reordered, &format!("{target}: {number} after {}", wanted - 1));
            } else {
                self.fault(Fault::Doubled, &format!("{target}: {number} after {}", wanted - 1));
            }
        }
        if !missing.is_empty() {
            let what = format!("{target}: {} of {count}, the first is {:?}", missing.len(), missing.first());
            self.fault(Fault::Lost, &what);
        }
    }

    /// Streams to their ends, and some that are dropped before.
    async fn stream(self) {
        let mut random = self.random(4);
        while self.connected().await.is_some() {
            let count = random.within(1..200) as i64;
            let delay = random.within(0..8);
            let taken = if random.one_in(5) { count / 2 } else { count };
            let call = async {
                let mut items = self.hub.stream::<i64>("Counter", (count, delay)).await?;
                self.items(&mut items, "Counter", count, taken, 1).await
            };
            self.call("Counter", call).await;
            time::sleep(random.millis(0..50)).await;
        }
    }

    async fn items(
        &self,
        items: &mut hubwire::HubStream<i64>,
        what: &str,
        count: i64,
        taken: i64,
        step: i64,
    ) -> Result<(), CallError> {
        for wanted in 0..taken {
            match items.next().await {
                Some(item) if item.as_ref().is_ok_and(|item| *item == wanted * step) => {}
                Some(item) => {
                    let item = item?;
                    let fault = if item < wanted * step { Fault::Doubled } else { Fault::Lost };
                    self.fault(fault, &format!("{what}: item {item} where {} comes next", wanted * step));
                    return Ok(());
                }
                None => {
                    self.fault(Fault::Lost, &format!("{what}: the end after {wanted} of {count} items"));
                    return Ok(());
                }
            }
        }
        if taken == count {
            match items.next().await {
                None => {}
                Some(item) => {
                    let item = item?;
                    self.fault(Fault::Doubled, &format!("{what}: item {item} after the last of {count}"));
                }
            }
        }
        Ok(())
    }

    /// Uploads: for a result, and for a stream of results.
    async fn upload(self) {
        let mut random = self.random(5);
        while self.connected().await.is_some() {
            let count = random.within(1..150) as i64;
            let pause = random.millis(0..6);
            let numbers = Upload::new(stream::iter(0..count).then(move |number| async move {
                time::sleep(pause).await;
                number
            }));
            if random.one_in(2) {
                let sum = self.call("UploadSum", self.hub.invoke::<i64>("UploadSum", (numbers,))).await;
                if let Some(sum) = sum
                    && sum != count * (count - 1) / 2
                {
                    self.fault(Fault::Lost, &format!("UploadSum: {sum} from {count} numbers"));
                }
            } else {
                let call = async {
                    let mut doubled = self.hub.stream::<i64>("Double", (numbers,)).await?;
                    self.items(&mut doubled, "Double", count, count, 2).await
                };
                self.call("Double", call).await;
            }
            time::sleep(random.millis(0..50)).await;
        }
    }
}
