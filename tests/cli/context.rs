//! `hubwire context`.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::program::{hubwire, run_with, text};

/// A folder of settings of its own.
struct Settings(PathBuf);

impl Settings {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli-context").join(name);
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hubwire(arguments);
        command.env("HUBWIRE_CONFIG", &self.0);
        command
    }

    /// What it prints, line by line.
    fn done(&self, arguments: &[&str]) -> Vec<Value> {
        let output = run_with(self.command(&[&["--json"], arguments].concat()), "");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What it says when it fails.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = run_with(self.command(arguments), "");
        assert!(!output.status.success(), "{arguments:?}");
        text(&output.stderr).to_owned()
    }
}

#[test]
fn contexts_are_saved_listed_used_and_removed() {
    let settings = Settings::new("all");
    assert_eq!(settings.done(&["context", "list"]), [] as [Value; 0]);
    let added = settings.done(&[
        "context",
        "add",
        "shop",
        "https://shop.example/chat",
        "--token",
        "env:TOKEN",
        "-H",
        "X-Tenant: contoso",
        "--transport",
        "websockets,long-polling",
    ]);
    assert_eq!(added, [json!({ "saved": "shop", "current": true })]);
    let added =
        settings.done(&["context", "add", "live", "--hub", "chat", "--connection-string", "file:/run/c"]);
    assert_eq!(added, [json!({ "saved": "live", "current": false })]);

    let shop = json!({ "name": "shop", "current": true, "target": {
        "url": "https://shop.example/chat",
        "token": "env:TOKEN",
        "headers": ["X-Tenant: contoso"],
        "transport": ["websockets", "long-polling"],
    } });
    let live = json!({ "name": "live", "current": false, "target": {
        "hub": "chat",
        "connectionString": "file:/run/c",
    } });
    assert_eq!(settings.done(&["context", "list"]), [live, shop.clone()]);
    assert_eq!(settings.done(&["context", "show"]), [shop]);
    assert_eq!(settings.done(&["context", "use", "live"]), [json!({ "current": "live" })]);
    assert_eq!(settings.done(&["context", "show"])[0]["name"], "live");
    assert_eq!(
        settings.done(&["context", "remove", "live"]),
        [json!({ "removed": "live", "current": false })]
    );
    assert!(settings.refused(&["context", "show"]).contains("no context is the current one"));
    let refused = settings.refused(&["context", "use", "live"]);
    assert!(refused.contains("there are: shop"), "{refused}");
    let mut command = settings.command(&["connect", "--exit"]);
    command.env("HUBWIRE_CONTEXT", "live");
    let output = run_with(command, "");
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("`live`") && told.contains("HUBWIRE_CONTEXT"),
        "{told}"
    );

    let refused = settings.refused(&["context", "add", "shop", "https://other.example/"]);
    assert!(refused.contains("--force"), "{refused}");
    settings.done(&["context", "add", "shop", "https://other.example/", "--force"]);
    assert_eq!(
        settings.done(&["context", "show", "shop"])[0]["target"],
        json!({ "url": "https://other.example/" })
    );
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;

    let settings = Settings::new("owner");
    settings.done(&["context", "add", "a", "https://a.example/"]);
    settings.done(&["context", "add", "b", "https://b.example/"]);
    let file = settings.0.join("contexts.json");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&settings.0).expect("it is there").count(), 1, "nothing else is left behind");
}

#[test]
fn no_secret_gets_into_the_file() {
    let settings = Settings::new("secrets");
    for arguments in [
        &["https://a.example/?access_token=c2VjcmV0"][..],
        &["https://user:c2VjcmV0@a.example/"],
        &["https://a.example/", "--token", "c2VjcmV0"],
        &["https://a.example/", "-H", "Authorization: Bearer c2VjcmV0"],
        &["https://a.example/", "--query", "code=c2VjcmV0"],
        &["https://a.example/", "--redis", "redis://:c2VjcmV0@redis.example"],
        &["--hub", "chat", "--connection-string", "Endpoint=https://a.example;AccessKey=c2VjcmV0"],
        &["https://a.example/", "--token", "-"],
    ] {
        let output = run_with(settings.command(&[&["context", "add", "a"], arguments].concat()), "c2VjcmV0");
        assert!(!output.status.success(), "{arguments:?}");
        for printed in [&output.stdout, &output.stderr] {
            assert!(!text(printed).contains("c2VjcmV0"), "{arguments:?}: {}", text(printed));
        }
        assert!(!settings.0.exists(), "{arguments:?}");
    }
}

#[test]
fn a_broken_file_keeps_nobody_from_what_needs_no_context() {
    let settings = Settings::new("unneeded");
    fs::create_dir_all(&settings.0).expect("a folder");
    for broken in ["{", "{\"current\": \"gone\"}"] {
        fs::write(settings.0.join("contexts.json"), broken).expect("it can be written");
        for arguments in [
            &["negotiate", "http://127.0.0.1:1/chat"][..],
            &["doctor", "http://127.0.0.1:1/chat"],
            &["connect", "http://127.0.0.1:1/chat", "--exit"],
            &["bench", "http://127.0.0.1:1/chat", "--count", "1"],
        ] {
            let output = run_with(settings.command(arguments), "");
            let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(told.contains("127.0.0.1:1") && told.contains("refused"), "{arguments:?}: {told}");
            assert_eq!(told.matches("warning: no context is used").count(), 1, "{arguments:?}: {told}");
        }
        // These need what the file says.
        for arguments in [
            &["connect"][..],
            &["publish", "all", "x"],
            &["negotiate", "http://127.0.0.1:1/", "--context", "a"],
        ] {
            let refused = settings.refused(arguments);
            assert!(
                refused.starts_with("error: ") && !refused.contains("127.0.0.1"),
                "{arguments:?}: {refused}"
            );
        }
    }
    let output = run_with(settings.command(&["completions", "bash"]), "");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn a_timeout_is_saved() {
    let settings = Settings::new("timeout");
    settings.done(&["context", "add", "slow", "http://127.0.0.1:1/", "--timeout", "1500ms"]);
    let target = json!({ "url": "http://127.0.0.1:1/", "timeout": "1500ms" });
    assert_eq!(settings.done(&["context", "show", "slow"])[0]["target"], target);
    assert!(
        settings
            .refused(&["context", "add", "a", "http://127.0.0.1:1/", "--timeout", "0"])
            .contains("longer than 0s")
    );
}

#[test]
fn a_broken_file_is_named_with_the_place() {
    let settings = Settings::new("broken");
    fs::create_dir_all(&settings.0).expect("a folder");
    let file = settings.0.join("contexts.json");
    for (broken, reason) in [
        ("{\n\"contexts\": {\"a\": {\"ulr\": \"x\"}}}", "unknown field `ulr`, expected one of `url`"),
        ("{\n\"contexts\": {\"a\": {\"token\": \"c2VjcmV0\"}}}", "`env:NAME`"),
        ("{", "line 1"),
    ] {
        fs::write(&file, broken).expect("it can be written");
        let refused = settings.refused(&["context", "list"]);
        assert!(refused.contains(reason) && refused.contains("contexts.json"), "{refused}");
        assert!(!refused.contains("c2VjcmV0"), "{refused}");
    }
}

#[test]
fn nothing_that_is_saved_at_the_same_time_is_lost() {
    let settings = Settings::new("same-time");
    let names: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let settings = &settings;
            scope.spawn(move || settings.done(&["context", "add", name, "http://localhost/chat"]));
        }
    });
    let saved = fs::read(settings.0.join("contexts.json")).expect("it is written");
    let saved: Value = serde_json::from_slice(&saved).expect("it is JSON");
    assert_eq!(saved["contexts"].as_object().map(|all| all.keys().cloned().collect()), Some(names));
    let left: Vec<_> =
        fs::read_dir(&settings.0).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(left, ["contexts.json"]);
}
