//! One hub of the service: access for clients, messages to them, groups.

use std::{collections::VecDeque, fmt, sync::Arc};

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::{
    client::{Service, Shared},
    clients::{AllClients, Several, User},
    commands::Commands,
    connection::Connection,
    endpoints::Chosen,
    error::{Operation, ServiceError},
    group::Group,
    negotiate::{self, ClientAccess, NegotiateOptions},
    payload::Payload,
    rest::{Request, segment},
    router::EndpointRouter,
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
    service: Arc<Service>,
    router: Arc<dyn EndpointRouter>,
    name: String,
    #[cfg(feature = "msgpack")]
    binary: bool,
}

impl HubClient {
    pub(super) fn new(service: Arc<Service>, name: String) -> Self {
        Self {
            router: Arc::clone(&service.router),
            service,
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
    /// "SignalR Service Owner"; the calls of the next hour do without a request. With other roles the service makes
    /// the token, if it need not say more than the user: see [`EntraStrategy`](super::EntraStrategy).
    ///
    /// Of several endpoints the client is sent to the one that the router chooses, and to the router's next choice
    /// when that one gives no access.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn negotiate(&self, options: NegotiateOptions) -> Result<ClientAccess, ServiceError> {
        let options = &options;
        let at =
            |shared: Arc<Shared>| async move { negotiate::negotiate(&shared, &self.name, options).await };
        self.service.endpoints.negotiate(&*self.router, options, at).await
    }

    /// Gives an open connection new credentials, so that it outlives those it was opened with: a client that
    /// refreshes its authentication asks for it with its connection token. The client connects with what is returned
    /// from then on. The service refuses another user than the connection's. Of several endpoints the one that has
    /// the connection does it.
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
        let Chosen { online, offline, .. } = self.service.endpoints.choose(&*self.router, "").await;
        let (mut absent, mut refused) = (None, None);
        for shared in online {
            match negotiate::refresh(&shared, &self.name, connection_token, &options).await {
                Err(error @ ServiceError::NotFound(_)) => absent = absent.or(Some(error)),
                // The connection may be at another endpoint nevertheless.
                Err(error) if error.is_of_endpoint() => refused = refused.or(Some(error)),
                answer => return answer,
            }
        }
        Err(refused.or(absent).unwrap_or(ServiceError::NoEndpointAvailable { failures: offline }))
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
        let request = &request;
        let at = |shared: Arc<Shared>| async move { shared.rest.call(request).await };
        self.service.endpoints.on_each(&*self.router, request.about(), at).await.into_result().map(drop)
    }

    /// Makes a request that is answered in JSON. Of several endpoints the one that knows what it is about answers.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, ServiceError> {
        let request = &request;
        let at = |shared: Arc<Shared>| async move { shared.rest.json(request).await };
        let answers = self.service.endpoints.on_each(&*self.router, request.about(), at).await;
        let answer = answers.into_result()?.into_iter().next();
        answer.ok_or(ServiceError::NoEndpointAvailable { failures: Vec::new() })
    }

    /// Asks whether something exists. It does not if the service says so with this error code; a 404 without it
    /// means a wrong address. What exists at one endpoint exists, whatever the others say.
    pub(super) async fn exists(&self, path: &str, absent: &str) -> Result<bool, ServiceError> {
        let request = &self.request(Operation::CheckExistence, Method::HEAD, path)?;
        let at = |shared: Arc<Shared>| async move {
            match shared.rest.call(request).await {
                Err(ServiceError::NotFound(refusal)) if refusal.error_code() == Some(absent) => Ok(false),
                answer => Ok(answer? == StatusCode::OK),
            }
        };
        let answers = self.service.endpoints.on_each(&*self.router, request.about(), at).await;
        if answers.done.contains(&true) {
            return Ok(true);
        }
        answers.into_result().map(|_| false)
    }

    pub(super) fn has_several_endpoints(&self) -> bool {
        self.service.endpoints.all().len() > 1
    }

    /// The endpoints to ask one after the other, from the place that a continuation token stands for, and the token
    /// for the first of them. With several endpoints ours are the endpoint's address, a space, and its own token.
    pub(super) async fn endpoints_from(
        &self,
        path: &str,
        token: Option<String>,
    ) -> Result<(VecDeque<Arc<Shared>>, Option<String>), ServiceError> {
        let Chosen { online, offline, alone } = self.service.endpoints.choose(&*self.router, path).await;
        let mut left = VecDeque::from(online);
        if left.is_empty() {
            return Err(ServiceError::NoEndpointAvailable { failures: offline });
        }
        if alone {
            return Ok((left, token));
        }
        let Some(token) = token else { return Ok((left, None)) };
        let invalid = ServiceError::InvalidName {
            what: "continuation token",
            reason: "it is of an endpoint that is offline or that this client does not have",
        };
        let Some((address, token)) = token.split_once(' ') else { return Err(invalid) };
        while left.front().is_some_and(|shared| shared.endpoint.endpoint() != address) {
            left.pop_front();
        }
        let token = (!token.is_empty()).then(|| token.to_owned());
        if left.is_empty() { Err(invalid) } else { Ok((left, token)) }
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
            .field("endpoints", &self.service.endpoints)
            .finish_non_exhaustive()
    }
}
