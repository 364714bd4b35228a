//! A local service in either mode, with who answers its clients: an upstream, or an app server.
#![cfg(all(feature = "local", feature = "msgpack"))]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hubwire::{
    HubConnection, HubConnectionBuilder, HubProtocol, Transport,
    local::{LocalServiceBuilder, ServiceMode},
    server::{Caller, HubServer, azure::AzureSignalR},
    service::{credentials::AccessKey, upstream::UpstreamRouter},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::wire::{KEY, Wire, user_token};

pub(crate) const MODES: [ServiceMode; 2] = [ServiceMode::Serverless, ServiceMode::Default];

const PATIENCE: Duration = Duration::from_secs(10);

/// What calls wait for.
#[derive(Default)]
pub(crate) struct Held {
    begun: AtomicUsize,
    released: Notify,
}

impl Held {
    pub(crate) async fn wait(&self) {
        let released = self.released.notified();
        self.begun.fetch_add(1, Ordering::SeqCst);
        released.await;
    }

    /// Waits until so many calls have begun.
    pub(crate) async fn begun(&self, calls: usize) {
        until("the call has begun", async || self.begun.load(Ordering::SeqCst) >= calls).await;
    }

    pub(crate) fn release(&self) {
        self.released.notify_waiters();
    }
}

/// Waits for something to come true.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let enough = async {
        while !is().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, enough).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

pub(crate) struct World {
    pub(crate) wire: Wire,
    /// What the method `Hold` waits for.
    pub(crate) held: Arc<Held>,
    /// The app server of default mode.
    pub(crate) app: Option<HubServer>,
}

impl World {
    /// A service whose hub `chat` has the methods `Double` and `Hold`.
    pub(crate) async fn start(mode: ServiceMode, builder: LocalServiceBuilder) -> Self {
        let builder = builder.service_mode(mode);
        let held = Arc::<Held>::default();
        let holding = held.clone();
        if mode == ServiceMode::Serverless {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/upstream", listener.local_addr().unwrap());
            let upstream = UpstreamRouter::new()
                .access_key(&AccessKey::new(KEY))
                .unwrap()
                .on_message("chat", "Double", |message| async move {
                    let (number,): (u32,) = message.arguments()?;
                    Ok(number * 2)
                })
                .on_message("chat", "Hold", move |_| {
                    let held = holding.clone();
                    async move {
                        held.wait().await;
                        Ok(true)
                    }
                });
            let app = axum::Router::new().route_service("/upstream", upstream);
            tokio::spawn(async move { axum::serve(listener, app).await });
            return Self { wire: Wire::start(builder.upstream(url)).await, held, app: None };
        }
        let wire = Wire::start(builder).await;
        let azure = AzureSignalR::from_connection_string("chat", &wire.local.connection_string());
        let app = HubServer::builder()
            .on("Double", |_: Caller, number: u32| async move { Ok(number * 2) })
            .on("Hold", move |_: Caller| {
                let held = holding.clone();
                async move {
                    held.wait().await;
                    Ok(true)
                }
            })
            .azure(azure)
            .unwrap()
            .build();
        timeout(PATIENCE, app.ready()).await.expect("a server connection");
        Self { wire, held, app: Some(app) }
    }

    /// A client of ours for a user, to be connected.
    pub(crate) fn client(
        &self,
        user: &str,
        transport: Transport,
        protocol: HubProtocol,
    ) -> HubConnectionBuilder {
        let (url, token) = (format!("{}/client/?hub=chat", self.wire.local.endpoint()), user_token(user));
        HubConnection::builder(url)
            .with_access_token(move || std::future::ready(Ok::<_, Infallible>(token.clone())))
            .with_transports(transport)
            .with_protocol(protocol)
    }
}
