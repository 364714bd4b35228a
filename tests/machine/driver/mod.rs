//! A driver of the client's machine for tests and fuzzers, which have the network, the server, the user and the clock
//! in their hands.
//!
//! It does what the machine asks for and decides nothing, as the real ones do. What has to hold for every client at any
//! time is asserted here, at every input:
//!
//! - the state follows what was told, `start` is refused until the end was told, and nothing follows the end;
//! - an input that is not waited for has no effects, and writes nothing;
//! - one thing is under way at a time, and while something is, there is a timeout;
//! - a call ends once: by the server, by its caller or with the connection, and so do uploads, answers and refreshes;
//! - a redirect's token goes where the redirect led to, and no request in clear text.

mod event;
mod perform;

pub(crate) use self::event::Heard;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use hubwire::core::client::{
    ClientMachine, ClientOptions, ConnectionError, ConnectionState, Effect, Load, Renewal, TransportError,
};
use hubwire::core::codec::{Frame, Payload, RawCodec};
use hubwire::core::hub::CallKind;
use hubwire::core::message::Outcome;
use hubwire::core::negotiate::{NegotiateAnswer, Transport};
use hubwire::core::refresh::RefreshError;
use hubwire::core::token::AccessToken;
use hubwire::core::url::HubUrl;
use hubwire::core::{Cause, Moment, ProtocolError};

/// The wall clock when the other begins.
pub(crate) const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// Every token of a redirect has this in it, and no other.
pub(crate) const OF_THE_REDIRECT: &str = "of-the-redirect";

/// The host that redirects lead to.
pub(crate) const REDIRECT_HOST: &str = "svc";

/// A step of connecting that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Token,
    Negotiate,
    Open,
    RetryDelay,
}

/// How far a refresh of the authentication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// The provider is asked.
    Token,
    /// It has answered.
    Given,
    /// The server is asked.
    Request,
}

/// What a new transport is given first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Handshake,
    /// The connection is an old one, and goes on with a Sequence.
    Messages,
}

pub(crate) struct Driver {
    pub(crate) machine: ClientMachine<RawCodec>,
    pub(crate) now: Moment,
    pub(crate) step: Option<Job>,
    pub(crate) refresh: Option<Refresh>,
    /// The transport that is open.
    pub(crate) transport: Option<Transport>,
    /// The one that is opened, or was opened last.
    pub(crate) opening: Transport,
    pub(crate) shaking_hands: bool,
    /// What the open transport has to be given first, until it was.
    first: Option<First>,
    /// Whether the transport takes no more frames for now.
    pub(crate) is_blocked: bool,
    /// What the user's side holds of the server's messages.
    pub(crate) load: Load,
    /// What the machine asked for, and told, and what was given to the transport; both for the test to take.
    pub(crate) effects: Vec<Effect>,
    pub(crate) sent: Vec<u8>,
    /// The user's calls and uploads that have not ended, and the server's calls that are not answered.
    pub(crate) calls: BTreeMap<u64, CallKind>,
    pub(crate) uploads: BTreeMap<u64, Option<u64>>,
    pub(crate) asked: BTreeSet<u64>,
    /// Numbers of calls never come again.
    next_number: u64,
    told: ConnectionState,
    /// Between `Connected` and `Lost`.
    up: bool,
    /// Between `Reconnecting` and what ends it.
    reconnecting: bool,
    /// How often the provider was asked in one attempt.
    fetched: u32,
    refreshes: u32,
}

impl Driver {
    pub(crate) fn new(options: ClientOptions) -> Self {
        Self {
            machine: ClientMachine::new(options, RawCodec::default()),
            now: Moment::ZERO,
            step: None,
            refresh: None,
            transport: None,
            opening: Transport::WebSockets,
            shaking_hands: false,
            first: None,
            is_blocked: false,
            load: Load::default(),
            effects: Vec::new(),
            sent: Vec::new(),
            calls: BTreeMap::new(),
            uploads: BTreeMap::new(),
            asked: BTreeSet::new(),
            next_number: 0,
            told: ConnectionState::Disconnected,
            up: false,
            reconnecting: false,
            fetched: 0,
            refreshes: 0,
        }
    }

    /// A client of the hub that every test has.
    pub(crate) fn with(change: impl FnOnce(&mut ClientOptions)) -> Self {
        let mut options = ClientOptions::new(HubUrl::parse("https://app/chat").unwrap());
        change(&mut options);
        Self::new(options)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    /// Between a start and the end that was told.
    pub(crate) fn is_started(&self) -> bool {
        self.told != ConnectionState::Disconnected
    }

    /// Whether messages go to and fro.
    pub(crate) fn can_hear(&self) -> bool {
        self.up && self.transport.is_some()
    }

    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn take_sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
    }

    // What the user does.

    pub(crate) fn start(&mut self) {
        let starts = !self.is_started();
        let started = self.machine.start(self.now);
        assert_eq!(started, if starts { Ok(()) } else { Err(ConnectionError::AlreadyStarted) });
        if starts {
            self.told = ConnectionState::Connecting;
            self.fetched = 0;
        }
        self.settle(!starts);
    }

    pub(crate) fn stop(&mut self) {
        let stops = self.is_started();
        assert_eq!(self.machine.stop(self.now), stops);
        if stops {
            self.told = ConnectionState::Disconnecting;
            assert_eq!(self.machine.state(), self.told);
        }
        self.settle(!stops);
        assert!(!self.is_started());
    }

    /// The number of the call, if there is a connection.
    pub(crate) fn invoke(&mut self, kind: CallKind, arguments: &str, uploads: usize) -> Option<u64> {
        let begun = self.machine.invoke(kind, "M", Payload::Json(arguments), uploads);
        self.settle_call(begun.is_err());
        let Ok(begun) = begun else { return None };
        assert!(begun.id >= self.next_number, "a number comes again");
        self.calls.insert(begun.id, kind);
        self.begin_uploads(Some(begun.id), begun.uploads);
        self.next_number = self.next_number.max(begun.id + 1);
        self.rest();
        Some(begun.id)
    }

    pub(crate) fn send(&mut self, arguments: &str, uploads: usize) {
        let begun = self.machine.send("M", Payload::Json(arguments), uploads);
        self.settle_call(begun.is_err());
        if let Ok(uploads) = begun {
            self.begin_uploads(None, uploads);
        }
        self.rest();
    }

    fn begin_uploads(&mut self, call: Option<u64>, numbers: Range<u64>) {
        assert!(numbers.start >= self.next_number, "a number comes again");
        self.next_number = numbers.end;
        self.uploads.extend(numbers.map(|number| (number, call)));
    }

    pub(crate) fn cancel(&mut self, id: u64) {
        let was = self.calls.remove(&id).is_some();
        assert_eq!(self.machine.cancel(id), was);
        self.uploads_end(id);
        self.settle(!was);
    }

    pub(crate) fn send_item(&mut self, upload: u64, item: &str) {
        let wanted = self.uploads.contains_key(&upload);
        assert_eq!(self.machine.send_item(upload, Payload::Json(item)), wanted);
        self.settle(!wanted);
    }

    pub(crate) fn end_upload(&mut self, upload: u64, error: Option<&str>) {
        let was = self.uploads.remove(&upload).is_some();
        self.machine.end_upload(upload, error);
        self.settle(!was);
    }

    pub(crate) fn answer(&mut self, call: u64, outcome: Outcome<'_, Payload<'_>>) {
        let was = self.asked.remove(&call);
        self.machine.answer(call, outcome);
        self.settle(!was);
    }

    pub(crate) fn refuse(&mut self, call: u64) {
        let was = self.asked.remove(&call);
        self.machine.refuse(call, "no");
        self.settle(!was);
    }

    pub(crate) fn begin_refresh(&mut self) -> Result<(), RefreshError> {
        let (under_way, begun) = (self.refresh, self.refreshes);
        let result = self.machine.refresh(self.now);
        self.settle(result.is_err() || under_way.is_some());
        let begins = result.is_ok() && under_way.is_none();
        assert_eq!(self.refreshes, begun + u32::from(begins));
        assert!(result.is_err() || self.refresh.is_some() && self.up);
        result
    }

    // What the user's side, the network and the server answer.

    pub(crate) fn token(&mut self, token: Result<Option<AccessToken>, Cause>) {
        let late = !self.done(Job::Token);
        self.machine.handle_token(self.now, self.unix(), token);
        self.settle(late);
    }

    pub(crate) fn answer_negotiate(&mut self, answer: Result<(u16, &str), TransportError>) {
        let late = !self.done(Job::Negotiate);
        let answer = answer.map(|(status, body)| NegotiateAnswer {
            status,
            body: body.as_bytes(),
            ..NegotiateAnswer::default()
        });
        self.machine.handle_negotiate(self.now, answer);
        self.settle(late);
    }

    pub(crate) fn open(&mut self, opened: Result<(), TransportError>) {
        let late = !self.done(Job::Open);
        if !late && opened.is_ok() {
            assert_eq!(self.transport, None, "the last one was not closed");
            self.transport = Some(self.opening);
            self.shaking_hands = !self.up;
            self.first = Some(if self.up { First::Messages } else { First::Handshake });
        }
        self.machine.handle_open(self.now, opened);
        self.settle(late);
    }

    pub(crate) fn retry_delay(&mut self, delay: Option<Duration>) {
        let late = !self.done(Job::RetryDelay);
        self.machine.handle_retry_delay(self.now, delay);
        self.settle(late);
    }

    pub(crate) fn refresh_token(&mut self, token: Result<Option<AccessToken>, Cause>) {
        let late = self.refresh != Some(Refresh::Token);
        if !late {
            self.refresh = Some(Refresh::Given);
        }
        self.machine.handle_refresh_token(self.now, token);
        self.settle(late);
        assert_ne!(self.refresh, Some(Refresh::Given), "the token is not used");
    }

    pub(crate) fn answer_refresh(&mut self, answer: Result<(u16, &str), TransportError>) {
        let late = self.refresh != Some(Refresh::Request);
        let answer = answer.map(|(status, body)| (status, body.as_bytes()));
        self.machine.handle_refresh(self.now, self.unix(), answer);
        self.settle(late);
        assert!(late || self.refresh.is_none());
    }

    /// A request of the transport's was refused for its token, and the provider gives this one.
    pub(crate) fn reject_token(&mut self, token: Option<AccessToken>) -> Renewal {
        let rejected = self.machine.link_token().cloned();
        let renewal = self.machine.handle_rejected_token(rejected.as_ref());
        if renewal == Renewal::Ask {
            assert!(self.machine.options().has_token_provider);
            let of_redirect = rejected.is_some_and(|token| token.secret().contains(OF_THE_REDIRECT));
            assert!(!of_redirect, "the provider has nothing to do with a redirect's token");
            let _ = self.machine.handle_renewed_token(self.now, self.unix(), Ok(token));
        }
        self.settle(true);
        renewal
    }

    pub(crate) fn transport_closed(&mut self, error: TransportError) {
        let late = self.transport.is_none();
        self.end_transport();
        self.machine.handle_transport_closed(self.now, error);
        self.settle(late);
    }

    pub(crate) fn protocol_error(&mut self) {
        let late = self.transport.is_none();
        self.machine.handle_protocol_error(self.now, ProtocolError::Incomplete);
        self.settle(late);
    }

    pub(crate) fn slow_consumer(&mut self) {
        let late = self.transport.is_none();
        self.machine.handle_slow_consumer(self.now);
        self.settle(late);
    }

    pub(crate) fn wake(&mut self) {
        let waits = self.is_started() && self.step.is_none();
        self.machine.handle_wake(self.now);
        self.settle(!waits);
    }

    pub(crate) fn receive(&mut self, text: &str) -> Vec<Heard> {
        self.receive_frame(Frame::Text(text))
    }

    pub(crate) fn receive_frame(&mut self, frame: Frame<'_>) -> Vec<Heard> {
        let late = self.transport.is_none();
        let (mut spare, mut all) = (Vec::new(), Vec::new());
        let before = self.machine.has_transmit();
        match self.machine.handle_frame(self.now, frame, &mut spare) {
            Some(mut messages) => {
                assert!(!late, "a frame of no transport is taken");
                while let Some(event) = self.machine.next_event(self.now, &mut messages) {
                    all.extend(self.event(event));
                }
                let next = self.machine.next_event(self.now, &mut messages);
                assert!(next.is_none(), "{next:?} follows the last");
            }
            None if late => assert_eq!(self.machine.has_transmit(), before),
            None => {}
        }
        self.settle(late);
        all
    }

    // Time.

    /// Until the machine wants to be called, if it does; not longer than that.
    pub(crate) fn wait(&mut self) {
        if let Some(at) = self.machine.poll_timeout() {
            self.wait_until(at.max(self.now));
        }
    }

    /// Passes every timeout on the way.
    pub(crate) fn wait_until(&mut self, until: Moment) {
        while let Some(at) = self.machine.poll_timeout().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.timeout();
        }
        self.now = self.now.max(until);
        self.timeout();
    }

    /// Nobody was awake in between.
    pub(crate) fn sleep_until(&mut self, until: Moment) {
        self.now = self.now.max(until);
        self.timeout();
    }

    fn timeout(&mut self) {
        let due = self.machine.poll_timeout().is_some_and(|at| at <= self.now);
        self.machine.handle_timeout(self.now);
        self.settle(!due);
        let next = self.machine.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "still due, which would keep a driver busy for ever");
    }
}
