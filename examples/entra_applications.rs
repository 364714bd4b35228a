//! What Microsoft's article [Authorize requests with Microsoft Entra applications][article] does in C#, in Rust: one
//! function for each of its snippets. `main` runs them all against the local service, so nothing in Azure is needed:
//!
//!     cargo run --example entra_applications --features local
//!
//! [article]: https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application

use std::error::Error;

use hubwire::{
    local::{EntraApplication, LocalManagedIdentity, LocalService, Role},
    service::{
        ClientCertificate, ClientSecret, FederatedCredential, ManagedIdentity, NegotiateOptions,
        ServiceClient, ServiceEndpoint,
    },
};

/// A PEM file with a private key and its certificate.
const PATH_TO_CERT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/application.pem");

/// Where the resource, its tenant's Entra ID and the machine's managed identity are. In Azure only the first one is
/// to be given; the others have their addresses.
struct Place {
    resource: String,
    authority: String,
    metadata_service: String,
}

/// Use Microsoft Entra application with certificate
fn with_certificate(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let credential =
        ClientCertificate::from_file("tenantId", "clientId", PATH_TO_CERT).authority(&place.authority);
    Ok(ServiceClient::builder().endpoint(ServiceEndpoint::new(&place.resource, credential)?).build()?)
}

/// Use Microsoft Entra application with client secret
fn with_client_secret(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let credential = ClientSecret::new("tenantId", "clientId", "clientSecret").authority(&place.authority);
    Ok(ServiceClient::builder().endpoint(ServiceEndpoint::new(&place.resource, credential)?).build()?)
}

/// Use Microsoft Entra application with Federated identity
fn with_federated_identity(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let identity = ManagedIdentity::with_client_id("msiClientId").metadata_service(&place.metadata_service);
    // US Government and China: `.cloud(Cloud::UsGovernment)`, `.cloud(Cloud::China)`.
    let credential = FederatedCredential::with_managed_identity("tenantId", "appClientId", identity)
        .authority(&place.authority);
    Ok(ServiceClient::builder().endpoint(ServiceEndpoint::new(&place.resource, credential)?).build()?)
}

/// Use multiple endpoints: credentials can be different for different endpoints
fn with_different_credentials(place1: &Place, place2: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let credential1 = ClientSecret::new("tenantId", "clientId", "clientSecret").authority(&place1.authority);
    let credential2 =
        ClientCertificate::from_file("tenantId", "clientId", PATH_TO_CERT).authority(&place2.authority);
    Ok(ServiceClient::builder()
        .endpoint(ServiceEndpoint::new(&place1.resource, credential1)?)
        .endpoint(ServiceEndpoint::new(&place2.resource, credential2)?)
        .build()?)
}

/// Starts a local service with the application and the identity of the article.
async fn start() -> Result<(LocalService, Place), Box<dyn Error>> {
    let certificate = std::fs::read(PATH_TO_CERT)?;
    let local = LocalService::builder()
        .application(
            EntraApplication::new("tenantId", "clientId", "clientSecret")
                .with_certificate(certificate)
                .with_role(Role::ServiceOwner),
        )
        .application(
            EntraApplication::without_secret("tenantId", "appClientId")
                .with_trusted_managed_identity("msiClientId")
                .with_role(Role::ServiceOwner),
        )
        .managed_identity(LocalManagedIdentity::user_assigned("tenantId", "msiClientId"))
        .start()
        .await?;
    let place = Place {
        resource: local.endpoint().to_owned(),
        authority: local.authority().to_owned(),
        metadata_service: local.metadata_service().to_owned(),
    };
    Ok((local, place))
}

/// Uses two local services with each credential, and with all of them at once.
pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let ((local, place), (other, other_place)) = (start().await?, start().await?);
    for client in [
        with_certificate(&place)?,
        with_client_secret(&place)?,
        with_federated_identity(&place)?,
        with_different_credentials(&place, &other_place)?,
    ] {
        let hub = client.hub("chat")?;
        let access = hub.negotiate(NegotiateOptions::for_user("alice")).await?;
        hub.all().send("ReceiveMessage", ("system", "hello")).await?;
        println!("{client:?}: {}", access.url);
    }
    local.stop().await;
    other.stop().await;
    Ok(())
}

#[tokio::main]
#[allow(dead_code, reason = "a test runs it too, without its main")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}
