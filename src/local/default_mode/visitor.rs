//! A client in default mode, as its app server gets to know it.

use std::{fmt, sync::Arc};

use axum::http::{HeaderMap, HeaderValue};

use crate::{
    core::service_protocol::{
        Extensions, Headers, ServiceMessage,
        codes::{self, MIGRATE_FROM, MIGRATE_TO, data::HANDSHAKE},
    },
    local::default_mode::{
        claims::{listed, on_the_wire},
        to_server::ToServer,
    },
    server::{claims::SharedClaims, query::without_token},
};

/// What the service is called where it says which of its instances has a client. There is only one.
pub(super) const INSTANCE: &str = "local";

/// A client, as its app server gets to know it.
#[derive(Default)]
pub(in crate::local) struct Visitor {
    pub(super) id: String,
    pub(super) user: Option<String>,
    pub(super) claims: Arc<SharedClaims>,
    pub(super) headers: Vec<(String, Vec<String>)>,
    pub(super) query: String,
    /// The secret of its connection, if it has negotiated.
    pub(super) token: Option<String>,
    /// The name of its hub protocol.
    pub(super) protocol: String,
    /// Its handshake request, with the separator.
    pub(super) handshake: Vec<u8>,
}

/// Without its secrets.
impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Visitor {
    /// What the request of a client says of it; the rest comes with its handshake.
    pub(in crate::local) fn new(
        claims: &Arc<SharedClaims>,
        headers: &HeaderMap,
        query: Option<&str>,
        token: Option<&str>,
    ) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let own = headers.keys().filter(|name| {
            let name = name.as_str();
            !matches!(name, "authorization" | "connection" | "upgrade") && !name.starts_with("sec-")
        });
        let mut headers: Vec<(String, Vec<String>)> =
            own.map(|name| (name.to_string(), headers.get_all(name).iter().map(text).collect())).collect();
        if !headers.iter().any(|(name, _)| name == "x-forwarded-for") {
            headers.push(("x-forwarded-for".to_owned(), vec!["127.0.0.1".to_owned()]));
        }
        // The token is for the service alone.
        let query = without_token(query);
        let token = token.map(str::to_owned);
        Self { claims: claims.clone(), headers, query, token, ..Self::default() }
    }

    /// Tells an app server of the client.
    pub(super) fn push_opening(&self, to_server: &ToServer, migrated_from: Option<&str>) {
        let claims = listed(&self.claims.get());
        to_server.push(&self.opening(&claims, migrated_from));
        to_server.push(&data(&self.id, &self.handshake, HANDSHAKE));
    }

    fn opening<'v>(
        &'v self,
        claims: &'v [(String, String)],
        migrated_from: Option<&'v str>,
    ) -> ServiceMessage<'v> {
        let mut headers: Headers<'v> = Vec::new();
        for (name, values) in &self.headers {
            let values = values.iter().map(|value| Some(value.as_str().into())).collect();
            headers.push((name.as_str().into(), values));
        }
        for (name, value) in [(codes::INSTANCE, Some(INSTANCE)), (MIGRATE_FROM, migrated_from)] {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.extend(value.map(|value| (name.into(), vec![Some(value.into())])));
        }
        ServiceMessage::OpenConnection {
            connection_id: self.id.as_str().into(),
            claims: on_the_wire(claims),
            headers,
            query_string: Some(self.query.as_str().into()),
            extensions: Extensions { protocol: Some(self.protocol.as_str().into()), ..Extensions::default() },
        }
    }
}

/// The end of a client for its app server.
pub(super) fn closing<'m>(id: &'m str, migrated_to: Option<&'m str>) -> ServiceMessage<'m> {
    let headers = migrated_to.map(|server| (MIGRATE_TO.into(), vec![Some(server.into())]));
    ServiceMessage::CloseConnection {
        connection_id: id.into(),
        error_message: None,
        headers: headers.into_iter().collect(),
        extensions: Extensions::default(),
    }
}

/// Bytes of a client for its app server.
pub(super) fn data<'m>(id: &'m str, payload: &'m [u8], data_message_type: i32) -> ServiceMessage<'m> {
    let extensions = Extensions { data_message_type, ..Extensions::default() };
    ServiceMessage::ConnectionData { connection_id: id.into(), payload, extensions }
}
