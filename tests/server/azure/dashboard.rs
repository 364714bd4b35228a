//! The dashboard of a hub whose clients are at the service.

use hubwire::{
    dashboard::DashboardLayer,
    local::{LocalService, ServiceMode},
    server::azure::AzureSignalR,
};
use tokio::time::timeout;

use super::support::PATIENCE;
use crate::dashboard::{chat, serve, shows_a_client};

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_the_clients_of_the_service() {
    let local = LocalService::builder().service_mode(ServiceMode::Default).start().await.unwrap();
    let azure = AzureSignalR::from_connection_string("chat", &local.connection_string());
    let hub = chat().azure(azure).unwrap().build();
    timeout(PATIENCE, hub.ready()).await.expect("the service is connected");
    let layer = DashboardLayer::new().hub_as("chat", &hub);
    let url = serve(axum::Router::new().nest_service("/chat", hub).layer(layer)).await;
    shows_a_client(&url, &format!("{url}/chat"), "azure").await;
}
