//! What a request addresses. It decides on the path of the request and, of several endpoints, on those that get it.

use crate::{
    core::url::encode_data,
    service::{error::ServiceError, limits},
};

/// The connections of a hub that a request addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) enum Scope {
    /// All of them.
    Hub,
    /// Those of a user.
    User(Name),
    /// Those in a group.
    Group(Name),
    /// One of them.
    Connection(Name),
    /// A user's membership in a group.
    UserInGroup { user: Name, group: Name },
    /// A connection's membership in a group.
    ConnectionInGroup { group: Name, connection: Name },
}

impl Scope {
    pub(in crate::service) fn user(id: &str) -> Result<Self, ServiceError> {
        Name::new("user", id).map(Self::User)
    }

    pub(in crate::service) fn group(name: &str) -> Result<Self, ServiceError> {
        Name::new("group", name).map(Self::Group)
    }

    pub(in crate::service) fn connection(id: &str) -> Result<Self, ServiceError> {
        Name::new("connection", id).map(Self::Connection)
    }

    /// The path of an action, within the hub.
    pub(in crate::service) fn path(&self, action: &str) -> String {
        let scope = match self {
            Self::Hub => return action.to_owned(),
            Self::User(user) => format!("users/{}", user.encoded()),
            Self::Group(group) => format!("groups/{}", group.encoded()),
            Self::Connection(connection) => format!("connections/{}", connection.encoded()),
            Self::UserInGroup { user, group } => {
                format!("users/{}/groups/{}", user.encoded(), group.encoded())
            }
            Self::ConnectionInGroup { group, connection } => {
                format!("groups/{}/connections/{}", group.encoded(), connection.encoded())
            }
        };
        if action.is_empty() { scope } else { format!("{scope}/{action}") }
    }
}

/// A name that fits into one segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Name(String);

impl Name {
    /// `.` and `..` have no encoded form: parsers resolve `%2E%2E` too, and a message to the group `..` would become a
    /// broadcast.
    pub(in crate::service) fn new(what: &'static str, name: &str) -> Result<Self, ServiceError> {
        let reason = match name {
            "." | ".." => "it would be resolved as a step in the path",
            _ if name.trim().is_empty() => "it is empty",
            _ if name.chars().count() > limits::NAME => "it is longer than 1024 characters",
            _ => return Ok(Self(name.to_owned())),
        };
        Err(ServiceError::InvalidName { what, reason })
    }

    pub(in crate::service) fn as_str(&self) -> &str {
        &self.0
    }

    pub(in crate::service) fn encoded(&self) -> String {
        encode_data(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new("test", text).expect("a valid name")
    }

    #[test]
    fn paths_of_scopes() {
        let (user, group, connection) = (name("a/b ä"), name("g"), name("c"));
        for (scope, action, path) in [
            (Scope::Hub, ":send", ":send"),
            (Scope::User(user.clone()), ":send", "users/a%2Fb%20%C3%A4/:send"),
            (Scope::User(user.clone()), "", "users/a%2Fb%20%C3%A4"),
            (Scope::Group(group.clone()), "connections", "groups/g/connections"),
            (Scope::Connection(connection.clone()), "groups", "connections/c/groups"),
            (Scope::UserInGroup { user, group: group.clone() }, "", "users/a%2Fb%20%C3%A4/groups/g"),
            (Scope::ConnectionInGroup { group, connection }, "", "groups/g/connections/c"),
        ] {
            assert_eq!(scope.path(action), path, "{scope:?}");
        }
    }

    #[test]
    fn names_that_do_not_fit_into_a_path_are_refused() {
        for bad in ["", " ", ".", "..", &"x".repeat(1025)] {
            assert!(Name::new("group", bad).is_err(), "{bad}");
        }
        for good in ["...", "a.", "%2e", "/", &"ä".repeat(1024)] {
            assert!(Name::new("group", good).is_ok(), "{good}");
        }
    }
}
