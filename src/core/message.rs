//! The nine messages of the hub protocol, for either direction and any encoding.
//!
//! A message borrows from the bytes it was read from. Its payloads (arguments, items, results) are of type `P`,
//! which the core carries without looking inside: a slice of JSON for Rust, a JavaScript value in the browser
//! package.
//!
//! Source: [HubProtocol.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md).

use std::borrow::Cow;

/// Headers of a message; most messages have none.
pub type Headers<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// How many headers or stream ids one message may have. Each takes many times the memory of its bytes.
pub(crate) const MAX_ENTRIES: usize = 1_000;

/// One message of the hub protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum HubMessage<'a, P> {
    /// Type 1: calls a method; with an id, its end is reported back in a completion.
    Invocation(Invocation<'a, P>),
    /// Type 2: one item of a stream.
    StreamItem {
        /// Headers of the message.
        headers: Headers<'a>,
        /// The invocation or upload that the item belongs to.
        invocation_id: Cow<'a, str>,
        /// The item.
        item: P,
    },
    /// Type 3: an invocation or a stream has ended.
    Completion {
        /// Headers of the message.
        headers: Headers<'a>,
        /// What has ended.
        invocation_id: Cow<'a, str>,
        /// How it ended.
        outcome: Outcome<'a, P>,
    },
    /// Type 4: calls a method that answers with a stream. It always has an id.
    StreamInvocation(Invocation<'a, P>),
    /// Type 5: the caller no longer wants what it called.
    CancelInvocation {
        /// Headers of the message.
        headers: Headers<'a>,
        /// The invocation to cancel.
        invocation_id: Cow<'a, str>,
    },
    /// Type 6: keeps the connection alive.
    Ping,
    /// Type 7: the sender closes the connection.
    Close {
        /// Why, if it is because of an error.
        error: Option<Cow<'a, str>>,
        /// Whether the receiver may reconnect automatically.
        allow_reconnect: bool,
    },
    /// Type 8 (stateful reconnect): everything up to this message was received.
    Ack {
        /// The last message received.
        sequence_id: i64,
    },
    /// Type 9 (stateful reconnect): the number of the message that comes next.
    Sequence {
        /// The next message's number.
        sequence_id: i64,
    },
}

/// What the machines decide by: a message without its method, its headers and its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head<'m> {
    /// A call of a method.
    Call {
        /// Names the call when its caller awaits its end.
        id: Option<&'m str>,
        /// Whether it expects a stream.
        streams: bool,
        /// Ids of the streams that the caller uploads with this call.
        uploads: &'m [Cow<'m, str>],
    },
    /// An item of a stream.
    Item {
        /// The invocation or upload that the item belongs to.
        id: &'m str,
    },
    /// A completion.
    End {
        /// What has ended.
        id: &'m str,
        /// Whether it ended with a value.
        has_value: bool,
    },
    /// A cancellation.
    Cancellation {
        /// The invocation to cancel.
        id: &'m str,
    },
    /// A ping.
    Ping,
    /// The sender closes the connection.
    Close {
        /// Why, if it is because of an error.
        error: Option<&'m str>,
        /// Whether the receiver may reconnect automatically.
        allow_reconnect: bool,
    },
    /// An acknowledgement.
    Ack {
        /// The last message received.
        sequence_id: i64,
    },
    /// The number of the message that comes next.
    Sequence {
        /// The next message's number.
        sequence_id: i64,
    },
}

impl<'a, P> HubMessage<'a, P> {
    /// What the machines decide by.
    #[must_use]
    #[inline]
    pub fn head(&self) -> Head<'_> {
        match self {
            Self::Invocation(call) => call.head(false),
            Self::StreamInvocation(call) => call.head(true),
            Self::StreamItem { invocation_id: id, .. } => Head::Item { id },
            Self::Completion { invocation_id: id, outcome, .. } => {
                Head::End { id, has_value: matches!(outcome, Outcome::Value(_)) }
            }
            Self::CancelInvocation { invocation_id: id, .. } => Head::Cancellation { id },
            Self::Ping => Head::Ping,
            Self::Close { error, allow_reconnect } => {
                Head::Close { error: error.as_deref(), allow_reconnect: *allow_reconnect }
            }
            Self::Ack { sequence_id } => Head::Ack { sequence_id: *sequence_id },
            Self::Sequence { sequence_id } => Head::Sequence { sequence_id: *sequence_id },
        }
    }

    /// The same message with another kind of payload.
    #[inline]
    pub fn map<Q>(self, payload: impl FnOnce(P) -> Q) -> HubMessage<'a, Q> {
        match self {
            Self::Invocation(call) => HubMessage::Invocation(call.map(payload)),
            Self::StreamItem { headers, invocation_id, item } => {
                HubMessage::StreamItem { headers, invocation_id, item: payload(item) }
            }
            Self::Completion { headers, invocation_id, outcome } => {
                let outcome = match outcome {
                    Outcome::Void => Outcome::Void,
                    Outcome::Value(value) => Outcome::Value(payload(value)),
                    Outcome::Error(error) => Outcome::Error(error),
                };
                HubMessage::Completion { headers, invocation_id, outcome }
            }
            Self::StreamInvocation(call) => HubMessage::StreamInvocation(call.map(payload)),
            Self::CancelInvocation { headers, invocation_id } => {
                HubMessage::CancelInvocation { headers, invocation_id }
            }
            Self::Ping => HubMessage::Ping,
            Self::Close { error, allow_reconnect } => HubMessage::Close { error, allow_reconnect },
            Self::Ack { sequence_id } => HubMessage::Ack { sequence_id },
            Self::Sequence { sequence_id } => HubMessage::Sequence { sequence_id },
        }
    }
}

/// A call of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation<'a, P> {
    /// Headers of the message.
    pub headers: Headers<'a>,
    /// Names the call when its caller awaits its end.
    pub invocation_id: Option<Cow<'a, str>>,
    /// The method.
    pub target: Cow<'a, str>,
    /// The list of arguments.
    pub arguments: P,
    /// Ids of the streams that the caller uploads with this call.
    pub stream_ids: Vec<Cow<'a, str>>,
}

impl<'a, P> Invocation<'a, P> {
    fn head(&self, streams: bool) -> Head<'_> {
        Head::Call { id: self.invocation_id.as_deref(), streams, uploads: &self.stream_ids }
    }

    #[inline]
    fn map<Q>(self, payload: impl FnOnce(P) -> Q) -> Invocation<'a, Q> {
        Invocation {
            headers: self.headers,
            invocation_id: self.invocation_id,
            target: self.target,
            arguments: payload(self.arguments),
            stream_ids: self.stream_ids,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'a, P> {
    /// Without a value.
    Void,
    /// With a value, which may be null.
    Value(P),
    /// With an error.
    Error(Cow<'a, str>),
}

impl<P> Outcome<'_, P> {
    /// An empty error text stands for no error.
    pub(crate) fn without_empty_error(self) -> Self {
        match self {
            Self::Error(error) if error.is_empty() => Self::Void,
            outcome => outcome,
        }
    }
}
