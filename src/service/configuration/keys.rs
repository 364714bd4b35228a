//! The keys that settings have.

/// The connection that Azure Functions use unless told otherwise.
pub(super) const DEFAULT_CONNECTION: &str = "AzureSignalRConnectionString";

/// The authority of Microsoft Entra ID.
pub(super) const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
/// The hosts that plain http may go to, in development.
pub(super) const PLAIN_HTTP: &str = "Hubwire:DevelopmentPlainHttpHosts";
/// The variables that describe an identity to every Azure SDK.
pub(super) const VARIABLES: [&str; 7] = [
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
    "AZURE_FEDERATED_TOKEN_FILE",
];
/// Where retries are set: of the Management SDK, of Azure Functions.
pub(super) const RETRY_SECTIONS: [&str; 2] = ["Azure:SignalR:RetryOptions", "AzureSignalRRetry"];
/// What in .NET decides between REST and server connections.
pub(super) const TRANSPORT_TYPES: [&str; 2] =
    ["Azure:SignalR:ServiceTransportType", "AzureSignalRServiceTransportType"];

pub(super) const SDK_CONNECTION: &str = "Azure:SignalR:ConnectionString";
pub(super) const SDK_ENDPOINTS: &str = "Azure:SignalR:Endpoints";

/// Where app servers with several services have a named one.
pub(super) fn named_section(name: &str) -> String {
    format!("Azure:SignalR:{name}:ConnectionString")
}

pub(super) fn is_below(key: &str, section: &str) -> bool {
    key.split_at_checked(section.len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(section) && (rest.is_empty() || rest.starts_with(':'))
    })
}
