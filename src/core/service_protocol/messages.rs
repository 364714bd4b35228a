//! Every message of the protocol: its number, its elements in order, and what its extension map carries.

use std::fmt;

use super::element::{
    Claims, Elements, Headers, InstantUtc, Payloads, Text, boolean, bytes, claims, headers, instant, int,
    optional_bytes, optional_int, optional_text, payloads, rest, text, text_or_nil, texts, wide_int,
};
use super::extensions::{
    DATA_MESSAGE_TYPE, Extensions, FILTER, IS_PARTIAL, NO_KEYS, PROTOCOL, TRACING_ID, TTL,
};
use crate::core::ProtocolError;

/// How an extension map is read and written that carries these keys.
mod extensions {
    use super::{Elements, Extensions, ProtocolError};

    pub(super) fn read<'a>(elements: &mut Elements<'a>, keys: u8) -> Result<Extensions<'a>, ProtocolError> {
        Extensions::read(elements, keys)
    }

    pub(super) fn write(out: &mut Vec<u8>, value: &Extensions<'_>, keys: u8) {
        value.write(out, keys);
    }
}

/// An extension map that is written, and not read.
mod unread_extensions {
    use super::{Elements, Extensions, NO_KEYS, ProtocolError};

    #[allow(clippy::unnecessary_wraps, reason = "as the other kinds")]
    pub(super) fn read<'a>(_: &mut Elements<'a>) -> Result<Extensions<'a>, ProtocolError> {
        Ok(Extensions::default())
    }

    pub(super) fn write(out: &mut Vec<u8>, value: &Extensions<'_>) {
        value.write(out, NO_KEYS);
    }
}

/// Each element is read as its kind says; `from N`: where the array has at least N elements, the type included, since
/// older writers leave it out.
macro_rules! messages {
    ($($(#[$doc:meta])* $code:literal $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty as $kind:ident $(($($keys:ident)|+))? $(from $from:literal)?,)*
    })*) => {
        /// A message of the service protocol. `SERVER` and `SERVICE` in the description of a message say who sends it.
        #[derive(Clone, PartialEq)]
        #[non_exhaustive]
        pub enum ServiceMessage<'a> {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl<'a> ServiceMessage<'a> {
            /// The number of the message's type.
            #[must_use]
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// The name of the message's type.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name { .. } => stringify!($name),)* }
            }

            /// How many elements are written, the type included.
            pub(super) fn count(&self) -> usize {
                if let Self::Ping { messages } = self {
                    return 1 + messages.len();
                }
                match self { $(Self::$name { .. } => 1 + [$(stringify!($field)),*].len(),)* }
            }

            pub(super) fn read(kind: i32, elements: &mut Elements<'a>) -> Result<Option<Self>, ProtocolError> {
                let count = elements.count;
                Ok(Some(match kind {
                    $($code => Self::$name {
                        $($field: if true $(&& count >= $from)? {
                            $kind::read(elements $(, $($keys)|+)?)?
                        } else {
                            Default::default()
                        },)*
                    },)*
                    _ => return Ok(None),
                }))
            }

            pub(super) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name { $($field,)* } => { $($kind::write(out, $field $(, $($keys)|+)?);)* })*
                }
            }
        }
    };
}

messages! {
    /// SERVER: opens the server connection.
    1 HandshakeRequest {
        /// 1.
        version: i32 as int,
        /// 0 default, 1 on demand, 2 weak: carries no clients.
        connection_type: i32 as int from 4,
        /// The instance of the service that is asked for. Not written for a default connection.
        target: Option<Text<'a>> as optional_text from 4,
        /// Whether clients can be moved to another server when this one shuts down: 0 no, 1 yes.
        migration_level: i32 as int from 5,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS) from 6,
        /// Whether the app server takes part in stateful reconnect.
        allow_stateful_reconnects: bool as boolean from 7,
    }
    /// SERVICE: answers the handshake.
    2 HandshakeResponse {
        /// Why the server connection is refused. None or empty: it is not.
        error_message: Option<Text<'a>> as optional_text,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS) from 3,
        /// What the service calls the server connection.
        connection_id: Option<Text<'a>> as optional_text from 4,
    }
    /// Both: a sign of life; questions and answers about the whole server connection.
    3 Ping {
        /// Keys and values by turns.
        messages: Vec<Option<Text<'a>>> as rest,
    }
    /// SERVICE: a client has come.
    4 OpenConnection {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Of its token, the service's own among them.
        claims: Claims<'a> as claims,
        /// Of its request.
        headers: Headers<'a> as headers from 5,
        /// Of its request.
        query_string: Option<Text<'a>> as optional_text from 5,
        /// The client's hub protocol.
        extensions: Extensions<'a> as extensions(TRACING_ID | PROTOCOL) from 6,
    }
    /// Both: a client has gone, or has to go.
    5 CloseConnection {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Why, where it is an error.
        error_message: Option<Text<'a>> as text_or_nil,
        /// Where the client moves to (`Asrs-Migrate-To`).
        headers: Headers<'a> as headers from 4,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 5,
    }
    /// Both: bytes of a client's stream of hub messages, or for it.
    6 ConnectionData {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// May begin and end in the middle of a hub message.
        payload: &'a [u8] as bytes,
        /// What the bytes are.
        extensions: Extensions<'a> as extensions(TRACING_ID | DATA_MESSAGE_TYPE | IS_PARTIAL) from 4,
    }
    /// SERVER: a call of several clients.
    7 MultiConnectionData {
        /// Whom to.
        connection_ids: Vec<Text<'a>> as texts,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Which of them.
        extensions: Extensions<'a> as extensions(TRACING_ID | FILTER) from 4,
    }
    /// SERVER: a call of all connections of a user.
    8 UserData {
        /// Whom to.
        user_id: Text<'a> as text,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Which of them.
        extensions: Extensions<'a> as extensions(TRACING_ID | FILTER) from 4,
    }
    /// SERVER: a call of several users.
    9 MultiUserData {
        /// Whom to.
        user_ids: Vec<Text<'a>> as texts,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Which of them.
        extensions: Extensions<'a> as extensions(TRACING_ID | FILTER) from 4,
    }
    /// SERVER: a call of all clients of the hub.
    10 BroadcastData {
        /// But of these connections.
        excluded_ids: Vec<Text<'a>> as texts,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Which of them.
        extensions: Extensions<'a> as extensions(TRACING_ID | FILTER) from 4,
    }
    /// SERVER: puts a connection into a group.
    11 JoinGroup {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which group.
        group_name: Text<'a> as text,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 4,
    }
    /// SERVER: takes a connection out of a group.
    12 LeaveGroup {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which group; none: all of them.
        group_name: Option<Text<'a>> as optional_text,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 4,
    }
    /// SERVER: a call of a group.
    13 GroupBroadcastData {
        /// Which group.
        group_name: Text<'a> as text,
        /// But of these connections.
        excluded_ids: Vec<Text<'a>> as texts,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Which of them.
        extensions: Extensions<'a> as extensions(TRACING_ID | FILTER) from 5,
        /// But of these users.
        excluded_user_ids: Vec<Text<'a>> as texts from 7,
        /// Who makes the call.
        caller_user_id: Option<Text<'a>> as optional_text from 7,
    }
    /// SERVER: a call of several groups.
    14 MultiGroupBroadcastData {
        /// Which groups.
        group_names: Vec<Text<'a>> as texts,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Which of them.
        extensions: Extensions<'a> as extensions(TRACING_ID | FILTER) from 4,
    }
    /// SERVICE: the server connection has failed, and will be closed.
    15 ServiceError {
        /// Why.
        error_message: Option<Text<'a>> as text_or_nil,
    }
    /// SERVER: puts a user into a group.
    16 UserJoinGroup {
        /// Who.
        user_id: Text<'a> as text,
        /// Which group.
        group_name: Text<'a> as text,
        /// For how long.
        extensions: Extensions<'a> as extensions(TRACING_ID | TTL) from 4,
    }
    /// SERVER: takes a user out of a group.
    17 UserLeaveGroup {
        /// Who.
        user_id: Text<'a> as text,
        /// Which group; none: all of them.
        group_name: Option<Text<'a>> as optional_text,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 4,
    }
    /// SERVER: puts a connection into a group, and wants an [`Ack`](Self::Ack).
    18 JoinGroupWithAck {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which group.
        group_name: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 5,
    }
    /// SERVER: takes a connection out of a group, and wants an [`Ack`](Self::Ack).
    19 LeaveGroupWithAck {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which group; none: all of them.
        group_name: Option<Text<'a>> as optional_text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 5,
    }
    /// SERVICE: the answer to what has an ack id.
    20 Ack {
        /// Of the question.
        ack_id: i32 as int,
        /// 1 done or yes, 2 not found or no, 3 too late, 4 the service failed, 5 forbidden.
        status: i32 as int,
        /// What is wrong.
        message: Option<Text<'a>> as text_or_nil,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS) from 5,
        /// What was asked for: [`GroupMembers`](super::GroupMembers) or claims ([`read_claims`](super::read_claims)).
        payload: Option<&'a [u8]> as optional_bytes from 6,
    }
    /// SERVER: is the user in the group?
    21 CheckUserInGroupWithAck {
        /// Who.
        user_id: Text<'a> as text,
        /// Which group.
        group_name: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 5,
    }
    /// SERVICE: something has happened that the app server has not asked for.
    22 ServiceEvent {
        /// What it is about: 0 the instance of the service, 1 a connection, 2 a user, 3 a group, 4 a server connection.
        object_type: i32 as int,
        /// Which one.
        id: Option<Text<'a>> as optional_text,
        /// 0 it reloads, 1 the id is invalid, 2 it does not exist, 3 its buffer is full.
        event: i32 as int,
        /// In words.
        message: Option<Text<'a>> as text_or_nil,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// SERVER: is anybody in the group?
    23 CheckGroupExistenceWithAck {
        /// Which group.
        group_name: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
    }
    /// SERVER: is the connection there?
    24 CheckConnectionExistenceWithAck {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
    }
    /// SERVER: has the user a connection?
    25 CheckUserExistenceWithAck {
        /// Who.
        user_id: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
    }
    /// SERVER: puts a user into a group, and wants an [`Ack`](Self::Ack).
    26 UserJoinGroupWithAck {
        /// Who.
        user_id: Text<'a> as text,
        /// Which group.
        group_name: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// For how long.
        extensions: Extensions<'a> as extensions(TRACING_ID | TTL),
    }
    /// SERVER: takes a user out of a group, and wants an [`Ack`](Self::Ack).
    27 UserLeaveGroupWithAck {
        /// Who.
        user_id: Text<'a> as text,
        /// Which group; none: all of them.
        group_name: Option<Text<'a>> as optional_text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
    }
    /// SERVER: asks for the key that signs clients' tokens, by a token of Microsoft Entra ID.
    28 AccessKeyRequest {
        /// The token.
        token: Option<Text<'a>> as optional_text,
        /// The id of the key that the server has.
        kid: Option<Text<'a>> as optional_text,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// SERVICE: the key, or why there is none.
    29 AccessKeyResponse {
        /// The id of the key.
        kid: Option<Text<'a>> as optional_text,
        /// The key.
        access_key: Option<Text<'a>> as optional_text,
        /// What kind of failure it is; `None` if it has not failed.
        error_type: Option<Text<'a>> as optional_text,
        /// In words.
        error_message: Option<Text<'a>> as optional_text,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// SERVER: closes a connection. Obsolete.
    30 CloseConnectionWithAck {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// What the client is told.
        reason: Option<Text<'a>> as optional_text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 5,
    }
    /// SERVER: closes all connections of the hub. Obsolete.
    31 CloseConnectionsWithAck {
        /// What the clients are told.
        reason: Option<Text<'a>> as optional_text,
        /// Of the answer.
        ack_id: i32 as int,
        /// But these connections.
        excluded_ids: Vec<Text<'a>> as texts,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 5,
    }
    /// SERVER: closes all connections of a user.
    32 CloseUserConnectionsWithAck {
        /// Whose.
        user_id: Text<'a> as text,
        /// What the clients are told.
        reason: Option<Text<'a>> as optional_text,
        /// Of the answer.
        ack_id: i32 as int,
        /// But these connections.
        excluded_ids: Vec<Text<'a>> as texts,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 6,
    }
    /// SERVER: closes all connections of a group.
    33 CloseGroupConnectionsWithAck {
        /// Which group.
        group_name: Text<'a> as text,
        /// What the clients are told.
        reason: Option<Text<'a>> as optional_text,
        /// Of the answer.
        ack_id: i32 as int,
        /// But these connections.
        excluded_ids: Vec<Text<'a>> as texts,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID) from 6,
    }
    /// Both: a call of one client that waits for its result.
    34 ClientInvocation {
        /// Of the call; it is in the payloads as well.
        invocation_id: Text<'a> as text,
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which server waits for the result.
        caller_server_id: Text<'a> as text,
        /// The call.
        payloads: Payloads<'a> as payloads,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
    }
    /// Both: the client's answer, on its way to the server that waits for it.
    35 ClientCompletion {
        /// Of the call.
        invocation_id: Text<'a> as text,
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which server waits for the result. From the server that hosts the client: its own.
        caller_server_id: Text<'a> as text,
        /// The hub protocol of the payload.
        protocol: Option<Text<'a>> as optional_text,
        /// The whole completion, or nothing: the call was answered without the service.
        payload: &'a [u8] as bytes,
        /// The protocol once more; written as `protocol` says.
        extensions: Extensions<'a> as extensions(TRACING_ID | PROTOCOL),
    }
    /// Both: there will be no answer.
    36 ErrorCompletion {
        /// Of the call.
        invocation_id: Text<'a> as text,
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Which server waits for the result.
        caller_server_id: Text<'a> as text,
        /// Why.
        error: Option<Text<'a>> as text_or_nil,
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
    }
    /// SERVICE: which instance of the service has the client of a call.
    37 ServiceMapping {
        /// Of the call.
        invocation_id: Text<'a> as text,
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Of the service.
        instance_id: Text<'a> as text,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// SERVICE: a client goes on with a new socket (stateful reconnect): what it sent in parts is sent anew.
    38 ConnectionReconnect {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// Both: nothing more is to be sent for a while.
    39 ConnectionFlowControl {
        /// Of the client, or of the server connection.
        connection_id: Text<'a> as text,
        /// 1 a client, 2 a server connection.
        connection_type: i32 as wide_int,
        /// 1 pause, 2 the answer to that, 3 resume, 4 send through another server connection.
        operation: i32 as wide_int,
        /// Nothing.
        extensions: Extensions<'a> as unread_extensions,
    }
    /// SERVER: who is in the group? The answer's payload is [`GroupMembers`](super::GroupMembers).
    40 GroupMemberQuery {
        /// Only the tracing id.
        extensions: Extensions<'a> as extensions(TRACING_ID),
        /// Which group.
        group_name: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// How many at most, in all pages.
        top: Option<i32> as optional_int,
        /// Where the page before ended.
        continuation_token: Option<Text<'a>> as optional_text,
        /// How many at most in one page.
        max_page_size: Option<i32> as optional_int from 7,
    }
    /// SERVER: a client has new credentials. The answer's payload is the claims that the connection has then.
    41 RefreshAuth {
        /// The secret token of the connection (negotiate version 1).
        connection_token: Text<'a> as text,
        /// None: those that the connection has.
        claims: Claims<'a> as claims,
        /// Until when they hold; [`InstantUtc::MAX`] for as long as so far.
        expire_time: InstantUtc as instant,
        /// Of the answer.
        ack_id: i32 as int,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// SERVER: which claims has the connection? The answer's payload is they.
    42 GetConnectionClaims {
        /// The secret token of the connection (negotiate version 1).
        connection_token: Text<'a> as text,
        /// Of the answer.
        ack_id: i32 as int,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
    /// SERVICE: the client's claims have changed.
    43 UpdateConnectionClaims {
        /// Of the client.
        connection_id: Text<'a> as text,
        /// All it has now.
        claims: Claims<'a> as claims,
        /// Nothing.
        extensions: Extensions<'a> as extensions(NO_KEYS),
    }
}

impl ServiceMessage<'_> {
    /// What the SDK writes in other words than it has.
    pub(super) fn before_writing(mut self) -> Self {
        match &mut self {
            Self::HandshakeRequest { connection_type, target, .. } => {
                *target = Some(target.take().filter(|_| *connection_type != 0).unwrap_or_default());
            }
            Self::ClientCompletion { protocol, extensions, .. } => extensions.protocol.clone_from(protocol),
            _ => {}
        }
        self
    }

    /// What the SDK takes from elsewhere than from the element, in an array of so many.
    ///
    /// # Errors
    /// [`ProtocolError::Message`] for numbers that mean nothing.
    pub(super) fn after_reading(mut self, count: u64) -> Result<Self, ProtocolError> {
        match &mut self {
            Self::OpenConnection { query_string, .. } if count < 5 => *query_string = Some(Text::default()),
            Self::ClientCompletion { protocol, extensions, .. } => {
                if let Some(repeated) = extensions.protocol.take() {
                    *protocol = Some(repeated);
                }
            }
            Self::ConnectionFlowControl { connection_type, operation, .. }
                if !matches!((*connection_type, *operation), (1 | 2, 1..=4)) =>
            {
                return Err(ProtocolError::Message("unknown flow control"));
            }
            _ => {}
        }
        Ok(self)
    }
}

/// Only the type: messages have keys, tokens and users' data in them.
impl fmt::Debug for ServiceMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name()).finish_non_exhaustive()
    }
}
