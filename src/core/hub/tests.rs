//! The four tables of calls, message by message.

use super::*;

type Event<'a> = HubEvent<'a, &'a str>;

fn client() -> HubMachine {
    HubMachine::new(Role::Client, 10)
}

fn completion<'a>(id: &'a str, outcome: Outcome<'a, &'a str>) -> HubMessage<'a, &'a str> {
    HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome }
}

fn item<'a>(id: &'a str, item: &'a str) -> HubMessage<'a, &'a str> {
    HubMessage::StreamItem { headers: Vec::new(), invocation_id: id.into(), item }
}

fn cancel(id: &str) -> HubMessage<'_, &str> {
    HubMessage::CancelInvocation { headers: Vec::new(), invocation_id: id.into() }
}

fn invocation<'a>(id: Option<&'a str>, streams: &[&'a str]) -> Invocation<'a, &'a str> {
    Invocation {
        headers: Vec::new(),
        invocation_id: id.map(Cow::Borrowed),
        target: "Method".into(),
        arguments: "[]",
        stream_ids: streams.iter().map(|id| Cow::Borrowed(*id)).collect(),
    }
}

fn called<'a>(hub: &mut HubMachine, id: &'a str, streams: &[&'a str]) -> u64 {
    match hub.handle_message(HubMessage::Invocation(invocation(Some(id), streams))) {
        HubEvent::Called { call: Some(call), streams: false, .. } => call,
        event => panic!("{event:?}"),
    }
}

#[test]
fn every_exit_of_a_call_ends_it_once() {
    let mut hub = client();
    let ids = [(); 6].map(|()| hub.begin(CallKind::Plain));
    let text: Vec<_> = ids.iter().map(u64::to_string).collect();
    let outcomes = [Outcome::Void, Outcome::Value("null"), Outcome::Error("no".into())];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let ended = HubEvent::Completed { id: ids[n], outcome: outcome.clone() };
        assert_eq!(hub.handle_message(completion(&text[n], outcome.clone())), ended);
        assert_eq!(hub.handle_message(completion(&text[n], outcome)), Event::None);
    }
    assert_eq!(hub.handle_message(item(&text[3], "1")), Event::UnexpectedItem { id: ids[3] });
    assert_eq!(hub.handle_message(item(&text[3], "2")), Event::None);
    assert_eq!(hub.cancel(ids[4]), Some(vec![]));
    assert_eq!(hub.cancel(ids[4]), None);
    assert_eq!(hub.pending_calls(), 1);
    hub.close();
    assert_eq!(hub.pending_calls(), 0);
    assert_eq!(hub.handle_message(completion(&text[5], Outcome::Void)), Event::None);
    assert_eq!(hub.begin(CallKind::Plain), 6, "numbers go on");
}

#[test]
fn a_stream_has_items_until_its_end() {
    for outcome in [Outcome::Void, Outcome::Value("null"), Outcome::Error("no".into())] {
        let mut hub = client();
        let id = hub.begin(CallKind::Stream);
        for n in ["1", "2"] {
            assert_eq!(hub.handle_message(item("0", n)), HubEvent::Item { id, item: n });
        }
        let ended = HubEvent::StreamCompleted { id, outcome: outcome.clone() };
        assert_eq!(hub.handle_message(completion("0", outcome)), ended);
        assert_eq!(hub.handle_message(item("0", "late")), Event::None);
        assert_eq!(hub.handle_message(completion("0", Outcome::Void)), Event::None);
        assert_eq!(hub.cancel(id), None);
    }
    let mut hub = client();
    let id = hub.begin(CallKind::Stream);
    assert_eq!(hub.pending_calls(), 0);
    assert_eq!(hub.cancel(id), Some(vec![]));
    assert_eq!(hub.handle_message(item("0", "late")), Event::None);
}

#[test]
fn uploads_end_with_their_call() {
    let mut hub = client();
    let call = hub.begin(CallKind::Plain);
    assert_eq!(hub.begin_uploads(Some(call), 2), 1..3, "one counter for all");
    assert_eq!(hub.begin_uploads(None, 1), 3..4);
    assert!(hub.end_upload(1) && !hub.is_uploading(1) && !hub.end_upload(1));
    hub.handle_message(completion("0", Outcome::Void));
    assert!(!hub.is_uploading(2));
    assert!(!hub.end_upload(2), "the peer has ended it itself");
    assert!(hub.is_uploading(3));

    let stream = hub.begin(CallKind::Stream);
    let uploads = hub.begin_uploads(Some(stream), 2);
    assert_eq!(hub.cancel(stream), Some(uploads.clone().collect()));
    assert!(uploads.into_iter().all(|id| !hub.is_uploading(id)));
    hub.close();
    assert!(!hub.is_uploading(3));
}

#[test]
fn answers_end_once() {
    let mut hub = client();
    let given = called(&mut hub, "a", &[]);
    let cancelled = called(&mut hub, "b", &[]);
    let late = called(&mut hub, "c", &[]);
    assert_eq!(hub.peer_call(given), Some("a"));
    assert_eq!(hub.end_answer(given).as_deref(), Some("a"));
    assert_eq!((hub.end_answer(given), hub.peer_call(given)), (None, None));
    assert_eq!(hub.handle_message(cancel("b")), Event::Cancelled { call: cancelled });
    assert_eq!(hub.handle_message(cancel("never heard of")), Event::None);
    assert_eq!(hub.end_answer(cancelled).as_deref(), Some("b"), "the peer expects a completion");
    assert_eq!(hub.handle_message(cancel("b")), Event::None);
    hub.close();
    // The peer's ids may begin again on the next connection: a late answer must not be taken for that one's.
    called(&mut hub, "c", &[]);
    assert_eq!(hub.end_answer(late), None);
    let event = hub.handle_message(HubMessage::Invocation(invocation(None, &[])));
    assert!(matches!(event, HubEvent::Called { call: None, .. }), "no answer is expected");
}

#[test]
fn the_peers_uploads_have_their_own_table() {
    let mut hub = client();
    let own = hub.begin(CallKind::Plain);
    let stream = hub.begin(CallKind::Stream);
    assert_eq!((own, stream), (0, 1));
    let call = called(&mut hub, "0", &["0", "1"]);
    assert_eq!(hub.handle_message(item("0", "x")), HubEvent::Uploaded { stream_id: "0".into(), item: "x" });
    let ended = HubEvent::UploadCompleted { stream_id: "0".into(), error: None };
    assert_eq!(hub.handle_message(completion("0", Outcome::Void)), ended);
    // The next one for the same id is for our call.
    let ended = HubEvent::Completed { id: own, outcome: Outcome::Void };
    assert_eq!(hub.handle_message(completion("0", Outcome::Void)), ended);
    // An upload never ends with a value, so this is for our stream, whose id the peer has chosen as well.
    let ended = HubEvent::StreamCompleted { id: stream, outcome: Outcome::Value("1") };
    assert_eq!(hub.handle_message(completion("1", Outcome::Value("1"))), ended);
    let failed = HubEvent::UploadCompleted { stream_id: "1".into(), error: Some("no".into()) };
    assert_eq!(hub.handle_message(completion("1", Outcome::Error("no".into()))), failed);
    assert_eq!(hub.end_answer(call).as_deref(), Some("0"));

    let call = called(&mut hub, "7", &["8", "9"]);
    hub.forget_upload("8");
    assert_eq!(hub.handle_message(item("8", "x")), Event::None);
    assert_eq!(hub.peer_uploads(), 1);
    hub.end_answer(call);
    assert_eq!(hub.peer_uploads(), 0, "they end with their call");
    assert_eq!(hub.handle_message(item("9", "x")), Event::None);
}

#[test]
fn the_peer_is_bounded() {
    let mut hub = HubMachine::new(Role::Server, 2);
    called(&mut hub, "1", &["2", "3"]);
    let refused = |hub: &mut HubMachine, id, streams: &[&'static str]| match hub
        .handle_message(HubMessage::Invocation(invocation(id, streams)))
    {
        HubEvent::Refused { invocation_id, reason } => (invocation_id.map(Cow::into_owned), reason),
        event => panic!("{event:?}"),
    };
    let too_many = "Too many invocations or streams are in progress.";
    assert_eq!(refused(&mut hub, None, &["4"]), (None, too_many));
    assert_eq!(refused(&mut hub, Some("1"), &[]), (Some("1".into()), "The invocation ID is already in use."));
    called(&mut hub, "5", &[]);
    assert_eq!(refused(&mut hub, Some("6"), &[]), (Some("6".into()), too_many));
    hub.forget_upload("3");
    assert_eq!(refused(&mut hub, None, &["2"]), (None, "The stream ID is already in use."));
}

#[test]
fn both_ends_have_their_own_ids() {
    let mut server = HubMachine::new(Role::Server, 10);
    let id = server.begin(CallKind::Plain);
    assert_eq!(server.id(id).as_str(), "s0");
    assert_eq!(server.id(u64::MAX).as_str(), "s18446744073709551615");
    for foreign in ["0", "s", "s00", "S0", "ss0"] {
        assert_eq!(server.handle_message(completion(foreign, Outcome::Void)), Event::None, "{foreign}");
    }
    assert_eq!(
        server.handle_message(completion("s0", Outcome::Void)),
        HubEvent::Completed { id, outcome: Outcome::Void }
    );
}

#[test]
fn numbers_that_are_chosen_leave_room_for_more() {
    let mut hub = client();
    hub.skip_to(7);
    assert_eq!((hub.begin(CallKind::Plain), hub.begin(CallKind::Plain)), (7, 8));
    hub.skip_to(2);
    assert_eq!(hub.begin(CallKind::Plain), 9);
    hub.skip_to(u64::MAX);
    assert_eq!(hub.begin_uploads(None, 2), 1 << 53..(1 << 53) + 2);
}

#[test]
fn foreign_ids_end_nothing() {
    let mut hub = client();
    assert_eq!(hub.begin(CallKind::Plain), 0);
    assert_eq!(hub.begin(CallKind::Stream), 1);
    for id in ["", "00", "+0", "-1", "01", "2", "x", "s0", "18446744073709551616"] {
        assert_eq!(hub.handle_message(completion(id, Outcome::Void)), Event::None, "{id}");
        assert_eq!(hub.handle_message(item(id, "1")), Event::None, "{id}");
    }
    assert_eq!(
        hub.handle_message(completion("0", Outcome::Error("".into()))),
        HubEvent::Completed { id: 0, outcome: Outcome::Void }
    );
}
