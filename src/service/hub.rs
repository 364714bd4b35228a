//! One hub of the service: access for clients, messages to them, groups.

use std::{fmt, sync::Arc};

use reqwest::Method;
use serde_json::Value;

use super::{
    client::{Service, Shared},
    error::{Operation, ServiceError},
    negotiate::{ClientAccess, NegotiateOptions, client_token, client_url},
    rest::segment,
    router::EndpointRouter,
    unix_now,
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
    service: Arc<Service>,
    router: Arc<dyn EndpointRouter>,
    name: String,
}

impl HubClient {
    pub(super) fn new(service: Arc<Service>, name: String) -> Self {
        let router = Arc::clone(&service.router);
        Self { service, router, name }
    }

    /// Chooses among several endpoints in another way than the client's other hubs do, such as for a part of the
    /// endpoints only.
    #[must_use]
    pub fn with_router(self, router: impl EndpointRouter + 'static) -> Self {
        Self { router: Arc::new(router), ..self }
    }

    /// The hub's name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a client connects to and what it connects with: the answer of a negotiate endpoint.
    ///
    /// With Entra the first call exchanges the token for an access key, which needs the role "SignalR App Server" or
    /// "SignalR Service Owner"; the calls of the next hour do without a request.
    ///
    /// Of several endpoints the client is sent to the one that the router chooses, and to the router's next choice
    /// when that one gives no access.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn negotiate(&self, options: NegotiateOptions) -> Result<ClientAccess, ServiceError> {
        let options = &options;
        let at = |shared: Arc<Shared>| async move { self.negotiate_at(&shared, options).await };
        self.service.endpoints.negotiate(&*self.router, options, at).await
    }

    async fn negotiate_at(
        &self,
        shared: &Shared,
        options: &NegotiateOptions,
    ) -> Result<ClientAccess, ServiceError> {
        let Shared { endpoint, application, keys, .. } = shared;
        let key = keys.current().await?;
        let hub = match application {
            Some(application) => format!("{application}_{}", self.name),
            None => self.name.clone(),
        };
        let audience = format!("{}client/?hub={hub}", endpoint.audience_base());
        Ok(ClientAccess {
            url: client_url(&endpoint.client_base(), &hub, options),
            access_token: client_token(&key, &audience, options, unix_now())?,
        })
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
        let (full, method, body) =
            (&format!("api/hubs/{}/{path}", segment("hub", &self.name)?), &method, &body);
        let at = |shared: Arc<Shared>| async move {
            shared.rest.call(operation, method.clone(), full, body.clone()).await
        };
        self.service.endpoints.on_each(&*self.router, path, at).await.map(drop)
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
            .field("endpoints", &self.service.endpoints)
            .finish_non_exhaustive()
    }
}

/// Connections that a message can be sent to.
#[derive(Debug, Clone)]
pub struct Clients<'a> {
    hub: &'a HubClient,
    path: Result<String, ServiceError>,
}

impl Clients<'_> {
    /// Calls a method of these clients. `Ok` means that the service has accepted the message, at every endpoint that
    /// is online; that somebody is there to receive it is not said.
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
