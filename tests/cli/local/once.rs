//! `hubwire local --once`.
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use crate::program::{hubwire, kill, run, run_with, text};

#[test]
fn a_command_gets_the_service_and_gives_its_exit_code() {
    let script = r#"
        read line; echo "$line"; echo to standard error >&2
        echo "$AzureSignalRConnectionString"
        test "$Azure__SignalR__ConnectionString" = "$AzureSignalRConnectionString" || exit 1
        "$0" local health --port "${HUBWIRE_LOCAL_ENDPOINT##*:}" >/dev/null || exit 2
        test -z "$AZURE_CLIENT_ID$IDENTITY_ENDPOINT$SSL_CERT_FILE" || exit 3
        exit 7
    "#;
    let mut command = hubwire(["local", "--once", "--", "sh", "-c", script, env!("CARGO_BIN_EXE_hubwire")]);
    for name in ["AZURE_CLIENT_ID", "IDENTITY_ENDPOINT", "SSL_CERT_FILE"] {
        command.env_remove(name);
    }
    let output = run_with(command, "hello\n");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines[0], "hello");
    assert!(lines[1].starts_with("Endpoint=http://127.0.0.1;Port="), "{lines:?}");
    assert_eq!((lines.len(), text(&output.stderr)), (2, "to standard error\n"));
}

#[test]
fn with_entra_there_are_credentials_and_what_to_trust() {
    let script = r#"
        for name in AZURE_AUTHORITY_HOST AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET \
            IDENTITY_ENDPOINT IDENTITY_HEADER HUBWIRE_LOCAL_HTTPS_ENDPOINT; do
            eval test -n "\"\$$name\"" || exit 1
        done
        test -s "$SSL_CERT_FILE" && test -s "$NODE_EXTRA_CA_CERTS" && test -s "$REQUESTS_CA_BUNDLE" || exit 2
        echo "$SSL_CERT_FILE"; echo "$NODE_EXTRA_CA_CERTS"
    "#;
    let output = run(["local", "--once", "--entra", "--", "sh", "-c", script]);
    assert!(output.status.success(), "{output:?}");
    let files: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert!(!Path::new(file).exists(), "{file} is left over");
    }
}

#[test]
fn a_command_that_ends_by_a_signal_ends_as_in_a_shell() {
    let output = run(["local", "--once", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(128 + 9));
}

#[test]
fn a_command_that_cannot_be_started_is_explained() {
    for (command, code) in [("no-such-command", 127), ("/", 126)] {
        let output = run(["local", "--once", "--", command]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let errors = text(&output.stderr);
        assert!(errors.contains(&format!("the command `{command}` cannot be started")), "{errors}");
        assert!(errors.contains("sh -c"), "{errors}");
    }
    assert_eq!(run(["local", "--once"]).status.code(), Some(2));
    assert_eq!(run(["local", "--", "true"]).status.code(), Some(2));
}

#[test]
fn signals_are_the_commands() {
    for (signal, name) in [("-TERM", "TERM"), ("-INT", "INT"), ("-HUP", "HUP")] {
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.02; done");
        let mut command = hubwire(["local", "--once", "--", "sh", "-c", &script]);
        // Without a terminal, nobody else tells the command.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        kill(signal, child.id());
        assert_eq!(child.wait().unwrap().code(), Some(9), "{name}");
    }
}
