//! The crate's local service, with an upstream that has the methods of the reference hub that workers call.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hubwire::local::LocalService;
use hubwire::service::{
    HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, credentials::AccessKey,
    upstream::UpstreamRouter,
};
use hubwire::{HubConnection, HubConnectionBuilder};
use tokio::task::JoinHandle;

use crate::worker::Report;

pub(crate) struct Local {
    service: LocalService,
    hub: HubClient,
    log: Arc<Mutex<HashMap<String, Vec<i64>>>>,
    upstream: JoinHandle<()>,
}

impl Local {
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/upstream", listener.local_addr()?);
        let log = Arc::<Mutex<HashMap<String, Vec<i64>>>>::default();
        let publisher = Arc::<OnceLock<HubClient>>::default();
        let (recording, reading, publishing) = (Arc::clone(&log), Arc::clone(&log), Arc::clone(&publisher));
        let upstream = UpstreamRouter::new()
            .access_key(&AccessKey::new(LocalService::EMULATOR_ACCESS_KEY))?
            .on_message("soak", "Add", async |message| {
                let (a, b): (i32, i32) = message.arguments()?;
                Ok(a + b)
            })
            .on_message("soak", "EchoString", async |message| {
                let (text,): (String,) = message.arguments()?;
                Ok(text)
            })
            .on_message("soak", "Record", move |message| {
                let log = Arc::clone(&recording);
                async move {
                    let (series, number): (String, i64) = message.arguments()?;
                    log.lock().expect("no panic while it is locked").entry(series).or_default().push(number);
                    Ok(())
                }
            })
            .on_message("soak", "Recorded", move |message| {
                let log = Arc::clone(&reading);
                async move {
                    let (series,): (String,) = message.arguments()?;
                    Ok(report(&log, &series))
                }
            })
            .on_message("soak", "PushSeries", move |message| {
                let publisher = Arc::clone(&publishing);
                async move {
                    let (target, count, delay): (String, u64, u64) = message.arguments()?;
                    let hub = publisher.get().expect("it is set before there are clients").clone();
                    let id = message.client().connection_id().to_owned();
                    tokio::spawn(push(hub, id, target, count, Duration::from_millis(delay)));
                    Ok(())
                }
            });
        let app = axum::Router::new().route_service("/upstream", upstream);
        let upstream = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                println!("the upstream has ended: {error}");
            }
        });
        let service = LocalService::builder().upstream(url).start().await?;
        let endpoint = ServiceEndpoint::from_connection_string(&service.connection_string())?;
        let hub = ServiceClient::builder().endpoint(endpoint).build()?.hub("soak")?;
        publisher.get_or_init(|| hub.clone());
        Ok(Self { service, hub, log, upstream })
    }

    pub(crate) fn url(&self) -> &str {
        self.service.endpoint()
    }

    /// A client's way through a proxy.
    pub(crate) fn builder(&self, proxy: &str) -> HubConnectionBuilder {
        let hub = self.hub.clone();
        HubConnection::builder(format!("{proxy}/client/?hub=soak")).with_access_token(move || {
            let hub = hub.clone();
            async move {
                let access = hub.negotiate(NegotiateOptions::for_user("soak")).await;
                access.map(|access| access.access_token).map_err(|error| error.to_string())
            }
        })
    }

    pub(crate) fn report(&self, series: &str) -> Report {
        report(&self.log, series)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.upstream.abort();
    }
}

/// Numbers for one client, by the REST API. The client may be gone at any time.
async fn push(hub: HubClient, id: String, target: String, count: u64, delay: Duration) {
    for number in 0..count {
        if hub.connection(&id).send(&target, (number,)).await.is_err() {
            return;
        }
        tokio::time::sleep(delay).await;
    }
}

/// As the reference hub reports.
fn report(log: &Mutex<HashMap<String, Vec<i64>>>, series: &str) -> Report {
    let log = log.lock().expect("no panic while it is locked");
    let numbers = log.get(series).map(Vec::as_slice).unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    let duplicates = numbers.iter().copied().filter(|number| !seen.insert(*number)).collect();
    let last = numbers.iter().copied().max().unwrap_or(-1);
    Report {
        count: numbers.len() as i64,
        last,
        in_order: numbers.is_sorted_by(|a, b| a < b),
        duplicates,
        missing: (0..=last).filter(|number| !seen.contains(number)).take(100).collect(),
    }
}
