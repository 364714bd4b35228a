//! A `hubwire local` and an app server of it that does what clients ask it to: in serverless mode with negotiate and an
//! upstream, in default mode with a hub.

use std::time::Duration;

use hubwire::{
    axum_routes::negotiate,
    server::{Caller, HubError, HubServer, Identity, Rejection, azure::AzureSignalR},
    service::{
        NegotiateOptions, ServiceClient, ServiceEndpoint,
        credentials::AccessKey,
        upstream::{UpstreamError, UpstreamMessage, UpstreamRouter},
    },
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{plain_http::plain_http, program::Local};

#[derive(Debug)]
pub(super) struct App {
    /// Where clients negotiate, without `?user=`.
    pub(super) url: String,
    serving: JoinHandle<()>,
    local: Option<Local>,
}

/// Who answers the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Serverless,
    Default,
}

pub(super) const MODES: [Mode; 2] = [Mode::Serverless, Mode::Default];

impl App {
    pub(super) async fn start(mode: Mode, arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (local, router) = match mode {
            Mode::Serverless => {
                let upstream = format!("http://{address}/upstream");
                let local = Local::start(&[&["--upstream", &upstream][..], arguments].concat());
                let router = serverless(&local);
                (local, router)
            }
            Mode::Default => {
                let local = Local::start(&[&["--mode", "default"][..], arguments].concat());
                let hub = hub_of(&local);
                tokio::time::timeout(PATIENCE, hub.ready()).await.expect("it connects to the service");
                (local, axum::Router::new().nest_service("/chat", hub))
            }
        };
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url: format!("http://{address}/chat"), serving, local: Some(local) }
    }
}

/// How long the server connections of the hub may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn serverless(local: &Local) -> axum::Router {
    let endpoint = ServiceEndpoint::from_connection_string(local.connection_string()).expect("it is valid");
    let key = AccessKey::new(hubwire::local::LocalService::EMULATOR_ACCESS_KEY);
    let service = ServiceClient::builder().endpoint(endpoint).build().expect("it is complete");
    let hub = service.hub("chat").expect("a name");
    let negotiate = negotiate("/chat", hub.clone(), |parts| {
        let query = parts.uri.query().unwrap_or_default();
        let user = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "user");
        NegotiateOptions::for_user(user.expect("clients have users").1)
    });
    let cut = cut_url(local);
    let upstream = upstream_of(hub).on_message("chat", "Cut", move |message: UpstreamMessage| {
        let (cut, user) = (cut.clone(), message.client().user_id().map(str::to_owned));
        async move {
            cut_user(cut, user).await;
            Ok(())
        }
    });
    let upstream = upstream.access_key(&key).expect("the key signs");
    axum::Router::new().merge(negotiate).route_service("/upstream", upstream)
}

fn cut_url(local: &Local) -> String {
    format!("{}/_hubwire/cut", local.started["endpoint"].as_str().expect("it is there"))
}

impl Drop for App {
    fn drop(&mut self) {
        // The upstream hears of clients that go.
        drop(self.local.take());
        self.serving.abort();
    }
}

/// Cuts the connections of the user who asks for it, as a broken network does.
async fn cut_user(url: String, user: Option<String>) {
    let body = serde_json::json!({ "when": { "user": user }, "how": "silently" });
    let request = plain_http().build().expect("a client").post(url);
    let request = request.header("x-hubwire-key", hubwire::local::LocalService::EMULATOR_ACCESS_KEY);
    let response = request.body(body.to_string()).send().await.expect("an answer");
    assert!(response.status().is_success(), "{response:?}");
}

fn upstream_of(hub: hubwire::service::HubClient) -> UpstreamRouter {
    macro_rules! on {
        ($router:expr, $method:literal, |$hub:ident, $message:ident| $body:expr) => {{
            let hub = hub.clone();
            $router.on_message("chat", $method, move |$message| {
                let $hub = hub.clone();
                async move { $body.map_err(|error| UpstreamError::new(format!("{error:?}"))) }
            })
        }};
    }
    let router = UpstreamRouter::new()
        .on_connected("chat", async |_| Ok(()))
        .on_disconnected("chat", async |_, _| {})
        .on_message("chat", "Echo", async |message| {
            let (value,): (Value,) = message.arguments()?;
            Ok(value)
        })
        .on_message("chat", "Fail", async |message| {
            let (text,): (String,) = message.arguments()?;
            Err::<(), _>(UpstreamError::new(text))
        });
    let router = on!(router, "Broadcast", |hub, message| {
        let (text,): (String,) = message.arguments()?;
        hub.all().send("Message", (text,)).await
    });
    let router = on!(router, "Join", |hub, message| {
        let (group,): (String,) = message.arguments()?;
        hub.group(&group).add_connection(message.client().connection_id()).await
    });
    let router = on!(router, "ToGroup", |hub, message| {
        let (group, text): (String, String) = message.arguments()?;
        hub.group(&group).send("Message", (text,)).await
    });
    let router = on!(router, "ToUser", |hub, message| {
        let (user, text): (String, String) = message.arguments()?;
        hub.user(&user).send("Message", (text,)).await
    });
    let router = on!(router, "Ask", |hub, message| {
        let (question,): (String,) = message.arguments()?;
        hub.connection(message.client().connection_id()).invoke::<String>("Question", (question,)).await
    });
    on!(router, "Bye", |hub, message| hub.connection(message.client().connection_id()).close(None).await)
}

/// The same methods in a hub.
fn hub_of(local: &Local) -> HubServer {
    let cut = cut_url(local);
    let azure = AzureSignalR::from_connection_string("chat", local.connection_string());
    HubServer::builder()
        .authenticate(|request| {
            let user = request.query("user").map(str::to_owned);
            async move { user.map(Identity::user).ok_or_else(Rejection::unauthorized) }
        })
        .on("Echo", |_: Caller, value: Value| async move { Ok(value) })
        .on("Fail", |_: Caller, text: String| async move { Err::<(), _>(HubError::new(text)) })
        .on("Broadcast", |caller: Caller, text: String| async move {
            Ok(caller.clients().all().send("Message", (text,)).await?)
        })
        .on("Join", |caller: Caller, group: String| async move {
            caller.groups().add(caller.connection_id(), &group).await?;
            Ok(())
        })
        .on("ToGroup", |caller: Caller, group: String, text: String| async move {
            Ok(caller.clients().group(group).send("Message", (text,)).await?)
        })
        .on("ToUser", |caller: Caller, user: String, text: String| async move {
            Ok(caller.clients().user(user).send("Message", (text,)).await?)
        })
        .on("Ask", |caller: Caller, question: String| async move {
            let client = caller.clients().client(caller.connection_id());
            Ok(client.invoke::<String>("Question", (question,)).await?)
        })
        .on("Bye", |caller: Caller| async move {
            caller.abort();
            Ok(())
        })
        .on("Cut", move |caller: Caller| {
            let cut = cut.clone();
            async move {
                cut_user(cut, caller.user_id().map(str::to_owned)).await;
                Ok(())
            }
        })
        .azure(azure)
        .expect("the connection string is good")
        .build()
}
