//! Requests to one hub, at one endpoint or at several.

use std::{collections::VecDeque, fmt, sync::Arc};

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::{
    arguments::Arguments,
    service::{
        endpoints::{
            connected::ConnectedEndpoint,
            list::{Chosen, Endpoints},
            router::EndpointRouter,
        },
        error::{Operation, ServiceError},
        rest::{payload::Payload, request::Request, scope::Scope},
    },
};

/// A hub and the endpoints that it is at.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) router: Arc<dyn EndpointRouter>,
    /// In lower case.
    pub(super) name: String,
    /// Whether messages are sent for MessagePack clients too.
    #[cfg(feature = "msgpack")]
    pub(super) binary: bool,
}

impl Hub {
    /// A request to something of this hub.
    pub(super) fn request(
        &self,
        operation: Operation,
        method: Method,
        scope: &Scope,
        action: &str,
    ) -> Result<Request, ServiceError> {
        Request::to_hub(operation, method, &self.name, scope.clone(), action)
    }

    /// Makes a request that has only to be accepted.
    pub(super) async fn done(&self, request: Request) -> Result<(), ServiceError> {
        let request = &request;
        let at = |shared: Arc<ConnectedEndpoint>| async move { shared.rest.call(request).await };
        self.endpoints.on_each(&*self.router, request.scope(), at).await.into_result().map(drop)
    }

    /// Makes a request that is answered in JSON. Of several endpoints the one that knows what it is about answers.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, ServiceError> {
        let request = &request;
        let at = |shared: Arc<ConnectedEndpoint>| async move { shared.rest.json(request).await };
        let answers = self.endpoints.on_each(&*self.router, request.scope(), at).await;
        let answer = answers.into_result()?.into_iter().next();
        answer.ok_or(ServiceError::NoEndpointAvailable { failures: Vec::new() })
    }

    /// Asks whether something exists. It does not if the service says so with this error code; a 404 without it
    /// means a wrong address. What exists at one endpoint exists, whatever the others say.
    pub(super) async fn exists(&self, scope: &Scope, absent: &str) -> Result<bool, ServiceError> {
        let request = &self.request(Operation::CheckExistence, Method::HEAD, scope, "")?;
        let at = |shared: Arc<ConnectedEndpoint>| async move {
            match shared.rest.call(request).await {
                Err(ServiceError::NotFound(refusal)) if refusal.has_error_code(absent) => Ok(false),
                answer => Ok(answer? == StatusCode::OK),
            }
        };
        let answers = self.endpoints.on_each(&*self.router, request.scope(), at).await;
        if answers.done.contains(&true) {
            return Ok(true);
        }
        answers.into_result().map(|_| false)
    }

    pub(super) fn has_several_endpoints(&self) -> bool {
        self.endpoints.all().len() > 1
    }

    /// The endpoints to ask one after the other, from the place that a continuation token stands for, and the token
    /// for the first of them. With several endpoints ours are the endpoint's address, a space, and its own token.
    pub(super) async fn endpoints_from(
        &self,
        scope: &Scope,
        token: Option<String>,
    ) -> Result<(VecDeque<Arc<ConnectedEndpoint>>, Option<String>), ServiceError> {
        let Chosen { online, offline, alone } = self.endpoints.choose(&*self.router, scope).await;
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

    /// Sends a message.
    pub(super) async fn send(
        &self,
        scope: &Scope,
        excluded: &[String],
        method: &str,
        arguments: impl Arguments,
    ) -> Result<(), ServiceError> {
        let payload = self.message(method, arguments)?;
        let request = self.request(Operation::Send, Method::POST, scope, ":send")?;
        self.done(request.queries("excluded", excluded).payload(payload)?).await
    }

    /// Closes many connections.
    pub(super) async fn close(
        &self,
        scope: &Scope,
        excluded: &[String],
        reason: Option<&str>,
    ) -> Result<(), ServiceError> {
        let request = self.request(Operation::CloseConnections, Method::POST, scope, ":closeConnections")?;
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

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("name", &self.name)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
