//! Clients in the hub's own program: the real protocol without a socket.

use std::sync::Arc;

use axum::response::IntoResponse as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    dispatcher::Guest,
    hub_server::HubServer,
    identity::{Identity, Rejection},
    refresh,
    service::{admission, session},
    state::Hub,
};
use crate::{
    ConnectionError, HubConnection, HubConnectionBuilder, HubUrl, TransportError,
    client::InMemory,
    core::http::Head,
    platform::{BoxFuture, HttpResponse, Pipe},
    server::{endpoint, query::Query},
};

impl HubServer {
    /// Connects a client within the program, as [`in_memory`](Self::in_memory) describes it: for tests of hubs.
    ///
    /// ```
    /// use hubwire::server::{Caller, HubServer, Identity};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = HubServer::builder()
    ///     .on("WhoAmI", |caller: Caller| async move { Ok(caller.user_id().map(str::to_owned)) })
    ///     .build();
    ///
    /// let ann = chat.connect_in_memory(Identity::user("ann")).await?;
    /// assert_eq!(ann.invoke::<String>("WhoAmI", ()).await?, "ann");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectionError`], as for a hub on the network.
    pub async fn connect_in_memory(&self, identity: Identity) -> Result<HubConnection, ConnectionError> {
        self.in_memory(identity).connect().await
    }

    /// A client within the program, to be set up as any other: with handlers, with a protocol, with automatic or stateful
    /// reconnect. It negotiates, shakes hands, calls and is called as over the network, in the same bytes, but there is no
    /// socket, no HTTP and no port. The hub takes it for who it is said to be: `authenticate` is not asked.
    ///
    /// ```
    /// use hubwire::{HubProtocol, server::{Caller, HubServer, Identity}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = HubServer::builder()
    ///     .on("Say", |caller: Caller, text: String| async move {
    ///         Ok(caller.clients().all().send("Said", (caller.user_id(), text)).await?)
    ///     })
    ///     .build();
    ///
    /// let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    /// let bob = chat
    ///     .in_memory(Identity::user("bob"))
    ///     .with_protocol(HubProtocol::MessagePack)
    ///     .on("Said", move |who: String, what: String| told.send((who, what)).unwrap_or_default())
    ///     .connect()
    ///     .await?;
    /// let ann = chat.connect_in_memory(Identity::user("ann")).await?;
    /// ann.invoke::<()>("Say", ("hello",)).await?;
    /// assert_eq!(heard.recv().await, Some(("ann".to_owned(), "hello".to_owned())));
    /// # bob.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory(&self, identity: Identity) -> HubConnectionBuilder {
        HubConnectionBuilder::in_memory(Arc::new(Door { hub: self.hub.clone(), identity }))
    }
}

/// The way in for a client that needs no network.
struct Door {
    hub: Arc<Hub>,
    identity: Identity,
}

impl InMemory for Door {
    fn post(
        &self,
        url: HubUrl,
        headers: Vec<(String, String)>,
    ) -> BoxFuture<Result<HttpResponse, TransportError>> {
        let (hub, identity) = (self.hub.clone(), self.identity.clone());
        Box::pin(async move {
            let (client, headers) = (admission(&hub, &identity), headers_of(headers));
            let text = url.to_text();
            let query = text.split_once('?').map(|(_, query)| query);
            let answer = if let Err(rejection) = hub.rules.policies.admit(&identity, &headers, query).await {
                rejection.into_response()
            } else if url.path().ends_with("/negotiate") {
                match endpoint::negotiate(&hub.room, client, &query_of(&url)) {
                    Ok(answer) => answer.into_response(),
                    Err(refusal) => Rejection::from(refusal).into_response(),
                }
            } else {
                refresh::answer(&hub, &Method::POST, &headers, identity).await
            };
            let status = answer.status().as_u16();
            // It is in memory already.
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
            Ok(HttpResponse { head: Head::new(status, |_| None), body: body.into() })
        })
    }

    fn open(&self, url: HubUrl, headers: Vec<(String, String)>) -> BoxFuture<Result<Pipe, TransportError>> {
        let client = admission(&self.hub, &self.identity);
        let opened = endpoint::open_pipe(&self.hub.room, client, &query_of(&url), |admitted| {
            let guest = Guest {
                connection_id: admitted.negotiation.connection_id.clone(),
                identity: self.identity.clone(),
                transport: None,
                is_stateful: admitted.negotiation.is_stateful,
                headers: headers_of(headers),
                query: query_of(&url),
                slot: admitted.slot.clone(),
            };
            session(&self.hub, admitted, guest)
        });
        let refused = |error: endpoint::Refusal| TransportError {
            status: Some(error.status().as_u16()),
            ..TransportError::new(error.to_string())
        };
        Box::pin(std::future::ready(opened.map_err(refused)))
    }
}

fn query_of(url: &HubUrl) -> Query {
    let text = url.to_text();
    Query::parse(text.split_once('?').map(|(_, query)| query))
}

fn headers_of(list: Vec<(String, String)>) -> HeaderMap {
    let header = |(name, value): (String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    list.into_iter().filter_map(header).collect()
}
