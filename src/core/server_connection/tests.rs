//! One server connection in virtual time.

use std::time::Duration;

use super::*;
use crate::core::moment::at;
use crate::core::service_protocol::parse;

const TERMS: Terms =
    Terms { kind: Kind::Default, migration_level: 0, allows_stateful_reconnect: false, asks_for_keys: false };

fn bytes(message: &ServiceMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, message);
    bytes
}

fn ping(messages: &[&str]) -> Vec<u8> {
    bytes(&ServiceMessage::Ping { messages: messages.iter().map(|text| Some(Text::from(*text))).collect() })
}

fn handshake_response(error: Option<&'static str>) -> Vec<u8> {
    bytes(&ServiceMessage::HandshakeResponse {
        error_message: error.map(Text::from),
        extensions: Extensions::default(),
        connection_id: Some("sc".into()),
    })
}

fn open_connection(id: &'static str) -> Vec<u8> {
    bytes(&ServiceMessage::OpenConnection {
        connection_id: id.into(),
        claims: Vec::new(),
        headers: vec![("asrs-instance-id".into(), vec![Some(format!("of {id}").into())])],
        query_string: None,
        extensions: Extensions::default(),
    })
}

fn close_connection(id: &'static str) -> Vec<u8> {
    bytes(&ServiceMessage::CloseConnection {
        connection_id: id.into(),
        error_message: None,
        headers: Vec::new(),
        extensions: Extensions::default(),
    })
}

fn error(text: &'static str) -> Vec<u8> {
    bytes(&ServiceMessage::ServiceError { error_message: Some(text.into()) })
}

fn effects(connection: &mut ServerConnection) -> Vec<Effect> {
    std::iter::from_fn(|| connection.poll_effect()).collect()
}

/// What is sent: pings by their texts, anything else by its name.
fn sent(connection: &mut ServerConnection) -> Vec<Vec<String>> {
    let said = |bytes: Vec<u8>| match parse(&bytes[1..]).unwrap().unwrap() {
        ServiceMessage::Ping { messages } => {
            messages.into_iter().map(|text| text.unwrap().into_owned()).collect()
        }
        other => vec![other.name().to_owned()],
    };
    std::iter::from_fn(|| connection.poll_transmit()).map(said).collect()
}

/// After the handshake, at 0.
fn ready(terms: Terms) -> ServerConnection {
    let mut connection = ServerConnection::new(at(0), terms);
    assert_eq!(sent(&mut connection), [["HandshakeRequest"]]);
    connection.handle_bytes(at(0), &handshake_response(None));
    assert_eq!(effects(&mut connection).first(), Some(&Effect::Ready));
    connection
}

#[test]
fn the_handshake_request_is_that_of_the_sdk() {
    let request = |terms| ServerConnection::new(at(0), terms).poll_transmit().unwrap();
    assert_eq!(request(TERMS), b"\x08\x97\x01\x01\x00\xa0\x00\x80\xc2");
    let migrating = Terms { migration_level: 1, allows_stateful_reconnect: true, ..TERMS };
    assert_eq!(request(migrating), b"\x08\x97\x01\x01\x00\xa0\x01\x80\xc3");
    for (kind, number) in [(Kind::OnDemand, 1), (Kind::Weak, 2)] {
        assert_eq!(request(Terms { kind, ..TERMS }), [8, 0x97, 1, 1, number, 0xa0, 0, 0x80, 0xc2]);
    }
}

#[test]
fn a_handshake_may_be_refused_be_something_else_or_not_come() {
    for (answer, reason) in [
        (handshake_response(Some("no")), "refused"),
        (ping(&[]), "something else"),
        (open_connection("a"), "something else"),
    ] {
        let mut connection = ServerConnection::new(at(0), TERMS);
        connection.handle_bytes(at(1), &answer);
        assert!(!connection.is_ready());
        let all = effects(&mut connection);
        assert!(matches!(all.last(), Some(Effect::Close(text)) if text.contains(reason)), "{all:?}");
    }
    for good in [None, Some("")] {
        let mut connection = ServerConnection::new(at(0), TERMS);
        connection.handle_bytes(at(1), &handshake_response(good));
        assert_eq!(effects(&mut connection), [Effect::Ready]);
    }
    let mut silent = ServerConnection::new(at(0), TERMS);
    sent(&mut silent);
    silent.handle_timeout(at(10));
    assert_eq!((effects(&mut silent), sent(&mut silent)), (vec![], vec![]), "no ping before the handshake");
    silent.handle_timeout(at(15));
    assert!(matches!(effects(&mut silent)[..], [Effect::Close(text)] if text.contains("in time")));
    assert_eq!(silent.poll_timeout(), Moment::MAX);
}

#[test]
fn pings_go_out_every_five_seconds_even_to_a_silent_service_which_is_given_up_after_thirty() {
    let mut connection = ready(TERMS);
    connection.handle_bytes(at(1), &[open_connection("a"), open_connection("b")].concat());
    connection.set_clients_in_hub(7);
    for n in 1..=6 {
        connection.handle_timeout(at(5 * n));
        assert_eq!(sent(&mut connection), [["#clientInHub", "7", "#client", "2"]], "{n}");
    }
    assert!(!effects(&mut connection).iter().any(|effect| matches!(effect, Effect::Close(_))));
    assert_eq!(connection.poll_timeout(), at(31), "30 seconds after the last byte");
    connection.handle_timeout(at(31));
    assert!(matches!(effects(&mut connection)[..], [Effect::Close(text)] if text.contains("silent")));
    // Nothing is made of what comes late.
    connection.handle_bytes(at(32), &open_connection("c"));
    assert_eq!(effects(&mut connection), []);
}

#[test]
fn any_byte_is_a_sign_of_life_and_so_is_what_was_not_read() {
    let mut connection = ready(TERMS);
    connection.handle_bytes(at(20), &[200]);
    connection.handle_timeout(at(49));
    connection.handle_unread(at(49));
    connection.handle_timeout(at(78));
    assert_eq!(effects(&mut connection), []);
    connection.handle_timeout(at(79));
    assert!(matches!(effects(&mut connection)[..], [Effect::Close(_)]));
}

#[test]
fn clients_are_counted_whoever_closes_them() {
    let mut connection = ready(TERMS);
    let opened = [open_connection("a"), open_connection("b"), open_connection("b"), open_connection("c")];
    connection.handle_bytes(at(1), &opened.concat());
    assert_eq!(connection.client_count(), 3);
    connection.handle_bytes(at(1), &close_connection("a"));
    connection.handle_client_closed("a");
    connection.handle_client_closed("b");
    assert_eq!(connection.client_count(), 1);
    connection.handle_bytes(at(1), &[open_connection("d"), ping(&["offline", "of c"])].concat());
    assert_eq!(connection.client_count(), 1);
    connection.handle_bytes(at(1), &ping(&["offline", ""]));
    assert_eq!(connection.client_count(), 0);
    let passed = effects(&mut connection);
    assert_eq!(passed.len(), 8);
    assert_eq!(passed[0], Effect::Message(open_connection("a")[1..].to_vec()));
}

#[test]
fn several_keys_share_a_ping_and_an_echo_goes_back_whole() {
    let mut connection = ready(TERMS);
    let metrics = ["status", "1", "clientcount", "12", "servercount", "3", "capacity", "1000"];
    connection.handle_bytes(at(1), &ping(&metrics));
    let status =
        Status { has_clients: true, client_count: Some(12), server_count: Some(3), capacity: Some(1000) };
    assert_eq!(effects(&mut connection), [Effect::Status(status)]);
    connection.handle_bytes(at(1), &ping(&["status", "0"]));
    assert_eq!(effects(&mut connection), [Effect::Status(Status::default())]);

    let mixed = ["echo", "x", "target", "i 1", "offline", "i 2", "echo", "y", "d-m", "1", "odd"];
    connection.handle_bytes(at(1), &ping(&mixed));
    assert_eq!(sent(&mut connection), [mixed]);
    let expected = [Effect::Rebalance("i 1".to_owned()), Effect::Offline("i 2".to_owned())];
    assert_eq!(effects(&mut connection), expected);

    // Nothing is asked of it that is empty, too long or not known.
    let long = "x".repeat(5000);
    connection.handle_bytes(
        at(1),
        &[ping(&[]), ping(&["target", ""]), ping(&["target", &long]), ping(&["echo", &long])].concat(),
    );
    assert_eq!((effects(&mut connection), sent(&mut connection)), (vec![], vec![]));
    connection.handle_bytes(at(1), &ping(&["offline", ""]));
    assert_eq!(effects(&mut connection), [Effect::Offline(String::new())]);
}

#[test]
fn a_service_that_asks_for_answers_and_takes_none_is_not_read_any_further() {
    let mut connection = ready(TERMS);
    for _ in 0..64 {
        assert!(connection.may_read());
        connection.handle_bytes(at(1), &ping(&["echo", "x"]));
    }
    assert!(!connection.may_read());
    assert_eq!(sent(&mut connection).len(), 64);
    assert!(connection.may_read());
}

#[test]
fn after_an_error_nothing_is_sent_and_the_end_comes_within_five_seconds() {
    let mut connection = ready(TERMS);
    connection.handle_bytes(at(1), &error(""));
    assert_eq!(effects(&mut connection), []);
    connection.handle_bytes(at(1), &[error("gone wrong"), error("again")].concat());
    assert_eq!(effects(&mut connection), [Effect::Block("gone wrong".to_owned())]);
    // What comes of clients meanwhile is not lost.
    connection.handle_bytes(at(2), &[open_connection("a"), ping(&["echo", "x"])].concat());
    assert!(matches!(effects(&mut connection)[..], [Effect::Message(_)]));
    connection.handle_timeout(at(5));
    connection.ask_for_key("token");
    connection.ask_status();
    assert_eq!((sent(&mut connection), effects(&mut connection)), (vec![], vec![]));
    connection.handle_timeout(at(6));
    assert!(matches!(effects(&mut connection)[..], [Effect::Close(_)]));
}

#[test]
fn the_end_is_announced_until_the_service_answers() {
    for (fin, text) in [(Fin::Drop, "fin:0"), (Fin::Migrate, "fin:1"), (Fin::Keep, "fin:2")] {
        let mut connection = ready(TERMS);
        connection.handle_bytes(at(1), &ping(&["shutdown", "finack"]));
        assert_eq!(effects(&mut connection), [], "nothing was announced");
        connection.announce_end(at(1), fin);
        assert_eq!(sent(&mut connection), [["shutdown", text]]);
        assert_eq!(connection.poll_timeout(), at(5));
        connection.handle_timeout(at(6));
        assert_eq!(sent(&mut connection)[1], ["shutdown", text]);
        connection.handle_bytes(at(7), &ping(&["shutdown", "finack"]));
        assert_eq!(effects(&mut connection), [Effect::FinDone]);
        connection.handle_timeout(at(11));
        assert!(sent(&mut connection).iter().all(|ping| ping[0] == "#clientInHub"));
    }
}

#[test]
fn an_end_that_nobody_answers_is_announced_24_times_and_a_weak_connection_announces_none() {
    let mut connection = ready(TERMS);
    connection.announce_end(at(0), Fin::Keep);
    let mut fins = 0;
    for n in 0..=24 {
        connection.handle_bytes(at(5 * n), &ping(&[]));
        connection.handle_timeout(at(5 * n));
        fins += sent(&mut connection).iter().filter(|ping| ping[0] == "shutdown").count();
    }
    assert_eq!((fins, effects(&mut connection)), (24, vec![Effect::FinDone]));

    let mut weak = ready(Terms { kind: Kind::Weak, ..TERMS });
    weak.announce_end(at(1), Fin::Keep);
    assert_eq!((sent(&mut weak), effects(&mut weak)), (vec![], vec![Effect::FinDone]));
}

fn key_response(kid: &'static str, error_type: Option<&'static str>) -> Vec<u8> {
    bytes(&ServiceMessage::AccessKeyResponse {
        kid: Some(kid.into()),
        access_key: Some("key".into()),
        error_type: error_type.map(Text::from),
        error_message: Some("why".into()),
        extensions: Extensions::default(),
    })
}

#[test]
fn keys_are_asked_for_after_the_handshake_and_every_ten_minutes() {
    let mut connection = ServerConnection::new(at(0), Terms { asks_for_keys: true, ..TERMS });
    sent(&mut connection);
    connection.handle_bytes(at(0), &handshake_response(None));
    assert_eq!(effects(&mut connection), [Effect::Ready, Effect::KeyIsDue]);
    connection.ask_for_key("token");
    let request = connection.poll_transmit().unwrap();
    assert_eq!(request, b"\x0a\x94\x1c\xa5token\xc0\x80");
    for n in 1..=24 {
        connection.handle_bytes(at(25 * n), &ping(&[]));
        connection.handle_timeout(at(25 * n));
        let due = effects(&mut connection).contains(&Effect::KeyIsDue);
        assert_eq!(due, n == 24, "{n}");
    }
    connection.handle_bytes(at(601), &key_response("1", None));
    connection.handle_bytes(at(601), &key_response("2", Some("AccessDenied")));
    connection.handle_bytes(at(601), &key_response("", None));
    let all = effects(&mut connection);
    assert_eq!(all[0], Effect::Key { id: "1".to_owned(), key: "key".to_owned() });
    assert!(
        matches!(&all[1..], [Effect::KeyRefused(text), Effect::KeyRefused(_)] if text == "AccessDenied: why")
    );
    assert!(!format!("{all:?}").contains("\"key\""), "{all:?}");
}

#[test]
fn a_server_connection_may_be_taken_out_of_use_and_answers_come_with_payloads() {
    let mut connection = ready(TERMS);
    let flow = |connection_type, operation| {
        bytes(&ServiceMessage::ConnectionFlowControl {
            connection_id: "sc".into(),
            connection_type,
            operation,
            extensions: Extensions::default(),
        })
    };
    connection.handle_bytes(at(1), &[flow(2, 4), flow(1, 1), flow(2, 1)].concat());
    let all = effects(&mut connection);
    assert!(matches!(all[..], [Effect::Retire, Effect::Message(_), Effect::Note(_)]), "{all:?}");
    let ack = |ack_id, payload| {
        let extensions = Extensions::default();
        bytes(&ServiceMessage::Ack { ack_id, status: 2, message: None, extensions, payload })
    };
    connection.handle_bytes(at(1), &[ack(5, None), ack(6, Some(b"\xc0"))].concat());
    let answer = |ack_id, payload| Effect::Acknowledged { ack_id, status: 2, payload };
    assert_eq!(effects(&mut connection), [answer(5, None), answer(6, Some(vec![0xc0]))]);
}

#[test]
fn what_cannot_be_read_is_skipped_and_what_cannot_be_cut_is_the_end() {
    let mut connection = ready(TERMS);
    // A broken message, one of an unknown type, and those that servers send, before a good one.
    let mut stream = b"\x03\x92\x04\xc0\x02\x91\x7f\x00".to_vec();
    stream.extend(bytes(&ServiceMessage::HandshakeResponse {
        error_message: Some("late".into()),
        extensions: Extensions::default(),
        connection_id: None,
    }));
    stream.extend(bytes(&ServiceMessage::JoinGroup {
        connection_id: "a".into(),
        group_name: "g".into(),
        extensions: Extensions::default(),
    }));
    stream.extend(close_connection("a"));
    let (first, second) = stream.split_at(5);
    connection.handle_bytes(at(1), first);
    connection.handle_bytes(at(1), second);
    let all = effects(&mut connection);
    assert!(matches!(all[..], [Effect::Note(_), Effect::Note(_), Effect::Message(_)]), "{all:?}");

    for endless in [&b"\xff\xff\xff\xff\xff"[..], &[0x81, 0x80, 0x80, 0x08]] {
        let mut connection = ready(TERMS);
        connection.handle_bytes(at(1), &[close_connection("a").as_slice(), endless].concat());
        let all = effects(&mut connection);
        assert!(matches!(all[..], [Effect::Message(_), Effect::Close(_)]), "{all:?}");
        assert!(!connection.is_ready());
    }
}

#[test]
fn a_machine_that_slept_gives_the_service_time_to_show_up() {
    let mut connection = ready(TERMS);
    connection.handle_timeout(at(1000));
    assert_eq!(effects(&mut connection), []);
    connection.handle_timeout(at(1000) + Duration::from_secs(5));
    assert!(matches!(effects(&mut connection)[..], [Effect::Close(_)]));
}
