//! Where an event stream is cut does not matter, and what comes out is what the specification says of the whole text.

use hubwire::core::ProtocolError;
use hubwire::core::sse::EventStream;

use crate::cut;

pub(crate) fn run(data: &[u8]) {
    let (stream, chunks) = cut::chunks(data);
    let (wanted, utf8) = reference(stream);
    for chunks in [&[stream][..], &chunks] {
        let (events, end) = read(EventStream::default(), chunks);
        assert_eq!(events, wanted);
        assert_eq!(end.is_ok(), utf8, "{end:?}");

        // A limit ends the stream sooner, and changes nothing else.
        let (events, end) = read(EventStream::new(32), chunks);
        assert_eq!(Some(&*events), wanted.get(..events.len()));
        assert!(events.iter().all(|event| event.len() <= 32));
        match end {
            Err(ProtocolError::TooLong { limit: 32 }) => {}
            _ => assert_eq!((events.len(), end.is_ok()), (wanted.len(), utf8)),
        }
    }
}

fn read(mut stream: EventStream, chunks: &[&[u8]]) -> (Vec<String>, Result<(), ProtocolError>) {
    let mut events = Vec::new();
    let end = chunks.iter().try_for_each(|chunk| stream.feed(chunk, |event| events.push(event.to_owned())));
    (events, end)
}

/// The events, and whether all of them were UTF-8.
fn reference(stream: &[u8]) -> (Vec<String>, bool) {
    let stream = stream.strip_prefix("\u{feff}".as_bytes()).unwrap_or(stream);
    // CR LF is one end of a line; a lone CR is one as well.
    let mut lines = vec![Vec::new()];
    for (at, &byte) in stream.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && stream[at - 1] == b'\r' => {}
            b'\n' | b'\r' => lines.push(Vec::new()),
            byte => lines.last_mut().expect("a line").push(byte),
        }
    }
    // What has no end is no line.
    lines.pop();
    let (mut events, mut data) = (Vec::new(), None::<Vec<Vec<u8>>>);
    for line in lines {
        if line.is_empty() {
            let Some(data) = data.take() else { continue };
            match String::from_utf8(data.join(&b'\n')) {
                Ok(event) => events.push(event),
                Err(_) => return (events, false),
            }
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (&line[..], &b""[..]),
        };
        if name == b"data" {
            data.get_or_insert_default().push(value.to_vec());
        }
    }
    (events, true)
}
