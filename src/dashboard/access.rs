//! Who may see a dashboard.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::extract::ConnectInfo;
use http::{HeaderMap, header, request::Parts};

use crate::{
    core::url::is_this_machine,
    cors::{Cors, InvalidOrigin, host_of},
};

type Rule = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// Who may see it.
#[derive(Clone, Default)]
enum Who {
    /// Requests of this machine alone.
    #[default]
    SameMachine,
    /// Whom the program lets in.
    Rule(Rule),
    /// Somebody has looked before.
    Everybody,
}

/// Looks at requests before anything is answered.
#[derive(Clone)]
pub(super) struct Access {
    who: Who,
    /// The origins of pages besides the dashboard's own.
    cors: Cors,
}

impl Default for Access {
    fn default() -> Self {
        let mut cors = Cors::default();
        // Other pages are refused even where none is allowed.
        cors.allow_if(|_| false);
        Self { who: Who::default(), cors }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match &self.who {
            Who::SameMachine => "same machine",
            Who::Rule(_) => "a rule",
            Who::Everybody => "everybody",
        };
        f.debug_struct("Access").field("who", &who).field("cors", &self.cors).finish()
    }
}

impl Access {
    /// Where another layer has found out that the request may come in.
    #[cfg(feature = "local")]
    pub(super) fn checked_before() -> Self {
        Self { who: Who::Everybody, ..Self::default() }
    }

    pub(super) fn set_rule(&mut self, rule: impl Fn(&Parts) -> bool + Send + Sync + 'static) {
        self.who = Who::Rule(Arc::new(rule));
    }

    pub(super) fn allow_origin(&mut self, origin: &str) -> Result<(), InvalidOrigin> {
        self.cors.allow(origin)
    }

    /// Why a request is refused, if it is.
    pub(super) fn check(&self, parts: &Parts) -> Result<(), &'static str> {
        // A page of another site could use the dashboard with the cookies, or from the machine, of who looks at it.
        if self.cors.is_foreign(&parts.headers, host_of(parts)) || is_cross_site(&parts.headers) {
            return Err(
                "The dashboard takes no requests of other pages than its own: name their origin with allow_origin.",
            );
        }
        match &self.who {
            Who::Everybody => Ok(()),
            Who::Rule(rule) if rule(parts) => Ok(()),
            Who::Rule(_) => Err("You may not see this dashboard."),
            Who::SameMachine => is_from_this_machine(parts),
        }
    }
}

/// Whether a browser says that another site asks for something else than a page to look at, which needs no `Origin`.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let is =
        |name: &str, value: &str| headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes());
    is("sec-fetch-site", "cross-site")
        && !is("sec-fetch-mode", "navigate")
        && !headers.contains_key(header::ORIGIN)
}

/// The address of the peer is needed, and the name that the browser has used: a name of somebody else's may lead here as well
/// (DNS rebinding). What a proxy on this machine passes on comes from elsewhere.
fn is_from_this_machine(parts: &Parts) -> Result<(), &'static str> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let Some(peer) = peer.or_else(|| parts.extensions.get::<SocketAddr>().copied()) else {
        return Err(
            "The dashboard cannot tell where a request comes from, so it refuses all of them. Serve the app with \
             into_make_service_with_connect_info::<SocketAddr>(), so that requests of this machine get in, or say who may \
             see it with DashboardLayer::authorize.",
        );
    };
    let is_passed_on =
        ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| parts.headers.contains_key(*name));
    let host = host_of(parts).map(without_port);
    if peer.ip().to_canonical().is_loopback() && !is_passed_on && host.is_some_and(is_this_machine) {
        Ok(())
    } else {
        Err(
            "The dashboard is for this machine only, at its name localhost, unless DashboardLayer::authorize says who may see it.",
        )
    }
}

fn without_port(host: &str) -> &str {
    let end = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let (name, rest) = host.split_at(end);
    if name.is_empty() { rest.split(':').next().unwrap_or_default() } else { name }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(peer: Option<&str>, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().expect("an address");
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        for (name, value) in headers {
            let name = http::HeaderName::try_from(*name).expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        request.into_parts().0
    }

    #[test]
    fn only_this_machine_gets_in_by_default() {
        let access = Access::default();
        for (peer, host) in [
            ("127.0.0.1:1", "localhost:80"),
            ("127.9.9.9:1", "127.0.0.1"),
            ("[::1]:1", "[::1]:8080"),
            ("[::ffff:127.0.0.1]:1", "app.localhost"),
        ] {
            assert_eq!(access.check(&parts(Some(peer), &[("host", host)])), Ok(()), "{peer} {host}");
        }
        for (peer, headers) in [
            (None, &[("host", "localhost")][..]),
            (Some("10.0.0.1:1"), &[("host", "localhost")]),
            (Some("127.0.0.1:1"), &[]),
            (Some("127.0.0.1:1"), &[("host", "evil.example")]),
            (Some("127.0.0.1:1"), &[("host", "localhost.evil.example")]),
            (Some("127.0.0.1:1"), &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")]),
            (Some("127.0.0.1:1"), &[("host", "localhost"), ("forwarded", "for=10.0.0.1")]),
            (Some("127.0.0.1:1"), &[("host", "localhost"), ("origin", "http://evil.example")]),
            (Some("127.0.0.1:1"), &[("host", "localhost:80"), ("origin", "http://localhost:81")]),
            (Some("127.0.0.1:1"), &[("host", "localhost"), ("origin", "null")]),
            (Some("127.0.0.1:1"), &[("host", "localhost"), ("sec-fetch-site", "cross-site")]),
        ] {
            assert!(access.check(&parts(peer, headers)).is_err(), "{peer:?} {headers:?}");
        }
        let own = [("host", "localhost:80"), ("origin", "http://localhost:80")];
        assert_eq!(access.check(&parts(Some("127.0.0.1:1"), &own)), Ok(()));
        let link = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(access.check(&parts(Some("127.0.0.1:1"), &link)), Ok(()), "a link leads to it");
    }

    #[test]
    fn a_rule_stands_in_the_place_of_the_machine_and_not_of_the_origin() {
        let mut access = Access::default();
        access.set_rule(|parts| parts.headers.contains_key("x-admin"));
        access.allow_origin("https://admin.example").expect("an origin");
        let check = |headers: &[(&str, &str)]| access.check(&parts(Some("10.0.0.1:1"), headers)).is_ok();
        assert!(check(&[("host", "app.example"), ("x-admin", "1")]));
        assert!(check(&[("host", "app.example"), ("x-admin", "1"), ("origin", "https://admin.example")]));
        assert!(!check(&[("host", "app.example")]));
        assert!(!check(&[("host", "app.example"), ("x-admin", "1"), ("origin", "https://evil.example")]));
    }
}
