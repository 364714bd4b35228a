//! What calls and their answers look like on the way to an upstream and back.

use crate::{
    core::{
        HubProtocol,
        framing::RECORD_SEPARATOR,
        json,
        message::{HubMessage, Invocation, Outcome},
        msgpack,
    },
    server::calls::Answer,
};

/// A call as upstreams get it: in the client's protocol, without what says where a message ends.
pub(super) fn body<P: AsRef<[u8]> + Clone>(protocol: HubProtocol, call: &Invocation<'_, P>) -> Vec<u8> {
    let mut body = Vec::new();
    protocol.write(&mut body, &HubMessage::Invocation(call.clone()));
    match protocol {
        HubProtocol::Json => body.truncate(body.len().saturating_sub(1)),
        HubProtocol::MessagePack => {
            body.drain(..prefix_width(&body));
            // Of the six elements the last, the list of stream ids, is empty and stays out.
            if let Some(header) = body.first_mut() {
                *header = 0x95;
            }
            body.pop();
        }
    }
    body
}

/// The width of the length that a MessagePack message begins with.
fn prefix_width(message: &[u8]) -> usize {
    message.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1)
}

/// What the client gets for the upstream's answer.
pub(super) fn answer(protocol: HubProtocol, id: &str, status: u16, body: &[u8]) -> Answer {
    fn outcome<P: AsRef<[u8]>>(message: Option<HubMessage<'_, P>>, id: &str) -> Option<Answer> {
        match message {
            Some(HubMessage::Completion { invocation_id, outcome, .. }) if invocation_id == id => {
                Some(match outcome {
                    Outcome::Void => Outcome::Void,
                    Outcome::Value(value) => Outcome::Value(value.as_ref().to_vec()),
                    Outcome::Error(error) => Outcome::Error(error.into_owned().into()),
                })
            }
            _ => None,
        }
    }
    // Azure takes no other status as a success.
    if !matches!(status, 200 | 204) {
        return Outcome::Error(format!("Invocation failed, status code {status}").into());
    }
    if body.is_empty() || status == 204 {
        return Outcome::Void;
    }
    let answered = match protocol {
        HubProtocol::Json => {
            let text = std::str::from_utf8(body.strip_suffix(&[RECORD_SEPARATOR]).unwrap_or(body));
            let message = text.ok().and_then(|text| json::parse(text).ok().flatten());
            outcome(message, id)
        }
        HubProtocol::MessagePack => {
            // Upstreams send it with its length, as a client would get it, or without.
            let unprefixed = body.get(prefix_width(body)..).unwrap_or_default();
            [body, unprefixed].into_iter().find_map(|bytes| outcome(msgpack::parse(bytes).ok().flatten(), id))
        }
    };
    answered.unwrap_or_else(|| {
        Outcome::Error("The upstream answered with something that is not a completion of this call.".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_upstream() {
        let answer = |status, body: &str| answer(HubProtocol::Json, "7", status, body.as_bytes());
        let is_error = |answer, part: &str| matches!(answer, Outcome::Error(error) if error.contains(part));
        let ok = "{\"type\":3,\"invocationId\":\"7\",\"result\":{\"a\":1}}\u{1e}";
        let value = Outcome::Value(b"{\"a\":1}".to_vec());
        assert_eq!(answer(200, ok), value);
        assert_eq!(answer(200, ok.trim_end_matches('\u{1e}')), value);
        assert_eq!(answer(204, ""), Outcome::Void);
        assert_eq!(
            answer(200, "{\"type\":3,\"invocationId\":\"7\",\"error\":\"no\"}"),
            Outcome::Error("no".into())
        );
        assert!(is_error(answer(200, "nonsense"), "not a completion of this call"));
        assert!(is_error(answer(200, &ok.replace('7', "8")), "not a completion of this call"));
        for status in [201, 404, 500] {
            let expected = format!("Invocation failed, status code {status}");
            assert_eq!(answer(status, ok), Outcome::Error(expected.into()));
        }
    }

    #[test]
    fn answers_in_messagepack_are_those_of_the_upstream() {
        let answer = |status, body: &[u8]| answer(HubProtocol::MessagePack, "7", status, body);
        let ok = b"\x07\x95\x03\x80\xa17\x03\x01";
        assert_eq!(answer(200, ok), Outcome::Value(vec![1]));
        assert_eq!(answer(200, &ok[1..]), Outcome::Value(vec![1]));
        assert_eq!(answer(204, b""), Outcome::Void);
        for (status, body) in [(200, &b"{}"[..]), (200, b"\x95\x03\x80\xa18\x03\x01"), (500, ok)] {
            assert!(matches!(answer(status, body), Outcome::Error(_)), "{body:?}");
        }
    }

    #[test]
    fn calls_have_no_length_and_no_stream_ids() {
        let call = Invocation {
            headers: Vec::new(),
            invocation_id: None,
            target: "m".into(),
            arguments: &b"\x91\x01"[..],
            stream_ids: Vec::new(),
        };
        assert_eq!(body(HubProtocol::MessagePack, &call), b"\x95\x01\x80\xc0\xa1m\x91\x01");
        let HubMessage::Invocation(call) = HubMessage::Invocation(call).map(|_| "[1]") else { panic!() };
        assert_eq!(body(HubProtocol::Json, &call), br#"{"type":1,"target":"m","arguments":[1]}"#);
    }
}
