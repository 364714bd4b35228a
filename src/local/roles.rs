//! Roles and the data actions that they allow.
//!
//! Source: [Azure built-in roles](https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/web-and-mobile).

use std::fmt;

/// A built-in Azure role that gives an application access to Azure SignalR Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// "SignalR App Server": server connections, exchange of an Entra token for an access key, and closing client
    /// connections.
    SignalRAppServer,
    /// "SignalR REST API Owner": the whole REST API, but not the exchange of an Entra token for an access key.
    RestApiOwner,
    /// "SignalR REST API Reader": the parts of the REST API that ask whether something exists.
    RestApiReader,
    /// "SignalR Service Owner": everything.
    ServiceOwner,
}

impl Role {
    pub(crate) const ALL: [Self; 4] =
        [Self::SignalRAppServer, Self::RestApiOwner, Self::RestApiReader, Self::ServiceOwner];

    /// The name of the role in Azure.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignalRAppServer => "SignalR App Server",
            Self::RestApiOwner => "SignalR REST API Owner",
            Self::RestApiReader => "SignalR REST API Reader",
            Self::ServiceOwner => "SignalR Service Owner",
        }
    }

    pub(super) fn allows(self, action: Action) -> bool {
        use Action::{
            ClientTokenIssue, ConnectionRead, ConnectionSend, ConnectionWrite, GroupRead, GroupSend,
            GroupWrite, HubSend, KeyIssue, ServerConnectionWrite, UserRead, UserSend, UserWrite,
        };
        match self {
            Self::SignalRAppServer => matches!(action, KeyIssue | ServerConnectionWrite | ConnectionWrite),
            Self::RestApiOwner => match action {
                ClientTokenIssue | HubSend | GroupSend | GroupRead | GroupWrite | ConnectionSend
                | ConnectionRead | ConnectionWrite | UserSend | UserRead | UserWrite => true,
                KeyIssue | ServerConnectionWrite => false,
            },
            Self::RestApiReader => matches!(action, GroupRead | ConnectionRead | UserRead),
            Self::ServiceOwner => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What roles are made of: Azure's data actions, as far as this service knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    KeyIssue,
    ServerConnectionWrite,
    ClientTokenIssue,
    HubSend,
    GroupSend,
    GroupRead,
    GroupWrite,
    UserSend,
    UserRead,
    UserWrite,
    ConnectionSend,
    ConnectionRead,
    ConnectionWrite,
}

impl Action {
    /// The end of its name in Azure.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KeyIssue => "auth/accessKey/action",
            Self::ServerConnectionWrite => "serverConnection/write",
            Self::ClientTokenIssue => "auth/clientToken/action",
            Self::HubSend => "hub/send/action",
            Self::GroupSend => "group/send/action",
            Self::GroupRead => "group/read",
            Self::GroupWrite => "group/write",
            Self::UserSend => "user/send/action",
            Self::UserRead => "user/read",
            Self::UserWrite => "user/write",
            Self::ConnectionSend => "clientConnection/send/action",
            Self::ConnectionRead => "clientConnection/read",
            Self::ConnectionWrite => "clientConnection/write",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_allow_what_azure_says() {
        let allows = |action| Role::ALL.map(|role| role.allows(action));
        assert_eq!(allows(Action::KeyIssue), [true, false, false, true]);
        assert_eq!(allows(Action::ServerConnectionWrite), [true, false, false, true]);
        assert_eq!(allows(Action::ClientTokenIssue), [false, true, false, true]);
        assert_eq!(allows(Action::HubSend), [false, true, false, true]);
        assert_eq!(allows(Action::ConnectionRead), [false, true, true, true]);
        assert_eq!(allows(Action::ConnectionWrite), [true, true, false, true]);
        assert_eq!(allows(Action::UserWrite), [false, true, false, true]);
    }
}
