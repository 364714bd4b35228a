//! Hubs hosted by a Rust program: [`HubServer`], a tower service for axum, hyper and whatever else serves HTTP.
//!
//! [`guide`] leads here from ASP.NET Core: what stands for what, and how a hub moves.
//!
//! # One contract for both ends
//!
//! [`hub!`](crate::hub) describes a hub once, for its server and for its clients in Rust, natively and in the browser (and, with
//! `#[typescript]`, for those in JavaScript). `Served<ChatHub>` names the trait that the server implements.
//!
//! ```no_run
//! use std::{collections::HashMap, sync::Mutex};
//!
//! use futures_util::{Stream, stream};
//! use hubwire::Upload;
//! use hubwire::server::{Caller, HubError, HubResult, Incoming};
//!
//! hubwire::hub! {
//!     pub trait Chat: Hub<ChatClient> + Served<ChatHub> {
//!         fn join(room: &str);
//!         fn say(room: &str, text: &str) -> usize;
//!         stream fn history(room: &str) -> String;
//!         fn import(room: &str, lines: Upload<String>) -> usize;
//!         fn clear(room: &str) -> bool;
//!     }
//!
//!     pub trait ChatClient {
//!         fn said(user: String, text: String);
//!         fn confirm(question: String) -> bool;
//!     }
//! }
//!
//! // One value serves all connections: what they share is in it.
//! #[derive(Default)]
//! struct Rooms {
//!     lines: Mutex<HashMap<String, Vec<String>>>,
//! }
//!
//! // What belongs to one connection.
//! struct User {
//!     name: String,
//! }
//!
//! impl ChatHub for Rooms {
//!     type Session = User;
//!
//!     // Before any call; an error refuses the client.
//!     async fn connected(&self, who: Caller<Chat>) -> HubResult<User> {
//!         let name = who.user_id().ok_or_else(|| HubError::new("say who you are"))?.to_owned();
//!         who.clients().others().said("system", &format!("{name} is here")).await?;
//!         Ok(User { name })
//!     }
//!
//!     async fn join(&self, who: Caller<Chat, User>, room: String) -> HubResult {
//!         who.groups().add(who.connection_id(), &room).await?;
//!         Ok(())
//!     }
//!
//!     async fn say(&self, who: Caller<Chat, User>, room: String, text: String) -> HubResult<usize> {
//!         who.clients().others_in_group(&room).said(&who.session().name, &text).await?;
//!         Ok(self.add(room, [text]))
//!     }
//!
//!     // It may borrow the hub. While the client does not keep up, the next item is not asked for.
//!     fn history(&self, _: Caller<Chat, User>, room: String) -> impl Stream<Item = HubResult<String>> + Send {
//!         let lines = self.lines.lock().unwrap().get(&room).cloned();
//!         stream::iter(lines.unwrap_or_default().into_iter().map(Ok))
//!     }
//!
//!     async fn import(&self, _: Caller<Chat, User>, room: String, mut lines: Incoming<String>) -> HubResult<usize> {
//!         let mut all = Vec::new();
//!         while let Some(line) = lines.next().await {
//!             all.push(line?);
//!         }
//!         Ok(self.add(room, all))
//!     }
//!
//!     // The client is asked, within a call.
//!     async fn clear(&self, who: Caller<Chat, User>, room: String) -> HubResult<bool> {
//!         let is_sure = who.clients().caller().confirm(&format!("Clear {room}?")).await?;
//!         if is_sure {
//!             self.lines.lock().unwrap().remove(&room);
//!         }
//!         Ok(is_sure)
//!     }
//!
//!     // Left out, it does nothing.
//!     async fn disconnected(&self, who: Caller<Chat, User>) {
//!         let _ = who.clients().all().said("system", &format!("{} has left", who.session().name)).await;
//!     }
//! }
//!
//! impl Rooms {
//!     fn add(&self, room: String, more: impl IntoIterator<Item = String>) -> usize {
//!         let mut lines = self.lines.lock().unwrap();
//!         let lines = lines.entry(room).or_default();
//!         lines.extend(more);
//!         lines.len()
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = Chat::serve(Rooms::default())
//!     .authorize("Clear", |caller| caller.has_claim("role", "admin"))
//!     .build();
//!
//! // From outside of a call.
//! chat.context::<Chat>().clients().all().said("system", "the server is up").await?;
//!
//! let app = axum::Router::new().nest_service("/chat", chat);
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - `&self` is the hub, one for all connections and at the same time: behind it are what it shares and its locks. What a
//!   connection has for itself is its `Session`, which [`Caller::session`] shows to every method.
//! - [`Caller<Chat, User>`](Caller) is the client that has called a method, and its session. It may be kept, and moved into a task.
//! - What the contract borrows, the server owns: `&str` is a `String`, `&[T]` a `Vec<T>`, `&T` a `T`, and an
//!   [`Upload<T>`](crate::Upload) an [`Incoming<T>`](Incoming).
//! - `Chat::serve` gives a [`HubServerBuilder`], with all options; methods without a contract may be added by
//!   [`on`](HubServerBuilder::on).
//! - A crate with contracts depends on `hubwire` alone. The trait of the server is there where the feature `server` is
//!   switched on, natively: by the server's crate, not by the page's.
//!
//! # Methods by name
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
//!         Ok(caller.clients().caller().invoke::<bool>("Confirm", (file,)).await?)
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
//! # Around calls and messages
//!
//! | what | how | in ASP.NET Core |
//! | --- | --- | --- |
//! | code around calls, beginnings and ends | [`filter`](HubServerBuilder::filter), [`HubFilter`](filter::HubFilter) | `IHubFilter`, which misses unknown methods |
//! | calls of methods that do not exist | [`fallback`](HubServerBuilder::fallback) | – |
//! | who may connect and call what | [`policy`](HubServerBuilder::policy), [`authorize_hub`](HubServerBuilder::authorize_hub), [`authorize_methods`](HubServerBuilder::authorize_methods) | `[Authorize("…")]` |
//! | how often | [`rate_limit`](HubServerBuilder::rate_limit) | – |
//! | messages before they are written, and for each client | [`filter_outgoing`](HubServerBuilder::filter_outgoing), [`filter_delivery`](HubServerBuilder::filter_delivery) | – |
//! | clients that do not keep up | [`slow_consumers_of`](HubServerBuilder::slow_consumers_of), [`maximum_send_buffer_size`](HubServerBuilder::maximum_send_buffer_size) | – |
//! | who is online | [`presence`](HubServer::presence), [`on_presence_changed`](HubServerBuilder::on_presence_changed) | – |
//! | a page that shows all of it | feature `dashboard`: `hubwire::dashboard::DashboardLayer` | – |
//! | traces | [`trace_context`](HubServerBuilder::trace_context), [`service_name`](HubServerBuilder::service_name) | activity source `Microsoft.AspNetCore.SignalR.Server` |
//! | metrics | feature `metrics`: `signalr.server.active_connections` (gauge), `signalr.server.connection.duration` (histogram, seconds), by transport and end | meter `Microsoft.AspNetCore.Http.Connections` |
//!
//! A call passes its rate limits, then its policies, then the filters, the first one added first, and then comes its method or the
//! fallback. What is not used costs nothing.
//!
//! # Under load
//!
//! A method runs in the task of its connection up to where it first waits, and in a task of its own from there on. One that
//! computes for long, or blocks, belongs in `tokio::task::spawn_blocking`. Sockets should have `TCP_NODELAY`, as ASP.NET Core
//! sets it, or small messages wait for one another; with axum:
//!
//! ```no_run
//! use axum::serve::ListenerExt as _;
//!
//! # async fn run(app: axum::Router) -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), app).await
//! # }
//! ```
//!
//! # Tests of hubs
//!
//! A hub is tested without a port: [`connect_in_memory`](HubServer::connect_in_memory) gives a client of any user within the
//! program, which speaks the real protocol with the hub, and [`in_memory`](HubServer::in_memory) one with handlers of its own,
//! with MessagePack, or with automatic reconnect.
//!
//! ```
//! use hubwire::server::{Caller, HubServer, Identity};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = HubServer::builder()
//!     .on("Say", |caller: Caller, text: String| async move {
//!         Ok(caller.clients().others().send("Said", (caller.user_id(), text)).await?)
//!     })
//!     .build();
//!
//! let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
//! let bob = chat.in_memory(Identity::user("bob"));
//! let bob = bob.on("Said", move |who: String, text: String| told.send((who, text)).unwrap_or_default());
//! let bob = bob.connect().await?;
//! let ann = chat.connect_in_memory(Identity::user("ann")).await?;
//! ann.invoke::<()>("Say", ("hello",)).await?;
//! assert_eq!(heard.recv().await, Some(("ann".to_owned(), "hello".to_owned())));
//! # bob.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! What a client can make a hub keep or do is bounded. Where an option is named, it is the builder's.
//!
//! | of | how much | what happens then |
//! | --- | --- | --- |
//! | the URL of a request | 8 KiB | 414 |
//! | its headers | 32 KiB | 431 |
//! | the body of a POST | 4 MiB, at 240 bytes a second after 5 seconds, one at a time for a connection | 413, 408 |
//! | connections | `maximum_connections` | 503 and `Retry-After` |
//! | connections that are negotiated and not open | 5 seconds; 100 000, and 5 000 for an address, where axum's `ConnectInfo` tells it | 503 and `Retry-After` |
//! | the handshake | `handshake_timeout` | an error, and the end |
//! | silence of a client, or not reading | `client_timeout_interval` | the end |
//! | a message, a WebSocket message | `maximum_receive_message_size`, 4 MiB | a Close message that says so |
//! | calls and uploads in progress | 4 096 each | an error for the next one |
//! | calls and items that wait for methods | `application_max_buffer_size` | the client is not read |
//! | what waits for a client | 16 MiB; streams wait earlier | the connection is cut |
//! | sent and not acknowledged, with stateful reconnect | `stateful_reconnect_buffer_size` | sending waits |
//!
//! Several servers are one hub by a [`backplane`], or behind Azure SignalR Service: see `azure`.
//!
//! # Clients
//!
//! `examples/conformance` hosts the hubs of a conformance server that also exists in ASP.NET Core; what clients see of both
//! was compared. WebSockets and long polling were tried with JSON and MessagePack, Server-Sent Events with JSON.
//!
//! | client | versions | transports | |
//! | --- | --- | --- | --- |
//! | this crate, its npm package | | all | passes |
//! | Microsoft.AspNetCore.SignalR.Client | 10, 11 | all | passes; authentication refresh with 11 |
//! | @microsoft/signalr in Node.js | 3.1, 5 to 10 | all | passes; client results from 7 on |
//! | pysignalr | 1.3 | WebSockets | passes |
//!
//! # How it is made
//!
//! The parts of a server of hubs, which do not depend on what is done with the messages of its clients.
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
//! Nothing here but `azure` knows Azure or access tokens. The claims of clients are kept for the host, and mean nothing here.

#[cfg(any(doc, doctest))]
#[doc = include_str!("guide.md")]
pub mod guide {}

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "service")]
pub mod azure;
pub mod backplane;
pub(crate) mod calls;
pub(crate) mod claims;
mod codec;
pub(crate) mod connections;
pub(crate) mod disturbance;
pub(crate) mod endpoint;
mod exchange;
pub(crate) mod expiry;
pub(crate) mod host;
mod kept;
pub(crate) mod message;
pub(crate) mod negotiated;
pub(crate) mod observe;
pub(crate) mod outbox;
pub(crate) mod query;
pub(crate) mod queue;
pub(crate) mod random;
pub(crate) mod room;
pub(crate) mod session;
mod slow;
pub(crate) mod traffic;
pub(crate) mod transport;
mod wire;
mod woken;

#[doc(inline)]
pub use {
    host::{
        AuthenticationRefresh, Authorizing, Caller, Client, Clients, Groups, HubContext, HubError,
        HubInvocation, HubRequest, HubResult, HubServer, HubServerBuilder, Identity, Incoming, RateLimit,
        Receivers, Recipients, Rejection, Reply, SlowConsumerCounts,
    },
    slow::SlowConsumers,
};

/// What can go wrong in a hub, beside the [`HubError`] that its own methods return.
pub mod error {
    #[doc(inline)]
    pub use super::host::{ClientResultError, InvalidOrigin, SendError, UploadError};
}

/// Code around calls, connections and outgoing messages.
pub mod filter {
    #[doc(inline)]
    pub use super::host::{
        Deliver, DeliveredMessage, HubFilter, Next, NextConnected, NextDisconnected, OutgoingMessage,
        Recipient,
    };
}

/// What the types of methods have to be, with and without a contract.
pub mod method {
    #[doc(inline)]
    pub use super::host::{
        HubArgument, HubContract, HubMethod, HubStreamMethod, SentAs, TypedClients, Untyped,
    };
}

/// Who is online.
pub mod presence {
    #[doc(inline)]
    pub use super::host::{Presence, PresenceChange};
}
