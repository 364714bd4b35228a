//! How soon the loss of an endpoint is noticed, whatever way it is lost in, and that of its return.
#![cfg(feature = "axum")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::fakes::{ACCESS_KEY, Fake, Seen, reply};
use hubwire::service::{HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, credentials::AccessKey};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    On,
    /// Nobody listens, and connections are reset.
    Refusing,
    /// Connections are made and stay, and nothing comes out of them.
    Hanging,
}

/// What stands before a service, and can be switched off.
struct Switch {
    url: String,
    state: watch::Sender<State>,
}

impl Switch {
    async fn before(service: &Fake) -> Self {
        let to: SocketAddr = service.url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut listener = Some(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.as_ref().unwrap().local_addr().unwrap();
        let (state, mut now) = watch::channel(State::On);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                if *now.borrow_and_update() == State::Refusing {
                    listener = None;
                    connections.abort_all();
                } else if listener.is_none() {
                    listener = Some(TcpListener::bind(address).await.unwrap());
                }
                let accept = async {
                    match &listener {
                        Some(listener) => listener.accept().await.unwrap().0,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    stream = accept => drop(connections.spawn(carry(stream, to, now.clone()))),
                    changed = now.changed() => if changed.is_err() { return },
                }
            }
        });
        Self { url: format!("http://{address}"), state }
    }

    fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    fn endpoint(&self, name: &str) -> ServiceEndpoint {
        ServiceEndpoint::new(&self.url, AccessKey::new(ACCESS_KEY)).unwrap().named(name)
    }
}

async fn carry(mut stream: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let mut service = TcpStream::connect(to).await.unwrap();
    tokio::select! {
        biased;
        _ = state.wait_for(|state| *state == State::Hanging) => {}
        _ = copy_bidirectional(&mut stream, &mut service) => return,
    }
    let _ = state.wait_for(|state| *state != State::Hanging).await;
}

fn healthy(seen: &Seen) -> crate::fakes::Reply {
    reply(if seen.path() == "/api/health" { 200 } else { 202 }, "")
}

async fn goes_to(hub: &HubClient, switch: &Switch) -> bool {
    let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
    access.url.starts_with(&switch.url)
}

async fn until_goes_to(hub: &HubClient, switch: &Switch) {
    let goes = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !goes_to(hub, switch).await {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), goes).await.expect("clients are sent there");
}

/// Two endpoints, one of which is lost. Gives how long clients were sent there.
async fn lose(how: State, publish: bool) -> Duration {
    let (fake, other) = (Fake::start(healthy).await, Fake::start(healthy).await);
    let (a, b) = (Switch::before(&fake).await, Switch::before(&other).await);
    let mut builder = ServiceClient::builder().endpoint(a.endpoint("a")).endpoint(b.endpoint("b"));
    if !publish {
        // Nothing else asks for anything.
        builder = builder.health_check_interval(Duration::from_millis(200));
    }
    let hub = builder.build().unwrap().hub("chat").unwrap();
    let publisher = publish.then(|| {
        let hub = hub.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            let mut sent = JoinSet::new();
            for _ in 0..25 {
                tick.tick().await;
                let hub = hub.clone();
                sent.spawn(async move { hub.all().send("m", ()).await });
            }
            sent.join_all().await
        })
    });
    until_goes_to(&hub, &a).await;
    until_goes_to(&hub, &b).await;
    a.set(how);
    let (since, mut last) = (Instant::now(), Duration::ZERO);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while since.elapsed() < Duration::from_secs(2) {
        tick.tick().await;
        if goes_to(&hub, &a).await {
            last = since.elapsed();
        }
    }
    if let Some(publisher) = publisher {
        let sent = tokio::time::timeout(Duration::from_secs(20), publisher).await.expect("sending ends");
        // There are no clients at an endpoint that is lost.
        assert!(sent.unwrap().iter().all(Result::is_ok));
    }
    a.set(State::On);
    until_goes_to(&hub, &a).await;
    last
}

#[tokio::test]
async fn within_a_second_no_client_is_sent_to_an_endpoint_that_is_lost() {
    let ways =
        [(State::Refusing, true), (State::Hanging, true), (State::Refusing, false), (State::Hanging, false)];
    let lost = ways.map(|(how, publish)| async move { (how, publish, lose(how, publish).await) });
    for (how, publish, last) in futures_util::future::join_all(lost).await {
        println!("{how:?}, with messages: {publish}: the last client was sent there after {last:?}");
        assert!(last < Duration::from_secs(1), "{how:?}, {publish}: {last:?}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_long_takes_no_endpoint_out() {
    let slow = |seen: &Seen| match seen.path() {
        "/api/hubs/chat/connections/c/:invoke" => reply(200, r#"{"result":7}"#).after(Duration::from_secs(2)),
        _ => healthy(seen),
    };
    let (fake, other) = (Fake::start(slow).await, Fake::start(healthy).await);
    let (a, b) = (Switch::before(&fake).await, Switch::before(&other).await);
    let builder = ServiceClient::builder().endpoint(a.endpoint("a")).endpoint(b.endpoint("b").secondary());
    let client = builder.build().unwrap();
    let hub = client.hub("chat").unwrap();
    let call = tokio::spawn({
        let hub = hub.clone();
        async move { hub.connection("c").invoke::<u32>("m", ()).await }
    });
    // Until the health was asked for because of it, and answered.
    fake.wait_for("/api/health", 2).await;
    while !call.is_finished() {
        assert!(client.endpoints()[0].is_online());
        assert!(goes_to(&hub, &a).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(fake.count("/api/health") < 8, "asked {} times", fake.count("/api/health"));
    let _ = call.await.unwrap();
}

/// The figure of the documentation: at once where connections are refused; where they hang, a quarter of a second, and half
/// a second for each of two questions for the health.
#[tokio::test]
async fn a_call_under_way_does_not_wait_for_an_endpoint_that_is_lost() {
    // With room for a busy machine; the retries of one message take five seconds.
    for (how, at_most) in
        [(State::Refusing, Duration::from_secs(2)), (State::Hanging, Duration::from_millis(2_500))]
    {
        let (fake, other) = (Fake::start(healthy).await, Fake::start(healthy).await);
        let (a, b) = (Switch::before(&fake).await, Switch::before(&other).await);
        let builder = ServiceClient::builder()
            .endpoint(a.endpoint("a"))
            .endpoint(b.endpoint("b"))
            .health_check_interval(Duration::from_secs(600))
            .max_concurrent_requests(2);
        let client = builder.build().unwrap();
        let hub = client.hub("chat").unwrap();
        hub.all().send("m", ()).await.unwrap();
        a.set(how);
        let since = Instant::now();
        // What may be repeated and what may not, and more than may be under way at once.
        let calls = (0..6).map(|n| {
            let hub = hub.clone();
            async move {
                match n % 2 {
                    0 => hub.all().send("m", ()).await,
                    _ => hub.group("g").add_user("u").await,
                }
            }
        });
        let done = futures_util::future::join_all(calls).await;
        let took = since.elapsed();
        println!("{how:?}: the last call was done after {took:?}");
        assert!(done.iter().all(Result::is_ok), "{how:?}: {done:?}");
        assert!(!client.endpoints()[0].is_online());
        assert!(took < at_most, "{how:?}: {took:?}");
        assert_eq!(other.count("/api/hubs/chat/:send"), 4, "each was done where it could be");
    }
}
