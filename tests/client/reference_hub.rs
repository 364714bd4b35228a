//! The client on tokio, against the ASP.NET Core reference hub.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::suite::Setup;
use hubwire::{ConnectionError, ErrorChain, HubConnection, HubProtocol, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Every body runs on one thread and on several, and on both versions of ASP.NET Core.
macro_rules! against_the_reference_hub {
    ($($name:ident$(($($argument:expr),*))?;)*) => {
        $(
            mod $name {
                #[allow(unused_imports, reason = "what arguments need")]
                use super::*;

                async fn body(hub: fn(&str) -> Option<&'static str>) {
                    let Some(base) = hub(stringify!($name)) else { return };
                    let body = crate::suite::$name(base $($(, $argument)*)?);
                    let limit = Duration::from_secs(60);
                    tokio::time::timeout(limit, body).await.expect("nothing hangs");
                }

                #[tokio::test]
                async fn one_thread() {
                    body(crate::support::reference_hub).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn several_threads() {
                    body(crate::support::reference_hub).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn version_11() {
                    body(crate::support::reference_hub_11).await;
                }
            }
        )*
    };
}

macro_rules! over {
    ($transport:ident, $protocol:ident) => {
        use super::*;

        const SETUP: Setup = Setup { transport: Transport::$transport, protocol: HubProtocol::$protocol };

        against_the_reference_hub! {
            calls(SETUP);
            pushes(SETUP);
            handlers_are_on_their_own(SETUP, true);
            restart(SETUP);
            the_server_goes_away(SETUP);
            stops(SETUP);
            automatic_reconnect(SETUP);
            streams(SETUP);
            items_before_the_first_poll_are_kept(SETUP);
            cancelled_streams(SETUP);
            uploads(SETUP);
            uploads_next_to_each_other(SETUP);
            uploads_stop_with_their_call(SETUP);
            a_slow_reader_loses_nothing(SETUP);
            client_results(SETUP, true);
            messages_before_their_handler_are_kept(SETUP);
            calls_without_a_handler(SETUP);
            handlers_call_the_connection(SETUP);
            one_order(SETUP);
            slow_handlers_keep_the_order(SETUP, true);
            handlers_do_not_keep_the_connection(SETUP);
            time_limits(SETUP);
        }
    };
}

mod json_over_web_sockets {
    over!(WebSockets, Json);

    against_the_reference_hub! {
        stateful_reconnect(SETUP, 10_000, 50);
    }
}

mod json_over_server_sent_events {
    over!(ServerSentEvents, Json);
}

mod json_over_long_polling {
    over!(LongPolling, Json);
}

#[cfg(feature = "msgpack")]
mod message_pack_over_web_sockets {
    over!(WebSockets, MessagePack);

    against_the_reference_hub! {
        stateful_reconnect(SETUP, 10_000, 50);
    }
}

#[cfg(feature = "msgpack")]
mod message_pack_over_long_polling {
    over!(LongPolling, MessagePack);
}

against_the_reference_hub! {
    polls_that_bring_nothing;
    json_in_binary_frames;
    query_parameters;
    addresses;
    tokens_stay_out_of_queries;
    chat;
    redirects;
    broken_negotiate(clock);
    broken_handshakes(clock);
    broken_messages(clock);
    event_callbacks(true);
    retry_policies(true);
    stateful_reconnect_is_an_offer;
    typed_chat;
    typed_hubs;
    property_names;
    trace_context;
}

fn clock() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

#[tokio::test]
async fn tokens() {
    for base in crate::support::reference_hubs("tokens") {
        let [good, expired] = tokens_of(base, ["ttl=3600", "ttl=-60"]).await;
        for setup in crate::suite::SETUPS {
            crate::suite::tokens(base, *setup, &good, &expired).await;
        }
    }
}

#[tokio::test]
async fn authentication_refresh() {
    for base in crate::support::reference_hubs("authentication_refresh") {
        let tokens = tokens_of(base, ["ttl=4", "ttl=3600", "ttl=1000", "user=somebody&ttl=1000"]).await;
        crate::suite::authentication_refresh(base, tokens).await;
    }
}

macro_rules! of_version_11 {
    ($($name:ident: $($query:literal),*;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let Some(base) = crate::support::reference_hub_11(stringify!($name)) else { return };
                let body = crate::suite::on_each(async |setup| {
                    crate::suite::$name(base, setup, tokens_of(base, [$($query),*]).await).await;
                });
                tokio::time::timeout(Duration::from_secs(60), body).await.expect("nothing hangs");
            }
        )*
    };
}

of_version_11! {
    a_refreshed_connection_outlives_its_first_token: "user=zoe&ttl=8", "user=zoe&ttl=3600&role=writer";
    a_refused_refresh_changes_nothing: "user=zoe", "user=zoe&role=refused", "user=eve", "user=zoe&role=writer";
    a_connection_ends_with_its_token_and_comes_back: "user=zoe&ttl=3", "user=zoe";
    cancelled_calls: ;
}

#[tokio::test]
async fn a_poll_of_another_user_asks_for_a_refresh() {
    let Some(base) = crate::support::reference_hub_11("a_poll_of_another_user_asks_for_a_refresh") else {
        return;
    };
    let tokens = tokens_of(base, ["user=zoe&ttl=2", "user=eve", "user=zoe"]).await;
    crate::suite::a_poll_of_another_user_asks_for_a_refresh(base, tokens).await;
}

/// Tokens of the reference hub.
async fn tokens_of<const N: usize>(base: &str, queries: [&str; N]) -> [String; N] {
    let mut tokens = [const { String::new() }; N];
    for (token, query) in tokens.iter_mut().zip(queries) {
        *token = get(&format!("{base}/token?{query}")).await;
    }
    tokens
}

#[tokio::test]
async fn access_tokens() {
    let Some(base) = crate::support::reference_hub("access_tokens") else { return };
    let token = |query: &str| {
        let url = format!("{base}/token?{query}");
        async move { get(&url).await }
    };
    let good = token("user=erin").await;
    let hub = HubConnection::builder(format!("{base}/secure"))
        .with_access_token(move || {
            let token = good.clone();
            async move { Ok::<_, std::io::Error>(token) }
        })
        .with_header("X-Test", "from a header")
        .connect()
        .await
        .expect("connects");
    let who: serde_json::Value = hub.invoke("WhoAmI", ()).await.unwrap();
    assert_eq!(who["user"], "erin");
    assert_eq!(hub.invoke::<String>("Header", ("X-Test",)).await.unwrap(), "from a header");
    assert!(hub.invoke::<String>("Header", ("User-Agent",)).await.unwrap().starts_with("hubwire/"));
    // The token went into a header, where no log of a proxy has it.
    assert_eq!(hub.invoke::<String>("Query", ("access_token",)).await.unwrap(), "");

    let expired = token("user=erin&ttl=-60").await;
    let error = HubConnection::builder(format!("{base}/secure"))
        .with_access_token(move || std::future::ready(Ok::<_, std::io::Error>(expired.clone())))
        .connect()
        .await
        .expect_err("expired");
    assert_eq!(error.status(), Some(401), "{error}");
    assert!(ErrorChain::new(&error).to_string().contains("get a new one"), "{error}");

    let error = HubConnection::builder(format!("{base}/secure"))
        .with_access_token(|| std::future::ready(Err::<String, _>("the vault is locked")))
        .connect()
        .await
        .expect_err("no token");
    assert_eq!(error, ConnectionError::AccessToken("the vault is locked".into()));
}

/// What a GET answers, by hand: the reference hub is on this machine.
async fn get(url: &str) -> String {
    let mut connection = tokio::net::TcpStream::connect(url.split('/').nth(2).unwrap()).await.unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    let request = format!("GET /{path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer.split("\r\n\r\n").nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_last_handle_takes_the_connection_with_it() {
    let Some(base) = crate::support::reference_hub("the_last_handle") else { return };
    let watcher = HubConnection::builder(format!("{base}/hub")).connect().await.unwrap();
    let hub = HubConnection::builder(format!("{base}/hub")).connect().await.unwrap();
    let id = hub.connection_id().unwrap();
    let clone = hub.clone();
    drop(hub);
    assert_eq!(clone.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    drop(clone);
    let gone = async {
        loop {
            let connections: serde_json::Value =
                serde_json::from_str(&get(&format!("{base}/connections")).await).unwrap();
            if connections["ended"].get(&id).is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the server sees it go");
    watcher.stop().await;
}

#[test]
fn there_is_no_runtime() {
    let hub = HubConnection::builder("http://127.0.0.1:9/hub").build().unwrap();
    assert_eq!(poll_once(hub.closed()), ConnectionError::NotConnected);
    let started = poll_once(hub.start());
    assert!(matches!(started, Err(ConnectionError::Transport(_))), "{started:?}");
}

/// Polls a future that is ready at once.
fn poll_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the future waits for a runtime that is not there"),
    }
}

#[test]
fn handles_can_be_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<HubConnection>();
    shared::<ConnectionError>();
}
