//! Right and wrong parameters and bodies, operation by operation.

use super::{Body, Report, VERSION, start};

const M: &str = r#"{"target":"m"}"#;

/// Each with method, path and query, body, status, and code or what is wrong (`target` of the error).
#[rustfmt::skip]
const FORMS: &[(&str, &str, Body, u16, &str)] = &[
    // Health needs neither token nor version.
    ("GET", "/api/health", Body::None, 200, ""),
    ("HEAD", "/api/health", Body::None, 200, ""),
    ("HEAD", "/api/v1/health", Body::None, 200, ""),
    ("GET", "/API/V1/Health/", Body::None, 200, ""),
    // Messages.
    ("POST", "/api/hubs/chat/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/CHAT/:send?EXCLUDED=a&excluded=b", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/a%601%5Bb,c.d%5D/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/:send?application=App", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/:send?application=", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/:send?application=1a", Body::Json(M), 400, "application"),
    ("POST", "/api/hubs/chat/:send?unknown=1", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Json(r#"{"TARGET":"m","Arguments":null}"#), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Json("\u{feff}{\"target\":\"m\"}"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Json(r#"{"target":""}"#), 400, "target"),
    ("POST", "/api/hubs/chat/:send", Body::Json(r#"{"target":null}"#), 400, "target"),
    ("POST", "/api/hubs/chat/:send", Body::Json(r#"{"target":1}"#), 400, "target"),
    ("POST", "/api/hubs/chat/:send", Body::Json(r#"{"arguments":[]}"#), 400, "target"),
    ("POST", "/api/hubs/chat/:send", Body::Json(r#"{"target":"m","arguments":{}}"#), 400, "arguments"),
    ("POST", "/api/hubs/chat/:send", Body::Json("[]"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Json("null"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::None, 400, "body"),
    ("POST", "/api/hubs/chat", Body::Json(M), 404, "NotFound"),
    ("POST", "/api/hubs/chat/:sends", Body::Json(M), 404, "NotFound"),
    ("POST", "/api/hubs//:send", Body::Json(M), 404, "NotFound"),
    ("POST", "/api/hubs/chat/users//:send", Body::Json(M), 404, "NotFound"),
    ("GET", "/api", Body::None, 404, ""),
    ("GET", "/api/things", Body::None, 404, "NotFound"),
    ("POST", "/api/v1/hubs/chat/:send", Body::Json(M), 404, "NotFound"),
    // Messages that their sender has encoded.
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x80"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("Application/X-MsgPack; a=b", b"\x80"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xa5other\xc4\x01x"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xa4json\xc4\x18{\"type\":1,\"target\":\"m\"}\x1e"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xabmessagepack\xc4\x08\x07\x95\x01\x80\xc0\xa1m\x90"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xabmessagepack\xc4\x07\x06\x94\x01\x80\xc0\xa1m"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xabmessagepack\xc4\x08\x07\x95\x01\x80\xc0\xa1m\xc0"), 202, ""),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xabmessagepack\xc4\x06\x05\x93\x01\x80\xc0\xc0"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xabmessagepack\xc4\x06\x02\x91\x06\x02\x91\x06"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xa4json\xc4\x0b{\"type\":6}\x1e"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x81\xa4json\xa1x"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\x91\x01"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b"\xdf\xff\xff\xff\xff"), 400, "body"),
    ("POST", "/api/hubs/chat/:send", Body::Of("application/octet-stream", b""), 400, "body"),
    // Names.
    ("POST", "/api/hubs/chat/users/%20/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/users/%C3%BC%2F%3F/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/users/%FF/:send", Body::Json(M), 400, "path"),
    ("POST", "/api/hubs/chat/groups/%20%09/:send", Body::Json(M), 400, "group"),
    ("POST", "/api/hubs/chat/users/{1024}/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/users/{1025}/:send", Body::Json(M), 400, "user"),
    ("POST", "/api/hubs/chat/groups/{1024}/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/groups/{1025}/:send", Body::Json(M), 400, "group"),
    ("POST", "/api/hubs/chat/connections/{1024}/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/chat/connections/{1025}/:send", Body::Json(M), 400, "connection"),
    ("HEAD", "/api/hubs/chat/users/{1025}", Body::None, 400, ""),
    ("GET", "/api/hubs/chat/users/{1025}/groups/g", Body::None, 400, "user"),
    ("DELETE", "/api/hubs/chat/connections/{1025}", Body::None, 400, "connection"),
    ("POST", "/api/hubs/h{127}/:send", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/h{127}/:send?application=a{127}", Body::Json(M), 202, ""),
    ("POST", "/api/hubs/h{128}/:send", Body::Json(M), 400, "hub"),
    ("POST", "/api/hubs/chat/:send?application=a{128}", Body::Json(M), 400, "application"),
    // Users in groups.
    ("PUT", "/api/hubs/chat/users/v/groups/g?ttl=0", Body::None, 200, ""),
    ("PUT", "/api/hubs/chat/users/v/groups/g?TTL=2147483647", Body::None, 200, ""),
    ("PUT", "/api/hubs/chat/users/v/groups/g?ttl=2147483648", Body::None, 400, "ttl"),
    ("PUT", "/api/hubs/chat/users/v/groups/g?ttl=-1", Body::None, 400, "ttl"),
    ("PUT", "/api/hubs/chat/users/v/groups/g?ttl=1.5", Body::None, 400, "ttl"),
    ("PUT", "/api/hubs/chat/users/v/groups/g?ttl=", Body::None, 400, "ttl"),
    ("GET", "/api/hubs/chat/users/v/groups/g", Body::None, 200, ""),
    ("HEAD", "/api/hubs/chat/users/v/groups/g", Body::None, 200, ""),
    ("HEAD", "/api/v1/hubs/chat/groups/g/users/v", Body::None, 200, ""),
    ("DELETE", "/api/hubs/chat/users/v/groups", Body::None, 204, ""),
    ("GET", "/api/v1/hubs/chat/groups/g/users/v", Body::None, 404, "Info.User.NotInGroup"),
    // Tokens.
    ("POST", "/api/hubs/chat/:generateToken?userId=u&minutesToExpire=1", Body::None, 200, ""),
    ("POST", "/api/hubs/chat/:generateToken?USERID=u&MinutesToExpire=2147483647", Body::None, 200, ""),
    ("POST", "/api/hubs/chat/:generateToken?minutesToExpire=0", Body::None, 400, "minutesToExpire"),
    ("POST", "/api/hubs/chat/:generateToken?minutesToExpire=2147483648", Body::None, 400, "minutesToExpire"),
    ("POST", "/api/hubs/chat/:generateToken?minutesToExpire=x", Body::None, 400, "minutesToExpire"),
    ("POST", "/api/hubs/chat/:generateToken?application=1%20", Body::None, 200, ""),
    // Members of a group.
    ("GET", "/api/hubs/chat/groups/g/connections?maxPageSize=1&top=1", Body::None, 200, ""),
    ("GET", "/api/hubs/chat/groups/g/connections?maxpagesize=200&top=2147483647", Body::None, 200, ""),
    ("GET", "/api/hubs/chat/groups/g/connections?maxpagesize=0", Body::None, 400, "maxpagesize"),
    ("GET", "/api/hubs/chat/groups/g/connections?maxpagesize=201", Body::None, 400, "maxpagesize"),
    ("GET", "/api/hubs/chat/groups/g/connections?top=0", Body::None, 400, "top"),
    ("GET", "/api/hubs/chat/groups/g/connections?top=2147483648", Body::None, 400, "top"),
    ("GET", "/api/hubs/chat/groups/g/connections?continuationToken=%00", Body::None, 200, ""),
    // Streams.
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:send", Body::Json("null"), 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:send?Completed=TRUE", Body::Json("[{}]"), 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:send?completed=1", Body::Json("1"), 400, "completed"),
    ("POST", "/api/hubs/chat/connections/nobody/streams/s/:send", Body::Json("1"), 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/{100}/:send", Body::Json("1"), 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/{101}/:send", Body::Json("1"), 400, "stream"),
    ("POST", "/api/hubs/chat/connections/{c}/streams/%20/:send", Body::Json("1"), 400, "stream"),
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:send", Body::Of("application/octet-stream", b"\x81\xa4json\xc4\x27{\"type\":2,\"invocationId\":\"s\",\"item\":1}\x1e"), 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:send", Body::Of("application/octet-stream", b"\x81\xa4json\xc4\x18{\"type\":1,\"target\":\"m\"}\x1e"), 400, "body"),
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:complete?reason=r", Body::None, 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/s/:complete?error=e", Body::None, 202, ""),
    ("POST", "/api/hubs/chat/connections/{c}/streams/{101}/:complete", Body::None, 400, "stream"),
    // Commands.
    ("POST", "/api/hubs/empty/:execute?filter=startswith(userId,%20'listener-')", Body::Json("[]"), 202, ""),
    ("POST", "/api/hubs/empty/:execute?Filter=length(groups)+gt+1", Body::Json("[]"), 202, ""),
    ("POST", "/api/hubs/empty/:execute?filter=", Body::Json("[]"), 202, ""),
    ("POST", "/api/hubs/empty/:execute?filter=age+gt+3", Body::Json("[]"), 400, "filter"),
    ("POST", "/api/hubs/empty/:execute?filter=userId", Body::Json("[]"), 400, "filter"),
    ("POST", "/api/hubs/app_empty/:execute?application=1", Body::Json("[]"), 202, ""),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"type":"SendMessage","message":{"target":"m","arguments":[1]}},{"type":"JoinGroup","group":"g"},{"type":"LeaveGroup","group":"g"},{"type":"CloseConnection"},{"type":"CloseConnection","reason":"r"}]"#), 202, ""),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"Type":"joinGroup","Group":"g"}]"#), 202, ""),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"type":"Send"}]"#), 400, "body"),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"group":"g"}]"#), 400, "body"),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"type":"JoinGroup"}]"#), 400, "group"),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"type":"JoinGroup","group":" "}]"#), 400, "group"),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"type":"SendMessage"}]"#), 400, "body"),
    ("POST", "/api/hubs/empty/:execute", Body::Json(r#"[{"type":"SendMessage","message":{"target":""}}]"#), 400, "target"),
    ("POST", "/api/hubs/empty/:execute", Body::Json("{}"), 400, "body"),
    ("POST", "/api/hubs/empty/:execute", Body::Of("application/octet-stream", b"\x80"), 415, "UnsupportedMediaType"),
    // Results of clients.
    ("POST", "/api/hubs/chat/connections/{c}/:invoke", Body::Json(M), 200, ""),
    ("POST", "/api/hubs/chat/connections/{c}/:invoke", Body::Json(r#"{"target":"Fail"}"#), 500, "ClientInvocationError"),
    ("POST", "/api/hubs/chat/connections/{c}/:invoke?application=other", Body::Json(M), 404, "Warning.Connection.NotExisted"),
    ("POST", "/api/hubs/chat/connections/{c}/:invoke", Body::Json(r#"{"target":""}"#), 400, "target"),
    ("POST", "/api/hubs/chat/connections/{c}/:invoke", Body::Of("application/octet-stream", b"\x80"), 400, "body"),
    ("POST", "/api/hubs/chat/connections/{c}/:invoke", Body::Of("application/octet-stream", b"\x81\xa4json\xc4\x18{\"type\":1,\"target\":\"m\"}\x1e"), 200, ""),
    // The authentication of a connection.
    ("POST", "/api/hubs/chat/connections/:refreshAuth", Body::Json("{}"), 400, "body"),
    ("POST", "/api/hubs/chat/connections/:refreshAuth", Body::Json(r#"{"connectionToken":"x","expireTime":"tomorrow"}"#), 400, "expireTime"),
    ("POST", "/api/hubs/chat/connections/:refreshAuth", Body::Json(r#"{"connectionToken":"x","expireTime":"2001-01-01T00:00:00Z"}"#), 400, "expireTime"),
    ("POST", "/api/hubs/chat/connections/:refreshAuth", Body::Json(r#"{"connectionToken":"x","expireTime":null,"claims":null}"#), 404, "ConnectionNotFound"),
    ("POST", "/api/hubs/chat/connections/:refreshAuth", Body::Json(r#"{"ConnectionToken":"x","Claims":[{"Type":"a","Value":"b"}]}"#), 404, "ConnectionNotFound"),
    ("POST", "/api/hubs/chat/connections/:refreshAuth", Body::Json(r#"{"connectionToken":"x","claims":[1]}"#), 400, "body"),
    ("QUERY", "/api/hubs/chat/connections/Claims", Body::Json(r#"{"ConnectionToken":"x"}"#), 404, "ConnectionNotFound"),
    ("QUERY", "/api/hubs/chat/connections/claims", Body::Json("[]"), 400, "body"),
    ("POST", "/api/hubs/chat/connections/claims", Body::Json("{}"), 405, "MethodNotAllowed"),
    // Ends of connections.
    ("POST", "/api/hubs/empty/:closeConnections?reason=r&excluded=a&excluded=b", Body::None, 204, ""),
    ("POST", "/api/hubs/empty/groups/g/:closeConnections?Reason=r", Body::None, 204, ""),
    ("POST", "/api/hubs/empty/users/u/:closeConnections?reason=", Body::None, 204, ""),
    ("DELETE", "/api/hubs/chat/connections/{c}?reason=enough", Body::None, 200, ""),
];

/// Replaces `{1024}` by so many letters.
fn with_names(path: &str) -> String {
    [100, 101, 127, 128, 1024, 1025]
        .into_iter()
        .fold(path.to_owned(), |path, length| path.replace(&format!("{{{length}}}"), &"n".repeat(length)))
}

#[tokio::test]
async fn forms_are_right_or_refused() {
    let (service, mut report) = (start().await, Report::default());
    for (method, path, body, status, code) in FORMS.iter().copied() {
        let path = with_names(&path.replace("{c}", &service.connection));
        let mark = if path.contains('?') { '&' } else { '?' };
        let is_versioned = !path.to_ascii_lowercase().starts_with("/api/v1/") && !path.contains("ealth");
        let target = if is_versioned { format!("{path}{mark}api-version={VERSION}") } else { path.clone() };
        let token = if path.to_ascii_lowercase().contains("health") {
            String::new()
        } else {
            service.key_token(&target)
        };
        let answer = service.send(method, &target, body, &token).await;
        let what = format!("{method} {target:.120} with {body:.80?}");
        let answered = answer.json();
        // What is wrong with a request is said by the target of a 400.
        if status == 400 && method != "HEAD" {
            report.check(&what, method, &answer, status, "BadRequest");
            assert_eq!(answered["target"], code, "{what}: {answered}");
        } else if path == "/api" {
            assert_eq!(answer.status, status, "{what}");
        } else {
            report.check(&what, method, &answer, status, code);
        }
    }
    report.finish();
}
