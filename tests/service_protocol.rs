//! The service protocol, held against what the library of the Azure SignalR SDK reads and writes: every vector of the
//! folder that `HUBWIRE_SERVICE_PROTOCOL_DIR` names, else of `service-protocol` in the reference folder.

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hubwire::Timestamp;
use hubwire::core::framing::BinaryFraming;
use hubwire::core::service_protocol::{
    Claims, Extensions, GroupMember, GroupMembers, Headers, InstantUtc, Payloads, ServiceMessage, Text,
    parse, read_claims, write, write_claims,
};
use serde_json::{Map, Value, json};

fn vectors(test: &str) -> Option<Value> {
    let folder = match std::env::var_os("HUBWIRE_SERVICE_PROTOCOL_DIR") {
        Some(named) => Some(PathBuf::from(named)),
        None => support::reference_dir().map(|dir| dir.join("service-protocol")),
    };
    let Some(folder) = folder else {
        support::skipped(
            test,
            "no vectors; HUBWIRE_SERVICE_PROTOCOL_DIR or HUBWIRE_REFERENCE_DIR names them",
        );
        return None;
    };
    let text = std::fs::read_to_string(folder.join("vectors.json")).expect("vectors.json in the folder");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Every case of a list has to hold; those that do not are printed, all of them.
fn hold(cases: &Value, check: impl Fn(&Value) -> Result<(), String>) {
    let cases = cases.as_array().expect("a list of cases");
    let mut failed = 0;
    for case in cases {
        if let Err(reason) = check(case) {
            println!("{}: {reason}", case["name"]);
            failed += 1;
        }
    }
    assert!(!cases.is_empty());
    assert_eq!(failed, 0, "of {} cases", cases.len());
}

fn bytes_of(case: &Value) -> Vec<u8> {
    STANDARD.decode(case["base64"].as_str().expect("base64")).expect("base64")
}

/// A field of a message, from the vectors' JSON and to it. `null` for a list is an empty one.
trait Field: Sized {
    fn from_json(value: &Value) -> Self;
    fn to_json(&self) -> Value;
}

macro_rules! field {
    ($type:ty, $value:ident => $from:expr, $own:ident => $to:expr) => {
        impl Field for $type {
            fn from_json($value: &Value) -> Self {
                $from
            }

            fn to_json(&self) -> Value {
                let $own = self;
                $to
            }
        }
    };
}

fn text(value: &Value) -> Text<'static> {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned().into()
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|items| items.iter().map(item).collect()).unwrap_or_default()
}

fn binary(value: &Value) -> &'static [u8] {
    STANDARD.decode(text(value).as_bytes()).expect("base64").leak()
}

field!(Text<'static>, value => text(value), own => json!(own));
field!(Option<Text<'static>>, value => (!value.is_null()).then(|| text(value)), own => json!(own));
field!(i32, value => value.as_i64().and_then(|number| number.try_into().ok()).expect("a number"), own => json!(own));
field!(Option<i32>, value => value.as_i64().map(|number| number.try_into().expect("32 bits")), own => json!(own));
field!(bool, value => value.as_bool().expect("a boolean"), own => json!(own));
field!(&'static [u8], value => binary(value), own => json!(STANDARD.encode(own)));
field!(Option<&'static [u8]>, value => (!value.is_null()).then(|| binary(value)),
    own => json!(own.map(|bytes| STANDARD.encode(bytes))));
field!(Vec<Text<'static>>, value => list(value, text), own => json!(own));
field!(Vec<Option<Text<'static>>>, value => list(value, Field::from_json), own => json!(own));
field!(Claims<'static>, value => list(value, |claim| (text(&claim[0]), text(&claim[1]))), own => json!(own));
field!(Headers<'static>, value => list(value, |header| (text(&header[0]), list(&header[1], Field::from_json))), own => json!(own));
field!(Payloads<'static>, value => list(value, |payload| (text(&payload[0]), binary(&payload[1]))),
    own => own.iter().map(|(protocol, payload)| json!([protocol, STANDARD.encode(payload)])).collect());
field!(InstantUtc, value => {
    let instant: Timestamp = text(value).parse().expect("a time");
    InstantUtc { unix_seconds: instant.unix_seconds(), nanoseconds: instant.nanoseconds() }
}, own => json!(format!("{own:?}")));

fn extensions(fields: &Value) -> Extensions<'static> {
    Extensions {
        tracing_id: fields["tracingId"].as_str().map(|id| id.parse().expect("a tracing id")),
        ttl: Field::from_json(&fields["ttl"]),
        protocol: Field::from_json(&fields["protocol"]),
        filter: Field::from_json(&fields["filter"]),
        data_message_type: fields["dataMessageType"]
            .as_i64()
            .unwrap_or_default()
            .try_into()
            .expect("32 bits"),
        is_partial: fields["isPartial"].as_bool().unwrap_or_default(),
    }
}

fn add_extensions(fields: &mut Map<String, Value>, extensions: &Extensions<'_>) {
    let Extensions { tracing_id, ttl, protocol, filter, data_message_type, is_partial } = extensions;
    fields.insert("tracingId".into(), json!(tracing_id.map(|id| id.to_string())));
    fields.insert("ttl".into(), json!(ttl));
    fields.insert("protocol".into(), json!(protocol));
    fields.insert("filter".into(), json!(filter));
    fields.insert("dataMessageType".into(), json!(data_message_type));
    fields.insert("isPartial".into(), json!(is_partial));
}

/// What the vectors call the fields of each message.
macro_rules! names {
    ($($code:literal $name:ident $(with $extensions:ident)? { $($field:ident $json:literal),* })*) => {
        fn message(case: &Value) -> ServiceMessage<'static> {
            let fields = &case["fields"];
            match case["type"].as_u64() {
                $(Some($code) => ServiceMessage::$name {
                    $($field: Field::from_json(&fields[$json]),)*
                    $($extensions: extensions(fields),)?
                },)*
                _ => panic!("type {} is not known here", case["type"]),
            }
        }

        fn fields(message: ServiceMessage<'static>) -> Map<String, Value> {
            let mut fields = Map::new();
            match message {
                $(ServiceMessage::$name { $($field,)* $($extensions,)? } => {
                    $(add_extensions(&mut fields, &$extensions);)?
                    $(fields.insert($json.into(), $field.to_json());)*
                })*
                _ => panic!("{message:?} is not known here"),
            }
            fields
        }
    };
}

names! {
    1 HandshakeRequest with extensions { version "version", connection_type "connectionType", target "target", migration_level "migrationLevel", allow_stateful_reconnects "allowStatefulReconnects" }
    2 HandshakeResponse with extensions { error_message "errorMessage", connection_id "connectionId" }
    3 Ping { messages "messages" }
    4 OpenConnection with extensions { connection_id "connectionId", claims "claims", headers "headers", query_string "queryString" }
    5 CloseConnection with extensions { connection_id "connectionId", error_message "errorMessage", headers "headers" }
    6 ConnectionData with extensions { connection_id "connectionId", payload "payload" }
    7 MultiConnectionData with extensions { connection_ids "connectionList", payloads "payloads" }
    8 UserData with extensions { user_id "userId", payloads "payloads" }
    9 MultiUserData with extensions { user_ids "userList", payloads "payloads" }
    10 BroadcastData with extensions { excluded_ids "excludedList", payloads "payloads" }
    11 JoinGroup with extensions { connection_id "connectionId", group_name "groupName" }
    12 LeaveGroup with extensions { connection_id "connectionId", group_name "groupName" }
    13 GroupBroadcastData with extensions { group_name "groupName", excluded_ids "excludedList", payloads "payloads", excluded_user_ids "excludedUserList", caller_user_id "callerUserId" }
    14 MultiGroupBroadcastData with extensions { group_names "groupList", payloads "payloads" }
    15 ServiceError { error_message "errorMessage" }
    16 UserJoinGroup with extensions { user_id "userId", group_name "groupName" }
    17 UserLeaveGroup with extensions { user_id "userId", group_name "groupName" }
    18 JoinGroupWithAck with extensions { connection_id "connectionId", group_name "groupName", ack_id "ackId" }
    19 LeaveGroupWithAck with extensions { connection_id "connectionId", group_name "groupName", ack_id "ackId" }
    20 Ack with extensions { ack_id "ackId", status "status", message "message", payload "payload" }
    21 CheckUserInGroupWithAck with extensions { user_id "userId", group_name "groupName", ack_id "ackId" }
    22 ServiceEvent with extensions { object_type "type", id "id", event "kind", message "message" }
    23 CheckGroupExistenceWithAck with extensions { group_name "groupName", ack_id "ackId" }
    24 CheckConnectionExistenceWithAck with extensions { connection_id "connectionId", ack_id "ackId" }
    25 CheckUserExistenceWithAck with extensions { user_id "userId", ack_id "ackId" }
    26 UserJoinGroupWithAck with extensions { user_id "userId", group_name "groupName", ack_id "ackId" }
    27 UserLeaveGroupWithAck with extensions { user_id "userId", group_name "groupName", ack_id "ackId" }
    28 AccessKeyRequest with extensions { token "token", kid "kid" }
    29 AccessKeyResponse with extensions { kid "kid", access_key "accessKey", error_type "errorType", error_message "errorMessage" }
    30 CloseConnectionWithAck with extensions { connection_id "connectionId", reason "reason", ack_id "ackId" }
    31 CloseConnectionsWithAck with extensions { reason "reason", ack_id "ackId", excluded_ids "excludedList" }
    32 CloseUserConnectionsWithAck with extensions { user_id "userId", reason "reason", ack_id "ackId", excluded_ids "excludedList" }
    33 CloseGroupConnectionsWithAck with extensions { group_name "groupName", reason "reason", ack_id "ackId", excluded_ids "excludedList" }
    34 ClientInvocation with extensions { invocation_id "invocationId", connection_id "connectionId", caller_server_id "callerServerId", payloads "payloads" }
    35 ClientCompletion with extensions { invocation_id "invocationId", connection_id "connectionId", caller_server_id "callerServerId", protocol "protocol", payload "payload" }
    36 ErrorCompletion with extensions { invocation_id "invocationId", connection_id "connectionId", caller_server_id "callerServerId", error "error" }
    37 ServiceMapping with extensions { invocation_id "invocationId", connection_id "connectionId", instance_id "instanceId" }
    38 ConnectionReconnect with extensions { connection_id "connectionId" }
    39 ConnectionFlowControl with extensions { connection_id "connectionId", connection_type "connectionType", operation "operation" }
    40 GroupMemberQuery with extensions { group_name "groupName", ack_id "ackId", top "top", continuation_token "continuationToken", max_page_size "maxPageSize" }
    41 RefreshAuth with extensions { connection_token "connectionToken", claims "claims", expire_time "expireTime", ack_id "ackId" }
    42 GetConnectionClaims with extensions { connection_token "connectionToken", ack_id "ackId" }
    43 UpdateConnectionClaims with extensions { connection_id "connectionId", claims "claims" }
}

/// Whether a message has the fields of a step.
fn has(message: ServiceMessage<'static>, step: &Value) -> Result<(), String> {
    if step["type"] != json!(message.kind()) {
        return Err(format!("read as type {}", message.kind()));
    }
    let ours = fields(message);
    for (name, expected) in step["fields"].as_object().expect("fields") {
        let ours = ours.get(name).unwrap_or_else(|| panic!("there is no field {name}"));
        let same = match (ours, expected) {
            (Value::Array(items), Value::Null) => items.is_empty(),
            (Value::String(_), Value::String(_)) if name == "expireTime" => {
                *ours == InstantUtc::from_json(expected).to_json()
            }
            _ => ours == expected,
        };
        if !same {
            return Err(format!("{name} is {ours}, not {expected}"));
        }
    }
    Ok(())
}

#[test]
fn writes_what_the_sdk_writes() {
    let Some(vectors) = vectors("the service protocol, written") else { return };
    hold(&vectors["write"], |case| {
        let bytes = bytes_of(case);
        // A nil that the SDK writes, and then refuses to read: the types here have no room for it.
        if !case["parsesBackRefused"].is_null() {
            return parse(&bytes[1..]).map_or(Ok(()), |message| Err(format!("read {message:?}")));
        }
        let mut out = Vec::new();
        write(&mut out, &message(case));
        if out == bytes { Ok(()) } else { Err(format!("wrote {}", STANDARD.encode(out))) }
    });
}

#[test]
fn reads_what_the_sdk_reads() {
    let Some(vectors) = vectors("the service protocol, read") else { return };
    hold(&vectors["parse"], |case| {
        let input = bytes_of(case).leak();
        let mut framing = BinaryFraming::default();
        let mut spare = Vec::new();
        let mut frames = framing.take(input, &mut spare);
        for step in case["steps"].as_array().expect("steps") {
            let read = frames.next().map(|frame| frame.and_then(|frame| parse(frame.to_vec().leak())));
            match (step["result"].as_str(), read) {
                (Some("message"), Some(Ok(Some(message)))) => has(message, step)?,
                (Some("ignored"), Some(Ok(None)))
                | (Some("incomplete"), None)
                | (Some("exception"), Some(Err(_))) => {}
                (_, read) => return Err(format!("read {read:?}, not {step}")),
            }
        }
        match frames.next() {
            None => Ok(()),
            Some(rest) => Err(format!("more was read: {rest:?}")),
        }
    });
}

#[test]
fn reads_and_writes_the_payloads_of_acknowledgements() {
    let Some(vectors) = vectors("the payloads of acknowledgements") else { return };
    let members = |page: &GroupMembers<'_>| {
        let members: Vec<_> =
            page.members.iter().map(|member| json!([member.connection_id, member.user_id])).collect();
        json!({ "continuationToken": page.continuation_token, "members": members })
    };
    hold(&vectors["payloads"]["parse"], |case| {
        let payload = bytes_of(case);
        let read = match case["model"].as_str() {
            Some("GroupMemberQueryResponse") => GroupMembers::read(&payload).map(|page| members(&page)),
            Some("ConnectionClaimsResponse") => {
                read_claims(&payload).map(|claims| json!({ "claims": claims }))
            }
            model => panic!("the model {model:?} is not known here"),
        };
        match (case["result"].as_str(), read) {
            (Some("payload"), Ok(read)) if read == case["fields"] => Ok(()),
            (Some("exception"), Err(_)) => Ok(()),
            (_, read) => Err(format!("read {read:?}")),
        }
    });
    hold(&vectors["payloads"]["write"], |case| {
        let mut out = Vec::new();
        let fields = &case["fields"];
        match case["model"].as_str() {
            Some("GroupMemberQueryResponse") => GroupMembers {
                members: list(&fields["members"], |member| GroupMember {
                    connection_id: text(&member[0]),
                    user_id: Field::from_json(&member[1]),
                }),
                continuation_token: Field::from_json(&fields["continuationToken"]),
            }
            .write(&mut out),
            Some("ConnectionClaimsResponse") => write_claims(&mut out, &Field::from_json(&fields["claims"])),
            model => panic!("the model {model:?} is not known here"),
        }
        if out == bytes_of(case) { Ok(()) } else { Err(format!("wrote {}", STANDARD.encode(out))) }
    });
}

/// Whatever comes: an error or a message, and no more memory than the bytes are worth.
#[test]
fn counts_that_the_bytes_do_not_hold_are_refused() {
    for bomb in [
        &b"\x94\x07\xdd\xff\xff\xff\xff\xc0"[..],
        b"\x94\x06\xa1c\xc6\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff\x03\xa1k",
    ] {
        assert!(parse(bomb).is_err(), "{bomb:?}");
    }
}
