//! What holds for a client's connection, and for the calls of either end, whatever comes in whatever order.

use std::time::Duration;

use crate::machine::driver::Driver;
use crate::machine::plan::ONE;
use crate::machine::{REDIRECT, STATEFUL};
use hubwire::core::client::TransportError;
use hubwire::core::codec::Payload;
use hubwire::core::hub::{CallKind, HubEvent, HubMachine, Role};
use hubwire::core::message::{HubMessage, Invocation, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;

/// One thing that can happen to a client.
#[derive(Debug, Clone)]
enum Operation {
    Start,
    Token(bool),
    Negotiate(u16, bool),
    NegotiateFails,
    Open(bool),
    Bytes(String),
    Call(usize),
    Stream,
    Cancel(u64),
    Item(u64),
    EndUpload(u64),
    Asks(u8),
    Answer(u64),
    Completion(u64),
    StreamItem(u64),
    SlowConsumer,
    CloseMessage(bool),
    Lost,
    Malformed,
    RetryDelay(Option<u64>),
    Wake,
    Stop,
    Refresh,
    RefreshToken(bool),
    Refreshed(u16),
    Rejected,
    Wait(u64),
    Sleep(u64),
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let connecting = prop_oneof![
        3 => Just(Operation::Start),
        3 => any::<bool>().prop_map(Operation::Token),
        3 => (prop_oneof![4 => Just(200_u16), 1 => 100_u16..600], any::<bool>()).prop_map(|(s, r)| Operation::Negotiate(s, r)),
        1 => Just(Operation::NegotiateFails),
        3 => prop::bool::weighted(0.8).prop_map(Operation::Open),
        4 => prop_oneof![3 => Just("{}\u{1e}".to_owned()), 1 => "[{}\u{1e}a]{0,8}"].prop_map(Operation::Bytes),
        3 => prop::option::weighted(0.8, 0_u64..40).prop_map(Operation::RetryDelay),
        1 => Just(Operation::Wake),
        1 => Just(Operation::Stop),
        3 => (0_u64..40).prop_map(Operation::Wait),
        1 => (0_u64..40).prop_map(Operation::Sleep),
    ];
    let connected = prop_oneof![
        4 => (0_usize..3).prop_map(Operation::Call),
        4 => Just(Operation::Stream),
        2 => (0_u64..12).prop_map(Operation::Cancel),
        2 => (0_u64..12).prop_map(Operation::Item),
        2 => (0_u64..12).prop_map(Operation::EndUpload),
        2 => (0_u8..4).prop_map(Operation::Asks),
        2 => (0_u64..4).prop_map(Operation::Answer),
        3 => (0_u64..12).prop_map(Operation::Completion),
        3 => (0_u64..12).prop_map(Operation::StreamItem),
        1 => Just(Operation::SlowConsumer),
        1 => any::<bool>().prop_map(Operation::CloseMessage),
        2 => Just(Operation::Lost),
        1 => Just(Operation::Malformed),
        2 => Just(Operation::Refresh),
        2 => any::<bool>().prop_map(Operation::RefreshToken),
        2 => prop_oneof![Just(200_u16), Just(403)].prop_map(Operation::Refreshed),
        1 => Just(Operation::Rejected),
    ];
    prop_oneof![connecting, connected]
}

fn operate(driver: &mut Driver, operation: Operation, stateful: bool) {
    let record = |text: String| text + "\u{1e}";
    match operation {
        Operation::Start => driver.start(),
        Operation::Token(true) => driver.token(Ok(Some("t".into()))),
        Operation::Token(false) => driver.token(Err("no".into())),
        Operation::Negotiate(status, redirect) => {
            let body = if redirect {
                REDIRECT
            } else if stateful {
                STATEFUL
            } else {
                ONE
            };
            driver.answer_negotiate(Ok((status, body)));
        }
        Operation::NegotiateFails => driver.answer_negotiate(Err(TransportError::new("lost"))),
        Operation::Open(true) => driver.open(Ok(())),
        Operation::Open(false) => driver.open(Err(TransportError::new("lost"))),
        Operation::Bytes(text) => drop(driver.receive(&text)),
        Operation::Call(uploads) => drop(driver.invoke(CallKind::Plain, "[1]", uploads)),
        Operation::Stream => drop(driver.invoke(CallKind::Stream, "[]", 0)),
        // Numbers need not be those of calls that were begun: any may be tried.
        Operation::Cancel(id) => driver.cancel(id),
        Operation::Item(upload) => driver.send_item(upload, "2"),
        Operation::EndUpload(upload) => driver.end_upload(upload, None),
        Operation::Asks(id) => {
            let call = r#""target":"Ask","arguments":[]}"#;
            driver.receive(&record(format!("{{\"type\":1,\"invocationId\":\"a{id}\",{call}")));
        }
        Operation::Answer(call) => driver.answer(call, Outcome::Value(Payload::Json("1"))),
        Operation::Completion(id) => {
            driver.receive(&record(format!("{{\"type\":3,\"invocationId\":\"{id}\"}}")));
        }
        Operation::StreamItem(id) => {
            driver.receive(&record(format!("{{\"type\":2,\"invocationId\":\"{id}\",\"item\":1}}")));
        }
        Operation::SlowConsumer => driver.slow_consumer(),
        Operation::CloseMessage(allowed) => {
            driver.receive(&record(format!("{{\"type\":7,\"allowReconnect\":{allowed}}}")));
        }
        Operation::Lost => driver.transport_closed(TransportError::new("lost")),
        Operation::Malformed => driver.protocol_error(),
        Operation::RetryDelay(delay) => driver.retry_delay(delay.map(Duration::from_secs)),
        Operation::Wake => driver.wake(),
        Operation::Stop => driver.stop(),
        Operation::Refresh => drop(driver.begin_refresh()),
        Operation::RefreshToken(true) => driver.refresh_token(Ok(Some("r".into()))),
        Operation::RefreshToken(false) => driver.refresh_token(Err("no".into())),
        Operation::Refreshed(status) => driver.answer_refresh(Ok((status, "{\"tokenLifetimeSeconds\":60}"))),
        Operation::Rejected => drop(driver.reject_token(Some("renewed".into()))),
        Operation::Wait(seconds) => driver.wait_until(driver.now + Duration::from_secs(seconds)),
        Operation::Sleep(seconds) => driver.sleep_until(driver.now + Duration::from_secs(seconds)),
    }
}

proptest! {
    /// Whatever happens, in whatever order: every call ends exactly once, the client always comes to rest, and it
    /// always has a deadline while it waits for the network. The driver asserts most of it.
    #[test]
    fn every_call_ends_once(operations in vec(any_operation(), 0..60), flags in any::<[bool; 4]>()) {
        let [reconnect, retry_first, stateful, provider] = flags;
        let mut driver = Driver::with(|options| {
            options.has_token_provider = provider;
            options.automatic_reconnect = reconnect;
            options.retry_first_connect = retry_first;
            options.use_stateful_reconnect = stateful;
        });
        for operation in operations.into_iter().chain([Operation::Stop]) {
            operate(&mut driver, operation, stateful);
        }
        prop_assert!(driver.calls.is_empty() && driver.refresh.is_none());
        prop_assert_eq!(driver.machine.poll_timeout(), None);
    }
}

/// One thing that can happen to the calls of a connection.
#[derive(Debug, Clone)]
enum Work {
    Call(bool),
    Upload(Option<usize>),
    EndUpload(usize),
    Complete(usize),
    Cancel(usize),
    PeerCalls(u8, bool, Option<u8>),
    Answer(usize),
    PeerCancels(u8),
    PeerItem(u8),
    PeerEnds(u8),
    Forget(u8),
    Close,
}

fn any_work() -> impl Strategy<Value = Work> {
    prop_oneof![
        4 => any::<bool>().prop_map(Work::Call),
        4 => prop::option::of(0_usize..6).prop_map(Work::Upload),
        2 => (0_usize..12).prop_map(Work::EndUpload),
        2 => (0_usize..6).prop_map(Work::Complete),
        2 => (0_usize..6).prop_map(Work::Cancel),
        4 => (0_u8..4, any::<bool>(), prop::option::of(0_u8..4)).prop_map(|(id, s, u)| Work::PeerCalls(id, s, u)),
        2 => (0_usize..12).prop_map(Work::Answer),
        2 => (0_u8..4).prop_map(Work::PeerCancels),
        2 => (0_u8..4).prop_map(Work::PeerItem),
        2 => (0_u8..4).prop_map(Work::PeerEnds),
        1 => (0_u8..4).prop_map(Work::Forget),
        1 => Just(Work::Close),
    ]
}

/// What a test knows of something that is in progress. `of` is what it ends with, or the peer's id for it.
struct Job<K> {
    id: u64,
    of: K,
    open: bool,
}

/// Ends a call, and returns which uploads end with it.
fn end_call(call: &mut (u64, bool), uploads: &mut [Job<Option<u64>>]) -> Option<Vec<u64>> {
    if !std::mem::take(&mut call.1) {
        return None;
    }
    let mine = uploads.iter_mut().filter(|upload| upload.open && upload.of == Some(call.0));
    let ended = mine.map(|upload| {
        upload.open = false;
        upload.id
    });
    Some(ended.collect())
}

/// The most that a peer may have in progress.
const LIMIT: usize = 3;

/// Both ends' calls and uploads, as a test knows them.
#[derive(Default)]
struct Known {
    calls: Vec<(u64, bool)>,
    uploads: Vec<Job<Option<u64>>>,
    answers: Vec<Job<u8>>,
    /// The peer's uploads, with the answer that each ends with.
    peer_uploads: Vec<(u8, u64)>,
}

impl Known {
    fn operate(&mut self, hub: &mut HubMachine, work: Work) {
        let Self { calls, uploads, answers, peer_uploads } = self;
        let headers = Vec::new;
        match work {
            Work::Call(stream) => {
                let kind = if stream { CallKind::Stream } else { CallKind::Plain };
                calls.push((hub.begin(kind), true));
            }
            Work::Upload(call) => {
                let call = call.and_then(|at| calls.get(at)).filter(|(_, open)| *open).map(|(id, _)| *id);
                let begun = hub.begin_uploads(call, 1);
                uploads.extend(begun.map(|id| Job { id, of: call, open: true }));
            }
            Work::EndUpload(at) => {
                if let Some(upload) = uploads.get_mut(at) {
                    assert_eq!(hub.end_upload(upload.id), std::mem::take(&mut upload.open));
                }
            }
            Work::Complete(at) => {
                let Some(call) = calls.get_mut(at) else { return };
                let id = hub.id(call.0);
                let message: HubMessage<'_, &str> = HubMessage::Completion {
                    headers: headers(),
                    invocation_id: id.as_str().into(),
                    outcome: Outcome::Void,
                };
                let ended = end_call(call, uploads);
                let event = hub.handle_message(message);
                assert_eq!(event != HubEvent::None, ended.is_some(), "{event:?}");
            }
            Work::Cancel(at) => {
                let Some(call) = calls.get_mut(at) else { return };
                let ended = end_call(call, uploads);
                assert_eq!(hub.cancel(call.0), ended);
            }
            Work::PeerCalls(id, streams, upload) => {
                let text = format!("p{id}");
                let invocation = Invocation {
                    headers: headers(),
                    invocation_id: Some(text.as_str().into()),
                    target: "M".into(),
                    arguments: "[]",
                    stream_ids: upload.iter().map(|upload| format!("u{upload}").into()).collect(),
                };
                let open = answers.iter().filter(|answer| answer.open);
                let (count, doubled) = (open.clone().count(), open.clone().any(|answer| answer.of == id));
                let uploading = peer_uploads.iter().any(|(known, _)| Some(*known) == upload);
                let full = count >= LIMIT || peer_uploads.len() + usize::from(upload.is_some()) > LIMIT;
                let event = hub.handle_message(match streams {
                    true => HubMessage::StreamInvocation(invocation),
                    false => HubMessage::Invocation(invocation),
                });
                match event {
                    HubEvent::Called { call: Some(call), streams: as_stream, .. } => {
                        assert!(!full && !doubled && !uploading && as_stream == streams);
                        answers.push(Job { id: call, of: id, open: true });
                        peer_uploads.extend(upload.map(|upload| (upload, call)));
                    }
                    HubEvent::Refused { .. } => assert!(full || doubled || uploading),
                    event => panic!("{event:?}"),
                }
            }
            Work::Answer(at) => {
                let Some(answer) = answers.get_mut(at) else { return };
                let wanted = std::mem::take(&mut answer.open).then(|| format!("p{}", answer.of));
                assert_eq!(hub.end_answer(answer.id).as_deref(), wanted.as_deref());
                peer_uploads.retain(|(_, of)| *of != answer.id);
            }
            Work::PeerCancels(id) => {
                let invocation_id = format!("p{id}").into();
                let message: HubMessage<'_, &str> =
                    HubMessage::CancelInvocation { headers: headers(), invocation_id };
                let open = answers.iter().find(|answer| answer.open && answer.of == id);
                let wanted = open.map_or(HubEvent::None, |answer| HubEvent::Cancelled { call: answer.id });
                assert_eq!(hub.handle_message(message), wanted, "it still expects a completion");
            }
            Work::PeerItem(id) => {
                let invocation_id = format!("u{id}").into();
                let message = HubMessage::StreamItem { headers: headers(), invocation_id, item: "1" };
                let open = peer_uploads.iter().any(|(known, _)| *known == id);
                let event = hub.handle_message(message);
                assert_eq!(matches!(event, HubEvent::Uploaded { .. }), open, "{event:?}");
            }
            Work::PeerEnds(id) => {
                let (invocation_id, outcome) = (format!("u{id}").into(), Outcome::Void);
                let message: HubMessage<'_, &str> =
                    HubMessage::Completion { headers: headers(), invocation_id, outcome };
                let before = peer_uploads.len();
                peer_uploads.retain(|(known, _)| *known != id);
                let event = hub.handle_message(message);
                let ended = matches!(event, HubEvent::UploadCompleted { .. });
                assert_eq!(ended, peer_uploads.len() < before, "{event:?}");
            }
            Work::Forget(id) => {
                hub.forget_upload(&format!("u{id}"));
                peer_uploads.retain(|(known, _)| *known != id);
            }
            Work::Close => {
                hub.close();
                calls.iter_mut().for_each(|(_, open)| *open = false);
                uploads.iter_mut().for_each(|upload| upload.open = false);
                answers.iter_mut().for_each(|answer| answer.open = false);
                peer_uploads.clear();
            }
        }
    }

    fn compare(&self, hub: &HubMachine) {
        for &(id, open) in &self.calls {
            assert_eq!(hub.is_pending(id), open);
        }
        for upload in &self.uploads {
            assert_eq!(hub.is_uploading(upload.id), upload.open);
        }
        for answer in &self.answers {
            assert_eq!(hub.peer_call(answer.id).is_some(), answer.open);
        }
        let open = self.answers.iter().filter(|answer| answer.open).count();
        assert_eq!((hub.peer_calls(), hub.peer_uploads()), (open, self.peer_uploads.len()));
        assert!(open <= LIMIT && self.peer_uploads.len() <= LIMIT);
    }
}

proptest! {
    /// Whatever happens, in whatever order: a call, an upload and an answer go on until exactly one thing has ended
    /// them, and the peer hears of each end at most once.
    #[test]
    fn every_job_ends_once(works in vec(any_work(), 0..80), server in any::<bool>()) {
        let role = if server { Role::Server } else { Role::Client };
        let (mut hub, mut known) = (HubMachine::new(role, LIMIT), Known::default());
        for work in works.into_iter().chain([Work::Close]) {
            known.operate(&mut hub, work);
            known.compare(&hub);
        }
    }
}
