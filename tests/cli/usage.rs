//! What the program says to those who call it wrongly.

use serde_json::{Value, json};

use crate::program::{hubwire, run, run_with, text};

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
            "usage",
            2,
            "--duration is 0s",
            Some("10s"),
        ),
        (&["--json", "local", "--max-connections", "0"], "usage", 2, "--max-connections", Some("--help")),
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

/// Whatever the arguments alone show to be wrong, before anything is done.
#[test]
fn what_the_arguments_show_to_be_wrong_is_wrong_usage() {
    const KEY: &str = "Endpoint=http://127.0.0.1;Port=1;AccessKey=c2VjcmV0c2VjcmV0c2VjcmV0;Version=1.0;";

    for (arguments, says) in [
        (&["connect", "foo"][..], "hub's URL"),
        (&["connect"], "which hub"),
        (&["negotiate", "ftp://127.0.0.1/hub"], "hub's URL"),
        (&["connect", "http://127.0.0.1:1/hub", "--user", "ann"], "--user"),
        (&["connect", "http://127.0.0.1:1/hub", "--hub", "chat"], "both"),
        (&["connect", "http://hub.example/hub"], "plain http"),
        (&["connect", "--hub", "a/b c"], "hub"),
        (&["publish", "all", "Say", "--hub", "a/b c"], "hub"),
        (&["publish", "user:ann", "Say", "--hub", "chat", "--except", "x"], "--except"),
        (&["publish", "all", "Say", "{", "--hub", "chat"], "is not JSON"),
        (&["group", "add", "red", "all", "--hub", "chat"], "a member of a group"),
        (&["close", "connection:a", "--except", "b", "--hub", "chat"], "--except"),
        (&["negotiate", "http://127.0.0.1:1/", "--origin", "app"], "scheme"),
        (&["context", "add", "a b", "http://127.0.0.1/"], "a b"),
        (&["doctor", "--endpoint", "nowhere"], "endpoint"),
        (&["token", "--make", "--hub", "chat", "--ttl", "99999999d"], "365d"),
        (&["upstream", "--forward", "nowhere"], "--forward"),
        (&["upstream", "--forward", "http://localhost:8889/hook"], "--forward leads back"),
        (&["upstream", "--answer", "Add={"], "is not JSON"),
        (&["local", "--upstream", "nowhere?code=c2VjcmV0"], "--upstream"),
        (&["local", "--public-endpoint", "nowhere"], "--public-endpoint"),
        (&["local", "--allow-origin", "*"], "--allow-origin"),
        (&["local", "--allow-host", "http://a"], "--allow-host"),
        (&["local", "--token-lifetime", "400d"], "365d"),
        (&["local", "--log", "hubwire=loud"], "--log"),
        (&["bench", "http://127.0.0.1:1/", "-c", "0"], "--connections"),
        (&["bench", "http://127.0.0.1:1/", "-d", "0"], "--duration"),
        (&["bench", "http://127.0.0.1:1/", "--rate", "nan"], "--rate"),
        (&["bench", "http://127.0.0.1:1/", "--rate", "-5"], "--rate is -5, and cannot be negative"),
        (&["bench", "http://127.0.0.1:1/", "-c", "-1"], "--connections is -1, and cannot be negative"),
        (&["local", "--port=-1"], "--port is -1, and cannot be negative"),
        (&["connect", "http://127.0.0.1:1/", "--timeout", "-5s"], "--timeout is -5s, and cannot be negative"),
    ] {
        let mut command = hubwire(["--json"].iter().chain(arguments));
        command.env("AzureSignalRConnectionString", KEY);
        let output = run_with(command, "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        let failure: Value = serde_json::from_str(told).expect(told);
        assert_eq!(failure["code"], "usage", "{arguments:?}: {failure}");
        assert!(
            failure["message"].as_str().is_some_and(|text| text.contains(says)),
            "{arguments:?}: {failure}"
        );
        assert!(!told.contains("c2VjcmV0") && !told.contains("allow_origin"), "{told}");
    }
}

#[test]
fn a_wrong_environment_variable_is_called_by_its_name() {
    for (arguments, variable, value) in [
        (&["local"][..], "HUBWIRE_LOCAL_PORT", "x"),
        (&["local"], "HUBWIRE_LOCAL_PORT", "-1"),
        (&["local"], "HUBWIRE_LOCAL_MAX_CONNECTIONS", "0"),
        (&["local"], "HUBWIRE_LOCAL_CLIENT_TIMEOUT", "0s"),
        (&["local", "health"], "HUBWIRE_LOCAL_ADDRESS", "here"),
        (&["completions", "bash"], "HUBWIRE_LOG", "hubwire=loud"),
    ] {
        let mut command = hubwire(arguments);
        command.env(variable, value);
        let output = run_with(command, "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variable}: {told}");
        let first = told.lines().next().expect("it says something");
        assert!(first.contains(variable) && !first.contains("--"), "{told}");
    }
    // A flag wins, and is the one to blame.
    let mut command = hubwire(["local", "--port", "y"]);
    command.env("HUBWIRE_LOCAL_PORT", "x");
    let output = run_with(command, "");
    assert!(
        text(&output.stderr).contains("--port") && !text(&output.stderr).contains("HUBWIRE"),
        "{output:?}"
    );
}

#[cfg(unix)]
#[test]
fn an_environment_variable_that_is_no_text_is_called_by_its_name() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    for (arguments, variable) in [
        (&["local", "--port", "0"][..], "HUBWIRE_LOCAL_CLIENT_TIMEOUT"),
        (&["local", "--port", "0"], "HUBWIRE_LOCAL_ACCESS_KEY"),
        (&["doctor"], "HUBWIRE_LOG"),
        (&["doctor"], "AzureSignalRConnectionString"),
    ] {
        let mut command = hubwire(arguments);
        command.env(variable, OsStr::from_bytes(b"a\xff"));
        let output = run_with(command, "");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variable}: {told}");
        assert!(told.contains(&format!("{variable} is not UTF-8")), "{told}");
    }
}
