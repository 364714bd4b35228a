//! An Azure Functions app without .NET: a custom handler with the negotiate endpoint and the upstream of a hub.
//!
//! `host.json` sends requests on to this program:
//!
//! ```json
//! { "version": "2.0",
//!   "customHandler": { "description": { "defaultExecutablePath": "functions" }, "enableForwardingHttpRequest": true },
//!   "extensions": { "http": { "routePrefix": "" } } }
//! ```
//!
//! and each function has a `function.json`; for `negotiate/` and, with another route, `upstream/`:
//!
//! ```json
//! { "bindings": [
//!   { "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "methods": ["post"],
//!     "route": "chat/negotiate" },
//!   { "type": "http", "direction": "out", "name": "res" } ] }
//! ```
//!
//! Source: [Azure Functions custom handlers](https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers).
//!
//! `cargo run --example functions --features axum,local` runs it alone, with a local service in place of Azure's.

use std::{env, error::Error, net::Ipv4Addr};

use hubwire::{
    local::LocalService,
    service::{
        ConnectionString, HubClient, NegotiateOptions, NegotiateRejection, ServiceClient, ServiceEndpoint,
        UpstreamError, UpstreamRouter,
    },
};

/// The setting that Azure Functions keep the connection string in.
const SETTING: &str = "AzureSignalRConnectionString";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The Functions host says where it will look for this program.
    let port =
        env::var("FUNCTIONS_CUSTOMHANDLER_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(7071);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;

    // Without the setting, a service of our own that calls this program as Azure would.
    let local = match env::var(SETTING) {
        Ok(_) => None,
        Err(_) => {
            let upstream = format!("http://127.0.0.1:{port}/upstream");
            Some(LocalService::builder().upstream(upstream).start().await?)
        }
    };
    let setting = match &local {
        Some(local) => local.connection_string(),
        None => env::var(SETTING)?,
    };
    let service =
        ServiceClient::builder().endpoint(ServiceEndpoint::from_connection_string(&setting)?).build()?;
    let hub = service.hub("chat")?;

    let app = axum::Router::new()
        .merge(hubwire::axum::negotiate("/chat", hub.clone(), |parts| {
            // App Service Authentication ("Easy Auth") puts the user here.
            let user = parts.headers.get("x-ms-client-principal-name").and_then(|name| name.to_str().ok());
            user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
        }))
        .route_service("/upstream", upstream(&setting, hub)?);
    println!("negotiate at http://{}/chat/negotiate", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// What the clients' calls do.
fn upstream(setting: &str, hub: HubClient) -> Result<UpstreamRouter, Box<dyn Error>> {
    let setting = ConnectionString::parse(setting)?;
    let key = setting.access_key().ok_or("the connection string has no access key")?;
    Ok(UpstreamRouter::new().access_key(key).on_message("chat", "Say", move |message| {
        let hub = hub.clone();
        async move {
            let (text,): (String,) = message.arguments()?;
            let user = message.client().user_id().unwrap_or("somebody").to_owned();
            let sent = hub.all().send("ReceiveMessage", (user, text)).await;
            sent.map_err(|_| UpstreamError::new("The message could not be sent."))
        }
    }))
}
