//! Who may call the local service: programs, and the pages of this machine, by a name that is the service's own.
//!
//! The service has keys that are public, so tokens alone do not keep a foreign page out. Browsers say with `Origin`
//! whose page calls; WebSockets included, which CORS does not cover. The name in `Host` is checked because a foreign
//! page may have its own name lead to this machine (DNS rebinding), and is of the service's own origin then.

use std::{net::Ipv4Addr, sync::Arc};

use crate::{
    core::url::{HubUrl, is_this_machine},
    cors::Cors,
    local::error::LocalError,
};

/// The address of the service as the sender of a request knows it, by the host that the request names.
#[derive(Debug, Clone)]
pub(super) struct Origin(pub(super) Arc<str>);

/// What the service is called, and whose pages may call it.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) cors: Cors,
    hosts: Vec<String>,
    public: Option<HubUrl>,
}

impl Guard {
    /// # Errors
    /// When an origin or a host cannot be one.
    pub(super) fn new(
        origins: &[String],
        hosts: Vec<String>,
        public: Option<HubUrl>,
    ) -> Result<Self, LocalError> {
        let mut cors = Cors::default();
        cors.allow_if(is_of_this_machine);
        for origin in origins {
            if origin == "null" {
                cors.allow_null();
                // What Chromium says of the same pages when they open a WebSocket.
                cors.allow_if(|origin| origin == "file://");
                continue;
            }
            cors.allow(origin).map_err(LocalError::InvalidOrigin)?;
        }
        if let Some(host) = hosts.iter().find(|host| host_of(host).is_none_or(|name| name != **host)) {
            return Err(LocalError::InvalidHost { host: host.clone() });
        }
        Ok(Self { cors, hosts, public })
    }

    /// Whether a host is a name of this service. A foreign page's name has a dot, and does not end in `.localhost` or
    /// `.internal`, which nobody can register; container tools call the machine that they run on `host.docker.internal`.
    pub(super) fn knows(&self, host: &str) -> bool {
        let reserved = |name: &str| name.rsplit_once('.').is_some_and(|(_, top)| top == "internal");
        is_this_machine(host)
            || host.starts_with('[')
            || host.parse::<Ipv4Addr>().is_ok()
            || !host.contains('.')
            || reserved(&host.to_ascii_lowercase())
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
            || self.public.as_ref().is_some_and(|public| public.host().eq_ignore_ascii_case(host))
    }

    /// The address of the service where the client is, by the host that it has asked.
    pub(super) fn origin(&self, scheme: &str, host: &str) -> Origin {
        Origin(match &self.public {
            Some(public) if host_of(host).is_some_and(|host| host.eq_ignore_ascii_case(public.host())) => {
                public.to_text().trim_end_matches('/').into()
            }
            _ => format!("{scheme}://{host}").into(),
        })
    }
}

/// Whether a page's origin is a server on this machine.
fn is_of_this_machine(origin: &str) -> bool {
    HubUrl::parse(origin).is_ok_and(|url| is_this_machine(url.host()))
}

/// The name in a host with or without a port, if it is one.
pub(super) fn host_of(host: &str) -> Option<String> {
    let plain = !host.contains(['/', '?', '#', '@']);
    plain.then(|| HubUrl::parse(&format!("http://{host}")).ok()).flatten().map(|url| url.host().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_service() {
        let public = HubUrl::parse("https://hub.example.org").ok();
        let guard = Guard::new(&[], vec!["signalr.test".to_owned()], public).expect("it is valid");
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "10.0.0.7",
            "[fe80::1]",
            "signalr",
            "host.docker.internal",
            "signalr.test",
            "SignalR.Test",
            "hub.example.org",
        ] {
            assert!(guard.knows(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "internal.evil.example",
            "a.signalr.test",
        ] {
            assert!(!guard.knows(host), "{host}");
        }
        assert_eq!(&*guard.origin("http", "signalr:8888").0, "http://signalr:8888");
        assert_eq!(&*guard.origin("http", "hub.example.org").0, "https://hub.example.org");
    }

    #[test]
    fn hosts_and_origins_that_cannot_be_are_refused() {
        for host in ["", "a b", "http://a.example", "a.example/", "a.example:80", "user@a.example"] {
            let refused = Guard::new(&[], vec![host.to_owned()], None);
            assert!(matches!(refused, Err(LocalError::InvalidHost { .. })), "{host}");
        }
        for origin in ["*", "a.example", "http://a.example/"] {
            let refused = Guard::new(&[origin.to_owned()], Vec::new(), None);
            assert!(matches!(refused, Err(LocalError::InvalidOrigin(_))), "{origin}");
        }
    }

    #[test]
    fn origins_of_this_machine() {
        for origin in
            ["http://localhost:3000", "https://a.localhost", "http://127.0.0.2", "http://[::1]:5173"]
        {
            assert!(is_of_this_machine(origin), "{origin}");
        }
        for origin in [
            "http://localhost.evil.example",
            "http://10.0.0.7",
            "http://signalr",
            "null",
            "file://",
            "tauri://localhost",
        ] {
            assert!(!is_of_this_machine(origin), "{origin}");
        }
    }
}
