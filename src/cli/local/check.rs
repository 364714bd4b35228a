//! Settings that cannot work are refused before the service starts; those that are only useless are told.

use crate::{
    cli::{
        duration::check_lifetime,
        failure::Failure,
        local::settings::{Https, Mode, Rule, Settings},
    },
    core::keepalive::{DEFAULT_INTERVAL, DEFAULT_TIMEOUT},
};

/// What may stand in the URL of an upstream.
const PLACEHOLDERS: [&str; 3] = ["hub", "category", "event"];

/// Refuses what cannot work, and returns what is useless.
pub(super) fn check(settings: &Settings) -> Result<Vec<String>, Failure> {
    let has_entra =
        settings.entra == Some(true) || !settings.applications.is_empty() || !settings.identities.is_empty();
    if settings.local_auth == Some(false) && !has_entra {
        return Err(Failure::new(
            "nobody could get in: access keys are not taken, and there is no Microsoft Entra",
        )
        .advise("add --entra, an application or a managed identity, or leave out --local-auth false"));
    }
    if settings.max_connections == Some(0) {
        return Err(Failure::new("no client could connect: the limit of connections is 0")
            .advise("give \"maxConnections\" a number of at least 1, or leave it out for any number"));
    }
    // Flags are checked where they are read.
    for (name, time) in [
        ("handshakeTimeout", settings.handshake_timeout),
        ("keepAliveInterval", settings.keep_alive_interval),
        ("clientTimeout", settings.client_timeout),
    ] {
        if time.is_some_and(|time| time.is_zero()) {
            return Err(Failure::new(format!("\"{name}\" is 0s")).advise("give a time above 0, such as 15s"));
        }
    }
    if let Some(Err(wrong)) = settings.token_lifetime.map(check_lifetime) {
        return Err(Failure::new(format!("\"tokenLifetime\" cannot be kept: {wrong}"))
            .advise("give a time such as 1h"));
    }
    settings.upstream.iter().try_for_each(check_template)?;
    Ok(useless(settings, has_entra))
}

/// A name in braces that is not replaced would be sent as it is.
pub(super) fn check_template(rule: &Rule) -> Result<(), Failure> {
    // A reference to a secret in Azure Key Vault is told by the service itself, and a query may have secrets in it.
    let path = rule.url.split('?').next().unwrap_or_default();
    if path.contains("{@") {
        return Ok(());
    }
    let shown = path.rsplit_once('@').map_or(path, |(_, public)| public);
    let refused = |what: String| {
        Err(Failure::new(format!("the upstream {shown} {what}"))
            .advise("{hub}, {category} and {event} are replaced, written so"))
    };
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}').filter(|_| !before.contains('}')) else {
            return refused("has braces that do not fit".to_owned());
        };
        if !PLACEHOLDERS.contains(&name) {
            return refused(format!("has {{{name}}} in it, which stands for nothing"));
        }
        rest = behind;
    }
    if rest.contains('}') { refused("has braces that do not fit".to_owned()) } else { Ok(()) }
}

fn useless(settings: &Settings, has_entra: bool) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |is_so: bool, text: &str| {
        if is_so {
            told.push(text.to_owned());
        }
    };
    let is_default = settings.mode == Some(Mode::Default);
    let has_identity = settings.upstream.iter().any(|rule| rule.managed_identity.is_some());
    tell(
        is_default && !settings.upstream.is_empty(),
        "the upstream is never called: in default mode app servers answer clients; leave out one of --mode default and --upstream",
    );
    tell(
        settings.service_identity.is_some() && !has_identity,
        "serviceIdentity is not used: no rule of the upstream has \"managedIdentity\"",
    );
    tell(
        settings.token_lifetime.is_some() && !has_entra && !has_identity,
        "--token-lifetime is not used: it is for tokens of Microsoft Entra, and nobody gets one without --entra, an application \
         or a managed identity",
    );
    tell(
        settings.local_auth == Some(false)
            && (settings.access_key.is_some() || settings.secondary_access_key.is_some()),
        "the access keys are not used: --local-auth is false",
    );
    tell(
        settings.tls == Some(true) && settings.https == Some(Https::Off),
        "\"https\": false is not followed: --tls needs a certificate",
    );
    // The limits that clients have for themselves, unless they are set otherwise.
    tell(
        settings.client_timeout.is_some_and(|timeout| timeout <= DEFAULT_INTERVAL),
        "clients are given up although they are well: as a rule they ping every 15 s, and --client-timeout is not longer",
    );
    tell(
        settings.keep_alive_interval.is_some_and(|interval| interval >= DEFAULT_TIMEOUT),
        "clients give the service up: as a rule they do so after 30 s in silence, and --keep-alive-interval is not shorter",
    );
    told
}
