//! Groups: messages, members, existence.

use std::time::Duration;

use reqwest::Method;

use crate::{
    arguments::Arguments,
    service::{
        error::{Operation, ServiceError},
        hub::{group_connections::GroupConnections, requests::Hub},
        rest::scope::{Name, Scope},
    },
};

/// The service's error codes for what does not exist.
const NO_SUCH_GROUP: &str = "Warning.Group.NotExisted";
const NOT_IN_GROUP: &str = "Info.User.NotInGroup";
/// When a connection is added to a group.
const NO_SUCH_CONNECTION: &str = "Error.Connection.NotExisted";

/// The service takes seconds as a number of 32 bits.
const MAX_TTL: u64 = i32::MAX as u64;

/// A group of connections. It exists as long as a connection is in it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct Group<'a> {
    pub(super) hub: &'a Hub,
    pub(super) name: Result<Name, ServiceError>,
    pub(super) excluded: Vec<String>,
}

impl Group<'_> {
    /// Leaves these connections out of a [`send`](Self::send) or a [`close_connections`](Self::close_connections), by
    /// connection id. There is room for [a few hundred](crate::service::hub::AllClients::excluding).
    pub fn excluding(mut self, connection_ids: impl IntoIterator<Item: Into<String>>) -> Self {
        self.excluded.extend(connection_ids.into_iter().map(Into::into));
        self
    }

    /// Calls a method of the clients in the group; see [`AllClients::send`](crate::service::hub::AllClients::send).
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        self.hub.send(&self.scope()?, &self.excluded, method, arguments).await
    }

    /// Closes the connections in the group. The reason is the error text of the Close message that they get.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn close_connections(&self, reason: Option<&str>) -> Result<(), ServiceError> {
        self.hub.close(&self.scope()?, &self.excluded, reason).await
    }

    /// Whether a connection is in the group.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn exists(&self) -> Result<bool, ServiceError> {
        self.hub.exists(&self.scope()?, NO_SUCH_GROUP).await
    }

    /// The connections in the group, as a stream that asks for a page at a time.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt;
    ///
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// let mut connections = hub.group("admins").connections();
    /// while let Some(connection) = connections.try_next().await? {
    ///     println!("{} of {:?}", connection.connection_id, connection.user_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn connections(&self) -> GroupConnections {
        GroupConnections::new(self.hub.clone(), self.scope())
    }

    /// Adds a connection, until it closes. One that is not there any more counts as added, as with the official SDK.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn add_connection(&self, connection_id: &str) -> Result<(), ServiceError> {
        match self.change(Method::PUT, self.connection(connection_id)?).await {
            Err(ServiceError::NotFound(refusal)) if refusal.has_error_code(NO_SUCH_CONNECTION) => Ok(()),
            result => result,
        }
    }

    /// Removes a connection.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn remove_connection(&self, connection_id: &str) -> Result<(), ServiceError> {
        self.change(Method::DELETE, self.connection(connection_id)?).await
    }

    /// Adds a user, with present and future connections, for up to a year. The service keeps the latest 100
    /// groups of a user that were added so.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn add_user(&self, user_id: &str) -> Result<(), ServiceError> {
        self.change(Method::PUT, self.user(user_id)?).await
    }

    /// Adds a user, with present connections and those that open within `ttl`, in whole seconds. With zero only
    /// the present ones.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn add_user_for(&self, user_id: &str, ttl: Duration) -> Result<(), ServiceError> {
        let request = self.hub.request(Operation::ManageGroup, Method::PUT, &self.user(user_id)?, "")?;
        // Less than a second must not become zero.
        let seconds = ttl.as_secs() + u64::from(ttl.as_secs() == 0 && !ttl.is_zero());
        self.hub.done(request.query("ttl", &seconds.min(MAX_TTL).to_string())).await
    }

    /// Removes a user, with present and future connections.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn remove_user(&self, user_id: &str) -> Result<(), ServiceError> {
        self.change(Method::DELETE, self.user(user_id)?).await
    }

    /// Whether a user is in the group.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn contains_user(&self, user_id: &str) -> Result<bool, ServiceError> {
        self.hub.exists(&self.user(user_id)?, NOT_IN_GROUP).await
    }

    fn name(&self) -> Result<Name, ServiceError> {
        self.name.clone()
    }

    fn scope(&self) -> Result<Scope, ServiceError> {
        Ok(Scope::Group(self.name()?))
    }

    fn connection(&self, id: &str) -> Result<Scope, ServiceError> {
        Ok(Scope::ConnectionInGroup { group: self.name()?, connection: Name::new("connection", id)? })
    }

    fn user(&self, id: &str) -> Result<Scope, ServiceError> {
        Ok(Scope::UserInGroup { user: Name::new("user", id)?, group: self.name()? })
    }

    async fn change(&self, method: Method, scope: Scope) -> Result<(), ServiceError> {
        self.hub.done(self.hub.request(Operation::ManageGroup, method, &scope, "")?).await
    }
}
