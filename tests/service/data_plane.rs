//! Every operation of the REST API as it goes over the wire.
#![cfg(feature = "service")]

use std::time::Duration;

use crate::fakes::{Fake, Seen, all_well, reply};
use futures_util::{StreamExt, TryStreamExt};
use hubwire::service::{
    HubClient, ServiceError,
    error::Operation,
    hub::{Commands, filter_text},
};
use serde_json::json;

const VERSION: &str = "api-version=2024-12-01";

async fn fake_hub(
    script: impl Fn(&Seen) -> crate::fakes::Reply + Send + Sync + 'static,
) -> (Fake, HubClient) {
    let fake = Fake::start(script).await;
    let hub = fake.key_client().hub("chat").unwrap();
    (fake, hub)
}

fn calls(fake: &Fake) -> Vec<String> {
    fake.all().iter().map(|seen| format!("{} {} {}", seen.method, seen.target, seen.body)).collect()
}

#[tokio::test]
async fn every_operation_has_its_request() {
    let (fake, hub) = fake_hub(|seen: &Seen| reply(if seen.method == "HEAD" { 200 } else { 202 }, "")).await;
    let (api, v) = ("/api/hubs/chat", VERSION);
    let body = r#"{"Target":"m","Arguments":[1]}"#;
    let mut expected = Vec::new();
    let mut expect = |call: String| expected.push(call);

    hub.all().excluding(["a b", "c"]).send("m", (1,)).await.unwrap();
    expect(format!("POST {api}/:send?{v}&excluded=a%20b&excluded=c {body}"));
    hub.group("g").excluding(["c"]).send("m", (1,)).await.unwrap();
    expect(format!("POST {api}/groups/g/:send?{v}&excluded=c {body}"));
    hub.user("u").send("m", (1,)).await.unwrap();
    expect(format!("POST {api}/users/u/:send?{v} {body}"));
    hub.connection("c").send("m", (1,)).await.unwrap();
    expect(format!("POST {api}/connections/c/:send?{v} {body}"));

    hub.all().excluding(["c"]).close_connections(Some("so & so")).await.unwrap();
    expect(format!("POST {api}/:closeConnections?{v}&excluded=c&reason=so%20%26%20so "));
    hub.all().close_connections(None).await.unwrap();
    expect(format!("POST {api}/:closeConnections?{v} "));
    hub.group("g").excluding(["c"]).close_connections(None).await.unwrap();
    expect(format!("POST {api}/groups/g/:closeConnections?{v}&excluded=c "));
    hub.user("u").close_connections(Some("r")).await.unwrap();
    expect(format!("POST {api}/users/u/:closeConnections?{v}&reason=r "));
    hub.user("u").excluding(["c", "d"]).close_connections(None).await.unwrap();
    expect(format!("POST {api}/users/u/:closeConnections?{v}&excluded=c&excluded=d "));
    hub.connection("c").close(Some("r")).await.unwrap();
    expect(format!("DELETE {api}/connections/c?{v}&reason=r "));

    for exists in [
        hub.connection("c").exists().await,
        hub.user("u").exists().await,
        hub.group("g").exists().await,
        hub.group("g").contains_user("u").await,
    ] {
        assert!(exists.unwrap());
    }
    for path in ["connections/c", "users/u", "groups/g", "users/u/groups/g"] {
        expect(format!("HEAD {api}/{path}?{v} "));
    }

    hub.group("g").add_user_for("u", Duration::from_millis(90_500)).await.unwrap();
    hub.group("g").add_user_for("u", Duration::from_millis(1)).await.unwrap();
    hub.group("g").add_user_for("u", Duration::ZERO).await.unwrap();
    hub.group("g").add_user_for("u", Duration::MAX).await.unwrap();
    for ttl in ["90", "1", "0", "2147483647"] {
        expect(format!("PUT {api}/users/u/groups/g?{v}&ttl={ttl} "));
    }
    hub.user("u").remove_from_all_groups().await.unwrap();
    expect(format!("DELETE {api}/users/u/groups?{v} "));
    hub.connection("c").remove_from_all_groups().await.unwrap();
    expect(format!("DELETE {api}/connections/c/groups?{v} "));

    let stream = hub.connection("c").stream("s 1");
    stream.send(&json!({"tick": 1})).await.unwrap();
    expect(format!("POST {api}/connections/c/streams/s%201/:send?{v} {{\"tick\":1}}"));
    stream.send_last("end").await.unwrap();
    expect(format!("POST {api}/connections/c/streams/s%201/:send?{v}&completed=true \"end\""));
    stream.complete(None).await.unwrap();
    expect(format!("POST {api}/connections/c/streams/s%201/:complete?{v} "));
    stream.complete(Some("it broke")).await.unwrap();
    expect(format!("POST {api}/connections/c/streams/s%201/:complete?{v}&reason=it%20broke "));

    let commands = Commands::new()
        .send("m", (1, "x"))
        .add_to_group("g")
        .remove_from_group("h")
        .close_connections(Some("r"))
        .close_connections(None);
    hub.execute(&format!("userId eq {}", filter_text("o'b")), commands).await.unwrap();
    expect(format!(
        "POST {api}/:execute?{v}&filter=userId%20eq%20%27o%27%27b%27 {}",
        concat!(
            r#"[{"type":"SendMessage","message":{"target":"m","arguments":[1,"x"]}},"#,
            r#"{"type":"JoinGroup","group":"g"},{"type":"LeaveGroup","group":"h"},"#,
            r#"{"type":"CloseConnection","reason":"r"},{"type":"CloseConnection"}]"#
        )
    ));
    assert!(fake.key_client().is_healthy().await.unwrap());
    expect(format!("HEAD /api/health?{v} "));
    assert_eq!(calls(&fake), expected);
}

#[tokio::test]
async fn several_are_sent_to_one_by_one() {
    let (fake, hub) = fake_hub(|seen: &Seen| match seen.path() {
        "/api/hubs/chat/groups/bad/:send" => reply(400, ""),
        "/api/hubs/chat/groups/worse/:send" => reply(403, ""),
        _ => reply(202, ""),
    })
    .await;
    hub.users(["a", "b/c"]).send("m", ()).await.unwrap();
    hub.connections([String::from("d")]).send("m", ()).await.unwrap();
    let mut paths: Vec<_> = fake.all().iter().map(|seen| seen.path().to_owned()).collect();
    paths.sort();
    let expected = ["connections/d", "users/a", "users/b%2Fc"].map(|p| format!("/api/hubs/chat/{p}/:send"));
    assert_eq!(paths, expected);

    hub.users(Vec::<String>::new()).send("m", ()).await.unwrap();
    let invalid = hub.groups(["g", ""]).send("m", ()).await.expect_err("no name");
    assert!(matches!(invalid, ServiceError::InvalidName { what: "group", .. }));
    assert_eq!(fake.all().len(), 3, "nothing is sent for none, and nothing when a name is wrong");

    let error = hub.groups(["good", "worse", "bad"]).send("m", ()).await.expect_err("two fail");
    assert!(matches!(error, ServiceError::Forbidden(_)), "the first in order: {error:?}");
    assert_eq!(fake.all().len(), 6, "the others are sent all the same");
}

#[tokio::test]
async fn existence_is_told_by_the_error_code() {
    for (code, absent) in [
        ("Warning.Connection.NotExisted", 0),
        ("Warning.User.NotExisted", 1),
        ("Warning.Group.NotExisted", 2),
        ("Info.User.NotInGroup", 3),
    ] {
        let (_fake, hub) = fake_hub(move |_: &Seen| reply(404, "").with("x-ms-error-code", code)).await;
        let answers = [
            hub.connection("c").exists().await,
            hub.user("u").exists().await,
            hub.group("g").exists().await,
            hub.group("g").contains_user("u").await,
        ];
        for (n, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(exists) => assert!(n == absent && !exists, "{code}: {n}"),
                Err(error) => {
                    assert!(n != absent && matches!(error, ServiceError::NotFound(_)), "{code}: {error:?}");
                }
            }
        }
        assert_eq!(hub.connection("c").close(None).await.is_ok(), absent == 0, "{code}");
    }
}

#[tokio::test]
async fn a_client_gives_a_result() {
    let (fake, hub) = fake_hub(|seen: &Seen| match seen.nth {
        1 => reply(200, r#"{"result":{"sum":3}}"#),
        2 => reply(200, "{}"),
        3 => reply(200, r#"{"result":"text"}"#),
        4 => reply(200, r#"{"result":"AQ==","protocol":"custom"}"#),
        5 => reply(200, "no JSON"),
        _ => reply(404, "").with("x-ms-error-code", "Warning.Connection.NotExisted"),
    })
    .await;
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Sum {
        sum: u32,
    }
    let client = hub.connection("c");
    assert_eq!(client.invoke::<Sum>("Add", (1, 2)).await.unwrap(), Sum { sum: 3 });
    let seen = fake.last();
    assert_eq!(seen.target, format!("/api/hubs/chat/connections/c/:invoke?{VERSION}"));
    assert_eq!(seen.body, r#"{"Target":"Add","Arguments":[1,2]}"#);
    client.invoke::<()>("Nothing", ()).await.unwrap();
    assert!(matches!(client.invoke::<u8>("m", ()).await, Err(ServiceError::Result(_))));
    for _ in 0..2 {
        let error = client.invoke::<u8>("m", ()).await.expect_err("no result");
        assert!(matches!(error, ServiceError::InvalidResponse { operation: Operation::Invoke, .. }));
    }
    assert!(matches!(client.invoke::<u8>("m", ()).await, Err(ServiceError::NotFound(_))));
}

/// Pages of a list of ten.
fn pages(seen: &Seen) -> crate::fakes::Reply {
    let url = reqwest::Url::parse(&format!("http://localhost{}", seen.target)).unwrap();
    let number = |name: &str| {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.parse::<usize>().unwrap())
    };
    let (from, size) = (number("continuationToken").unwrap_or(0), number("maxpagesize").unwrap());
    let to = (from + size).min(10);
    let value: Vec<_> = (from..to).map(|n| json!({"connectionId": n.to_string()})).collect();
    // A link to somewhere else, which must not be followed.
    let link = (to < 10).then(|| format!("http://192.0.2.1/elsewhere?continuationToken={to}"));
    reply(200, json!({"value": value, "nextLink": link}))
}

#[tokio::test]
async fn the_connections_of_a_group_come_in_pages() {
    let (fake, hub) = fake_hub(pages).await;
    let ids = |connections: Vec<hubwire::service::hub::GroupConnection>| {
        connections.into_iter().map(|c| c.connection_id).collect::<Vec<_>>().concat()
    };
    let all: Vec<_> = hub.group("g").connections().page_size(4).try_collect().await.unwrap();
    assert_eq!(ids(all), "0123456789");
    let targets: Vec<_> = fake.all().iter().map(|seen| seen.target.clone()).collect();
    let base = format!("/api/hubs/chat/groups/g/connections?{VERSION}&maxpagesize=4");
    assert_eq!(
        targets,
        [base.clone(), format!("{base}&continuationToken=4"), format!("{base}&continuationToken=8")]
    );

    let seven: Vec<_> = hub.group("g").connections().page_size(4).top(7).try_collect().await.unwrap();
    assert_eq!(ids(seven), "0123456");
    assert!(fake.last().target.contains("top=3&continuationToken=4"), "{}", fake.last().target);
    assert_eq!(hub.group("g").connections().top(0).count().await, 0);

    let mut pages = hub.group("g").connections().page_size(3).pages().continue_from("6");
    let page = pages.try_next().await.unwrap().unwrap();
    assert_eq!((ids(page.connections), page.continuation_token.as_deref()), ("678".into(), Some("9")));
    let page = pages.try_next().await.unwrap().unwrap();
    assert_eq!((ids(page.connections), page.continuation_token), ("9".into(), None));
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn pages_that_are_none_are_an_error_and_the_end() {
    for body in [
        json!({"value": [{"connectionId": "1"}], "nextLink": "/next?continuationToken=same"}),
        json!({"value": [], "nextLink": "/next"}),
        json!({"value": [{"userId": "u"}]}),
        json!([]),
    ] {
        let (_fake, hub) = fake_hub(move |_: &Seen| reply(200, &body)).await;
        let mut connections = hub.group("g").connections();
        let error = loop {
            match connections.next().await.expect("an error before the end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ServiceError::InvalidResponse { operation: Operation::ListConnections, .. }));
        assert!(connections.next().await.is_none());
    }
    let (_fake, hub) = fake_hub(all_well).await;
    let mut connections = hub.group("..").connections();
    assert!(matches!(connections.next().await, Some(Err(ServiceError::InvalidName { .. }))));
}

#[tokio::test]
async fn what_can_not_be_is_refused_before_it_is_sent() {
    let (fake, hub) = fake_hub(all_well).await;
    let long = "s".repeat(101);
    for id in ["", " ", "..", &long] {
        let error = hub.connection("c").stream(id).send(&1).await.expect_err("no stream");
        assert!(matches!(error, ServiceError::InvalidName { what: "stream", .. }), "{error:?}");
    }
    let error = hub.connection("..").stream("s").complete(None).await.expect_err("no connection");
    assert!(matches!(error, ServiceError::InvalidName { what: "connection", .. }));
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    let commands = Commands::new().send("m", (map,)).add_to_group("g");
    assert!(matches!(hub.execute("true", commands).await, Err(ServiceError::Arguments(_))));
    let error = hub.execute("true", Commands::new().send("", ())).await.expect_err("no method");
    assert!(matches!(error, ServiceError::InvalidName { what: "method", .. }));
    assert!(fake.all().is_empty());
}

#[tokio::test]
async fn health_is_yes_no_or_an_error() {
    for (status, expected) in [
        (200, Some(true)),
        (204, Some(true)),
        (500, Some(false)),
        (503, Some(false)),
        (401, None),
        (404, None),
    ] {
        let (fake, _) = fake_hub(move |_: &Seen| reply(status, "")).await;
        assert_eq!(fake.key_client().is_healthy().await.ok(), expected, "{status}");
        assert_eq!(fake.all().len(), 1, "{status}: asked once");
    }
}
