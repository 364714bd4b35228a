//! A session whose driver, network, server and user do anything at any time. Every call ends exactly once, nothing
//! goes on for ever, and a driver that does what it is told never has two things to do at once.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use arbitrary::Unstructured;
use hubwire::core::hub::{HubEvent, Pending};
use hubwire::core::message::{HubMessage, Outcome};
use hubwire::core::negotiate::{NegotiateAnswer, Transport, Transports};
use hubwire::core::session::{ConnectionError, Effect, Session, SessionOptions, TransportError};
use hubwire::core::token::AccessToken;
use hubwire::core::url::HubUrl;
use hubwire::core::{Moment, ProtocolError};

/// What the clock on the wall says when the other begins.
const UNIX: Duration = Duration::from_secs(1_800_000_000);

/// More operations than this add nothing.
const LONGEST: usize = 300;

/// Never sent to the app server.
const REDIRECT_TOKENS: [&str; 2] = ["of-the-redirect", "later-of-the-redirect"];

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

const CHUNKS: [&[u8]; 6] =
    [b"{}\x1e", b"{}\x1e{\"type\":6}\x1e", b"{", b"}\x1e", b"{\"error\":\"no\"}\x1e", b"\xff\x1e"];

pub(crate) fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let flags: u8 = data.arbitrary().unwrap_or_default();
    let flag = |bit: u8| flags & (1 << bit) != 0;
    let mut options = SessionOptions::new(HubUrl::parse("https://app/chat").expect("a URL"));
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
    let mut world = World::new(options);
    for _ in 0..LONGEST {
        if data.is_empty() || world.operate(&mut data).is_err() {
            break;
        }
    }
    world.finish();
}

/// What a driver is doing for the session.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Job {
    Token,
    Negotiate,
    Open,
    RetryDelay,
}

struct World {
    session: Session<(), (), Rc<()>>,
    now: Moment,
    job: Option<Job>,
    /// An open transport, and which.
    transport: Option<Transport>,
    opening: Transport,
    /// Whether its token came with a redirect.
    redirected: bool,
    shaking_hands: bool,
    /// Between `Connected` and `Lost`.
    up: bool,
    /// Between `start` and `Disconnected`.
    started: bool,
    /// Whether the user was told of a reconnect that has not come to an end.
    reconnecting: bool,
    fetched: u32,
    /// The user's calls by their numbers, and whether they stream.
    pending: BTreeMap<u64, bool>,
    /// Uploads and answers that are under way: the number, the call that it ends with, and what stops it.
    uploads: Vec<(u64, Option<u64>, Weak<()>)>,
    answers: Vec<(u64, u8, Weak<()>)>,
}

impl World {
    fn new(options: SessionOptions) -> Self {
        Self {
            session: Session::new(options),
            now: Moment::ZERO,
            job: None,
            transport: None,
            opening: Transport::WebSockets,
            redirected: false,
            shaking_hands: false,
            up: false,
            started: false,
            reconnecting: false,
            fetched: 0,
            pending: BTreeMap::new(),
            uploads: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn operate(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let late = match data.int_in_range(0..=23)? {
            0 => {
                let late = self.started;
                self.started = true;
                self.fetched = 0;
                self.session.start(self.now);
                late
            }
            // What the driver waits for comes, and goes well.
            1..=3 => self.go_on(),
            4 => {
                let token = match data.int_in_range(0..=3)? {
                    3 => Err("no".to_owned()),
                    token => Ok(TOKENS.get(token).map(|&token| token.into())),
                };
                self.token(token)
            }
            5 => {
                let answer = data.int_in_range(0..=ANSWERS.len())?;
                self.negotiate(ANSWERS.get(answer))
            }
            6 => {
                let status = *data.choose(&[None, Some(401), Some(404)])?;
                self.open(Err(TransportError { status, ..TransportError::new("refused") }))
            }
            7 => {
                let chunk = data.choose(&CHUNKS)?;
                self.chunk(chunk)
            }
            8 => {
                let delay = *data.choose(&[None, Some(0), Some(1), Some(1000), Some(u64::MAX)])?;
                self.retry_delay(delay.map(Duration::from_secs))
            }
            9 => {
                let late = self.transport.is_none();
                self.transport = self.transport.filter(|_| late);
                self.session.handle_transport_closed(self.now, TransportError::new("lost"));
                late
            }
            10 => {
                self.session.handle_protocol_error(self.now, ProtocolError::Incomplete);
                self.transport.is_none()
            }
            11 => {
                self.begin(data.arbitrary()?);
                true
            }
            12 => {
                let id = data.int_in_range(0..=15)?;
                self.abandon(id);
                true
            }
            13 => {
                let id = data.int_in_range(0..=15)?;
                let ends = data.arbitrary()?;
                self.message(id, ends);
                true
            }
            14 => {
                let close: HubMessage<'_, &str> =
                    HubMessage::Close { error: None, allow_reconnect: data.arbitrary()? };
                assert_eq!(self.session.handle_message(self.now, close), HubEvent::None);
                !self.session_can_hear()
            }
            15 => {
                self.session.handle_wake(self.now);
                false
            }
            16 => {
                let late = !self.started;
                self.session.stop();
                late
            }
            17 => {
                self.session.handle_sent(self.now);
                self.session.handle_received(self.now);
                true
            }
            18 => {
                let token = data.int_in_range(0..=3)?;
                self.renew(TOKENS.get(token).copied());
                true
            }
            19 => {
                self.upload(data.arbitrary()?);
                true
            }
            20 => {
                self.end_job(data.arbitrary()?);
                true
            }
            21 => {
                let id = data.int_in_range(0..=3)?;
                self.answer(id, data.arbitrary()?);
                true
            }
            22 => {
                self.now += Duration::from_millis(data.int_in_range(0..=20_000)?);
                return self.time_passes();
            }
            _ => {
                // As long as anything can take.
                self.now = self
                    .now
                    .max(self.session.poll_timeout().unwrap_or(self.now).min(Moment::from_secs(1 << 40)));
                return self.time_passes();
            }
        };
        let effects = self.perform();
        assert!(!late || effects == 0, "a late input has effects");
        Ok(())
    }

    fn unix(&self) -> Duration {
        UNIX.saturating_add(self.now)
    }

    fn session_can_hear(&self) -> bool {
        self.up && self.transport.is_some()
    }

    fn go_on(&mut self) -> bool {
        match self.job {
            Some(Job::Token) => self.token(Ok(Some(TOKENS[1].into()))),
            Some(Job::Negotiate) => {
                let stateful = self.session.options().use_stateful_reconnect;
                self.negotiate(ANSWERS.get(usize::from(stateful)))
            }
            Some(Job::Open) => self.open(Ok(())),
            Some(Job::RetryDelay) => self.retry_delay(Some(Duration::ZERO)),
            None if self.shaking_hands => self.chunk(CHUNKS[0]),
            None => {
                self.begin(false);
                true
            }
        }
    }

    /// Whether this is what the driver waits for.
    fn done(&mut self, job: Job) -> bool {
        let is = self.job == Some(job);
        if is {
            self.job = None;
        }
        is
    }

    fn token(&mut self, token: Result<Option<AccessToken>, String>) -> bool {
        let late = !self.done(Job::Token);
        self.session.handle_token(self.now, self.unix(), token);
        late
    }

    fn negotiate(&mut self, answer: Option<&(u16, &str)>) -> bool {
        let late = !self.done(Job::Negotiate);
        let answer = answer.map(|&(status, body)| NegotiateAnswer {
            status,
            retry_after: None,
            body: body.as_bytes(),
        });
        self.session.handle_negotiate(self.now, answer.ok_or_else(|| TransportError::new("lost")));
        late
    }

    /// Somebody has got a new token for the present transport.
    fn renew(&mut self, token: Option<&str>) {
        if self.up || self.job == Some(Job::Open) || self.shaking_hands {
            let token = if self.redirected { Some(REDIRECT_TOKENS[1]) } else { token };
            let token = token.map(AccessToken::from);
            self.session.handle_renewed_token(self.now, self.unix(), token.as_ref());
        }
    }

    fn open(&mut self, opened: Result<(), TransportError>) -> bool {
        let late = !self.done(Job::Open);
        if !late && opened.is_ok() {
            assert_eq!(self.transport, None, "the last one was not closed");
            self.transport = Some(self.opening);
        }
        self.session.handle_open(self.now, opened);
        late
    }

    fn retry_delay(&mut self, delay: Option<Duration>) -> bool {
        let late = !self.done(Job::RetryDelay);
        self.session.handle_retry_delay(self.now, delay);
        late
    }

    fn chunk(&mut self, chunk: &[u8]) -> bool {
        assert_eq!(self.session.is_handshaking(), self.shaking_hands);
        self.session.handle_received(self.now);
        let rest = self.session.handle_handshake(self.now, chunk);
        assert!(chunk.ends_with(rest));
        !self.shaking_hands
    }

    fn begin(&mut self, streams: bool) {
        let calls = self.session.calls();
        assert_eq!(calls.is_some(), self.up);
        let Some(calls) = calls else { return };
        let least = self.pending.last_key_value().map_or(0, |(last, _)| last + 1);
        let id = calls.begin(if streams { Pending::Stream(()) } else { Pending::Call(()) });
        assert!(id >= least, "a number comes again");
        self.pending.insert(id, streams);
    }

    fn abandon(&mut self, id: u64) {
        let Some(calls) = self.session.calls() else { return };
        let gone = calls.abandon(id);
        let streams = self.pending.remove(&id);
        assert_eq!(gone.as_ref().map(|gone| matches!(gone.call, Pending::Stream(_))), streams);
        if let Some(gone) = gone {
            assert_eq!(gone.uploads, self.end_uploads(id));
        }
    }

    /// The uploads of a call end with it.
    fn end_uploads(&mut self, call: u64) -> Vec<u64> {
        let of_call = |upload: &&(u64, Option<u64>, Weak<()>)| upload.1 == Some(call);
        let ended = self.uploads.iter().filter(of_call).map(|(id, ..)| *id).collect();
        self.uploads.retain(|upload| !of_call(&upload));
        ended
    }

    fn upload(&mut self, with_call: bool) {
        let Some(calls) = self.session.calls() else { return };
        let call = self.pending.keys().next_back().copied().filter(|_| with_call);
        let job = Rc::new(());
        let seen = Rc::downgrade(&job);
        self.uploads.push((calls.begin_upload(call, job), call, seen));
    }

    fn end_job(&mut self, upload: bool) {
        let Some(calls) = self.session.calls() else { return };
        if upload {
            let Some((id, ..)) = self.uploads.pop() else { return };
            assert!(calls.is_uploading(id) && calls.end_upload(id) && !calls.end_upload(id));
        } else {
            let Some((number, id, _)) = self.answers.pop() else { return };
            assert_eq!(calls.end_answer(number), Some(id.to_string()));
            assert_eq!(calls.end_answer(number), None);
        }
    }

    /// The server calls, or no longer wants the answer.
    fn answer(&mut self, id: u8, cancels: bool) {
        let text = id.to_string();
        if cancels {
            let cancel: HubMessage<'_, &str> =
                HubMessage::CancelInvocation { headers: Vec::new(), invocation_id: text.as_str().into() };
            let hears = self.session_can_hear();
            let at = self.answers.iter().position(|answer| answer.1 == id).filter(|_| hears);
            let event = self.session.handle_message(self.now, cancel);
            assert_eq!(event == HubEvent::Cancelled(text.as_str().into()), at.is_some());
            at.map(|at| self.answers.remove(at));
        } else if let Some(calls) = self.session.calls() {
            let job = Rc::new(());
            let seen = Rc::downgrade(&job);
            self.answers.push((calls.begin_answer(&text, job), id, seen));
        }
    }

    fn message(&mut self, id: u64, ends: bool) {
        let text = id.to_string();
        let (headers, invocation_id) = (Vec::new(), text.as_str().into());
        let message: HubMessage<'_, &str> = if ends {
            HubMessage::Completion { headers, invocation_id, outcome: Outcome::Void }
        } else {
            HubMessage::StreamItem { headers, invocation_id, item: "1" }
        };
        let hears = self.session_can_hear();
        let streams = self.pending.get(&id).copied().filter(|_| hears);
        let event = self.session.handle_message(self.now, message);
        let fits = match streams {
            None => event == HubEvent::None,
            Some(true) if ends => matches!(event, HubEvent::StreamCompleted(_, Outcome::Void)),
            Some(true) => return assert!(matches!(event, HubEvent::Item { id: of, .. } if of == id)),
            Some(false) if ends => matches!(event, HubEvent::Completed(_, Outcome::Void)),
            Some(false) => matches!(event, HubEvent::UnexpectedItem(_)),
        };
        assert!(fits, "{event:?}");
        if streams.is_some() {
            self.pending.remove(&id);
            self.end_uploads(id);
        }
    }

    fn time_passes(&mut self) -> arbitrary::Result<()> {
        // A timer that stays due would keep a driver busy for ever.
        let mut rounds = 0;
        while self.session.poll_timeout().is_some_and(|at| at <= self.now) {
            rounds += 1;
            assert!(rounds < 10, "always due");
            self.session.handle_timeout(self.now);
            self.perform();
        }
        self.session.handle_timeout(self.now);
        assert_eq!(self.perform(), 0, "nothing was due");
        Ok(())
    }

    /// Does what the session asks for; how much that was.
    fn perform(&mut self) -> usize {
        let mut effects = 0;
        while let Some(effect) = self.session.poll_effect() {
            effects += 1;
            assert!(effects < 20, "there is no end of it");
            assert!(self.started, "{effect:?} after the end");
            match effect {
                Effect::FetchToken => {
                    assert!(self.session.options().has_token_provider);
                    // Once, and once more after a 401.
                    self.fetched += 1;
                    self.begin_job(Job::Token);
                }
                Effect::Negotiate(request) => {
                    self.check(&request.url, request.token.as_ref());
                    self.begin_job(Job::Negotiate);
                }
                Effect::Open { transport, url, token, redirected_token } => {
                    self.check(&url, token.as_ref());
                    let of_redirect = token.is_some_and(|token| REDIRECT_TOKENS.contains(&token.secret()));
                    assert_eq!(redirected_token, of_redirect);
                    assert!(!self.up || transport == Transport::WebSockets);
                    (self.opening, self.redirected) = (transport, redirected_token);
                    self.begin_job(Job::Open);
                }
                Effect::SendHandshake(_) => {
                    assert!(self.transport.is_some() && !self.up);
                    self.shaking_hands = true;
                }
                Effect::Connected(info) => {
                    assert!(self.shaking_hands && !self.up);
                    assert_eq!(Some(info.transport), self.transport);
                    (self.shaking_hands, self.up, self.reconnecting) = (false, true, false);
                    self.fetched = 0;
                }
                Effect::Resumed => {
                    assert!(self.up && self.transport == Some(Transport::WebSockets));
                    self.fetched = 0;
                }
                Effect::SendPing => {
                    assert!(self.session_can_hear() && self.transport != Some(Transport::LongPolling));
                }
                Effect::SendClose => assert!(self.session_can_hear()),
                Effect::CloseTransport => {
                    self.job = None;
                    self.transport = None;
                    self.shaking_hands = false;
                }
                Effect::Lost { calls, error } => {
                    self.fetched = 0;
                    assert!(self.up && self.transport.is_none());
                    assert!(!matches!(error, ConnectionError::RetriesExhausted { .. }));
                    self.up = false;
                    let streams: Vec<bool> =
                        calls.iter().map(|call| matches!(call, Pending::Stream(_))).collect();
                    assert!(streams.into_iter().eq(std::mem::take(&mut self.pending).into_values()));
                    let jobs = self
                        .uploads
                        .drain(..)
                        .map(|(.., job)| job)
                        .chain(self.answers.drain(..).map(|(.., job)| job));
                    assert!(jobs.into_iter().all(|job| job.upgrade().is_none()), "a job goes on");
                }
                Effect::AskRetryPolicy(context) => {
                    let options = self.session.options();
                    assert!(options.automatic_reconnect || options.retry_first_connect);
                    assert!(context.elapsed <= self.now);
                    assert_eq!((self.up, self.transport), (false, None));
                    self.fetched = 0;
                    self.begin_job(Job::RetryDelay);
                }
                Effect::Reconnecting(_) => {
                    assert!(!self.up && !self.reconnecting);
                    self.reconnecting = true;
                }
                Effect::Disconnected(_) => {
                    assert_eq!((self.up, self.transport), (false, None));
                    // A policy that takes too long may still be at it: the driver ends, and drops it.
                    assert!(matches!(self.job.take(), None | Some(Job::RetryDelay)));
                    assert!(self.pending.is_empty());
                    (self.started, self.reconnecting) = (false, false);
                }
                effect => panic!("{effect:?} is not known here"),
            }
        }
        self.rest();
        effects
    }

    /// A driver has one place for what is under way.
    fn begin_job(&mut self, job: Job) {
        assert_eq!(self.job, None, "while {job:?} begins");
        assert_eq!(self.transport, None, "while {job:?} begins");
        self.job = Some(job);
    }

    /// What holds whenever there is nothing to do.
    fn rest(&self) {
        assert_eq!(self.session.is_connected(), self.up);
        assert_eq!(self.session.can_send(), self.up && self.transport.is_some());
        assert_eq!(self.session.is_handshaking(), self.shaking_hands);
        assert_eq!(self.session.info().is_some(), self.up);
        let jobs = self.uploads.iter().map(|(.., job)| job).chain(self.answers.iter().map(|(.., job)| job));
        assert!(jobs.into_iter().all(|job| job.strong_count() == 1), "a job was stopped");
        // A new socket is tried for a few times.
        let limit = if self.up { 4 } else { 2 };
        assert!(self.fetched <= limit, "the provider is asked again and again");
        let timeout = self.session.poll_timeout();
        let polling = self.session_can_hear() && self.transport == Some(Transport::LongPolling);
        assert_eq!(timeout.is_some(), self.started && !polling);
        if self.job.is_some() || self.shaking_hands {
            assert!(timeout.is_some_and(|at| at <= self.now.saturating_add(Duration::from_secs(100))));
        }
        if self.started && self.job.is_none() && self.transport.is_none() {
            assert!(timeout.is_some(), "waits for nothing");
        }
    }

    /// Secrets go where they belong, and nothing goes in clear text.
    fn check(&self, url: &HubUrl, token: Option<&AccessToken>) {
        assert!(url.is_https());
        if let Some(token) = token {
            let secret = token.secret();
            let of_redirect = url.host() == "svc" && REDIRECT_TOKENS.contains(&secret);
            assert!(TOKENS[..2].contains(&secret) || of_redirect, "{url}: {secret}");
        }
    }

    fn finish(mut self) {
        self.session.stop();
        self.perform();
        assert!(!self.started && self.pending.is_empty());
        assert_eq!(self.session.poll_timeout(), None);
        self.session.stop();
        assert_eq!(self.perform(), 0);
    }
}
