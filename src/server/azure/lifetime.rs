//! How messages of a hub get to its clients by way of Azure SignalR Service, whichever server has them.

use std::{collections::BTreeMap, future::ready, sync::Arc};

use futures_util::future::{BoxFuture, Either};

use super::{
    Azure,
    connections::{AskError, NotConnected},
    questions::Ack,
    results,
};
use crate::{
    core::{
        HubProtocol,
        codec::Payload,
        message::Outcome,
        service_protocol::{
            Extensions, GroupMembers, Payloads, ServiceMessage, Text,
            codes::outcome::{NOT_FOUND, OK},
        },
    },
    server::{
        calls::Answer,
        error::{ClientResultError, SendError},
        host::lifetime::{ClientCall, Doing, Lifetime, Member, Recipients, Sending, ask},
        message::{Frame, Message},
    },
    service::limits,
};

/// A message in the protocols that there are for it.
struct Encoded(Vec<(HubProtocol, Frame)>);

impl Encoded {
    fn new(message: &Message) -> Self {
        let frames =
            HubProtocol::ALL.iter().filter_map(|&protocol| Some((protocol, message.frame(protocol)?)));
        Self(frames.collect())
    }

    /// In all protocols, or in one of a client whose protocol is known.
    fn payloads(&self, only: Option<HubProtocol>) -> Payloads<'_> {
        let wanted = self.0.iter().filter(|(protocol, _)| only.is_none_or(|only| only == *protocol));
        wanted.map(|(protocol, frame)| (protocol.name().into(), frame.bytes())).collect()
    }
}

fn texts(list: &[String]) -> Vec<Text<'_>> {
    list.iter().map(|text| text.as_str().into()).collect()
}

/// The filter that leaves connections out, in the service's language, where a message has no list of them.
fn all_but(connection_ids: &[String]) -> Option<String> {
    if connection_ids.is_empty() {
        return None;
    }
    let each = connection_ids.iter().map(|id| format!("connectionId ne '{}'", id.replace('\'', "''")));
    Some(each.collect::<Vec<_>>().join(" and "))
}

fn unreachable(error: impl std::fmt::Display) -> SendError {
    SendError::Unreachable(error.to_string())
}

impl From<NotConnected> for SendError {
    fn from(error: NotConnected) -> Self {
        unreachable(error)
    }
}

impl From<AskError> for SendError {
    fn from(error: AskError) -> Self {
        unreachable(error)
    }
}

/// Whether a question was answered with yes or no; anything else is an error.
fn yes_or_no(ack: &Ack) -> Result<bool, SendError> {
    match ack.status {
        OK => Ok(true),
        NOT_FOUND => Ok(false),
        3 => Err(unreachable("Azure SignalR Service has not done it in time")),
        status => Err(unreachable(format_args!("Azure SignalR Service has failed, with status {status}"))),
    }
}

impl Azure {
    async fn send(&self, sending: Sending<'_>) -> Result<(), SendError> {
        let Sending { to, except, caller, message, .. } = sending;
        let encoded = Encoded::new(message);
        let (payloads, extensions) = (encoded.payloads(None), Extensions::default());
        let prefer = caller.and_then(|id| self.clients.find(id)).map(|client| client.via);
        let (key, message) = match to {
            Recipients::All => {
                let excluded_ids = texts(except);
                ("", ServiceMessage::BroadcastData { excluded_ids, payloads, extensions })
            }
            Recipients::Groups(names) => match &**names {
                [] => return Ok(()),
                [first, _, ..] if except.is_empty() => {
                    let group_names = texts(names);
                    let message =
                        ServiceMessage::MultiGroupBroadcastData { group_names, payloads, extensions };
                    (first.as_str(), message)
                }
                names => {
                    for name in names {
                        let message = ServiceMessage::GroupBroadcastData {
                            group_name: name.as_str().into(),
                            excluded_ids: texts(except),
                            payloads: payloads.clone(),
                            extensions: Extensions::default(),
                            excluded_user_ids: Vec::new(),
                            caller_user_id: None,
                        };
                        self.connections.send_to_all(Some(name), prefer, &message).await?;
                    }
                    return Ok(());
                }
            },
            Recipients::Users(ids) => {
                let extensions = Extensions { filter: all_but(except).map(Into::into), ..extensions };
                match &**ids {
                    [] => return Ok(()),
                    [id] => {
                        let user_id = id.as_str().into();
                        (id.as_str(), ServiceMessage::UserData { user_id, payloads, extensions })
                    }
                    ids => {
                        let user_ids = texts(ids);
                        ("", ServiceMessage::MultiUserData { user_ids, payloads, extensions })
                    }
                }
            }
            Recipients::Connections(ids) => {
                let ids: Vec<&String> = ids.iter().filter(|id| !except.contains(id)).collect();
                let connection_ids = ids.iter().map(|id| id.as_str().into()).collect();
                match &*ids {
                    [] => return Ok(()),
                    [id] => {
                        let client = self.clients.find(id);
                        let payloads = encoded.payloads(client.as_ref().and_then(|client| client.protocol));
                        let message =
                            ServiceMessage::MultiConnectionData { connection_ids, payloads, extensions };
                        if let Some(client) = client {
                            return Ok(self.connections.send(client.via, &message).await?);
                        }
                        (id.as_str(), message)
                    }
                    _ => ("", ServiceMessage::MultiConnectionData { connection_ids, payloads, extensions }),
                }
            }
        };
        Ok(self.connections.send_to_all(Some(key), prefer, &message).await?)
    }

    /// Asks a client of another server.
    async fn ask_elsewhere(
        &self,
        connection_id: &str,
        call: ClientCall,
    ) -> Result<(HubProtocol, Answer), ClientResultError> {
        let online = self.connections.status().iter().filter(|endpoint| endpoint.is_online).count();
        let pending = self.results.begin(connection_id, online.max(1));
        let encoded = Encoded::new(&call.message(Some(pending.id())));
        let message = ServiceMessage::ClientInvocation {
            invocation_id: pending.id().into(),
            connection_id: connection_id.into(),
            caller_server_id: self.connections.server_id().into(),
            payloads: encoded.payloads(None),
            extensions: Extensions::default(),
        };
        let sent = self.connections.send_to_all(Some(connection_id), None, &message).await;
        sent.map_err(|error| ClientResultError::Unreachable(error.to_string()))?;
        pending.answer().await
    }

    /// The first members of a group, by their ids, from behind one on. The service lists them in an order of its own, so
    /// all pages are looked at, and not more members are kept than are wanted.
    async fn list(&self, group: &str, after: Option<&str>, count: usize) -> Result<Vec<Member>, SendError> {
        let mut first = BTreeMap::new();
        let online = self.connections.status().into_iter().enumerate().filter(|(_, status)| status.is_online);
        let mut failed = Some(unreachable(NotConnected));
        for (endpoint, _) in online {
            let mut token: Option<String> = None;
            loop {
                let query = |ack_id| ServiceMessage::GroupMemberQuery {
                    extensions: Extensions::default(),
                    group_name: group.into(),
                    ack_id,
                    top: None,
                    continuation_token: token.as_deref().map(Into::into),
                    max_page_size: Some(limits::PAGE.into()),
                };
                let ack = self.connections.ask_at(endpoint, Some(group), query).await?;
                if !yes_or_no(&ack)? {
                    break;
                }
                let payload = ack.payload.unwrap_or_default();
                let page = GroupMembers::read(&payload).map_err(unreachable)?;
                for member in page.members {
                    if after.is_none_or(|after| *member.connection_id > *after) {
                        first.insert(member.connection_id.into_owned(), member.user_id.map(Text::into_owned));
                        if first.len() > count {
                            first.pop_last();
                        }
                    }
                }
                token = page.continuation_token.map(Text::into_owned).filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
            failed = None;
        }
        failed.map_or_else(|| Ok(first.into_iter().collect()), Err)
    }
}

impl Lifetime for Arc<Azure> {
    fn disconnected<'a>(&'a self, connection_id: &'a str, _user: Option<&'a str>) -> Doing<'a, ()> {
        self.results.client_gone(connection_id);
        Either::Left(ready(()))
    }

    fn answered_elsewhere(
        &self,
        connection_id: &str,
        call_id: &str,
        protocol: HubProtocol,
        outcome: Outcome<'_, Payload<'_>>,
    ) {
        if !self.results.take_asked(call_id, connection_id) {
            return;
        }
        let Some(client) = self.clients.find(connection_id) else { return };
        let payload = results::completion_of(call_id, protocol, outcome);
        let (azure, call_id) = (self.clone(), call_id.to_owned());
        tokio::spawn(async move {
            let server_id = azure.connections.server_id();
            let message = results::client_completion(&call_id, &client.id, server_id, protocol, &payload);
            // Without its server connection the client is gone, and its caller is told so.
            let _ = azure.connections.send(client.via, &message).await;
        });
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> Doing<'a, Result<(), SendError>> {
        Either::Right(Box::pin(Azure::send(self, sending)))
    }

    fn invoke<'a>(
        &'a self,
        connection_id: &'a str,
        call: ClientCall,
    ) -> BoxFuture<'a, Result<(HubProtocol, Answer), ClientResultError>> {
        if self.clients.find(connection_id).is_none() {
            return Box::pin(self.ask_elsewhere(connection_id, call));
        }
        // A client of this server's own answers on its own connection.
        ask(&self.room.connections, connection_id, call)
    }

    fn add_to_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<bool, SendError>> {
        let prefer = self.clients.find(connection_id).map(|client| client.via);
        Either::Right(Box::pin(async move {
            let join = |ack_id| ServiceMessage::JoinGroupWithAck {
                connection_id: connection_id.into(),
                group_name: group.into(),
                ack_id,
                extensions: Extensions::default(),
            };
            yes_or_no(&self.connections.ask(Some(group), prefer, join).await?)
        }))
    }

    fn remove_from_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<(), SendError>> {
        let prefer = self.clients.find(connection_id).map(|client| client.via);
        Either::Right(Box::pin(async move {
            let leave = |ack_id| ServiceMessage::LeaveGroupWithAck {
                connection_id: connection_id.into(),
                group_name: Some(group.into()),
                ack_id,
                extensions: Extensions::default(),
            };
            yes_or_no(&self.connections.ask(Some(group), prefer, leave).await?).map(drop)
        }))
    }

    fn members<'a>(
        &'a self,
        group: &'a str,
        after: Option<&'a str>,
        count: usize,
    ) -> Doing<'a, Result<Vec<Member>, SendError>> {
        Either::Right(Box::pin(self.list(group, after, count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_left_out_by_a_filter() {
        assert_eq!(all_but(&[]), None);
        let filter = all_but(&["a".to_owned(), "b'c".to_owned()]);
        assert_eq!(filter.as_deref(), Some("connectionId ne 'a' and connectionId ne 'b''c'"));
    }
}
