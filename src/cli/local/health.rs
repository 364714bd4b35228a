//! `hubwire local health`: whether a local service answers, for containers and scripts that wait for it.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    Proxy,
    cli::{
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
    /// Waits this many seconds for it to start
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after one question the next is asked.
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let Arguments { port, wait } = *arguments;
    let deadline = Instant::now() + Duration::from_secs(wait);
    let answer = loop {
        let answer = ask(port).await;
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
pub(super) async fn ask(port: u16) -> Result<StatusCode, Failure> {
    let network = Network { proxy: Proxy::none(), ..Network::default() };
    let client = network.http_client_builder()?.timeout(TIMEOUT).build()?;
    let url = format!("http://127.0.0.1:{port}/api/health");
    let answer = client.head(url).send().await.map_err(reqwest::Error::without_url);
    let answer =
        answer.map_err(|error| Failure::new(format!("nothing on port {port} answers")).because(error))?;
    Ok(answer.status())
}
