//! What ASP.NET Core 11 added: refresh of the authentication by its own rules, and plain calls that are cancelled.

use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use hubwire::{
    CallError, ConnectionError, ConnectionEvent, ConnectionEvents, HubConnection, HubConnectionBuilder,
    RefreshError, RetryPolicy, Transport,
};

use super::lifecycle::with_tokens;
use super::{SETUPS, Setup};

const SECOND: Duration = Duration::from_secs(1);

/// Runs a body with every transport and protocol at once: most of the time is spent on waiting for tokens to expire.
/// A browser has six requests to a host under way at most. Every connection over HTTP takes up one for as long as it
/// lives, and needs another to send, so there these go one after the other.
pub(crate) async fn on_each(body: impl AsyncFn(Setup)) {
    let (sockets, http): (Vec<Setup>, Vec<Setup>) =
        SETUPS.iter().partition(|setup| cfg!(native) || setup.transport == Transport::WebSockets);
    let one_by_one = async {
        for setup in http {
            body(setup).await;
        }
    };
    join(join_all(sockets.into_iter().map(|setup| body(setup))), one_by_one).await;
}

/// The tokens are of one user: for 8 seconds, and for longer with another role.
pub(crate) async fn a_refreshed_connection_outlives_its_first_token(
    base: &str,
    setup: Setup,
    tokens: [String; 2],
) {
    let (builder, asked) = with_tokens(setup.builder(format!("{base}/refreshing-expiring")), tokens);
    let hub = builder.connect().await.unwrap();
    let id = hub.connection_id();
    assert_eq!(hub.invoke::<Vec<String>>("Claims", ("role",)).await.unwrap(), [""; 0]);
    let event = hub.events().next().await;
    let Some(ConnectionEvent::AuthenticationRefreshed { lifetime: Some(lifetime) }) = event else {
        panic!("{setup:?}: {event:?}")
    };
    assert!(lifetime > 3500 * SECOND, "{setup:?}: {lifetime:?}");
    assert_eq!(asked.count(), 2);
    // The hub sees the new claims, and still does when the first token has expired.
    for _ in 0..2 {
        hub.invoke::<String>("Slow", (4_000,)).await.unwrap();
        assert_eq!(hub.invoke::<Vec<String>>("Claims", ("role",)).await.unwrap(), ["writer"], "{setup:?}");
    }
    assert_eq!(hub.connection_id(), id);
    assert_eq!(asked.count(), 2);
    hub.stop().await;
}

/// The tokens are of a user, of the same whom the server's rule refuses, of another user, and of the first again.
pub(crate) async fn a_refused_refresh_changes_nothing(base: &str, setup: Setup, tokens: [String; 4]) {
    let (builder, _) = with_tokens(setup.builder(format!("{base}/refreshing")), tokens);
    let hub = builder.connect().await.unwrap();
    let mut events = hub.events();
    for reason in ["permission_change_rejected", "user_changed"] {
        let error = hub.refresh_authentication().await.unwrap_err();
        assert!(
            matches!(&error, RefreshError::Refused { status: 403, error: Some(text) } if text == reason),
            "{setup:?}: {error:?}"
        );
        assert_eq!(events.next().await, Some(ConnectionEvent::AuthenticationRefreshFailed { error }));
        // A refused token is not used for anything: a poll with it would be refused as well.
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3, "{setup:?}");
        assert_eq!(hub.invoke::<i32>("Add", (2, 2)).await.unwrap(), 4, "{setup:?}");
    }
    assert!(hub.refresh_authentication().await.unwrap().is_some(), "{setup:?}");
    // A poll that has left before, and arrives after the refresh, brings the old claims for once.
    while hub.invoke::<Vec<String>>("Claims", ("role",)).await.unwrap() != ["writer"] {}
    hub.stop().await;
}

/// The tokens are of one user: for 3 seconds, and for longer.
pub(crate) async fn a_connection_ends_with_its_token_and_comes_back(
    base: &str,
    setup: Setup,
    tokens: [String; 2],
) {
    let expiring = || setup.builder(format!("{base}/refreshing-expiring")).with_authentication_refresh(None);
    let [short, long] = tokens;
    let (builder, _) = with_tokens(expiring(), [short.clone()]);
    let (ours, again) = futures_util::join!(
        async { builder.connect().await.unwrap().closed().await },
        comes_back(with_tokens(expiring(), [short, long]).0, setup),
    );
    assert!(is_of_expiry(&ours, setup), "{setup:?}: {ours:?}");
    assert_eq!(again.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3, "{setup:?}");
    again.stop().await;
}

/// The server says that the token has expired, unless a poll happens to begin just then.
fn is_of_expiry(error: &ConnectionError, setup: Setup) -> bool {
    match error {
        ConnectionError::ServerClosed { error: None, allow_reconnect: true } => true,
        error => setup.transport == Transport::LongPolling && error.status() == Some(401),
    }
}

async fn comes_back(builder: HubConnectionBuilder, setup: Setup) -> HubConnection {
    let hub = builder.with_automatic_reconnect(RetryPolicy::default()).connect().await.unwrap();
    let first = hub.connection_id();
    let mut events: ConnectionEvents = hub.events();
    let event = events.next().await;
    let Some(ConnectionEvent::Reconnecting { error }) = event else { panic!("{setup:?}: {event:?}") };
    assert!(is_of_expiry(&error, setup), "{setup:?}: {error:?}");
    let event = events.next().await;
    assert!(matches!(event, Some(ConnectionEvent::Reconnected { .. })), "{event:?}");
    assert_ne!(hub.connection_id(), first);
    hub
}

/// A poll that has to be made with a new token, and gets one of another user, is answered 409: the authentication is
/// refreshed and it is polled on. The tokens are of a user for 2 seconds, of another user, and of the first again.
pub(crate) async fn a_poll_of_another_user_asks_for_a_refresh(base: &str, tokens: [String; 3]) {
    let long = tokens[2].clone();
    let setup = Setup::json(Transport::LongPolling);
    let builder = setup.builder(format!("{base}/refreshing")).with_authentication_refresh(None);
    let (builder, asked) = with_tokens(builder, tokens);
    let (heard, receiver) = oneshot::channel();
    let mut heard = Some(heard);
    let hub = builder
        .on("Heard", move |n: u32| {
            // The first ends the poll that is under way, the second comes with the next one.
            if n == 2 {
                let _ = heard.take().unwrap().send(());
            }
        })
        .connect()
        .await
        .unwrap();
    let id = hub.connection_id().unwrap();
    let (other, _) = with_tokens(HubConnection::builder(format!("{base}/refreshing")), [long]);
    let other = other.connect().await.unwrap();
    other.invoke::<String>("Slow", (3_000,)).await.unwrap();
    for n in [1, 2] {
        other.invoke::<()>("ToConnection", (&id, "Heard", n)).await.unwrap();
    }
    receiver.await.unwrap();
    assert_eq!(asked.count(), 3, "the first, one of another user for the poll, one for the refresh");
    assert_eq!(hub.connection_id(), Some(id));
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    hub.stop().await;
    other.stop().await;
}

/// A plain call whose future is dropped, or that takes too long, is cancelled on the server.
pub(crate) async fn cancelled_calls(base: &str, setup: Setup, _: [String; 0]) {
    // Several calls at a time, so that the end of one can be asked for while another is running.
    let hub = setup.connect(format!("{base}/parallel")).await;
    let cancelled = async || hub.invoke::<u64>("CancelledCalls", ()).await.unwrap();
    let before = cancelled().await;
    let slow = hub.with_call_timeout(SECOND / 10).invoke::<String>("SlowCancellable", (60_000,)).await;
    assert!(matches!(slow, Err(CallError::Timeout { .. })), "{setup:?}: {slow:?}");
    // Other connections may cancel theirs at the same time.
    while cancelled().await == before {}

    let before = cancelled().await;
    let slow = Box::pin(hub.invoke::<String>("SlowCancellable", (60_000,)));
    let started = hub.invoke::<i32>("Add", (1, 2));
    let futures_util::future::Either::Right((_, slow)) =
        futures_util::future::select(slow, Box::pin(started)).await
    else {
        panic!("{setup:?}: it ended by itself")
    };
    drop(slow);
    while cancelled().await == before {}
    assert_eq!(hub.invoke::<String>("SlowCancellable", (1,)).await.unwrap(), "slept");
    hub.stop().await;
}
