//! The endpoints in actix-web: the same answers as elsewhere.
#![cfg(feature = "actix")]

use actix_web::{
    App,
    body::MessageBody,
    dev::{Payload, ServiceResponse},
    http::{Method, StatusCode},
    rt::System,
    test,
};
use futures_util::StreamExt;
use hubwire::service::{
    HubClient, NegotiateOptions, NegotiateRejection, NegotiateService, ServiceClient, ServiceEndpoint,
    credentials::AccessKey, upstream::UpstreamRouter,
};
use serde_json::{Value, json};

fn hub() -> HubClient {
    let endpoint =
        ServiceEndpoint::new("https://contoso.service.signalr.net", AccessKey::new("a key")).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap()
}

async fn options(parts: http::request::Parts) -> Result<NegotiateOptions, NegotiateRejection> {
    tokio::task::yield_now().await;
    let user = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
    user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
}

struct Answer {
    status: StatusCode,
    allowed_origin: Option<String>,
    body: Value,
}

fn request(method: Method, target: &str, headers: &[(&str, &str)], body: String) -> test::TestRequest {
    let request = test::TestRequest::default().method(method).uri(target).set_payload(body);
    headers.iter().fold(request, |request, header| request.insert_header(*header))
}

async fn read<B: MessageBody>(response: ServiceResponse<B>) -> Answer {
    let status = response.status();
    let header = response.headers().get("access-control-allow-origin");
    let allowed_origin = header.map(|origin| origin.to_str().unwrap().to_owned());
    let body = test::read_body(response).await;
    let body = body.strip_suffix(b"\x1e").unwrap_or(&body);
    Answer { status, allowed_origin, body: serde_json::from_slice(body).unwrap_or_default() }
}

#[test]
fn a_negotiate_endpoint() {
    System::new().block_on(async {
        let origin = "https://app.example.com";
        let service = NegotiateService::new(hub(), options).allow_origin(origin).unwrap();
        let service = service.allow_origin_if(|origin| origin == "https://preview.example.com");
        let refreshing = NegotiateService::new(hub(), options).authentication_refresh();
        let app = test::init_service(
            App::new()
                .configure(hubwire::actix_routes::negotiate("/plain/", hub(), options))
                .configure(hubwire::actix_routes::negotiate_service("/chat", service))
                .configure(hubwire::actix_routes::negotiate_service("/refreshing", refreshing)),
        )
        .await;
        let call = async |method, target: &str, headers: &[(&str, &str)]| {
            let request = request(method, target, headers, String::new());
            read(test::call_service(&app, request.to_request()).await).await
        };
        let post = async |target, headers: &[(&str, &str)]| call(Method::POST, target, headers).await;

        let answer = post("/plain/negotiate?a=1&hub=x", &[("x-user", "alice")]).await;
        let url = answer.body["url"].as_str().expect("a URL");
        let start =
            "https://contoso.service.signalr.net/client/?hub=chat&asrs.op=%2Fplain&a=1&asrs_request_id=";
        assert!(answer.status == StatusCode::OK && url.starts_with(start), "{url}");
        assert!(answer.body["accessToken"].is_string());

        let answer = post("/plain/negotiate", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.body), (401, json!({ "error": "Sign in first." })));
        let answer = post("/chat/refresh", &[("x-user", "alice")]).await;
        assert_eq!((answer.status.as_u16(), answer.body), (404, Value::Null));
        let answer = post("/refreshing/refresh?id=c", &[("x-user", "alice")]).await;
        let missing = json!({ "error": "missing_connection_token" });
        assert_eq!((answer.status.as_u16(), answer.body), (400, missing));
        let named = ("x-signalr-connection-token", "c");
        let answer = post("/refreshing/refresh", &[named]).await;
        assert_eq!((answer.status.as_u16(), answer.body), (401, json!({ "error": "Sign in first." })));
        let answer = call(Method::GET, "/plain/negotiate", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].is_string()), (405, true));
        assert_eq!(post("/other", &[]).await.status.as_u16(), 404);

        let asked = [("origin", origin), ("access-control-request-headers", "x-signalr-user-agent")];
        let answer = call(Method::OPTIONS, "/chat/negotiate", &asked).await;
        assert_eq!((answer.status.as_u16(), answer.allowed_origin.as_deref()), (204, Some(origin)));
        for (origin, allowed) in
            [(origin, true), ("https://preview.example.com", true), ("https://evil.example.com", false)]
        {
            let answer = post("/chat/negotiate", &[("origin", origin), ("x-user", "alice")]).await;
            let allowed = allowed.then_some(origin);
            assert_eq!((answer.status.as_u16(), answer.allowed_origin.as_deref()), (200, allowed));
        }
    });
}

#[test]
fn an_upstream_endpoint() {
    System::new().block_on(async {
        let router = UpstreamRouter::new().allow_unsigned().on_message("chat", "Add", |message| async move {
            let (a, b): (u32, u32) = message.arguments()?;
            Ok(a + b)
        });
        let app = test::init_service(
            App::new().configure(hubwire::actix_routes::upstream("/up/{tail:.*}", router)),
        )
        .await;
        let post = async |target, headers: &[(&str, &str)], body: String| {
            let request = request(Method::POST, target, headers, body);
            read(test::call_service(&app, request.to_request()).await).await
        };
        let headers = [
            ("content-type", "application/json"),
            ("x-asrs-hub", "chat"),
            ("x-asrs-category", "messages"),
            ("x-asrs-event", "Add"),
            ("x-asrs-connection-id", "c"),
        ];
        let body = r#"{"type":1,"invocationId":"7","target":"Add","arguments":[1,2]}"#;
        let answer = post("/up/chat/messages/Add", &headers, body.to_owned()).await;
        assert_eq!(answer.body, json!({ "type": 3, "invocationId": "7", "result": 3 }));
        let answer = post("/up/x", &headers, "x".repeat(4 * 1024 * 1024 + 1)).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].is_string()), (413, true));
        let answer = post("/up/x", &headers[1..], String::new()).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].is_string()), (415, true));
    });
}

#[test]
fn nothing_of_an_upstream_body_is_read_before_the_signature_is_accepted() {
    System::new().block_on(async {
        let router = UpstreamRouter::new().access_key(&AccessKey::new("a key")).unwrap();
        let router = router.on_connected("chat", |_| async { Ok(()) });
        let app =
            test::init_service(App::new().configure(hubwire::actix_routes::upstream("/up", router))).await;
        let headers = [
            ("content-type", "application/json"),
            ("x-asrs-hub", "chat"),
            ("x-asrs-category", "connections"),
            ("x-asrs-event", "connected"),
            ("x-asrs-connection-id", "c"),
            ("x-asrs-signature", "sha256=00"),
        ];
        let request = request(Method::POST, "/up", &headers, String::new()).to_request();
        let body = futures_util::stream::poll_fn(|_| panic!("the body was read"));
        let (request, _) = request.replace_payload(Payload::Stream { payload: body.boxed_local() });
        let answer = read(test::call_service(&app, request).await).await;
        assert_eq!((answer.status.as_u16(), answer.body["error"].is_string()), (401, true));
    });
}
