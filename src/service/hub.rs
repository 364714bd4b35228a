//! One hub of the service: access for clients, messages to them, groups.

use std::{fmt, sync::Arc};

use reqwest::Method;
use serde_json::Value;

use super::{
    client::Shared,
    error::{Operation, ServiceError},
    negotiate::{self, ClientAccess, NegotiateOptions},
    rest::segment,
};
use crate::{
    arguments::{ArgumentWriter, Arguments, SerializeError},
    core::HubProtocol,
};

/// The service's word for a connection that does not exist, when one is added to a group.
const NO_SUCH_CONNECTION: &str = "Error.Connection.NotExisted";

/// One hub. Cheap to clone.
#[derive(Clone)]
pub struct HubClient {
    shared: Arc<Shared>,
    name: String,
}

impl HubClient {
    pub(super) fn new(shared: Arc<Shared>, name: String) -> Self {
        Self { shared, name }
    }

    /// The hub's name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a client connects to and what it connects with: the answer of a negotiate endpoint.
    ///
    /// With Entra the first call exchanges the token for an access key, which needs the role "SignalR App Server" or
    /// "SignalR Service Owner"; the calls of the next hour do without a request. With other roles the service makes
    /// the token, if it need not say more than the user: see [`EntraStrategy`](super::EntraStrategy).
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn negotiate(&self, options: NegotiateOptions) -> Result<ClientAccess, ServiceError> {
        negotiate::negotiate(&self.shared, &self.name, &options).await
    }

    /// Gives an open connection new credentials, so that it outlives those it was opened with: a client that
    /// refreshes its authentication asks for it with its connection token. The client connects with what is returned
    /// from then on. The service refuses another user than the connection's.
    ///
    /// Part of the authentication refresh of .NET 11 (version 2026-07-01 of the REST API);
    /// [`NegotiateService::with_refresh`](super::NegotiateService::with_refresh) is the endpoint for it. Needs the
    /// role "SignalR REST API Owner" or "SignalR Service Owner", besides what [`negotiate`](Self::negotiate) needs.
    ///
    /// # Errors
    /// See [`ServiceError`]: not found for a connection that is not there, forbidden for another user.
    pub async fn refresh_authentication(
        &self,
        connection_token: &str,
        options: NegotiateOptions,
    ) -> Result<ClientAccess, ServiceError> {
        negotiate::refresh(&self.shared, &self.name, connection_token, &options).await
    }

    /// Every connection of the hub.
    #[must_use]
    pub fn all(&self) -> Clients<'_> {
        Clients { hub: self, path: Ok(String::new()) }
    }

    /// The connections of one user.
    #[must_use]
    pub fn user(&self, id: &str) -> Clients<'_> {
        Clients { hub: self, path: segment("user", id).map(|id| format!("users/{id}/")) }
    }

    /// One connection.
    #[must_use]
    pub fn connection(&self, id: &str) -> Clients<'_> {
        Clients { hub: self, path: segment("connection", id).map(|id| format!("connections/{id}/")) }
    }

    /// The connections in a group, and the group itself.
    #[must_use]
    pub fn group(&self, name: &str) -> Group<'_> {
        Group { hub: self, name: segment("group", name) }
    }

    async fn send(&self, path: &str, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        if method.is_empty() {
            return Err(ServiceError::InvalidName { what: "method", reason: "it is empty" });
        }
        let json = json(arguments).map_err(ServiceError::Arguments)?;
        let body = format!(r#"{{"Target":{},"Arguments":{json}}}"#, Value::from(method));
        self.call(Operation::Send, Method::POST, &format!("{path}:send"), Some(body)).await
    }

    async fn call(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(), ServiceError> {
        let path = format!("api/hubs/{}/{path}", segment("hub", &self.name)?);
        self.shared.rest.call(operation, method, &path, body).await
    }
}

/// The list of arguments as a JSON array.
fn json(arguments: impl Arguments) -> Result<String, SerializeError> {
    let mut writer = ArgumentWriter::new(HubProtocol::Json);
    arguments.write(&mut writer)?;
    String::from_utf8(writer.finish_without_uploads()?).map_err(SerializeError::new)
}

impl fmt::Debug for HubClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubClient")
            .field("name", &self.name)
            .field("endpoint", &self.shared.endpoint.endpoint())
            .finish()
    }
}

/// Connections that a message can be sent to.
#[derive(Debug, Clone)]
pub struct Clients<'a> {
    hub: &'a HubClient,
    path: Result<String, ServiceError>,
}

impl Clients<'_> {
    /// Calls a method of these clients. `Ok` means that the service has accepted the message; that somebody is there
    /// to receive it is not said.
    ///
    /// Needs the role "SignalR REST API Owner" or "SignalR Service Owner". Never repeated after a failure that may
    /// have come after the message was sent.
    ///
    /// ```no_run
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// hub.user("alice").send("ReceiveMessage", ("bob", "hello")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        let path = self.path.as_ref().map_err(Clone::clone)?;
        self.hub.send(path, method, arguments).await
    }
}

/// A group of connections. It exists as long as somebody is in it.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    hub: &'a HubClient,
    name: Result<String, ServiceError>,
}

impl Group<'_> {
    /// Calls a method of the clients in the group; see [`Clients::send`].
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        let name = self.name()?;
        self.hub.send(&format!("groups/{name}/"), method, arguments).await
    }

    /// Adds a connection, until it closes. One that is not there any more counts as added, as with the official SDK.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn add_connection(&self, connection_id: &str) -> Result<(), ServiceError> {
        match self.change(Method::PUT, self.connection_path(connection_id)?).await {
            Err(ServiceError::NotFound(refusal)) if refusal.error_code() == Some(NO_SUCH_CONNECTION) => {
                Ok(())
            }
            result => result,
        }
    }

    /// Removes a connection.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn remove_connection(&self, connection_id: &str) -> Result<(), ServiceError> {
        self.change(Method::DELETE, self.connection_path(connection_id)?).await
    }

    /// Adds a user: the connections there are and those to come.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn add_user(&self, user_id: &str) -> Result<(), ServiceError> {
        self.change(Method::PUT, self.user_path(user_id)?).await
    }

    /// Removes a user.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn remove_user(&self, user_id: &str) -> Result<(), ServiceError> {
        self.change(Method::DELETE, self.user_path(user_id)?).await
    }

    fn name(&self) -> Result<&str, ServiceError> {
        self.name.as_deref().map_err(Clone::clone)
    }

    fn connection_path(&self, id: &str) -> Result<String, ServiceError> {
        Ok(format!("groups/{}/connections/{}", self.name()?, segment("connection", id)?))
    }

    fn user_path(&self, id: &str) -> Result<String, ServiceError> {
        Ok(format!("users/{}/groups/{}", segment("user", id)?, self.name()?))
    }

    async fn change(&self, method: Method, path: String) -> Result<(), ServiceError> {
        self.hub.call(Operation::ManageGroup, method, &path, None).await
    }
}
