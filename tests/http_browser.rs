//! HTTP manners of the client in headless Chromium. A `fetch` of the test answers, with the browser's own responses.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

use hubwire::{ConnectionError, ErrorChain, HubConnection, HubConnectionBuilder, NegotiateError, Transport};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen(inline_js = r#"
const real = globalThis.fetch;
let seen = [];

const ANSWER = JSON.stringify({
  negotiateVersion: 1, connectionId: "c", connectionToken: "t",
  availableTransports: ["ServerSentEvents", "LongPolling"].map((transport) => ({ transport, transferFormats: ["Text"] })),
});

// `rules` maps a step to `[status, content type, body]`; a body of null never ends.
export function fake_fetch(rules) {
  rules = JSON.parse(rules);
  seen = [];
  let polls = 0;
  globalThis.fetch = async (request) => {
    const path = new URL(request.url).pathname;
    const step = path.endsWith("/negotiate") ? "negotiate"
      : request.method === "GET" ? (request.headers.get("Accept") === "text/event-stream" ? "events" : "poll")
      : request.method.toLowerCase();
    seen.push(`${step} ${request.redirect}`);
    let [status, kind, body] = rules[step] ?? { negotiate: [200, "application/json", ANSWER] }[step] ?? [200, "", ""];
    if (step === "poll" && !rules.poll) {
      polls += 1;
      // The first is empty, the second brings the handshake, the third waits.
      if (polls === 2) body = "{}\u001e";
      if (polls > 2) await new Promise((_, reject) => request.signal.addEventListener("abort", reject));
    }
    const bytes = new TextEncoder().encode(body ?? "");
    const stream = new ReadableStream({
      start(controller) {
        if (bytes.length) controller.enqueue(bytes);
        if (body !== null) controller.close();
      },
    });
    return new Response(stream, { status, headers: kind ? { "Content-Type": kind } : {} });
  };
}

export function real_fetch() {
  globalThis.fetch = real;
  return seen.join(",");
}
"#)]
extern "C" {
    fn fake_fetch(rules: &str);
    fn real_fetch() -> String;
}

fn builder() -> HubConnectionBuilder {
    HubConnection::builder("http://127.0.0.1:2/hub")
}

async fn refused(builder: HubConnectionBuilder) -> ConnectionError {
    builder.connect().await.expect_err("it does not connect")
}

#[wasm_bindgen_test]
async fn web_pages_are_not_answers() {
    const PAGE: &str = r#"[200,"Text/HTML; charset=utf-8","<!DOCTYPE html>"]"#;
    fake_fetch(&format!("{{\"negotiate\":{PAGE}}}"));
    let error = refused(builder()).await;
    assert!(
        matches!(&error, ConnectionError::Negotiate { source: NegotiateError::WebPage, .. }),
        "{error:?}"
    );

    fake_fetch(&format!("{{\"events\":{PAGE},\"poll\":{PAGE}}}"));
    let error = refused(builder()).await;
    let ConnectionError::NoTransport { skipped } = &error else { panic!("{error:?}") };
    assert_eq!(skipped.len(), 2);
    for skipped in skipped {
        assert!(skipped.to_string().contains("the answer is a web page (text/html)"), "{skipped}");
    }

    // The next transport is tried.
    fake_fetch(&format!("{{\"events\":{PAGE}}}"));
    let hub = builder().connect().await.unwrap();
    assert_eq!(hub.connection_info().unwrap().transport, Transport::LongPolling);
    hub.stop().await;
    let seen = real_fetch();
    assert!(seen.split(',').all(|request| request.ends_with(" manual")), "{seen}");
}

#[wasm_bindgen_test]
async fn event_streams_have_to_say_so() {
    for (kind, opens) in [("Text/Event-Stream;charset=UTF-8", true), ("", true), ("text/plain", false)] {
        fake_fetch(&format!(r#"{{"events":[200,"{kind}","data: x\n\n"]}}"#));
        let error = refused(builder().with_transports(Transport::ServerSentEvents)).await;
        // A stream that opens brings what is not a handshake.
        assert_eq!(matches!(error, ConnectionError::NoTransport { .. }), !opens, "{kind}: {error}");
        if !opens {
            assert!(
                ErrorChain::new(&error).to_string().contains("the answer is of the type text/plain"),
                "{error}"
            );
        }
    }
    real_fetch();
}

#[wasm_bindgen_test]
async fn stopping_does_not_wait_for_the_body_of_the_goodbye() {
    fake_fetch(r#"{"delete":[202,"text/plain",null],"post":[200,"text/plain",null]}"#);
    let hub = builder().with_transports(Transport::LongPolling).connect().await.unwrap();
    let begun = js_sys::Date::now();
    hub.stop().await;
    let took = js_sys::Date::now() - begun;
    assert!(took < 5000.0, "{took} ms");
    assert!(real_fetch().contains("delete"));
}

#[wasm_bindgen_test]
async fn refusals_tell_the_servers_reason() {
    fake_fetch(r#"{"negotiate":[403,"application/problem+json","{\"detail\":\"The tenant is blocked.\"}"]}"#);
    let error = refused(builder()).await;
    assert!(
        ErrorChain::new(&error).to_string().ends_with("; the server says: The tenant is blocked."),
        "{error}"
    );
    real_fetch();
}

/// As natively, although a browser would trim the one and throw at the other.
#[wasm_bindgen_test]
async fn tokens_and_headers_that_cannot_be_sent_are_named() {
    fake_fetch("{}");
    for skip in [false, true] {
        let provide = || std::future::ready(Ok::<_, ConnectionError>("marked-secret\n"));
        let error = refused(builder().with_access_token(provide).with_skip_negotiation(skip)).await;
        assert!(
            ErrorChain::new(&error).to_string().ends_with("the access token contains a line end; trim it"),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("marked"), "{error:?}");
    }
    let error = builder().with_header("X-Secret", "marked\n").build().expect_err("it is not allowed");
    let wanted = "a header cannot be sent: the value of `X-Secret` contains a line end; trim it";
    assert_eq!(ErrorChain::new(&error).to_string(), wanted);
    assert_eq!(real_fetch(), "");
}

/// What the browser hides of a redirect is no reason to follow it.
#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn http_redirects_are_not_followed() {
    let Some(base) = option_env!("HUBWIRE_TEST_HUB_URL") else { panic!("it names no reference hub") };
    let error = refused(HubConnection::builder(format!("{base}/fault/status/302"))).await;
    let ConnectionError::Negotiate { source: NegotiateError::HttpRedirect { status, location }, .. } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((status, location), (&None, &None));
    assert!(!error.is_retryable());
    assert!(
        matches!(ErrorChain::new(&error).to_string(), text if text.contains("is not followed; use the final URL")),
        "{error}"
    );
}
