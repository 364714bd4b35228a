//! A dashboard of hosted hubs, as a layer around the app that serves them; the local service has the same one.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use hubwire::dashboard::DashboardLayer;
//! use hubwire::server::{Caller, HubServer};
//!
//! # #[derive(Clone)] struct Session { is_admin: bool }
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = HubServer::builder()
//!     .on("Say", |caller: Caller, text: String| async move {
//!         Ok(caller.clients().all().send("Said", (caller.user_id(), text)).await?)
//!     })
//!     .build();
//!
//! let dashboard = DashboardLayer::new()
//!     .hub_as("chat", &chat)
//!     .path("/ops/hubs")
//!     .authorize(|request| request.extensions.get::<Session>().is_some_and(|session| session.is_admin));
//!
//! let app = axum::Router::new().nest_service("/chat", chat).layer(dashboard);
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It shows live: connections with users, groups, claims and traffic; users, groups and hubs; what was asked of the hubs
//! lately, with outcome and reason; what a client token says. It sends messages to everybody, users, groups or connections, and closes connections,
//! unless it is [`read_only`](DashboardLayer::read_only).
//!
//! - **Who sees it**: without [`authorize`](DashboardLayer::authorize) requests of the same machine only. Pages of other
//!   origins are refused in either case, WebSockets included.
//! - **What it does not show**: queries, headers, tokens, arguments and results. Of a call that fails it shows what the client
//!   is told.
//! - **What it costs**: two additions for each message, whether there is a dashboard or not. With one, every call is timed and
//!   counted; calls that went well are recorded only while somebody watches. At most 32 pages watch at a time, and one that
//!   does not read is closed.
//! - **Several servers**: with a [`backplane`](crate::server::backplane), or behind Azure SignalR Service, it shows the
//!   connections of this server, and says so.
//!
//! # Without axum
//!
//! In a stack of hyper alone, the layer is put around the hub, or around whatever else answers, and the address of the peer
//! goes into the extensions of requests, unless [`authorize`](DashboardLayer::authorize) says who may see it:
//!
//! ```no_run
//! use hyper_util::{rt::{TokioExecutor, TokioIo}, server::conn::auto};
//! use hubwire::{dashboard::DashboardLayer, server::HubServer};
//! use tower_layer::Layer as _;
//! use tower_service::Service as _;
//!
//! # async fn run() -> std::io::Result<()> {
//! let hub = HubServer::builder().build();
//! let app = DashboardLayer::new().hub_as("chat", &hub).layer(hub);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! loop {
//!     let (socket, peer) = listener.accept().await?;
//!     let app = app.clone();
//!     let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
//!         request.extensions_mut().insert(peer);
//!         app.clone().call(request)
//!     });
//!     tokio::spawn(async move {
//!         let server = auto::Builder::new(TokioExecutor::new());
//!         server.serve_connection_with_upgrades(TokioIo::new(socket), service).await
//!     });
//! }
//! # }
//! ```
//!
#![cfg_attr(
    feature = "actix",
    doc = "actix-web takes no layers of tower: there it is [`DashboardLayer::actix`], with the feature `actix`."
)]
#![cfg_attr(
    not(feature = "actix"),
    doc = "actix-web takes no layers of tower: there it is `DashboardLayer::actix`, with the feature `actix`."
)]

mod access;
#[cfg(feature = "actix")]
mod actix;
pub(crate) mod contract;
mod files;
mod hosted;
mod hub;
mod layer;
pub(crate) mod source;
mod token;
mod watch;

#[cfg(feature = "local")]
pub(crate) use layer::Board;
pub use layer::{Dashboard, DashboardLayer};
