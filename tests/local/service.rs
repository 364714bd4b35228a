//! The service client and the local service together: what an application does, start to end.
#![cfg(feature = "local")]

use crate::wire::{SECRET, Socket, TENANT, application};
use hubwire::{
    local::{LocalService, Role},
    service::{
        HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError, credentials::ClientSecret,
    },
};
use serde_json::json;

async fn start() -> LocalService {
    let builder = LocalService::builder()
        .application(application("both", &[Role::SignalRAppServer, Role::RestApiOwner]))
        .application(application("server", &[Role::SignalRAppServer]))
        .application(application("owner", &[Role::RestApiOwner]));
    builder.start().await.unwrap()
}

fn hub(endpoint: ServiceEndpoint) -> HubClient {
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("Chat").unwrap()
}

fn entra(local: &LocalService, client_id: &str, secret: &str) -> HubClient {
    let secret = ClientSecret::new(TENANT, client_id, secret).authority(local.authority());
    hub(ServiceEndpoint::new(local.endpoint(), secret).unwrap())
}

/// Opens a client's connection with what negotiation gave it.
async fn open(local: &LocalService, hub: &HubClient, user: &str) -> Socket {
    let access = hub.negotiate(NegotiateOptions::for_user(user)).await.unwrap();
    let (address, query) = access.url.split_once('?').unwrap();
    assert_eq!(address, format!("{}/client/", local.endpoint()));
    let query = format!("{query}&access_token={}", access.access_token);
    let mut socket = Socket::open(local.port(), &query).await.unwrap();
    socket.handshake().await;
    socket
}

async fn everything_works(local: &LocalService, hub: &HubClient) {
    let mut alice = open(local, hub, "alice").await;
    let mut bob = open(local, hub, "bob ü/").await;
    hub.group("g").add_user("bob ü/").await.unwrap();
    hub.all().send("all", ("system", 1)).await.unwrap();
    hub.user("alice").send("user", ()).await.unwrap();
    hub.group("g").send("group", ()).await.unwrap();
    let all = json!({ "type": 1, "target": "all", "arguments": ["system", 1] });
    assert_eq!(alice.message().await, Some(all.clone()));
    assert_eq!(alice.target().await, "user");
    assert_eq!(bob.message().await, Some(all));
    assert_eq!(bob.target().await, "group");
}

#[tokio::test]
async fn with_the_connection_string() {
    let local = start().await;
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    everything_works(&local, &hub(endpoint)).await;
}

#[tokio::test]
async fn with_an_entra_application() {
    let local = start().await;
    everything_works(&local, &entra(&local, "both", SECRET)).await;
}

#[tokio::test]
async fn a_missing_role_is_named_by_the_client() {
    let local = start().await;
    let server = entra(&local, "server", SECRET);
    server.negotiate(NegotiateOptions::anonymous()).await.unwrap();
    let error = server.all().send("m", ()).await.unwrap_err();
    assert!(matches!(error, ServiceError::Forbidden { .. }), "{error:?}");
    assert!(error.to_string().contains("SignalR REST API Owner"), "{error}");

    let owner = entra(&local, "owner", SECRET);
    owner.all().send("m", ()).await.unwrap();
    // The service makes a token that says nothing but the user.
    owner.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
    let error = owner.negotiate(NegotiateOptions::anonymous().claim("a", "b")).await.unwrap_err();
    assert!(error.to_string().contains("SignalR App Server"), "{error}");

    let wrong = entra(&local, "both", "wrong").all().send("m", ()).await.unwrap_err();
    assert!(matches!(wrong, ServiceError::Credential { .. }), "{wrong:?}");
}
