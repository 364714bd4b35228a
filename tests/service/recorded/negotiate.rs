//! Tokens for clients: what comes from the client's own request, and the negotiate endpoint of an app server.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
};
use hubwire::service::{
    BuildError, NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint, credentials::AccessKey,
    negotiate::TokenAlgorithm,
};
use serde_json::{Value, json};
use tower_service::Service;

use super::{
    Case, Checked, Verdict,
    compare::{compare_access, same, text},
};
use crate::fakes::{Fake, all_well};

/// What .NET's writer of tokens makes of its own long names.
const SHORT_NAMES: [(&str, &str); 3] = [
    ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "unique_name"),
    ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", "nameid"),
    ("http://schemas.microsoft.com/ws/2008/06/identity/claims/role", "role"),
];

/// How .NET has found out who the user is. Only .NET's hubs have a use for it.
const AUTHENTICATION_TYPE: &str = "asrs.s.aut";

pub(super) async fn check(case: &Case) -> Checked {
    let (recorded, options) = (&case.case, &case.case["options"]);
    let name = case.name();
    if case.case["section"] == "app-server" {
        return app_server(case).await;
    }
    if let Some(length) = options["claim_value_length"].as_u64() {
        let big = "x".repeat(usize::try_from(length).unwrap_or_default());
        return made(case, json!({"claims": [["big", big]]})).await;
    }
    if name.starts_with("context-") {
        // Ours takes nothing from the request that is not handed to it; claims that are take the place of the user's.
        let claims = match &options["claims"] {
            Value::Null => &options["user"]["claims"],
            claims => claims,
        };
        return made(case, json!({"claims": with_short_names(claims)})).await;
    }
    if name.starts_with("generate-client-access-token") {
        // The obsolete interface names the user in another claim, and nothing else is different.
        let user = recorded["result"]["access_token"]["claims"].as_array().into_iter().flatten();
        let user = user.filter(|claim| claim[0] == "nameid").map(|claim| claim[1].clone()).next();
        let application = name.ends_with("-application").then_some("App");
        let mut case = Case { case: recorded.clone(), file: case.file.clone(), key: case.key.clone() };
        case.case["result"]["url"] = recorded["result"]["client_endpoint"].clone();
        let token = case.case["result"]["access_token"].to_string().replace("\"nameid\"", "\"asrs.s.uid\"");
        case.case["result"]["access_token"] = serde_json::from_str(&token).map_err(text)?;
        return made(&case, json!({"user_id": user, "application_name": application})).await;
    }
    if recorded["exception"]["type"].as_str().is_some_and(|kind| kind.ends_with("NoPrimaryEndpointException"))
    {
        let endpoint = ServiceEndpoint::new("https://a.example.com", AccessKey::new(&case.key)).unwrap();
        let built = ServiceClient::builder().endpoint(endpoint.secondary()).build();
        return match built {
            Err(BuildError::NoPrimaryEndpoint) => Ok(Verdict::Alike),
            built => Err(format!("{built:?}")),
        };
    }
    Ok(Verdict::Unknown)
}

/// The case with this call.
pub(super) async fn made(case: &Case, mut call: Value) -> Checked {
    let mut recorded = without_claims(&case.case, &[AUTHENTICATION_TYPE]);
    call["op"] = "negotiate".into();
    recorded["call"] = call;
    crate::recordings::make(&recorded, &case.key).await?;
    Ok(Verdict::Alike)
}

fn with_short_names(claims: &Value) -> Value {
    let short = |claim: &Value| {
        let name = claim[0].as_str().unwrap_or_default();
        let short = SHORT_NAMES.iter().find(|(long, _)| *long == name).map_or(name, |(_, short)| short);
        json!([short, claim[1]])
    };
    claims.as_array().into_iter().flatten().map(short).collect()
}

/// The case without some of the claims that a token in it has.
fn without_claims(case: &Value, names: &[&str]) -> Value {
    let mut case = case.clone();
    for pointer in ["/result/access_token/claims", "/result/body/accessToken/claims"] {
        if let Some(Value::Array(claims)) = case.pointer_mut(pointer) {
            claims.retain(|claim| !names.contains(&claim[0].as_str().unwrap_or_default()));
        }
    }
    case
}

/// The options that make a token with these claims.
pub(super) fn options_for(claims: &Value) -> NegotiateOptions {
    let claims = claims.as_array().into_iter().flatten();
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let claims = claims.map(|claim| (part(&claim[0]), part(&claim[1])));
    let user = claims.clone().find(|(name, _)| name == "asrs.s.uid");
    let options = match user {
        Some((_, id)) => NegotiateOptions::for_user(id),
        None => NegotiateOptions::anonymous(),
    };
    claims.fold(options, |options, (name, value)| {
        let seconds = || Duration::from_secs(value.parse().unwrap_or_default());
        match name.as_str() {
            "nbf" | "exp" | "iat" | "aud" | "asrs.s.uid" => options,
            "asrs.s.derror" => options.detailed_errors(),
            "asrs.s.dc" => options.diagnostic(),
            "asrs.s.secn" => options.endpoint_count(value.parse().unwrap_or_default()),
            "asrs.s.cht" => options.handshake_timeout(seconds()),
            "asrs.s.ttl" => options.long_poll_interval(seconds()),
            name => options.claim(name.strip_prefix("asrs.u.").unwrap_or(name), value.as_str()),
        }
    })
}

/// A client's negotiate request to an app server.
async fn app_server(case: &Case) -> Checked {
    let recorded = without_claims(&case.case, &[AUTHENTICATION_TYPE]);
    let call = recorded["sdk_call"].as_str().unwrap_or_default();
    let request = call.split("client: ").nth(1).and_then(|request| request.split_once(' '));
    let (method, target) = request.ok_or("no request in the call")?;
    let body = &recorded["result"]["body"];

    let (a, b) = (Fake::start(all_well).await, Fake::start(all_well).await);
    let port = |fake: &Fake| fake.url.rsplit(':').next().unwrap_or_default().to_owned();
    let url = body["url"].as_str().unwrap_or("http://127.0.0.1:{port}/client/?hub=chathub");
    let url = url.replace("{port}", &port(&a)).replace("{port-a}", &port(&a));
    let (base, query) = url.split_once("client/?hub=").ok_or("no url of a client")?;
    let hub = query.split('&').next().unwrap_or_default();
    let (application, hub) = hub.split_once('_').unwrap_or(("", hub));
    let at = |fake: &Fake| ServiceEndpoint::new(&fake.url, AccessKey::new(&case.key)).unwrap();
    let mut endpoint = at(&a);
    if !base.starts_with(&a.url) {
        endpoint = endpoint.client_endpoint(base).map_err(text)?;
    }
    let mut builder = ServiceClient::builder().endpoint(endpoint).application_name(application);
    if recorded["requests_port_b"].is_array() {
        builder = builder.endpoint(at(&b).secondary());
    }
    if body["accessToken"]["header"]["alg"] == "HS512" {
        builder = builder.token_algorithm(TokenAlgorithm::Hs512);
    }
    let client = builder.build().map_err(text)?;
    let hub = client.hub(hub).map_err(text)?;

    let options = match recorded["result"]["status"].as_u64() {
        Some(413) => NegotiateOptions::anonymous().claim("big", "x".repeat(4096)),
        _ => options_for(&body["accessToken"]["claims"]),
    };
    let service = NegotiateService::new(hub, move |_| options.clone());
    let path = target.split('?').next().unwrap_or_default();
    let (path_base, path) = path.find("/chat/").map_or(("", path), |at| path.split_at(at));
    let mut app = Router::new().route_service(path, service);
    if !path_base.is_empty() {
        app = Router::new().nest(path_base, app);
    }
    let request = Request::builder().method(method).uri(target).body(Body::empty()).map_err(text)?;
    let response = app.call(request).await.map_err(text)?;
    let status = response.status().as_u16();
    if method != "POST" {
        // Clients post; whoever follows a link to the endpoint gets no token.
        return same("status", &json!(status), &json!(405)).map(|()| Verdict::Alike);
    }
    same("status", &json!(status), &recorded["result"]["status"])?;
    let content_type = response.headers()["content-type"].to_str().unwrap_or_default().to_owned();
    let answer = to_bytes(response.into_body(), 1 << 20).await.map_err(text)?;
    let answer: Value = serde_json::from_slice(&answer).map_err(text)?;
    if status != 200 {
        // Errors are JSON.
        return if answer["error"].is_string() { Ok(Verdict::Alike) } else { Err(answer.to_string()) };
    }
    same("content type", &json!(content_type), &recorded["result"]["content_type"])?;
    same("list of transports", &answer["availableTransports"], &body["availableTransports"])?;
    let field = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    // Both make the request's id up.
    let (start, id) =
        field("url").rsplit_once("asrs_request_id=").map_or_else(Default::default, |(start, id)| {
            (format!("{start}asrs_request_id={{request-id}}"), id.to_owned())
        });
    if id.len() < 12 {
        return Err(format!("the request's id is {id:?}"));
    }
    // The SDK leaves out the slash behind the path of a `ClientEndpoint`.
    let slash = if base.ends_with('/') { "" } else { "/" };
    let theirs = json!({
        "url": format!("{base}{slash}client/?hub={query}"),
        "access_token": body["accessToken"],
    });
    compare_access(&recorded, &Value::Null, &theirs, Ok((start, field("accessToken"))), &case.key)?;
    Ok(Verdict::Alike)
}
