//! One connection: messages, calls with a result, streams, and its end.

use reqwest::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    arguments::Arguments,
    core::Cause,
    service::{
        error::{Operation, ServiceError},
        hub::requests::{Hub, with_reason},
        rest::{
            payload::Payload,
            request::Request,
            scope::{Name, Scope},
        },
    },
};

/// The service's error code for a connection that does not exist.
const NO_SUCH_CONNECTION: &str = "Warning.Connection.NotExisted";
const MAX_STREAM_ID: usize = 100;

/// One connection of a client.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct Connection<'a> {
    pub(super) hub: &'a Hub,
    pub(super) scope: Result<Scope, ServiceError>,
}

impl<'a> Connection<'a> {
    /// Calls a method of the client; see [`AllClients::send`](crate::service::hub::AllClients::send).
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), ServiceError> {
        self.hub.send(self.scope()?, &[], method, arguments).await
    }

    /// Calls a method of the client and waits for its result, for as long as a request may take
    /// ([`ServiceClientBuilder::timeout`](crate::service::ServiceClientBuilder::timeout)). A client that has no result for the
    /// method answers with an error.
    ///
    /// ```no_run
    /// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
    /// let answer: u32 = hub.connection("connection-1").invoke("Add", (1, 2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ServiceError`]. An error of the client is in the [message](crate::service::error::Refusal::message) of the service's.
    pub async fn invoke<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl Arguments,
    ) -> Result<R, ServiceError> {
        #[derive(Deserialize)]
        struct Answer {
            result: Option<Box<RawValue>>,
            protocol: Option<String>,
        }
        let request = self.hub.request(Operation::Invoke, Method::POST, self.scope()?, ":invoke")?;
        let answer: Answer = self.hub.json(request.payload(Payload::json_call(method, arguments)?)?).await?;
        // The service names the protocol only when it could not write the result as JSON.
        if answer.protocol.is_some_and(|protocol| !matches!(&*protocol, "" | "json" | "messagepack")) {
            return Err(ServiceError::InvalidResponse {
                operation: Operation::Invoke,
                reason: "the result is in a protocol that is neither JSON nor MessagePack",
            });
        }
        let result = answer.result.as_deref().map_or("null", RawValue::get);
        serde_json::from_str(result).map_err(|error| ServiceError::Result(Cause::new(error)))
    }

    /// A stream that the client reads, by its id.
    pub fn stream(&self, stream_id: &str) -> ClientStream<'a> {
        let id = match stream_id.chars().count() {
            0..=MAX_STREAM_ID => Name::new("stream", stream_id),
            _ => {
                Err(ServiceError::InvalidName { what: "stream", reason: "it is longer than 100 characters" })
            }
        };
        let stream = self.scope().and_then(|scope| Ok((scope.clone(), id?)));
        ClientStream { hub: self.hub, stream }
    }

    /// Whether the connection is there.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn exists(&self) -> Result<bool, ServiceError> {
        self.hub.exists(self.scope()?, NO_SUCH_CONNECTION).await
    }

    /// Closes the connection. The reason is the error text of the Close message that it gets. One that is not there
    /// any more counts as closed, as with the official SDK.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn close(&self, reason: Option<&str>) -> Result<(), ServiceError> {
        let request = self.hub.request(Operation::CloseConnections, Method::DELETE, self.scope()?, "")?;
        match self.hub.done(with_reason(request, reason)).await {
            Err(ServiceError::NotFound(refusal)) if refusal.has_error_code(NO_SUCH_CONNECTION) => Ok(()),
            result => result,
        }
    }

    /// Removes the connection from all groups.
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

/// A stream that a client reads: the answer to a streaming invocation, whose invocation id is the stream's id.
///
/// ```no_run
/// # async fn example(hub: hubwire::service::HubClient) -> Result<(), hubwire::service::ServiceError> {
/// let stream = hub.connection("connection-1").stream("7");
/// for tick in 1..=3 {
///     stream.send(&tick).await?;
/// }
/// stream.complete(None).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens until a method is called"]
pub struct ClientStream<'a> {
    hub: &'a Hub,
    /// The connection, and the stream's id.
    stream: Result<(Scope, Name), ServiceError>,
}

impl ClientStream<'_> {
    /// Sends an item. `Ok` means that the service has accepted it. Wait for it before sending the next one, or their
    /// order is not certain.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send(&self, item: &(impl Serialize + ?Sized)) -> Result<(), ServiceError> {
        self.item(item, false).await
    }

    /// Sends the last item, with which the stream ends.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn send_last(&self, item: &(impl Serialize + ?Sized)) -> Result<(), ServiceError> {
        self.item(item, true).await
    }

    /// Ends the stream, with an error if a reason is given.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn complete(&self, reason: Option<&str>) -> Result<(), ServiceError> {
        self.hub.done(with_reason(self.request(":complete")?, reason)).await
    }

    async fn item(&self, item: &(impl Serialize + ?Sized), last: bool) -> Result<(), ServiceError> {
        let request = self.request(":send")?;
        let request = if last { request.query("completed", "true") } else { request };
        self.hub.done(request.payload(Payload::json(item)?)?).await
    }

    fn request(&self, action: &str) -> Result<Request, ServiceError> {
        let (connection, id) = self.stream.as_ref().map_err(Clone::clone)?;
        let action = format!("streams/{}/{action}", id.encoded());
        self.hub.request(Operation::Stream, Method::POST, connection, &action)
    }
}
