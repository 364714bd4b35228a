//! What Microsoft's article [Authorize requests with Microsoft Entra applications][article] does in C# and in settings,
//! in Rust: one function for each of its snippets. `main` runs them all against the local service, so nothing in Azure
//! is needed:
//!
//!     cargo run --example entra_applications --features local
//!
//! | section of the article | here |
//! | --- | --- |
//! | Use Microsoft Entra application with certificate | `with_certificate` |
//! | Use Microsoft Entra application with client secret | `with_client_secret` |
//! | Use Microsoft Entra application with Federated identity | `with_federated_identity` |
//! | Use multiple endpoints | `with_different_credentials` |
//! | Configure an identity in predefined environment variables: *local.settings.json* | `predefined_variables_in_local_settings` |
//! | Configure an identity in predefined environment variables: Azure portal | `predefined_variables_in_the_portal` |
//! | Configure an identity in SignalR-specified variables: *local.settings.json* | `signalr_variables_in_local_settings` |
//! | Configure an identity in SignalR-specified variables: Azure portal | `signalr_variables_in_the_portal` |
//!
//! [article]: https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application

use std::error::Error;

use hubwire::{
    local::{EntraApplication, LocalManagedIdentity, LocalService, Role},
    service::{
        NegotiateOptions, ServiceClient, ServiceEndpoint,
        configuration::Configuration,
        credentials::{ClientCertificate, ClientSecret, FederatedCredential, ManagedIdentity},
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

/// What the article calls `<CONNECTION_NAME_PREFIX>`, in place of the usual one.
const CONNECTION_NAME_PREFIX: &str = "ChatConnection";

/// Configure an identity in predefined environment variables: `local.settings.json`
fn predefined_variables_in_local_settings(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let resource = &place.resource;
    let settings = format!(
        r#"{{
          "Values": {{
            "{CONNECTION_NAME_PREFIX}:serviceUri": "{resource}",
            "AZURE_CLIENT_ID": "clientId",
            "AZURE_CLIENT_SECRET": "clientSecret",
            "AZURE_TENANT_ID": "tenantId"
          }}
        }}"#
    );
    configured(Configuration::new().json(&settings)?, place)
}

/// Configure an identity in predefined environment variables: the Azure portal
fn predefined_variables_in_the_portal(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let service_uri = format!("{CONNECTION_NAME_PREFIX}__serviceUri");
    // In Azure these are the process's own: `Configuration::from_environment()`.
    let settings = [
        (service_uri.as_str(), place.resource.as_str()),
        ("AZURE_CLIENT_ID", "clientId"),
        ("AZURE_TENANT_ID", "tenantId"),
        ("AZURE_CLIENT_SECRET", "clientSecret"),
    ];
    configured(Configuration::new().variables(settings), place)
}

/// Configure an identity in SignalR-specified variables: `local.settings.json`
fn signalr_variables_in_local_settings(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let resource = &place.resource;
    let settings = format!(
        r#"{{
          "Values": {{
            "{CONNECTION_NAME_PREFIX}:serviceUri": "{resource}",
            "{CONNECTION_NAME_PREFIX}:clientId": "clientId",
            "{CONNECTION_NAME_PREFIX}:clientSecret": "clientSecret",
            "{CONNECTION_NAME_PREFIX}:tenantId": "tenantId"
          }}
        }}"#
    );
    configured(Configuration::new().json(&settings)?, place)
}

/// Configure an identity in SignalR-specified variables: the Azure portal
fn signalr_variables_in_the_portal(place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    let settings = [
        ("serviceUri", place.resource.as_str()),
        ("clientId", "clientId"),
        ("clientSecret", "clientSecret"),
        ("tenantId", "tenantId"),
    ];
    let settings = settings.map(|(name, value)| (format!("{CONNECTION_NAME_PREFIX}__{name}"), value));
    configured(Configuration::new().variables(settings), place)
}

/// A client of settings. The prefix need not be said when it is `AzureSignalRConnectionString`.
fn configured(settings: Configuration, place: &Place) -> Result<ServiceClient, Box<dyn Error>> {
    // Not needed in Azure, whose authority is known.
    let settings = settings.set("AZURE_AUTHORITY_HOST", &place.authority);
    Ok(ServiceClient::from_configuration(&settings.connection(CONNECTION_NAME_PREFIX))?)
}

/// Starts a local service with the application and the identity of the article.
async fn start() -> Result<(LocalService, Place), Box<dyn Error>> {
    let certificate = std::fs::read(PATH_TO_CERT)?;
    let local = LocalService::builder()
        .application(
            EntraApplication::new("tenantId", "clientId", "clientSecret")
                .certificate(certificate)
                .role(Role::ServiceOwner),
        )
        .application(
            EntraApplication::without_secret("tenantId", "appClientId")
                .trusted_managed_identity("msiClientId")
                .role(Role::ServiceOwner),
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
        predefined_variables_in_local_settings(&place)?,
        predefined_variables_in_the_portal(&place)?,
        signalr_variables_in_local_settings(&place)?,
        signalr_variables_in_the_portal(&place)?,
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
