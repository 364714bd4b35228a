//! `hubwire upstream`: what a service tells its upstream, as it comes.
//!
//! ```text
//! service ─request─▶ handler ─▶ check (signature, token) ─▶ View (line or JSON)
//!                       └─▶ answer, or forward to an app ─▶ View
//! ```

mod answer;
mod check;
mod view;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{Router, body::Body, extract::State};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, stdin},
    net::TcpListener,
};

use crate::{
    cli::{
        failure::Failure,
        output::{FAINT, NAME, Output},
        secret::SecretSource,
        signals::Signals,
        upstream::{
            answer::{Answers, Forward},
            check::Checks,
            view::View,
        },
        value::typed,
    },
    service::upstream::router::{MAX_BODY, READ_TIMEOUT},
};

/// Beside the local service's own port.
const DEFAULT_PORT: u16 = 8889;

/// Show what a service tells its upstream, and answer it
///
/// Start it beside the local service: `hubwire local --upstream 'http://127.0.0.1:8889/{hub}/{category}/{event}'`, or point
/// a tunnel to it. A call that a client waits for is answered with an empty result, unless --answer or --fail gives
/// another; with --forward an app answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire upstream --answer Add=3 --fail 'Divide=by zero'
  hubwire upstream --key env:AzureSignalRConnectionString
  hubwire upstream --forward http://localhost:7071")]
pub(super) struct Arguments {
    /// The port to listen on; 0 takes any free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// The result for a client that invokes this method; repeatable
    #[arg(long = "answer", value_name = "METHOD=VALUE", value_parser = named)]
    answers: Vec<(String, String)>,
    /// The error for a client that invokes this method; repeatable
    #[arg(long = "fail", value_name = "METHOD=TEXT", value_parser = named)]
    failures: Vec<(String, String)>,
    /// Answer every request with this status and no content
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(200..600), conflicts_with_all = ["answers", "failures", "forward"])]
    status: Option<u16>,
    /// Pass requests on to an app: to this URL, or, if it is an origin such as http://localhost:7071, to the same path there
    #[arg(long, value_name = "URL", conflicts_with_all = ["answers", "failures"])]
    forward: Option<String>,
    /// Check signatures with an access key of the service, or with a connection string: env:NAME, file:PATH or -; repeatable
    #[arg(long = "key", value_name = "SOURCE")]
    keys: Vec<SecretSource>,
    /// Check the token of the service's managed identity, which is of this tenant
    #[arg(long, value_name = "ID", requires_all = ["audience", "identities"])]
    tenant: Option<String>,
    /// The resource that the upstream settings name
    #[arg(long, value_name = "URI", requires = "tenant")]
    audience: Option<String>,
    /// An identity that may call: its object id or client id; repeatable
    #[arg(long = "identity", value_name = "ID", requires = "tenant")]
    identities: Vec<String>,
    /// The Entra authority, if it is not that of the public cloud
    #[arg(long, value_name = "URL", requires = "tenant")]
    authority: Option<String>,
    /// Stop when standard input ends
    #[arg(long)]
    until_input_ends: bool,
}

fn named(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((method, value)) if !method.is_empty() => Ok((method.to_owned(), value.to_owned())),
        _ => Err("it has the form METHOD=VALUE"),
    }
}

/// What every request needs.
#[derive(Debug)]
struct App {
    view: View,
    checks: Checks,
    answers: Answers,
    forward: Option<Forward>,
    last: AtomicU64,
}

pub(super) async fn run(arguments: Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let keys = arguments.keys.iter().map(SecretSource::read).collect::<Result<Vec<_>, _>>()?;
    let mut checks = Checks::new(&keys)?;
    if let (Some(tenant), Some(audience)) = (arguments.tenant, arguments.audience) {
        checks.expect_token(tenant, audience, arguments.identities, arguments.authority)?;
    }
    let values = arguments.answers.into_iter().map(|(method, value)| Ok((method, typed(&value)?)));
    let values: Vec<(String, Value)> =
        values.collect::<Result<_, _>>().map_err(|error: String| Failure::usage(error))?;
    let app = App {
        view: View::new(output),
        checks,
        answers: Answers::new(arguments.status, values, arguments.failures),
        forward: arguments.forward.as_deref().map(Forward::new).transpose()?,
        last: AtomicU64::new(0),
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    if app.forward.as_ref().is_some_and(|forward| forward.leads_to(address)) {
        return Err(Failure::usage(format!(
            "--forward leads back to port {}, where this program listens",
            arguments.port
        ))
        .advise("give the URL of the app, or another port with --port"));
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!("port {} cannot be listened on", arguments.port))
            .because(error)
            .advise("give another one with --port; 0 takes any that is free")
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let pattern = format!("{url}/{{hub}}/{{category}}/{{event}}");
    if output.is_json() {
        output.json(&json!({ "type": "listening", "url": url, "pattern": pattern }));
    } else {
        output.line(format_args!("Upstream: {NAME}{pattern}{NAME:#}"));
        output.line(format_args!("{FAINT}Ctrl-C ends{FAINT:#}"));
    }
    let mut signals = Signals::new()?;
    let router = Router::new().fallback(handle).with_state(Arc::new(app));
    let until_input_ends = arguments.until_input_ends;
    let stop = async move {
        let input_ends = async {
            if !until_input_ends {
                return std::future::pending().await;
            }
            let _ = stdin().read_to_end(&mut Vec::new()).await;
        };
        tokio::select! {
            _ = signals.next() => {}
            () = input_ends => {}
        }
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await?;
    Ok(ExitCode::SUCCESS)
}

async fn handle(State(app): State<Arc<App>>, request: Request<Body>) -> Response<Body> {
    let number = app.last.fetch_add(1, Ordering::Relaxed) + 1;
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        _ => {
            app.view.broken(number, &parts, "its body is too long, late or broken");
            return plain(&app, number, StatusCode::BAD_REQUEST, begun);
        }
    };
    let verdict = app.checks.check(&parts).await;
    let seen = app.view.request(number, &parts, &body, &verdict);
    if let Some(forward) = &app.forward {
        let response = forward.pass_on(parts, body).await;
        app.view.answer(number, &response, begun.elapsed());
        return response.into_http();
    }
    let response = match (verdict.is_refused(), seen) {
        (true, _) => return plain(&app, number, StatusCode::UNAUTHORIZED, begun),
        (false, Some(seen)) => app.answers.answer(&seen),
        // A wrong pattern is shown to the user who has set it.
        (false, None) => return plain(&app, number, StatusCode::BAD_REQUEST, begun),
    };
    app.view.answer(number, &response, begun.elapsed());
    response.into_http()
}

fn plain(app: &App, number: u64, status: StatusCode, begun: Instant) -> Response<Body> {
    let response = answer::Answered::empty(status);
    app.view.answer(number, &response, begun.elapsed());
    response.into_http()
}
