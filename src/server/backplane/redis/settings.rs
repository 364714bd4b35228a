//! Where Redis is, and how it is spoken to.

use std::{fmt, time::Duration};

use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};

use super::FetchCredentials;
use crate::{platform::Certificates, server::random::random_bytes};

/// Redis's port, and that of Azure Cache for Redis with TLS.
const PORT: u16 = 6379;
const TLS_PORT: u16 = 6380;

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why Redis cannot be found by what was given. The text does not quote it: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisSettingsError {
    /// It is not an address of Redis.
    #[error(
        "this is not an address of Redis such as redis://user:password@host:6379, or a connection string such as host:6380,password=…,ssl=True"
    )]
    Address,
    /// The connection string has an option that is not known here.
    #[error("the option {0} of a connection string is not known here")]
    UnknownOption(String),
    /// An option of the connection string has no such value.
    #[error("the option {0} of the connection string has another kind of value")]
    Value(&'static str),
    /// The credential gives no Entra tokens.
    #[error("{0}")]
    Credential(String),
    /// A certificate cannot be used.
    #[error("{0}")]
    Certificate(String),
}

#[derive(Clone)]
pub(super) struct Settings {
    /// Host and port of each server.
    pub(super) servers: Vec<(String, u16)>,
    pub(super) tls: bool,
    pub(super) redis: RedisConnectionInfo,
    pub(super) channel_prefix: String,
    pub(super) credentials: Option<FetchCredentials>,
    pub(super) certificates: Certificates,
    roots: Certificates,
    pub(super) response_timeout: Duration,
    pub(super) keep_alive_interval: Duration,
}

/// The password is redacted by the type that has it.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .field("tls", &self.tls)
            .field("redis", &self.redis)
            .field("channel_prefix", &self.channel_prefix)
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn new() -> Self {
        Self {
            servers: Vec::new(),
            tls: false,
            redis: RedisConnectionInfo::default(),
            channel_prefix: String::new(),
            credentials: None,
            certificates: Certificates::default(),
            roots: Certificates::default(),
            response_timeout: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(10),
        }
    }

    pub(super) fn read(address: &str) -> Result<Self, RedisSettingsError> {
        let mut settings = Self::new();
        match address.trim().split_once("://") {
            Some((scheme, rest)) => settings.read_url(scheme, rest)?,
            None => settings.read_connection_string(address)?,
        }
        settings.redis = settings.redis.set_protocol(redis::ProtocolVersion::RESP3);
        Ok(settings)
    }

    pub(super) fn add_root(&mut self, pem: &[u8]) -> Result<(), RedisSettingsError> {
        self.roots.add_root(pem);
        self.certificates = self.roots.clone().check().map_err(RedisSettingsError::Certificate)?;
        Ok(())
    }

    fn read_url(&mut self, scheme: &str, rest: &str) -> Result<(), RedisSettingsError> {
        self.tls = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(RedisSettingsError::Address),
        };
        // TLS is ours.
        let url = format!("redis://{rest}");
        let info = url.as_str().into_connection_info().map_err(|_| RedisSettingsError::Address)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(RedisSettingsError::Address) };
        self.servers = vec![(host.clone(), *port)];
        self.redis = info.redis_settings().clone();
        Ok(())
    }

    /// The notation of StackExchange.Redis: hosts and options, with commas between them.
    fn read_connection_string(&mut self, text: &str) -> Result<(), RedisSettingsError> {
        let mut hosts = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                None => hosts.push(part),
                Some((name, value)) => self.read_option(name.trim(), value.trim())?,
            }
        }
        for host in hosts {
            let port = if self.tls { TLS_PORT } else { PORT };
            self.servers.push(host_and_port(host, port).ok_or(RedisSettingsError::Address)?);
        }
        if self.servers.is_empty() { Err(RedisSettingsError::Address) } else { Ok(()) }
    }

    fn read_option(&mut self, name: &str, value: &str) -> Result<(), RedisSettingsError> {
        let redis = self.redis.clone();
        match name.to_ascii_lowercase().as_str() {
            "password" => self.redis = redis.set_password(value),
            "user" => self.redis = redis.set_username(value),
            "ssl" => {
                self.tls =
                    value.to_ascii_lowercase().parse().map_err(|_| RedisSettingsError::Value("ssl"))?;
            }
            "channelprefix" => value.clone_into(&mut self.channel_prefix),
            "defaultdatabase" => {
                let db = value.parse().map_err(|_| RedisSettingsError::Value("defaultDatabase"))?;
                self.redis = redis.set_db(db);
            }
            "synctimeout" | "asynctimeout" | "responsetimeout" => {
                let timeout = value.parse().map_err(|_| RedisSettingsError::Value("asyncTimeout"))?;
                self.response_timeout = Duration::from_millis(timeout);
            }
            "keepalive" => {
                let seconds = value.parse().map_err(|_| RedisSettingsError::Value("keepAlive"))?;
                self.keep_alive_interval = Duration::from_secs(seconds);
            }
            // How a client of .NET connects and is shown. This one connects for as long as it takes.
            "abortconnect" | "allowadmin" | "connectretry" | "connecttimeout" | "name" | "clientname"
            | "resolvedns" | "protocol" | "version" | "sslprotocols" => {}
            _ => return Err(RedisSettingsError::UnknownOption(crate::core::text::clip(name).into_owned())),
        }
        Ok(())
    }
}

/// `host`, `host:port`, or an IPv6 address in brackets with or without a port.
fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (text, default),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty() && !host.contains([' ', '/', '@'])).then(|| (host.to_owned(), port))
}

/// Between two attempts to connect: longer each time, and not the same for all servers.
pub(super) fn pause(attempt: u32) -> Duration {
    let longest = Duration::from_millis(100).saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    let [byte, ..] = random_bytes::<16>();
    longest / 2 + (longest / 2) * u32::from(byte) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read() {
        let url = Settings::read("rediss://ann:p%40ss@[::1]:6380/2").unwrap();
        assert_eq!((url.servers, url.tls), (vec![("::1".to_owned(), 6380)], true));
        let redis = &url.redis;
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("ann"), Some("p@ss"), 2));

        let text = "one.example.com,two.example.com:7000,password=a=b,ssl=True,abortConnect=False,channelPrefix=app1:";
        let settings = Settings::read(text).unwrap();
        let servers = vec![("one.example.com".to_owned(), 6380), ("two.example.com".to_owned(), 7000)];
        assert_eq!((settings.servers, settings.tls), (servers, true));
        assert_eq!((settings.redis.password(), &*settings.channel_prefix), (Some("a=b"), "app1:"));
        assert_eq!(Settings::read("[::1]").unwrap().servers, [("::1".to_owned(), 6379)]);
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for text in ["", "http://host", "redis://", "password=secret", "host:port,password=secret", "a/b"] {
            assert_eq!(Settings::read(text).err(), Some(RedisSettingsError::Address), "{text}");
        }
        let misspelt = Settings::read("host,pasword=secret").unwrap_err();
        assert_eq!(misspelt, RedisSettingsError::UnknownOption("pasword".to_owned()));
        let settings = Settings::read("host,password=secret").unwrap();
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        assert!(pause(0) <= Duration::from_millis(100));
        assert!(pause(100) <= LONGEST_PAUSE && pause(100) >= LONGEST_PAUSE / 2);
    }
}
