//! The dashboard of the local service: what it shows, and what it can do.

mod requests;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router, extract::Request, http::StatusCode, middleware::from_fn_with_state, response::IntoResponse as _,
    routing::any,
};
use futures_util::future::{BoxFuture, ready};
use serde_json::Value;

use crate::{
    core::{
        message::{HubMessage, Invocation},
        token::ClientToken,
    },
    dashboard::{
        Board,
        contract::{
            Application, Info, Limits, ManagedIdentity, Mode, Pair, Setting, Signature, Snippet, SourceKind,
        },
        source::{Sending, Source, Watched},
    },
    local::{
        entra::application::EntraApplication,
        keys::{EMULATOR_ACCESS_KEY, KeyError, KeyType},
        message::from_json,
        running::LocalService,
        service::Service,
    },
    server::{Recipients, connections::Target, traffic::now_ms},
    service::{jwt::verify::TokenError, unix_now},
};

/// Where it is.
const PATH: &str = "/dashboard";

const OFF: &str = "The dashboard is off: other machines reach this service, and it would let them do what they have no key for. \
                   Listen on 127.0.0.1, or use the public key of the emulator.";

/// What the service was started with, as far as it knows no more of it itself.
#[derive(Debug, Clone)]
struct Facts {
    https_endpoint: Option<String>,
    identity_endpoint: String,
}

/// The local service for its dashboard.
#[derive(Debug)]
struct Local {
    service: Arc<Service>,
    facts: Facts,
    rooms: [Watched; 1],
    started_at: u64,
}

/// What serves the dashboard of a service.
#[derive(Debug, Clone)]
pub(super) struct Served {
    board: Board,
    service: Arc<Service>,
    /// Whether other machines reach the service.
    is_exposed: bool,
}

impl Served {
    /// Whether the dashboard would let other machines do what they have no key for. A key that is public keeps nobody out.
    /// Keys change while the service runs.
    fn gives_away(&self) -> bool {
        let keys = &self.service.access.keys;
        let is_public = |key| keys.access_key(key).expose() == EMULATOR_ACCESS_KEY;
        self.is_exposed
            && !(keys.local_auth() && [KeyType::Primary, KeyType::Secondary].into_iter().any(is_public))
    }
}

/// The dashboard of a service; from now on, what is asked of the service is kept for it.
pub(super) fn board(service: &Arc<Service>, started: &LocalService, address: IpAddr) -> Served {
    let facts = Facts {
        https_endpoint: started.https_endpoint().map(str::to_owned),
        identity_endpoint: started.identity_endpoint(),
    };
    let room = service.room.clone();
    service.upstreams.observe(room.observe());
    let rooms = [Watched { name: None, room }];
    let board = Board::of(Local { service: service.clone(), facts, rooms, started_at: now_ms() });
    let served = Served { board, service: service.clone(), is_exposed: !address.is_loopback() };
    if served.gives_away() {
        tracing::warn!(%address, "{OFF}");
    }
    served
}

/// Keeps what is asked of the service, and how it was answered.
pub(super) fn observed(router: Router<Arc<Service>>, service: &Arc<Service>) -> Router<Arc<Service>> {
    if service.room.observer().is_none() {
        return router;
    }
    router.layer(from_fn_with_state(service.clone(), requests::observe))
}

/// Serves the dashboard, if there is one.
pub(super) fn add(router: Router<Arc<Service>>, served: Option<&Served>) -> Router<Arc<Service>> {
    let Some(served) = served.cloned() else { return router };
    let answer = any(move |request: Request| {
        let served = served.clone();
        async move {
            if served.gives_away() {
                return (StatusCode::FORBIDDEN, OFF).into_response();
            }
            let rest = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
            served.board.answer(&rest, request).await
        }
    });
    let below = format!("{PATH}/");
    router
        .route(PATH, answer.clone())
        .route(&below, answer.clone())
        .route(&format!("{below}{{*rest}}"), answer)
}

impl Local {
    /// Keys change while the service runs.
    fn connection_string(&self, key: KeyType) -> String {
        self.service.access.keys.connection_string(&self.service.access.origin, key)
    }

    fn connection_strings(&self) -> Vec<Pair> {
        let mut all = vec![("Primary", self.connection_string(KeyType::Primary))];
        let secondary = self.connection_string(KeyType::Secondary);
        if all.iter().all(|(_, primary)| *primary != secondary) {
            all.push(("Secondary", secondary));
        }
        all.into_iter().map(|(name, value)| Pair { name: name.to_owned(), value }).collect()
    }

    fn snippets(&self) -> Vec<Snippet> {
        let snippet = |title: &str, language: &str, text: String| Snippet {
            title: title.to_owned(),
            language: language.to_owned(),
            text,
        };
        let connection = &self.connection_string(KeyType::Primary);
        let mut snippets = vec![
            snippet(
                "Environment",
                "shell",
                format!("export Azure__SignalR__ConnectionString='{connection}'\n"),
            ),
            snippet("ASP.NET Core", "csharp", ASP_NET.to_owned()),
            snippet("Azure Functions (local.settings.json)", "json", functions(connection)),
            snippet("Rust", "rust", RUST.to_owned()),
        ];
        if let Some(authority) = &self.facts.https_endpoint {
            let text = format!("export AZURE_AUTHORITY_HOST='{authority}'\n");
            snippets.push(snippet("Entra authority", "shell", text));
        }
        snippets
    }
}

impl Source for Local {
    fn info(&self) -> Info {
        let service = &self.service;
        let entra = &service.access.entra;
        let roles = |application: &EntraApplication| {
            application.roles.iter().map(|role| role.name().to_owned()).collect::<Vec<_>>()
        };
        let own = |application: &EntraApplication| {
            !entra.identities.iter().any(|identity| identity.application.client_id == application.client_id)
        };
        let applications = entra.applications().filter(|application| own(application));
        let setting = |name: &str, value: &str, secret| Setting {
            name: name.to_owned(),
            value: value.to_owned(),
            secret,
        };
        let mut settings =
            vec![setting("AzureSignalRConnectionString", &self.connection_string(KeyType::Primary), true)];
        let authority = self.facts.https_endpoint.as_ref().unwrap_or(&service.access.origin);
        if applications.clone().next().is_some() {
            settings.push(setting("AZURE_AUTHORITY_HOST", authority, false));
        }
        if !entra.identities.is_empty() {
            settings.push(setting("IDENTITY_ENDPOINT", &self.facts.identity_endpoint, false));
            settings.push(setting("IDENTITY_HEADER", service.identity_header.expose(), true));
        }
        Info {
            kind: SourceKind::Local,
            version: env!("CARGO_PKG_VERSION"),
            mode: if service.mode.hubs().is_some() { Mode::Default } else { Mode::Serverless },
            endpoint: Some(service.access.origin.clone()),
            https_endpoint: self.facts.https_endpoint.clone(),
            authority: Some(authority.clone()),
            started_at: self.started_at,
            can_send: false,
            can_close: false,
            note: None,
            connection_strings: self.connection_strings(),
            applications: applications
                .map(|application| Application {
                    tenant: application.tenant_id.clone(),
                    client_id: application.client_id.clone(),
                    roles: roles(application),
                })
                .collect(),
            identities: (entra.identities.iter())
                .map(|identity| ManagedIdentity {
                    client_id: identity.application.client_id.clone(),
                    roles: roles(&identity.application),
                })
                .collect(),
            upstream: service.upstreams.described(),
            settings,
            snippets: self.snippets(),
            limits: Limits {
                max_connections: service.room.slots.limit(),
                message_bytes: service.room.options.message_limit,
            },
        }
    }

    fn rooms(&self) -> &[Watched] {
        &self.rooms
    }

    fn servers(&self) -> Vec<(String, usize)> {
        self.service.mode.hubs().map(|hubs| hubs.server_counts()).unwrap_or_default()
    }

    fn server_of(&self, hub: &str, connection: &str) -> Option<String> {
        self.service.mode.hubs()?.server_of(hub, connection)
    }

    fn send<'s>(&'s self, _: usize, sending: Sending<'s>) -> BoxFuture<'s, Result<(), String>> {
        let Sending { hub, to, target, arguments } = sending;
        let arguments = Value::Array(arguments).to_string();
        let message = from_json(&HubMessage::Invocation(Invocation {
            headers: Vec::new(),
            invocation_id: None,
            target: target.into(),
            arguments: arguments.as_str(),
            stream_ids: Vec::new(),
        }));
        let sent =
            message.map_err(|error| format!("The arguments cannot be sent: {error}.")).map(|message| {
                let send = |target| self.service.room.connections.send(hub, target, &[], &message);
                match &to {
                    Recipients::All => send(Target::All),
                    Recipients::Groups(names) => names.iter().for_each(|name| send(Target::Group(name))),
                    Recipients::Users(names) => names.iter().for_each(|name| send(Target::User(name))),
                    Recipients::Connections(ids) => ids.iter().for_each(|id| send(Target::Connection(id))),
                }
            });
        Box::pin(ready(sent))
    }

    fn judge(&self, text: &str, token: &ClientToken) -> (Signature, Vec<String>) {
        let (access, now) = (&self.service.access, unix_now());
        if access.entra.has_issued(text) {
            // It is good for the REST API and for app servers.
            return match access.entra.verify(text, now) {
                Ok(_) => (Signature::Valid, Vec::new()),
                Err(error) => (Signature::Valid, vec![format!("The service would refuse it: {error}.")]),
            };
        }
        let hub = token.hub().unwrap_or_default();
        match access.client_claims(text, &hub, now) {
            Ok(_) => (Signature::Valid, Vec::new()),
            Err(KeyError::KeyNotFound | KeyError::Token(TokenError::Signature)) => {
                let problem = "It was not signed with an access key of this service.";
                (Signature::WrongKey, vec![problem.to_owned()])
            }
            Err(KeyError::Token(TokenError::Malformed | TokenError::Algorithm)) => {
                let problem = "The service takes tokens that are signed with HS256 or HS512 only.";
                (Signature::Unknown, vec![problem.to_owned()])
            }
            Err(KeyError::Token(TokenError::Audience)) => {
                let problem = format!(
                    "The service would refuse it for its audience: for a client it is {}/client/?hub= and the name of the \
                     hub in lower case.",
                    access.origin
                );
                (Signature::Valid, vec![problem])
            }
            // The general problems of a token say the rest.
            Err(_) => (Signature::Valid, Vec::new()),
        }
    }
}

const ASP_NET: &str = r#"// Reads Azure:SignalR:ConnectionString. The service has to be in default mode.
builder.Services.AddSignalR().AddAzureSignalR();
app.MapHub<ChatHub>("/chat");
"#;

const RUST: &str = r#"use hubwire::service::{ServiceClient, configuration::Configuration};

// Reads Azure__SignalR__ConnectionString.
let service = ServiceClient::from_configuration(&Configuration::from_environment())?;
service.hub("chat")?.all().send("Said", ("hello",)).await?;
"#;

fn functions(connection_string: &str) -> String {
    let values = serde_json::json!({
        "IsEncrypted": false,
        "Values": { "AzureSignalRConnectionString": connection_string },
    });
    serde_json::to_string_pretty(&values).unwrap_or_default()
}
