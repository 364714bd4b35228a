//! Hubs hosted by a Rust program: [`HubServer`], a tower service for axum, hyper and whatever else serves HTTP.
//!
//! ```no_run
//! use hubwire::server::{Caller, HubError, HubServer, Incoming};
//! use futures_util::stream;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = HubServer::builder()
//!     .on_connected(|caller: Caller| async move {
//!         caller.clients().others().send("Joined", (caller.user_id(),)).await?;
//!         Ok(())
//!     })
//!     // A method, its arguments and its result.
//!     .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) })
//!     // Groups, and an error that the caller is told.
//!     .on("Say", |caller: Caller, room: String, text: String| async move {
//!         if text.is_empty() {
//!             return Err(HubError::new("say something"));
//!         }
//!         caller.groups().add(caller.connection_id(), &room).await?;
//!         caller.clients().group(room).send("Said", (caller.user_id(), text)).await?;
//!         Ok(())
//!     })
//!     // A stream to the client, and one from it.
//!     .stream("Count", |_: Caller, to: u32| stream::iter((0..to).map(Ok)))
//!     .on("Sum", |_: Caller, mut numbers: Incoming<i64>| async move {
//!         let mut sum = 0;
//!         while let Some(number) = numbers.next().await {
//!             sum += number?;
//!         }
//!         Ok(sum)
//!     })
//!     // The client is asked, within a call.
//!     .on("Delete", |caller: Caller, file: String| async move {
//!         let client = caller.clients().client(caller.connection_id());
//!         Ok(client.invoke::<bool>("Confirm", (file,)).await?)
//!     })
//!     .authorize("Delete", |caller| caller.has_claim("role", "admin"))
//!     .build();
//!
//! // From outside of a call.
//! chat.clients().all().send("News", ("the server is up",)).await?;
//!
//! let app = axum::Router::new().nest_service("/chat", chat);
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What is not there yet: stateful reconnect, filters, hubs behind Azure SignalR Service and hubs on several servers.
//!
//! # How it is made
//!
//! What a server of hubs is made of, whoever its clients are and whatever is done with their messages.
//!
//! A `Room` has the connections of one server. How a client gets in and what happens to it:
//!
//! 1. The host (the owner of the room) looks at a request and decides who the client is and what it may do: an
//!    `Admission`.
//! 2. `endpoint` answers negotiate, opens the transport, and takes the requests of transports without a socket;
//!    `negotiated` keeps connections between negotiate and their end.
//! 3. A `session` runs the connection: it moves bytes between the transport and the core's
//!    machine, and tells the host's `Dispatcher` what the
//!    client does.
//! 4. `connections` knows who is where; what goes to a client waits in its `outbox`.
//!
//! Nothing here knows Azure or access tokens. The claims of clients are kept for the host, and mean nothing here.

#[cfg(feature = "actix")]
pub mod actix;
pub(crate) mod calls;
pub(crate) mod claims;
mod codec;
pub(crate) mod connections;
pub(crate) mod endpoint;
mod exchange;
mod host;
pub(crate) mod message;
pub(crate) mod negotiated;
pub(crate) mod outbox;
pub(crate) mod query;
pub(crate) mod random;
pub(crate) mod room;
pub(crate) mod session;
pub(crate) mod transport;
mod wire;

#[doc(inline)]
pub use host::*;
