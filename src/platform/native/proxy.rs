//! Which proxy a request goes through: the one place that decides it, for the client and for services.

use std::env::consts::OS;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use ipnet::IpNet;
use reqwest::Url;

use crate::core::url;

/// Why a text is not the address of a proxy. The text is not shown: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// It is not a URL with a host.
    #[error("the address of the proxy is invalid; it is one such as http://proxy.example.com:3128")]
    Address,
    /// The proxy is of another kind.
    #[error("the kind of proxy is not supported; the address begins with http, https, socks5 or socks5h")]
    Scheme,
}

/// The proxy that HTTP requests and WebSockets go through, natively. In a browser, proxies are the browser's matter.
///
/// Connections without a setting use [`Proxy::from_environment`]. An `http` or `https` proxy gets requests for plain
/// `http` as they are, with everything in them; `https` and all WebSockets go through a tunnel (`CONNECT`). A proxy that
/// does not open a tunnel for a WebSocket leaves Server-Sent Events and long polling. A SOCKS5 proxy carries all of it;
/// `socks5` resolves host names here, `socks5h` leaves them to the proxy.
///
/// This machine (`localhost`, `127.0.0.0/8`, `::1`) is never reached through a proxy, unless
/// [`with_loopback`](Self::with_loopback) asks for it. `Debug` shows no user and no password.
///
/// ```
/// use hubwire::Proxy;
///
/// # fn run() -> Result<(), hubwire::InvalidProxy> {
/// let proxy = Proxy::url("http://user:password@proxy.example.com:3128")?.with_exceptions("intranet.example.com, 10.0.0.0/8");
/// # let _ = proxy;
/// # Ok(())
/// # }
/// # run().unwrap();
/// ```
#[derive(Clone)]
pub struct Proxy(Arc<Rules>);

#[derive(Clone, Default)]
struct Rules {
    http: Option<Choice>,
    https: Option<Choice>,
    exceptions: Vec<Exception>,
    loopback: bool,
    /// The operating system's own settings, where there are any. What the environment says comes first.
    system: Option<Arc<Matcher>>,
}

/// A proxy, or the variable that should hold its address and does not.
#[derive(Clone)]
enum Choice {
    Server(Arc<ProxyServer>),
    Invalid(&'static str),
}

/// One proxy.
pub(crate) struct ProxyServer {
    /// Without a path; a user and a password in it are percent-encoded.
    url: Url,
}

impl Proxy {
    /// What the environment says, read when this is called:
    ///
    /// - `HTTPS_PROXY` for `https` and `wss`, `HTTP_PROXY` for `http` and `ws`, `ALL_PROXY` for those of the two that are
    ///   not set or empty. Lower-case names come first. Without a scheme, an address is one of an `http` proxy.
    /// - `NO_PROXY`: the exceptions, see [`with_exceptions`](Self::with_exceptions).
    /// - In a CGI program (`REQUEST_METHOD` or `GATEWAY_INTERFACE` is set) `HTTP_PROXY` in capitals is ignored, since the
    ///   header `Proxy` of a request ends up in it.
    ///
    /// On Windows and macOS, what the environment leaves open is as in the system's settings.
    #[must_use]
    pub fn from_environment() -> Self {
        let mut rules =
            Rules::read(&|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
        // Elsewhere it would read the same variables again.
        if matches!(OS, "windows" | "macos") {
            rules.system = Some(Arc::new(Matcher::from_system()));
        }
        Self(Arc::new(rules))
    }

    /// No proxy, whatever the environment says.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// This proxy for everything but this machine, whatever the environment says. A user and a password in the address are
    /// percent-encoded; they go to the proxy alone.
    ///
    /// # Errors
    /// [`InvalidProxy`].
    pub fn url(address: &str) -> Result<Self, InvalidProxy> {
        let server = Choice::Server(Arc::new(ProxyServer::parse(address)?));
        Ok(Self(Arc::new(Rules { http: Some(server.clone()), https: Some(server), ..Rules::default() })))
    }

    /// What is reached without the proxy, besides other exceptions: a list as in `NO_PROXY`, separated by commas or
    /// blanks. A name stands for itself and for everything below it (`example.com`, `.example.com`, `*.example.com`), an
    /// address for itself (`10.1.2.3`, `::1`), a network for its addresses (`10.0.0.0/8`, `fd00::/8`), each with a port
    /// (`example.com:8080`, `[::1]:8080`) for that port alone, and `*` for everything.
    #[must_use]
    pub fn with_exceptions(self, list: &str) -> Self {
        self.change(|rules| rules.exceptions.extend(exceptions(list)))
    }

    /// Whether this machine is reached through the proxy as well. The proxy of a plain `http` connection sees its access
    /// token. Default: off.
    #[must_use]
    pub fn with_loopback(self, through_proxy: bool) -> Self {
        self.change(|rules| rules.loopback = through_proxy)
    }

    fn change(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The proxy for an `http` or `https` URL. The error names the environment variable that does not hold an address.
    pub(crate) fn for_url(&self, url: &Url) -> Result<Option<Arc<ProxyServer>>, &'static str> {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if !self.0.loopback && is_this_machine(host, address) {
            return Ok(None);
        }
        let port = url.port_or_known_default();
        if self.0.exceptions.iter().any(|exception| exception.matches(host, address, port)) {
            return Ok(None);
        }
        match if url.scheme() == "https" { &self.0.https } else { &self.0.http } {
            Some(Choice::Server(server)) => Ok(Some(Arc::clone(server))),
            Some(Choice::Invalid(variable)) => Err(variable),
            None => Ok(self.0.system.as_ref().and_then(|system| of_system(system, url))),
        }
    }

    /// Has the requests of an HTTP client go by these rules.
    pub(crate) fn apply(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        let rules = self.clone();
        let proxy = reqwest::Proxy::custom(move |url| Some(rules.for_url(url).ok()??.url.clone()));
        builder.no_proxy().proxy(proxy)
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self::from_environment()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("http", &self.0.http)
            .field("https", &self.0.https)
            .field("exceptions", &self.0.exceptions)
            .field("loopback", &self.0.loopback)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Invalid(variable) => write!(f, "Invalid({variable})"),
        }
    }
}

impl Rules {
    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name| variable(name).filter(|value| !value.trim().is_empty());
        let is_cgi = ["REQUEST_METHOD", "GATEWAY_INTERFACE"].into_iter().any(|name| variable(name).is_some());
        let choice = |names: [&'static str; 2]| {
            let (name, value) = names.into_iter().find_map(|name| Some((name, get(name)?)))?;
            Some(match ProxyServer::parse(&value) {
                Ok(server) => Choice::Server(Arc::new(server)),
                Err(_) => Choice::Invalid(name),
            })
        };
        let http = match (is_cgi, OS == "windows") {
            (false, _) => choice(["http_proxy", "HTTP_PROXY"]),
            (true, false) => choice(["http_proxy", "http_proxy"]),
            // Names of variables have no case there.
            (true, true) => None,
        };
        let all = choice(["all_proxy", "ALL_PROXY"]);
        Self {
            http: http.or_else(|| all.clone()),
            https: choice(["https_proxy", "HTTPS_PROXY"]).or(all),
            exceptions: exceptions(&get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default())
                .collect(),
            ..Self::default()
        }
    }
}

impl ProxyServer {
    fn parse(address: &str) -> Result<Self, InvalidProxy> {
        let address = address.trim();
        let text = match address.split_once("://") {
            // What GNOME writes. curl and others take it for one of SOCKS as well.
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("socks") => format!("socks5h://{rest}"),
            Some(_) => address.to_owned(),
            None => format!("http://{address}"),
        };
        let mut url = Url::parse(&text).map_err(|_| InvalidProxy::Address)?;
        let socks = match url.scheme() {
            "http" | "https" => false,
            "socks5" | "socks5h" => true,
            _ => return Err(InvalidProxy::Scheme),
        };
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(InvalidProxy::Address);
        }
        if socks && url.port().is_none() {
            url.set_port(Some(1080)).map_err(|()| InvalidProxy::Address)?;
        }
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { url })
    }

    #[cfg(feature = "client")]
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it speaks HTTP, and not SOCKS.
    #[cfg(feature = "client")]
    pub(super) fn is_http(&self) -> bool {
        matches!(self.url.scheme(), "http" | "https")
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        match self.url.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The proxy of the operating system's settings.
fn of_system(system: &Matcher, url: &Url) -> Option<Arc<ProxyServer>> {
    let found = system.intercept(&url.as_str().parse().ok()?)?;
    ProxyServer::parse(&found.uri().to_string()).ok().map(Arc::new)
}

/// Wider than what plain `http` is allowed for: also names and addresses that only happen to lead to this machine.
fn is_this_machine(host: &str, address: Option<IpAddr>) -> bool {
    match address.map(|address| address.to_canonical()) {
        Some(address) => address.is_loopback() || address.is_unspecified(),
        None => url::is_this_machine(host),
    }
}

/// What is reached without a proxy.
#[derive(Debug, Clone, PartialEq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Hosts {
    All,
    /// A name and everything below it.
    Name(String),
    Network(IpNet),
}

fn exceptions(list: &str) -> impl Iterator<Item = Exception> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter_map(Exception::parse)
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let (host, port) = match entry.rsplit_once(':') {
            // The colons of an IPv6 address are not those before a port.
            Some((host, port)) if bare(entry).is_none() && !entry.contains('/') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (entry, None),
        };
        let name = host.strip_prefix('*').unwrap_or(host).trim_matches('.');
        let hosts = if host == "*" {
            Hosts::All
        } else if let Ok(network) = host.parse() {
            Hosts::Network(network)
        } else if let Some(address) = bare(host) {
            Hosts::Network(address.into())
        } else if name.is_empty() {
            return None;
        } else {
            Hosts::Name(name.to_ascii_lowercase())
        };
        Some(Self { hosts, port })
    }

    fn matches(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        let host_matches = match &self.hosts {
            Hosts::All => true,
            Hosts::Name(name) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(name.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            Hosts::Network(network) => address.is_some_and(|address| network.contains(&address)),
        };
        host_matches && (self.port.is_none() || self.port == port)
    }
}

#[cfg(test)]
mod tests;
