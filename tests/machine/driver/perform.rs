//! What the machine wants of its driver, and what holds when all of it is done.

use std::time::Duration;

use hubwire::core::client::{ConnectionError, ConnectionState, Effect, Transmit};
use hubwire::core::negotiate::Transport;
use hubwire::core::token::AccessToken;
use hubwire::core::url::HubUrl;

use super::{Driver, First, Job, OF_THE_REDIRECT, REDIRECT_HOST, Refresh, UNIX};

impl Driver {
    pub(super) fn unix(&self) -> Duration {
        UNIX.saturating_add(self.now.since_epoch())
    }

    /// Whether this was waited for.
    pub(super) fn done(&mut self, job: Job) -> bool {
        self.step.take_if(|step| *step == job).is_some()
    }

    pub(super) fn settle_call(&mut self, refused: bool) {
        assert_eq!(refused, !self.up, "calls can be made while there is a connection");
        assert!(!self.machine.has_effect());
        self.transmit();
    }

    /// Does what the machine asks for.
    pub(super) fn settle(&mut self, late: bool) {
        if self.is_started() {
            let again = self.machine.start(self.now);
            assert_eq!(again, Err(ConnectionError::AlreadyStarted), "the end was not told yet");
        }
        if late && !self.is_blocked {
            assert!(!self.machine.has_transmit(), "a late input writes");
        }
        let mut effects = 0;
        while let Some(effect) = self.machine.poll_effect() {
            assert!(!late, "a late input has effects: {effect:?}");
            assert!(self.is_started(), "{effect:?} after the end");
            effects += 1;
            assert!(effects < 20, "there is no end of it");
            self.perform(&effect);
            assert_eq!(self.machine.state(), self.told, "after {effect:?}");
            self.effects.push(effect);
        }
        self.transmit();
        self.rest();
    }

    /// The transport takes frames again, or as long as it does.
    pub(crate) fn unblock(&mut self) {
        self.is_blocked = false;
        self.transmit();
    }

    pub(super) fn transmit(&mut self) {
        while self.transport.is_some()
            && !self.is_blocked
            && let Some(transmit) = self.machine.poll_transmit(self.now)
        {
            self.write(transmit);
        }
    }

    fn write(&mut self, transmit: Transmit<Vec<u8>>) {
        let bytes = match transmit {
            Transmit::Handshake(bytes) => {
                assert_eq!(self.first.take(), Some(First::Handshake), "a handshake in the middle");
                bytes
            }
            Transmit::Messages(bytes) => {
                assert!(!self.shaking_hands, "a message before the answer to the handshake");
                if let Some(first) = self.first.take() {
                    assert_eq!(first, First::Messages, "a message before the handshake");
                    let sequence = self.machine.options().use_stateful_reconnect;
                    assert!(sequence && bytes.starts_with(b"{\"type\":9,"), "no Sequence on a new socket");
                }
                bytes
            }
        };
        assert!(!bytes.is_empty());
        self.sent.extend(bytes);
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::FetchToken => {
                assert!(self.machine.options().has_token_provider);
                self.fetched += 1;
                self.begin(Job::Token);
            }
            Effect::Negotiate(request) => {
                self.check(&request.url, request.token.as_ref());
                self.begin(Job::Negotiate);
            }
            Effect::Open { transport, url } => {
                self.check(url, self.machine.link_token());
                assert!(!self.up || *transport == Transport::WebSockets);
                self.opening = *transport;
                self.begin(Job::Open);
            }
            Effect::CloseTransport { abort } => {
                self.step = None;
                if !abort {
                    while let Some(transmit) = self.machine.poll_transmit(self.now) {
                        if self.transport.is_some() {
                            self.write(transmit);
                        }
                    }
                }
                self.end_transport();
            }
            Effect::AskRetryPolicy(context) => {
                let options = self.machine.options();
                assert!(options.automatic_reconnect || options.retry_first_connect);
                assert!(context.elapsed <= self.now.since_epoch());
                assert!(!self.up);
                self.fetched = 0;
                self.begin(Job::RetryDelay);
            }
            Effect::FetchRefreshToken => {
                assert!(self.up && self.machine.options().has_token_provider);
                assert_eq!(self.refresh.replace(Refresh::Token), None);
                self.refreshes += 1;
            }
            Effect::Refresh(request) => {
                self.check(&request.url, request.token.as_ref());
                assert_eq!(request.url.host(), self.machine.options().url.host());
                assert_eq!(self.refresh.replace(Refresh::Request), Some(Refresh::Given));
            }
            Effect::Refreshed(_) => assert!(self.refresh.take().is_some(), "nothing was begun"),
            Effect::Connected { info, again: _ } => {
                assert!(self.shaking_hands && !self.up);
                assert_eq!(Some(info.transport), self.transport);
                (self.shaking_hands, self.up, self.reconnecting) = (false, true, false);
                self.fetched = 0;
                self.tell(ConnectionState::Connected);
            }
            Effect::Resumed => {
                assert!(self.up && self.transport == Some(Transport::WebSockets));
                self.fetched = 0;
            }
            Effect::Lost(error) => {
                assert!(self.up && self.transport.is_none());
                assert!(!matches!(**error, ConnectionError::RetriesExhausted { .. }));
                self.connection_ends();
                self.tell(ConnectionState::Reconnecting);
            }
            Effect::Reconnecting(_) => {
                assert!(!self.up && !self.reconnecting);
                self.reconnecting = true;
            }
            Effect::Disconnected(_) => {
                // A policy that takes too long may still be at it: the driver ends, and drops it.
                assert!(matches!(self.step.take(), None | Some(Job::RetryDelay)));
                assert_eq!((self.up, self.transport, self.refresh), (false, None, None));
                self.reconnecting = false;
                self.tell(ConnectionState::Disconnected);
            }
            effect => panic!("{effect:?} is not known here"),
        }
    }

    /// A driver has one place for what is under way.
    fn begin(&mut self, job: Job) {
        assert_eq!(self.step.replace(job), None, "while {job:?} begins");
        assert_eq!(self.transport, None, "while {job:?} begins");
    }

    fn tell(&mut self, state: ConnectionState) {
        if self.told != ConnectionState::Disconnecting || state == ConnectionState::Disconnected {
            self.told = state;
        }
    }

    pub(super) fn end_transport(&mut self) {
        self.transport = None;
        self.shaking_hands = false;
        self.is_blocked = false;
        self.first = None;
    }

    fn connection_ends(&mut self) {
        self.up = false;
        self.fetched = 0;
        for id in std::mem::take(&mut self.calls).into_keys() {
            assert!(!self.machine.cancel(id), "the call {id} goes on");
        }
        for id in std::mem::take(&mut self.uploads).into_keys() {
            assert!(!self.machine.is_uploading(id), "the upload {id} goes on");
        }
        for call in std::mem::take(&mut self.asked) {
            assert!(!self.machine.expects_answer(call), "the answer {call} goes on");
        }
    }

    /// Secrets go where they belong, and nothing goes in clear text.
    fn check(&self, url: &HubUrl, token: Option<&AccessToken>) {
        assert!(url.is_https() || url.is_loopback() || self.machine.options().insecure_http);
        let of_redirect = token.is_some_and(|token| token.secret().contains(OF_THE_REDIRECT));
        assert!(!of_redirect || url.host() == REDIRECT_HOST, "a redirect's token goes to {url}");
        assert!(token.is_none_or(|token| !token.secret().is_empty()));
    }

    /// What holds whenever there is nothing to do.
    pub(super) fn rest(&mut self) {
        let machine = &mut self.machine;
        assert!(!machine.has_effect());
        assert_eq!(machine.state(), self.told);
        assert_eq!(machine.is_connected(), self.up);
        assert_eq!(machine.has_transport(), self.up && self.transport.is_some());
        assert_eq!(machine.info().is_some(), self.up);
        assert!(self.transport.is_some() || !machine.has_transmit(), "there is nothing to send it on");
        assert!(machine.may_read(self.now, self.load) || self.transport.is_some() && self.load.is_full);
        for &id in self.uploads.keys() {
            assert!(machine.is_uploading(id), "the upload {id} was ended");
        }
        for &call in &self.asked {
            assert!(machine.expects_answer(call), "the answer {call} was given");
        }
        assert!(self.up || self.calls.is_empty() && self.uploads.is_empty() && self.asked.is_empty());
        assert!(self.up || self.refresh.is_none(), "a refresh has not ended");
        // Once, and once more after a 401; a new socket is tried for a few times.
        assert!(self.fetched <= if self.up { 4 } else { 2 }, "the provider is asked again and again");
        let timeout = machine.poll_timeout();
        let options = machine.options();
        let longest = options.request_timeout.max(options.handshake_timeout);
        if !self.is_started() {
            assert_eq!((timeout, self.step, self.transport), (None, None, None));
        } else if self.step.is_some() || self.shaking_hands || self.refresh.is_some() {
            let latest = self.now + longest;
            assert!(timeout.is_some_and(|at| at <= latest), "it is waited for without end");
        } else if !self.up || self.transport != Some(Transport::LongPolling) {
            // Long polling always has a request under way, which ends by itself.
            assert!(timeout.is_some(), "waits for nothing");
        }
    }
}
