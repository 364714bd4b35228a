//! `hubwire local health`: whether a local service answers, for containers and scripts that wait for it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    Proxy,
    cli::{
        duration,
        failure::Failure,
        output::{GOOD, Output},
    },
    local::LocalService,
    platform::Network,
};

/// Say whether a local service answers: exit code 0 if it does
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The port that it listens on
    #[arg(long, env = "HUBWIRE_LOCAL_PORT", default_value_t = LocalService::EMULATOR_PORT)]
    port: u16,
    /// The address that it listens on
    #[arg(long, env = "HUBWIRE_LOCAL_ADDRESS", value_name = "IP", default_value_t = Ipv4Addr::LOCALHOST.into())]
    address: IpAddr,
    /// Asks over https, with a certificate that the system trusts, or SSL_CERT_FILE
    #[arg(long, env = "HUBWIRE_LOCAL_TLS", value_parser = clap::builder::FalseyValueParser::new())]
    tls: bool,
    /// Waits this long for it to start
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    wait: Duration,
}

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after one question the next is asked.
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let Arguments { port, address, tls, wait } = *arguments;
    let scheme = if tls { "https" } else { "http" };
    let deadline = Instant::now() + wait;
    let answer = loop {
        let answer = ask(address, port, scheme).await;
        if matches!(answer, Ok(StatusCode::OK)) || Instant::now() >= deadline {
            break answer;
        }
        tokio::time::sleep(INTERVAL).await;
    };
    let failure = match answer {
        Ok(StatusCode::OK) => {
            if output.is_json() {
                output.json(&json!({ "healthy": true, "port": port }));
            } else {
                output.line(format_args!("{GOOD}healthy{GOOD:#}"));
            }
            return Ok(ExitCode::SUCCESS);
        }
        Ok(status) => Failure::new(format!(
            "what listens on port {port} is not a SignalR service that is well: {status}"
        )),
        Err(failure) => failure,
    };
    Err(failure.advise(format!("start one with `hubwire local --port {port}`")))
}

/// How whatever listens there answers the question for the service's health.
pub(super) async fn ask(address: IpAddr, port: u16, scheme: &str) -> Result<StatusCode, Failure> {
    let client = match scheme {
        "https" => Network { proxy: Proxy::none(), ..Network::default() }.http_client_builder()?,
        // A container need not have certificates.
        _ => Network::plain_http_client_builder()?,
    };
    let client = client.timeout(TIMEOUT).build()?;
    // Where it listens everywhere, it listens on the loopback interface.
    let address = match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    let url = format!("{scheme}://{}/api/health", SocketAddr::new(address, port));
    let answer = client.head(url).send().await.map_err(reqwest::Error::without_url);
    let answer =
        answer.map_err(|error| Failure::new(format!("nothing on port {port} answers")).because(error))?;
    Ok(answer.status())
}
