//! `ServiceClient::check`: every finding, against the local service and against fakes.
#![cfg(feature = "local")]

use std::time::Duration;

use crate::fakes::{
    ACCESS_KEY, CLIENT_SECRET, EXCHANGE, Fake, Reply, Seen, TOKEN, all_well, entra_error, hurried, nobody,
    reply, token,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hubwire::{
    local::{EntraApplication, LocalService, Role},
    service::{
        ServiceClient, ServiceEndpoint,
        check::{CheckOutcome, CheckProblem, CheckReport, CheckStep},
        credentials::{AccessKey, ClientSecret},
        error::Operation,
    },
};
use serde_json::json;

const HEALTH: &str = "/api/health";
const CLIENT: &str = "/client/negotiate";

/// A service where all is well but what a script says otherwise.
async fn fake(script: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen: &Seen| {
        script(seen).unwrap_or_else(|| match seen.path() {
            CLIENT => reply(200, "{}"),
            TOKEN => entra_token("https://signalr.azure.com"),
            _ => all_well(seen),
        })
    })
    .await
}

fn entra_token(audience: &str) -> Reply {
    let encode = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "aud": audience, "tid": "tenant-of-token", "appid": "app-1", "oid": "object-1" });
    token(&format!("{}.{}.c2ln", encode(json!({ "alg": "RS256" })), encode(claims)), 3599)
}

fn steps(report: &CheckReport) -> Vec<CheckStep> {
    report.endpoints()[0].findings().iter().map(|finding| finding.step).collect()
}

/// The one problem of a report, which its text says along with these parts.
fn problem<'r>(report: &'r CheckReport, parts: &[&str]) -> &'r CheckProblem {
    let text = report.to_string();
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
    for secret in [CLIENT_SECRET, ACCESS_KEY, "c2ln"] {
        assert!(!text.contains(secret) && !format!("{report:?}").contains(secret), "{text}");
    }
    assert!(!report.is_ok());
    report.problems().next().expect("a problem")
}

async fn local_check(roles: &[Role]) -> CheckReport {
    let application = EntraApplication::new("tenant-1", "app-1", CLIENT_SECRET);
    let application = roles.iter().fold(application, |application, role| application.role(*role));
    let local = LocalService::builder().application(application).start().await.unwrap();
    let secret = ClientSecret::new("tenant-1", "app-1", CLIENT_SECRET).authority(local.authority());
    let endpoint = ServiceEndpoint::new(local.endpoint(), secret).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().check().await
}

#[tokio::test]
async fn the_local_service_is_well() {
    use CheckStep::{AccessKey, Health, Negotiation, RestApi, Token};

    let report = local_check(&[Role::ServiceOwner]).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(steps(&report), [Health, Token, AccessKey, RestApi, Negotiation]);
    let text = report.to_string();
    assert_eq!(text.lines().filter(|line| line.starts_with("  ok ")).count(), 5, "{text}");

    let local = LocalService::builder().start().await.unwrap();
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).application_name("app").build().unwrap();
    let report = client.check().await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(steps(&report), [Health, RestApi, Negotiation]);
}

#[tokio::test]
async fn missing_roles_are_named() {
    // Clients get in by `:generateToken`, so the exchange is only a limit.
    let report = local_check(&[Role::RestApiOwner]).await;
    assert!(report.is_ok(), "{report}");
    let limited = report.endpoints()[0].findings().iter().any(|finding| {
        finding.step == CheckStep::AccessKey
            && matches!(finding.outcome, CheckOutcome::Limited(CheckProblem::MissingRole { .. }))
    });
    assert!(limited && report.to_string().contains("SignalR App Server"), "{report}");

    let report = local_check(&[Role::SignalRAppServer]).await;
    let found = problem(&report, &["SignalR REST API Owner", "SignalR Service Owner", "30 minutes"]);
    assert!(matches!(found, CheckProblem::MissingRole { operation: Operation::Send, .. }), "{report}");
    assert_eq!(report.problems().count(), 1, "{report}");

    for roles in [&[][..], &[Role::RestApiReader]] {
        let report = local_check(roles).await;
        let found = problem(&report, &["SignalR App Server", "SignalR REST API Owner"]);
        let CheckProblem::MissingRole { operation, .. } = found else { panic!("{report}") };
        assert_eq!(*operation, Operation::ExchangeAccessKey);
        assert_eq!(report.problems().count(), 3, "{report}");
    }

    let fake = fake(|seen| (seen.path() == EXCHANGE).then(|| reply(403, ""))).await;
    // A client without claims could connect nevertheless, if the service made tokens; this one makes none.
    let report = fake.entra_client().check().await;
    problem(&report, &["the application app-1 (object id object-1)"]);
}

#[tokio::test]
async fn the_address_and_what_is_there() {
    let endpoint = ServiceEndpoint::new(&nobody(), AccessKey::new(ACCESS_KEY)).unwrap();
    let report = ServiceClient::builder().endpoint(endpoint).build().unwrap().check().await;
    assert!(matches!(problem(&report, &["cannot be reached", "DNS"]), CheckProblem::Unreachable(_)));
    assert_eq!(steps(&report), [CheckStep::Health]);

    // Whatever answers there answers everything like that.
    for status in [404, 500, 503, 302, 403] {
        let fake = fake(move |_| Some(reply(status, ""))).await;
        let report = hurried(async { fake.key_client().check().await }).await;
        match (status, problem(&report, &[])) {
            (403, CheckProblem::NetworkRule) => {}
            (500.., CheckProblem::Unhealthy { status: found }) => assert_eq!(*found, status),
            (302 | 404, CheckProblem::NotTheService { status: found }) => assert_eq!(*found, status),
            (_, other) => panic!("{status}: {other}"),
        }
    }
}

/// What a step found.
fn outcome(report: &CheckReport, wanted: CheckStep) -> &CheckOutcome {
    let found = report.endpoints()[0].findings().iter().find(|finding| finding.step == wanted);
    &found.expect("the step was taken").outcome
}

#[tokio::test]
async fn a_proxy_that_passes_on_what_is_needed_only() {
    let page = "<!DOCTYPE html><html><body>not here</body></html>";
    for (status, body) in [(403, ""), (404, ""), (401, ""), (502, ""), (302, ""), (404, page), (200, page)] {
        // The hubs' own paths and those of clients are passed on, and nothing else.
        let fake = fake(move |seen| match seen.path() {
            CLIENT | TOKEN => None,
            path if path.ends_with("/:generateToken") => {
                Some(reply(200, json!({ "token": "made-by-the-service" })))
            }
            path if path.starts_with("/api/hubs/") => None,
            _ if body.is_empty() => Some(reply(status, body)),
            _ => Some(reply(status, body).with("content-type", "text/html; charset=utf-8")),
        })
        .await;
        let report = fake.key_client().check().await;
        assert!(report.is_ok(), "{status}: {report}");
        let health = outcome(&report, CheckStep::Health);
        let CheckOutcome::Limited(CheckProblem::NotPassedOn { path: HEALTH, status: found }) = health else {
            panic!("{report}")
        };
        assert_eq!(*found, status);
        let text = report.to_string();
        assert!(
            text.contains("limited  health: /api/health") && text.contains("taken for offline"),
            "{text}"
        );

        // With Entra, clients get in by the hub's own path.
        let report = hurried(async { fake.entra_client().check().await }).await;
        match status {
            // Who asks does not know whether the service or something else refuses.
            401 | 302 | 502 => assert!(!report.is_ok(), "{status}: {report}"),
            403 => {
                assert!(report.is_ok(), "{report}");
                let found = outcome(&report, CheckStep::AccessKey);
                assert!(matches!(found, CheckOutcome::Limited(CheckProblem::MissingRole { .. })), "{report}");
            }
            _ => {
                assert!(report.is_ok(), "{status}: {report}");
                let found = outcome(&report, CheckStep::AccessKey);
                let CheckOutcome::Limited(CheckProblem::NotPassedOn { path: EXCHANGE, status: found }) =
                    found
                else {
                    panic!("{report}")
                };
                assert_eq!(*found, status);
                assert!(report.to_string().contains("without claims and options of their own"), "{report}");
            }
        }
    }
    // Where messages are not accepted either, it is the address.
    let fake = fake(|seen| (seen.path() != CLIENT).then(|| reply(404, ""))).await;
    let report = fake.key_client().check().await;
    assert!(matches!(problem(&report, &[]), CheckProblem::NotTheService { status: 404 }), "{report}");
    assert!(matches!(outcome(&report, CheckStep::Health), CheckOutcome::Failed(_)), "{report}");
    // A page in place of a client's answer is not one.
    let fake = self::fake(move |seen| (seen.path() == CLIENT).then(|| reply(200, page))).await;
    let report = fake.key_client().check().await;
    assert!(
        matches!(problem(&report, &["/client/"]), CheckProblem::ClientRefused { status: 200, .. }),
        "{report}"
    );
}

#[tokio::test]
async fn clocks_that_are_apart() {
    let fake = fake(|seen| {
        (seen.path() == HEALTH).then(|| reply(200, "").with("date", "Tue, 15 Nov 1994 08:12:31 GMT"))
    })
    .await;
    let report = fake.key_client().check().await;
    let found = problem(&report, &["ahead of that of the service", "NTP"]);
    assert!(matches!(found, CheckProblem::ClockSkew { ahead: true, seconds } if *seconds > 1_000_000_000));
}

#[tokio::test]
async fn tokens_that_do_not_come_or_do_not_fit() {
    let refused =
        fake(|seen| (seen.path() == TOKEN).then(|| entra_error(401, "invalid_client", 7_000_222))).await;
    let report = refused.entra_client().check().await;
    assert!(matches!(problem(&report, &["AADSTS7000222"]), CheckProblem::Credential(_)));
    assert_eq!(steps(&report), [CheckStep::Health, CheckStep::Token]);

    let other = fake(|seen| (seen.path() == TOKEN).then(|| entra_token("https://graph.microsoft.com"))).await;
    let report = other.entra_client().check().await;
    let found = problem(&report, &["https://graph.microsoft.com", "https://signalr.azure.com/.default"]);
    assert!(matches!(found, CheckProblem::Audience { .. }));

    // The audience is compared with the scope that was set, in the forms that Entra has for it.
    let id = "11111111-2222-3333-4444-555555555555";
    let own_id = format!("api://{id}/.default");
    for (scope, audience, fits) in [
        ("api://other/.default", "api://other", true),
        ("api://other/.default", "api://Other/", true),
        ("https://other.example//.default", "https://other.example/", true),
        ("api://other", "api://other", true),
        (&own_id, id, true),
        ("api://other/.default", id, true),
        ("api://other/.default", "https://signalr.azure.com", false),
        ("https://signalr.azure.com/.default", "https://signalr.azure.com/", true),
        ("https://signalr.azure.com/.default", id, false),
    ] {
        let of = audience.to_owned();
        let fake = fake(move |seen| (seen.path() == TOKEN).then(|| entra_token(&of))).await;
        let endpoint = ServiceEndpoint::new(&fake.url, fake.client_secret()).unwrap().scope(scope);
        let report = ServiceClient::builder().endpoint(endpoint).build().unwrap().check().await;
        assert_eq!(report.is_ok(), fits, "{scope} {audience}: {report}");
        if !fits {
            let named = format!("the scope {}", scope);
            assert!(
                matches!(problem(&report, &[&named, audience]), CheckProblem::Audience { .. }),
                "{report}"
            );
        }
    }

    let foreign =
        fake(|seen| (seen.path() == EXCHANGE || seen.path().ends_with("/:send")).then(|| reply(401, "")))
            .await;
    let report = foreign.entra_client().check().await;
    let found = problem(&report, &["another tenant"]);
    assert!(
        matches!(found, CheckProblem::TenantMismatch { tenant } if tenant == "tenant-of-token"),
        "{found}"
    );
}

#[tokio::test]
async fn an_access_key_that_is_not_accepted() {
    let local = LocalService::builder().start().await.unwrap();
    let endpoint = ServiceEndpoint::new(local.endpoint(), AccessKey::new(ACCESS_KEY)).unwrap();
    let report = ServiceClient::builder().endpoint(endpoint).build().unwrap().check().await;
    assert!(matches!(problem(&report, &["disableLocalAuth", "Keys"]), CheckProblem::KeyRefused));
    assert_eq!(report.problems().filter(|found| matches!(found, CheckProblem::KeyRefused)).count(), 2);
}

#[tokio::test]
async fn a_proxy_that_does_not_pass_clients_on() {
    let fake = fake(|seen| (seen.path() == CLIENT).then(|| reply(404, ""))).await;
    let report = fake.key_client().check().await;
    let found = problem(&report, &["reverse proxy", "WebSockets"]);
    assert!(matches!(found, CheckProblem::ClientRefused { status: 404, url } if url.ends_with("/client/")));
    let last = fake.last();
    assert!(last.target.contains("hub=hubwire_check&negotiateVersion=1"), "{}", last.target);
}

#[tokio::test]
async fn clients_that_are_kept_out_by_a_rule_or_a_limit() {
    for status in [403, 429] {
        let fake = fake(move |seen| (seen.path() == CLIENT).then(|| reply(status, ""))).await;
        let report = fake.key_client().check().await;
        match (status, problem(&report, &[])) {
            (403, CheckProblem::NetworkRule) | (429, CheckProblem::TooManyConnections) => {}
            (_, other) => panic!("{status}: {other}"),
        }
        // Behind a proxy it may be the proxy that says so.
        let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
        let endpoint = endpoint.client_endpoint(&format!("{}/", fake.url)).unwrap();
        let report = ServiceClient::builder().endpoint(endpoint).build().unwrap().check().await;
        let found = problem(&report, &[]);
        assert!(
            matches!(
                (status, found),
                (403, CheckProblem::ClientRefused { .. }) | (429, CheckProblem::TooManyConnections)
            ),
            "{found}"
        );
    }
}

#[tokio::test]
async fn every_endpoint_is_looked_at() {
    let (good, other) =
        (LocalService::builder().start().await.unwrap(), LocalService::builder().start().await.unwrap());
    let odd = format!("{};AuthType=azur", good.connection_string().trim_end_matches(';'));
    let service = ServiceClient::builder()
        .endpoint(ServiceEndpoint::from_connection_string(&odd).unwrap().named("east"))
        .endpoint(ServiceEndpoint::new(other.endpoint(), AccessKey::new(ACCESS_KEY)).unwrap().named("west"))
        .build()
        .unwrap();
    let report = service.check().await;
    assert!(!report.is_ok());
    let [east, west] = report.endpoints() else { panic!("{report}") };
    assert!(east.endpoint().starts_with("east (http://") && west.endpoint().starts_with("west (http://"));
    assert!(matches!(
        (east.findings()[0].step, &east.findings()[0].outcome),
        (CheckStep::Configuration, CheckOutcome::Limited(CheckProblem::ConnectionString(_)))
    ));
    assert_eq!((east.problems().count(), west.problems().count()), (0, 2), "{report}");
    assert!(
        report
            .to_string()
            .contains("limited  configuration: there is a likely mistake in the connection string: AuthType"),
        "{report}"
    );
}

#[tokio::test]
async fn the_limit_of_a_request_is_that_of_a_step() {
    // It takes connections, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let limit = Duration::from_millis(200);
    let service = ServiceClient::builder()
        .endpoint(ServiceEndpoint::new(&address, AccessKey::new(ACCESS_KEY)).unwrap())
        .timeout(limit)
        .build()
        .unwrap();
    let report = service.check().await;
    let [finding] = report.endpoints()[0].findings() else { panic!("{report}") };
    assert!(
        matches!(finding.outcome, CheckOutcome::Failed(CheckProblem::Timeout { after }) if after == limit),
        "{report}"
    );
    assert!(finding.took >= limit && finding.took < Duration::from_secs(10), "{:?}", finding.took);
}
