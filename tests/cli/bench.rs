//! `hubwire bench`.

use serde_json::Value;

use crate::{
    hub::hub,
    program::{Local, hubwire, run, run_with, text},
};

fn figures(arguments: &[&str]) -> Value {
    let all = ["bench", "--json", "--warm-up", "50ms"].iter().chain(arguments);
    let output = run(all);
    let figures = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(output.status.code(), Some(0), "{figures} {}", text(&output.stderr));
    figures
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_measures_a_hub() {
    let url = hub().await;
    for (scenario, more, least) in [
        ("echo", &["--count", "200", "--connections", "3", "--in-flight", "2"][..], 200),
        (
            "echo",
            &[
                "--rate",
                "500",
                "--duration",
                "400ms",
                "--method",
                "Add",
                "--argument",
                "1",
                "--argument",
                "2",
            ],
            150,
        ),
        ("send", &["--count", "200"], 200),
        ("broadcast", &["--count", "10", "--connections", "4"], 40),
        ("connect", &["--count", "8", "--at-once", "2"], 8),
        ("stream", &["--count", "3"], 3_000),
        ("idle", &["--connections", "20", "--duration", "100ms"], 20),
    ] {
        let arguments: Vec<_> =
            [&url, "--scenario", scenario].into_iter().chain(more.iter().copied()).collect();
        let figures = figures(&arguments);
        let count = figures["count"].as_u64().expect("a count");
        assert!(count == least || (more[0] == "--rate" && count > least && count <= 201), "{figures}");
        assert_eq!(figures["errors"], serde_json::json!({}), "{figures}");
        assert!(figures["perSecond"].as_f64().is_some_and(|rate| rate > 0.0), "{figures}");
        let latency = &figures["latencyMilliseconds"];
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| latency[name].as_f64().expect("a latency"));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max && max < 30_000.0, "{figures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_are_counted() {
    let url = hub().await;
    let receiving = tokio::task::spawn_blocking({
        let url = url.clone();
        move || {
            figures(&[
                &url,
                "--scenario",
                "receive",
                "--message",
                "News",
                "--count",
                "50",
                "--connections",
                "2",
            ])
        }
    });
    // It publishes to all for as long as the other one listens.
    let publisher = hubwire::HubConnection::builder(&url).connect().await.expect("it connects");
    while !receiving.is_finished() {
        publisher.invoke::<()>("ToAll", ("News", 1)).await.expect("it publishes");
    }
    let figures = receiving.await.expect("it ends");
    assert!(figures["count"].as_u64().is_some_and(|count| (50..1_000_000).contains(&count)), "{figures}");
}

#[test]
fn a_service_publishes_by_rest() {
    let local = Local::start(&[]);
    let mut command = hubwire([
        "bench",
        "--hub",
        "chat",
        "--scenario",
        "broadcast",
        "--connections",
        "5",
        "--count",
        "8",
        "--json",
    ]);
    command.env("AzureSignalRConnectionString", local.connection_string());
    let output = run_with(command, "");
    let figures: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(output.status.code(), Some(0), "{figures} {}", text(&output.stderr));
    assert_eq!((&figures["count"], &figures["published"]), (&40.into(), &8.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_several_scenarios_and_errors_are_counted() {
    let url = hub().await;
    let folder = std::env::temp_dir().join(format!("hubwire-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (plan, report) = (folder.join("plan.jsonc"), folder.join("report.json"));
    let text_of_plan = format!(
        r#"{{"scenarios": [
            {{"name": "good", "target": {{"url": "{url}", "protocol": "messagepack"}}}}, // calls
            {{"name": "bad", "target": {{"url": "{url}"}}, "method": "HubError", "arguments": ["told"]}},
        ]}}"#
    );
    std::fs::write(&plan, text_of_plan).expect("it is written");
    let (plan, path) = (plan.display().to_string(), report.display().to_string());
    let output = run(["bench", "--file", &plan, "--report", &path, "--count", "20"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("told") && shown.contains("p99.9"), "{shown}");
    let report = std::fs::read_to_string(report).expect("there is a report");
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    let [good, bad] = &report["scenarios"].as_array().expect("a list")[..] else { panic!("{report}") };
    assert_eq!(
        (&good["name"], &good["count"], &good["protocol"]),
        (&"good".into(), &20.into(), &"messagepack".into())
    );
    assert_eq!(bad["errors"].as_object().and_then(|errors| errors.values().next()), Some(&Value::from(20)));
    std::fs::remove_dir_all(folder).expect("it is removed");
}

#[test]
fn wrong_plans_are_explained() {
    let output = run(["bench", "http://127.0.0.1:9/hub", "--count", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no connection could be opened"));
    let output = run(["bench", "http://127.0.0.1:9/hub", "--scenario", "idle", "--rate", "5"]);
    assert!(text(&output.stderr).contains("--rate"), "{}", text(&output.stderr));
    let output = run(["bench", "http://127.0.0.1:9/hub", "--duration", "5 apples"]);
    assert_eq!(output.status.code(), Some(2));
    for (arguments, says) in [
        (["--duration", "0s"], "up to 30d and above 0s"),
        (["--duration", "400d"], "up to 30d"),
        (["--connections", "0"], "at least 1"),
        (["--connections", "18446744073709551615"], "at most 1000000"),
        (["--in-flight", "0"], "at least 1"),
        (["--at-once", "0"], "at least 1"),
        (["--count", "0"], "at least 1"),
        (["--rate", "0"], "from 0.001 to 1000000"),
        (["--rate", "1e-300"], "from 0.001 to 1000000"),
        (["--payload", "9999999999999"], "up to 67108864"),
    ] {
        let output = run(["bench", "http://127.0.0.1:9/hub"].iter().chain(&arguments));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(arguments[0]) && told.contains(says), "{arguments:?}: {told}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_it_measures() {
    let output = run(["bench", "http://127.0.0.1:9/hub", "--report", "/no/such/folder/report.json"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("/no/such/folder/report.json") && !told.contains("127.0.0.1"), "{told}");
    // Nor is one left behind that was never written.
    let path = std::env::temp_dir().join(format!("hubwire-no-report-{}.json", std::process::id()));
    let output = run(["bench", "http://127.0.0.1:9/hub", "--report", &path.display().to_string()]);
    assert_eq!((output.status.code(), path.exists()), (Some(1), false));
}
