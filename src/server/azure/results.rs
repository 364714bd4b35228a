//! Results of clients, where one server asks for them and another one has the client.
//!
//! ```text
//!   server that asks ──34──▶ service ──the call itself──▶ client
//!                    ◀─37───         ──34──▶ server that has the client ◀── answer ── client
//!                    ◀─35───         ◀─35──
//! ```

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::{
    core::{
        HubProtocol,
        codec::Payload,
        framing::{RECORD_SEPARATOR, length},
        json,
        message::{HubMessage, Outcome},
        msgpack,
        service_protocol::{Extensions, ServiceMessage},
    },
    lock::lock,
    server::{
        calls::{self, Answer},
        error::ClientResultError,
    },
};

/// How many calls of other servers may wait for clients of this one. More are refused.
const MAX_FOREIGN: usize = 100_000;

/// What comes of a call of this server's: the answer, in the protocol of the client.
pub(super) type ClientResult = Result<(HubProtocol, Answer), ClientResultError>;

#[derive(Debug)]
pub(super) struct Results {
    /// What all ids of this process have in them.
    mark: String,
    next: AtomicU64,
    /// This server's calls of clients elsewhere.
    own: Mutex<HashMap<String, Own>>,
    /// Calls of other servers, each with the client here that has to answer.
    foreign: Mutex<HashMap<String, String>>,
}

#[derive(Debug)]
struct Own {
    answer: oneshot::Sender<ClientResult>,
    /// How many endpoints may still know the client.
    endpoints: usize,
    /// The endpoint that has it, and the instance of the service there, once that is known.
    place: Option<(usize, String)>,
}

/// A call of this server's, until its answer is there or nobody waits for it.
pub(super) struct PendingResult<'r> {
    results: &'r Results,
    id: String,
    answer: oneshot::Receiver<ClientResult>,
}

impl Results {
    pub(super) fn new(mark: String) -> Self {
        Self { mark, next: AtomicU64::new(1), own: Mutex::default(), foreign: Mutex::default() }
    }

    /// A call of a client elsewhere, at one of so many endpoints.
    pub(super) fn begin(&self, connection_id: &str, endpoints: usize) -> PendingResult<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{connection_id}-{}-{number}", self.mark);
        let (sender, answer) = oneshot::channel();
        lock(&self.own).insert(id.clone(), Own { answer: sender, endpoints, place: None });
        PendingResult { results: self, id, answer }
    }

    /// The service knows who has the client.
    pub(super) fn mapped(&self, id: &str, endpoint: usize, instance: &str) {
        if let Some(own) = lock(&self.own).get_mut(id) {
            own.place = Some((endpoint, instance.to_owned()));
        }
    }

    /// The answer of a client elsewhere.
    pub(super) fn completed(&self, id: &str, protocol: Option<&str>, payload: &[u8]) {
        let Some(own) = lock(&self.own).remove(id) else { return };
        let result = read(id, protocol, payload).ok_or_else(|| {
            ClientResultError::Unreachable(
                "the client's server has sent an answer that cannot be read".to_owned(),
            )
        });
        let _ = own.answer.send(result);
    }

    /// There will be no answer of an endpoint. Those that do not know the client say so, too.
    pub(super) fn failed(&self, id: &str, endpoint: usize) {
        let mut all = lock(&self.own);
        let Some(own) = all.get_mut(id) else { return };
        own.endpoints = own.endpoints.saturating_sub(1);
        let error = match &own.place {
            Some((place, _)) if *place == endpoint => ClientResultError::Disconnected,
            Some(_) => return,
            None if own.endpoints > 0 => return,
            None => ClientResultError::NotConnected,
        };
        if let Some(own) = all.remove(id) {
            let _ = own.answer.send(Err(error));
        }
    }

    /// An instance of the service is gone, with its clients.
    pub(super) fn instance_lost(&self, endpoint: usize, instance: &str) {
        let is_there =
            |own: &Own| own.place.as_ref().is_some_and(|(at, known)| *at == endpoint && known == instance);
        for (_, own) in lock(&self.own).extract_if(|_, own| is_there(own)) {
            let _ = own.answer.send(Err(ClientResultError::Disconnected));
        }
    }

    /// No server connection to an endpoint is left that its answers could come on.
    pub(super) fn endpoint_lost(&self, endpoint: usize) {
        let lost = |own: &mut Own| match &own.place {
            Some((place, _)) => *place == endpoint,
            None => {
                own.endpoints = own.endpoints.saturating_sub(1);
                own.endpoints == 0
            }
        };
        for (_, own) in lock(&self.own).extract_if(|_, own| lost(own)) {
            let text = "the server connections to Azure SignalR Service are lost".to_owned();
            let _ = own.answer.send(Err(ClientResultError::Unreachable(text)));
        }
    }

    /// Another server asks a client of this one; the service gives the client the call. Whether its answer is awaited.
    pub(super) fn asked(&self, id: &str, connection_id: &str) -> bool {
        let mut foreign = lock(&self.foreign);
        let has_room = foreign.len() < MAX_FOREIGN;
        if has_room {
            foreign.insert(id.to_owned(), connection_id.to_owned());
        }
        has_room
    }

    /// A client answers what this server has not asked. Whether another has.
    pub(super) fn take_asked(&self, id: &str, connection_id: &str) -> bool {
        let mut foreign = lock(&self.foreign);
        let is_asked = foreign.get(id).is_some_and(|client| client == connection_id);
        is_asked && foreign.remove(id).is_some()
    }

    /// A client has gone: the service tells those who have asked it.
    pub(super) fn client_gone(&self, connection_id: &str) {
        lock(&self.foreign).retain(|_, client| client != connection_id);
    }
}

impl PendingResult<'_> {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) async fn answer(mut self) -> ClientResult {
        (&mut self.answer).await.unwrap_or(Err(ClientResultError::Disconnected))
    }
}

impl Drop for PendingResult<'_> {
    fn drop(&mut self) {
        lock(&self.results.own).remove(&self.id);
    }
}

/// The answer in a completion, with the framing of its protocol.
fn read(id: &str, protocol: Option<&str>, payload: &[u8]) -> Option<(HubProtocol, Answer)> {
    let protocol = HubProtocol::from_name(protocol?)?;
    let outcome = match protocol {
        HubProtocol::Json => {
            let record = payload.strip_suffix(&[RECORD_SEPARATOR])?;
            let message = json::parse(std::str::from_utf8(record).ok()?).ok()??;
            completion(id, message.map(|value| Payload::new(protocol, value.as_bytes())))?
        }
        HubProtocol::MessagePack => {
            let (prefix, _) = length(payload, usize::MAX).ok()??;
            let message = msgpack::parse(payload.get(prefix..)?).ok()??;
            completion(id, message.map(|value| Payload::new(protocol, value)))?
        }
    };
    Some((protocol, calls::owned(outcome)))
}

fn completion<'m, P>(id: &str, message: HubMessage<'m, P>) -> Option<Outcome<'m, P>> {
    match message {
        HubMessage::Completion { invocation_id, outcome, .. } if invocation_id == id => Some(outcome),
        _ => None,
    }
}

/// What tells the service of the answer of a client here to another server: the completion as the client has sent it.
pub(super) fn completion_of(id: &str, protocol: HubProtocol, outcome: Outcome<'_, Payload<'_>>) -> Vec<u8> {
    let mut completion = Vec::new();
    let message = HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome };
    protocol.write(&mut completion, &message);
    completion
}

/// The message that carries it.
pub(super) fn client_completion<'m>(
    id: &'m str,
    connection_id: &'m str,
    server_id: &'m str,
    protocol: HubProtocol,
    payload: &'m [u8],
) -> ServiceMessage<'m> {
    ServiceMessage::ClientCompletion {
        invocation_id: id.into(),
        connection_id: connection_id.into(),
        caller_server_id: server_id.into(),
        protocol: Some(protocol.name().into()),
        payload,
        extensions: Extensions::default(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn with_value(id: &str, protocol: HubProtocol, value: &[u8]) -> Vec<u8> {
        completion_of(id, protocol, Outcome::Value(Payload::new(protocol, value)))
    }

    #[test]
    fn an_answer_reaches_who_has_asked() {
        let results = Results::new("mark".to_owned());
        for (protocol, value) in
            [(HubProtocol::Json, &b"\"yes\""[..]), (HubProtocol::MessagePack, b"\xa3yes")]
        {
            let pending = results.begin("c", 1);
            assert!(pending.id().starts_with("c-mark-"));
            let id = pending.id().to_owned();
            results.mapped(&id, 0, "i");
            results.completed(&id, Some(protocol.name()), &with_value(&id, protocol, value));
            let answered = pending.answer().now_or_never().expect("it is there");
            assert_eq!(answered, Ok((protocol, Outcome::Value(value.to_vec()))));
        }
        let pending = results.begin("c", 1);
        let id = pending.id().to_owned();
        results.completed(&id, Some("json"), &with_value("another", HubProtocol::Json, b"1"));
        let answered = pending.answer().now_or_never().expect("it is there");
        assert!(matches!(answered, Err(ClientResultError::Unreachable(_))), "{answered:?}");
        assert!(lock(&results.own).is_empty());
    }

    #[test]
    fn a_call_ends_when_nobody_can_answer_it() {
        let results = Results::new("mark".to_owned());
        let ended = |pending: PendingResult<'_>| pending.answer().now_or_never().expect("it has ended");

        let nowhere = results.begin("c", 2);
        let id = nowhere.id().to_owned();
        results.failed(&id, 0);
        assert!(lock(&results.own).contains_key(&id), "the other endpoint may know the client");
        results.failed(&id, 1);
        assert_eq!(ended(nowhere), Err(ClientResultError::NotConnected));

        let gone = results.begin("c", 2);
        let id = gone.id().to_owned();
        results.mapped(&id, 1, "i");
        results.failed(&id, 0);
        assert!(lock(&results.own).contains_key(&id), "the other endpoint knows the client");
        results.failed(&id, 1);
        assert_eq!(ended(gone), Err(ClientResultError::Disconnected));

        let instance = results.begin("c", 1);
        results.mapped(instance.id(), 0, "i");
        results.instance_lost(0, "j");
        results.instance_lost(1, "i");
        assert!(lock(&results.own).contains_key(instance.id()));
        results.instance_lost(0, "i");
        assert_eq!(ended(instance), Err(ClientResultError::Disconnected));

        let (lost, elsewhere) = (results.begin("c", 2), results.begin("c", 2));
        results.mapped(elsewhere.id(), 1, "i");
        results.endpoint_lost(0);
        assert!(lock(&results.own).contains_key(lost.id()), "the other endpoint may know the client");
        results.endpoint_lost(1);
        for pending in [lost, elsewhere] {
            assert!(matches!(ended(pending), Err(ClientResultError::Unreachable(_))));
        }

        drop(results.begin("c", 1));
        assert!(lock(&results.own).is_empty(), "what is given up is forgotten");
    }

    #[test]
    fn only_the_client_that_was_asked_answers() {
        let results = Results::new("mark".to_owned());
        assert!(results.asked("1", "a") && results.asked("2", "a"));
        assert!(
            !results.take_asked("1", "b") && results.take_asked("1", "a") && !results.take_asked("1", "a")
        );
        results.client_gone("a");
        assert!(lock(&results.foreign).is_empty());
    }
}
