//! The way of a client: address, TLS, negotiate, transports.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::{
    ConnectionError, Transport, TransportErrorKind,
    cli::{
        context::Target,
        doctor::{Outcome, Section},
        duration::words,
        failure::{Failure, in_flags},
        negotiate::{Walk, choose, explain, header_of, http_client, network, walk},
    },
    core::{ErrorChain, url::HubUrl},
    platform::{Network, explain_tls, unix_now},
};

/// What differs by less is a rounded second and the way of the answer.
const TOLERATED_SKEW: u64 = 60;
/// A certificate that ends within these days is worth a word.
const SOON: i64 = 14;

pub(super) async fn check(target: &Target) -> Result<Section, Failure> {
    let limit = target.timeout();
    let mut section = Section { place: target.label().to_owned(), steps: Vec::new() };
    let start = target.start().await?;
    target.check_scheme(&start.0)?;
    let network = network(target)?;
    let is_direct = reqwest::Url::parse(&start.0.to_text())
        .is_ok_and(|url| matches!(network.proxy.for_url(&url), Ok(None)));
    if is_direct {
        if !address(&mut section, &start.0, &network, limit).await {
            return Ok(section);
        }
    } else {
        section.add(
            "address",
            Duration::ZERO,
            Outcome::Ok("by the proxy that the environment names".to_owned()),
        );
    }
    let http = http_client(target)?;
    let began = Instant::now();
    let walk = walk(target, &http, start, None, limit).await;
    let outcome = match explain(target, &walk) {
        Some((problem, advice)) => {
            Outcome::Problem(advice.map_or(problem.clone(), |advice| format!("{problem}; {advice}")))
        }
        None => Outcome::Ok(match walk.hops.len() {
            1 => "the server answers".to_owned(),
            hops => format!("by {hops} requests, to {}", walk.hops[hops - 1].url.host()),
        }),
    };
    section.add("negotiate", began.elapsed(), outcome);
    clock(&mut section, &walk);
    if walk.is_done() {
        transports(&mut section, target, &walk, limit).await?;
    }
    Ok(section)
}

/// Finds the machine, and speaks TLS with it.
async fn address(section: &mut Section, url: &HubUrl, network: &Network, limit: Duration) -> bool {
    let host = url.host().trim_matches(['[', ']']);
    let port = url.port().unwrap_or(if url.is_https() { 443 } else { 80 });
    let within = |error: &str| format!("{error} within {}", words(limit));
    let began = Instant::now();
    let found = tokio::time::timeout(limit, lookup_host((host, port))).await;
    let found: Vec<_> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            let text = format!("the name {host} is not known: {error}; check how it is written, and DNS");
            section.add("address", began.elapsed(), Outcome::Problem(text));
            return false;
        }
        Err(_) => {
            section.add("address", began.elapsed(), Outcome::Problem(within("DNS did not answer")));
            return false;
        }
    };
    let shown: Vec<_> = found.iter().take(4).map(|address| address.ip().to_string()).collect();
    section.add("address", began.elapsed(), Outcome::Ok(shown.join(", ")));
    let began = Instant::now();
    let connected = tokio::time::timeout(limit, TcpStream::connect(&found[..])).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let text = format!(
                "nobody answers at port {port}: {error}; is the server running, and is the port right?"
            );
            section.add("connection", began.elapsed(), Outcome::Problem(text));
            return false;
        }
        Err(_) => {
            let text = within(&format!("nobody answers at port {port}"));
            section.add(
                "connection",
                began.elapsed(),
                Outcome::Problem(format!("{text}; a firewall may drop it")),
            );
            return false;
        }
    };
    let reached = stream.peer_addr().map_or_else(|_| format!("port {port}"), |peer| peer.to_string());
    section.add("connection", began.elapsed(), Outcome::Ok(format!("to {reached}")));
    !url.is_https() || tls(section, stream, host, network, limit).await
}

async fn tls(
    section: &mut Section,
    stream: TcpStream,
    host: &str,
    network: &Network,
    limit: Duration,
) -> bool {
    let began = Instant::now();
    let done = tokio::time::timeout(limit, async {
        let config = network.certificates.config().map_err(std::io::Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    });
    let outcome = match done.await {
        Err(_) => Outcome::Problem(format!("the server did not answer within {}", words(limit))),
        Ok(Err(error)) => Outcome::Problem(in_flags(&explain_tls(&error).map_or_else(
            || format!("{}; does the server speak TLS at this port?", ErrorChain::new(&error)),
            |(_, text)| text,
        ))),
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let version = match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                _ => "TLS 1.2",
            };
            let ends = session.peer_certificates().and_then(|chain| days_left(chain.first()?));
            match ends {
                Some(days) if days <= SOON => {
                    Outcome::Limited(format!("{version}; the certificate ends in {days} days: renew it"))
                }
                Some(days) => Outcome::Ok(format!("{version}, the certificate is good for {days} days")),
                None => Outcome::Ok(version.to_owned()),
            }
        }
    };
    let works = !matches!(outcome, Outcome::Problem(_));
    section.add("TLS", began.elapsed(), outcome);
    works
}

fn days_left(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let now = i64::try_from(unix_now().as_secs()).ok()?;
    Some((certificate.validity().not_after.timestamp() - now) / 86_400)
}

/// Compares the clocks, by the header `Date` of the last answer.
fn clock(section: &mut Section, walk: &Walk) {
    let date = walk.hops.last().and_then(|hop| header_of(&hop.headers, "date"));
    let Some(theirs) = date.and_then(|date| azure_core::time::parse_rfc7231(date).ok()) else { return };
    let Ok(theirs) = u64::try_from(theirs.unix_timestamp()) else { return };
    let ours = unix_now().as_secs();
    let apart = ours.abs_diff(theirs);
    let outcome = if apart <= TOLERATED_SKEW {
        Outcome::Ok("those of both machines agree".to_owned())
    } else {
        let side = if ours > theirs { "ahead of" } else { "behind" };
        Outcome::Limited(format!(
            "this machine's is {} {side} the server's: tokens may not be valid yet, or no longer; synchronize it (NTP)",
            words(Duration::from_secs(apart))
        ))
    };
    section.add("clocks", Duration::ZERO, outcome);
}

/// What to do about a transport that was not opened. Where the server itself has answered, nothing on the way is to blame.
fn advice(transport: Transport, error: &ConnectionError) -> Option<&'static str> {
    match (error, error.status(), error.kind()) {
        // The words of Azure SignalR Service in default mode.
        (ConnectionError::Handshake(text), ..)
            if text.to_lowercase().contains("app servers are not connected") =>
        {
            Some(
                "start the app server of this hub, with this connection string and the same application name; or set the service \
             mode to Serverless, if there is to be none",
            )
        }
        (ConnectionError::Handshake(_), ..) => {
            Some("the transport works; if the protocol is refused, try another with --protocol")
        }
        (ConnectionError::ServerClosed { .. } | ConnectionError::Protocol(_), ..) => {
            Some("the transport works; the server's log says why it has closed the connection")
        }
        (_, _, TransportErrorKind::Proxy { .. }) => {
            Some("let the proxy of this machine pass it, or name the host in NO_PROXY")
        }
        (_, Some(401), _) => Some(
            "the transports need the token too: does the server read it from `access_token` in the query?",
        ),
        (_, Some(403), _) => Some("the user may not use this hub, or the page's origin is not allowed"),
        // Its text says it all.
        (_, Some(404), _) => None,
        (_, Some(429), _) => Some("the limit of connections is reached"),
        (_, Some(500), _) => Some("the server's log says what has failed"),
        (
            ConnectionError::Transport(_)
            | ConnectionError::NoTransport { .. }
            | ConnectionError::Timeout { .. },
            ..,
        ) => Some(on_the_way(transport)),
        _ => None,
    }
}

/// What keeps a transport back between client and server.
fn on_the_way(transport: Transport) -> &'static str {
    match transport {
        Transport::WebSockets => {
            "let proxies pass on the Upgrade header, and switch WebSockets on in the web server"
        }
        Transport::ServerSentEvents => "a proxy may hold the answer back: switch its buffering off",
        Transport::LongPolling => {
            "a proxy may end requests that take long, or spread them over several servers"
        }
    }
}

/// Opens a connection over each transport that the server offers.
async fn transports(
    section: &mut Section,
    target: &Target,
    walk: &Walk,
    limit: Duration,
) -> Result<(), Failure> {
    let choice = choose(target, walk);
    let mut works = false;
    let first = section.steps.len();
    for (name, _, reason) in &choice.offers {
        if let Some(reason) = reason {
            section.add(name, Duration::ZERO, Outcome::Limited(ErrorChain::new(reason).to_string()));
            continue;
        }
        let Some(transport) = Transport::from_name(name) else { continue };
        let connection = target.connection().await?;
        let connection =
            connection.with_transports(transport).with_handshake_timeout(limit).with_request_timeout(limit);
        let began = Instant::now();
        let outcome = match tokio::time::timeout(limit, connection.connect()).await {
            Ok(Ok(connection)) => {
                let took = began.elapsed();
                connection.stop().await;
                section.add(name, took, Outcome::Ok("open, and the handshake was answered".to_owned()));
                works = true;
                continue;
            }
            Ok(Err(error)) => {
                let advice = advice(transport, &error).map_or(String::new(), |advice| format!("; {advice}"));
                format!("{}{advice}", ErrorChain::new(&error))
            }
            Err(_) => format!("it was not open within {}; {}", words(limit), on_the_way(transport)),
        };
        section.add(name, began.elapsed(), Outcome::Limited(outcome));
    }
    if !works {
        for step in section.steps.iter_mut().skip(first) {
            if let Outcome::Limited(text) = &step.outcome {
                step.outcome = Outcome::Problem(text.clone());
            }
        }
        if choice.offers.is_empty() {
            section.add("transports", Duration::ZERO, Outcome::Problem("the server offers none".to_owned()));
        }
    }
    Ok(())
}
