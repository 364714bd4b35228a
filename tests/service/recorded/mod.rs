//! Recordings of the official .NET SDK: where they are, how they are compared, and the cases in them that are more than
//! one call.

pub(crate) mod compare;
mod connection_strings;
mod endpoints;
mod entra;
mod negotiate;
mod payloads;
mod rest;
pub(crate) mod rules;
pub(crate) mod server;
mod typed;

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use crate::support;

/// Files that other tests go through.
const ELSEWHERE: [&str; 3] = ["functions-settings", "credentials-from-configuration", "upstream-signatures"];

/// For one case.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The folder, and whether it is another one than that of the reference software.
pub(crate) fn folder() -> Option<(PathBuf, bool)> {
    if let Some(named) = std::env::var_os("HUBWIRE_RECORDINGS_DIR") {
        let dir = PathBuf::from(named);
        assert!(dir.is_dir(), "HUBWIRE_RECORDINGS_DIR names {}, which is no folder", dir.display());
        return Some((dir, true));
    }
    let dir = support::reference_dir()?.join("recordings");
    dir.is_dir().then_some((dir, false))
}

/// A case, with the name of its file and the access key that the SDK had.
pub(crate) struct Case {
    pub(crate) file: String,
    pub(crate) key: String,
    pub(crate) case: Value,
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.case["name"].as_str().unwrap_or_default()
    }
}

/// The cases of all files.
pub(crate) fn cases(folder: PathBuf) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "json") || ELSEWHERE.contains(&&*file) {
            continue;
        }
        let recording: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let key = recording["access_key_used"].as_str().unwrap_or_default();
        cases.extend(recording["cases"].as_array().unwrap().iter().map(|case| Case {
            file: file.clone(),
            key: key.to_owned(),
            case: case.clone(),
        }));
    }
    cases
}

/// What became of a case that is no single call.
pub(crate) enum Verdict {
    /// Ours does the same, but for what is said where it is compared.
    Alike,
    /// There is nothing to compare, and why.
    NotOurs(&'static str),
    /// Nobody has thought of this case.
    Unknown,
}

pub(crate) type Checked = Result<Verdict, String>;

/// Does what was done in a case that has no call in neutral form, and compares.
pub(crate) async fn check(case: &Case) -> Checked {
    let name = case.name();
    let of_file = NOT_OURS.iter().filter(|(file, ..)| *file == case.file);
    for (_, names, reason) in of_file {
        if names.contains(&name) {
            return Ok(Verdict::NotOurs(reason));
        }
    }
    if entra::lets_time_pass(case) {
        // It has limits of its own.
        return entra::ageing(&case.case).await;
    }
    let checked = async {
        if name.starts_with("typed-") {
            return typed::check(case).await;
        }
        match case.file.as_str() {
            "connection-strings" => connection_strings::check(case).await,
            "negotiate" => negotiate::check(case).await,
            "entra" => entra::check(case).await,
            "endpoints" => endpoints::check(case).await,
            "rest" | "errors-and-retries" => rest::check(case).await,
            _ => Ok(Verdict::Unknown),
        }
    };
    tokio::time::timeout(LIMIT, checked).await.unwrap_or_else(|_| Err("it does not end".to_owned()))
}

/// Cases with nothing in them to compare: their file, their names, and why.
const NOT_OURS: [(&str, &[&str], &str); 16] = [
    (
        "connection-strings",
        &["ctor-uri-null", "ctor-credential-null"],
        "a reference that is null, which Rust does not have",
    ),
    (
        "negotiate",
        &["app-server-sticky-preferred", "app-server-sticky-required"],
        "the server connections of an app server that a client is to stay with",
    ),
    (
        "negotiate",
        &["app-server-handshake-timeout-too-long"],
        "a handshake timeout out of range is an error, not left out: tests/service_strategies.rs",
    ),
    (
        "negotiate",
        &["app-server-close-on-auth-expiration-no-expiry"],
        "a connection closes when the token ends, as in the Management SDK; a ticket without an end is of ASP.NET Core",
    ),
    (
        "negotiate",
        &["generate-client-access-token-all"],
        "the obsolete interface lets the claims aud and exp of a caller into the token's own place",
    ),
    (
        "endpoints",
        &["persistent-connection-count-3", "persistent-operations"],
        "messages on server connections; the same operations by REST are in the file rest",
    ),
    (
        "rest",
        &["all-null-method", "client-null", "group-null", "no-hub-name"],
        "a reference that is null, which Rust does not have; empty names are refused: tests/service/rest.rs",
    ),
    (
        "rest",
        &["client-invoke", "client-invoke-typed"],
        "the SDK's version of the API has no invocations, ours has: tests/service_data_plane.rs",
    ),
    (
        "rest",
        &["send-after-dispose", "negotiate-after-dispose"],
        "there is no disposing: a hub works as long as somebody has it",
    ),
    ("rest", &["product-info"], "a header that names the .NET SDK and the version of .NET to Microsoft"),
    ("rest", &["surface"], "a list of the SDK's public names"),
    (
        "entra",
        &["exchange-camel-case-fields"],
        "ours takes an exchanged key by names in either case, as the server SDK does; the recorded one wants KeyId and AccessKey",
    ),
    (
        "rest",
        &["payload-unsupported-protocol"],
        "a protocol is a method of the hub; there is none for others",
    ),
    (
        "rest",
        &[
            "payload-newtonsoft-builder-null-array",
            "payload-hub-protocols-messagepack-null-array",
            "payload-add-messagepack-null-array",
            "payload-hub-protocols-json-null-array",
        ],
        "a list of arguments is never null",
    ),
    (
        "rest",
        &["payload-newtonsoft-builder-object"],
        "Newtonsoft's camel case changes the keys of maps too; serde names fields only",
    ),
    (
        "rest",
        &["payload-system-text-json-nan", "payload-hub-protocols-json-nan"],
        "JSON has no such numbers: an error in System.Text.Json, null in serde and in JavaScript",
    ),
];
