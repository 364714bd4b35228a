//! One hub of the service: access for clients, messages to them, groups.

use std::{fmt, sync::Arc};

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::{
    client::Shared,
    clients::{AllClients, Several, User},
    commands::Commands,
    connection::Connection,
    error::{Operation, ServiceError},
    group::Group,
    negotiate::{ClientAccess, NegotiateOptions, client_token, client_url},
    payload::Payload,
    rest::{Request, segment},
    unix_now,
};
use crate::arguments::Arguments;

/// One hub. Cheap to clone.
///
/// Messages and everything else go by the REST API, which needs the role "SignalR REST API Owner" or "SignalR Service
/// Owner", for questions also "SignalR REST API Reader".
///
/// ```no_run
/// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
/// hub.all().excluding(["connection-1"]).send("ReceiveMessage", ("system", "hello")).await?;
/// hub.users(["alice", "bob"]).send("ReceiveMessage", ("system", "you two")).await?;
/// hub.group("admins").add_user("alice").await?;
/// if hub.connection("connection-1").exists().await? {
///     let name: String = hub.connection("connection-1").invoke("AskName", ()).await?;
///     hub.connection("connection-1").close(Some("that was all")).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HubClient {
    shared: Arc<Shared>,
    name: String,
    #[cfg(feature = "msgpack")]
    binary: bool,
}

impl HubClient {
    pub(super) fn new(shared: Arc<Shared>, name: String) -> Self {
        Self {
            shared,
            name,
            #[cfg(feature = "msgpack")]
            binary: false,
        }
    }

    /// Encodes messages here, for JSON and for MessagePack clients. Without it messages are sent as JSON, which the
    /// service translates for clients of MessagePack: what JSON can't say, such as bytes or timestamps, is lost. The
    /// price is a larger request, of which the service takes up to 1 MB.
    ///
    /// It is for [`send`](AllClients::send); invocations, streams and commands are always in JSON.
    ///
    /// ```no_run
    /// use hubwire::Binary;
    ///
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// let hub = hub.with_messagepack();
    /// hub.all().send("ReceivePicture", (Binary(vec![0x89, 0x50]),)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "msgpack")]
    #[must_use]
    pub fn with_messagepack(self) -> Self {
        Self { binary: true, ..self }
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
    /// # Errors
    /// See [`ServiceError`].
    pub async fn negotiate(&self, options: NegotiateOptions) -> Result<ClientAccess, ServiceError> {
        let Shared { endpoint, application, keys, .. } = &*self.shared;
        let key = keys.current().await?;
        let hub = match application {
            Some(application) => format!("{application}_{}", self.name),
            None => self.name.clone(),
        };
        let audience = format!("{}client/?hub={hub}", endpoint.audience_base());
        Ok(ClientAccess {
            url: client_url(&endpoint.client_base(), &hub, &options),
            access_token: client_token(&key, &audience, &options, unix_now())?,
        })
    }

    /// Every connection of the hub.
    pub fn all(&self) -> AllClients<'_> {
        AllClients { hub: self, excluded: Vec::new() }
    }

    /// One user, with all connections.
    pub fn user(&self, id: &str) -> User<'_> {
        User { hub: self, path: segment("user", id).map(|id| format!("users/{id}")) }
    }

    /// Several users, to send them a message.
    pub fn users(&self, ids: impl IntoIterator<Item: AsRef<str>>) -> Several<'_> {
        Several::new(self, "user", "users", ids)
    }

    /// One connection, by its connection id.
    pub fn connection(&self, id: &str) -> Connection<'_> {
        Connection { hub: self, path: segment("connection", id).map(|id| format!("connections/{id}")) }
    }

    /// Several connections, to send them a message.
    pub fn connections(&self, ids: impl IntoIterator<Item: AsRef<str>>) -> Several<'_> {
        Several::new(self, "connection", "connections", ids)
    }

    /// The connections in a group, and the group itself.
    pub fn group(&self, name: &str) -> Group<'_> {
        Group { hub: self, name: segment("group", name), excluded: Vec::new() }
    }

    /// Several groups, to send them a message. Who is in two of them gets it twice.
    pub fn groups(&self, names: impl IntoIterator<Item: AsRef<str>>) -> Several<'_> {
        Several::new(self, "group", "groups", names)
    }

    /// Carries out commands for every connection that a filter matches: an
    /// [OData expression](https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter) over `userId`,
    /// `connectionId` and `groups`. Values from outside need [`filter_text`](super::filter_text) around them.
    ///
    /// ```no_run
    /// use hubwire::service::{Commands, filter_text};
    ///
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// let filter = format!("userId eq {} and not ('muted' in groups)", filter_text("o'brien"));
    /// let commands = Commands::new().add_to_group("meeting").send("MeetingStarted", ("room 7",));
    /// hub.execute(&filter, commands).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn execute(&self, filter: &str, commands: Commands) -> Result<(), ServiceError> {
        let request = self.request(Operation::Execute, Method::POST, ":execute")?.query("filter", filter);
        self.done(request.payload(commands.into_payload()?)).await
    }

    /// A request to something of this hub. `path` is encoded.
    pub(super) fn request(
        &self,
        operation: Operation,
        method: Method,
        path: impl fmt::Display,
    ) -> Result<Request, ServiceError> {
        let path = format!("api/hubs/{}/{path}", segment("hub", &self.name)?);
        Ok(Request::new(operation, method, path))
    }

    /// Makes a request that has only to be accepted.
    pub(super) async fn done(&self, request: Request) -> Result<(), ServiceError> {
        self.shared.rest.call(&request).await.map(|_| ())
    }

    /// Makes a request that is answered in JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, ServiceError> {
        self.shared.rest.json(&request).await
    }

    /// Asks whether something exists. It does not if the service says so with this error code; a 404 without it
    /// means a wrong address.
    pub(super) async fn exists(&self, path: &str, absent: &str) -> Result<bool, ServiceError> {
        let request = self.request(Operation::CheckExistence, Method::HEAD, path)?;
        match self.shared.rest.call(&request).await {
            Err(ServiceError::NotFound(refusal)) if refusal.error_code() == Some(absent) => Ok(false),
            answer => Ok(answer? == StatusCode::OK),
        }
    }

    pub(super) fn message(&self, method: &str, arguments: impl Arguments) -> Result<Payload, ServiceError> {
        #[cfg(feature = "msgpack")]
        if self.binary {
            return Payload::binary_call(method, arguments);
        }
        Payload::json_call(method, arguments)
    }

    /// Sends a message; `path` ends in a slash or is empty.
    pub(super) async fn send(
        &self,
        path: &str,
        excluded: &[String],
        method: &str,
        arguments: impl Arguments,
    ) -> Result<(), ServiceError> {
        let payload = self.message(method, arguments)?;
        let request = self.request(Operation::Send, Method::POST, format_args!("{path}:send"))?;
        self.done(request.queries("excluded", excluded).payload(payload)).await
    }

    /// Closes many connections; `path` ends in a slash or is empty.
    pub(super) async fn close(
        &self,
        path: &str,
        excluded: &[String],
        reason: Option<&str>,
    ) -> Result<(), ServiceError> {
        let path = format_args!("{path}:closeConnections");
        let request = self.request(Operation::CloseConnections, Method::POST, path)?;
        let request = request.queries("excluded", excluded);
        self.done(with_reason(request, reason)).await
    }
}

pub(super) fn with_reason(request: Request, reason: Option<&str>) -> Request {
    match reason {
        Some(reason) => request.query("reason", reason),
        None => request,
    }
}

impl fmt::Debug for HubClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubClient")
            .field("name", &self.name)
            .field("endpoint", &self.shared.endpoint.endpoint())
            .finish()
    }
}
