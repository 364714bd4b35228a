//! Everything that can go wrong with a session, at every step of every way to connect, by a virtual clock.
//!
//! A [`Plan`] is a way that goes well. It is walked once to see its steps; then again for every step and every
//! [`Fault`], which happens there, while two calls are pending if there is a connection. What has to follow stands
//! in one table, [`Walk::wanted`]. Afterwards everything goes well again.

use std::time::Duration;

use hubwire::core::hub::{HubEvent, Pending};
use hubwire::core::message::{HubMessage, Outcome};
use hubwire::core::negotiate::{NegotiateAnswer, Transport, Transports};
use hubwire::core::session::{ConnectionError, Effect, Session, SessionOptions, TransportError};
use hubwire::core::{Moment, ProtocolError};
use hubwire::{AccessToken, HubUrl};

/// The wall clock when the other begins.
const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// `{"exp":1800086400}`: good for a day.
const GOOD: &str = "e30.eyJleHAiOjE4MDAwODY0MDB9.x";

const ONE: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
const TWO: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[
    {"transport":"WebSockets","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text"]}]}"#;
const STATEFUL: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
const REDIRECT: &str = r#"{"url":"https://svc/client/?hub=chat","accessToken":"of-the-redirect"}"#;

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Token,
    Negotiate,
    Open,
    Handshake,
    Connected,
    Policy,
    Delay,
    /// The same two for a stateful connection that gets a new socket.
    ResumeToken,
    ResumeOpen,
}

use Step::*;

impl Step {
    /// Whether there is a connection, as far as its user knows.
    fn is_up(self) -> bool {
        matches!(self, Connected | ResumeToken | ResumeOpen)
    }
}

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
    /// The server sends something that is no hub message.
    Malformed,
    /// The server closes the connection.
    Close { allow_reconnect: bool },
    /// The page wakes up, or the network is back.
    Wake,
    /// Everything comes that is not waited for.
    Late,
}

const FAULTS: [Fault; 9] = [
    Fault::Fails,
    Fault::Refused,
    Fault::Silence,
    Fault::Stop,
    Fault::Malformed,
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

/// A way that goes well.
#[derive(Debug, Clone, Copy)]
struct Plan {
    name: &'static str,
    change: fn(&mut SessionOptions),
    /// What the provider answers.
    token: &'static str,
    /// The answers to negotiate, in order; the last one again and again.
    answers: &'static [(u16, &'static str)],
    /// How many sockets fail to open first.
    failing_opens: usize,
    /// How often a connection that is up is lost.
    losses: usize,
    steps: &'static [Step],
}

const PLAIN: Plan = Plan {
    name: "plain",
    change: |_| {},
    token: GOOD,
    answers: &[(200, ONE)],
    failing_opens: 0,
    losses: 0,
    steps: &[Negotiate, Open, Handshake, Connected],
};

const PLANS: [Plan; 11] = [
    PLAIN,
    Plan {
        name: "token",
        change: |options| options.has_token_provider = true,
        steps: &[Token, Negotiate, Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "without negotiate",
        change: |options| options.skip_negotiation = true,
        steps: &[Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "redirect",
        change: |options| options.has_token_provider = true,
        answers: &[(200, REDIRECT), (200, ONE)],
        steps: &[Token, Negotiate, Negotiate, Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "renewed token",
        change: |options| options.has_token_provider = true,
        answers: &[(401, ""), (200, ONE)],
        steps: &[Token, Negotiate, Token, Negotiate, Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "fallback",
        change: |options| options.transports.available = Transports::ALL,
        answers: &[(200, TWO)],
        failing_opens: 1,
        steps: &[Negotiate, Open, Negotiate, Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "retry of the first connect",
        change: |options| options.retry_first_connect = true,
        answers: &[(503, ""), (200, ONE)],
        steps: &[Negotiate, Policy, Delay, Negotiate, Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "reconnect",
        change: |options| options.automatic_reconnect = true,
        losses: 1,
        steps: &[Negotiate, Open, Handshake, Connected, Policy, Delay, Negotiate, Open, Handshake, Connected],
        ..PLAIN
    },
    Plan {
        name: "reconnect with a new token",
        change: |options| {
            options.automatic_reconnect = true;
            options.has_token_provider = true;
        },
        token: "opaque",
        losses: 1,
        steps: &[
            Token, Negotiate, Open, Handshake, Connected, Policy, Delay, Token, Negotiate, Open, Handshake,
            Connected,
        ],
        ..PLAIN
    },
    Plan {
        name: "stateful",
        change: |options| {
            options.use_stateful_reconnect = true;
            options.has_token_provider = true;
        },
        answers: &[(200, STATEFUL)],
        losses: 1,
        steps: &[Token, Negotiate, Open, Handshake, Connected, ResumeOpen, Connected],
        ..PLAIN
    },
    Plan {
        name: "stateful with a new token",
        change: |options| {
            options.use_stateful_reconnect = true;
            options.has_token_provider = true;
        },
        token: "opaque",
        answers: &[(200, STATEFUL)],
        losses: 1,
        steps: &[Token, Negotiate, Open, Handshake, Connected, ResumeToken, ResumeOpen, Connected],
        ..PLAIN
    },
];

type Seen = Effect<&'static str, &'static str>;

/// One session on its way.
struct Walk {
    plan: Plan,
    session: Session<&'static str, &'static str, ()>,
    now: Moment,
    effects: Vec<Seen>,
    /// What the driver does for the session.
    job: Option<Step>,
    transport: Option<Transport>,
    opening: Transport,
    answers: usize,
    failing_opens: usize,
    losses: usize,
    /// The retry policy was asked, and there is no connection yet.
    retrying: bool,
}

impl Walk {
    fn begin(plan: Plan, reconnect: bool, retry_first: bool) -> Self {
        let mut options = SessionOptions::new(HubUrl::parse("https://app/chat").unwrap());
        (plan.change)(&mut options);
        options.automatic_reconnect |= reconnect;
        options.retry_first_connect |= retry_first;
        let mut walk = Self {
            plan,
            session: Session::new(options),
            now: Moment::from_secs(1),
            effects: Vec::new(),
            job: None,
            transport: None,
            opening: Transport::WebSockets,
            answers: 0,
            failing_opens: plan.failing_opens,
            losses: plan.losses,
            retrying: false,
        };
        walk.session.start(walk.now);
        walk.perform();
        walk
    }

    /// Collects the effects since the last time, and does what they ask for.
    fn perform(&mut self) {
        self.effects = std::iter::from_fn(|| self.session.poll_effect()).collect();
        for effect in &self.effects {
            match effect {
                Effect::FetchToken => self.job = Some(Token),
                Effect::Negotiate(_) => self.job = Some(Negotiate),
                Effect::Open { transport, .. } => {
                    self.opening = *transport;
                    self.job = Some(Open);
                }
                Effect::SendHandshake(_) => self.job = Some(Handshake),
                Effect::AskRetryPolicy(_) => {
                    self.retrying = true;
                    self.job = Some(Policy);
                }
                Effect::Connected(_) => {
                    self.retrying = false;
                    self.job = None;
                }
                Effect::CloseTransport => {
                    self.transport = None;
                    self.job = None;
                }
                Effect::Disconnected(_) => self.job = None,
                _ => {}
            }
        }
    }

    /// What the session waits for; `None` when it is disconnected.
    fn step(&self) -> Option<Step> {
        let up = self.session.is_connected();
        match self.job {
            Some(Token) if up => Some(ResumeToken),
            Some(Open) if up => Some(ResumeOpen),
            Some(step) => Some(step),
            None if up => Some(Connected),
            None => self.session.poll_timeout().map(|_| Delay),
        }
    }

    /// The step goes well. Returns whether it was not the last one.
    fn go_on(&mut self, step: Step) -> bool {
        let lost = TransportError::new("lost");
        self.job = None;
        match step {
            Token | ResumeToken => self.token(Ok(Some(self.plan.token.into()))),
            Negotiate => {
                let (status, body) = self.plan.answers[self.answers.min(self.plan.answers.len() - 1)];
                self.answers += 1;
                self.answer(status, body);
            }
            Open if self.failing_opens > 0 => {
                self.failing_opens -= 1;
                self.session.handle_open(self.now, Err(lost));
            }
            Open | ResumeOpen => {
                self.transport = Some(self.opening);
                self.session.handle_open(self.now, Ok(()));
            }
            // In two pieces, and with the first message behind it.
            Handshake => {
                assert_eq!(self.session.handle_handshake(self.now, b"{"), b"");
                let rest = self.session.handle_handshake(self.now, b"}\x1e{\"type\":6}\x1e");
                assert_eq!(rest, b"{\"type\":6}\x1e");
            }
            Policy => self.session.handle_retry_delay(self.now, Some(Duration::from_secs(2))),
            Delay => {
                self.now = self.session.poll_timeout().unwrap();
                self.session.handle_timeout(self.now);
            }
            Connected => {
                if self.losses == 0 {
                    return false;
                }
                self.losses -= 1;
                self.transport = None;
                self.session.handle_transport_closed(self.now, lost);
            }
        }
        self.perform();
        true
    }

    fn token(&mut self, token: Result<Option<AccessToken>, String>) {
        self.session.handle_token(self.now, UNIX + self.now, token);
    }

    fn answer(&mut self, status: u16, body: &str) {
        let answer = NegotiateAnswer { status, retry_after: None, body: body.as_bytes() };
        self.session.handle_negotiate(self.now, Ok(answer));
    }

    /// Until the connection is up for good, or over.
    fn to_the_end(&mut self) {
        for _ in 0..30 {
            match self.step() {
                Some(step) => {
                    if !self.go_on(step) {
                        return;
                    }
                }
                None => return,
            }
        }
        panic!("there is no end of it");
    }

    /// Whether a fault can happen at a step.
    fn is_possible(&self, step: Step, fault: Fault) -> bool {
        match fault {
            Fault::Fails => step != Delay,
            Fault::Refused => matches!(step, Negotiate | Open | Handshake | ResumeOpen),
            // Long polling always has a request under way, and notices by itself.
            Fault::Silence => {
                step != Delay && (step != Connected || self.transport != Some(Transport::LongPolling))
            }
            _ => true,
        }
    }

    fn fault(&mut self, step: Step, fault: Fault) {
        let error = |status| TransportError { status, ..TransportError::new("lost") };
        match (fault, step) {
            (Fault::Fails, Token | ResumeToken) => self.token(Err("no".into())),
            (Fault::Fails, Negotiate) => self.session.handle_negotiate(self.now, Err(error(None))),
            (Fault::Fails, Open) => self.session.handle_open(self.now, Err(error(None))),
            // It is tried a few times: the trouble may be the same that the last socket had.
            (Fault::Fails, ResumeOpen) => {
                for _ in 0..10 {
                    self.session.handle_open(self.now, Err(error(None)));
                    self.token(Ok(Some(self.plan.token.into())));
                }
            }
            (Fault::Fails, Handshake | Connected) => {
                self.session.handle_transport_closed(self.now, error(None));
            }
            (Fault::Fails, _) => self.session.handle_retry_delay(self.now, None),
            (Fault::Refused, Negotiate) => self.answer(403, ""),
            (Fault::Refused, Open | ResumeOpen) => self.session.handle_open(self.now, Err(error(Some(404)))),
            (Fault::Refused, _) => {
                self.session.handle_handshake(self.now, b"{\"error\":\"no\"}\x1e");
            }
            (Fault::Silence, _) => {
                // The pings of a connection come first.
                for _ in 0..5 {
                    let up = self.session.can_send();
                    self.now = self.session.poll_timeout().unwrap();
                    self.session.handle_timeout(self.now - Duration::from_nanos(1));
                    self.session.handle_timeout(self.now);
                    if !up || !self.session.can_send() {
                        break;
                    }
                }
            }
            (Fault::Stop, _) => self.session.stop(),
            (Fault::Malformed, _) => self.session.handle_protocol_error(self.now, ProtocolError::Incomplete),
            (Fault::Close { allow_reconnect }, _) => {
                let close: HubMessage<'_, &str> =
                    HubMessage::Close { error: Some("bye".into()), allow_reconnect };
                assert_eq!(self.session.handle_message(self.now, close), HubEvent::None);
            }
            (Fault::Wake, _) => self.session.handle_wake(self.now),
            (Fault::Late, _) => self.late(step),
        }
        self.perform();
    }

    fn late(&mut self, step: Step) {
        self.session.start(self.now);
        if !matches!(step, Token | ResumeToken) {
            self.token(Err("late".into()));
        }
        if step != Negotiate {
            self.answer(200, ONE);
            self.session.handle_negotiate(self.now, Err(TransportError::new("late")));
        }
        if !matches!(step, Open | ResumeOpen) {
            self.session.handle_open(self.now, Ok(()));
            self.session.handle_open(self.now, Err(TransportError::new("late")));
        }
        if step != Handshake {
            assert_eq!(self.session.handle_handshake(self.now, b"{}\x1e"), b"{}\x1e");
        }
        if step != Policy {
            self.session.handle_retry_delay(self.now, Some(Duration::ZERO));
            self.session.handle_retry_delay(self.now, None);
        }
        if !matches!(step, Handshake | Connected) {
            self.session.handle_transport_closed(self.now, TransportError::new("late"));
        }
        self.session.handle_timeout(self.now);
        self.session.handle_sent(self.now);
        self.session.handle_received(self.now);
    }

    /// The table.
    fn wanted(&self, step: Step, fault: Fault) -> Then {
        let options = self.session.options();
        let stateful = self.session.info().is_some_and(|info| info.stateful);
        let transports_left = self.plan.answers[0].1 == TWO && self.opening == Transport::WebSockets;
        let or_falls_back = if transports_left { Some(Then::FallsBack) } else { None };

        // A connection that was up, for a reason that lets it come back.
        let lost = |reason| if options.automatic_reconnect { Then::Asks(reason) } else { Then::Ends(reason) };
        // An attempt to connect, for a reason that may pass or not.
        let failed = |reason, may_pass| match self.retrying {
            true => Then::Asks(reason),
            false if options.retry_first_connect && may_pass => Then::Asks(reason),
            false => Then::Ends(reason),
        };
        match (fault, step) {
            (Fault::Stop, _) => Then::Ends("stopped"),
            (Fault::Late, _) => Then::Nothing,
            (Fault::Wake, Delay) => Then::Attempts,
            (Fault::Wake, Connected) if self.transport != Some(Transport::LongPolling) => Then::Pings,
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
                or_falls_back.unwrap_or_else(|| failed("no transport", self.plan.failing_opens > 0))
            }
            (Fault::Fails, Handshake) => failed("transport", true),
            (Fault::Refused, Handshake) => failed("handshake", false),
            (Fault::Malformed, Handshake) => failed("protocol", false),

            (Fault::Fails | Fault::Silence, Connected) if stateful => Then::Resumes,
            (Fault::Fails, Connected) => lost("transport"),
            (Fault::Silence, Connected) => lost("server timeout"),
            (Fault::Malformed, Connected) => lost("protocol"),
            (Fault::Close { allow_reconnect: true }, Connected) => lost("closed"),
            (Fault::Close { allow_reconnect: false }, Connected) => Then::Ends("closed"),

            // What is told is why the connection was lost, not why its new socket failed.
            (Fault::Fails | Fault::Refused | Fault::Silence, ResumeToken | ResumeOpen) => lost("transport"),

            (Fault::Fails | Fault::Silence, Policy) => Then::Ends(match self.plan.name {
                "retry of the first connect" => "negotiate",
                _ => "transport",
            }),
            (Fault::Malformed | Fault::Close { .. }, _) => Then::Nothing,
            (Fault::Fails | Fault::Refused | Fault::Silence, _) => unreachable!("{fault:?} at {step:?}"),
        }
    }

    fn seen(&self) -> Then {
        let find = |wanted: fn(&Seen) -> bool| self.effects.iter().any(wanted);
        match self.effects.last() {
            None => Then::Nothing,
            Some(Effect::Disconnected(error)) => Then::Ends(reason(error)),
            Some(Effect::AskRetryPolicy(context)) => Then::Asks(reason(&context.reason)),
            Some(Effect::SendPing) => Then::Pings,
            _ if self.session.is_connected() => Then::Resumes,
            Some(Effect::Negotiate(_)) if find(|effect| *effect == Effect::CloseTransport) => Then::FallsBack,
            Some(Effect::FetchToken | Effect::Negotiate(_) | Effect::Open { .. }) => Then::Attempts,
            Some(effect) => panic!("{effect:?}"),
        }
    }
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
        ConnectionError::Stopped => "stopped",
        error => panic!("{error:?}"),
    }
}

fn completion(id: u64) -> HubMessage<'static, &'static str> {
    HubMessage::Completion { headers: vec![], invocation_id: id.to_string().into(), outcome: Outcome::Void }
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
        assert!(walk.session.can_send(), "{}", plan.name);
    }
}

#[test]
fn every_fault_at_every_step() {
    let mut cases = 0;
    for plan in PLANS {
        for (at, &step) in plan.steps.iter().enumerate() {
            for fault in FAULTS {
                for (reconnect, retry_first) in [(false, false), (true, false), (false, true), (true, true)] {
                    let mut walk = Walk::begin(plan, reconnect, retry_first);
                    for &step in &plan.steps[..at] {
                        walk.go_on(step);
                    }
                    let case = format!(
                        "{}: {fault:?} at {step:?}, the step {at} ({reconnect}, {retry_first})",
                        plan.name
                    );
                    assert_eq!(walk.step(), Some(step), "{case}");
                    if walk.is_possible(step, fault) {
                        goes_wrong(walk, step, fault, &case);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases > 1_000, "only {cases}");
}

fn goes_wrong(mut walk: Walk, step: Step, fault: Fault, case: &str) {
    let calls = walk.session.calls();
    assert_eq!(calls.is_some(), step.is_up(), "{case}");
    let calls =
        calls.map(|calls| [calls.begin(Pending::Call("call")), calls.begin(Pending::Stream("stream"))]);
    let wanted = walk.wanted(step, fault);
    walk.fault(step, fault);
    assert_eq!(walk.seen(), wanted, "{case}");

    // Pending calls end with the connection, once and for the reason that the user is told, and not before.
    let told = walk.effects.iter().find_map(|effect| match effect {
        Effect::Lost { error, calls } => Some((reason(error), calls.clone())),
        _ => None,
    });
    match wanted {
        Then::Ends(reason) | Then::Asks(reason) if step.is_up() => {
            let pending = vec![Pending::Call("call"), Pending::Stream("stream")];
            assert_eq!(told, Some((reason, pending)), "{case}");
            assert!(walk.session.calls().is_none(), "{case}");
        }
        _ => assert_eq!(told, None, "{case}"),
    }
    // The transport is closed before anybody hears of the end.
    if matches!(wanted, Then::Ends(_) | Then::Asks(_)) && (step, fault) != (Policy, Fault::Fails) {
        let at = |wanted: fn(&Seen) -> bool| walk.effects.iter().position(wanted);
        let closed = at(|effect| *effect == Effect::CloseTransport);
        let heard = at(|effect| {
            matches!(effect, Effect::Lost { .. } | Effect::AskRetryPolicy(_) | Effect::Disconnected(_))
        });
        assert!((step == Policy || closed.is_some()) && closed < heard, "{case}");
        let says_goodbye = fault == Fault::Stop && step == Connected;
        assert_eq!(walk.effects[0] == Effect::SendClose, says_goodbye, "{case}");
    }

    // From now on everything goes well.
    (walk.losses, walk.failing_opens) = (0, 0);
    if let Then::Ends(_) = wanted {
        assert_eq!((walk.step(), walk.session.poll_timeout()), (None, None), "{case}");
        walk.session.stop();
        walk.session.handle_timeout(walk.now + Duration::from_secs(1_000));
        walk.session.handle_wake(walk.now);
        walk.perform();
        assert_eq!(walk.effects, [], "{case}");
        walk.retrying = false;
        walk.session.start(walk.now);
        walk.perform();
    }
    walk.to_the_end();
    assert!(walk.session.can_send(), "{case}: it does not come up");
    if let Some([call, stream]) = calls {
        let ends = [call, stream].map(|id| walk.session.handle_message(walk.now, completion(id)));
        let wanted = match told {
            Some(_) => [HubEvent::None, HubEvent::None],
            None => [
                HubEvent::Completed("call", Outcome::Void),
                HubEvent::StreamCompleted("stream", Outcome::Void),
            ],
        };
        assert_eq!(ends, wanted, "{case}");
    }
    let new = walk.session.calls().map(|calls| calls.begin(Pending::Call("new")));
    assert!(new > calls.map(|[_, stream]| stream), "{case}: a number comes again");
}
