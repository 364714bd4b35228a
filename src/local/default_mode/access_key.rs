//! Access keys for app servers that have shown a token of Microsoft Entra ID.

use crate::{
    core::service_protocol::{Extensions, ServiceMessage},
    local::{
        access::{Access, Caller},
        keys::IssuedKey,
    },
    service::unix_now,
};

/// Answers an app server's request for a key.
pub(super) fn answer(access: &Access, token: &str) -> ServiceMessage<'static> {
    match issue(access, token) {
        Ok(IssuedKey { id, text }) => ServiceMessage::AccessKeyResponse {
            kid: Some(id.into()),
            access_key: Some(text.expose().to_owned().into()),
            error_type: None,
            error_message: None,
            extensions: Extensions::default(),
        },
        Err((kind, text)) => ServiceMessage::AccessKeyResponse {
            kid: None,
            access_key: None,
            error_type: Some(kind.into()),
            error_message: Some(text.into()),
            extensions: Extensions::default(),
        },
    }
}

fn issue(access: &Access, token: &str) -> Result<IssuedKey, (&'static str, String)> {
    Caller::may_have_key(access, token).map_err(|refusal| ("UnauthorizedAccessException", refusal))?;
    access.keys.issue(unix_now()).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random numbers");
        ("InvalidOperationException", "There are no random numbers.".to_owned())
    })
}
