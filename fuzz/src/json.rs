//! A record is the message that serde_json and the protocol's rules make of it, or none; and a message that is
//! written is read again as it was.

use hubwire::core::framing::TextFraming;
use hubwire::core::handshake::{HandshakeRequest, HandshakeResponse};
use hubwire::core::json;
use hubwire::core::message::{Headers, HubMessage, Invocation, Outcome};

use crate::reference::{MAX_DEPTH, MAX_ENTRIES, Members, depth, integer, items, text};

pub(crate) fn run(data: &[u8]) {
    let Ok(record) = std::str::from_utf8(data) else { return };
    let parsed = json::parse(record);
    match reference(record) {
        Some(wanted) => match &parsed {
            Ok(message) => assert_eq!(message, &wanted),
            Err(error) => assert!(depth(record) > MAX_DEPTH, "refused: {error}"),
        },
        None => assert!(parsed.is_err(), "taken: {parsed:?}"),
    }
    if let Ok(Some(message)) = parsed {
        round_trip(&message);
    }
    handshakes(record);
}

fn round_trip(message: &HubMessage<'_, &str>) {
    let mut out = Vec::new();
    json::write(&mut out, message);
    let mut records = 0;
    let mut framing = TextFraming::default();
    framing
        .feed(&out, |record| {
            assert_eq!(json::parse(record)?.as_ref(), Some(message));
            records += 1;
            Ok(())
        })
        .expect("what is written is read");
    framing.finish().expect("a whole message");
    assert_eq!(records, 1);
}

/// `None` is a message that breaks the protocol.
fn reference(record: &str) -> Option<Option<HubMessage<'_, &str>>> {
    let members = Members::parse(record)?;
    let id = || match members.present("invocationId") {
        None => Some(None),
        Some(json) => text(json).map(|id| Some(id).filter(|id| !id.is_empty())),
    };
    let required_id = || id()?.map(Into::into);
    let error = || match members.get("error") {
        None | Some("null") => Some(None),
        Some(json) => text(json).map(Some),
    };
    let call = || {
        Some(Invocation {
            headers: headers(&members)?,
            invocation_id: id()?.map(Into::into),
            target: text(members.present("target")?).filter(|target| !target.is_empty())?.into(),
            arguments: members.present("arguments").map_or(Some("[]"), |json| items(json).map(|_| json))?,
            stream_ids: match members.get("streamIds") {
                None | Some("null") => Vec::new(),
                Some(json) => items(json)
                    .filter(|ids| ids.len() <= MAX_ENTRIES)?
                    .into_iter()
                    .map(|id| Some(text(id)?.into()))
                    .collect::<Option<_>>()?,
            },
        })
    };
    let sequence_id = || integer(members.get("sequenceId")?);
    Some(Some(match integer(members.get("type")?)? {
        1 => HubMessage::Invocation(call()?),
        2 => HubMessage::StreamItem {
            headers: headers(&members)?,
            invocation_id: required_id()?,
            item: members.get("item")?,
        },
        3 => HubMessage::Completion {
            headers: headers(&members)?,
            invocation_id: required_id()?,
            outcome: match (error()?, members.get("result")) {
                (Some(error), None | Some("null")) => Outcome::Error(error.into()),
                (Some(error), Some(_)) if !error.is_empty() => return None,
                (_, Some(result)) => Outcome::Value(result),
                (None, None) => Outcome::Void,
            },
        },
        4 => {
            id()??;
            HubMessage::StreamInvocation(call()?)
        }
        5 => HubMessage::CancelInvocation { headers: headers(&members)?, invocation_id: required_id()? },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: error()?.map(Into::into),
            allow_reconnect: match members.get("allowReconnect") {
                None | Some("null" | "false") => false,
                Some("true") => true,
                Some(_) => return None,
            },
        },
        8 => HubMessage::Ack { sequence_id: sequence_id()? },
        9 => HubMessage::Sequence { sequence_id: sequence_id()? },
        _ => return Some(None),
    }))
}

fn headers(members: &Members<'_>) -> Option<Headers<'static>> {
    let mut headers: Headers<'static> = Vec::new();
    let Some(json) = members.get("headers").filter(|&json| json != "null") else { return Some(headers) };
    let members = Members::parse(json)?.0;
    if members.len() > MAX_ENTRIES {
        return None;
    }
    for (name, value) in members {
        if value != "null" {
            headers.retain(|(known, _)| *known != name);
            headers.push((name.into(), text(value)?.into()));
        }
    }
    Some(headers)
}

fn handshakes(record: &str) {
    let members = Members::parse(record);
    let members = members.as_ref();
    let shallow = depth(record) <= MAX_DEPTH;

    // A member of the wrong kind counts as none; the last one counts.
    let wanted = members.and_then(|members| {
        let protocol = text(members.get("protocol")?)?;
        Some(HandshakeRequest { protocol, version: integer(members.get("version")?)? })
    });
    let request = HandshakeRequest::parse(record).ok();
    assert!(request == wanted || !shallow, "{request:?} {wanted:?}");
    if let Some(request) = request {
        let mut out = Vec::new();
        request.write(&mut out);
        let written = std::str::from_utf8(&out).expect("text").strip_suffix('\u{1e}').expect("a separator");
        assert_eq!(HandshakeRequest::parse(written), Ok(request));
    }

    let response = HandshakeResponse::parse(record);
    let Some(members) = members else { return assert!(response.is_err()) };
    let errors: Vec<_> = members.all("error").filter(|&json| json != "null").collect();
    match response {
        Ok(response) => {
            let wanted = errors.last().map(|json| text(json).expect("a string"));
            assert_eq!(response.error, wanted.filter(|text| !text.is_empty()));
            assert!(members.all("type").all(|json| json == "null"));
        }
        Err(error) => {
            let wrong = members.all("type").any(|json| json != "null")
                || errors.iter().any(|json| text(json).is_none());
            assert!(wrong || !shallow, "refused: {error}");
        }
    }
}
