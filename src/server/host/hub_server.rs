//! A hub as a tower service.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{
    clients::{Clients, Groups},
    outgoing::SlowConsumerCounts,
    presence::Presence,
    state::Hub,
};
use crate::server::room::Stop;

/// How long connections may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A hub that clients connect to: a [`tower`](tower_service::Service) service for any server that speaks HTTP, such as axum
/// and hyper.
///
/// It serves negotiate, WebSockets, Server-Sent Events and long polling, with the JSON and the MessagePack protocol, for the
/// official clients and for this crate's. It is cheap to clone; when the last clone is dropped, its connections end.
///
/// ```no_run
/// use hubwire::server::{Caller, HubServer};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let chat = HubServer::builder()
///     .on("SendMessage", |caller: Caller, user: String, text: String| async move {
///         caller.clients().all().send("ReceiveMessage", (user, text)).await?;
///         Ok(())
///     })
///     .build();
///
/// let app = axum::Router::new().nest_service("/chat", chat.clone());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, app).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HubServer {
    pub(in crate::server) hub: Arc<Hub>,
    pub(super) stop: Arc<watch::Sender<Stop>>,
}

impl HubServer {
    /// The clients, to be called from outside of a method.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        Clients { sender: &self.hub.sender, caller: None }
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> Groups<'_> {
        Groups { sender: &self.hub.sender }
    }

    /// Ends all connections, with a Close message that lets clients reconnect, and takes no new ones: they are answered 503.
    /// Waits until all connections have ended and [`on_disconnected`](super::HubServerBuilder::on_disconnected) has run for each;
    /// what takes longer than five seconds is cut off, and not waited for. Neither are methods that still run.
    pub async fn shut_down(&self) {
        self.stop.send_replace(Stop::Now);
        let room = &self.hub.room;
        if timeout(PATIENCE, room.slots.empty()).await.is_err() {
            room.connections.cut_all();
            let _ = timeout(PATIENCE / 5, room.slots.empty()).await;
        }
    }

    /// The same, but clients get the answers to what they have called first, if they come in time: a connection ends as soon
    /// as no call of its client is in progress, streams and uploads among them, and every connection at the end of this
    /// time.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use hubwire::server::HubServer;
    /// # async fn run(chat: HubServer, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let app = axum::Router::new().nest_service("/chat", chat.clone());
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         tokio::signal::ctrl_c().await.expect("signals can be handled");
    ///         chat.shut_down_within(Duration::from_secs(10)).await;
    ///     })
    ///     .await
    /// # }
    /// ```
    pub async fn shut_down_within(&self, limit: Duration) {
        self.stop.send_if_modified(|stop| {
            let is_new = *stop == Stop::No;
            *stop = Stop::Soon.max(*stop);
            is_new
        });
        let _ = timeout(limit, self.hub.room.slots.empty()).await;
        self.shut_down().await;
    }

    /// Who is connected to this server.
    #[must_use]
    pub fn presence(&self) -> Presence<'_> {
        Presence { sender: &self.hub.sender }
    }

    /// What slow clients of this server have cost so far.
    #[must_use]
    pub fn slow_consumer_counts(&self) -> SlowConsumerCounts {
        let (dropped_messages, closed_connections) = self.hub.sender.outgoing.slow.counts();
        SlowConsumerCounts { dropped_messages, closed_connections }
    }
}

impl fmt::Debug for HubServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubServer").finish_non_exhaustive()
    }
}
