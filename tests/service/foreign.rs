//! Answers that are not the service's: those of portals, gateways and other web servers in its place.
#![cfg(feature = "axum")]

use std::time::Duration;

use crate::fakes::{ACCESS_KEY, Fake, Reply, Seen, reply};
use hubwire::service::{
    HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError, credentials::AccessKey,
    hub::Commands,
};

const HEALTH: &str = "/api/health";
const PAGE: &str = "<!doctype html><title>Sign in</title><form method=post></form>";

fn html(status: u16, body: &str) -> Reply {
    reply(status, body).with("content-type", "text/html; charset=utf-8")
}

fn endpoint(fake: &Fake, name: &str) -> ServiceEndpoint {
    ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap().named(name)
}

/// What every operation that has only to be accepted gives.
async fn all_operations(hub: &HubClient) -> Vec<(&'static str, Result<(), ServiceError>)> {
    let (group, user, connection) = (hub.group("g"), hub.user("u"), hub.connection("c"));
    vec![
        ("send", hub.all().send("m", ()).await),
        ("close all", hub.all().close_connections(None).await),
        ("add to group", group.add_connection("c").await),
        ("user in group", group.contains_user("u").await.map(drop)),
        ("group", group.exists().await.map(drop)),
        ("user", user.exists().await.map(drop)),
        ("connection", connection.exists().await.map(drop)),
        ("close", connection.close(None).await),
        ("stream", connection.stream("1").send(&1).await),
        ("execute", hub.execute("true", Commands::new().add_to_group("g")).await),
    ]
}

#[tokio::test]
async fn a_2xx_that_is_not_the_services_is_no_success() {
    let page: [fn() -> Reply; 5] = [
        || html(200, PAGE),
        || reply(200, "").with("content-type", "TEXT/HTML"),
        || reply(202, "").with("content-type", "application/xhtml+xml"),
        || html(201, r#"{"really":"a page"}"#),
        || html(200, &PAGE.repeat(10_000)),
    ];
    for answer in page {
        let fake = Fake::start(move |_: &Seen| answer()).await;
        let client = fake.key_client();
        let hub = client.hub("chat").unwrap();
        for (what, result) in all_operations(&hub).await {
            let error = result.expect_err(what);
            assert!(
                matches!(error, ServiceError::InvalidResponse { reason: "it is a page for browsers", .. }),
                "{what}: {error:?}"
            );
            assert!(error.to_string().contains("check the endpoint's address"), "{error}");
        }
        assert!(matches!(client.is_healthy().await, Err(ServiceError::InvalidResponse { .. })));
    }
    // Without a type, what is read of it tells. A question by HEAD has nothing to read.
    for body in [PAGE, "OK", "{\"value\":", &"[]".repeat(1 << 18)] {
        let fake = Fake::start({
            let body = body.to_owned();
            move |_: &Seen| reply(200, &body)
        })
        .await;
        let hub = fake.key_client().hub("chat").unwrap();
        let error = hub.all().send("m", ()).await.expect_err("not the service's");
        assert!(matches!(error, ServiceError::InvalidResponse { .. }), "{error:?}");
        assert_eq!(fake.all().len(), 1, "it is not repeated");
    }
}

#[tokio::test]
async fn the_services_own_answers_are_successes() {
    for (status, body) in [(200, ""), (202, ""), (204, ""), (200, "\r\n"), (202, r#"{"accepted":true}"#)] {
        let fake = Fake::start(move |_: &Seen| reply(status, body)).await;
        let client = fake.key_client();
        for (what, result) in all_operations(&client.hub("chat").unwrap()).await {
            result.unwrap_or_else(|error| panic!("{status} {body:?}, {what}: {error}"));
        }
        assert!(client.is_healthy().await.unwrap());
        let json = Fake::start(move |_: &Seen| reply(status, body).with("content-type", "application/json"));
        json.await.key_client().hub("chat").unwrap().all().send("m", ()).await.unwrap();
    }
}

#[tokio::test]
async fn clients_are_not_sent_where_a_page_answers_for_the_service() {
    let portal = Fake::start(|_: &Seen| html(200, PAGE)).await;
    let service = Fake::start(|_: &Seen| reply(202, "")).await;
    let client = ServiceClient::builder().endpoint(endpoint(&portal, "a")).endpoint(endpoint(&service, "b"));
    let client = client.build().unwrap();
    let hub = client.hub("chat").unwrap();
    for _ in 0..20 {
        let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
        assert!(access.url.starts_with(&service.url), "{}", access.url);
    }
    assert!(!client.endpoints()[0].is_online());
    hub.all().send("m", ()).await.unwrap();
    assert!(!hub.connection("c").exists().await.unwrap(), "a 202 is not a yes");
    assert_eq!(service.count("/api/hubs/chat/:send"), 1);
    assert!(portal.seen("/api/hubs/chat/:send").is_empty());
}

/// Another web server at the address has a 404 of its own, or a login to send to, and nothing of the service's.
#[tokio::test]
async fn a_refusal_that_is_not_the_services_puts_its_endpoint_in_doubt() {
    let coded = || reply(404, "").with("x-ms-error-code", "Error.Connection.NotExisted");
    let refusals: [(fn() -> Reply, bool); 8] = [
        (|| html(404, PAGE), true),
        (|| reply(404, ""), true),
        (|| reply(405, ""), true),
        (|| reply(302, "").with("location", "/login"), true),
        (|| html(403, PAGE), true),
        (|| reply(403, ""), false),
        (|| reply(400, r#"{"message":"no"}"#), false),
        (coded, false),
    ];
    for (refuse, doubted) in refusals {
        // The first question for the health, before anything was sent, was answered well.
        let other = Fake::start(move |seen: &Seen| match (seen.path(), seen.nth) {
            (HEALTH, 1) => reply(200, ""),
            _ => refuse(),
        })
        .await;
        let service =
            Fake::start(|seen: &Seen| reply(if seen.path() == HEALTH { 200 } else { 202 }, "")).await;
        let builder =
            ServiceClient::builder().endpoint(endpoint(&other, "a")).endpoint(endpoint(&service, "b"));
        let client = builder.health_check_interval(Duration::from_secs(600)).build().unwrap();
        let hub = client.hub("chat").unwrap();
        let sent = hub.all().send("m", ()).await;
        let status = refuse().status;
        assert_eq!(client.endpoints()[0].is_online(), !doubted, "{status}");
        assert_eq!(other.count(HEALTH) > 1, doubted, "{status}");
        assert_eq!(service.count("/api/hubs/chat/:send"), 1);
        if doubted {
            sent.unwrap_or_else(|error| panic!("{status}: nobody is at an endpoint that is lost: {error}"));
            for _ in 0..10 {
                let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
                assert!(access.url.starts_with(&service.url), "{status}: {}", access.url);
            }
        }
    }
}
