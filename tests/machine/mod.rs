//! The client's machine in the hands of a test.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod driver;
pub(crate) mod plan;

/// `{"exp":1800086400}`: good for a day.
pub(crate) const GOOD: &str = "e30.eyJleHAiOjE4MDAwODY0MDB9.x";

pub(crate) const STATEFUL: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
pub(crate) const REDIRECT: &str = r#"{"url":"https://svc/client/?hub=chat","accessToken":"of-the-redirect"}"#;
