//! Whatever the service sends to an app server, and however it is cut: the same comes of it, it ends, and time goes on.

use std::time::Duration;

use hubwire::core::Moment;
use hubwire::core::framing::BinaryFraming;
use hubwire::core::server_connection::{Effect, Fin, Kind, ServerConnection, Terms};
use hubwire::core::service_protocol::parse;

/// The service has accepted the handshake.
const ACCEPTED: &[u8] = b"\x05\x94\x02\xa0\x80\xa0";

pub(crate) fn run(data: &[u8]) {
    let [choice, data @ ..] = data else { return };
    let whole = outcome(*choice, [data]);
    assert_eq!(outcome(*choice, data.chunks(1 + usize::from(choice >> 5))), whole);
}

/// What is done and sent, with the handshake or without, as far as the time has nothing to do with it.
fn outcome<'a>(choice: u8, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Effect>, Vec<Vec<u8>>) {
    let terms = Terms {
        kind: if choice & 1 == 0 { Kind::Default } else { Kind::Weak },
        migration_level: 0,
        allows_stateful_reconnect: false,
        asks_for_keys: choice & 2 != 0,
    };
    let mut now = Moment::ZERO;
    let mut connection = ServerConnection::new(now, terms);
    if choice & 4 == 0 {
        connection.handle_bytes(now, ACCEPTED);
    }
    if choice & 8 != 0 {
        connection.announce_end(now, Fin::Keep);
    }
    for piece in pieces {
        connection.handle_bytes(now, piece);
    }
    let effects: Vec<_> = std::iter::from_fn(|| connection.poll_effect()).collect();
    let transmits: Vec<_> = std::iter::from_fn(|| connection.poll_transmit()).collect();
    for bytes in &transmits {
        let read =
            |frame: &[u8]| parse(frame).map(|message| assert!(message.is_some(), "an unknown message"));
        BinaryFraming::default().feed(bytes, read).expect("what is sent can be read");
    }
    let closes = effects.iter().filter(|effect| matches!(effect, Effect::Close(_))).count();
    assert!(closes <= 1 && (closes == 0 || matches!(effects.last(), Some(Effect::Close(_)))), "{effects:?}");

    // Silence is the end of any of them.
    let mut is_closed = closes > 0;
    while !is_closed {
        let next = connection.poll_timeout();
        assert!(next > now, "time stands still at {now:?}");
        assert!(next < Moment::from_epoch(Duration::from_secs(60)), "nothing ends it");
        now = next;
        connection.handle_timeout(now);
        while connection.poll_transmit().is_some() {}
        while let Some(effect) = connection.poll_effect() {
            is_closed |= matches!(effect, Effect::Close(_));
        }
    }
    assert_eq!(connection.poll_timeout(), Moment::MAX);
    (effects, transmits)
}
