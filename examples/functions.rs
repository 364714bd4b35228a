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
//! Both functions have an `httpTrigger` and not a `signalRTrigger`: with forwarding the requests of clients and of the
//! service come as they are, so that one program serves clients of JSON and of MessagePack, checks who calls, with an
//! access key or an identity, and runs anywhere else without a change. The trigger checks signatures with an access key
//! only, and wraps calls in JSON of its own; `hubwire::service::functions` has types for it.
//!
//! Source: [Azure Functions custom handlers](https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers).
//!
//! Where the service is, is told by the settings of Azure Functions: `AzureSignalRConnectionString` is a connection
//! string, or `AzureSignalRConnectionString__serviceUri` an address, with an identity in the settings that
//! [`Configuration`] lists. Nothing signs upstream requests then: give the upstream settings of the service a managed
//! identity, and this program `UPSTREAM_TENANT` (the tenant's id), `UPSTREAM_RESOURCE` (the resource in the upstream
//! settings) and `UPSTREAM_IDENTITY` (the object id of the managed identity).
//!
//! `cargo run --example functions --features axum,local` runs it alone, with a local service in place of Azure's.

use std::{env, error::Error, net::Ipv4Addr};

use axum::Router;
use hubwire::{
    local::LocalService,
    service::{
        NegotiateOptions, NegotiateRejection, ServiceClient,
        configuration::{Configuration, ConfigurationError},
        credentials::CredentialSettings,
        upstream::{EntraTokenValidator, UpstreamError, UpstreamRouter},
    },
};

#[tokio::main]
#[allow(dead_code, reason = "a test runs the rest, without its main")]
async fn main() -> Result<(), Box<dyn Error>> {
    // The Functions host says where it will look for this program.
    let port =
        env::var("FUNCTIONS_CUSTOMHANDLER_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(7071);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;

    let mut configuration = Configuration::from_environment();
    // Without settings, a service of our own that calls this program as Azure would.
    let mut local = None;
    if let Err(ConfigurationError::NoConnection { .. }) = configuration.endpoints() {
        let upstream = format!("http://127.0.0.1:{port}/upstream");
        let service = LocalService::builder().upstream(upstream).start().await?;
        configuration = configuration.set("AzureSignalRConnectionString", service.connection_string());
        local = Some(service);
    }
    let app = app(&configuration, validator()?)?;
    println!("negotiate at http://{}/chat/negotiate", listener.local_addr()?);
    axum::serve(listener, app).await?;
    drop(local);
    Ok(())
}

/// Checks the tokens of upstream requests, where there are such.
#[allow(dead_code, reason = "a test runs the rest, without its main")]
fn validator() -> Result<Option<EntraTokenValidator>, Box<dyn Error>> {
    let Ok(resource) = env::var("UPSTREAM_RESOURCE") else { return Ok(None) };
    let validator = EntraTokenValidator::builder(env::var("UPSTREAM_TENANT")?, resource)
        .allow_identity(env::var("UPSTREAM_IDENTITY")?)
        .build()?;
    Ok(Some(validator))
}

/// The functions: negotiate, and what the clients' calls do.
pub(crate) fn app(
    configuration: &Configuration,
    validator: Option<EntraTokenValidator>,
) -> Result<Router, Box<dyn Error>> {
    let hub = ServiceClient::from_configuration(configuration)?.hub("chat")?;

    let negotiate = hubwire::axum_routes::negotiate("/chat", hub.clone(), |parts| {
        // App Service Authentication ("Easy Auth") puts the user here.
        let user = parts.headers.get("x-ms-client-principal-name").and_then(|name| name.to_str().ok());
        user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
    });

    let mut upstream = UpstreamRouter::new().on_message("chat", "Say", move |message| {
        let hub = hub.clone();
        async move {
            let (text,): (String,) = message.arguments()?;
            let user = message.client().user_id().unwrap_or("somebody").to_owned();
            let sent = hub.all().send("ReceiveMessage", (user, text)).await;
            sent.map_err(|_| UpstreamError::new("The message could not be sent."))
        }
    });
    match validator {
        Some(validator) => upstream = upstream.entra(validator),
        None => {
            for endpoint in configuration.endpoints()? {
                if let CredentialSettings::AccessKey(key) = endpoint.credential() {
                    upstream = upstream.access_key(key)?;
                }
            }
        }
    }
    Ok(Router::new().merge(negotiate).route_service("/upstream", upstream))
}
