//! What is shown of a negotiation: for people, and as JSON.

use serde_json::{Value, json};

use crate::{
    HubProtocol, Transport,
    cli::{
        context::Target,
        duration::{milliseconds, words},
        negotiate::{
            explain::explain,
            walk::{Hop, Walk},
        },
        output::{BAD, FAINT, GOOD, NAME, Output, STRONG, WARNING},
        value::printable,
    },
    core::{
        ErrorChain,
        negotiate::{SkipReason, TransferFormat, TransportChoice},
        token::ClientToken,
    },
    platform,
};

/// Which of the transports that a server offers a client takes.
#[derive(Debug)]
pub(in crate::cli) struct Choice {
    /// Each offer in the server's order: its name, its formats, and why it cannot be taken.
    pub(in crate::cli) offers: Vec<(String, Vec<String>, Option<SkipReason>)>,
    pub(in crate::cli) chosen: Option<Transport>,
}

/// The choice as the client makes it.
pub(in crate::cli) fn choose(target: &Target, walk: &Walk) -> Choice {
    let format = match target.protocol() {
        HubProtocol::MessagePack => TransferFormat::Binary,
        _ => TransferFormat::Text,
    };
    let rule = TransportChoice { allowed: target.transports(), available: platform::transports(), format };
    let mut choice = Choice { offers: Vec::new(), chosen: None };
    for offer in &walk.offers {
        let judged = rule.judge(offer);
        choice.chosen = choice.chosen.or(judged.as_ref().ok().copied());
        choice.offers.push((offer.transport.clone(), offer.transfer_formats.clone(), judged.err()));
    }
    choice
}

fn protocol_name(protocol: HubProtocol) -> &'static str {
    match protocol {
        HubProtocol::MessagePack => "messagepack",
        _ => "json",
    }
}

/// `{target, hops, transports, chosen, protocol, error, advice}`: see the fields below. Times are in milliseconds.
pub(super) fn json(target: &Target, walk: &Walk, choice: &Choice) -> Value {
    let (error, advice) = explain(target, walk).map_or((None, None), |(error, advice)| (Some(error), advice));
    let transports: Vec<_> = choice
        .offers
        .iter()
        .map(|(name, formats, reason)| {
            let reason = reason.as_ref().map(|reason| ErrorChain::new(reason).to_string());
            json!({ "name": name, "formats": formats, "reason": reason })
        })
        .collect();
    json!({
        "target": target.label(),
        "hops": walk.hops.iter().map(hop_json).collect::<Vec<_>>(),
        "transports": transports,
        "chosen": choice.chosen.map(Transport::name),
        "protocol": protocol_name(target.protocol()),
        "error": error,
        "advice": advice,
    })
}

fn hop_json(hop: &Hop) -> Value {
    let answer = hop.answer.as_ref().map(|answer| {
        json!({
            "negotiateVersion": answer.negotiate_version,
            "connectionId": answer.connection_id,
            "connectionTokenLength": answer.connection_token.as_ref().map(|token| token.secret().len()),
            "accessTokenLength": answer.access_token.as_ref().map(|token| token.secret().len()),
            "useStatefulReconnect": answer.use_stateful_reconnect,
            "tokenLifetimeSeconds": answer.token_lifetime_seconds,
        })
    });
    let headers: serde_json::Map<_, _> =
        hop.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "url": hop.url.to_string(),
        "hasToken": hop.bore_token,
        "token": hop.token.as_ref().map(token_json),
        "status": hop.status,
        "milliseconds": milliseconds(hop.took),
        "headers": headers,
        "answer": answer,
        "leadsTo": hop.leads_to.as_ref().map(ToString::to_string),
        "corsProblems": hop.cors.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn token_json(token: &ClientToken) -> Value {
    json!({
        "audience": token.audience(),
        "hub": token.hub(),
        "user": token.user_id(),
        "expiresInSeconds": token.expires_in(now()).map(|left| left.as_secs()),
        "claims": token.claim_names().collect::<Vec<_>>(),
    })
}

fn now() -> i64 {
    i64::try_from(platform::unix_now().as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn print(target: &Target, walk: &Walk, choice: &Choice, output: &Output) {
    for (index, hop) in walk.hops.iter().enumerate() {
        print_hop(index + 1, hop, output);
    }
    if walk.is_done() {
        print_offers(target, walk, choice, output);
    } else if let Some((problem, advice)) = explain(target, walk) {
        output.line(format_args!("\n{BAD}A client does not get in:{BAD:#} {problem}"));
        if let Some(advice) = advice {
            output.line(advice);
        }
    }
}

fn print_hop(number: usize, hop: &Hop, output: &Output) {
    let fact = |name: &str, value: &dyn std::fmt::Display| {
        output.line(format_args!("   {FAINT}{name:<12}{FAINT:#} {value}"));
    };
    output.line(format_args!("{STRONG}{number}. POST{STRONG:#} {NAME}{}{NAME:#}", hop.url));
    match &hop.token {
        Some(token) => fact("token", &described(token)),
        None if hop.bore_token => fact("token", &"not a JSON Web Token"),
        None => fact("token", &"none"),
    }
    if let Some(status) = hop.status {
        let style = if status == 200 { GOOD } else { BAD };
        fact("status", &format_args!("{style}{status}{style:#} after {:.0} ms", milliseconds(hop.took)));
    }
    for (name, value) in &hop.headers {
        let is_usual = name == "date" || (name == "content-type" && value.contains("json"));
        if !is_usual {
            fact("header", &format_args!("{name}: {value}"));
        }
    }
    if let (Some(answer), None) = (&hop.answer, &hop.leads_to) {
        fact("version", &answer.negotiate_version);
        if let Some(id) = &answer.connection_id {
            fact("connection", &printable(id));
        }
        if let Some(token) = &answer.connection_token {
            fact("its token", &format_args!("{} characters", token.secret().len()));
        }
        fact("stateful", &if answer.use_stateful_reconnect { "offered" } else { "not asked for" });
    }
    if let Some(seconds) = hop.answer.as_ref().and_then(|answer| answer.token_lifetime_seconds) {
        fact(
            "lifetime",
            &format_args!("{seconds} s (tokenLifetimeSeconds): the authentication can be refreshed"),
        );
    }
    if let Some(url) = &hop.leads_to {
        let token = match hop.answer.as_ref().and_then(|answer| answer.access_token.as_ref()) {
            Some(token) => format!("with a token of {} characters", token.secret().len()),
            None => "without a token".to_owned(),
        };
        fact("leads to", &format_args!("{NAME}{url}{NAME:#} {token}"));
    }
    for problem in &hop.cors {
        output.line(format_args!("   {BAD}{:<12}{BAD:#} {problem}", "CORS"));
    }
}

/// What a token says, on one line.
fn described(token: &ClientToken) -> String {
    let user =
        token.user_id().map_or("of nobody by name".to_owned(), |user| format!("of {}", printable(&user)));
    let hub = token.hub().map(|hub| format!(", for the hub {}", printable(&hub))).unwrap_or_default();
    let left = match token.expires_in(now()) {
        Some(left) if left.is_zero() => format!("{BAD}expired{BAD:#}"),
        Some(left) => format!("valid for {}", words(left)),
        None => "without an end".to_owned(),
    };
    format!("{user}{hub}, {left}")
}

fn print_offers(target: &Target, walk: &Walk, choice: &Choice, output: &Output) {
    output.line(format_args!("\n{STRONG}Transports{STRONG:#}, in the server's order"));
    let mut is_taken = false;
    for (name, formats, reason) in &choice.offers {
        let (name, formats) = (printable(name), printable(&formats.join(", ")));
        let verdict = match reason {
            Some(reason) => format!("{WARNING}not taken{WARNING:#}: {}", ErrorChain::new(reason)),
            None if is_taken => "only if what is before it cannot be opened".to_owned(),
            None => {
                is_taken = true;
                format!("{GOOD}taken{GOOD:#}")
            }
        };
        output.line(format_args!("   {NAME}{name:<17}{NAME:#} {formats:<13} {verdict}"));
    }
    let protocol = protocol_name(target.protocol());
    match choice.chosen {
        Some(transport) => {
            let url = walk.hops.last().map(|hop| hop.url.to_string()).unwrap_or_default();
            let url = url.strip_suffix("/negotiate").unwrap_or(&url);
            output.line(format_args!(
                "\n{GOOD}A client connects{GOOD:#} to {url} over {transport}, in {protocol}"
            ));
        }
        None => {
            output.line(format_args!(
                "\n{BAD}A client does not get in:{BAD:#} no transport can be used with {protocol}"
            ));
            output.line("Allow more with --transport, take another --protocol, or have the server offer one of the transports");
        }
    }
}
