//! Messages and groups over the REST API.
#![cfg(feature = "service")]

use std::{sync::Arc, time::Duration};

use crate::fakes::{ACCESS_KEY, Fake, Seen, TOKEN, all_well, nobody, reply, verified};
use hubwire::service::{
    HubClient, RetryOptions, ServiceClient, ServiceEndpoint, ServiceError, credentials::AccessKey,
    error::Operation, hub::Commands,
};
use serde_json::json;
use tokio::sync::Notify;

fn hub(client: &ServiceClient) -> HubClient {
    client.hub("Chat").unwrap()
}

#[tokio::test]
async fn messages_go_where_they_are_sent() {
    let fake = Fake::start(all_well).await;
    let hub = hub(&fake.key_client());
    let version = "api-version=2024-12-01";

    hub.all().send("ReceiveMessage", ("system", "hello")).await.unwrap();
    let seen = fake.last();
    assert_eq!((seen.method.as_str(), seen.target), ("POST", format!("/api/hubs/chat/:send?{version}")));
    assert_eq!(seen.body, r#"{"Target":"ReceiveMessage","Arguments":["system","hello"]}"#);
    assert_eq!(fake.last().header("content-type"), "application/json; charset=utf-8");

    hub.user("alice").send("m", ()).await.unwrap();
    assert_eq!(fake.last().target, format!("/api/hubs/chat/users/alice/:send?{version}"));
    assert_eq!(fake.last().body, r#"{"Target":"m","Arguments":[]}"#);

    hub.group("admins").send("a \"b\" ü", vec![1, 2]).await.unwrap();
    assert_eq!(fake.last().target, format!("/api/hubs/chat/groups/admins/:send?{version}"));
    assert_eq!(fake.last().body, r#"{"Target":"a \"b\" ü","Arguments":[1,2]}"#);

    hub.connection("Ab-_xyz01").send("m", (json!({"a": null}),)).await.unwrap();
    assert_eq!(fake.last().target, format!("/api/hubs/chat/connections/Ab-_xyz01/:send?{version}"));
    assert_eq!(fake.last().body, r#"{"Target":"m","Arguments":[{"a":null}]}"#);
}

#[tokio::test]
async fn groups_are_changed() {
    let fake = Fake::start(all_well).await;
    let hub = hub(&fake.key_client());
    let group = hub.group("g ä");
    group.add_connection("c/1").await.unwrap();
    group.remove_connection("c/1").await.unwrap();
    group.add_user("u%2F").await.unwrap();
    group.remove_user("u%2F").await.unwrap();
    let calls: Vec<_> = fake.all().into_iter().map(|s| (s.method, s.target, s.body)).collect();
    let connection = "/api/hubs/chat/groups/g%20%C3%A4/connections/c%2F1?api-version=2024-12-01";
    let user = "/api/hubs/chat/users/u%252F/groups/g%20%C3%A4?api-version=2024-12-01";
    let expected = [("PUT", connection), ("DELETE", connection), ("PUT", user), ("DELETE", user)];
    let expected = expected.map(|(method, target)| (method.to_owned(), target.to_owned(), String::new()));
    assert_eq!(calls, expected);
}

#[tokio::test]
async fn a_key_signs_every_request_for_its_url() {
    let fake = Fake::start(all_well).await;
    let endpoint = ServiceEndpoint::new("https://a.example.com:444", AccessKey::new(ACCESS_KEY))
        .and_then(|e| e.server_endpoint(&format!("{}/proxy", fake.url)))
        .unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).application_name("App").build().unwrap();
    hub(&client).group("a b").send("m", ()).await.unwrap();
    let seen = fake.last();
    let target = "api/hubs/chat/groups/a%20b/:send?application=app&api-version=2024-12-01";
    assert_eq!(seen.target, format!("/proxy/{target}"));
    let (header, claims) = verified(seen.bearer(), ACCESS_KEY);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("HS256"), &json!("JWT")));
    assert_eq!(
        claims["aud"], "https://a.example.com/api/hubs/chat/groups/a%20b/:send",
        "from the endpoint, without the port and the query"
    );
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 3600));
    assert!(claims["nameid"].as_str().is_some_and(|name| name.starts_with("hubwire_")));
}

/// `:execute` and the question for the health have no parameter for the application.
#[tokio::test]
async fn the_application_is_where_the_definition_of_each_call_has_it() {
    let fake = Fake::start(all_well).await;
    let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).application_name("App").build().unwrap();
    let hub = hub(&client);
    let version = "api-version=2024-12-01";
    hub.all().send("m", ()).await.unwrap();
    assert_eq!(fake.last().target, format!("/api/hubs/chat/:send?application=app&{version}"));
    hub.execute("true", Commands::new().add_to_group("g")).await.unwrap();
    assert_eq!(fake.last().target, format!("/api/hubs/app_chat/:execute?{version}&filter=true"));
    let (_, claims) = verified(fake.last().bearer(), ACCESS_KEY);
    assert_eq!(claims["aud"], "http://127.0.0.1/api/hubs/app_chat/:execute");
    assert!(client.is_healthy().await.unwrap());
    assert_eq!(fake.last().target, format!("/api/health?{version}"));
}

#[tokio::test]
async fn messages_have_an_id_for_the_messaging_logs_on_request() {
    let fake = Fake::start(|seen: &Seen| reply(if seen.nth == 1 { 503 } else { 202 }, "")).await;
    let endpoint = || ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let impatient = RetryOptions::default().delay(Duration::ZERO);
    let client = ServiceClient::builder().endpoint(endpoint()).retry(impatient).message_tracing();
    let hub = hub(&client.build().unwrap());
    for _ in 0..2 {
        hub.all().send("m", ()).await.unwrap();
    }
    let ids = fake.all().into_iter().map(|seen| seen.header("x-asrs-message-tracing-id").parse().unwrap());
    let ids: Vec<u64> = ids.collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "one for each message, repeated or not: {ids:?}");
    self::hub(&fake.key_client()).all().send("m", ()).await.unwrap();
    assert_eq!(fake.last().header("x-asrs-message-tracing-id"), "");
}

/// The service would carry the commands out for every connection.
#[tokio::test]
async fn an_empty_filter_is_refused_and_not_sent() {
    let fake = Fake::start(all_well).await;
    let hub = hub(&fake.key_client());
    for filter in ["", " ", "\t\r\n"] {
        let error = hub.execute(filter, Commands::new().close_connections(None)).await.expect_err("empty");
        assert!(matches!(error, ServiceError::EmptyFilter), "{filter:?}: {error:?}");
        assert!(error.to_string().contains("hub.all()") && !error.is_retryable(), "{error}");
    }
    assert_eq!(fake.all().len(), 0);
}

/// The service takes request lines of 12 K, and the HTTP client no URL of 64 K.
#[tokio::test]
async fn an_address_that_is_too_long_is_not_sent() {
    let (fake, other) = (Fake::start(all_well).await, Fake::start(all_well).await);
    let endpoint = |fake: &Fake| ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let several = ServiceClient::builder().endpoint(endpoint(&fake)).endpoint(endpoint(&other));
    for client in [fake.key_client(), several.build().unwrap()] {
        let hub = hub(&client);
        let ids: Vec<String> = (0..5_000).map(|n| format!("connection-{n:011}")).collect();
        let (filter, reason) = (format!("userId eq '{}'", "x".repeat(90_000)), "because ".repeat(12_500));
        let commands = || Commands::new().add_to_group("g");
        let longest_name = "\u{1f600}".repeat(1024);
        for (parameter, result) in [
            ("excluded", hub.all().excluding(&ids).send("m", ()).await),
            ("excluded", hub.group("g").excluding(&ids).send("m", ()).await),
            ("excluded", hub.user("u").excluding(&ids).close_connections(Some("bye")).await),
            ("filter", hub.execute(&filter, commands()).await),
            ("reason", hub.all().close_connections(Some(&reason)).await),
            ("reason", hub.connection("c").close(Some(&reason)).await),
            ("reason", hub.connection("c").stream("1").complete(Some(&reason)).await),
            ("name", hub.group(&longest_name).send("m", ()).await),
        ] {
            let error = result.expect_err(parameter);
            let ServiceError::ParameterTooLong { parameter: named, length, .. } = &error else {
                panic!("{parameter}: {error:?}")
            };
            assert!(*named == parameter && *length > 12_288, "{error}");
            let text = error.to_string();
            assert!(text.contains(parameter) && text.contains("12 K"), "{text}");
            assert!(!error.is_retryable());
        }
        assert!(fake.all().iter().all(|seen| seen.path() == "/api/health"));

        // The limit is exact: `POST /api/hubs/chat/:execute?api-version=2024-12-01&filter=... HTTP/1.1` and a line break.
        let fits = 12_288 - "POST /api/hubs/chat/:execute?api-version=2024-12-01&filter= HTTP/1.1\r\n".len();
        let error = hub.execute(&"x".repeat(fits + 1), commands()).await.expect_err("too long");
        assert!(matches!(error, ServiceError::ParameterTooLong { length: 12_289, .. }), "{error:?}");
        hub.execute(&"x".repeat(fits), commands()).await.unwrap();
        hub.all().excluding(&ids[..350]).send("m", ()).await.unwrap();
        fake.forget();
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_sent() {
    let fake = Fake::start(|_: &Seen| reply(413, "")).await;
    let hub = hub(&fake.key_client());
    // `{"Target":"m","Arguments":[""]}` has 31 bytes.
    let fits = "x".repeat(1024 * 1024 - 31);
    let error = hub.all().send("m", (&fits,)).await.expect_err("the fake takes nothing");
    assert!(matches!(error, ServiceError::TooLarge(_)), "{error:?}");
    assert!(error.to_string().contains("1 MB") && !error.is_retryable(), "{error}");
    assert_eq!(fake.all().len(), 1);
    let large = format!("{fits}x");
    for error in [
        hub.all().send("m", (&large,)).await.expect_err("too large"),
        hub.users(["a", "b"]).send("m", (&large,)).await.expect_err("too large"),
        hub.execute("true", Commands::new().send("m", (&large,))).await.expect_err("too large"),
        hub.connection("c").stream("1").send(&format!("{large}{fits}")).await.expect_err("too large"),
    ] {
        assert!(
            matches!(error, ServiceError::MessageTooLarge { length } if length > 1024 * 1024),
            "{error:?}"
        );
        assert!(error.to_string().contains("takes 1 MB"), "{error}");
    }
    assert_eq!(fake.all().len(), 1);
}

#[tokio::test]
async fn an_entra_endpoint_sends_the_entra_token_itself() {
    let fake = Fake::start(all_well).await;
    let hub = hub(&fake.entra_client());
    hub.all().send("m", ()).await.unwrap();
    assert_eq!(fake.last().bearer(), "entra-token-1");
    hub.group("g").add_user("u").await.unwrap();
    assert_eq!(fake.last().bearer(), "entra-token-1");
    assert_eq!(fake.count(TOKEN), 1);
    assert_eq!(fake.count(crate::fakes::EXCHANGE), 0, "REST needs no access key");
}

#[tokio::test]
async fn names_never_change_the_target() {
    let fake = Fake::start(all_well).await;
    let hub = hub(&fake.key_client());
    let long = "g".repeat(1025);
    for name in [".", "..", "", "  ", &long] {
        for result in [
            hub.group(name).send("m", ()).await,
            hub.user(name).send("m", ()).await,
            hub.connection(name).send("m", ()).await,
            hub.group(name).add_connection("c").await,
            hub.group("g").add_connection(name).await,
            hub.group("g").remove_connection(name).await,
            hub.group("g").add_user(name).await,
            hub.group(name).remove_user("u").await,
        ] {
            assert!(matches!(result, Err(ServiceError::InvalidName { .. })), "{name:?}: {result:?}");
        }
    }
    assert!(matches!(hub.all().send("", ()).await, Err(ServiceError::InvalidName { what: "method", .. })));
    assert!(fake.all().is_empty());

    for (name, segment) in [
        ("%2E%2E", "%252E%252E"),
        ("../x", "..%2Fx"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("a+b&c=d:;,@!$'()*", "a%2Bb%26c%3Dd%3A%3B%2C%40%21%24%27%28%29%2A"),
        ("nl\nx", "nl%0Ax"),
        ("\"<>\"", "%22%3C%3E%22"),
        ("A-Z_~.b", "A-Z_~.b"),
        ("ä", "%C3%A4"),
        ("...", "..."),
    ] {
        hub.group(name).send("m", ()).await.unwrap();
        assert_eq!(fake.last().path(), format!("/api/hubs/chat/groups/{segment}/:send"));
    }
}

#[tokio::test]
async fn statuses_become_typed_errors() {
    let fake = Fake::start(|seen: &Seen| {
        let body = json!({"code": "X", "message": "words of the service"});
        let statuses = [400, 401, 403, 404, 429, 500, 503, 413, 302];
        reply(statuses[seen.nth - 1], body)
            .with("x-ms-error-code", "Error.Some.Code")
            .with("retry-after", "3")
            .with("location", "/api/elsewhere")
    })
    .await;
    let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).retry(RetryOptions::none()).build().unwrap();
    let hub = hub(&client);
    let mut errors = Vec::new();
    for _ in 0..9 {
        errors.push(hub.all().send("m", ()).await.expect_err("an error"));
    }
    for error in &errors {
        let refusal = error.refusal().expect("an answer");
        assert_eq!(refusal.error_code(), Some("Error.Some.Code"));
        assert_eq!(refusal.message(), Some("words of the service"));
        assert_eq!(refusal.operation(), Operation::Send);
        assert_eq!(refusal.retry_after(), Some(Duration::from_secs(3)));
        let text = error.to_string();
        assert!(text.contains(&refusal.status().to_string()) && text.contains("Error.Some.Code"), "{text}");
    }
    assert!(matches!(
        errors.as_slice(),
        [
            ServiceError::BadRequest(_),
            ServiceError::Unauthorized(_),
            ServiceError::Forbidden(_),
            ServiceError::NotFound(_),
            ServiceError::Throttled(_),
            ServiceError::Failed(_),
            ServiceError::Failed(_),
            ServiceError::TooLarge(_),
            ServiceError::Failed(_),
        ]
    ));
    let retryable: Vec<bool> = errors.iter().map(ServiceError::is_retryable).collect();
    assert_eq!(retryable, [false, false, false, false, true, true, true, false, false]);
    assert_eq!(fake.all().len(), 9, "no retries, no redirects");
}

#[tokio::test]
async fn a_missing_role_is_named() {
    let fake = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN => all_well(seen),
        _ => reply(403, ""),
    })
    .await;
    let hub = hub(&fake.entra_client());
    for error in [
        hub.all().send("m", ()).await.expect_err("forbidden"),
        hub.group("g").add_user("u").await.expect_err("forbidden"),
    ] {
        assert!(matches!(error, ServiceError::Forbidden(_)));
        let text = error.to_string();
        assert!(text.contains("\"SignalR REST API Owner\" or \"SignalR Service Owner\""), "{text}");
    }
    assert_eq!(fake.all().len(), 3, "403 is not retried");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let fake = Fake::start(|seen: &Seen| match seen.bearer() {
        "entra-token-1" => reply(401, ""),
        _ => all_well(seen),
    })
    .await;
    let hub = hub(&fake.entra_client());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let hub = hub.clone();
        senders.spawn(async move { hub.all().send("m", ("x",)).await });
    }
    while let Some(result) = senders.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(fake.count(TOKEN), 2, "one token for all of them");
    assert!(
        fake.seen("/api/hubs/chat/:send").iter().all(|s| s.body == r#"{"Target":"m","Arguments":["x"]}"#)
    );

    let fake = Fake::start(|seen: &Seen| match seen.path() {
        TOKEN => all_well(seen),
        _ => reply(401, ""),
    })
    .await;
    let error = self::hub(&fake.entra_client()).all().send("m", ()).await.expect_err("refused twice");
    assert!(matches!(error, ServiceError::Unauthorized(_)));
    assert_eq!((fake.count(TOKEN), fake.count("/api/hubs/chat/:send")), (2, 2));
}

#[tokio::test]
async fn a_connection_that_is_gone_counts_as_added() {
    let fake = Fake::start(|seen: &Seen| {
        let codes = [
            "Error.Connection.NotExisted",
            "error.connection.notexisted",
            "Warning.Connection.NotExisted",
            "",
        ];
        reply(404, "").with("x-ms-error-code", codes[seen.nth - 1])
    })
    .await;
    let hub = hub(&fake.key_client());
    for _ in 0..2 {
        hub.group("g").add_connection("c").await.unwrap();
    }
    for _ in 0..2 {
        let error = hub.group("g").add_connection("c").await.expect_err("another 404");
        assert!(matches!(error, ServiceError::NotFound(_)));
    }
}

/// The service's codes, in any case.
#[tokio::test]
async fn what_does_not_exist_is_said_by_a_code_in_any_case() {
    for change in [str::to_owned, str::to_lowercase, str::to_uppercase] as [fn(&str) -> String; 3] {
        let fake = Fake::start(move |seen: &Seen| {
            let code = match seen.path() {
                path if path.contains("/users/u/groups/") => "Info.User.NotInGroup",
                path if path.contains("/users/") => "Warning.User.NotExisted",
                path if path.contains("/groups/") => "Warning.Group.NotExisted",
                _ => "Warning.Connection.NotExisted",
            };
            reply(404, "").with("x-ms-error-code", &change(code))
        })
        .await;
        let hub = hub(&fake.key_client());
        assert!(!hub.user("u").exists().await.unwrap());
        assert!(!hub.group("g").exists().await.unwrap());
        assert!(!hub.group("g").contains_user("u").await.unwrap());
        assert!(!hub.connection("c").exists().await.unwrap());
        hub.connection("c").close(None).await.unwrap();
    }
}

#[tokio::test]
async fn everything_ends() {
    let never = Arc::new(Notify::new());
    let fake = Fake::start(move |_: &Seen| reply(202, "").behind(&never)).await;
    let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let limit = Duration::from_millis(200);
    let client = ServiceClient::builder().endpoint(endpoint).timeout(limit).build().unwrap();
    let error = hub(&client).all().send("m", ()).await.expect_err("a timeout");
    let ServiceError::Timeout { operation: Operation::Send, after } = error else { panic!("{error:?}") };
    assert_eq!(after, limit);

    let endpoint = ServiceEndpoint::new(&nobody(), AccessKey::new(ACCESS_KEY)).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).retry(RetryOptions::none()).build().unwrap();
    let error = hub(&client).all().send("m", ()).await.expect_err("nobody there");
    assert!(matches!(error, ServiceError::Connection { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn arguments_that_are_no_json_are_an_error() {
    let fake = Fake::start(all_well).await;
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = hub(&fake.key_client()).all().send("m", (map,)).await.expect_err("no JSON");
    assert!(matches!(error, ServiceError::Arguments(_)));
    let upload = hubwire::Upload::new(futures_util::stream::iter([1, 2]));
    let error = hub(&fake.key_client()).all().send("m", (upload,)).await.expect_err("no upload");
    let ServiceError::Arguments(error) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("needs a connection to the hub"), "{error}");
    assert!(fake.all().is_empty());
}
