//! The app server's machine in place of the official SDK: what the service said to that in each transcript of the reference
//! folder is said to the machine, at the same times, and what the two make of it is compared.
//!
//! What is compared is what a server connection says of itself: the handshake, pings, keys, its end. What clients get is
//! the hub's. Where the machine differs, `MENDS` says why.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use hubwire::core::Moment;
use hubwire::core::server_connection::{Effect, Fin, Kind, ServerConnection, Terms};
use hubwire::core::service_protocol::{ServiceMessage, parse};
use serde_json::Value;

use crate::support;

/// Transcripts and server connections on which the machine does something else than the SDK did, and why.
const MENDS: &[(&str, &str, Mend, &str)] = &[
    (
        "malformed",
        "S1",
        Mend::Closes,
        "a length that is none: the SDK reads on for ever without understanding anything, and its timeout does not fire",
    ),
    ("scale-endpoints", "S1", Mend::AsksForNoServers, "endpoints do not come while a hub runs"),
    ("scale-endpoints", "S1-2", Mend::AsksForNoServers, "endpoints do not come while a hub runs"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    /// It ends by itself, and the SDK's did not.
    Closes,
    /// It does not ask which servers there are.
    AsksForNoServers,
}

/// One server connection of a transcript: when it was opened, and what happened on it.
#[derive(Default)]
struct Recorded {
    opened: u64,
    /// When, from the service, and the bytes with their length.
    messages: Vec<(u64, bool, Vec<u8>)>,
    /// When the SDK closed it.
    closed_by_sdk: Option<u64>,
    ended: Option<u64>,
}

fn recorded(transcript: &Value) -> BTreeMap<String, Recorded> {
    let mut all: BTreeMap<String, Recorded> = BTreeMap::new();
    for line in transcript["timeline"].as_array().expect("a timeline") {
        let (Some(label), Some(time)) = (line["sc"].as_str(), line["t"].as_u64()) else { continue };
        let one = all.entry(label.to_owned()).or_default();
        match line["kind"].as_str().unwrap_or_default() {
            "websocket-open" => one.opened = time,
            "service-message" | "raw" => {
                let from_service = line["dir"] == "service->sdk";
                // Long ones are left out of the transcripts.
                let Some(text) = line["base64"].as_str() else { continue };
                one.messages.push((time, from_service, Base64::decode_vec(text).expect("base64")));
            }
            "websocket-close" | "websocket-broken" => {
                one.ended = Some(time);
                one.closed_by_sdk = (line["by"] == "sdk").then_some(time);
            }
            _ => {}
        }
    }
    all
}

fn at(milliseconds: u64) -> Moment {
    Moment::from_epoch(Duration::from_millis(milliseconds))
}

/// A message without its length. Those of the transcripts are shorter than 2 MB.
fn frame(bytes: &[u8]) -> &[u8] {
    let width = bytes.iter().position(|byte| byte & 0x80 == 0).map_or(bytes.len(), |last| last + 1);
    &bytes[width..]
}

/// What a message says about the server connection, in words; none for what is of clients, and for what the time alone
/// decides: signs of life.
fn said(bytes: &[u8]) -> Option<String> {
    match parse(frame(bytes)).expect("a message").expect("of a known type") {
        ServiceMessage::HandshakeRequest { version, connection_type, target, migration_level, .. } => {
            Some(format!("handshake {version} {connection_type} {target:?} {migration_level}"))
        }
        ServiceMessage::Ping { messages } => match messages.first() {
            None => None,
            Some(key) if key.as_deref() == Some("#clientInHub") => None,
            _ => Some(format!("ping {messages:?}")),
        },
        ServiceMessage::AccessKeyRequest { token, kid, .. } => Some(format!("key {token:?} {kid:?}")),
        _ => None,
    }
}

/// What the machine did.
#[derive(Default)]
struct Done {
    said: Vec<String>,
    passed: Vec<Vec<u8>>,
    closed: Option<u64>,
}

struct Replay<'r> {
    machine: ServerConnection,
    recorded: &'r Recorded,
    token: Option<String>,
    done: Done,
}

impl Replay<'_> {
    fn settle(&mut self, time: u64) {
        loop {
            while let Some(bytes) = self.machine.poll_transmit() {
                self.done.said.extend(said(&bytes));
            }
            match self.machine.poll_effect() {
                Some(Effect::Message(frame)) => self.done.passed.push(frame),
                Some(Effect::KeyIsDue) => {
                    self.machine.ask_for_key(self.token.as_deref().expect("a token of the transcript"));
                }
                Some(Effect::Close(_)) => self.done.closed = Some(time),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The time goes on, and with it what is due.
    fn pass(&mut self, until: u64) {
        while self.machine.poll_timeout() <= at(until) {
            let due = self.machine.poll_timeout();
            self.machine.handle_timeout(due);
            self.settle(due.since_epoch().as_millis() as u64);
        }
    }

    fn run(mut self) -> Done {
        let mut announced = false;
        self.settle(self.recorded.opened);
        for (time, from_service, bytes) in &self.recorded.messages {
            self.pass(*time);
            if *from_service {
                self.machine.handle_bytes(at(*time), bytes);
            } else {
                // What the machine does not decide, but what has it: when to ask how the endpoint is, and when to stop.
                let text = said(bytes).unwrap_or_default();
                if text.starts_with("ping [Some(\"status\")") {
                    self.machine.ask_status();
                } else if text.contains("fin:") && !announced {
                    announced = true;
                    let fin = match text.split("fin:").nth(1).and_then(|rest| rest.chars().next()) {
                        Some('0') => Fin::Drop,
                        Some('1') => Fin::Migrate,
                        _ => Fin::Keep,
                    };
                    self.machine.announce_end(at(*time), fin);
                }
            }
            self.settle(*time);
        }
        if let Some(end) = self.recorded.ended {
            self.pass(end);
        }
        self.done
    }
}

/// Compares one server connection; what is wrong comes back in words.
fn compare(name: &str, label: &str, recorded: &Recorded) -> Result<(), String> {
    let mend = MENDS.iter().find(|mend| (mend.0, mend.1) == (name, label)).map(|mend| mend.2);
    let mut of_sdk: Vec<String> = recorded
        .messages
        .iter()
        .filter(|message| !message.1)
        .filter_map(|message| said(&message.2))
        .collect();
    let request = recorded.messages.iter().find(|message| !message.1).map(|message| parse(frame(&message.2)));
    let Some(Ok(Some(ServiceMessage::HandshakeRequest { connection_type, migration_level, .. }))) = request
    else {
        return Ok(());
    };
    let token = recorded.messages.iter().filter(|message| !message.1).find_map(|message| {
        match parse(frame(&message.2)).ok()?? {
            ServiceMessage::AccessKeyRequest { token, .. } => token.map(|token| token.into_owned()),
            _ => None,
        }
    });
    let terms = Terms {
        kind: [Kind::Default, Kind::OnDemand, Kind::Weak][connection_type as usize],
        migration_level,
        allows_stateful_reconnect: false,
        asks_for_keys: token.is_some(),
    };
    let machine = ServerConnection::new(at(recorded.opened), terms);
    let done = Replay { machine, recorded, token, done: Done::default() }.run();
    if mend == Some(Mend::AsksForNoServers) {
        let before = of_sdk.len();
        of_sdk.retain(|text| !text.starts_with("ping [Some(\"servers\")"));
        assert!(of_sdk.len() < before, "the SDK asks");
    }
    if done.said != of_sdk {
        return Err(format!("it says {:?}, and the SDK {of_sdk:?}", done.said));
    }
    let is_of_clients = |bytes: &&(u64, bool, Vec<u8>)| {
        let read =
            std::panic::catch_unwind(|| parse(frame(&bytes.2)).ok().flatten().map(|message| message.kind()));
        bytes.1 && matches!(read, Ok(Some(4..=6 | 34..=38 | 43)))
    };
    // Two transcripts have messages in pieces, or several in one.
    let whole: Vec<_> =
        recorded.messages.iter().filter(is_of_clients).map(|message| frame(&message.2)).collect();
    let mut passed = done.passed.iter();
    if done.closed.is_none() && !whole.iter().all(|frame| passed.any(|passed| passed == frame)) {
        return Err("what is for clients does not come through in order".to_owned());
    }
    match (done.closed, recorded.closed_by_sdk, mend) {
        (None, None, None)
        | (Some(_), None, Some(Mend::Closes))
        | (None, _, Some(Mend::AsksForNoServers)) => Ok(()),
        // The SDK looks whether the service is silent every five seconds.
        (Some(own), Some(sdk), None) if own <= sdk && sdk - own <= 6_000 => Ok(()),
        // The app stops, or the hub's side refuses a weak one.
        (None, Some(_), None) => Ok(()),
        other => Err(format!("its end, the SDK's, and what is expected are {other:?}")),
    }
}

#[test]
fn the_machine_says_what_the_sdk_said_in_each_transcript() {
    let Some(folder) = support::reference_dir() else {
        return support::skipped(
            "the_machine_says_what_the_sdk_said_in_each_transcript",
            "no transcripts; HUBWIRE_REFERENCE_DIR names the folder",
        );
    };
    let read = |path: &Path| -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).expect("a transcript")).expect("JSON")
    };
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder.join("service-protocol/transcripts")).expect("transcripts") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name == "index" {
            continue;
        }
        for (label, recorded) in recorded(&read(&path)) {
            compared += 1;
            if let Err(reason) = compare(&name, &label, &recorded) {
                wrong.push(format!("{name} {label}: {reason}"));
            }
        }
    }
    assert!(compared >= 60, "{compared}");
    assert!(wrong.is_empty(), "{} of {compared}\n{}", wrong.len(), wrong.join("\n"));
}
