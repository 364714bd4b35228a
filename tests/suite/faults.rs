//! Servers that misbehave: for each way its error, and the time in which it comes.

use std::time::Duration;

use hubwire::{
    CallError, ConnectionError, ErrorChain, HubConnection, HubConnectionBuilder, NegotiateError, SkipReason,
};

const SECOND: Duration = Duration::from_secs(1);

/// Whether an error, or what is behind it, says this.
fn says(error: &ConnectionError, text: &str) -> bool {
    ErrorChain::new(error).to_string().contains(text)
}

/// A clock of the target's: seconds since whenever.
pub(crate) type Clock = fn() -> f64;

type Check = fn(&ConnectionError) -> bool;

/// Negotiate answers that lead to no connection. All of them fail at once, whatever the limits of time are.
pub(crate) async fn broken_negotiate(base: &str, clock: Clock) {
    let rows: &[(&str, Check)] = &[
        ("/redirect/loop", |e| matches!(negotiate(e), Some(NegotiateError::RedirectLimit))),
        ("/redirect/chain/100", |e| matches!(negotiate(e), Some(NegotiateError::RedirectLimit))),
        ("/redirect/expired", |e| e.status() == Some(401) && says(e, "expired")),
        ("/redirect/nowhere", |e| matches!(e, ConnectionError::NegotiateRequest { .. }) && e.is_retryable()),
        (
            "/fault/error",
            |e| matches!(negotiate(e), Some(NegotiateError::Refused(text)) if text == "the server says no"),
        ),
        ("/fault/legacy", |e| matches!(negotiate(e), Some(NegotiateError::LegacyServer))),
        ("/fault/html", |e| matches!(negotiate(e), Some(NegotiateError::WebPage))),
        ("/fault/empty", |e| matches!(negotiate(e), Some(NegotiateError::NotJson(_)))),
        ("/fault/truncated", |e| matches!(negotiate(e), Some(NegotiateError::NotJson(_)))),
        (
            "/fault/no-transports",
            |e| matches!(e, ConnectionError::NoTransport { skipped } if skipped.is_empty()),
        ),
        ("/fault/unknown-transport", |e| {
            let ConnectionError::NoTransport { skipped } = e else { return false };
            skipped.len() == 1 && skipped[0].reason == SkipReason::Unknown && !e.is_retryable()
        }),
        ("/fault/dead-transports", |e| {
            let ConnectionError::NoTransport { skipped } = e else { return false };
            let names: Vec<_> = skipped.iter().map(|s| s.transport.as_str()).collect();
            let failed = skipped.iter().all(|s| matches!(s.reason, SkipReason::Failed(_)));
            names == ["WebSockets", "ServerSentEvents", "LongPolling"] && failed && e.status() == Some(404)
        }),
        ("/fault/status/202", |e| e.status() == Some(202) && !e.is_retryable()),
        ("/fault/status/302", |e| {
            matches!(negotiate(e), Some(NegotiateError::HttpRedirect { .. })) && !e.is_retryable()
        }),
        ("/fault/status/401", |e| e.status() == Some(401) && says(e, "get a new one")),
        ("/fault/status/403", |e| e.status() == Some(403) && !e.is_retryable()),
        ("/fault/status/404", |e| e.status() == Some(404) && says(e, "no SignalR hub")),
        ("/fault/status/429", |e| e.status() == Some(429) && e.is_retryable()),
        ("/fault/status/500", |e| e.status() == Some(500) && e.is_retryable()),
        ("/fault/status/503", |e| e.status() == Some(503) && e.is_retryable()),
        ("/fault/endless", |e| matches!(negotiate(e), Some(NegotiateError::TooLong))),
        ("/fault/cut", |e| matches!(e, ConnectionError::NegotiateRequest { .. }) && e.is_retryable()),
    ];
    for (path, check) in rows {
        let builder = HubConnection::builder(format!("{base}{path}"));
        let (error, took) = timed(clock, builder.connect()).await;
        let error = error.expect_err(path);
        assert!(check(&error), "{path}: {error:?}");
        assert!(took < 5.0, "{path} took {took} s");
    }
    let builder = HubConnection::builder(format!("{base}/fault/slow/60000")).with_request_timeout(SECOND);
    let (error, took) = timed(clock, builder.connect()).await;
    let error = error.expect_err("too slow");
    assert!(matches!(error, ConnectionError::Timeout { limit: SECOND, .. }), "{error:?}");
    assert!((0.9..3.0).contains(&took), "{took} s");
    // What is only slow gets through.
    let builder = HubConnection::builder(format!("{base}/fault/slow/300"));
    let (hub, took) = timed(clock, builder.connect()).await;
    assert_eq!(hub.unwrap().invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    assert!((0.25..5.0).contains(&took), "{took} s");
}

fn negotiate(error: &ConnectionError) -> Option<&NegotiateError> {
    if let ConnectionError::Negotiate { source, .. } = error { Some(source) } else { None }
}

async fn timed<T>(clock: Clock, future: impl Future<Output = T>) -> (T, f64) {
    let before = clock();
    let done = future.await;
    (done, clock() - before)
}

/// A WebSocket that is opened without negotiate, with limits of a second.
fn raw(base: &str, path: &str) -> HubConnectionBuilder {
    HubConnection::builder(format!("{base}{path}"))
        .with_skip_negotiation(true)
        .with_handshake_timeout(SECOND)
        .with_server_timeout(SECOND)
}

/// Frames of the server's that are no proper handshake: `start` fails.
pub(crate) async fn broken_handshakes(base: &str, clock: Clock) {
    let rows: &[(&str, f64, Check)] = &[
        ("/silent?handshake=false", 1.0, |e| matches!(e, ConnectionError::Timeout { limit: SECOND, .. })),
        // {"error":"wrong protocol"}
        (
            "/pieces?frame=eyJlcnJvciI6Indyb25nIHByb3RvY29sIn0e",
            0.0,
            |e| matches!(e, ConnectionError::Handshake(text) if text == "wrong protocol"),
        ),
        // {"type":6}
        ("/pieces?frame=eyJ0eXBlIjo2fR4=", 0.0, is_protocol),
        // x
        ("/pieces?frame=eB4=", 0.0, is_protocol),
        // A binary ping of MessagePack.
        ("/pieces?frame=ApEG&binary=true", 0.0, is_protocol),
        // {} without its separator, and nothing more.
        ("/pieces?frame=e30=", 1.0, |e| matches!(e, ConnectionError::Timeout { limit: SECOND, .. })),
        // The socket closes instead.
        (
            "/pieces?close=1008",
            0.0,
            |e| matches!(e, ConnectionError::Transport(error) if error.close_code == Some(1008) && error.message.contains("as asked")),
        ),
        // No hub at all.
        ("/stats", 0.0, |e| matches!(e, ConnectionError::Transport(_))),
    ];
    for (path, at_least, check) in rows {
        let (error, took) = timed(clock, raw(base, path).connect()).await;
        let error = error.expect_err(path);
        assert!(check(&error), "{path}: {error:?}");
        assert!((at_least * 0.9..at_least + 2.0).contains(&took), "{path} took {took} s");
    }
}

fn is_protocol(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::Protocol(_))
}

/// A handshake, and then something wrong: the connection ends, and so does a call that is pending.
pub(crate) async fn broken_messages(base: &str, clock: Clock) {
    let rows: &[(&str, f64, Check)] = &[
        ("/silent?handshake=true", 1.0, |e| matches!(e, ConnectionError::ServerTimeout { limit: SECOND })),
        // The handshake and {"type":7,"error":"bye"}
        (
            "/pieces?frame=e30eeyJ0eXBlIjo3LCJlcnJvciI6ImJ5ZSJ9Hg==",
            0.0,
            |e| matches!(e, ConnectionError::ServerClosed { error: Some(text), allow_reconnect: false } if **text == *"bye"),
        ),
        // {"type":7,"allowReconnect":true} in pieces of its own
        ("/pieces?frame=e30e&frame=eyJ0eXBlIjo3LCJhbGxvd1JlY29ubmVjdCI6&frame=dHJ1ZX0e&wait=50", 0.0, |e| {
            matches!(e, ConnectionError::ServerClosed { error: None, allow_reconnect: true })
        }),
        // {"type":1,"target":""} and {"type":
        ("/pieces?frame=e30e&frame=eyJ0eXBlIjoxLCJ0YXJnZXQiOiIifR4=", 0.0, is_protocol),
        ("/pieces?frame=e30e&frame=eyJ0eXBlIjoe", 0.0, is_protocol),
        // {"type":3,"invocationId":"0","result":1,"error":"x"}: both a result and an error
        (
            "/pieces?frame=e30e&frame=eyJ0eXBlIjozLCJpbnZvY2F0aW9uSWQiOiIwIiwicmVzdWx0IjoxLCJlcnJvciI6IngifR4=",
            0.0,
            is_protocol,
        ),
        // A binary frame on a connection of text.
        ("/pieces?frame=e30eApEG&binary=true", 0.0, is_protocol),
        (
            "/pieces?frame=e30e&close=1011&wait=50",
            0.0,
            |e| matches!(e, ConnectionError::Transport(error) if error.close_code == Some(1011)),
        ),
        (
            "/pieces?frame=e30e&close=1000&wait=50",
            0.0,
            |e| matches!(e, ConnectionError::Transport(error) if error.close_code == Some(1000)),
        ),
    ];
    for (path, at_least, check) in rows {
        let hub = raw(base, path).connect().await.expect(path);
        assert_eq!(hub.connection_id(), None);
        let ((call, error), took) =
            timed(clock, async { futures_util::join!(hub.invoke::<()>("Anything", ()), hub.closed()) }).await;
        assert!(check(&error), "{path}: {error:?}");
        assert!((at_least * 0.9..at_least + 2.0).contains(&took), "{path} took {took} s");
        // The connection may have ended before the call was made.
        let Err(CallError::Connection(ended)) = call else { panic!("{path}: {call:?}") };
        assert!(ended == error || ended == ConnectionError::NotConnected, "{path}: {ended:?}");
    }
}
