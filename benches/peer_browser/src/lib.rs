//! Typed receiving in a browser's Rust: this client and the crate signalr-client, each with what it offers for it. Both
//! negotiate with the same hub, register a handler for a number, and ask the hub for many of them.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use hubwire::HubConnection;
use signalr_client::SignalRClient;
use wasm_bindgen::prelude::wasm_bindgen;

/// A client that is connected.
#[wasm_bindgen]
pub struct Subject {
    client: Client,
    heard: Rc<Cell<u32>>,
}

enum Client {
    Hubwire(HubConnection),
    SignalrClient(SignalRClient),
}

#[wasm_bindgen]
impl Subject {
    /// Connects to the reference hub on this port.
    pub async fn connect(name: String, port: i32) -> Self {
        let heard = Rc::new(Cell::new(0));
        let count = Rc::clone(&heard);
        let hear = move |number: i32| {
            black_box(number);
            count.set(count.get() + 1);
        };
        let client = match name.as_str() {
            "hubwire" => {
                let hub = HubConnection::builder(format!("http://127.0.0.1:{port}/ws")).on("Number", hear);
                Client::Hubwire(hub.connect().await.expect("connects"))
            }
            "signalr-client" => {
                let client = SignalRClient::connect_with("127.0.0.1", "ws", |configuration| {
                    configuration.with_port(port);
                    configuration.unsecure();
                });
                let mut client = client.await.expect("connects");
                client.register("Number".to_owned(), move |context| hear(context.argument(0).unwrap()));
                Client::SignalrClient(client)
            }
            _ => panic!("there is no client {name}"),
        };
        Self { client, heard }
    }

    /// Asks for numbers, and ends when all of them have come. Returns how many have been heard.
    pub async fn receive(&self, count: u32) -> u32 {
        self.heard.set(0);
        match &self.client {
            Client::Hubwire(hub) => {
                hub.invoke::<()>("PushNumbers", ("Number", count)).await.expect("is called")
            }
            Client::SignalrClient(client) => {
                let sent = client.clone();
                let mut sent = sent;
                let sent = sent.send_with_args("PushNumbers".to_owned(), |arguments| {
                    arguments.argument("Number").argument(count);
                });
                sent.await.expect("is sent");
            }
        }
        while self.heard.get() < count {
            turn().await;
        }
        self.heard.get()
    }
}

/// Lets the browser go on with other things.
async fn turn() {
    let turn = js_sys::Promise::new(&mut |resolve, _| set_timeout(&resolve, 1));
    wasm_bindgen_futures::JsFuture::from(turn).await.expect("a timer fires");
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, milliseconds: i32);
}
