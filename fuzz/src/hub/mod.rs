//! Whatever a client says to the methods of a hosted hub, in either protocol and however it is cut: no method panics, each
//! call that expects an answer gets one, and the same comes of the same messages.
//!
//! The hub is called as a web framework calls it, without a socket, by the requests of long polling.

mod methods;
mod said;

use std::cell::Cell;
use std::sync::{Arc, Mutex, Once};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hubwire::HubProtocol;
use hubwire::server::{HubServer, HubServerBuilder};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service as _;

use self::methods::lock;
use self::said::{Said, Told};
use crate::cut::chunks;

/// When nothing has happened in so many turns of all tasks, nothing more will.
const STILL: usize = 32;

/// The largest message that the hub takes.
const LONGEST: usize = 4_096;

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
    // Never dropped: at the end of a thread a runtime lacks what it needs for that.
    static WORLD: &'static World = Box::leak(Box::new(World::new()));
}

pub(crate) fn run(data: &[u8]) {
    let [choice, data @ ..] = data else { return };
    let protocol = if choice & 1 == 0 { HubProtocol::Json } else { HubProtocol::MessagePack };
    let (whole, pieces) = chunks(data);
    if whole.len() > LONGEST {
        return;
    }
    let before = PANICS.get();
    WORLD.with(|world| {
        let hub = if choice & 2 == 0 { &world.untyped } else { &world.typed };
        let told = world.say(hub, protocol, &[whole]);
        let said = Said::read(protocol, whole);
        told.check(&said);
        if choice & 3 == 0 && !said.is_timely {
            told.compare(&said);
        }
        let cut = world.say(hub, protocol, &pieces);
        cut.check(&said);
        assert_eq!(cut.is_closed, told.is_closed, "where it is cut decides whether it ends");
        // What is on its way when the connection ends may be told or not.
        if !told.is_closed && !said.is_timely {
            assert_eq!(cut, told, "it matters where it is cut");
        }
    });
    assert_eq!(PANICS.get(), before, "a method panicked, or what reads its arguments");
}

/// Panics of methods are caught by the hub.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            others(panic);
        }));
    });
}

/// The hubs, and what they run on.
struct World {
    runtime: Runtime,
    untyped: HubServer,
    typed: HubServer,
}

impl World {
    fn new() -> Self {
        count_panics();
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let bounds =
            |hub: HubServerBuilder| hub.maximum_receive_message_size(LONGEST).detailed_errors().build();
        Self { runtime, untyped: bounds(methods::untyped()), typed: bounds(methods::typed()) }
    }

    /// A client that shakes hands, says all this, waits for what comes of it, and leaves.
    fn say(&self, hub: &HubServer, protocol: HubProtocol, pieces: &[&[u8]]) -> Told {
        self.runtime.block_on(async {
            let (_, negotiated) = request(hub, "POST", "/negotiate?negotiateVersion=1", Vec::new()).await;
            let negotiated: Value = serde_json::from_slice(&negotiated).expect("an answer");
            let path = format!("/?id={}", negotiated["connectionToken"].as_str().expect("a token"));
            assert_eq!(request(hub, "GET", &path, Vec::new()).await.0, 200);
            let heard = Arc::new(Mutex::new(Vec::new()));
            let polling = tokio::spawn(poll(hub.clone(), path.clone(), heard.clone()));
            let hello = format!("{{\"protocol\":\"{}\",\"version\":1}}\u{1e}", protocol.name());
            request(hub, "POST", &path, hello.into_bytes()).await;
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                // After its end there is no connection to say more to.
                if request(hub, "POST", &path, piece.to_vec()).await.0 != 200 {
                    break;
                }
            }
            let (mut still, mut length) = (0, 0);
            while still < STILL {
                tokio::task::yield_now().await;
                let now = lock(&heard).len();
                still = if now == length { still + 1 } else { 0 };
                length = now;
            }
            let is_closed = polling.is_finished();
            request(hub, "DELETE", &path, Vec::new()).await;
            polling.await.expect("the polls end");
            let bytes = std::mem::take(&mut *lock(&heard));
            Told::read(protocol, &bytes, is_closed)
        })
    }
}

async fn request(hub: &HubServer, method: &str, path: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body)).expect("a request");
    let response = hub.clone().call(request).await.expect("an answer");
    let status = response.status().as_u16();
    (status, to_bytes(response.into_body(), usize::MAX).await.expect("a body").to_vec())
}

/// One poll after the other, up to the end of the connection.
async fn poll(hub: HubServer, path: String, heard: Arc<Mutex<Vec<u8>>>) {
    loop {
        match request(&hub, "GET", &path, Vec::new()).await {
            (200, messages) => lock(&heard).extend(messages),
            (204 | 404, _) => return,
            (status, _) => panic!("a poll was answered {status}"),
        }
    }
}
