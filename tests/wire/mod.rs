//! A SignalR client made of an HTTP client and a WebSocket only, so that what it proves does not rest on hubwire.

#![allow(dead_code, reason = "each test binary uses a part")]

#[path = "../support/http.rs"]
pub(crate) mod plain_http;

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use futures_util::{SinkExt, StreamExt};
use hubwire::local::{EntraApplication, LocalService, LocalServiceBuilder, Role};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};

pub(crate) const KEY: &str = LocalService::EMULATOR_ACCESS_KEY;
pub(crate) const TENANT: &str = "11111111-aaaa-4000-8000-000000000001";
pub(crate) const SECRET: &str = "client+secret&of=test~";

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn application(client_id: &str, roles: &[Role]) -> EntraApplication {
    let application = EntraApplication::new(TENANT, client_id, SECRET);
    roles.iter().fold(application, |application, &role| application.role(role))
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A token as another library signs it.
pub(crate) fn sign(key: &str, key_id: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: key_id.map(str::to_owned), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// A client token for a hub, with further claims.
pub(crate) fn client_token(hub: &str, claims: Value) -> String {
    let audience = format!("http://127.0.0.1/client/?hub={hub}");
    let mut all = json!({ "aud": audience, "exp": now() + 60 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    sign(KEY, None, &all)
}

pub(crate) fn user_token(user: &str) -> String {
    client_token("chat", json!({ "asrs.s.uid": user }))
}

/// A running local service and an HTTP client.
pub(crate) struct Wire {
    pub(crate) local: LocalService,
    http: reqwest::Client,
}

impl Wire {
    pub(crate) async fn start(builder: LocalServiceBuilder) -> Self {
        Self { local: builder.start().await.unwrap(), http: Self::http() }
    }

    /// An HTTP client for plain http.
    pub(crate) fn http() -> reqwest::Client {
        plain_http::plain_http().timeout(PATIENCE).build().unwrap()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.local.endpoint()))
    }

    /// Calls the REST API as somebody with the access key. The API's version is added if there is none.
    pub(crate) async fn rest(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let audience = format!("http://127.0.0.1{}", path.split('?').next().unwrap());
        let token = sign(KEY, None, &json!({ "aud": audience, "exp": now() + 60 }));
        self.rest_with(&token, method, path, body).await
    }

    pub(crate) async fn rest_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let version = match path {
            path if path.contains("api-version=") => "",
            path if path.contains('?') => "&api-version=2024-12-01",
            _ => "?api-version=2024-12-01",
        };
        let request = self.request(method, &format!("{path}{version}")).bearer_auth(token);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        request.send().await.unwrap()
    }

    /// Calls the REST API without a body, and gives status and `x-ms-error-code`.
    pub(crate) async fn status(&self, method: Method, path: &str) -> (u16, Option<String>) {
        let response = self.rest(method, path, None).await;
        let code = response.headers().get("x-ms-error-code").map(|code| code.to_str().unwrap().to_owned());
        (response.status().as_u16(), code)
    }

    /// Sends a message, which has to be accepted.
    pub(crate) async fn send(&self, path: &str, target: &str, arguments: Value) {
        let body = json!({ "target": target, "arguments": arguments });
        let response = self.rest(Method::POST, path, Some(body)).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{}", response.text().await.unwrap());
    }

    pub(crate) async fn entra(&self, tenant: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("{}/{tenant}/oauth2/v2.0/token", self.local.authority()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// An Entra token for a registered application.
    pub(crate) async fn entra_token(&self, client_id: &str) -> String {
        let (status, answer) = self.entra(TENANT, &token_form(client_id)).await;
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn negotiate(&self, hub: &str, token: &str) -> Response {
        let path = format!("/client/negotiate?hub={hub}&negotiateVersion=1");
        self.request(Method::POST, &path).bearer_auth(token).send().await.unwrap()
    }

    pub(crate) async fn open(&self, query: &str) -> Result<Socket, (u16, String)> {
        Socket::open(self.local.port(), query).await
    }

    /// A client after its handshake: negotiated, connected, with its connection id.
    pub(crate) async fn connect(&self, hub: &str, token: &str) -> Socket {
        let answer: Value = self.negotiate(hub, token).await.json().await.unwrap();
        let id = answer["connectionToken"].as_str().unwrap();
        let mut socket = self.open(&format!("hub={hub}&id={id}&access_token={token}")).await.unwrap();
        socket.id = answer["connectionId"].as_str().unwrap().to_owned();
        socket.handshake().await;
        socket
    }

    pub(crate) async fn connect_user(&self, user: &str) -> Socket {
        self.connect("chat", &user_token(user)).await
    }
}

pub(crate) fn token_form(client_id: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", SECRET),
        ("scope", "https://signalr.azure.com/.default"),
    ]
}

/// A client's WebSocket.
pub(crate) struct Socket {
    pub(crate) id: String,
    stream: WebSocketStream<TcpStream>,
    records: VecDeque<String>,
}

impl Socket {
    /// Opens `/client/`; what is refused gives status and body.
    pub(crate) async fn open(port: u16, query: &str) -> Result<Self, (u16, String)> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!("ws://127.0.0.1:{port}/client/?{query}").into_client_request().unwrap();
        match timeout(PATIENCE, client_async(request, tcp)).await.unwrap() {
            Ok((stream, _)) => Ok(Self { id: String::new(), stream, records: VecDeque::new() }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8(body).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn handshake(&mut self) {
        self.send(&[r#"{"protocol":"json","version":1}"#]).await;
        assert_eq!(self.record().await.as_deref(), Some("{}"));
    }

    /// Sends records in one frame.
    pub(crate) async fn send(&mut self, records: &[&str]) {
        let text: String = records.iter().map(|record| format!("{record}\u{1e}")).collect();
        self.send_text(&text).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        timeout(PATIENCE, self.stream.send(Message::text(text))).await.unwrap().unwrap();
    }

    /// The next record, or `None` at the end of the connection.
    pub(crate) async fn record(&mut self) -> Option<String> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Some(record);
            }
            match timeout(PATIENCE, self.stream.next()).await.expect("something arrives in time") {
                Some(Ok(Message::Text(text))) => {
                    assert!(text.ends_with('\u{1e}'), "{text}");
                    let records = text.split_terminator('\u{1e}').map(str::to_owned);
                    self.records.extend(records);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// What the next frame holds, if it is not whole records, without the separator in the end.
    pub(crate) async fn piece(&mut self) -> String {
        match timeout(PATIENCE, self.stream.next()).await.expect("something arrives in time") {
            Some(Ok(Message::Text(text))) => text.trim_end_matches('\u{1e}').to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// The next message that is no ping.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        loop {
            let message: Value = serde_json::from_str(&self.record().await?).unwrap();
            if message != json!({ "type": 6 }) {
                return Some(message);
            }
        }
    }

    /// The target of the next invocation.
    pub(crate) async fn target(&mut self) -> String {
        let message = self.message().await.expect("an invocation");
        assert_eq!(message["type"], 1, "{message}");
        message["target"].as_str().unwrap().to_owned()
    }

    /// The error of the Close message that comes next, and whether it allows to reconnect; the end has to follow.
    pub(crate) async fn closed(&mut self) -> (Option<String>, bool) {
        let message = self.message().await.expect("a Close message");
        assert_eq!(message["type"], 7, "{message}");
        assert_eq!(self.record().await, None);
        let error = message.get("error").map(|error| error.as_str().unwrap().to_owned());
        (error, message["allowReconnect"] == true)
    }

    /// Closes the WebSocket with this code, and gives the code that it is answered with.
    pub(crate) async fn close(mut self, code: u16) -> Option<u16> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.stream.send(Message::Close(Some(frame))).await.unwrap();
        self.close_code().await
    }

    /// Reads to the end, and gives the code of the Close frame there; `None` without a Close frame.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("it ends in time") {
                Some(Ok(Message::Close(frame))) => {
                    return Some(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Leaves without a Close message, and waits until the service has noticed.
    pub(crate) async fn leave(mut self) {
        self.stream.close(None).await.unwrap();
        while self.record().await.is_some() {}
    }
}
