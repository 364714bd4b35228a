//! Receivers of a message: all clients, a user, several at once.

use reqwest::Method;
use tokio::task::JoinSet;

use crate::{
    arguments::Arguments,
    service::{
        error::{Operation, ServiceError},
        hub::requests::Hub,
        rest::scope::Scope,
    },
};

/// The service's error code for a user who does not exist.
const NO_SUCH_USER: &str = "Warning.User.NotExisted";

/// Every connection of a hub, or all but a few.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct AllClients<'a> {
    pub(super) hub: &'a Hub,
    pub(super) excluded: Vec<String>,
}

impl AllClients<'_> {
    /// Leaves these connections out, by connection id.
    ///
    /// They are a part of the URL, of which the service takes 12 K: a few hundred ids. More are
    /// [`ServiceError::ParameterTooLong`].
    pub fn excluding(mut self, connection_ids: impl IntoIterator<Item: Into<String>>) -> Self {
        self.excluded.extend(connection_ids.into_iter().map(Into::into));
        self
    }

    /// Calls a method of these clients. `Ok` means that the service has accepted the message; it does not
    /// mean that a client is there to receive it.
    ///
    /// Needs the role "SignalR REST API Owner" or "SignalR Service Owner". Never repeated after a failure that may
    /// have come after the message was sent.
    ///
    /// ```no_run
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// hub.all().excluding(["connection-1"]).send("ReceiveMessage", ("bob", "hello")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        self.hub.send(&Scope::Hub, &self.excluded, method, arguments).await
    }

    /// Closes these connections. The reason is the error text of the Close message that they get.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn close_connections(&self, reason: Option<&str>) -> Result<(), ServiceError> {
        self.hub.close(&Scope::Hub, &self.excluded, reason).await
    }
}

/// One user, who may have several connections.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct User<'a> {
    pub(super) hub: &'a Hub,
    pub(super) scope: Result<Scope, ServiceError>,
}

impl<'a> User<'a> {
    /// Calls a method of the user's clients; see [`AllClients::send`].
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        self.hub.send(self.scope()?, &[], method, arguments).await
    }

    /// Whether the user has a connection.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn exists(&self) -> Result<bool, ServiceError> {
        self.hub.exists(self.scope()?, NO_SUCH_USER).await
    }

    /// Closes the user's connections. The reason is the error text of the Close message that they get.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn close_connections(&self, reason: Option<&str>) -> Result<(), ServiceError> {
        self.hub.close(self.scope()?, &[], reason).await
    }

    /// Leaves some of the user's connections open, by connection id; see [`AllClients::excluding`] for how many.
    pub fn excluding(self, connection_ids: impl IntoIterator<Item: Into<String>>) -> UserConnections<'a> {
        UserConnections { user: self, excluded: connection_ids.into_iter().map(Into::into).collect() }
    }

    /// Removes the user from all groups, with present and future connections.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn remove_from_all_groups(&self) -> Result<(), ServiceError> {
        let request = self.hub.request(Operation::ManageGroup, Method::DELETE, self.scope()?, "groups")?;
        self.hub.done(request).await
    }

    fn scope(&self) -> Result<&Scope, ServiceError> {
        self.scope.as_ref().map_err(Clone::clone)
    }
}

/// All connections of a user but a few. The service can close them; it cannot send a message to them alone.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct UserConnections<'a> {
    user: User<'a>,
    excluded: Vec<String>,
}

impl UserConnections<'_> {
    /// Closes these connections. The reason is the error text of the Close message that they get.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn close_connections(&self, reason: Option<&str>) -> Result<(), ServiceError> {
        self.user.hub.close(self.user.scope()?, &self.excluded, reason).await
    }
}

/// Several users, groups or connections.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct Several<'a> {
    hub: &'a Hub,
    scopes: Vec<Result<Scope, ServiceError>>,
}

impl<'a> Several<'a> {
    pub(super) fn new(
        hub: &'a Hub,
        names: impl IntoIterator<Item: AsRef<str>>,
        scope: impl Fn(&str) -> Result<Scope, ServiceError>,
    ) -> Self {
        Self { hub, scopes: names.into_iter().map(|name| scope(name.as_ref())).collect() }
    }

    /// Calls a method of these clients; see [`AllClients::send`]. The service has no such operation: the message is
    /// encoded once and sent with a request for each, at the same time. For none, nothing is sent.
    ///
    /// # Errors
    /// An invalid name, before anything is sent. Else, when all requests have ended, the error of the first one that
    /// failed in the order of the names; the others may have gone through. See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        let payload = self.hub.message(method, arguments)?;
        let mut requests = Vec::new();
        for scope in &self.scopes {
            let scope = scope.as_ref().map_err(Clone::clone)?;
            let request = self.hub.request(Operation::Send, Method::POST, scope, ":send")?;
            requests.push(request.payload(payload.clone())?);
        }
        let mut sending = JoinSet::new();
        for (n, request) in requests.into_iter().enumerate() {
            let hub = self.hub.clone();
            sending.spawn(async move { (n, hub.done(request).await) });
        }
        let mut first: Option<(usize, ServiceError)> = None;
        // They end by themselves, and a panic is passed on.
        for (n, result) in sending.join_all().await {
            if let Err(error) = result
                && first.as_ref().is_none_or(|(earlier, _)| n < *earlier)
            {
                first = Some((n, error));
            }
        }
        first.map_or(Ok(()), |(_, error)| Err(error))
    }
}
