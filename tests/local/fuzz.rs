//! Requests that are changed and cut, to every endpoint of the local service in both modes.
#![cfg(feature = "local")]

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hubwire::local::{LocalService, Role, ServiceMode};
use reqwest::Method;
use serde_json::json;

use crate::{
    raw,
    specification::{OPERATIONS, Service},
    support::random::Random,
    wire::{application, token_form, user_token},
};

/// Requests of one mode; about two seconds of them.
const REQUESTS: usize = 1500;
const AT_ONCE: usize = 32;

/// What parsers of HTTP, URLs, JSON, MessagePack and filters look at.
const PIECES: [&[u8]; 32] = [
    b"%",
    b"%00",
    b"%FF",
    b"%2F",
    b"/",
    b"//",
    b"..",
    b"?",
    b"&",
    b"=",
    b":",
    b"::send",
    b" ",
    b"\r\n",
    b"\n\n",
    b"\0",
    b"\x1e",
    b"{",
    b"[[[[[[[[",
    b"\"",
    b"'",
    b"((((((((",
    b"\xc6\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x81\xa4json\xc4\x02{}",
    b"not ",
    b"99999999999999999999",
    b"-1",
    b"null",
    b"api-version=2026-07-01",
    b"Transfer-Encoding: chunked\r\n",
    "\u{fffd}ü\u{1f600}".as_bytes(),
];

fn mutated(random: &mut Random, request: &[u8]) -> Vec<u8> {
    let mut bytes = request.to_vec();
    // Most changes go where the service looks first: not into the token, which is most of a request.
    let line = bytes.iter().position(|byte| *byte == b'\r').unwrap_or(bytes.len());
    let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    for _ in 0..=random.below(3) {
        let (from, to) = match random.below(4) {
            0 | 1 => (0, line),
            2 if body < bytes.len() => (body, bytes.len()),
            _ => (0, bytes.len()),
        };
        let at = (from + random.below(to.saturating_sub(from))).min(bytes.len().saturating_sub(1));
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.remove(at)),
            2 => bytes[at] = bytes[at].to_ascii_uppercase(),
            3 => drop(bytes.splice(at..at, random.pick(&PIECES).iter().copied())),
            4 => {
                let end = (at + random.below(12)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => {
                let end = (at + random.below(12)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    if random.below(10) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// Good requests to everything that listens, for changing.
fn good_requests(service: &Service) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for operation in &OPERATIONS {
        let target =
            service.target(operation.path, "2026-07-01", "&excluded=a&filter=userId+eq+'u'&reason=x");
        requests.push(service.request(
            operation.method,
            &target,
            operation.body,
            &service.key_token(&target),
        ));
    }
    let form = token_form("owner").map(|(name, value)| format!("{name}={value}")).join("&");
    let user = format!("Bearer {}", user_token("u"));
    for (method, target, kind, body) in [
        (
            "POST",
            "/11111111-aaaa-4000-8000-000000000001/oauth2/v2.0/token",
            "application/x-www-form-urlencoded",
            &*form,
        ),
        ("POST", "/client/negotiate?hub=chat&negotiateVersion=1", "", ""),
        ("GET", "/client/?hub=chat&id=x", "", ""),
        ("POST", "/client/?hub=chat&id=x", "text/plain", "{}\u{1e}"),
        ("DELETE", "/client/?hub=chat&id=x", "", ""),
        ("GET", "/server/?hub=chat", "", ""),
        (
            "GET",
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://signalr.azure.com",
            "",
            "",
        ),
        ("GET", "/msi/token?api-version=2019-08-01&resource=https://signalr.azure.com", "", ""),
        ("OPTIONS", "/client/negotiate?hub=chat", "", ""),
    ] {
        let headers = [
            ("Authorization", &*user),
            ("Content-Type", kind),
            ("Metadata", "true"),
            ("Origin", "http://localhost:3000"),
        ];
        requests.push(raw::request(method, target, &headers, body.as_bytes()));
    }
    requests
}

async fn survives(mode: ServiceMode, seed: u64) {
    let builder = LocalService::builder().service_mode(mode);
    let builder = builder.application(application("owner", &[Role::ServiceOwner]));
    let service = Service::start(builder, mode == ServiceMode::Serverless).await;
    let port = service.wire.local.port();
    let good = good_requests(&service);
    let mut random = Random(seed);
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let request = random.below(good.len());
            mutated(&mut random, &good[request])
        })
        .collect();
    let begun = Instant::now();
    let answers: Vec<_> = stream::iter(requests)
        .map(|bytes| async move {
            let answer = raw::exchange(port, &bytes, Duration::from_millis(200)).await;
            (bytes, answer)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    for (bytes, answer) in &answers {
        let Some(answer) = answer else { continue };
        *statuses.entry(answer.status).or_default() += 1;
        let code = answer.json()["code"].clone();
        let is_clients = code == "ClientInvocationError" || code == "ClientDisconnected";
        assert!(answer.status < 500 || is_clients, "{}: {}", answer.status, String::from_utf8_lossy(bytes));
    }
    println!("{mode:?}: {statuses:?} in {:?}", begun.elapsed());
    assert!(statuses.len() > 5, "the requests come to different ends: {statuses:?}");

    // It is well.
    assert_eq!(service.wire.status(Method::GET, "/api/health").await.0, 200);
    if mode == ServiceMode::Serverless {
        let mut client = service.wire.connect_user("afterwards").await;
        service.wire.send("/api/hubs/chat/users/afterwards/:send", "m", json!([1])).await;
        assert_eq!(client.target().await, "m");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_harms_the_service_in_serverless_mode() {
    survives(ServiceMode::Serverless, 0x9e37_79b9_7f4a_7c15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_harms_the_service_in_default_mode() {
    survives(ServiceMode::Default, 0xd1b5_4a32_d192_ed03).await;
}
