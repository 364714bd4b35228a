//! `hubwire publish` through Redis, to a hub that is hosted on it.

use hubwire::{HubConnection, server::backplane::RedisBackplane};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    hub::conformance_hub::{conformance_hub, serve},
    program::{hubwire, run_with, text},
    redis_server::RedisServer,
};

const HUB: &str = "Contoso.Hubs.Chat";

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_hub_on_redis_are_reached() {
    let Some(redis) = RedisServer::start("publishing through Redis").await else { return };
    let backplane = RedisBackplane::new(&redis.url()).expect("it is an address");
    let hub = conformance_hub().backplane(HUB, backplane).build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let (told, mut heard) = mpsc::unbounded_channel();
    let connection = HubConnection::builder(&url)
        .on("News", move |text: String| drop(told.send(text)))
        .connect()
        .await
        .expect("it connects");
    let id = connection.connection_id().expect("it is connected");
    let address = redis.url();
    let run = async |arguments: Vec<String>| {
        let all = ["--json".to_owned()].into_iter().chain(arguments);
        let command = hubwire(all.chain(["--hub", HUB, "--redis", &address].map(str::to_owned)));
        let output = tokio::task::spawn_blocking(move || run_with(command, "")).await.expect("it runs");
        assert!(output.status.success(), "{} {}", text(&output.stdout), text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("it prints JSON")
    };
    let publish = |to: &str, what: &str| ["publish", to, "News", what].map(str::to_owned).to_vec();

    let member = format!("connection:{id}");
    hub.groups().add(&id, "red").await.expect("the server has it");
    for to in ["all", &member, "group:red"] {
        let done = run(publish(to, to)).await;
        assert_eq!(done["acceptedBy"], json!(["redis"]), "{done}");
        assert_eq!(heard.recv().await.as_deref(), Some(to));
    }
    run(publish("group:blue", "nobody")).await;
    run(publish("all", "the last")).await;
    assert_eq!(heard.recv().await.as_deref(), Some("the last"));
    connection.stop().await;
}
