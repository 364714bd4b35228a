//! Reconnects, stateful reconnects, tokens and events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::{FutureExt, StreamExt, pin_mut, select};
use hubwire::{
    CallError, ConnectionError, ConnectionEvent, ConnectionState, HubConnection, HubConnectionBuilder,
    RefreshError, RetryPolicy,
};
use serde::Deserialize;

use super::Setup;

const SECOND: Duration = Duration::from_secs(1);

/// The server cuts the transport under a pending call; the connection comes back as a new one.
pub(crate) async fn automatic_reconnect(base: &str, setup: Setup) {
    let hub = setup
        .builder(format!("{base}/parallel"))
        .with_automatic_reconnect(RetryPolicy::default())
        .connect()
        .await
        .unwrap();
    let first = hub.connection_id().unwrap();
    let mut events = hub.events();
    let cut = async {
        // Between two polls there is nothing to cut.
        while hub.send("Drop", ()).await.is_ok() && hub.invoke::<String>("Slow", (1_000,)).await.is_ok() {}
    };
    let (slow, ()) = futures_util::join!(hub.invoke::<String>("Slow", (60_000,)), cut);
    assert!(matches!(slow, Err(CallError::Connection(ConnectionError::Transport(_)))), "{slow:?}");
    let event = events.next().await;
    let Some(ConnectionEvent::Reconnecting { error: ConnectionError::Transport(_) }) = event else {
        panic!("{event:?}")
    };
    let event = events.next().await;
    let Some(ConnectionEvent::Reconnected { connection_id: Some(second) }) = event else {
        panic!("{event:?}")
    };
    assert_ne!(first, second);
    assert_eq!(hub.connection_id(), Some(second));
    assert_eq!(hub.state(), ConnectionState::Connected);
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);

    // A Close message that does not allow it ends the connection, policy or not.
    hub.send("Close", ()).await.unwrap();
    let closed = hub.closed().await;
    assert!(matches!(closed, ConnectionError::ServerClosed { allow_reconnect: false, .. }), "{closed:?}");
    assert_eq!(events.next().await, Some(ConnectionEvent::Disconnected { error: closed }));
    // It can be started again.
    hub.start().await.unwrap();
    assert_eq!(events.next().await, Some(ConnectionEvent::Connecting));
    let event = events.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Connected { connection_id: Some(_) })), "{event:?}");
    drop(hub);
    let error = ConnectionError::Stopped;
    assert_eq!(events.next().await, Some(ConnectionEvent::Disconnected { error }));
    assert_eq!(events.next().await, None);
}

/// Callbacks hear the same, in order, whether they were there before the start or came later.
pub(crate) async fn event_callbacks(base: &str, panics: bool) {
    let (early_sender, mut early) = mpsc::unbounded();
    let (late_sender, mut late) = mpsc::unbounded();
    let hub = HubConnection::builder(format!("{base}/hub"))
        .with_automatic_reconnect(RetryPolicy::default())
        .on_event(move |event| {
            let _ = early_sender.unbounded_send(event.clone());
            assert!(!panics || !matches!(event, ConnectionEvent::Connecting), "a panic on purpose");
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(early.next().await, Some(ConnectionEvent::Connecting));
    let event = early.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Connected { connection_id: Some(_) })), "{event:?}");
    hub.on_event(move |event| late_sender.unbounded_send(event).unwrap());
    hub.send("Drop", ()).await.unwrap();
    for events in [&mut early, &mut late] {
        assert!(matches!(events.next().await, Some(ConnectionEvent::Reconnecting { .. })));
        assert!(matches!(events.next().await, Some(ConnectionEvent::Reconnected { .. })));
    }
    drop(hub);
    for events in [&mut early, &mut late] {
        let error = ConnectionError::Stopped;
        assert_eq!(events.next().await, Some(ConnectionEvent::Disconnected { error }));
        assert_eq!(events.next().await, None);
    }
}

/// Policies: what they are told, that they may give up, panic, or take their time, and that stop cuts them short.
pub(crate) async fn retry_policies(base: &str, panics: bool) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let policy = RetryPolicy::new(move |context| {
        log.lock().unwrap().push((context.previous_retry_count, context.reason.clone()));
        (context.previous_retry_count < 2).then_some(Duration::ZERO)
    });
    // Nobody is there, so the first connect fails in a way that may pass.
    let error = HubConnection::builder("http://127.0.0.1:9/hub")
        .with_automatic_reconnect(policy)
        .with_first_connect_retry(true)
        .connect()
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, ConnectionError::RetriesExhausted { attempts: 2, .. }), "{error:?}");
    let asked: Vec<_> = asked.lock().unwrap().iter().map(|(count, _)| *count).collect();
    assert_eq!(asked, [0, 1, 2]);

    // What cannot get better is not tried again.
    let error = HubConnection::builder(format!("{base}/fault/status/404"))
        .with_first_connect_retry(true)
        .connect()
        .await
        .expect_err("not there");
    assert_eq!(error.status(), Some(404));

    let lost = |policy: RetryPolicy| async move {
        let hub = HubConnection::builder(format!("{base}/hub"))
            .with_automatic_reconnect(policy)
            .connect()
            .await
            .unwrap();
        let events = hub.events();
        hub.send("Drop", ()).await.unwrap();
        (hub, events)
    };
    let (hub, mut events) = lost(RetryPolicy::delays([])).await;
    assert!(matches!(hub.closed().await, ConnectionError::Transport(_)));
    let event = events.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Disconnected { .. })), "{event:?}");

    if panics {
        let (hub, _) = lost(RetryPolicy::new(|_| panic!("a policy that panics, on purpose"))).await;
        assert!(matches!(hub.closed().await, ConnectionError::Transport(_)));
    }

    let (hub, mut events) = lost(RetryPolicy::new_async(|_| async { Some(600 * SECOND) })).await;
    let event = events.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Reconnecting { .. })), "{event:?}");
    assert_eq!(hub.state(), ConnectionState::Reconnecting);
    let call = hub.invoke::<i32>("Add", (1, 2)).await;
    assert!(matches!(call, Err(CallError::Connection(ConnectionError::NotConnected))), "{call:?}");
    hub.stop().await;
    assert_eq!(hub.closed().await, ConnectionError::Stopped);
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeriesReport {
    #[serde(alias = "Count")]
    count: usize,
    #[serde(alias = "Last")]
    last: i64,
    #[serde(alias = "InOrder")]
    in_order: bool,
    #[serde(alias = "Duplicates")]
    duplicates: Vec<i64>,
    #[serde(alias = "Missing")]
    missing: Vec<i64>,
}

/// Numbered messages both ways, while the server cuts the socket again and again: none is lost, doubled or out of
/// order, no call fails, and no event tells of it.
///
/// The server pushes as many between two cuts as fit into its transport's buffer (64 KiB): what ASP.NET Core writes
/// between a cut and the next socket goes to the transport that is gone, and once that is full, it never speaks again.
pub(crate) async fn stateful_reconnect(base: &str, setup: Setup, messages: usize, drops: usize) {
    let (sender, mut received) = mpsc::unbounded();
    let hub = setup
        .builder(format!("{base}/stateful"))
        .with_stateful_reconnect()
        .on("Number", move |n: usize| drop(sender.unbounded_send(n)))
        .connect()
        .await
        .unwrap();
    assert!(hub.connection_info().unwrap().stateful);
    let id = hub.connection_id().unwrap();
    let mut events = hub.events();
    let piece = messages / drops;
    let (got_all, mut got) = mpsc::unbounded();
    let sending = async {
        for n in 0..messages {
            if n % piece == 0 {
                hub.invoke::<()>("PushSeries", ("Number", piece, 0)).await.unwrap();
            }
            hub.send("Record", (&id, n)).await.unwrap();
            if n % piece == 0 {
                hub.send("Drop", ()).await.unwrap();
                // Over the next socket, so that the next cut is another.
                assert_eq!(hub.invoke::<i32>("Add", (n, 1)).await.unwrap(), i32::try_from(n).unwrap() + 1);
            }
            if (n + 1) % piece == 0 {
                got.next().await.unwrap();
            }
        }
        hub.invoke::<SeriesReport>("Recorded", (&id,)).await.unwrap()
    };
    let receiving = async {
        for n in 0..messages {
            assert_eq!(received.next().await, Some(n % piece));
            if (n + 1) % piece == 0 {
                got_all.unbounded_send(()).unwrap();
            }
        }
    };
    let (report, ()) = futures_util::join!(sending, receiving);
    assert_eq!((report.count, report.last), (messages, i64::try_from(messages).unwrap() - 1), "{report:?}");
    assert!(report.in_order && report.duplicates.is_empty() && report.missing.is_empty(), "{report:?}");
    assert_eq!(events.next().now_or_never(), None);
    hub.stop().await;
}

/// Where the server does not offer it, or the socket cannot be had again, all goes on as without.
pub(crate) async fn stateful_reconnect_is_an_offer(base: &str) {
    let hub =
        HubConnection::builder(format!("{base}/hub")).with_stateful_reconnect().connect().await.unwrap();
    assert!(!hub.connection_info().unwrap().stateful);
    hub.send("Drop", ()).await.unwrap();
    assert!(matches!(hub.closed().await, ConnectionError::Transport(_)));
}

/// A source of tokens that counts how often it is asked.
pub(super) struct Tokens {
    asked: Arc<AtomicUsize>,
}

impl Tokens {
    pub(super) fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A builder whose provider gives these tokens, and from then on the last.
pub(super) fn with_tokens(
    builder: HubConnectionBuilder,
    tokens: impl Into<Vec<String>>,
) -> (HubConnectionBuilder, Tokens) {
    let asked = Arc::<AtomicUsize>::default();
    let (count, tokens) = (Arc::clone(&asked), tokens.into());
    let builder = builder.with_access_token(move || {
        let n = count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok::<_, std::io::Error>(tokens[n.min(tokens.len() - 1)].clone()))
    });
    (builder, Tokens { asked })
}

/// `good` and `expired` are tokens of the reference hub, the first for an hour.
pub(crate) async fn tokens(base: &str, setup: Setup, good: &str, expired: &str) {
    let (good, expired) = (good.to_owned(), expired.to_owned());
    let secure = || setup.builder(format!("{base}/secure"));
    // Asked once for a start, and not again for a reconnect while the token is good.
    let (builder, tokens) = with_tokens(secure(), [good.clone()]);
    let hub = builder.with_automatic_reconnect(RetryPolicy::default()).connect().await.unwrap();
    assert_eq!(tokens.count(), 1);
    let mut events = hub.events();
    hub.send("Drop", ()).await.unwrap();
    let event = events.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Reconnecting { .. })), "{event:?}");
    let event = events.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Reconnected { .. })), "{event:?}");
    assert_eq!(tokens.count(), 1);
    hub.stop().await;
    hub.start().await.unwrap();
    assert_eq!(tokens.count(), 2);

    // A 401 gets one more token, and no more than that.
    let (builder, tokens) = with_tokens(secure(), [expired.clone(), good.clone()]);
    builder.connect().await.unwrap();
    assert_eq!(tokens.count(), 2);
    let (builder, tokens) = with_tokens(secure(), [expired]);
    assert_eq!(builder.connect().await.expect_err("expired").status(), Some(401));
    assert_eq!(tokens.count(), 2);

    // A redirect's token never reaches the app server: the next start asks the provider, or goes without.
    let (builder, tokens) = with_tokens(setup.builder(format!("{base}/redirect/secure")), [good]);
    let hub = builder.with_automatic_reconnect(RetryPolicy::default()).connect().await.unwrap();
    assert_eq!(tokens.count(), 1);
    let who: serde_json::Value = hub.invoke("WhoAmI", ()).await.unwrap();
    assert_eq!(who["user"], "redirected");
}

/// Authentication refresh. `tokens` are of one user, for 4 seconds, an hour and 10 seconds, and one of another.
pub(crate) async fn authentication_refresh(base: &str, tokens: [String; 4]) {
    let [short, long, other, foreign] = tokens;
    let (builder, asked) =
        with_tokens(HubConnection::builder(format!("{base}/refreshing")), [short, long, other, foreign]);
    let hub = builder.connect().await.unwrap();
    let mut events = hub.events();
    // By itself, after half of the short token's life.
    let event = events.next().await;
    let Some(ConnectionEvent::AuthenticationRefreshed { lifetime: Some(lifetime) }) = event else {
        panic!("{event:?}")
    };
    assert!(lifetime > 3500 * SECOND && lifetime <= 3600 * SECOND, "{lifetime:?}");
    assert_eq!(asked.count(), 2);
    // By hand.
    let lifetime = hub.refresh_authentication().await.unwrap().unwrap();
    assert!(lifetime <= 1000 * SECOND, "{lifetime:?}");
    assert!(matches!(events.next().await, Some(ConnectionEvent::AuthenticationRefreshed { .. })));
    // Another user is refused, and the connection goes on.
    let error = hub.refresh_authentication().await.unwrap_err();
    assert!(matches!(&error, RefreshError::Refused { status: 403, error: Some(_) }), "{error:?}");
    assert_eq!(events.next().await, Some(ConnectionEvent::AuthenticationRefreshFailed { error }));
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    hub.stop().await;
    assert_eq!(hub.refresh_authentication().await, Err(RefreshError::NotConnected));

    let hub = HubConnection::builder(format!("{base}/hub")).connect().await.unwrap();
    assert_eq!(hub.refresh_authentication().await, Err(RefreshError::NoProvider));
    let refreshed = async {
        let event = hub.events().next().await;
        panic!("{event:?}");
    };
    let added = hub.invoke::<i32>("Add", (1, 2)).fuse();
    let refreshed = refreshed.fuse();
    pin_mut!(added, refreshed);
    select! {
        sum = added => assert_eq!(sum.unwrap(), 3),
        () = refreshed => {}
    }
}
