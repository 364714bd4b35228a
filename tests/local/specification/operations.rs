//! The operations of the specification, each in a form that is right.

use hubwire::local::Role::{self, RestApiOwner, RestApiReader, ServiceOwner, SignalRAppServer};

use super::Body;

pub(crate) const VERSIONS: [&str; 5] = ["2022-06-01", "2022-11-01", "2023-07-01", "2024-12-01", "2026-07-01"];

/// One operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// `{c}` stands for a connection of the hub `chat`; in the hub `empty` there is nobody.
    pub(crate) path: &'static str,
    pub(crate) body: Body,
    /// The first of [`VERSIONS`] with it.
    pub(crate) since: usize,
    /// Who may call it, besides those with an access key.
    pub(crate) roles: &'static [Role],
    pub(crate) status: u16,
    /// The code of what does not exist.
    pub(crate) code: &'static str,
    pub(crate) has_application: bool,
}

const fn with(
    method: &'static str,
    path: &'static str,
    body: Body,
    roles: &'static [Role],
    status: u16,
) -> Operation {
    Operation { method, path, body, since: 0, roles, status, code: "", has_application: true }
}

const fn without(method: &'static str, path: &'static str, roles: &'static [Role], status: u16) -> Operation {
    with(method, path, Body::None, roles, status)
}

impl Operation {
    const fn since(self, since: usize) -> Self {
        Self { since, ..self }
    }

    const fn missing(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    const fn no_application(self) -> Self {
        Self { has_application: false, ..self }
    }
}

const SEND: &[Role] = &[RestApiOwner, ServiceOwner];
const READ: &[Role] = &[RestApiOwner, RestApiReader, ServiceOwner];
const CLOSE: &[Role] = &[SignalRAppServer, RestApiOwner, ServiceOwner];
const KEY: &[Role] = &[SignalRAppServer, ServiceOwner];

const MESSAGE: Body = Body::Json(r#"{"target":"m","arguments":[1,"a",null]}"#);
const TOKEN: Body = Body::Json(r#"{"connectionToken":"unknown"}"#);
const NO_CONNECTION: &str = "Warning.Connection.NotExisted";

#[rustfmt::skip]
pub(crate) const OPERATIONS: [Operation; 42] = [
    without("GET", "/api/auth/accessKey", KEY, 200).since(2).no_application(),
    without("POST", "/api/hubs/chat/:generateToken", SEND, 200).since(1).no_application(),
    with("POST", "/api/hubs/chat/:send", MESSAGE, SEND, 202),
    without("POST", "/api/hubs/empty/:closeConnections", CLOSE, 204),
    with("POST", "/api/hubs/empty/:execute", Body::Json("[]"), SEND, 202).since(2).no_application(),
    without("HEAD", "/api/hubs/chat/connections/{c}", READ, 200),
    without("HEAD", "/api/hubs/chat/connections/nobody", READ, 404).missing(NO_CONNECTION),
    without("DELETE", "/api/hubs/chat/connections/nobody", CLOSE, 404).missing(NO_CONNECTION),
    with("POST", "/api/hubs/chat/connections/{c}/:send", MESSAGE, SEND, 202),
    with("POST", "/api/hubs/chat/connections/{c}/:invoke", MESSAGE, SEND, 200).since(3),
    with("POST", "/api/hubs/chat/connections/nobody/:invoke", MESSAGE, SEND, 404).since(3).missing(NO_CONNECTION),
    with("POST", "/api/hubs/chat/connections/{c}/streams/s/:send", Body::Json("1"), SEND, 202).since(3),
    without("POST", "/api/hubs/chat/connections/{c}/streams/s/:complete", SEND, 202).since(3),
    without("DELETE", "/api/hubs/chat/connections/nobody/groups", SEND, 200),
    without("HEAD", "/api/hubs/chat/groups/empty", READ, 404).missing("Warning.Group.NotExisted"),
    with("POST", "/api/hubs/chat/groups/g/:send", MESSAGE, SEND, 202),
    without("POST", "/api/hubs/chat/groups/empty/:closeConnections", CLOSE, 204),
    without("GET", "/api/hubs/chat/groups/g/connections", READ, 200).since(3),
    without("PUT", "/api/hubs/chat/groups/g/connections/{c}", SEND, 200),
    without("PUT", "/api/hubs/chat/groups/g/connections/nobody", SEND, 404).missing("Error.Connection.NotExisted"),
    without("DELETE", "/api/hubs/chat/groups/other/connections/{c}", SEND, 200),
    without("HEAD", "/api/hubs/chat/users/u", READ, 200),
    without("HEAD", "/api/hubs/chat/users/nobody", READ, 404).missing("Warning.User.NotExisted"),
    with("POST", "/api/hubs/chat/users/u/:send", MESSAGE, SEND, 202),
    without("POST", "/api/hubs/chat/users/nobody/:closeConnections", CLOSE, 204),
    without("HEAD", "/api/hubs/chat/users/nobody/groups/g", READ, 404).missing("Info.User.NotInGroup"),
    without("PUT", "/api/hubs/chat/users/v/groups/g", SEND, 200),
    without("DELETE", "/api/hubs/chat/users/v/groups/g", SEND, 204),
    without("DELETE", "/api/hubs/chat/users/v/groups", SEND, 204),
    with("POST", "/api/hubs/chat/connections/:refreshAuth", TOKEN, CLOSE, 404).since(4).missing("ConnectionNotFound"),
    with("QUERY", "/api/hubs/chat/connections/claims", TOKEN, READ, 404).since(4).missing("ConnectionNotFound"),
    // The first version.
    without("GET", "/api/v1/auth/accessKey", KEY, 200).no_application(),
    with("POST", "/api/v1/hubs/chat", MESSAGE, SEND, 202).no_application(),
    with("POST", "/api/v1/hubs/chat/users/u", MESSAGE, SEND, 202).no_application(),
    with("POST", "/api/v1/hubs/chat/connections/{c}", MESSAGE, SEND, 202).no_application(),
    with("POST", "/api/v1/hubs/chat/groups/g", MESSAGE, SEND, 202).no_application(),
    without("HEAD", "/api/v1/hubs/chat/connections/{c}", READ, 200).no_application(),
    without("HEAD", "/api/v1/hubs/chat/groups/empty", READ, 404).missing("Warning.Group.NotExisted").no_application(),
    without("HEAD", "/api/v1/hubs/chat/users/nobody", READ, 404).missing("Warning.User.NotExisted").no_application(),
    without("PUT", "/api/v1/hubs/chat/groups/g/users/v", SEND, 202).no_application(),
    without("DELETE", "/api/v1/hubs/chat/groups/g/users/v", SEND, 202).no_application(),
    without("DELETE", "/api/v1/hubs/chat/users/v/groups", SEND, 200).no_application(),
];
