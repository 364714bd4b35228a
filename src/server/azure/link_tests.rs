//! Server connections to a service that does not behave: one that sends more than the hub takes, and one that takes nothing.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _, poll};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use super::{
    connections::{AskError, NotConnected, ServerConnections, Shutdown},
    event::{Event, Via},
    shared::ConnectionsOptions,
};
use crate::{
    core::service_protocol::{Extensions, ServiceMessage, parse, write},
    platform::Network,
    service::{
        ServiceEndpoint, credentials::AccessKey, negotiate::TokenAlgorithm, server_access::EndpointAccess,
    },
};

const PATIENCE: Duration = Duration::from_secs(20);
const VIA: Via = Via { endpoint: 0, number: 0 };

/// The service's end of a server connection.
struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let accepting = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
        let mut peer = Self(tokio::time::timeout(PATIENCE, accepting).await.expect("a server connection"));
        let request = peer.next().await;
        assert!(matches!(parse(&request[1..]), Ok(Some(ServiceMessage::HandshakeRequest { .. }))));
        let (error_message, connection_id) = (None, Some("sc".into()));
        let extensions = Extensions::default();
        peer.send(&ServiceMessage::HandshakeResponse { error_message, extensions, connection_id }).await;
        peer
    }

    async fn send(&mut self, message: &ServiceMessage<'_>) {
        let mut bytes = Vec::new();
        write(&mut bytes, message);
        self.0.send(Message::Binary(bytes.into())).await.unwrap();
    }

    async fn next(&mut self) -> Vec<u8> {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a message");
        next.expect("not the end").expect("no error").into_data().to_vec()
    }

    /// Waits for the close frame, past signs of life.
    async fn closed(&mut self) {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("the end") {
                Some(Ok(Message::Close(_))) => return,
                Some(Ok(Message::Binary(bytes))) if bytes.get(2) == Some(&3) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What is next besides signs of life.
    async fn next_message(&mut self) -> Vec<u8> {
        loop {
            let bytes = self.next().await;
            let width = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a length") + 1;
            match parse(&bytes[width..]) {
                Ok(Some(ServiceMessage::Ping { .. })) => {}
                _ => return bytes[width..].to_vec(),
            }
        }
    }
}

async fn start() -> (ServerConnections, mpsc::Receiver<Event>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endpoint = ServiceEndpoint::new(&url, AccessKey::new("key")).unwrap();
    let access = EndpointAccess::new(endpoint, None, Network::default(), TokenAlgorithm::Hs256).unwrap();
    let options = ConnectionsOptions { initial_count: 1, ..ConnectionsOptions::new("hub", vec![access]) };
    let (connections, events) = ServerConnections::start(options).unwrap();
    (connections, events, listener)
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event").expect("not the end")
}

fn data(payload: &[u8]) -> ServiceMessage<'_> {
    let extensions = Extensions::default();
    ServiceMessage::ConnectionData { connection_id: "client".into(), payload, extensions }
}

fn number(event: &Event) -> u32 {
    let Event::Message(_, arrived) = event else { panic!("{event:?}") };
    let Some(ServiceMessage::ConnectionData { payload, .. }) = arrived.message() else {
        panic!("{arrived:?}")
    };
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_takes_nothing_holds_the_service_back_and_loses_nothing() {
    const COUNT: u32 = 3_000;
    let (connections, mut events, listener) = start().await;
    let mut peer = Peer::accept(&listener).await;
    connections.ready().await;
    // Beyond what may wait for the hub, and what sockets buffer.
    let sent = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        for n in 0..COUNT {
            let mut payload = vec![0; 64 * 1024];
            payload[..4].copy_from_slice(&n.to_be_bytes());
            peer.send(&data(&payload)).await;
            counted.store(n + 1, std::sync::atomic::Ordering::Relaxed);
        }
        peer
    });
    // While nobody reads, this end is still there: it takes messages, and says that it is alive.
    while sent.load(std::sync::atomic::Ordering::Relaxed) < 1_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    connections.send(VIA, &data(b"meanwhile")).await.unwrap();
    for n in 0..COUNT {
        let event = next(&mut events).await;
        assert_eq!(number(&event), n);
        // 64 MiB are the hub's budget; the rest is in buffers of sockets.
        assert!(sent.load(std::sync::atomic::Ordering::Relaxed) - n < 1_600, "it is read without end");
        drop(event);
    }
    let mut peer = sending.await.unwrap();
    let frame = peer.next_message().await;
    assert!(matches!(parse(&frame), Ok(Some(ServiceMessage::ConnectionData { payload: b"meanwhile", .. }))));

    // The end comes behind what was said.
    peer.send(&data(&[0, 0, 0, 7])).await;
    drop(peer);
    assert_eq!(number(&next(&mut events).await), 7);
    assert!(matches!(next(&mut events).await, Event::Lost(VIA)));
}

#[tokio::test]
async fn a_service_that_takes_nothing_holds_senders_back() {
    let (connections, _events, listener) = start().await;
    let mut peer = Peer::accept(&listener).await;
    connections.ready().await;
    let payload = vec![7; 1024 * 1024];
    let mut sent = 0;
    let mut waiting = loop {
        let mut sending = Box::pin({
            let connections = connections.clone();
            let payload = payload.clone();
            async move { connections.send(VIA, &data(&payload)).await }
        });
        // The task of the server connection has its turns in between.
        let mut turns = 0;
        let done = loop {
            match poll!(&mut sending) {
                std::task::Poll::Ready(result) => {
                    result.unwrap();
                    break true;
                }
                std::task::Poll::Pending if turns == 200 => break false,
                std::task::Poll::Pending => turns += 1,
            }
            tokio::task::yield_now().await;
        };
        if !done {
            break sending;
        }
        sent += 1;
        assert!(sent < 200, "it is queued without end");
    };
    // All of it comes once the service takes it, and so does what waited.
    let taking = tokio::spawn(async move {
        for _ in 0..=sent {
            let frame = peer.next_message().await;
            assert!(matches!(parse(&frame), Ok(Some(ServiceMessage::ConnectionData { .. }))));
        }
        peer
    });
    tokio::time::timeout(PATIENCE, &mut waiting).await.unwrap().unwrap();
    drop(taking.await.unwrap());
}

#[tokio::test]
async fn a_question_is_asked_again_when_its_server_connection_ends() {
    let (connections, mut events, listener) = start().await;
    let mut peer = Peer::accept(&listener).await;
    connections.ready().await;
    let exists = |ack_id| ServiceMessage::CheckGroupExistenceWithAck {
        group_name: "group".into(),
        ack_id,
        extensions: Extensions::default(),
    };
    let asking = tokio::spawn({
        let connections = connections.clone();
        async move { connections.ask(Some("group"), None, exists).await }
    });
    peer.next_message().await;
    drop(peer);
    assert!(matches!(next(&mut events).await, Event::Lost(VIA)));
    let mut peer = Peer::accept(&listener).await;
    let frame = peer.next_message().await;
    let Ok(Some(ServiceMessage::CheckGroupExistenceWithAck { ack_id, .. })) = parse(&frame) else {
        panic!("the same question")
    };
    let extensions = Extensions::default();
    peer.send(&ServiceMessage::Ack { ack_id, status: 1, message: None, extensions, payload: None }).await;
    assert_eq!(asking.await.unwrap().map(|ack| (ack.status, ack.payload)), Ok((1, None)));

    // After an error nothing more is sent on it, and nothing else is there.
    peer.send(&ServiceMessage::ServiceError { error_message: Some("broken".into()) }).await;
    let gone = async {
        while connections.status()[0].is_online {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(connections.send_to_all(None, None, &data(b"x")).await, Err(NotConnected));
    assert_eq!(connections.send(Via { number: 1, ..VIA }, &data(b"x")).await, Err(NotConnected));
    assert_eq!(connections.ask(None, None, exists).await, Err(AskError::NotConnected(NotConnected)));
    // What it still says of clients is not lost.
    peer.send(&data(&[0, 0, 0, 9])).await;
    assert_eq!(number(&next(&mut events).await), 9);
    drop(peer);
    assert!(matches!(next(&mut events).await, Event::Lost(Via { number: 1, .. })));
}

#[tokio::test]
async fn what_waits_to_be_sent_goes_before_the_end_and_nothing_comes_back() {
    let (connections, mut events, listener) = start().await;
    let mut peer = Peer::accept(&listener).await;
    connections.ready().await;
    for _ in 0..100 {
        connections.send(VIA, &data(b"last words")).await.unwrap();
    }
    let stopping = tokio::spawn({
        let connections = connections.clone();
        async move { connections.shut_down(Shutdown::Off, Duration::ZERO).await }
    });
    for _ in 0..100 {
        let frame = peer.next_message().await;
        assert!(matches!(parse(&frame), Ok(Some(ServiceMessage::ConnectionData { .. }))));
    }
    peer.closed().await;
    assert!(matches!(next(&mut events).await, Event::Lost(VIA)));
    stopping.await.unwrap();
    assert!(poll!(Box::pin(listener.accept())).is_pending(), "nothing is opened any more");
}

#[tokio::test]
async fn server_connections_end_when_nobody_waits_for_events() {
    let (connections, events, listener) = start().await;
    let mut peer = Peer::accept(&listener).await;
    connections.ready().await;
    drop(events);
    peer.closed().await;
    drop(peer);
    assert_eq!(connections.send(VIA, &data(b"x")).await, Err(NotConnected));
    assert!(poll!(Box::pin(listener.accept())).is_pending(), "nothing is opened any more");
}
