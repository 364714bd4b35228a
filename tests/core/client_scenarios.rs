//! Everything that can go wrong with a client's connection, at every step of every way to connect, by a virtual clock.
//!
//! A [`Plan`] is a way that goes well. It is walked once to see its steps; then again for every step and every
//! [`Fault`], which happens there, while two calls, an upload, an answer and a refresh are in progress if there is a
//! connection. What has to follow stands in one table, [`wanted`]. Afterwards everything goes well again.

use std::time::Duration;

use crate::machine::driver::{Heard, Refresh};
use crate::machine::plan::{ONE, PLANS, Plan, Step, TWO, Walk};
use hubwire::core::Moment;
use hubwire::core::client::{ConnectionError, Effect, TransportError};
use hubwire::core::codec::{Frame, Payload};
use hubwire::core::hub::CallKind;
use hubwire::core::message::Outcome;
use hubwire::core::negotiate::Transport;
use hubwire::core::refresh::RefreshError;

use Step::*;

const PING: &str = "{\"type\":6}\u{1e}";
const CLOSE: &str = "{\"type\":7}\u{1e}";
const ASK: &str = "{\"type\":1,\"invocationId\":\"a\",\"target\":\"Ask\",\"arguments\":[]}\u{1e}";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What is waited for fails; a transport that is open ends.
    Fails,
    /// The server refuses for good.
    Refused,
    /// Nothing comes any more.
    Silence,
    /// The user stops the connection.
    Stop,
    /// The server sends a frame that is not the hub protocol.
    Malformed,
    /// The driver finds that the protocol was broken.
    ProtocolError,
    /// The user's side takes the server's messages too slowly.
    SlowConsumer,
    /// The server closes the connection.
    Close { allow_reconnect: bool },
    /// The page wakes up, or the network is back.
    Wake,
    /// Everything comes that is not waited for.
    Late,
}

const FAULTS: [Fault; 11] = [
    Fault::Fails,
    Fault::Refused,
    Fault::Silence,
    Fault::Stop,
    Fault::Malformed,
    Fault::ProtocolError,
    Fault::SlowConsumer,
    Fault::Close { allow_reconnect: true },
    Fault::Close { allow_reconnect: false },
    Fault::Wake,
    Fault::Late,
];

/// What follows a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The connection is over, for this reason.
    Ends(&'static str),
    /// The retry policy is asked, for this reason.
    Asks(&'static str),
    /// The next transport is tried, with a new negotiate.
    FallsBack,
    /// A new socket is opened for the same connection, after the token was fetched if need be.
    Resumes,
    /// A retry is made at once.
    Attempts,
    /// A ping is sent.
    Pings,
    /// Nothing at all.
    Nothing,
}

/// Whether a fault can happen at a step.
fn is_possible(walk: &Walk, step: Step, fault: Fault) -> bool {
    match fault {
        Fault::Fails => step != Delay,
        Fault::Refused => matches!(step, Negotiate | Open | Handshake | ResumeOpen),
        // Long polling always has a request under way, and notices by itself.
        Fault::Silence => {
            step != Delay && (step != Connected || walk.driver.transport != Some(Transport::LongPolling))
        }
        _ => true,
    }
}

fn fail(walk: &mut Walk, step: Step, fault: Fault) {
    let error = |status: Option<u16>| {
        let lost = TransportError::new("lost");
        status.map_or(lost.clone(), |status| lost.with_status(status))
    };
    let driver = &mut walk.driver;
    match (fault, step) {
        (Fault::Fails, Token | ResumeToken) => driver.token(Err("no".into())),
        (Fault::Fails, Negotiate) => driver.answer_negotiate(Err(error(None))),
        (Fault::Fails, Open) => driver.open(Err(error(None))),
        // It is tried a few times: the trouble may be the same that the last socket had.
        (Fault::Fails, ResumeOpen) => {
            for _ in 0..10 {
                walk.driver.open(Err(error(None)));
                walk.give_token();
            }
        }
        (Fault::Fails, Handshake | Connected) => driver.transport_closed(error(None)),
        (Fault::Fails, _) => driver.retry_delay(None),
        (Fault::Refused, Negotiate) => driver.answer_negotiate(Ok((403, ""))),
        (Fault::Refused, Open | ResumeOpen) => driver.open(Err(error(Some(404)))),
        (Fault::Refused, _) => assert_eq!(driver.receive("{\"error\":\"no\"}\u{1e}"), []),
        (Fault::Silence, _) => {
            // The pings of a connection come first.
            for _ in 0..5 {
                let heard = driver.can_hear();
                let at = driver.machine.poll_timeout().unwrap();
                let (effects, sent) = (driver.effects.len(), driver.sent.len());
                driver.sleep_until(Moment::from_epoch(at.since_epoch() - Duration::from_nanos(1)));
                assert_eq!((driver.effects.len(), driver.sent.len()), (effects, sent), "too early");
                driver.sleep_until(at);
                if !heard || !driver.can_hear() {
                    break;
                }
            }
        }
        (Fault::Stop, _) => driver.stop(),
        (Fault::Malformed, _) => {
            let frame = if step == Handshake { Frame::Text(PING) } else { Frame::Binary(b"\x02\x91\x06") };
            assert_eq!(driver.receive_frame(frame), []);
        }
        (Fault::ProtocolError, _) => driver.protocol_error(),
        (Fault::SlowConsumer, _) => driver.slow_consumer(),
        // What follows a Close means nothing.
        (Fault::Close { allow_reconnect }, _) => {
            let close =
                format!("{{\"type\":7,\"error\":\"bye\",\"allowReconnect\":{allow_reconnect}}}\u{1e}");
            assert_eq!(driver.receive(&format!("{close}{ASK}")), []);
        }
        (Fault::Wake, _) => driver.wake(),
        (Fault::Late, _) => late(walk, step),
    }
}

/// The driver asserts that nothing of it has an effect.
fn late(walk: &mut Walk, step: Step) {
    let driver = &mut walk.driver;
    driver.start();
    if !matches!(step, Token | ResumeToken) {
        driver.token(Err("late".into()));
        driver.token(Ok(Some("late".into())));
    }
    if step != Negotiate {
        driver.answer_negotiate(Ok((200, ONE)));
        driver.answer_negotiate(Err(TransportError::new("late")));
    }
    if !matches!(step, Open | ResumeOpen) {
        driver.open(Ok(()));
        driver.open(Err(TransportError::new("late")));
    }
    if step != Policy {
        driver.retry_delay(Some(Duration::ZERO));
        driver.retry_delay(None);
    }
    if !matches!(step, Handshake | Connected) {
        for frame in ["{}\u{1e}", PING, ASK, "{\"type\":9,\"sequenceId\":1}\u{1e}", CLOSE, "", "\u{1e}", "{"]
        {
            assert_eq!(driver.receive(frame), []);
        }
        driver.transport_closed(TransportError::new("late"));
        driver.protocol_error();
        driver.slow_consumer();
    }
    if driver.refresh.is_none() {
        driver.refresh_token(Ok(Some("late".into())));
    }
    if driver.refresh != Some(Refresh::Request) {
        driver.answer_refresh(Ok((200, "{}")));
    }
    driver.cancel(1 << 40);
    driver.send_item(1 << 40, "1");
    driver.end_upload(1 << 40, None);
    driver.answer(1 << 40, Outcome::Void);
    driver.refuse(1 << 40);
    if !step.is_up() {
        assert_eq!(driver.invoke(CallKind::Plain, "[]", 1), None);
        driver.send("[]", 1);
        assert_eq!(driver.begin_refresh(), Err(RefreshError::NotConnected));
    }
    driver.sleep_until(driver.now);
}

/// The table.
fn wanted(walk: &Walk, step: Step, fault: Fault) -> Then {
    let (options, plan) = (walk.driver.machine.options(), &walk.plan);
    let stateful = walk.driver.machine.info().is_some_and(|info| info.stateful);
    let transports_left = plan.answers[0].1 == TWO && walk.driver.opening == Transport::WebSockets;
    let or_falls_back = if transports_left { Some(Then::FallsBack) } else { None };

    // A connection that was up, for a reason that lets it come back.
    let lost = |reason| if options.automatic_reconnect { Then::Asks(reason) } else { Then::Ends(reason) };
    // An attempt to connect, for a reason that may pass or not.
    let failed = |reason, may_pass| match walk.retrying {
        true => Then::Asks(reason),
        false if options.retry_first_connect && may_pass => Then::Asks(reason),
        false => Then::Ends(reason),
    };
    match (fault, step) {
        (Fault::Stop, _) => Then::Ends("stopped"),
        (Fault::Late, _) => Then::Nothing,
        (Fault::Wake, Delay) => Then::Attempts,
        (Fault::Wake, Connected) if walk.driver.transport != Some(Transport::LongPolling) => Then::Pings,
        (Fault::Wake, _) => Then::Nothing,

        (Fault::Fails, Token) => failed("token", false),
        (Fault::Silence, Token | Negotiate | Handshake) => failed("timeout", true),
        (Fault::Fails, Negotiate) => failed("negotiate request", true),
        (Fault::Refused, Negotiate) => failed("negotiate", false),
        (Fault::Silence, Open) if options.skip_negotiation => failed("timeout", true),
        (Fault::Fails, Open) if options.skip_negotiation => failed("transport", true),
        (Fault::Refused, Open) if options.skip_negotiation => failed("transport", false),
        (Fault::Fails | Fault::Silence, Open) => {
            or_falls_back.unwrap_or_else(|| failed("no transport", true))
        }
        // The first transport was lost on the way, which may pass, in the plan with two of them.
        (Fault::Refused, Open) => {
            or_falls_back.unwrap_or_else(|| failed("no transport", plan.failing_opens > 0))
        }
        (Fault::Fails, Handshake) => failed("transport", true),
        (Fault::Refused, Handshake) => failed("handshake", false),
        // A Close is a hub message, and so is not the answer to the handshake.
        (Fault::Malformed | Fault::ProtocolError | Fault::Close { .. }, Handshake) => {
            failed("protocol", false)
        }
        (Fault::SlowConsumer, Handshake) => failed("slow consumer", false),

        (Fault::Fails | Fault::Silence, Connected) if stateful => Then::Resumes,
        (Fault::Fails, Connected) => lost("transport"),
        (Fault::Silence, Connected) => lost("server timeout"),
        (Fault::Malformed | Fault::ProtocolError, Connected) => lost("protocol"),
        (Fault::SlowConsumer, Connected) => Then::Ends("slow consumer"),
        (Fault::Close { allow_reconnect: true }, Connected) => lost("closed"),
        (Fault::Close { allow_reconnect: false }, Connected) => Then::Ends("closed"),

        // What is told is why the connection was lost, not why its new socket failed.
        (Fault::Fails | Fault::Refused | Fault::Silence, ResumeToken | ResumeOpen) => lost("transport"),

        (Fault::Fails | Fault::Silence, Policy) => Then::Ends(match plan.name {
            "retry of the first connect" => "negotiate",
            _ => "transport",
        }),
        (Fault::Malformed | Fault::ProtocolError | Fault::SlowConsumer | Fault::Close { .. }, _) => {
            Then::Nothing
        }
        (Fault::Fails | Fault::Refused | Fault::Silence, _) => unreachable!("{fault:?} at {step:?}"),
    }
}

fn seen(walk: &Walk) -> Then {
    let effects = &walk.driver.effects;
    match effects.last() {
        None if walk.driver.sent == PING.as_bytes() => Then::Pings,
        None => {
            assert_eq!(walk.driver.sent, b"");
            Then::Nothing
        }
        Some(Effect::Disconnected(error)) => Then::Ends(reason(error)),
        Some(Effect::AskRetryPolicy(context)) => Then::Asks(reason(&context.reason)),
        _ if walk.driver.is_up() => Then::Resumes,
        Some(Effect::Negotiate(_)) if effects.iter().any(closes) => Then::FallsBack,
        Some(Effect::FetchToken | Effect::Negotiate(_) | Effect::Open { .. }) => Then::Attempts,
        Some(effect) => panic!("{effect:?}"),
    }
}

fn closes(effect: &Effect) -> bool {
    matches!(effect, Effect::CloseTransport { .. })
}

fn reason(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::AccessToken(_) => "token",
        ConnectionError::Negotiate { .. } => "negotiate",
        ConnectionError::NegotiateRequest { .. } => "negotiate request",
        ConnectionError::NoTransport { .. } => "no transport",
        ConnectionError::Transport(_) => "transport",
        ConnectionError::Timeout { .. } => "timeout",
        ConnectionError::Handshake(_) => "handshake",
        ConnectionError::Protocol(_) => "protocol",
        ConnectionError::ServerTimeout { .. } => "server timeout",
        ConnectionError::ServerClosed { .. } => "closed",
        ConnectionError::SlowConsumer => "slow consumer",
        ConnectionError::Stopped => "stopped",
        error => panic!("{error:?}"),
    }
}

#[test]
fn each_plan_takes_its_steps() {
    for plan in PLANS {
        let mut walk = Walk::begin(plan, false, false);
        let mut steps = Vec::new();
        while let Some(step) = walk.step() {
            steps.push(step);
            if !walk.go_on(step) {
                break;
            }
        }
        assert_eq!(steps, plan.steps, "{}", plan.name);
        assert!(walk.driver.can_hear(), "{}", plan.name);
    }
}

#[test]
fn every_fault_at_every_step() {
    let mut cases = 0;
    for plan in PLANS {
        for (at, &step) in plan.steps.iter().enumerate() {
            for fault in FAULTS {
                for (reconnect, retry_first) in [(false, false), (true, false), (false, true), (true, true)] {
                    let mut walk = at_step(plan, at, reconnect, retry_first);
                    let case = format!(
                        "{}: {fault:?} at {step:?}, the step {at} ({reconnect}, {retry_first})",
                        plan.name
                    );
                    assert_eq!(walk.step(), Some(step), "{case}");
                    if is_possible(&walk, step, fault) {
                        // A panic of the driver's does not know the case.
                        println!("{case}");
                        let work = step.is_up().then(|| begin_work(&mut walk, at % 2 == 0));
                        goes_wrong(walk, step, fault, work, &case);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases > 2_000, "only {cases}");
}

fn at_step(plan: Plan, at: usize, reconnect: bool, retry_first: bool) -> Walk {
    let mut walk = Walk::begin(plan, reconnect, retry_first);
    for &step in &plan.steps[..at] {
        walk.go_on(step);
    }
    walk
}

/// What is in progress when it goes wrong.
struct Work {
    call: u64,
    stream: u64,
    upload: u64,
    /// A call of the server's, where there is a transport that brought it.
    asked: Option<u64>,
}

fn begin_work(walk: &mut Walk, refreshes: bool) -> Work {
    let driver = &mut walk.driver;
    let call = driver.invoke(CallKind::Plain, "[1]", 1).unwrap();
    let stream = driver.invoke(CallKind::Stream, "[2]", 0).unwrap();
    let (&upload, _) = driver.uploads.first_key_value().unwrap();
    driver.send_item(upload, "3");
    let asked = driver.can_hear().then(|| match &driver.receive(ASK)[..] {
        [Heard::Called { call: Some(call), .. }] => *call,
        heard => panic!("{heard:?}"),
    });
    // One that is under way joins.
    for _ in 0..2 {
        let begun = driver.begin_refresh();
        let negotiated = !driver.machine.options().skip_negotiation;
        assert_eq!(begun.is_ok(), negotiated && driver.machine.options().has_token_provider, "{begun:?}");
    }
    if refreshes && driver.refresh.is_some() {
        driver.refresh_token(Ok(Some("refreshed".into())));
        assert_eq!(driver.refresh, Some(Refresh::Request));
    }
    Work { call, stream, upload, asked }
}

fn goes_wrong(mut walk: Walk, step: Step, fault: Fault, work: Option<Work>, case: &str) {
    let refreshing = walk.driver.refresh.is_some();
    walk.driver.take_effects();
    walk.driver.take_sent();
    let wanted = wanted(&walk, step, fault);
    fail(&mut walk, step, fault);
    assert_eq!(seen(&walk), wanted, "{case}");

    // What is in progress ends with the connection, once and for the reason that the user is told, and not before.
    let effects = walk.driver.take_effects();
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Lost(error) => Some(reason(error)),
        _ => None,
    });
    let refreshed = effects.iter().filter(|effect| matches!(effect, Effect::Refreshed(_))).count();
    match wanted {
        Then::Ends(reason) | Then::Asks(reason) if step.is_up() => {
            assert_eq!(told, Some(reason), "{case}");
            assert_eq!(refreshed, usize::from(refreshing), "{case}");
            assert_eq!(walk.driver.invoke(CallKind::Plain, "[]", 0), None, "{case}");
        }
        _ => assert_eq!((told, refreshed), (None, 0), "{case}"),
    }
    // The transport is closed before anybody hears of the end.
    let sent = walk.driver.take_sent();
    if matches!(wanted, Then::Ends(_) | Then::Asks(_)) && (step, fault) != (Policy, Fault::Fails) {
        let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
        let closed = at(closes);
        let heard = at(|effect| {
            matches!(effect, Effect::Lost(_) | Effect::AskRetryPolicy(_) | Effect::Disconnected(_))
        });
        assert!((step == Policy || closed.is_some()) && closed < heard, "{case}");
        let says_goodbye = fault == Fault::Stop && step == Connected;
        assert_eq!(sent == CLOSE, says_goodbye, "{case}: {sent}");
        assert!(says_goodbye || !sent.contains(CLOSE), "{case}: {sent}");
    }

    // From now on everything goes well.
    (walk.losses, walk.failing_opens) = (0, 0);
    if let Then::Ends(_) = wanted {
        assert_eq!((walk.step(), walk.driver.machine.poll_timeout()), (None, None), "{case}");
        walk.driver.stop();
        walk.driver.sleep_until(walk.driver.now + Duration::from_secs(1_000));
        walk.driver.wake();
        assert_eq!(walk.driver.receive(ASK), [], "{case}");
        assert_eq!(walk.driver.effects, [], "{case}");
        walk.retrying = false;
        walk.driver.start();
    }
    walk.finish();
    assert!(walk.driver.can_hear(), "{case}: it does not come up");
    let mut least = 0;
    if let Some(work) = work {
        least = work.stream + 1;
        ends(&mut walk, &work, told.is_some(), case);
    }
    let new = walk.driver.invoke(CallKind::Plain, "[]", 0);
    assert!(new.is_some_and(|new| new >= least), "{case}: a number comes again");
}

/// The server ends what was in progress: on a connection that went on it ends now, on another it means nothing.
fn ends(walk: &mut Walk, work: &Work, lost: bool, case: &str) {
    let driver = &mut walk.driver;
    driver.take_sent();
    driver.send_item(work.upload, "4");
    let item = driver.take_sent();
    assert_eq!(item.is_empty(), lost, "{case}: {item}");
    if let Some(call) = work.asked {
        driver.answer(call, Outcome::Value(Payload::Json("5")));
        driver.answer(call, Outcome::Void);
        let answer = driver.take_sent();
        let wanted = "{\"type\":3,\"invocationId\":\"a\",\"result\":5}\u{1e}";
        assert_eq!(answer, if lost { "" } else { wanted }, "{case}");
    }
    let completions: String =
        [work.call, work.stream].map(|id| format!("{{\"type\":3,\"invocationId\":\"{id}\"}}\u{1e}")).concat();
    let wanted = [Heard::Completed(work.call, Ok(None)), Heard::StreamCompleted(work.stream, None)];
    let heard = driver.receive(&completions);
    assert_eq!(heard, if lost { &[][..] } else { &wanted }, "{case}");
    assert_eq!(driver.receive(&completions), [], "{case}: a second end");
    driver.send_item(work.upload, "6");
    assert_eq!(driver.take_sent(), "", "{case}: an upload goes on without its call");
    if let Some(refresh) = driver.refresh {
        assert!(!lost, "{case}");
        if refresh == Refresh::Token {
            driver.refresh_token(Ok(Some("refreshed".into())));
        }
        driver.answer_refresh(Ok((200, "{\"tokenLifetimeSeconds\":60}")));
        let lifetime = Some(Duration::from_secs(60));
        assert_eq!(driver.take_effects().pop(), Some(Effect::Refreshed(Ok(lifetime))), "{case}");
    }
}
