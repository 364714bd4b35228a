//! Bytes that servers of ASP.NET Core have taken and given.

use super::*;

const ALL: &[u8] =
    b"\x92\x90\x82\xa4json\xc49{\"type\":1,\"target\":\"Hello\",\"arguments\":[\"from outside\"]}\x1e\xabmessagepack\xc4\x1a\x19\x96\x01\x80\xc0\xa5Hello\x91\xacfrom outside\x90";
const BUT_ANN: &[u8] =
    b"\x92\x91\xa6ann-id\x82\xa4json\xc44{\"type\":1,\"target\":\"Hello\",\"arguments\":[\"not ann\"]}\x1e\xabmessagepack\xc4\x15\x14\x96\x01\x80\xc0\xa5Hello\x91\xa7not ann\x90";
const ASK: &[u8] =
    b"\x94\x90\x82\xa4json\xc4E{\"type\":1,\"invocationId\":\"x1\",\"target\":\"Question\",\"arguments\":[\"q\"]}\x1e\xabmessagepack\xc4\x14\x13\x96\x01\x80\xa2x1\xa8Question\x91\xa1q\x90\xa2x1\xb0hubwire:return:1";
const JSON_ONLY: &[u8] =
    b"\x92\x90\x81\xa4json\xc46{\"type\":1,\"target\":\"Hello\",\"arguments\":[\"only json\"]}\x1e";
const COMMAND: &[u8] = b"\x95\x08\xa9hubwire-1\x01\xa4room\xa4b-id";
const RETURN_JSON: &[u8] =
    b"\x92\xa4json\xc44{\"type\":3,\"invocationId\":\"x1\",\"result\":\"forty-two\"}\x1e";
const RETURN_MSGPACK: &[u8] = b"\x92\xabmessagepack\xc4\x12\x11\x95\x03\x80\xa2x2\x03\xa9forty-two";

fn part_of<'a>(from: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let at = from.windows(wanted.len()).position(|window| window == wanted)?;
    from.get(at..at + wanted.len())
}

#[test]
fn deliveries_are_those_of_asp_net_core() {
    let (json, msgpack) = (
        br#"{"type":1,"target":"Hello","arguments":["from outside"]}"#.as_slice(),
        b"\x19\x96\x01\x80\xc0\xa5Hello\x91\xacfrom outside\x90".as_slice(),
    );
    let delivery = Delivery::read(ALL).unwrap();
    assert_eq!(delivery.json.unwrap(), [json, b"\x1e"].concat());
    assert_eq!(delivery.msgpack, part_of(ALL, msgpack));
    assert_eq!((delivery.excluded.as_slice(), delivery.asks), (&[][..], None));
    assert_eq!(delivery.write(), ALL);

    let delivery = Delivery::read(BUT_ANN).unwrap();
    assert_eq!(delivery.excluded, ["ann-id"]);
    assert_eq!(delivery.write(), BUT_ANN);

    let delivery = Delivery::read(ASK).unwrap();
    assert_eq!(delivery.asks, Some(("x1", "hubwire:return:1")));
    assert_eq!(delivery.write(), ASK);

    let delivery = Delivery::read(JSON_ONLY).unwrap();
    assert_eq!(delivery.msgpack, None);
    assert_eq!(delivery.write(), JSON_ONLY);
}

#[test]
fn later_versions_may_add_what_is_not_known_here() {
    let mut longer = ASK.to_vec();
    longer[0] = 0x95;
    longer.push(0xc3);
    assert_eq!(Delivery::read(&longer).unwrap(), Delivery::read(ASK).unwrap());
    let other = b"\x92\x90\x82\xa4json\xc4\x02{}\xa5other\xc4\x01x";
    assert_eq!(Delivery::read(other).unwrap().json, Some(&b"{}"[..]));
}

#[test]
fn group_commands_and_acknowledgements_are_those_of_asp_net_core() {
    let command = GroupCommand::read(COMMAND).unwrap();
    let expected = GroupCommand {
        ack: 8,
        server: "hubwire-1".to_owned(),
        action: GroupAction::Add,
        group: "room".to_owned(),
        connection: "b-id".to_owned(),
    };
    assert_eq!(command, expected);
    assert_eq!(command.write(), COMMAND);
    assert_eq!((write_ack(8), read_ack(b"\x91\x08").unwrap()), (b"\x91\x08".to_vec(), 8));
}

#[test]
fn answers_of_clients_are_those_of_asp_net_core() {
    let json = (HubProtocol::Json, "x1", Answer::Value(br#""forty-two""#.to_vec()), RETURN_JSON);
    let msgpack = (HubProtocol::MessagePack, "x2", Answer::Value(b"\xa9forty-two".to_vec()), RETURN_MSGPACK);
    for (protocol, id, answer, bytes) in [json, msgpack] {
        assert_eq!(write_return(protocol, id, &answer), bytes);
        assert_eq!(read_return(bytes).unwrap(), (id.to_owned(), protocol, answer));
    }
}

#[test]
fn a_call_of_another_server_keeps_all_but_its_id() {
    let delivery = Delivery::read(ASK).unwrap();
    for (protocol, expected) in [
        (
            HubProtocol::Json,
            &b"{\"type\":1,\"invocationId\":\"s1\",\"target\":\"Question\",\"arguments\":[\"q\"]}\x1e"[..],
        ),
        (HubProtocol::MessagePack, b"\x13\x96\x01\x80\xa2s1\xa8Question\x91\xa1q\x90"),
    ] {
        let call = ForeignCall::read(&delivery, protocol).unwrap();
        assert_eq!(call.message("s1").frame(protocol).unwrap().bytes(), expected);
    }
    let delivery = Delivery::read(JSON_ONLY).unwrap();
    assert!(ForeignCall::read(&delivery, HubProtocol::MessagePack).is_err());
}

#[test]
fn what_is_cut_off_or_of_another_kind_is_refused() {
    for whole in [ALL, BUT_ANN, ASK] {
        for length in 0..whole.len() {
            assert!(Delivery::read(&whole[..length]).is_err(), "{length}");
        }
    }
    for length in 0..COMMAND.len() {
        assert!(GroupCommand::read(&COMMAND[..length]).is_err(), "{length}");
    }
    for whole in [RETURN_JSON, RETURN_MSGPACK] {
        for length in 0..whole.len() {
            assert!(read_return(&whole[..length]).is_err(), "{length}");
        }
    }
    assert!(read_ack(b"\x90").is_err());
    // Counts that nothing follows.
    assert!(Delivery::read(b"\x92\xdd\xff\xff\xff\xff").is_err());
    assert!(GroupCommand::read(b"\x95\x08\xa1s\x03\xa1g\xa1c").is_err());
}

#[test]
fn channels_are_those_of_asp_net_core() {
    let channels = Channels::new("Reference.SecureHub", "web_1");
    for (name, channel, text) in [
        (channels.all(), Channel::All, "Reference.SecureHub:all"),
        (channels.group("a:b"), Channel::Group("a:b"), "Reference.SecureHub:group:a:b"),
        (channels.user("ann"), Channel::User("ann"), "Reference.SecureHub:user:ann"),
        (channels.connection("c"), Channel::Connection("c"), "Reference.SecureHub:connection:c"),
        (channels.groups(), Channel::Groups, "Reference.SecureHub:internal:groups"),
        (channels.acks("web_1"), Channel::Acks, "Reference.SecureHub:internal:ack:web_1"),
        (channels.returns(), Channel::Returns, "Reference.SecureHub:internal:return:web_1"),
    ] {
        assert_eq!(name, text);
        assert_eq!(channels.read(&name), Some(channel));
    }
    for other in [
        "Reference.SecureHub2:all",
        "Reference.SecureHub:internal:ack:web_2",
        "all",
        "Reference.SecureHub:others",
    ] {
        assert_eq!(channels.read(other), None, "{other}");
    }
}
