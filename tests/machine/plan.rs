//! Ways of a client that go well, step by step.

use std::time::Duration;

use hubwire::core::Moment;
use hubwire::core::client::{ClientOptions, TransportError};
use hubwire::core::negotiate::Transports;

use super::driver::{Driver, Job};
use super::{GOOD, REDIRECT, STATEFUL};

pub(crate) const ONE: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t",
    "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
pub(crate) const TWO: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","availableTransports":[
    {"transport":"WebSockets","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text"]}]}"#;

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
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
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Connected | ResumeToken | ResumeOpen)
    }
}

/// A way that goes well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    change: fn(&mut ClientOptions),
    /// What the provider answers.
    pub(crate) token: &'static str,
    /// The answers to negotiate, in order; the last one again and again.
    pub(crate) answers: &'static [(u16, &'static str)],
    /// How many sockets fail to open first.
    pub(crate) failing_opens: usize,
    /// How often a connection that is up is lost.
    losses: usize,
    pub(crate) steps: &'static [Step],
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

pub(crate) const PLANS: [Plan; 11] = [
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

/// A client on its way.
pub(crate) struct Walk {
    pub(crate) plan: Plan,
    pub(crate) driver: Driver,
    answers: usize,
    pub(crate) failing_opens: usize,
    pub(crate) losses: usize,
    /// The retry policy was asked, and there is no connection yet.
    pub(crate) retrying: bool,
}

impl Walk {
    pub(crate) fn begin(plan: Plan, reconnect: bool, retry_first: bool) -> Self {
        let mut driver = Driver::with(|options| {
            (plan.change)(options);
            options.automatic_reconnect |= reconnect;
            options.retry_first_connect |= retry_first;
        });
        driver.now = Moment::from_epoch(Duration::from_secs(1));
        driver.start();
        let (failing_opens, losses) = (plan.failing_opens, plan.losses);
        Self { plan, driver, answers: 0, failing_opens, losses, retrying: false }
    }

    /// What the client waits for; `None` when it is disconnected.
    pub(crate) fn step(&self) -> Option<Step> {
        let driver = &self.driver;
        match driver.step {
            Some(Job::Token) if driver.is_up() => Some(ResumeToken),
            Some(Job::Token) => Some(Token),
            Some(Job::Negotiate) => Some(Negotiate),
            Some(Job::Open) if driver.is_up() => Some(ResumeOpen),
            Some(Job::Open) => Some(Open),
            Some(Job::RetryDelay) => Some(Policy),
            None if driver.shaking_hands => Some(Handshake),
            None if driver.is_up() => Some(Connected),
            None => driver.machine.poll_timeout().map(|_| Delay),
        }
    }

    pub(crate) fn give_token(&mut self) {
        self.driver.token(Ok(Some(self.plan.token.into())));
    }

    /// The step goes well. Returns whether it was not the last one.
    pub(crate) fn go_on(&mut self, step: Step) -> bool {
        let lost = TransportError::new("lost");
        match step {
            Token | ResumeToken => self.give_token(),
            Negotiate => {
                let answer = self.plan.answers[self.answers.min(self.plan.answers.len() - 1)];
                self.answers += 1;
                self.driver.answer_negotiate(Ok(answer));
            }
            Open if self.failing_opens > 0 => {
                self.failing_opens -= 1;
                self.driver.open(Err(lost));
            }
            Open | ResumeOpen => self.driver.open(Ok(())),
            // In two pieces, and with the first message behind it.
            Handshake => {
                assert_eq!(self.driver.receive("{"), []);
                assert!(self.driver.shaking_hands);
                assert_eq!(self.driver.receive("}\u{1e}{\"type\":6}\u{1e}"), []);
                assert!(self.driver.is_up());
                self.retrying = false;
            }
            Policy => self.driver.retry_delay(Some(Duration::from_secs(2))),
            Delay => self.driver.wait(),
            Connected => {
                if self.losses == 0 {
                    return false;
                }
                self.losses -= 1;
                self.driver.transport_closed(lost);
            }
        }
        self.retrying |= self.driver.step == Some(Job::RetryDelay);
        true
    }

    /// Until the connection is up for good, or over.
    pub(crate) fn finish(&mut self) {
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
}
