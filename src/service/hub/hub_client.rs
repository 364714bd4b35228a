//! One hub of the service: access for clients, messages to them, groups.

use std::sync::Arc;

use reqwest::Method;

use crate::service::{
    endpoints::{
        connected::ConnectedEndpoint,
        list::{Chosen, Endpoints},
        router::EndpointRouter,
    },
    error::{Operation, ServiceError},
    hub::{
        clients::{AllClients, Several, User},
        commands::Commands,
        connection::Connection,
        group::Group,
        negotiation,
        requests::Hub,
    },
    negotiate::{
        options::{ClientAccess, NegotiateOptions},
        refresh::{ConnectionClaims, RefreshOptions, RefreshedAccess},
    },
    rest::{
        request::Request,
        scope::{Name, Scope},
    },
};

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
#[derive(Debug, Clone)]
pub struct HubClient(Hub);

impl HubClient {
    pub(in crate::service) fn new(
        endpoints: Arc<Endpoints>,
        router: Arc<dyn EndpointRouter>,
        name: String,
    ) -> Self {
        Self(Hub {
            endpoints,
            router,
            name,
            #[cfg(feature = "msgpack")]
            binary: false,
        })
    }

    /// Encodes messages here, for JSON and for MessagePack clients. Without it messages are sent as JSON, which the
    /// service translates for clients of MessagePack: what JSON cannot say, such as bytes or timestamps, is lost. The
    /// price is a larger request, of which the service takes up to 1 MB.
    ///
    /// It is for [`send`](AllClients::send); invocations, streams and commands are always in JSON.
    ///
    /// ```no_run
    /// use hubwire::Binary;
    ///
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// let hub = hub.message_pack();
    /// hub.all().send("ReceivePicture", (Binary(vec![0x89, 0x50]),)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "msgpack")]
    #[must_use]
    pub fn message_pack(self) -> Self {
        Self(Hub { binary: true, ..self.0 })
    }

    /// Chooses among several endpoints in another way than the client's other hubs do, such as for a part of the
    /// endpoints only.
    #[must_use]
    pub fn router(self, router: impl EndpointRouter + 'static) -> Self {
        Self(Hub { router: Arc::new(router), ..self.0 })
    }

    /// The hub's name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where a client connects to and what it connects with: the answer of a negotiate endpoint.
    ///
    /// With Entra the first call exchanges the token for an access key, which needs the role "SignalR App Server" or
    /// "SignalR Service Owner"; the calls of the next hour do without a request. With other roles the service makes
    /// the token, if it need not say more than the user: see [`EntraStrategy`](crate::service::negotiate::EntraStrategy).
    ///
    /// Of several endpoints the client is sent to the one that the router chooses, and to the router's next choice
    /// when that one gives no access.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn negotiate(&self, options: NegotiateOptions) -> Result<ClientAccess, ServiceError> {
        let options = &options;
        let at = |shared: Arc<ConnectedEndpoint>| async move {
            negotiation::negotiate(&shared, &self.0.name, options).await
        };
        self.0.endpoints.negotiate(&*self.0.router, options, at).await
    }

    /// Gives an open connection new credentials, so that it outlives those it was opened with: a client that
    /// refreshes its authentication asks for it with its connection token. The client connects with the token that is
    /// returned from then on; it is made of the claims that the service then has. Of several endpoints the one that has
    /// the connection does it.
    ///
    /// [`NegotiateOptions`] replace the connection's claims, and [`RefreshOptions`] keep them. The service refuses
    /// another user than the connection's.
    ///
    /// Part of the authentication refresh of .NET 11 (version 2026-07-01 of the REST API);
    /// [`NegotiateService::authentication_refresh`](crate::service::NegotiateService::authentication_refresh) is the endpoint for it. Needs the
    /// role "SignalR REST API Owner" or "SignalR Service Owner", besides what [`negotiate`](Self::negotiate) needs.
    ///
    /// # Errors
    /// See [`ServiceError`]: not found for a connection that is not there, forbidden for another user,
    /// [`AuthenticationExpired`](ServiceError::AuthenticationExpired) for an authentication that has ended.
    pub async fn refresh_authentication(
        &self,
        connection_token: &str,
        options: impl Into<RefreshOptions>,
    ) -> Result<RefreshedAccess, ServiceError> {
        let options = &options.into();
        let at = |shared: Arc<ConnectedEndpoint>| async move {
            negotiation::refresh(&shared, &self.0.name, connection_token, options).await
        };
        self.at_owner(connection_token, at).await
    }

    /// The claims of an open connection, by its connection token, such as for the decision whether it may be
    /// [refreshed](Self::refresh_authentication). Of several endpoints the one that has the connection tells.
    ///
    /// Needs the role "SignalR REST API Reader", "SignalR REST API Owner" or "SignalR Service Owner".
    ///
    /// # Errors
    /// See [`ServiceError`]: not found for a connection that is not there.
    pub async fn connection_claims(&self, connection_token: &str) -> Result<ConnectionClaims, ServiceError> {
        let at = |shared: Arc<ConnectedEndpoint>| async move {
            negotiation::connection_claims(&shared, &self.0.name, connection_token).await
        };
        self.at_owner(connection_token, at).await
    }

    /// Asks one endpoint after the other, until one has the connection.
    async fn at_owner<T, F: Future<Output = Result<T, ServiceError>>>(
        &self,
        connection_token: &str,
        ask: impl Fn(Arc<ConnectedEndpoint>) -> F,
    ) -> Result<T, ServiceError> {
        if connection_token.is_empty() {
            return Err(ServiceError::InvalidName { what: "connection token", reason: "it is empty" });
        }
        let Chosen { online, offline, .. } = self.0.endpoints.choose(&*self.0.router, &Scope::Hub).await;
        let (mut absent, mut refused) = (None, None);
        for shared in online {
            match ask(shared).await.map_err(|error| error.without(connection_token)) {
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
        AllClients { hub: &self.0, excluded: Vec::new() }
    }

    /// One user, with all connections.
    pub fn user(&self, id: &str) -> User<'_> {
        User { hub: &self.0, scope: Scope::user(id) }
    }

    /// Several users, to send them a message.
    pub fn users(&self, ids: impl IntoIterator<Item: AsRef<str>>) -> Several<'_> {
        Several::new(&self.0, ids, Scope::user)
    }

    /// One connection, by its connection id.
    pub fn connection(&self, id: &str) -> Connection<'_> {
        Connection { hub: &self.0, scope: Scope::connection(id) }
    }

    /// Several connections, to send them a message.
    pub fn connections(&self, ids: impl IntoIterator<Item: AsRef<str>>) -> Several<'_> {
        Several::new(&self.0, ids, Scope::connection)
    }

    /// The connections in a group, and the group itself.
    pub fn group(&self, name: &str) -> Group<'_> {
        Group { hub: &self.0, name: Name::new("group", name), excluded: Vec::new() }
    }

    /// Several groups, to send them a message. A connection that is in two of them gets it twice.
    pub fn groups(&self, names: impl IntoIterator<Item: AsRef<str>>) -> Several<'_> {
        Several::new(&self.0, names, Scope::group)
    }

    /// Carries out commands for every connection that a filter matches: an
    /// [OData expression](https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter) over `userId`,
    /// `connectionId` and `groups`. Values from outside need [`filter_text`](crate::service::hub::filter_text) around them.
    /// A filter is a part of the URL, of which the service takes 12 K.
    ///
    /// ```no_run
    /// use hubwire::service::hub::{Commands, filter_text};
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
    /// See [`ServiceError`]: [`EmptyFilter`](ServiceError::EmptyFilter) for a filter without text, which would match
    /// everyone, [`ParameterTooLong`](ServiceError::ParameterTooLong) for a long one. [`all`](Self::all) reaches every client.
    pub async fn execute(&self, filter: &str, commands: Commands) -> Result<(), ServiceError> {
        if filter.trim().is_empty() {
            return Err(ServiceError::EmptyFilter);
        }
        let request = Request::to_prefixed_hub(Operation::Execute, Method::POST, self.name(), ":execute")?;
        let request = request.query("filter", filter);
        self.0.done(request.payload(commands.into_payload()?)?).await
    }
}
