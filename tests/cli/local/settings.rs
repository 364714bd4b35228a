//! Where the settings of `hubwire local` come from.

use std::{fs, path::PathBuf};

use hubwire::service::{ServiceClient, ServiceEndpoint, credentials::ClientSecret};

use crate::program::{Local, hubwire, run, run_with, text};

/// An empty folder of this test.
pub(super) fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli-local-settings").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn key_of(local: &Local) -> &str {
    let key = local.connection_string().split(';').find_map(|part| part.strip_prefix("AccessKey="));
    key.expect("it has a key")
}

#[test]
fn flags_win_over_the_environment_and_that_over_a_file() {
    let folder = folder("order");
    let file = r#"{ "port": 1, "mode": "default", "accessKey": "of the file" } // and a comment"#;
    fs::write(folder.join("hubwire.json"), file).unwrap();
    fs::write(folder.join("key"), "of the flag\n").unwrap();

    let local = Local::start_in(&folder, &[], &[]);
    assert_eq!((key_of(&local), local.started["mode"].as_str()), ("of the file", Some("default")));
    assert_eq!(local.started["settingsFile"], "hubwire.json");

    let environment =
        [("HUBWIRE_LOCAL_ACCESS_KEY", "of the environment"), ("HUBWIRE_LOCAL_MODE", "serverless")];
    let local = Local::start_in(&folder, &[], &environment);
    assert_eq!((key_of(&local), local.started["mode"].as_str()), ("of the environment", Some("serverless")));

    let local = Local::start_in(&folder, &["--access-key", "file:key", "--mode", "default"], &environment);
    assert_eq!((key_of(&local), local.started["mode"].as_str()), ("of the flag", Some("default")));
}

#[test]
fn the_file_of_the_official_emulator_is_read_where_it_is_one() {
    let folder = folder("emulator");
    fs::write(folder.join("settings.json"), r#"{ "editor.tabSize": 2 }"#).unwrap();
    let local = Local::start_in(&folder, &[], &[]);
    assert!(local.started["settingsFile"].is_null(), "{}", local.started);

    let file =
        r#"{ "UpstreamSettings": { "Templates": [ { "UrlTemplate": "http://127.0.0.1:1/{hub}" } ] } }"#;
    fs::write(folder.join("settings.json"), file).unwrap();
    let local = Local::start_in(&folder, &[], &[]);
    assert_eq!(local.started["settingsFile"], "settings.json");
}

#[test]
fn a_file_that_is_wrong_says_where() {
    let folder = folder("wrong");
    let file = folder.join("mine.json");
    fs::write(&file, "{\n  // a slip\n  \"aplications\": []\n}").unwrap();
    let output = run(["local", "--settings", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("mine.json:3:3:") && errors.contains("is \"applications\" meant?"), "{errors}");
    assert!(errors.contains("hubwire local init"), "{errors}");

    let output = run(["local", "--settings", folder.join("missing.json").to_str().unwrap()]);
    assert!(text(&output.stderr).contains("missing.json cannot be read"));
}

#[test]
fn the_example_file_starts_a_service() {
    let folder = folder("init");
    let init = |arguments: &[&str]| {
        let mut command = hubwire(["local", "init"].iter().chain(arguments));
        command.current_dir(&folder);
        run_with(command, "")
    };
    assert!(init(&[]).status.success());
    let again = init(&[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("--force"));
    assert!(init(&["--force"]).status.success());
    let local = Local::start_in(&folder, &[], &[]);
    assert_eq!(local.started["settingsFile"], "hubwire.json");
    // Nothing in it is useless.
    let program = env!("CARGO_BIN_EXE_hubwire");
    let mut once = hubwire(["local", "--port", "0", "--once", "--", program, "--version"]);
    once.current_dir(&folder);
    let once = run_with(once, "");
    assert!(once.status.success() && !text(&once.stderr).contains("warning"), "{}", text(&once.stderr));
}

#[tokio::test]
async fn an_application_of_a_file_has_its_roles() {
    let folder = folder("application");
    let file = r#"{ "https": false, "applications": [
        { "tenantId": "t", "clientId": "c", "clientSecret": { "env": "SECRET_OF_C" }, "roles": ["SignalR REST API Reader"] }
    ] }"#;
    fs::write(folder.join("hubwire.json"), file).unwrap();
    let local = Local::start_in(&folder, &[], &[("SECRET_OF_C", "hush")]);
    assert!(!local.started.to_string().contains("hush"));
    let authority = local.started["settings"]["AZURE_AUTHORITY_HOST"].as_str().unwrap();
    let credential = ClientSecret::new("t", "c", "hush").authority(authority);
    let endpoint = ServiceEndpoint::new(local.started["endpoint"].as_str().unwrap(), credential).unwrap();
    let hub = ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap();
    assert!(!hub.user("ann").exists().await.unwrap());
    let refused = format!("{:?}", hub.all().send("Message", ("hello",)).await.unwrap_err());
    assert!(refused.contains("403"), "{refused}");
}

#[test]
fn where_it_listens_and_who_may_come_in_is_set() {
    let folder = folder("front");
    let file = r#"{ "publicEndpoint": "http://signalr:8888", "allowedOrigins": "https://app.example.com", "localAuth": false,
        "upstream": [{ "url": "http://127.0.0.1:1/{event}", "hubs": "chat, news", "managedIdentity": "api://it" }, "http://127.0.0.1:2"],
        "managedIdentities": [{ "clientId": "mine" }], "serviceIdentity": { "clientId": "service" } }"#;
    fs::write(folder.join("hubwire.json"), file).unwrap();
    let local =
        Local::start_in(&folder, &["--address", "0.0.0.0", "--allow-host", "signalr.example.com"], &[]);
    assert_eq!(local.started["endpoint"], "http://signalr:8888");
    assert!(local.started["dashboard"].is_null(), "others could see it");
    assert_eq!(local.connection_string(), "Endpoint=http://signalr;Port=8888;AuthType=azure;Version=1.0;");

    for (setting, part) in [
        (r#""publicEndpoint": "signalr""#, "the public endpoint must be"),
        (r#""upstream": "nowhere""#, "the upstream must be"),
        (r#""address": "here""#, "an IP address is expected"),
    ] {
        fs::write(folder.join("hubwire.json"), format!("{{ {setting} }}")).unwrap();
        let mut command = hubwire(["local", "--port", "0"]);
        command.current_dir(&folder);
        let output = run_with(command, "");
        assert_eq!(output.status.code(), Some(1), "{setting}");
        assert!(text(&output.stderr).contains(part), "{setting}: {}", text(&output.stderr));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn its_own_port_speaks_tls_when_told_to() {
    let folder = folder("tls");
    let local = Local::start_in(&folder, &["--tls", "--write-certificate", "local.pem"], &[]);
    let endpoint = local.started["endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with("https://"), "{endpoint}");
    let port = endpoint.rsplit(':').next().unwrap();
    let mut command = hubwire(["local", "health", "--tls", "--port", port]);
    command.env("SSL_CERT_FILE", folder.join("local.pem"));
    let output = run_with(command, "");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (arguments, says, advice) in [
        (&["--local-auth", "false"][..], "nobody could get in", "--entra"),
        (&["--max-connections", "0"], "no client could connect", "--max-connections"),
        (&["--handshake-timeout", "0s"], "longer than 0s", "--handshake-timeout"),
        (&["--token-lifetime", "0"], "from 1s to 365d", "--token-lifetime"),
        (&["--upstream", "http://127.0.0.1:1/{Hub}"], "has {Hub} in it", "{hub}, {category} and {event}"),
        (&["--upstream", "http://127.0.0.1:1/{hubs}?code=c2VjcmV0"], "has {hubs} in it", "{hub}"),
        (&["--upstream", "http://127.0.0.1:1/{hub/{event}"], "has {hub/{event} in it", "{hub}"),
        (&["--upstream", "http://127.0.0.1:1/hub}"], "braces that do not fit", "{hub}"),
    ] {
        let output = run(["local", "--port", "0", "--until-input-ends"].iter().chain(arguments));
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}: {told}");
        assert!(told.contains(says) && told.contains(advice), "{arguments:?}: {told}");
        assert!(!told.contains("c2VjcmV0"), "{told}");
    }
    let output = run(["local", "--port", "0", "--until-input-ends", "--certificate", "local.pem"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--key"), "{}", text(&output.stderr));
}

#[test]
fn settings_that_are_useless_are_told() {
    for (arguments, says) in [
        (
            &["--mode", "default", "--upstream", "http://127.0.0.1:1/{hub}"][..],
            "the upstream is never called",
        ),
        (&["--token-lifetime", "2h"], "--token-lifetime is not used"),
        (&["--client-timeout", "10s"], "--client-timeout is not longer"),
        (&["--keep-alive-interval", "1m"], "--keep-alive-interval is not shorter"),
    ] {
        let output = run(["local", "--port", "0", "--until-input-ends"].iter().chain(arguments));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        let warnings: Vec<_> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(says), "{arguments:?}: {told}");
    }
    // What makes sense is no reason to say anything.
    let output = run([
        "local",
        "--port",
        "0",
        "--until-input-ends",
        "--entra",
        "--local-auth",
        "false",
        "--token-lifetime",
        "2h",
    ]);
    assert!(output.status.success() && !text(&output.stderr).contains("warning: "), "{output:?}");
}

#[test]
fn secrets_are_not_arguments() {
    for arguments in
        [["--application", "t/c=hush"], ["--application", "t/c/hush"], ["--secondary-access-key", "hush"]]
    {
        let output = run(["local"].iter().chain(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!text(&output.stderr).contains("hush"), "{}", text(&output.stderr));
    }
    let arguments = ["local", "--application", "t/c=-", "--access-key", "-"];
    let output = run(arguments);
    assert!(text(&output.stderr).contains("standard input cannot be read twice"), "{output:?}");
}

#[test]
fn the_certificate_is_written_where_it_is_wanted() {
    let folder = folder("certificate");
    let local = Local::start_in(&folder, &["--https", "--write-certificate", "local.pem"], &[]);
    let pem = fs::read_to_string(folder.join("local.pem")).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("PRIVATE"), "{pem}");
    assert_eq!(local.started["settings"]["NODE_EXTRA_CA_CERTS"], "local.pem");
    assert!(local.started["httpsEndpoint"].as_str().unwrap().starts_with("https://127.0.0.1:"));

    let output = run(["local", "--write-certificate", "local.pem"]);
    assert!(text(&output.stderr).contains("add `--https`"), "{output:?}");
}
