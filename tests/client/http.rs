//! HTTP manners of the client: cookies, redirects, answers that are not what was asked for, and what its errors say.

mod server;

use std::time::{Duration, Instant};

use axum::body::Body;
use hubwire::{
    ConnectionError, ConnectionEvent, CookieJar, ErrorChain, HubConnection, HubConnectionBuilder,
    NegotiateError, RetryPolicy, SkipReason, Transport, TransportErrorKind,
};

use server::{Answer, Server, Step, answer, endless, redirect};

const TRANSPORTS: [(Transport, &str, &[Step]); 3] = [
    (Transport::WebSockets, "WebSockets", &[Step::WebSocket]),
    (Transport::ServerSentEvents, "ServerSentEvents", &[Step::Events, Step::Post]),
    (Transport::LongPolling, "LongPolling", &[Step::Poll, Step::Post]),
];

const ALL: &str = "WebSockets,ServerSentEvents,LongPolling";

async fn limited<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing hangs")
}

fn builder(server: &Server) -> HubConnectionBuilder {
    HubConnection::builder(&server.url)
}

/// Why it cannot connect.
async fn refused(builder: HubConnectionBuilder) -> ConnectionError {
    limited(builder.connect()).await.expect_err("it does not connect")
}

/// A load balancer: negotiate gives the cookie, and without it every other request goes to the wrong server.
async fn balanced(transports: &'static str) -> Server {
    Server::start(transports, |seen| match seen.step {
        Step::Negotiate => Answer::Setting("AFFINITY=node1; Path=/; HttpOnly"),
        _ if seen.header("Cookie").split("; ").any(|cookie| cookie == "AFFINITY=node1") => Answer::Own,
        _ => answer(404, "text/plain", "no such connection"),
    })
    .await
}

#[tokio::test]
async fn sticky_sessions_work_over_every_transport() {
    for (transport, name, steps) in TRANSPORTS {
        let server = balanced(name).await;
        let hub = limited(builder(&server).with_automatic_reconnect(RetryPolicy::default()).connect());
        let hub = hub.await.unwrap_or_else(|error| panic!("{transport}: {error}"));
        assert_eq!(limited(hub.invoke::<u32>("Echo", (7,))).await.unwrap(), 7);
        // The reconnect still has it, at negotiate already.
        let mut events = hub.events();
        hub.send("Drop", ()).await.unwrap();
        while !matches!(limited(events.next()).await, Some(ConnectionEvent::Reconnected { .. })) {}
        assert_eq!(limited(hub.invoke::<u32>("Echo", (8,))).await.unwrap(), 8);
        limited(hub.stop()).await;
        let seen = server.seen();
        for step in steps {
            assert!(
                seen.iter().any(|seen| seen.step == *step),
                "{transport}: {step:?} of {:?}",
                server.steps()
            );
        }
        let negotiations: Vec<_> =
            seen.iter().filter(|s| s.step == Step::Negotiate).map(|s| s.header("Cookie")).collect();
        assert_eq!(negotiations, ["", "AFFINITY=node1"], "{transport}");

        // Another start begins without.
        limited(hub.start()).await.unwrap();
        limited(hub.stop()).await;
        let last = server.seen().into_iter().rfind(|seen| seen.step == Step::Negotiate).unwrap();
        assert_eq!(last.header("Cookie"), "", "{transport}");
    }
}

#[tokio::test]
async fn cookies_can_be_switched_off() {
    for (transport, name, _) in TRANSPORTS {
        let server = balanced(name).await;
        let jar = CookieJar::new();
        jar.set(&server.url, "mine=1").unwrap();
        let error = refused(builder(&server).with_credentials(false).with_cookie_jar(jar.clone())).await;
        assert!(ErrorChain::new(&error).to_string().contains("404"), "{transport}: {error}");
        assert!(server.seen().iter().all(|seen| seen.header("Cookie").is_empty()));
        assert_eq!(jar.header(&server.url).as_deref(), Some("mine=1"));
    }
}

/// Whatever answers, its cookies count: a 101, a POST, a DELETE.
#[tokio::test]
async fn every_answer_can_set_cookies() {
    for (transport, name, steps) in TRANSPORTS {
        let server = Server::start(name, |seen| match seen.step {
            Step::Negotiate => Answer::Setting("negotiate=1; Path=/"),
            Step::WebSocket => Answer::Setting("socket=1; Path=/"),
            Step::Events => Answer::Setting("events=1; Path=/"),
            Step::Poll => Answer::Setting("poll=1; Path=/"),
            Step::Post => Answer::Setting("post=1; Path=/"),
            Step::Delete => Answer::Setting("delete=1; Path=/"),
            Step::Refresh => Answer::Own,
        })
        .await;
        let jar = CookieJar::new();
        jar.set(&server.url, "login=1; Path=/").unwrap();
        let hub = limited(builder(&server).with_cookie_jar(jar.clone()).connect()).await.unwrap();
        assert_eq!(limited(hub.invoke::<u32>("Echo", (7,))).await.unwrap(), 7);
        limited(hub.stop()).await;
        assert!(server.seen()[0].header("Cookie") == "login=1", "{:?}", server.seen()[0]);
        let kept = jar.header(&server.url).unwrap();
        let mut wanted = vec!["login=1", "negotiate=1"];
        wanted.extend(steps.iter().map(|step| match step {
            Step::WebSocket => "socket=1",
            Step::Events => "events=1",
            Step::Poll => "poll=1",
            _ => "post=1",
        }));
        if transport == Transport::LongPolling {
            wanted.push("delete=1");
        }
        assert_eq!(kept.split("; ").collect::<Vec<_>>(), wanted, "{transport}");

        // Shared with another connection.
        let other = limited(builder(&server).with_cookie_jar(jar).connect()).await.unwrap();
        assert!(server.seen().iter().any(|s| s.step == Step::Negotiate && s.header("Cookie") == kept));
        limited(other.stop()).await;
    }
}

#[tokio::test]
async fn a_redirect_of_negotiate_takes_no_credentials_along() {
    for (transport, name, _) in TRANSPORTS {
        let target = Server::start(name, |seen| match seen.step {
            Step::Negotiate => Answer::Setting("theirs=1; Path=/"),
            _ => Answer::Own,
        })
        .await;
        for host in ["127.0.0.1", "localhost"] {
            let url = target.url.replace("127.0.0.1", host);
            let already = target.seen().len();
            let app = Server::start(name, move |seen| {
                assert_eq!(seen.header("Cookie"), "own=2", "the app server is asked once");
                let body = format!("{{\"url\":\"{url}\",\"accessToken\":\"theirs\"}}");
                let Answer::Instead(mut response) = answer(200, "application/json", body) else { panic!() };
                response.headers_mut().append("Set-Cookie", "app=1; Path=/".parse().unwrap());
                Answer::Instead(response)
            })
            .await;
            let jar = CookieJar::new();
            let connecting = builder(&app)
                .with_header("cookie", "own=2")
                .with_header("Authorization", "Basic app")
                .with_header("X-Tenant", "contoso")
                .with_cookie_jar(jar.clone())
                .connect();
            let hub = limited(connecting).await.unwrap();
            assert_eq!(limited(hub.invoke::<u32>("Echo", (7,))).await.unwrap(), 7);
            limited(hub.stop()).await;
            assert_eq!(app.seen()[0].header("Authorization"), "Basic app");
            for (n, seen) in target.seen()[already..].iter().enumerate() {
                let wanted = if n == 0 { "" } else { "theirs=1" };
                assert_eq!(seen.header("Cookie"), wanted, "{transport} {:?}", seen.step);
                assert_eq!(seen.header("Authorization"), "Bearer theirs");
                assert_eq!(seen.header("X-Tenant"), "contoso");
            }
            assert_eq!(jar.header(&app.url).as_deref(), Some("app=1"));
        }
    }
}

#[tokio::test]
async fn a_cookie_header_is_sent_together_with_the_jar() {
    let server = balanced("LongPolling").await;
    let hub = builder(&server).with_header("Cookie", "tenant=a; AFFINITY2=x").with_header("cookie", "user=b");
    let hub = limited(hub.connect()).await.unwrap();
    limited(hub.stop()).await;
    let seen = server.seen();
    assert_eq!(seen[0].header("Cookie"), "tenant=a; AFFINITY2=x; user=b");
    assert_eq!(seen[1].header("Cookie"), "tenant=a; AFFINITY2=x; user=b; AFFINITY=node1");
}

#[tokio::test]
async fn http_redirects_are_not_followed() {
    let elsewhere = Server::start(ALL, |_| Answer::Own).await;
    for status in [301, 302, 303, 307, 308] {
        let target = elsewhere.url.replace("/hub", "/login?return=secret");
        let server = Server::start(ALL, move |_| redirect(status, &target)).await;
        let error = refused(builder(&server).with_first_connect_retry(true)).await;
        let ConnectionError::Negotiate { source: NegotiateError::HttpRedirect { location, .. }, .. } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(location.as_deref(), Some(&*elsewhere.url.replace("/hub", "/login")));
        assert_eq!((error.status(), error.is_retryable()), (Some(status), false));
        assert!(
            ErrorChain::new(&error).to_string().contains("is not followed; use the final URL"),
            "{error}"
        );
        assert!(!ErrorChain::new(&error).to_string().contains("secret"), "{error}");

        // Of the transports: each has its reason, and the next one is tried.
        let server = Server::start(ALL, move |seen| match seen.step {
            Step::Negotiate => Answer::Own,
            _ => redirect(status, "/login?return=secret"),
        })
        .await;
        let error = refused(builder(&server)).await;
        let ConnectionError::NoTransport { skipped } = &error else { panic!("{error:?}") };
        assert_eq!((skipped.len(), error.is_retryable()), (3, false));
        for skipped in skipped {
            let SkipReason::Failed(error) = &skipped.reason else { panic!("{skipped:?}") };
            assert_eq!((error.status, error.kind), (Some(status), TransportErrorKind::Redirect));
            assert!(error.message.contains("an HTTP redirect to /login, which is not followed"), "{error}");
        }
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn web_pages_are_not_answers() {
    const PAGE: &str = "<!DOCTYPE html><title>Sign in</title>";
    // Instead of negotiate, whatever it calls itself.
    for kind in ["text/html; charset=utf-8", "Text/HTML", "application/xhtml+xml", "application/json", ""] {
        let server = Server::start(ALL, move |_| answer(200, kind, PAGE)).await;
        let error = refused(builder(&server)).await;
        let wanted =
            "the answer is a web page (text/html), not a negotiate answer; is a login or a proxy in between";
        assert!(ErrorChain::new(&error).to_string().contains(wanted), "{kind}: {error}");
    }
    // An answer that is what was asked for counts, whatever it calls itself.
    let server = Server::start("WebSockets", |seen| match seen.step {
        Step::Negotiate => answer(
            200,
            "text/html",
            r#"{"connectionId":"0","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#,
        ),
        _ => answer(403, "", ""),
    })
    .await;
    let error = refused(builder(&server)).await;
    assert!(matches!(error, ConnectionError::NoTransport { .. }), "{error}");

    // Instead of each transport, the next one is tried.
    let server = Server::start(ALL, |seen| match seen.step {
        Step::Events | Step::WebSocket => answer(200, "text/html; charset=utf-8", PAGE),
        _ => Answer::Own,
    })
    .await;
    let hub = limited(builder(&server).connect()).await.unwrap();
    assert_eq!(hub.connection_info().unwrap().transport, Transport::LongPolling);
    limited(hub.stop()).await;
    let server = Server::start(ALL, |seen| match seen.step {
        Step::Negotiate => Answer::Own,
        _ => answer(200, "text/html; charset=utf-8", PAGE),
    })
    .await;
    let error = refused(builder(&server)).await;
    let ConnectionError::NoTransport { skipped } = &error else { panic!("{error:?}") };
    assert_eq!(skipped.len(), 3);
    for skipped in skipped {
        assert!(skipped.to_string().contains("the answer is a web page (text/html)"), "{skipped}");
    }

    // Later: in place of a message's answer, or of a poll.
    for (transport, step) in
        [("LongPolling", Step::Post), ("ServerSentEvents", Step::Post), ("LongPolling", Step::Poll)]
    {
        let logged_out = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let server = Server::start(transport, {
            let logged_out = std::sync::Arc::clone(&logged_out);
            move |seen| match seen.step {
                at if at == step && logged_out.load(std::sync::atomic::Ordering::SeqCst) => {
                    answer(200, "text/html", PAGE)
                }
                _ => Answer::Own,
            }
        })
        .await;
        let hub = limited(builder(&server).connect()).await.unwrap();
        limited(hub.invoke::<u32>("Echo", (7,))).await.unwrap();
        logged_out.store(true, std::sync::atomic::Ordering::SeqCst);
        // A poll that is under way brings the first answer, the next one the page.
        let _ = limited(hub.invoke::<u32>("Echo", (8,))).await;
        let closed = limited(hub.closed()).await;
        let closed = ErrorChain::new(&closed).to_string();
        assert!(closed.contains("the answer is a web page"), "{transport} {step:?}: {closed}");
    }
}

#[tokio::test]
async fn event_streams_have_to_say_so() {
    for (kind, opens) in [
        ("Text/Event-Stream;charset=UTF-8", true),
        ("", true),
        ("text/plain", false),
        ("application/json", false),
    ] {
        let server = Server::start("ServerSentEvents,LongPolling", move |seen| match seen.step {
            Step::Events => answer(200, kind, Body::from("data: {}\u{1e}\n\n")),
            _ => Answer::Own,
        })
        .await;
        // The stream that opens ends at once.
        let error = limited(builder(&server).with_transports(Transport::ServerSentEvents).connect()).await;
        let error = error.map(|_| "connected").map_err(|error| ErrorChain::new(&error).to_string());
        let reason = format!("the answer is of the type {kind}");
        match error {
            Err(error) if !opens => assert!(error.contains(&reason), "{error}"),
            other => assert!(
                opens && other.as_ref().err().is_none_or(|e| e.contains("ended the event stream")),
                "{kind}: {other:?}"
            ),
        }
        if !opens {
            let hub = limited(builder(&server).connect()).await.unwrap();
            assert_eq!(hub.connection_info().unwrap().transport, Transport::LongPolling);
            limited(hub.stop()).await;
        }
    }
}

/// The head of an answer says all about a message and about the goodbye: their bodies are not waited for.
#[tokio::test]
async fn bodies_that_say_nothing_are_not_awaited() {
    for (_, name, _) in &TRANSPORTS[1..] {
        let server = Server::start(name, |seen| match seen.step {
            Step::Delete => answer(202, "text/plain", endless()),
            _ => Answer::Own,
        })
        .await;
        let hub = limited(builder(&server).connect()).await.unwrap();
        let begun = Instant::now();
        limited(hub.stop()).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_limit_is_one_for_the_whole_request() {
    // A negotiate answer that never ends, byte by byte.
    let server = Server::start(ALL, |_| {
        let bytes = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::convert::Infallible>(" "), ()))
        });
        answer(200, "application/json", Body::from_stream(bytes))
    })
    .await;
    let begun = Instant::now();
    let error = refused(builder(&server).with_request_timeout(Duration::from_millis(500))).await;
    assert!(matches!(error, ConnectionError::Timeout { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn refusals_tell_the_servers_reason() {
    let server = Server::start(ALL, |_| {
        answer(403, "application/problem+json", r#"{"title":"Forbidden","detail":"The tenant is blocked."}"#)
    })
    .await;
    let error = refused(builder(&server)).await;
    assert_eq!(error.status(), Some(403));
    assert!(
        ErrorChain::new(&error).to_string().ends_with("; the server says: The tenant is blocked."),
        "{error}"
    );
}

#[tokio::test]
async fn tokens_and_headers_that_cannot_be_sent_are_named() {
    for (_, name, _) in TRANSPORTS {
        let server = Server::start(name, |_| Answer::Own).await;
        for (token, wanted) in [
            ("marked-secret\n", "the access token contains a line end; trim it"),
            ("marked-secret\r\nX: y", "the access token contains a line end; trim it"),
            ("marked-\u{1}secret", "the access token contains a control character"),
            ("marked-s\u{e9}cret", "the access token contains a character that is not ASCII"),
        ] {
            let provide = move || std::future::ready(Ok::<_, ConnectionError>(token));
            for skip in [false, true] {
                let error =
                    refused(builder(&server).with_access_token(provide).with_skip_negotiation(skip)).await;
                assert!(matches!(error, ConnectionError::AccessToken(_)), "{error:?}");
                assert!(ErrorChain::new(&error).to_string().ends_with(wanted), "{error}");
                assert!(!format!("{error:?}").contains("marked"), "{error:?}");
            }
        }
        assert!(server.seen().is_empty());

        // One that is renewed when a transport was refused.
        let server = Server::start(name, |seen| match seen.step {
            Step::Negotiate => Answer::Own,
            _ => answer(401, "", ""),
        })
        .await;
        let tokens = std::sync::Mutex::new(vec!["marked-secret\n", "good"]);
        let provide = move || {
            std::future::ready(Ok::<_, ConnectionError>(tokens.lock().unwrap().pop().unwrap_or("good")))
        };
        let error = refused(builder(&server).with_access_token(provide)).await;
        let text = ErrorChain::new(&error).to_string();
        assert!(text.contains("could not be renewed"), "{text}");
        assert!(text.ends_with("the access token contains a line end; trim it"), "{text}");
        assert!(!format!("{error:?}").contains("marked"), "{error:?}");
    }
    for (name, value, wanted) in [
        (
            "X-Secret",
            "marked-secret\n",
            "a header cannot be sent: the value of `X-Secret` contains a line end; trim it",
        ),
        (
            "X-Secret",
            "marked-\0",
            "a header cannot be sent: the value of `X-Secret` contains a control character",
        ),
        ("X-\u{e9}marked", "x", "a header cannot be sent: its name is not the name of a header"),
        ("marked secret", "Authorization", "a header cannot be sent: its name is not the name of a header"),
    ] {
        let error = HubConnection::builder("http://127.0.0.1/hub").with_header(name, value).build();
        let error = error.expect_err("it is not allowed");
        assert_eq!(ErrorChain::new(&error).to_string(), wanted);
        assert!(!format!("{error:?}").contains("marked"), "{error:?}");
    }
}
