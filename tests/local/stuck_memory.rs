//! Clients that do not read: what waits for them is bounded, and so is the memory of who has it wait.
#![cfg(all(feature = "local", feature = "msgpack", target_os = "linux"))]

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hubwire::{
    local::LocalService,
    server::{Caller, HubServer},
};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    modes::{MODES, World, until},
    stuck::door,
    stuck_clients::{Door, TRANSPORTS, open},
};

/// Who has clients that do not read.
enum Host {
    Local(World),
    /// A hub of this program, and how many of its clients are gone.
    Hub(HubServer, Arc<AtomicUsize>, u16),
}

impl Host {
    async fn start(name: &str) -> Self {
        if let Some(mode) = MODES.into_iter().find(|mode| format!("{mode:?}") == name) {
            return Self::Local(World::start(mode, LocalService::builder()).await);
        }
        let gone = Arc::<AtomicUsize>::default();
        let count = gone.clone();
        let hub = HubServer::builder()
            .on_disconnected(move |_: Caller| {
                count.fetch_add(1, Ordering::SeqCst);
                std::future::ready(())
            })
            .build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = axum::Router::new().nest_service("/hub", hub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self::Hub(hub, gone, port)
    }

    fn door(&self) -> Door {
        match self {
            Self::Local(world) => door(&world.wire),
            Self::Hub(_, _, port) => Door {
                port: *port,
                negotiate: "/hub/negotiate?negotiateVersion=1".to_owned(),
                connect: "/hub?".to_owned(),
                token: None,
            },
        }
    }

    async fn send(&self, id: &str, text: &str) {
        match self {
            Self::Local(world) => {
                world.wire.send(&format!("/api/hubs/chat/connections/{id}/:send"), "m", json!([text])).await;
            }
            Self::Hub(hub, ..) => hub.clients().client(id).send("m", (text,)).await.unwrap(),
        }
    }

    async fn has_cut_off(&self, clients: usize) -> bool {
        match self {
            Self::Local(World { wire, .. }) => {
                wire.status(Method::HEAD, "/api/hubs/chat/users/stuck").await.0 != 200
            }
            Self::Hub(_, gone, _) => gone.load(Ordering::SeqCst) == clients,
        }
    }
}

/// Memory that this process has, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_clients_that_do_not_read_is_bounded() {
    const NAME: &str = "stuck_memory::what_waits_for_clients_that_do_not_read_is_bounded";
    const ALONE: &str = "HUBWIRE_TEST_STUCK";
    if let Ok(host) = std::env::var(ALONE) {
        return fill(&Host::start(&host).await).await;
    }
    // Memory is that of a process: each host has one for itself.
    let started = ["Serverless", "Default", "a hub"].map(|host| {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        alone.args([NAME, "--exact", "--nocapture"]).env(ALONE, host);
        alone.stdout(Stdio::piped()).stderr(Stdio::piped());
        (host, alone.spawn().unwrap())
    });
    for (host, alone) in started {
        let output = alone.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{host}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Sends each client messages of its own, until they are cut off.
async fn fill(host: &Host) {
    /// What may wait for each.
    const LIMIT: u64 = 16 * 1024 * 1024;
    /// Large ones show whether what is taken off a queue is still counted.
    const SIZE: usize = 500_000;
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        clients.push(open(&host.door(), transport).await.unwrap());
    }
    let text = "x".repeat(SIZE);
    let (before, mut most) = (resident(), 0);
    // What waits, and what the buffers of the system take, which may be as much.
    for _ in 0..2 * LIMIT / SIZE as u64 {
        for (id, _) in &clients {
            host.send(id, &text).await;
        }
        most = most.max(resident().saturating_sub(before));
        if host.has_cut_off(clients.len()).await {
            break;
        }
    }
    until("they are cut off", async || host.has_cut_off(clients.len()).await).await;
    let expected = clients.len() as u64 * LIMIT;
    println!("{} MB for {} clients", most / 1_000_000, clients.len());
    // It does wait, and there is something besides.
    assert!((expected / 2..expected * 3 / 2).contains(&most), "{most} of {expected} bytes");
}
