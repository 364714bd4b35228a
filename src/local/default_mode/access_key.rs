//! Access keys for app servers that have shown a token of Microsoft Entra ID.

use std::time::{Duration, Instant};

use crate::{
    core::service_protocol::{Extensions, ServiceMessage},
    local::{auth::Caller, keys::IssuedKey, service::Service},
    service::unix_now,
};

/// A server connection that asks again within this time gets the same key. App servers ask every ten minutes.
const ASKED_AGAIN: Duration = Duration::from_secs(300);

/// The keys that one server connection was given.
#[derive(Debug, Default)]
pub(super) struct AccessKeys(Option<(Instant, IssuedKey)>);

impl AccessKeys {
    /// Answers the request for a key.
    pub(super) fn answer(&mut self, service: &Service, token: &str) -> ServiceMessage<'_> {
        let refused = |kind: &'static str, text: String| ServiceMessage::AccessKeyResponse {
            kid: None,
            access_key: None,
            error_type: Some(kind.into()),
            error_message: Some(text.into()),
            extensions: Extensions::default(),
        };
        if let Err(refusal) = Caller::may_have_key(service, token) {
            return refused("UnauthorizedAccessException", refusal);
        }
        if self.0.as_ref().is_none_or(|(since, _)| since.elapsed() >= ASKED_AGAIN) {
            match service.keys.issue(unix_now()) {
                Ok(key) => self.0 = Some((Instant::now(), key)),
                Err(error) => {
                    tracing::error!(%error, "the operating system gives no random numbers");
                    return refused("InvalidOperationException", "There are no random numbers.".to_owned());
                }
            }
        }
        let (id, key) = self.0.as_ref().map(|(_, key)| (key.id.as_str(), key.text.expose())).unzip();
        ServiceMessage::AccessKeyResponse {
            kid: id.map(Into::into),
            access_key: key.map(Into::into),
            error_type: None,
            error_message: None,
            extensions: Extensions::default(),
        }
    }
}
