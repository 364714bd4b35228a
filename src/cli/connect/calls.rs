//! Calls of the hub, and what becomes of them.

use std::{
    collections::{BTreeMap, HashMap},
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant},
};

use futures_channel::mpsc;
use serde_json::Value;
use tokio::task::{AbortHandle, JoinSet};

use crate::{
    CallError, HubConnection, Subscription, Upload,
    arguments::ArgumentList,
    cli::{
        connect::{
            command::{Call, Kind},
            screen::{Named, Screen},
        },
        value::AnyValue,
    },
    client::ServerCall,
    core::ErrorChain,
    lock::lock,
};

/// An upload that is being typed.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) call: Named,
    sender: mpsc::UnboundedSender<Value>,
}

impl Items {
    /// Returns whether somebody takes it.
    pub(super) fn send(&self, item: Value) -> bool {
        self.sender.unbounded_send(item).is_ok()
    }
}

/// A connection, its calls that are not over yet, and what the server gets for its own.
#[derive(Debug)]
pub(super) struct Calls {
    hub: HubConnection,
    screen: Arc<Screen>,
    running: JoinSet<bool>,
    /// The calls that may be under way, by their numbers.
    handles: BTreeMap<u64, (Named, AbortHandle)>,
    last: u64,
    answers: HashMap<String, Answer>,
    /// Whether a call has failed.
    pub(super) any_failed: bool,
}

/// What a method answers, and who shows that it was asked.
#[derive(Debug)]
struct Answer {
    value: Arc<Mutex<Value>>,
    _registered: [Subscription; 2],
}

impl Calls {
    pub(super) fn new(hub: HubConnection, screen: Arc<Screen>) -> Self {
        let (running, handles, answers) = (JoinSet::new(), BTreeMap::new(), HashMap::new());
        Self { hub, screen, running, handles, last: 0, answers, any_failed: false }
    }

    /// Begins a call, and returns once it is on its way: what follows it on the input also follows it to the server.
    pub(super) async fn begin(&mut self, call: Call) {
        self.start(call, Vec::new()).await;
    }

    /// Begins a call with an upload, whose items are still to come.
    pub(super) async fn begin_upload(&mut self, call: Call) -> Items {
        let (sender, items) = mpsc::unbounded();
        let call = self.start(call, vec![Upload::new(items)]).await;
        Items { call, sender }
    }

    async fn start(&mut self, call: Call, uploads: Vec<Upload<Value>>) -> Named {
        self.last += 1;
        self.screen.remember(&call.method);
        let named = Named { id: self.last, method: call.method };
        let arguments = ArgumentList { values: call.arguments, uploads };
        let called = named.clone();
        let (hub, screen) = (self.hub.clone(), Arc::clone(&self.screen));
        let mut running: Pin<Box<dyn Future<Output = bool> + Send>> = Box::pin(async move {
            let done = match call.kind {
                Kind::Invoke => invoke(&hub, &screen, &named, arguments).await,
                Kind::Send => hub.send(&named.method, arguments).await.map(|()| screen.sent(&named)),
                Kind::Stream => stream(&hub, &screen, &named, arguments).await,
            };
            done.inspect_err(|error| screen.failed(&named, &ErrorChain::new(error).to_string())).is_ok()
        });
        let begun = called.clone();
        match poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
            Poll::Ready(succeeded) => self.any_failed |= !succeeded,
            Poll::Pending => {
                self.handles.retain(|_, (_, handle)| !handle.is_finished());
                let handle = self.running.spawn(running);
                self.handles.insert(called.id, (called, handle));
            }
        }
        begun
    }

    /// Whether a call is under way.
    pub(super) fn is_under_way(&self, call: &Named) -> bool {
        self.handles.get(&call.id).is_some_and(|(_, handle)| !handle.is_finished())
    }

    /// Waits for the calls that a lost connection ends, so that each tells its end.
    pub(super) async fn end(&mut self) {
        let all = async {
            while !self.are_over() {
                self.one_is_over().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
        self.give_up().await;
    }

    /// Gives up all calls that are under way.
    pub(super) async fn give_up(&mut self) {
        self.running.shutdown().await;
    }

    /// Waits until a call is over. It never ends while there is none.
    pub(super) async fn one_is_over(&mut self) {
        match self.running.join_next().await {
            // A panic was told to standard error.
            Some(Err(error)) if error.is_cancelled() => {}
            Some(succeeded) => self.any_failed |= !succeeded.unwrap_or(false),
            None => std::future::pending().await,
        }
    }

    /// Gives up a call by its number, or the last one that is under way: the server is told, and its result is not shown.
    pub(super) fn cancel(&mut self, number: Option<u64>) -> Result<(), String> {
        self.handles.retain(|_, (_, handle)| !handle.is_finished());
        let number = number.or_else(|| self.handles.keys().next_back().copied());
        match number.and_then(|number| self.handles.remove(&number)) {
            Some((call, handle)) => {
                handle.abort();
                self.screen.cancelled(&call);
                Ok(())
            }
            None => Err(number.map_or_else(
                || "no call is under way".to_owned(),
                |number| format!("the call #{number} is not under way"),
            )),
        }
    }

    pub(super) fn are_over(&self) -> bool {
        self.running.is_empty()
    }

    /// From now on the server gets this when it asks.
    pub(super) fn answer(&mut self, method: &str, value: Value) {
        if let Some(answer) = self.answers.get(&method.to_lowercase()) {
            *lock(&answer.value) = value;
            return;
        }
        let value = Arc::new(Mutex::new(value));
        let (given, shown, screen) = (Arc::clone(&value), Arc::clone(&value), Arc::clone(&self.screen));
        let answers =
            self.hub.on_invoke(method, move || Ok::<_, std::convert::Infallible>(lock(&given).clone()));
        let watches = self.hub.watch(method, move |call| show(&screen, &call, Some(&lock(&shown))));
        let answer = Answer { value, _registered: [answers, watches] };
        self.answers.insert(method.to_lowercase(), answer);
    }
}

/// Shows a call of the server.
pub(super) fn show(screen: &Screen, call: &ServerCall, answer: Option<&Value>) {
    match call.arguments::<Vec<AnyValue>>() {
        Ok(arguments) => {
            let arguments: Vec<_> = arguments.into_iter().map(|AnyValue(value)| value).collect();
            screen.message(call.method(), &arguments, call.is_awaited(), answer);
        }
        Err(error) => screen.unreadable(call.method(), &error.to_string()),
    }
}

async fn invoke(
    hub: &HubConnection,
    screen: &Screen,
    call: &Named,
    arguments: ArgumentList,
) -> Result<(), CallError> {
    let begun = Instant::now();
    let AnyValue(result) = hub.invoke(&call.method, arguments).await?;
    screen.result(call, &result, begun.elapsed());
    Ok(())
}

async fn stream(
    hub: &HubConnection,
    screen: &Screen,
    call: &Named,
    arguments: ArgumentList,
) -> Result<(), CallError> {
    let mut items = hub.stream::<AnyValue>(&call.method, arguments).await?;
    let mut count = 0;
    while let Some(item) = items.next().await {
        screen.item(call, &item?.0);
        count += 1;
    }
    screen.end(call, count);
    Ok(())
}
