//! What a client reads that servers other than ASP.NET Core send, and what it makes of its own URL.

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{HubConnection, HubProtocol, Transport};

use super::{SETUPS, connect};

/// JSON in binary frames, cut within a message and a character, and calls without arguments.
pub(crate) async fn json_in_binary_frames(base: &str) {
    // {}, {"type":1,"target":"Say","arguments":["\u{fc}"]} in two parts, {"type":1,"target":"Go","arguments":null},
    // {"type":1,"target":"Go"}
    let path = "/pieces?binary=true&frame=e30e\
        &frame=eyJ0eXBlIjoxLCJ0YXJnZXQiOiJTYXkiLCJhcmd1bWVudHMiOlsiww%3D%3D&frame=vCJdfR4%3D\
        &frame=eyJ0eXBlIjoxLCJ0YXJnZXQiOiJHbyIsImFyZ3VtZW50cyI6bnVsbH0e&frame=eyJ0eXBlIjoxLCJ0YXJnZXQiOiJHbyJ9Hg%3D%3D";
    let (sender, mut received) = mpsc::unbounded();
    let others = sender.clone();
    let hub = HubConnection::builder(format!("{base}{path}"))
        .with_skip_negotiation(true)
        .on("Say", move |text: String| sender.unbounded_send(text).unwrap())
        .on("Go", move || others.unbounded_send("gone".to_owned()).unwrap())
        .connect()
        .await
        .expect("JSON is read from either kind of frame");
    for wanted in ["\u{fc}", "gone", "gone"] {
        assert_eq!(received.next().await.as_deref(), Some(wanted));
    }
    hub.stop().await;
}

/// Parameters reach negotiate and every transport, whatever is in them.
pub(crate) async fn query_parameters(base: &str) {
    for setup in SETUPS {
        let hub = HubConnection::builder(format!("{base}{}?first=1", setup.path()))
            .with_transports(setup.transport)
            .with_protocol(setup.protocol)
            .with_query_parameter("a room", "R&D = \u{fc}+'\"#?/")
            .with_query_parameter("last", "")
            .connect()
            .await
            .unwrap();
        for (name, value) in [("first", "1"), ("a room", "R&D = \u{fc}+'\"#?/"), ("last", "")] {
            assert_eq!(hub.invoke::<String>("Query", (name,)).await.unwrap(), value, "{name} over {setup:?}");
        }
        hub.stop().await;
    }
}

/// An address as it is copied from somewhere: blanks around it, the scheme of a WebSocket.
pub(crate) async fn addresses(base: &str) {
    let socket = base.replace("http://", "ws://");
    for url in [format!(" {base}/ws\r\n"), format!("{socket}/ws"), format!("{base}/sse/../%2e/ws?q=a b")] {
        let hub = connect(url).await;
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        hub.stop().await;
    }
}
