//! What the program says to those who call it wrongly.

use serde_json::{Value, json};

use crate::program::{run, text};

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["nonsense"][..], &["local", "--port", "x"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("--help"), "{arguments:?}");
    }
}

/// What a failure is on standard error. Nothing is on standard output.
fn failure(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = run(arguments);
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    let told = text(&output.stderr);
    let failure = serde_json::from_str(told).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {told}"));
    (failure, output.status.code())
}

#[test]
fn with_json_every_failure_is_an_object_on_standard_error() {
    for (arguments, code, exit, message, advice) in [
        (&["--json", "nonsense"][..], "usage", 2, "nonsense", Some("hubwire")),
        (&["--json"], "usage", 2, "a command is missing", Some("--help")),
        (&["local", "--port", "x", "--json"], "usage", 2, "--port", Some("--help")),
        (&["publish", "--json"], "usage", 2, "<TO>", Some("Usage: hubwire publish")),
        (&["close", "nobody", "--json"], "usage", 2, "user:ID", Some("--help")),
        (
            &["publish", "all", "Say", "--hub", "chat", "--json"],
            "failed",
            1,
            "no connection to Azure SignalR Service",
            Some("AzureSignalRConnectionString"),
        ),
        (&["--json", "bench", "http://127.0.0.1:1/hub"], "failed", 1, "refused", Some("hubwire negotiate")),
        (
            &["bench", "http://127.0.0.1:1/hub", "-d", "0s", "--json"],
            "failed",
            1,
            "--duration is 0s",
            Some("10s"),
        ),
        (&["--json", "local", "--max-connections", "0"], "failed", 1, "0", Some("--max-connections")),
        (&["--json", "local", "health", "--port", "1"], "failed", 1, "port 1", Some("hubwire local")),
        (&["--json", "context", "show", "nothing"], "failed", 1, "nothing", Some("hubwire context add")),
    ] {
        let (failure, status) = failure(arguments);
        assert_eq!((&failure["code"], status), (&json!(code), Some(exit)), "{arguments:?}: {failure}");
        let has = |member: &str, part: &str| failure[member].as_str().is_some_and(|text| text.contains(part));
        assert!(has("message", message), "{arguments:?}: {failure}");
        assert!(advice.is_none_or(|advice| has("advice", advice)), "{arguments:?}: {failure}");
    }
    // A secret in a wrong place is not repeated here either.
    let (failure, _) = failure(&["--json", "token", "c2VjcmV0"]);
    assert!(!failure.to_string().contains("c2VjcmV0"), "{failure}");
}
