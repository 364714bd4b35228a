//! Negotiates as a client does, hop by hop, and keeps what was seen.

use std::time::{Duration, Instant};

use crate::{
    cli::{
        context::Target,
        failure::Failure,
        negotiate::{
            answer::{Answer, header_of, title},
            cors::{self, CorsProblem},
        },
    },
    core::{
        TransportError,
        negotiate::{
            AvailableTransport, NegotiateAnswer, NegotiateError, NegotiateResponse, Negotiated, Negotiation,
        },
        token::{AccessToken, ClientToken},
        url::HubUrl,
    },
    platform::{Cookies, HttpClient, Network},
};

/// One request of a negotiation and its answer.
#[derive(Debug)]
pub(in crate::cli) struct Hop {
    pub(in crate::cli) url: HubUrl,
    /// The token that the request bore, if it is a JWT.
    pub(in crate::cli) token: Option<ClientToken>,
    pub(in crate::cli) bore_token: bool,
    pub(in crate::cli) status: Option<u16>,
    pub(in crate::cli) headers: Vec<(String, String)>,
    pub(in crate::cli) took: Duration,
    pub(in crate::cli) answer: Option<NegotiateResponse>,
    /// Where the answer leads.
    pub(in crate::cli) leads_to: Option<HubUrl>,
    /// What would keep a page of `--origin` from this hop.
    pub(in crate::cli) cors: Vec<CorsProblem>,
    /// The title of the web page that answered.
    pub(in crate::cli) page: Option<String>,
}

/// Why a walk has ended early.
#[derive(Debug)]
pub(in crate::cli) enum Obstacle {
    /// There was no answer.
    Request(TransportError),
    /// The answer leads nowhere.
    Answer(NegotiateError),
    /// An ASP.NET SignalR server is at this path beside the URL.
    Legacy(String),
    /// It leads to plain http.
    Insecure(HubUrl),
    Timeout(Duration),
}

/// A negotiation from its first request to its end.
#[derive(Debug)]
pub(in crate::cli) struct Walk {
    pub(in crate::cli) hops: Vec<Hop>,
    pub(in crate::cli) obstacle: Option<Obstacle>,
    /// The transports that the last server offers, if the walk has got there.
    pub(in crate::cli) offers: Vec<AvailableTransport>,
}

impl Walk {
    pub(in crate::cli) fn is_done(&self) -> bool {
        self.obstacle.is_none()
    }
}

/// The proxy and the certificates of a target.
pub(in crate::cli) fn network(target: &Target) -> Result<Network, Failure> {
    let mut network = Network::default();
    if let Some(pem) = target.root_certificate() {
        network.certificates.add_root(pem);
        network.certificates = network.certificates.check().map_err(Failure::new)?;
    }
    Ok(network)
}

/// The client for a target's requests.
pub(in crate::cli) fn http_client(target: &Target) -> Result<HttpClient, Failure> {
    // A jar of its own, as every start of a connection has one.
    Ok(HttpClient::new(Cookies::new(true, None), &network(target)?)?)
}

/// Negotiates with a target. `origin` is that of a page that would do it in a browser.
pub(in crate::cli) async fn walk(
    target: &Target,
    http: &HttpClient,
    (start, token): (HubUrl, Option<AccessToken>),
    origin: Option<&str>,
    limit: Duration,
) -> Walk {
    let mut walk = Walk { hops: Vec::new(), obstacle: None, offers: Vec::new() };
    let negotiation = Negotiation::new(start.clone(), token, false);
    let done = tokio::time::timeout(limit, walk.go(target, http, &start, negotiation, origin)).await;
    walk.obstacle = match done {
        Ok(Ok(())) => None,
        Ok(Err(obstacle)) => Some(obstacle),
        Err(_) => Some(Obstacle::Timeout(limit)),
    };
    walk
}

impl Walk {
    async fn go(
        &mut self,
        target: &Target,
        http: &HttpClient,
        start: &HubUrl,
        mut negotiation: Negotiation,
        origin: Option<&str>,
    ) -> Result<(), Obstacle> {
        loop {
            let request = negotiation.request();
            let is_own = request.url.has_same_origin(start);
            let mut headers: Vec<_> = target.headers().to_vec();
            // As a client does it: what identifies the user to the app server is not for others.
            let is_of_user = |name: &str| {
                name.eq_ignore_ascii_case("Authorization") || name.eq_ignore_ascii_case("Cookie")
            };
            headers.retain(|(name, _)| is_own || !is_of_user(name));
            headers.push(("X-Requested-With".to_owned(), "XMLHttpRequest".to_owned()));
            let mut hop = Hop {
                url: request.url.clone(),
                token: request.token.as_ref().and_then(|token| ClientToken::parse(token.secret()).ok()),
                bore_token: request.token.is_some(),
                status: None,
                headers: Vec::new(),
                took: Duration::ZERO,
                answer: None,
                leads_to: None,
                cors: Vec::new(),
                page: None,
            };
            let foreign = origin.filter(|origin| !cors::is_same_origin(origin, &request.url));
            if let Some(origin) = foreign {
                headers.push(("Origin".to_owned(), origin.to_owned()));
                hop.cors = cors::preflight(http, &request.url, origin, request.token.is_some()).await;
            }
            // Before it is answered: it may never be.
            self.hops.push(hop);
            let asked = Instant::now();
            let answered =
                http.ask(reqwest::Method::POST, &request.url, request.token.as_ref(), &headers).await;
            let answered = match answered {
                Ok(response) => Answer::read(response).await,
                Err(error) => Err(error),
            };
            let Some(hop) = self.hops.last_mut() else { return Ok(()) };
            hop.took = asked.elapsed();
            let answer = answered.map_err(Obstacle::Request)?;
            hop.status = Some(answer.status);
            hop.headers = answer.headers;
            if let Some(origin) = foreign.filter(|_| hop.cors.is_empty()) {
                hop.cors = cors::answer(&hop.headers, origin);
            }
            hop.answer = NegotiateResponse::parse(&answer.body).ok().filter(|_| answer.status == 200);
            let is_page = answer.body.trim_ascii_start().starts_with(b"<");
            hop.page = is_page.then(|| title(&answer.body)).flatten();
            let reached = negotiation.handle_answer(NegotiateAnswer {
                status: answer.status,
                retry_after: header_of(&hop.headers, "retry-after")
                    .and_then(|text| Some(Duration::from_secs(text.parse().ok()?))),
                content_type: header_of(&hop.headers, "content-type"),
                location: answer.location.as_deref(),
                body: &answer.body,
            });
            match reached {
                Ok(Negotiated::Redirect) => {
                    hop.leads_to = Some(negotiation.url().clone());
                    if target.check_scheme(negotiation.url()).is_err() {
                        return Err(Obstacle::Insecure(negotiation.url().clone()));
                    }
                }
                Ok(Negotiated::Done(response)) => {
                    self.offers = response.available_transports;
                    return Ok(());
                }
                Err(NegotiateError::Status { status: 404, .. }) if self.hops.len() == 1 => {
                    let legacy = self.legacy(http, start).await;
                    let error = NegotiateError::Status { status: 404, retry_after: None, reason: None };
                    return Err(legacy.map_or(Obstacle::Answer(error), Obstacle::Legacy));
                }
                Err(error) => return Err(Obstacle::Answer(error)),
            }
        }
    }

    /// Where an ASP.NET SignalR server would negotiate, if one does.
    async fn legacy(&self, http: &HttpClient, start: &HubUrl) -> Option<String> {
        let root = start.to_text();
        let authority_ends = root.find("://").and_then(|at| Some(at + 3 + root.get(at + 3..)?.find('/')?));
        let origin = root.get(..authority_ends.unwrap_or(root.len()))?;
        let url = HubUrl::parse(&format!("{origin}/signalr/negotiate?clientProtocol=2.1")).ok()?;
        let response = http.ask(reqwest::Method::GET, &url, None, &[]).await.ok()?;
        let answer = Answer::read(response).await.ok()?;
        let is_legacy = matches!(NegotiateResponse::parse(&answer.body), Err(NegotiateError::LegacyServer));
        (answer.status == 200 && is_legacy).then(|| format!("{origin}/signalr"))
    }
}
