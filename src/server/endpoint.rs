//! The way in for clients: negotiate, and every transport.
//!
//! The host reads the token and decides; these functions do the rest of a request. Routes:
//!
//! - `POST …/negotiate` is [`negotiate`],
//! - `GET …` is [`open`]: a WebSocket, an event stream, or a poll,
//! - `POST …` is [`send`], and `DELETE …` is [`leave`], for connections without a socket.
//!
//! Source: [TransportProtocols.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/TransportProtocols.md).

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Bytes,
    extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, UPGRADE},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    core::{
        http::{EVENT_STREAM, OCTETS},
        negotiate::{TransferFormat, Transport as Kind, Transports},
    },
    platform::Pipe,
    server::{
        claims::SharedClaims,
        exchange::{self, Exchange, Polled},
        negotiated::{Lease, Negotiation, OpenError, Ways},
        query::Query,
        random::random_text,
        room::{Room, Slot},
        session::{Admitted, Run},
        transport::{self, Transport},
    },
};

/// In the order in which clients try them.
const KINDS: [Kind; 3] = [Kind::WebSockets, Kind::ServerSentEvents, Kind::LongPolling];

/// What the host has decided of a client that makes a request.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) hub: String,
    pub(crate) user: Option<String>,
    pub(crate) transports: Transports,
    /// In place of that of the room.
    pub(crate) handshake_timeout: Option<Duration>,
    /// How long a poll may wait for something to answer with.
    pub(crate) poll_interval: Duration,
    /// When the connection ends with the client's authentication, in seconds since the Unix epoch, if it does.
    pub(crate) expiry: Option<u64>,
    pub(crate) claims: Arc<SharedClaims>,
    /// How many seconds its authentication is good for, if it is told that, so that it refreshes it in time.
    pub(crate) lifetime: Option<u64>,
    /// Where it comes from, if that is known.
    pub(crate) address: Option<IpAddr>,
    /// Whether it may go on with another socket when it has lost one, if it asks for that (stateful reconnect).
    pub(crate) may_resume: bool,
}

/// Why a client does not get in. Clients show the text, so it says what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The query parameter id is missing; negotiate first.")]
    NoId,
    #[error("The request is not a valid WebSocket handshake.")]
    Upgrade,
    #[error("The client may not use this transport.")]
    Transport,
    #[error(
        "No connection with that id: negotiate first, and connect within 5 seconds with the same user and hub."
    )]
    Unknown,
    #[error("The connection with that id is open already.")]
    Taken,
    #[error("Too many connections are negotiated and not open; try again in some seconds.")]
    Full,
    #[error("The server has as many connections as it may have; try again later.")]
    Busy,
    #[error("The server is shutting down.")]
    Stopping,
    #[error("There are no random numbers.")]
    NoRandomNumbers,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoId | Self::Upgrade | Self::Transport => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Taken => StatusCode::CONFLICT,
            Self::Full | Self::Busy | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRandomNumbers => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Unknown => Self::Unknown,
            OpenError::Taken => Self::Taken,
        }
    }
}

impl From<getrandom::Error> for Refusal {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "the operating system gives no random numbers");
        Self::NoRandomNumbers
    }
}

/// Whether there may be another connection.
fn check_room(room: &Room) -> Result<(), Refusal> {
    if room.is_stopping() {
        return Err(Refusal::Stopping);
    }
    if room.slots.has_room() { Ok(()) } else { Err(Refusal::Busy) }
}

/// Lets a client begin: with the ids of its connection, and the transports that it may use.
pub(crate) fn negotiate(room: &Room, client: Admission, query: &Query) -> Result<Json<Value>, Refusal> {
    check_room(room)?;
    let transports: Vec<_> =
        KINDS.into_iter().filter(|&kind| client.transports.contains(kind)).map(described).collect();
    let connection_id = random_text()?;
    let version = query.first("negotiateVersion").and_then(|v| v.parse().ok()).unwrap_or(0_u32).min(1);
    let mut answer = json!({
        "negotiateVersion": version,
        "connectionId": connection_id,
        "availableTransports": transports,
    });
    if let Some(lifetime) = client.lifetime {
        answer["tokenLifetimeSeconds"] = lifetime.into();
    }
    // Clients of version 0 connect with the connection id.
    let mut token = connection_id.clone();
    if version > 0 {
        token = random_text()?;
        answer["connectionToken"] = token.as_str().into();
    }
    let asks = query.first("useStatefulReconnect").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let is_stateful = version > 0 && asks && client.may_resume;
    if is_stateful {
        answer["useStatefulReconnect"] = true.into();
    }
    let negotiation = Negotiation { connection_id, hub: client.hub, user: client.user, is_stateful };
    if room.negotiated.insert(token, negotiation, client.address, Instant::now()) {
        Ok(Json(answer))
    } else {
        Err(Refusal::Full)
    }
}

/// A transport as in the answer to negotiate.
fn described(kind: Kind) -> Value {
    let formats: &[TransferFormat] = match kind {
        Kind::ServerSentEvents => &[TransferFormat::Text],
        Kind::WebSockets | Kind::LongPolling => &[TransferFormat::Text, TransferFormat::Binary],
    };
    let formats: Vec<_> = formats.iter().map(|format| format.name()).collect();
    json!({ "transport": kind.name(), "transferFormats": formats })
}

/// A request that opens a connection, or polls one.
#[derive(Debug)]
pub(crate) struct Opening<'r> {
    pub(crate) room: &'r Arc<Room>,
    pub(crate) client: Admission,
    pub(crate) query: &'r Query,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
}

/// Whether a request wants Server-Sent Events.
pub(crate) fn accepts_events(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|kinds| kinds.contains(EVENT_STREAM))
}

/// The transport that a request of the method GET is for.
pub(crate) fn transport_of(
    headers: &HeaderMap,
    upgrade: &Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Kind, Refusal> {
    match upgrade {
        Ok(_) => Ok(Kind::WebSockets),
        Err(_) if headers.contains_key(UPGRADE) => Err(Refusal::Upgrade),
        Err(_) if accepts_events(headers) => Ok(Kind::ServerSentEvents),
        Err(_) => Ok(Kind::LongPolling),
    }
}

/// Opens a connection, or polls one that is open. `session` is what becomes of it.
pub(crate) async fn open<R: Run>(
    opening: Opening<'_>,
    session: impl FnOnce(Admitted) -> R,
) -> Result<Response, Refusal> {
    let Opening { room, client, query, headers, upgrade } = opening;
    let kind = transport_of(headers, &upgrade)?;
    if !client.transports.contains(kind) {
        return Err(Refusal::Transport);
    }
    let entry = Entry { room, client, query };
    match (kind, upgrade) {
        (_, Ok(upgrade)) => {
            let socket = Box::new(entry.socket(session)?);
            // In a task of its own: that of the upgrade keeps what it had to do with HTTP, some kilobytes.
            Ok(transport::bounded(upgrade).on_upgrade(|opened| async move {
                tokio::spawn(socket.opened(Transport::WebSocket(Box::new(opened))));
            }))
        }
        (Kind::ServerSentEvents, _) => entry.server_sent_events(session),
        _ => entry.poll(session).await,
    }
}

/// Opens a connection of a client in this program, or goes on with one. Gives the client's end.
pub(crate) fn open_pipe<R: Run>(
    room: &Arc<Room>,
    client: Admission,
    query: &Query,
    session: impl FnOnce(Admitted) -> R,
) -> Result<Pipe, Refusal> {
    if !client.transports.contains(Kind::WebSockets) {
        return Err(Refusal::Transport);
    }
    let socket = Box::new(Entry { room, client, query }.socket(session)?);
    let (ours, theirs) = Pipe::pair();
    tokio::spawn(socket.opened(Transport::Pipe(ours)));
    Ok(theirs)
}

/// What a socket is for.
enum Socket<R> {
    /// A new connection.
    First(R),
    /// A connection that has lost the one before.
    Next(mpsc::Sender<Transport>),
}

impl<R: Run> Socket<R> {
    async fn opened(self: Box<Self>, transport: Transport) {
        match *self {
            Self::First(session) => session.run(transport).await,
            // An error means that the connection has just ended, and so does the socket.
            Self::Next(connection) => drop(connection.send(transport).await),
        }
    }
}

/// A client at the door, whose transport is known and allowed.
struct Entry<'r> {
    room: &'r Arc<Room>,
    client: Admission,
    query: &'r Query,
}

impl Entry<'_> {
    /// What becomes of a socket: of a WebSocket, and of what takes its place.
    fn socket<R: Run>(self, session: impl FnOnce(Admitted) -> R) -> Result<Socket<R>, Refusal> {
        let Admission { hub, user, .. } = &self.client;
        if let Some(id) = self.query.first("id") {
            if let Some(resume) = self.room.negotiated.resume(id, hub, user.as_deref()) {
                return Ok(Socket::Next(resume));
            }
            return Ok(Socket::First(session(self.negotiated(None)?)));
        }
        // A client whose URL and token are good may come without having negotiated.
        let connection_id = random_text()?;
        let (hub, user) = (hub.clone(), user.clone());
        let negotiation = Negotiation { connection_id, hub, user, is_stateful: false };
        let slot = self.slot()?;
        Ok(Socket::First(session(self.admitted(negotiation, None, &Ways::default(), None, slot))))
    }

    fn server_sent_events<R: Run>(self, session: impl FnOnce(Admitted) -> R) -> Result<Response, Refusal> {
        let (transport, exchange, body) = exchange::server_sent_events();
        let session = session(self.negotiated(Some(exchange))?);
        tokio::spawn(session.run(Transport::Http(transport)));
        let headers = [(CONTENT_TYPE, EVENT_STREAM), (CACHE_CONTROL, "no-cache, no-store")];
        Ok((headers, body).into_response())
    }

    /// The first poll opens the connection and is answered at once.
    async fn poll<R: Run>(self, session: impl FnOnce(Admitted) -> R) -> Result<Response, Refusal> {
        let polled = match exchange_of(self.room, &self.client, self.query)? {
            Some(exchange) if exchange.is_polled() => {
                if let (Some(id), Some(expiry)) = (self.query.first("id"), self.client.expiry) {
                    self.room.negotiated.prolong(id, expiry);
                }
                exchange.poll(self.client.poll_interval).await
            }
            Some(_) => return Err(Refusal::Taken),
            None => {
                let (transport, exchange) = exchange::long_polling();
                let session = session(self.negotiated(Some(exchange))?);
                tokio::spawn(session.run(Transport::Http(transport)));
                Polled::Nothing
            }
        };
        let (status, body) = match polled {
            Polled::Messages(body) => (StatusCode::OK, body),
            Polled::Nothing => (StatusCode::OK, Bytes::new()),
            Polled::End => (StatusCode::NO_CONTENT, Bytes::new()),
        };
        let headers = [(CONTENT_TYPE, OCTETS), (CACHE_CONTROL, "no-cache, no-store")];
        Ok((status, headers, body).into_response())
    }

    /// Lets a client in that has negotiated.
    fn negotiated(self, exchange: Option<Arc<Exchange>>) -> Result<Admitted, Refusal> {
        let id = self.query.first("id").ok_or(Refusal::NoId)?;
        let Admission { hub, user, .. } = &self.client;
        let slot = self.slot()?;
        let (resume, resumed) = self.room.negotiated.is_stateful(id).then(|| mpsc::channel(1)).unzip();
        let claims = self.client.claims.clone();
        let ways = Ways { exchange, claims, resume, ..Ways::default() };
        let (negotiation, lease) =
            self.room.negotiated.open(id, hub, user.as_deref(), &ways, Instant::now())?;
        Ok(self.admitted(negotiation, Some(lease), &ways, resumed, slot))
    }

    /// A place for another connection.
    fn slot(&self) -> Result<Arc<Slot>, Refusal> {
        check_room(self.room)?;
        self.room.slots.take().ok_or(Refusal::Busy)
    }

    fn admitted(
        self,
        negotiation: Negotiation,
        lease: Option<Lease>,
        ways: &Ways,
        resumed: Option<mpsc::Receiver<Transport>>,
        slot: Arc<Slot>,
    ) -> Admitted {
        ways.expiry.send_replace(self.client.expiry);
        Admitted {
            handshake_timeout: self.client.handshake_timeout.unwrap_or(self.room.options.handshake_timeout),
            expiry: ways.expiry.subscribe(),
            room: self.room.clone(),
            resumed: resumed.filter(|_| negotiation.is_stateful),
            negotiation,
            _lease: lease,
            slot,
        }
    }
}

/// Where the requests of a connection go, if it is open and made of requests.
fn exchange_of(room: &Room, client: &Admission, query: &Query) -> Result<Option<Arc<Exchange>>, Refusal> {
    let id = query.first("id").ok_or(Refusal::NoId)?;
    Ok(room.negotiated.exchange(id, &client.hub, client.user.as_deref()))
}

/// The exchange that takes what a client without a WebSocket sends.
pub(crate) fn receiver(room: &Room, client: &Admission, query: &Query) -> Result<Arc<Exchange>, Refusal> {
    exchange_of(room, client, query)?.ok_or(Refusal::Unknown)
}

/// Takes what a client sends that has no WebSocket.
pub(crate) async fn send(
    room: &Room,
    client: &Admission,
    query: &Query,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    if !keep(room, client, query, &body) {
        receiver(room, client, query)?.send(body).await.map_err(|_| Refusal::Unknown)?;
    }
    Ok(StatusCode::OK)
}

/// Keeps what a client sends whose connection is negotiated and not open yet. Whether it is that.
pub(crate) fn keep(room: &Room, client: &Admission, query: &Query, body: &[u8]) -> bool {
    let keep = |id| room.negotiated.keep(id, &client.hub, client.user.as_deref(), body);
    query.first("id").is_some_and(keep)
}

/// Ends a connection of long polls.
pub(crate) fn leave(room: &Room, client: &Admission, query: &Query) -> Result<StatusCode, Refusal> {
    exchange_of(room, client, query)?.ok_or(Refusal::Unknown)?.leave();
    Ok(StatusCode::ACCEPTED)
}
