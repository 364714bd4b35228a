//! A negotiation: the first line is a hub's URL, each line after it an answer. An answer that begins with `!` has
//! status 503. The last answer comes until the negotiation has ended.

use std::time::Duration;

use hubwire::core::negotiate::{
    AvailableTransport, NegotiateAnswer, NegotiateError, NegotiateResponse, Negotiated, Negotiation,
    REQUEST_LIMIT, TransferFormat, Transport, TransportChoice, Transports, refresh_delay,
    with_token_in_query,
};
use hubwire::core::text::clip;
use hubwire::core::token::AccessToken;
use hubwire::core::url::HubUrl;

use crate::reference::{MAX_DEPTH, Members, depth, integer, items, text};

pub(crate) fn run(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let hub = lines.next().and_then(|line| std::str::from_utf8(line).ok()).map(HubUrl::parse);
    let Some(Ok(hub)) = hub else { return };
    url(&hub);
    let mut negotiation = Negotiation::new(hub.clone(), None, hub.query().len() % 2 == 0);
    let (mut token, mut secure, mut requests) = (None, hub.is_https(), 0);
    let mut answer: &[u8] = b"{}";
    loop {
        answer = lines.next().unwrap_or(answer);
        let (status, body) = answer.strip_prefix(b"!").map_or((200, answer), |body| (503, body));
        let request = negotiation.request();
        url(&request.url);
        assert!(request.url.path().ends_with("/negotiate"));
        assert!(request.url.parameter("negotiateVersion").is_some());
        assert_eq!(request.token.as_ref(), token.as_ref());
        requests += 1;
        assert!(requests <= REQUEST_LIMIT);

        let wanted = reference(body);
        let parsed = NegotiateResponse::parse(body);
        match (&parsed, &wanted) {
            (Ok(parsed), Some(wanted)) => assert_eq!(parsed, wanted),
            (Ok(parsed), None) => panic!("taken: {parsed:?}"),
            (Err(error), Some(_)) => {
                assert!(depth(&String::from_utf8_lossy(body)) > MAX_DEPTH, "refused: {error}");
            }
            (Err(_), None) => {}
        }

        let taken = negotiation.handle_answer(NegotiateAnswer { status, body, ..NegotiateAnswer::default() });
        if let (200, Ok(NegotiateResponse { access_token: Some(new), error: None, .. })) = (status, &parsed) {
            token = Some(new.clone());
        }
        assert_eq!(negotiation.token(), token.as_ref());
        assert_eq!(negotiation.has_redirected_token(), token.is_some());
        match taken {
            Ok(Negotiated::Redirect) => {
                assert!(negotiation.url().is_https() || !secure, "the next request is in clear text");
                secure = negotiation.url().is_https();
            }
            Ok(Negotiated::Done(response)) => {
                assert_eq!(Some(&response), wanted.as_ref());
                return done(&negotiation, &response);
            }
            Err(error) => {
                let refused = matches!(error, NegotiateError::Status { status: 503, .. });
                return assert_eq!(refused, status == 503);
            }
        }
    }
}

fn done(negotiation: &Negotiation, response: &NegotiateResponse) {
    let connect = negotiation.connect_url(response);
    url(&connect);
    let (before, after) = (negotiation.url().to_text(), connect.to_text());
    let added = after.strip_prefix(&before).expect("the query is kept");
    match response.transport_id() {
        Some(id) => assert_eq!(decoded(added.get(4..).expect("?id= or &id=")), id.as_bytes()),
        None => assert_eq!(added, ""),
    }
    url(&with_token_in_query(&connect, negotiation.token()));

    for format in [TransferFormat::Text, TransferFormat::Binary] {
        let choice = TransportChoice { allowed: Transports::ALL, available: Transports::ALL, format };
        for offer in &response.available_transports {
            let wanted = Transport::from_name(&offer.transport)
                .filter(|_| offer.transfer_formats.iter().any(|name| name == format.name()));
            assert_eq!(choice.judge(offer).ok(), wanted);
        }
        for delay in [Duration::ZERO, Duration::from_secs(300)] {
            let delay = refresh_delay(response.token_lifetime_seconds, delay);
            let lifetime = response.token_lifetime_seconds.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            assert!(delay.is_none_or(|delay| delay <= Duration::from_secs(lifetime)));
        }
    }
}

/// What has to hold for any URL.
fn url(url: &HubUrl) {
    let text = url.to_text();
    assert_eq!(HubUrl::parse(&text).as_ref(), Ok(url));
    assert!(text.bytes().all(|byte| byte > b' ' && byte != b'#'));
    let shown = format!("{url}");
    assert!(!shown.contains('?') && !shown.contains('#'));
    assert!(!url.host().is_empty() && !url.host().contains('@'));
    assert!(shown.contains(url.host()) && shown.ends_with(url.path()));
    let longer = url.with_query_parameter("added", "1");
    assert_eq!(longer.path(), url.path());
    assert!(longer.query().ends_with("added=1"));
    assert_eq!(url.join("x").query(), url.query());
    assert_eq!(url.to_web_socket_text().strip_prefix("ws"), text.strip_prefix("http"));
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let hex: String = [bytes.next(), bytes.next()].into_iter().flatten().map(char::from).collect();
            u8::from_str_radix(&hex, 16).expect("two hexadecimal digits")
        } else {
            byte
        });
    }
    out
}

/// `None` is an answer that makes no sense.
fn reference(body: &[u8]) -> Option<NegotiateResponse> {
    let body = std::str::from_utf8(body).ok()?;
    let members = Members::parse(body.strip_prefix('\u{feff}').unwrap_or(body))?;
    let any_string = |name: &str| -> Option<Option<String>> {
        let mut last = None;
        for json in members.all(name) {
            last = if json == "null" { None } else { Some(text(json)?) };
        }
        Some(last)
    };
    let string = |name: &str| Some(any_string(name)?.filter(|text| !text.is_empty()));
    let mut negotiate_version = 0;
    for json in members.all("negotiateVersion") {
        negotiate_version = if json == "null" { 0 } else { integer(json)? };
    }
    let mut available_transports = Vec::new();
    for json in members.all("availableTransports") {
        let offers = if json == "null" { Vec::new() } else { items(json)? };
        let offers: Vec<_> = offers.into_iter().filter(|json| *json != "null").collect();
        if offers.len() > 64 {
            return None;
        }
        let offers: Vec<_> = offers.into_iter().map(transport).collect::<Option<_>>()?;
        available_transports = offers.into_iter().flatten().collect();
    }
    let mut response = NegotiateResponse::default();
    response.connection_id = any_string("connectionId")?;
    response.connection_token = string("connectionToken")?.map(AccessToken::from);
    response.negotiate_version = negotiate_version;
    response.available_transports = available_transports;
    response.url = string("url")?;
    response.access_token = string("accessToken")?.map(AccessToken::from);
    response.error = string("error")?;
    response.use_stateful_reconnect = members.get("useStatefulReconnect") == Some("true");
    response.token_lifetime_seconds = members.get("tokenLifetimeSeconds").and_then(integer);
    if response.error.is_some() {
        return Some(response);
    }
    let legacy = members.get("ProtocolVersion").is_some_and(|json| json != "null");
    let nowhere = response.url.is_none() && response.transport_id().is_none();
    (!legacy && !nowhere).then_some(response)
}

/// `Some(None)` is an offer that says nothing.
fn transport(json: &str) -> Option<Option<AvailableTransport>> {
    let members = Members::parse(json)?;
    // A string that can't be one makes the whole answer invalid, wherever it stands.
    let lists: Vec<Vec<&str>> =
        members.all("transferFormats").map(|json| items(json).unwrap_or_default()).collect();
    let texts = |list: &Vec<&str>| {
        list.iter().filter(|json| json.starts_with('"')).map(|json| text(json)).collect::<Option<Vec<_>>>()
    };
    let formats = lists.iter().map(texts).collect::<Option<Vec<_>>>()?;
    let names = members
        .all("transport")
        .map(|json| if json.starts_with('"') { text(json).map(Some) } else { Some(None) })
        .collect::<Option<Vec<_>>>()?;
    let name = names.into_iter().next_back().flatten();
    let formats = formats.into_iter().next_back().unwrap_or_default();
    Some(name.map(|name| AvailableTransport::new(clip(name), formats)))
}
