//! A client whose network, server and user do anything at any time. Every call ends exactly once, nothing goes on for
//! ever, and a driver that does what it is told never has two things to do at once: the driver asserts it.

use std::time::Duration;

use arbitrary::Unstructured;
use hubwire::core::Moment;
use hubwire::core::client::TransportError;
use hubwire::core::codec::{Frame, Payload};
use hubwire::core::hub::CallKind;
use hubwire::core::message::Outcome;
use hubwire::core::negotiate::Transports;
use hubwire::core::token::AccessToken;

use crate::driver::{Driver, Heard, Job};

/// More operations than this add nothing.
const LONGEST: usize = 300;

/// The claims of the second one: `{"exp":1800003600}`.
const TOKENS: [&str; 3] = ["opaque", "e30.eyJleHAiOjE4MDAwMDM2MDB9.x", ""];

const ANSWERS: [(u16, &str); 9] = [
    (
        200,
        r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text"]}]}"#,
    ),
    (
        200,
        r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#,
    ),
    (
        200,
        r#"{"connectionId":"i","tokenLifetimeSeconds":60,"availableTransports":[{"transport":"LongPolling","transferFormats":["Text"]}]}"#,
    ),
    (200, r#"{"url":"https://svc/client/?hub=chat","accessToken":"of-the-redirect"}"#),
    (200, r#"{"url":"https://svc/client/?hub=chat"}"#),
    (200, r#"{"url":"http://clear.example/"}"#),
    (401, ""),
    (503, ""),
    (200, "<html>"),
];

const FRAMES: [&[u8]; 10] = [
    b"{}\x1e",
    b"{}\x1e{\"type\":6}\x1e",
    b"{",
    b"}\x1e",
    b"{\"error\":\"no\"}\x1e",
    b"\xff\x1e",
    b"{\"type\":9,\"sequenceId\":1}\x1e",
    b"{\"type\":8,\"sequenceId\":1}\x1e",
    b"{\"type\":4,\"invocationId\":\"9\",\"target\":\"Stream\",\"arguments\":[],\"streamIds\":[\"0\"]}\x1e",
    b"",
];

const REFRESHED: [(u16, &str); 4] = [
    (200, r#"{"tokenLifetimeSeconds":60}"#),
    (200, r#"{"accessToken":"later-of-the-redirect"}"#),
    (403, r#"{"error":"no"}"#),
    (200, "<html>"),
];

pub(crate) fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let flags: u8 = data.arbitrary().unwrap_or_default();
    let flag = |bit: u8| flags & (1 << bit) != 0;
    let mut world = World {
        driver: Driver::with(|options| {
            options.has_token_provider = flag(0);
            options.automatic_reconnect = flag(1);
            options.retry_first_connect = flag(2);
            options.use_stateful_reconnect = flag(3);
            options.skip_negotiation = flag(4);
            if flag(5) {
                options.transports.available = Transports::ALL;
            }
            if flag(6) {
                options.server_timeout = Duration::from_secs(1);
                options.keep_alive_interval = Duration::from_millis(1);
            }
            if flag(7) {
                options.stateful_buffer_size = 100;
            }
        }),
    };
    for _ in 0..LONGEST {
        if data.is_empty() || world.operate(&mut data).is_err() {
            break;
        }
        world.driver.take_effects();
        world.driver.sent.clear();
    }
    world.driver.stop();
    assert!(!world.driver.is_started());
    world.driver.stop();
}

struct World {
    driver: Driver,
}

impl World {
    fn operate(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let driver = &mut self.driver;
        match data.int_in_range(0..=31)? {
            0 => driver.start(),
            // What the driver waits for comes, and goes well.
            1..=3 => self.go_on(),
            4 => {
                let token = match data.int_in_range(0..=3)? {
                    3 => Err("no".to_owned().into()),
                    token => Ok(TOKENS.get(token).map(|&token| token.into())),
                };
                driver.token(token);
            }
            5 => {
                let answer = ANSWERS.get(data.int_in_range(0..=ANSWERS.len())?);
                driver.answer_negotiate(answer.copied().ok_or_else(|| TransportError::new("lost")));
            }
            6 => {
                let status = *data.choose(&[None, Some(401), Some(404), Some(409)])?;
                let refused = TransportError::new("refused");
                driver.open(Err(status.map_or(refused.clone(), |status| refused.with_status(status))));
            }
            7 => {
                let bytes = *data.choose(&FRAMES)?;
                let text = std::str::from_utf8(bytes).map(Frame::Text);
                drop(driver.receive_frame(text.unwrap_or(Frame::Binary(bytes))));
            }
            8 => {
                let delay = *data.choose(&[None, Some(0), Some(1), Some(1000), Some(u64::MAX)])?;
                driver.retry_delay(delay.map(Duration::from_secs));
            }
            9 => driver.transport_closed(TransportError::new("lost")),
            10 => driver.protocol_error(),
            11 => {
                let kind = if data.arbitrary()? { CallKind::Stream } else { CallKind::Plain };
                driver.invoke(kind, "[1]", 0);
            }
            12 => driver.cancel(data.int_in_range(0..=15)?),
            13 => {
                let id = data.int_in_range(0..=15)?;
                self.message(id, data.arbitrary()?);
            }
            14 => {
                let allowed: bool = data.arbitrary()?;
                self.hear(&format!("{{\"type\":7,\"allowReconnect\":{allowed}}}"));
            }
            15 => driver.wake(),
            16 => driver.stop(),
            17 if driver.is_blocked => driver.unblock(),
            17 => driver.is_blocked = driver.transport.is_some(),
            18 => {
                let token = TOKENS.get(data.int_in_range(0..=3)?).map(|&token| AccessToken::from(token));
                driver.reject_token(token);
            }
            19 => {
                if data.arbitrary()? {
                    driver.invoke(CallKind::Plain, "[]", 2);
                } else {
                    driver.send("[]", 1);
                }
            }
            20 => {
                if data.arbitrary()? {
                    let upload = driver.uploads.last_key_value().map_or(0, |(&upload, _)| upload);
                    driver.end_upload(upload, None);
                    driver.end_upload(upload, Some("again"));
                } else {
                    let call = driver.asked.last().copied().unwrap_or(0);
                    driver.answer(call, Outcome::Value(Payload::Json("1")));
                    driver.refuse(call);
                }
            }
            21 => {
                let id = data.int_in_range(0..=3)?;
                self.asks(id, data.arbitrary()?);
            }
            22 => {
                let until = driver.now + Duration::from_millis(data.int_in_range(0..=20_000)?);
                driver.sleep_until(until);
            }
            23 => {
                // As long as anything can take.
                let until = driver.machine.poll_timeout().unwrap_or(driver.now);
                driver
                    .sleep_until(until.min(Moment::from_epoch(Duration::from_secs(1 << 40))).max(driver.now));
            }
            24 => drop(driver.begin_refresh()),
            25 => {
                let token = TOKENS.get(data.int_in_range(0..=3)?).map(|&token| token.into());
                driver.refresh_token(token.ok_or_else(|| "no".to_owned().into()).map(Some));
            }
            26 => {
                // A server that was not redirected to has no token of its redirect.
                let redirected = driver.machine.info().is_some_and(|info| info.url.host() != "app");
                let answer = data.int_in_range(0..=REFRESHED.len())?;
                let answer = REFRESHED.get(answer).filter(|_| answer != 1 || redirected).copied();
                driver.answer_refresh(answer.ok_or_else(|| TransportError::new("lost")));
            }
            27 => {
                let upload = driver.uploads.first_key_value().map_or(0, |(&upload, _)| upload);
                driver.send_item(upload, "1");
            }
            28 => {
                driver.load.is_full = data.arbitrary()?;
                driver.load.is_hungry = data.arbitrary()?;
            }
            29 => driver.load.taken += 1,
            30 => driver.slow_consumer(),
            _ => {
                let until = driver.now + Duration::from_millis(data.int_in_range(0..=200_000)?);
                // Through all timeouts on the way; a ping a millisecond would be many.
                match driver.machine.options().keep_alive_interval < Duration::from_secs(1) {
                    true => driver.sleep_until(until),
                    false => driver.wait_until(until),
                }
            }
        }
        Ok(())
    }

    fn go_on(&mut self) {
        let driver = &mut self.driver;
        match driver.step {
            Some(Job::Token) => driver.token(Ok(Some(TOKENS[1].into()))),
            Some(Job::Negotiate) => {
                let stateful = driver.machine.options().use_stateful_reconnect;
                driver.answer_negotiate(Ok(ANSWERS[usize::from(stateful)]));
            }
            Some(Job::Open) => driver.open(Ok(())),
            Some(Job::RetryDelay) => driver.retry_delay(Some(Duration::ZERO)),
            None if driver.shaking_hands => drop(driver.receive("{}\u{1e}")),
            None => drop(driver.invoke(CallKind::Plain, "[]", 0)),
        }
    }

    fn hear(&mut self, record: &str) -> Vec<Heard> {
        self.driver.receive(&format!("{record}\u{1e}"))
    }

    /// The server calls, or no longer wants the answer.
    fn asks(&mut self, id: u8, cancels: bool) {
        if cancels {
            self.hear(&format!("{{\"type\":5,\"invocationId\":\"{id}\"}}"));
        } else {
            self.hear(&format!(
                "{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"Ask\",\"arguments\":[]}}"
            ));
        }
    }

    /// A completion or an item for a call of ours, whether there is one or not.
    fn message(&mut self, id: u64, ends: bool) {
        // The server may have an upload of that name.
        let kind = self.driver.calls.get(&id).copied().filter(|_| self.driver.can_hear());
        let stateful = self.driver.machine.info().is_some_and(|info| info.stateful);
        let heard = self.hear(&match ends {
            true => format!("{{\"type\":3,\"invocationId\":\"{id}\",\"result\":1}}"),
            false => format!("{{\"type\":2,\"invocationId\":\"{id}\",\"item\":1}}"),
        });
        let fits = match (kind, &heard[..]) {
            (None, []) => true,
            (Some(CallKind::Stream), [Heard::StreamCompleted(of, None)]) => ends && *of == id,
            (Some(CallKind::Stream), [Heard::Item(of, _)]) => !ends && *of == id,
            (Some(CallKind::Plain), [Heard::Completed(of, Ok(Some(_)))]) => ends && *of == id,
            (Some(CallKind::Plain), [Heard::UnexpectedItem(of)]) => !ends && *of == id,
            // After a Sequence it is a duplicate; an upload of the server's may have taken the item.
            (Some(_), []) => stateful || !ends && id == 0,
            _ => false,
        };
        // Half a record was there before.
        let cut = heard.is_empty() && !self.driver.can_hear();
        assert!(fits || cut, "{kind:?}: {heard:?}");
    }
}
