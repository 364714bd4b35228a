//! What the dashboard's hub and its page say to each other: JSON, with names in camel case. Times are in milliseconds since the
//! Unix epoch.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::server::{observe::Observed, traffic::Totals};

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum SourceKind {
    /// The local service.
    Local,
    /// Hosted hubs.
    Hosted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    Serverless,
    Default,
    SelfHosted,
    Azure,
    /// Several servers, which a backplane connects.
    Farm,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Application {
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) roles: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManagedIdentity {
    pub(crate) client_id: String,
    pub(crate) roles: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) hubs: String,
    pub(crate) categories: String,
    pub(crate) events: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The page shows it on demand only.
    pub(crate) secret: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Snippet {
    pub(crate) title: String,
    pub(crate) language: String,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_connections: Option<usize>,
    pub(crate) message_bytes: usize,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {
    pub(crate) kind: SourceKind,
    pub(crate) version: &'static str,
    pub(crate) mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<String>,
    pub(crate) started_at: u64,
    pub(crate) can_send: bool,
    pub(crate) can_close: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    pub(crate) connection_strings: Vec<Pair>,
    pub(crate) applications: Vec<Application>,
    pub(crate) identities: Vec<ManagedIdentity>,
    pub(crate) upstream: Vec<Upstream>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) snippets: Vec<Snippet>,
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HubItem {
    pub(crate) name: String,
    pub(crate) connections: usize,
    pub(crate) users: usize,
    pub(crate) groups: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) servers: Option<usize>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Watch {
    pub(crate) at: u64,
    pub(crate) hubs: Vec<HubItem>,
    pub(crate) traffic: Totals,
    pub(crate) version: u64,
    /// The oldest first.
    #[serde(serialize_with = "shared")]
    pub(crate) requests: Vec<Arc<Observed>>,
    pub(crate) missed: u64,
}

/// Writes what is shared, for which serde has a feature of its own.
fn shared<S: Serializer>(list: &[Arc<Observed>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|observed| &**observed))
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionItem {
    pub(crate) id: String,
    pub(crate) hub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    pub(crate) transport: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) since: u64,
    pub(crate) groups: Vec<String>,
    pub(crate) group_count: usize,
    #[serde(flatten)]
    pub(crate) traffic: Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionDetails {
    #[serde(flatten)]
    pub(crate) item: ConnectionItem,
    pub(crate) claims: Vec<Pair>,
    pub(crate) stateful: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<u64>,
    pub(crate) waiting_bytes: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct NamedItem {
    pub(crate) hub: String,
    pub(crate) name: String,
    pub(crate) connections: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct MethodItem {
    pub(crate) hub: String,
    pub(crate) name: String,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) total: usize,
    pub(crate) items: Vec<T>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    pub(crate) hub: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) search: Option<String>,
    pub(crate) offset: usize,
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum To {
    All,
    User,
    Group,
    Connection,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SendForm {
    pub(crate) hub: String,
    pub(crate) to: To,
    #[serde(default)]
    pub(crate) name: Option<String>,
    pub(crate) target: String,
    #[serde(default)]
    pub(crate) arguments: Vec<Value>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sent {
    pub(crate) connections: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CloseForm {
    pub(crate) hub: String,
    pub(crate) connection: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) allow_reconnect: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Closed {
    pub(crate) closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Signature {
    Valid,
    WrongKey,
    /// There is no key to check it with.
    Unknown,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meaning: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRead {
    pub(crate) header: Value,
    pub(crate) claims: Vec<Claim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<i64>,
    pub(crate) bytes: usize,
    pub(crate) signature: Signature,
    pub(crate) problems: Vec<String>,
}
