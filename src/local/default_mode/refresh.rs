//! New credentials for clients, which app servers have checked.

use crate::{
    core::service_protocol::{
        Claims as WireClaims, Extensions, InstantUtc, ServiceMessage,
        codes::outcome::{FORBIDDEN, NOT_FOUND, OK},
    },
    local::{
        default_mode::{
            claims::{by_type, listed, on_the_wire, payload},
            hub::Hub,
            servers::Number,
        },
        token::{renew, user_of},
    },
    server::{claims::Claims, negotiated::RefreshError},
};

impl Hub {
    /// Which claims has a connection?
    pub(super) fn tell_claims(&self, to: Number, token: &str, ack_id: i32) {
        match self.place.negotiated.claims(token, &self.name) {
            Some(claims) => self.servers.ack(to, ack_id, OK, Some(&payload(&claims))),
            None => self.servers.ack(to, ack_id, NOT_FOUND, None),
        }
    }

    /// Takes new claims and another end of a connection. The claims that are not given stay, and so does the end if it
    /// is the end of all time.
    pub(super) fn refresh(
        &self,
        from: Number,
        token: &str,
        claims: &WireClaims<'_>,
        expire_time: InstantUtc,
        ack_id: i32,
    ) {
        let claims = (!claims.is_empty()).then(|| by_type(claims));
        let user = claims.as_ref().map(user_of);
        let is_given = expire_time.unix_seconds < InstantUtc::MAX.unix_seconds;
        let expiry = is_given.then(|| u64::try_from(expire_time.unix_seconds).unwrap_or(0));
        let mut changed = false;
        let change = |known: &mut Claims, ends: Option<u64>| {
            let before = known.clone();
            renew(known, claims.as_ref(), ends);
            changed = before != *known;
        };
        match self.place.negotiated.refresh(token, &self.name, user, expiry, change) {
            Ok(claims) => {
                self.servers.ack(from, ack_id, OK, Some(&payload(&claims)));
                if changed {
                    self.claims_changed(token);
                }
            }
            Err(RefreshError::Unknown) => self.servers.ack(from, ack_id, NOT_FOUND, None),
            Err(RefreshError::OtherUser) => self.servers.ack(from, ack_id, FORBIDDEN, None),
        }
    }

    /// Tells the app server of a client that this has other claims now.
    pub(super) fn claims_changed(&self, token: &str) {
        let client = self.clients.values().find(|client| client.visitor.token.as_deref() == Some(token));
        let Some(client) = client else { return };
        if let Some(server) = self.servers.get(client.server) {
            let claims = listed(&client.visitor.claims.get());
            server.to_server.push(&ServiceMessage::UpdateConnectionClaims {
                connection_id: client.visitor.id.as_str().into(),
                claims: on_the_wire(&claims),
                extensions: Extensions::default(),
            });
        }
    }
}
