//! The dashboard as a layer of a tower stack, and as what serves a source.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes},
};
use http::{HeaderValue, Request, Response, StatusCode, header::LOCATION, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    access::Access,
    files::{self, plain, secured},
    hosted::{Hosted, Named},
    hub::{Desk, Rights, hub},
    source::Source,
};
use crate::{cors::InvalidOrigin, server::HubServer};

/// How long a page may be silent, or not read.
const PATIENCE: Duration = Duration::from_secs(30);

/// What serves a dashboard under a path.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    access: Access,
    hub: HubServer,
}

impl Board {
    /// What the local service serves; its own guard has let requests in.
    #[cfg(feature = "local")]
    pub(crate) fn of(source: impl Source) -> Self {
        Self::new(Arc::new(source), Rights { send: true, close: true }, Access::checked_before(), PATIENCE)
    }

    fn new(source: Arc<dyn Source>, rights: Rights, access: Access, patience: Duration) -> Self {
        Self { access, hub: hub(Desk { source, rights }, patience) }
    }

    /// Answers a request; `path` is what is left of its path behind that of the dashboard.
    pub(crate) async fn answer(self, path: &str, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if let Some(refusal) = self.refusal(&parts) {
            return refusal;
        }
        let Some(path) = path.strip_prefix('/') else { return with_slash(&parts) };
        if path == "hub" || path.starts_with("hub/") {
            let mut hub = self.hub;
            // It cannot fail.
            let Ok(response) = hub.call(Request::from_parts(parts, body)).await;
            return response;
        }
        files::answer(path, &parts.method, &parts.headers)
    }

    /// The answer to who may not see it.
    pub(super) fn refusal(&self, parts: &Parts) -> Option<Response<Body>> {
        let reason = self.access.check(parts).err()?;
        tracing::debug!(reason, "the dashboard refused a request");
        Some(secured(plain(StatusCode::FORBIDDEN, reason)))
    }

    #[cfg(any(test, feature = "actix"))]
    pub(super) fn hub(&self) -> &HubServer {
        &self.hub
    }
}

/// The files of the page are found beside the address only if it ends in a slash.
fn with_slash(parts: &Parts) -> Response<Body> {
    let path = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    // Relative, since a proxy may have another path in front.
    if let Ok(location) = HeaderValue::try_from(format!("{path}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    secured(response)
}

/// Adds a dashboard of hosted hubs to a [`tower`](tower_service) stack.
///
/// ```no_run
/// use std::net::SocketAddr;
///
/// use hubwire::dashboard::DashboardLayer;
/// use hubwire::server::{Caller, HubServer};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let chat = HubServer::builder()
///     .on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) })
///     .build();
///
/// let app = axum::Router::new()
///     .nest_service("/chat", chat.clone())
///     .layer(DashboardLayer::new().hub_as("chat", &chat));
///
/// // http://localhost:8080/dashboard/
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Without [`authorize`](Self::authorize), it is for requests of the same machine only: those of a loopback address, to a name
/// of this machine, that no proxy has passed on; anything else is answered 403 with what to do. The address of the peer
/// comes from axum's `ConnectInfo<SocketAddr>`, or from a `SocketAddr` among the extensions of the request. A person who may see it
/// may also send messages and close connections, unless it is [`read_only`](Self::read_only).
///
/// All clones of a layer are one dashboard.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct DashboardLayer {
    pub(super) path: String,
    hubs: Vec<Named>,
    access: Access,
    rights: Rights,
    patience: Duration,
    board: Arc<OnceLock<Board>>,
}

impl Default for DashboardLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DashboardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardLayer")
            .field("path", &self.path)
            .field("hubs", &self.hubs)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl DashboardLayer {
    /// A dashboard at `/dashboard`, without any hub yet.
    pub fn new() -> Self {
        Self {
            path: "/dashboard".to_owned(),
            hubs: Vec::new(),
            access: Access::default(),
            rights: Rights { send: true, close: true },
            patience: PATIENCE,
            board: Arc::default(),
        }
    }

    /// Shows a hub, by the name that it has in traces ([`service_name`](crate::server::HubServerBuilder::service_name)). From
    /// now on, the hub keeps the last 500 of what is asked of it: negotiations, connections and their ends, refusals, calls
    /// that failed and, while somebody watches, all calls. It may be called for several hubs.
    pub fn hub(self, hub: &HubServer) -> Self {
        let watched = hub.watched();
        let name = watched.name().unwrap_or("Hub").to_owned();
        self.add(Named { name, hub: watched })
    }

    /// As [`hub`](Self::hub), with the name that the dashboard shows.
    pub fn hub_as(self, name: impl Into<String>, hub: &HubServer) -> Self {
        self.add(Named { name: name.into(), hub: hub.watched() })
    }

    /// Two hubs of the same name are told apart by a number.
    fn add(self, Named { name, hub }: Named) -> Self {
        let taken = |name: &str| self.hubs.iter().any(|named| named.name == name);
        let mut unique = name.clone();
        for number in 2.. {
            if !taken(&unique) {
                break;
            }
            unique = format!("{name} {number}");
        }
        let mut this = self.changed();
        this.hubs.push(Named { name: unique, hub });
        this
    }

    /// The path of the dashboard. Default: `/dashboard`.
    ///
    /// # Panics
    /// When the path does not begin with a slash, or is nothing but slashes.
    pub fn path(self, path: impl Into<String>) -> Self {
        let path = path.into();
        let path = path.trim_end_matches('/').to_owned();
        assert!(path.starts_with('/'), "the path of a dashboard begins with a slash and names something");
        Self { path, ..self.changed() }
    }

    /// Decides who may see it, instead of letting in requests of the same machine. It is asked for the page, its files and its
    /// connection. What a layer around this one has found out is in the extensions of the request.
    ///
    /// ```
    /// use hubwire::dashboard::DashboardLayer;
    ///
    /// #[derive(Clone)]
    /// struct Session {
    ///     is_admin: bool,
    /// }
    ///
    /// let dashboard = DashboardLayer::new()
    ///     .authorize(|request| request.extensions.get::<Session>().is_some_and(|session| session.is_admin));
    /// # drop(dashboard);
    /// ```
    pub fn authorize(self, rule: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        let mut this = self.changed();
        this.access.set_rule(rule);
        this
    }

    /// Lets pages of another origin use it, such as `https://admin.example.com`: where a proxy changes the header `Host`, the
    /// dashboard's own origin has to be named.
    ///
    /// # Errors
    /// [`InvalidOrigin`], as for [hubs](crate::server::HubServerBuilder::allow_origin).
    pub fn allow_origin(self, origin: impl AsRef<str>) -> Result<Self, InvalidOrigin> {
        let mut this = self.changed();
        this.access.allow_origin(origin.as_ref())?;
        Ok(this)
    }

    /// Lets nobody send messages or close connections.
    pub fn read_only(self) -> Self {
        Self { rights: Rights { send: false, close: false }, ..self.changed() }
    }

    /// How long a page may be silent, or may not read what it is sent. Default: 30 seconds.
    pub fn client_timeout_interval(self, timeout: Duration) -> Self {
        Self { patience: timeout, ..self.changed() }
    }

    /// Another dashboard than the clones made before.
    fn changed(self) -> Self {
        Self { board: Arc::default(), ..self }
    }

    pub(super) fn board(&self) -> &Board {
        self.board.get_or_init(|| {
            let source = Hosted::new(self.hubs.clone());
            Board::new(Arc::new(source), self.rights, self.access.clone(), self.patience)
        })
    }
}

impl<S> Layer<S> for DashboardLayer {
    type Service = Dashboard<S>;

    fn layer(&self, inner: S) -> Dashboard<S> {
        Dashboard { path: self.path.as_str().into(), board: self.board().clone(), inner }
    }
}

/// A service with a dashboard before it: what [`DashboardLayer`] makes. Requests for other paths go on to the service.
#[derive(Debug, Clone)]
pub struct Dashboard<S> {
    path: Arc<str>,
    board: Board,
    inner: S,
}

impl<S> Dashboard<S> {
    /// What is left of a path behind that of the dashboard, if it leads there.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.path).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl<S, B, R> Service<Request<B>> for Dashboard<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(rest) = self.rest(request.uri().path()).map(str::to_owned) else {
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(answer.await?.map(Body::new)) });
        };
        let board = self.board.clone();
        Box::pin(async move { Ok(board.answer(&rest, request.map(Body::new)).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Identity;

    #[test]
    fn only_what_is_below_the_path_is_the_dashboards() {
        let dashboard = DashboardLayer::new().path("/ops/hubs/").layer(());
        for (path, rest) in [
            ("/ops/hubs", Some("")),
            ("/ops/hubs/", Some("/")),
            ("/ops/hubs/hub/negotiate", Some("/hub/negotiate")),
            ("/ops/hubsx", None),
            ("/ops", None),
            ("/", None),
        ] {
            assert_eq!(dashboard.rest(path), rest, "{path}");
        }
    }

    #[test]
    fn hubs_of_one_name_are_told_apart() {
        let hub = HubServer::builder().build();
        let layer = DashboardLayer::new().hub(&hub).hub(&hub).hub_as("chat", &hub).hub_as("Hub 2", &hub);
        let names: Vec<_> = layer.hubs.iter().map(|named| named.name.as_str()).collect();
        assert_eq!(names, ["Hub", "Hub 2", "chat", "Hub 2 2"]);
    }

    /// One clone negotiates, and another one opens the connection.
    #[tokio::test]
    async fn clones_are_one_dashboard() {
        let layer = DashboardLayer::new();
        let (one, other) = (layer.layer(()), layer.clone().layer(()));
        let page = one.board.hub().connect_in_memory(Identity::anonymous()).await.expect("it connects");
        assert_eq!(other.board.hub().presence().connections(), 1);
        page.stop().await;
    }
}
