//! `hubwire local health`: whether a local service answers, for containers and scripts that wait for it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::builder::BoolishValueParser;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    Proxy, TransportErrorKind,
    cli::{
        duration,
        failure::Failure,
        local::{
            flags,
            settings::{Https, Settings},
        },
        output::{GOOD, Output},
    },
    core::ErrorChain,
    local::LocalService,
    platform::{Network, explain_tls},
};

/// Say whether a local service answers: exit code 0 if it does
///
/// It looks where `hubwire local` with the same settings file, environment and flags would listen, and trusts the certificate
/// that the settings name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire local health
  hubwire local health --port 9000 --wait 30s
  SSL_CERT_FILE=local.pem hubwire local health --tls")]
pub(super) struct Arguments {
    /// The settings file of the service [default: hubwire.json in this folder, or the emulator's settings.json, if it is there]
    #[arg(long, env = "HUBWIRE_LOCAL_SETTINGS", value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The port that it listens on [default: 8888]
    #[arg(long, env = "HUBWIRE_LOCAL_PORT")]
    port: Option<u16>,
    /// The address that it listens on [default: 127.0.0.1]
    #[arg(long, env = "HUBWIRE_LOCAL_ADDRESS", value_name = "IP")]
    address: Option<IpAddr>,
    /// Ask over https
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(),
          env = "HUBWIRE_LOCAL_TLS", value_name = "true|false")]
    tls: Option<bool>,
    /// Trust the certificates of this PEM file, besides those of the system and of SSL_CERT_FILE
    #[arg(long, env = "HUBWIRE_LOCAL_CERTIFICATE", value_name = "PEM FILE")]
    certificate: Option<PathBuf>,
    /// How long to wait for it to start
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    wait: Duration,
}

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after one question the next is asked.
const INTERVAL: Duration = Duration::from_millis(100);

/// Where to ask.
#[derive(Debug)]
struct Place {
    address: IpAddr,
    port: u16,
    tls: bool,
    /// A PEM text to trust.
    root: Option<Vec<u8>>,
}

pub(super) async fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let place = Place::of(arguments)?;
    let deadline = Instant::now() + arguments.wait;
    let answer = loop {
        let answer = place.ask().await;
        if matches!(answer, Ok(StatusCode::OK)) || Instant::now() >= deadline {
            break answer;
        }
        tokio::time::sleep(INTERVAL).await;
    };
    let failure = match answer {
        Ok(StatusCode::OK) => {
            if output.is_json() {
                output.json(&json!({ "healthy": true, "port": place.port }));
            } else {
                output.line(format_args!("{GOOD}healthy{GOOD:#}"));
            }
            return Ok(ExitCode::SUCCESS);
        }
        Ok(status) => Failure::new(format!(
            "what listens on port {} is not a SignalR service that is well: {status}",
            place.port
        ))
        .advise("name the port of the service with --port"),
        Err(unanswered) => place.explain(unanswered).await,
    };
    Err(failure)
}

/// Why there is no answer.
#[derive(Debug)]
enum Unanswered {
    /// Nobody listens.
    Refused(String),
    /// It speaks no TLS.
    Plain,
    Certificate(String),
    Other(String),
}

impl Unanswered {
    fn of(error: &reqwest::Error) -> Self {
        match explain_tls(error) {
            Some((TransportErrorKind::Certificate, text)) => Self::Certificate(text),
            Some(_) => Self::Plain,
            None if error.is_connect() => Self::Refused(ErrorChain::new(error).to_string()),
            None => Self::Other(ErrorChain::new(error).to_string()),
        }
    }
}

impl Place {
    fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let document = flags::document(arguments.settings.as_deref())?;
        let settings = document.as_ref().map(Settings::of).transpose()?.unwrap_or_default();
        let port = arguments.port.or(settings.port).unwrap_or(LocalService::EMULATOR_PORT);
        if port == 0 {
            return Err(Failure::usage("the port is 0, so the service listens on any that was free")
                .advise("name the port that it has printed, with --port"));
        }
        let certificate = arguments.certificate.clone().or(match settings.https {
            Some(Https::Files { certificate, .. }) => Some(certificate),
            _ => None,
        });
        let read = |path: PathBuf| {
            std::fs::read(&path)
                .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))
        };
        Ok(Self {
            address: arguments.address.or(settings.address).unwrap_or(Ipv4Addr::LOCALHOST.into()),
            port,
            tls: arguments.tls.or(settings.tls).unwrap_or(false),
            root: certificate.map(read).transpose()?,
        })
    }

    /// How whatever listens there answers the question for the service's health.
    async fn ask(&self) -> Result<StatusCode, Unanswered> {
        let other = |error: &dyn std::fmt::Display| Unanswered::Other(error.to_string());
        let builder = if self.tls {
            let mut network = Network { proxy: Proxy::none(), ..Network::default() };
            if let Some(pem) = &self.root {
                network.certificates.add_root(pem);
                network.certificates = network.certificates.check().map_err(|error| other(&error))?;
            }
            network.http_client_builder()
        } else {
            // A container need not have certificates.
            Network::plain_http_client_builder()
        };
        let builder = builder.map_err(|error| other(&error))?;
        let client = builder.timeout(TIMEOUT).build().map_err(|error| other(&error))?;
        // Where it listens everywhere, it listens on the loopback interface.
        let address = match self.address {
            IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        let scheme = if self.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/api/health", SocketAddr::new(address, self.port));
        let answer = client.head(url).send().await.map_err(reqwest::Error::without_url);
        answer.map(|answer| answer.status()).map_err(|error| Unanswered::of(&error))
    }

    /// What to do where there is no answer, which may be there in another scheme.
    async fn explain(&self, unanswered: Unanswered) -> Failure {
        let port = self.port;
        match unanswered {
            Unanswered::Refused(error) => Failure::new(format!("nothing on port {port} answers: {error}"))
                .advise(format!(
                    "start a service with `hubwire local --port {port}`, or name its port with --port"
                )),
            Unanswered::Plain => {
                Failure::new(format!("what listens on port {port} speaks http, and was asked over https"))
                    .advise("ask without --tls, or with --tls=false where the settings have it")
            }
            Unanswered::Certificate(text) => {
                // What follows the semicolon is for programs that use the library.
                let text = text.split(';').next().unwrap_or_default();
                Failure::new(format!("what listens on port {port} speaks https, but is not trusted: {text}")).advise(
                    "start it with `--write-certificate FILE`, and name that file with --certificate or in SSL_CERT_FILE",
                )
            }
            Unanswered::Other(error) => {
                let over_tls = Self { tls: true, address: self.address, port, root: None };
                let speaks_tls =
                    !self.tls && matches!(over_tls.ask().await, Ok(_) | Err(Unanswered::Certificate(_)));
                if speaks_tls {
                    return Failure::new(format!(
                        "what listens on port {port} speaks https, and was asked over http"
                    ))
                    .advise("ask with --tls");
                }
                Failure::new(format!(
                    "what listens on port {port} does not answer as a SignalR service does: {error}"
                ))
                .advise("name the port of the service with --port")
            }
        }
    }
}

/// Whether a service that is well has this port, with or without TLS.
pub(super) async fn is_service(address: IpAddr, port: u16) -> bool {
    let asked = |tls| async move { Place { address, port, tls, root: None }.ask().await };
    match asked(false).await {
        Ok(status) => status.is_success(),
        // One whose certificate was made for its run is trusted by nobody.
        Err(_) => asked(true).await.is_ok_and(|status| status.is_success()),
    }
}
