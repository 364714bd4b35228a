//! The whole of it in one program, in the order in which things start: a local service, an app server in front of it, and a client
//! that connects and gets a message.
//!
//! `cargo run --example hello --features axum,local`

use std::error::Error;

use hubwire::{
    HubConnection,
    local::LocalService,
    service::{NegotiateOptions, ServiceClient, ServiceEndpoint},
};
use tokio::{net::TcpListener, sync::mpsc};

#[tokio::main]
#[allow(dead_code, reason = "a test runs the rest, without its main")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", hello().await?);
    Ok(())
}

pub(crate) async fn hello() -> Result<String, Box<dyn Error>> {
    // 1. The app server's address. A service that tells an upstream what clients do has to know it:
    //    `LocalService::builder().upstream(format!("http://{address}/upstream"))`.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;

    // 2. The service. In production it is Azure's, and there is nothing to start.
    let local = LocalService::builder().start().await?;

    // 3. The app server: it knows the service, says who a client is, and sends it on to the service.
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string())?;
    let hub = ServiceClient::builder().endpoint(endpoint).build()?.hub("chat")?;
    let app: axum::Router = hubwire::axum_routes::negotiate("/chat", hub.clone(), |_| {
        NegotiateOptions::for_user("alice") // ask your own sign-in, also by a future
    });
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });

    // 4. The client: it asks the app server, and connects to the service.
    let (sender, mut received) = mpsc::unbounded_channel();
    let client = HubConnection::builder(format!("http://{address}/chat"))
        .on("ReceiveMessage", move |text: String| drop(sender.send(text)))
        .connect()
        .await?;

    // 5. A message, once the client is connected.
    hub.user("alice").send("ReceiveMessage", ("hello, Alice",)).await?;
    let text = received.recv().await.ok_or("the connection is closed")?;

    // In this order too: clients first, so that they hear the end from the service.
    client.stop().await;
    local.stop().await;
    serving.abort();
    Ok(text)
}
