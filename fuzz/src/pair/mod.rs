//! A client's machine and a server's machine against each other, over a link that delays, loses and cuts, while both
//! users and the clock do anything.
//!
//! Every call ends exactly once at both ends, and with its own answer. What was sent comes in order, and on a stateful
//! connection all of it, whatever sockets were lost. What either end waits for has a timeout; a link that is dead is
//! noticed; what either end keeps is bounded. In the end the network is good again and everything has to come, or it
//! stays dead and both have to notice.

mod link;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Unstructured;
use hubwire::core::Moment;
use hubwire::core::client::{Effect, TransportError};
use hubwire::core::codec::Payload;
use hubwire::core::hub::CallKind;
use hubwire::core::message::Outcome;
use hubwire::core::server::ServerOptions;

use crate::driver::{Driver, Heard, Job, Refresh};
use link::{Arrival, End, Link};
use server::{Server, tag_of};

/// More operations than this add nothing.
const LONGEST: usize = 400;

/// How many bytes a slow lane holds before the client's transport takes no more.
const LANE: usize = 4_000;

/// A large argument.
const BIG: usize = 60_000;

/// What waits at most for a transport that takes nothing, and what a frame has beside it.
const HIGH_WATER: usize = 256 * 1024;
const ROOM: usize = 64 * 1024;

/// The claims: `{"exp":1800003600}`.
const TOKEN: &str = "e30.eyJleHAiOjE4MDAwMDM2MDB9.x";

const ONE: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","tokenLifetimeSeconds":60,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
const STATEFUL: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;

pub(crate) fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let flags: u8 = data.arbitrary().unwrap_or_default();
    let flag = |bit: u8| flags & (1 << bit) != 0;
    let mut pair = Pair::new(flag);
    for _ in 0..LONGEST {
        if data.is_empty() || pair.operate(&mut data).is_err() {
            break;
        }
    }
    if flag(7) { pair.dies() } else { pair.heals() }
}

struct Pair {
    now: Moment,
    client: Driver,
    /// The last one is of the client's present or last connection.
    servers: Vec<Server>,
    link: Option<Link>,
    options: ServerOptions,
    stateful: bool,
    tag: u64,
    /// The client's calls with their tags, and the next item of each.
    calls: BTreeMap<u64, (u64, u64)>,
    /// The next item of each upload.
    uploads: BTreeMap<u64, u64>,
    /// The server's calls that the client has not answered, with their tags.
    asked: BTreeMap<u64, u64>,
    /// How often the socket of the present connection was replaced.
    resumes: usize,
    /// How often either end has closed a transport.
    closes: usize,
}

impl Pair {
    fn new(flag: impl Fn(u8) -> bool) -> Self {
        let stateful = flag(0);
        let client = Driver::with(|options| {
            options.use_stateful_reconnect = stateful;
            options.automatic_reconnect = flag(1);
            options.has_token_provider = flag(2);
            options.retry_first_connect = flag(3);
            options.skip_negotiation = flag(5) && !stateful;
            options.refresh_lead = Some(Duration::from_secs(10));
            if flag(4) {
                options.stateful_buffer_size = 1_000;
            }
        });
        let mut options = ServerOptions::default();
        options.message_limit = 2 * BIG;
        options.stateful_buffer = Some(if flag(6) { 1_000 } else { 100_000 });
        Self {
            now: Moment::ZERO,
            client,
            servers: Vec::new(),
            link: None,
            options,
            stateful,
            tag: 0,
            calls: BTreeMap::new(),
            uploads: BTreeMap::new(),
            asked: BTreeMap::new(),
            resumes: 0,
            closes: 0,
        }
    }

    fn operate(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match data.int_in_range(0..=35)? {
            0 => self.client.start(),
            1..=4 => self.go_on(),
            5 => (0..data.int_in_range(0..=3)?).for_each(|_| _ = self.deliver_up()),
            6 => (0..data.int_in_range(0..=3)?).for_each(|_| _ = self.deliver_down()),
            7 => self.flow(),
            8 => self.invoke(CallKind::Plain, 0, 0),
            9 => self.invoke(CallKind::Stream, 0, 0),
            10 => self.send(),
            11 => self.invoke(CallKind::Plain, 1, 0),
            12 => self.upload(data.int_in_range(0..=3)?),
            13 => {
                let nth = data.int_in_range(0..=3)?;
                if let Some(&upload) = self.client.uploads.keys().nth(nth) {
                    self.uploads.remove(&upload);
                    self.client.end_upload(upload, None);
                }
            }
            14 => {
                let nth = data.int_in_range(0..=3)?;
                if let Some(&id) = self.client.calls.keys().nth(nth) {
                    self.calls.remove(&id);
                    self.client.cancel(id);
                }
            }
            15 => self.client_answers(),
            16 => self.server_does(|server, now, tag| server.invoke(now, tag)),
            17 => self.server_does(|server, now, tag| server.send(now, tag)),
            18 => {
                let nth = data.int_in_range(0..=3)?;
                self.server_does(|server, now, _| server.answer(now, nth));
            }
            19 => {
                let nth = data.int_in_range(0..=3)?;
                self.server_does(|server, now, _| server.stream(now, nth));
            }
            20 => {
                let time = Duration::from_millis(data.int_in_range(0..=40_000)?);
                self.wait(time, data.arbitrary()?);
            }
            21 => {
                let (up, down) = (data.int_in_range(0..=3)?, data.int_in_range(0..=3)?);
                if let Some(link) = &mut self.link {
                    link.up.cut(up);
                    link.down.cut(down);
                }
            }
            22 => {
                let up = data.arbitrary()?;
                if let Some(link) = &mut self.link {
                    if up { &mut link.up } else { &mut link.down }.fall_silent();
                }
            }
            23 => {
                let status = *data.choose(&[None, Some(404), Some(409), Some(401)])?;
                let refused = TransportError::new("refused");
                let refused = status.map_or(refused.clone(), |status| refused.with_status(status));
                self.client.open(Err(refused));
            }
            24 => {
                let allowed = data.arbitrary()?;
                self.server_does(|server, now, _| server.close(now, allowed));
            }
            25 => {
                self.client.token(Err("no".to_owned().into()));
                self.client.refresh_token(Err("no".to_owned().into()));
            }
            26 => self.client.stop(),
            27 => drop(self.client.begin_refresh()),
            28 => self.answer_refresh(),
            29 => {
                let slow = data.arbitrary()?;
                self.server_does(|server, now, _| match slow {
                    true => server.is_slow = true,
                    false => server.speed_up(now),
                });
            }
            30 => self.client.is_blocked = self.client.transport.is_some(),
            31 => {
                let delay = *data.choose(&[None, Some(0), Some(2), Some(30)])?;
                self.client.retry_delay(delay.map(Duration::from_secs));
            }
            32 => self.client.wake(),
            33 => self.server_does(|server, now, _| server.forget(now)),
            34 => self.invoke(CallKind::Plain, 0, BIG),
            _ => self.client.answer_negotiate(Err(TransportError::new("lost"))),
        }
        self.pump();
        Ok(())
    }

    // The client's user and the server's.

    fn next_tag(&mut self) -> u64 {
        self.tag += 1;
        self.tag
    }

    /// Sent now, or when there is a socket again.
    fn client_sent(&mut self, tag: u64) {
        if let Some(server) = self.servers.last_mut() {
            server.from_client.push_back(tag);
        }
    }

    fn invoke(&mut self, kind: CallKind, uploads: usize, size: usize) {
        if self.client.machine.is_full() {
            return;
        }
        let tag = self.next_tag();
        let arguments = format!("[{tag},\"{}\"]", "x".repeat(size));
        if let Some(id) = self.client.invoke(kind, &arguments, uploads) {
            self.client_sent(tag);
            self.calls.insert(id, (tag, 0));
        }
    }

    fn send(&mut self) {
        if !self.client.machine.is_full() {
            let tag = self.next_tag();
            if self.client.is_up() {
                self.client_sent(tag);
            }
            self.client.send(&format!("[{tag}]"), 0);
        }
    }

    fn upload(&mut self, nth: usize) {
        if let Some(&upload) = self.client.uploads.keys().nth(nth)
            && !self.client.machine.is_full()
        {
            let next = self.uploads.entry(upload).or_default();
            let item = next.to_string();
            *next += 1;
            self.client.send_item(upload, &item);
        }
    }

    fn client_answers(&mut self) {
        if let Some((call, tag)) = self.asked.pop_first() {
            self.client.answer(call, Outcome::Value(Payload::Json(&tag.to_string())));
        }
    }

    fn server_does(&mut self, act: impl FnOnce(&mut Server, Moment, u64)) {
        let tag = self.next_tag();
        if let Some(server) = self.servers.last_mut() {
            act(server, self.now, tag);
        }
    }

    // What both wait for.

    /// What the client waits for comes, and goes well.
    fn go_on(&mut self) {
        let token = Some(TOKEN.into());
        match self.client.step {
            Some(Job::Token) => self.client.token(Ok(token)),
            Some(Job::Negotiate) => {
                let answer = if self.stateful { STATEFUL } else { ONE };
                self.client.answer_negotiate(Ok((200, answer)));
            }
            Some(Job::Open) => self.open(),
            Some(Job::RetryDelay) => self.client.retry_delay(Some(Duration::ZERO)),
            None => {
                self.deliver_up();
                self.deliver_down();
            }
        }
        self.pump();
    }

    fn open(&mut self) {
        if !self.client.is_up() {
            // What the server does with the last connection is no longer the client's.
            (self.link, self.resumes) = (None, 0);
            self.servers.push(Server::new(self.now, self.options.clone()));
        } else if !self.servers.last_mut().is_some_and(|server| server.resume(self.now)) {
            self.pump_servers();
            let refused = TransportError::new("refused").with_status(404);
            return self.client.open(Err(refused));
        } else {
            self.resumes += 1;
        }
        self.link = Some(Link::default());
        self.pump_servers();
        self.client.open(Ok(()));
    }

    fn answer_refresh(&mut self) {
        match self.client.refresh {
            Some(Refresh::Token) => self.client.refresh_token(Ok(Some(TOKEN.into()))),
            _ => self.client.answer_refresh(Ok((200, r#"{"tokenLifetimeSeconds":60}"#))),
        }
    }

    // The link.

    /// Takes what both ends have written, and whether they have closed their transports.
    fn pump(&mut self) {
        self.pump_servers();
        let bytes = std::mem::take(&mut self.client.sent);
        let limit = self.client.machine.options().stateful_buffer_size;
        self.check_size(bytes.len(), limit);
        let effects = self.client.take_effects();
        if let Some(link) = self.link.as_mut().filter(|_| !bytes.is_empty()) {
            link.up.push(bytes);
        }
        for effect in effects {
            match effect {
                Effect::CloseTransport { abort } => {
                    self.closes += 1;
                    if let Some(link) = &mut self.link {
                        link.up.close(if abort { End::Lost } else { End::Closed });
                        link.down = link::Lane::default();
                        link.down.fall_silent();
                    }
                }
                Effect::Lost(_) => {
                    self.calls.clear();
                    self.uploads.clear();
                    self.asked.clear();
                }
                _ => {}
            }
        }
        self.calls.retain(|id, _| self.client.calls.contains_key(id));
        if self.link.as_ref().is_some_and(|link| link.up.size() > LANE) {
            self.client.is_blocked = self.client.transport.is_some();
        }
        // Those that are over are forgotten, but for the last.
        let last = self.servers.len().saturating_sub(1);
        let mut at = 0;
        self.servers.retain(|server| {
            at += 1;
            at > last || !server.is_over()
        });
    }

    fn pump_servers(&mut self) {
        let limit = self.options.stateful_buffer.unwrap_or_default();
        let Some((server, old)) = self.servers.split_last_mut() else { return };
        // The links of earlier connections are gone.
        for server in old {
            server.frames.clear();
            server.transport_closed(self.now);
            server.closed = None;
        }
        let frames = std::mem::take(&mut server.frames);
        let closed = server.closed.take();
        for frame in &frames {
            self.check_size(frame.len(), limit);
        }
        if let Some(link) = &mut self.link {
            frames.into_iter().for_each(|frame| link.down.push(frame));
            if let Some(abort) = closed {
                self.closes += 1;
                link.down.close(if abort { End::Lost } else { End::Closed });
                link.up.fall_silent();
            }
        }
    }

    /// What is kept goes out as one frame: what was written while there was room, and one message after each resume.
    fn check_size(&self, size: usize, limit: usize) {
        assert!(size <= HIGH_WATER + limit + (self.resumes + 2) * BIG + ROOM, "{size} bytes at once");
    }

    fn deliver_up(&mut self) -> bool {
        let (Some(link), Some(server)) = (&mut self.link, self.servers.last_mut()) else { return false };
        if server.is_open && !server.may_read() {
            return false;
        }
        match link.up.next() {
            None => return false,
            Some(Arrival::Frame(bytes)) => {
                let text = String::from_utf8(bytes).expect("JSON is text");
                server.receive(self.now, &text);
            }
            Some(Arrival::End(End::Closed)) => server.client_left(self.now),
            Some(Arrival::End(End::Lost)) => server.transport_closed(self.now),
        }
        if link.up.size() <= LANE && self.client.is_blocked {
            self.client.unblock();
        }
        self.pump();
        true
    }

    fn deliver_down(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        match link.down.next() {
            None => return false,
            Some(Arrival::Frame(bytes)) => {
                let text = String::from_utf8(bytes).expect("JSON is text");
                let heard = self.client.receive(&text);
                heard.into_iter().for_each(|heard| self.hear(heard));
            }
            Some(Arrival::End(_)) => self.client.transport_closed(TransportError::new("lost")),
        }
        self.pump();
        true
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Called { call, arguments, .. } => {
                let tag = tag_of(arguments.as_bytes());
                let server = self.servers.last_mut().expect("a server");
                assert_eq!(server.to_client.pop_front(), Some(tag), "lost, doubled or out of order");
                self.asked.extend(call.map(|call| (call, tag)));
            }
            Heard::Completed(id, Ok(Some(result))) => {
                let (tag, _) = self.calls.remove(&id).expect("a call that has not ended");
                assert_eq!(tag_of(result.as_bytes()), tag, "another's answer");
            }
            Heard::Item(id, item) => {
                let (_, next) = self.calls.get_mut(&id).expect("a call that has not ended");
                assert_eq!(tag_of(item.as_bytes()), *next, "an item was lost, doubled or out of order");
                *next += 1;
            }
            Heard::StreamCompleted(id, None) => {
                assert!(self.calls.remove(&id).is_some(), "a stream ends twice");
            }
            heard => panic!("{heard:?} of a well-behaved server"),
        }
    }

    /// Everything that is under way arrives.
    fn flow(&mut self) {
        let mut rounds = 0;
        while self.deliver_up() | self.deliver_down() {
            rounds += 1;
            assert!(rounds < 10_000, "there is no end of it");
        }
    }

    // Time.

    fn next_timeout(&self) -> Option<Moment> {
        let servers = self.servers.iter().filter_map(Server::poll_timeout);
        servers.chain(self.client.machine.poll_timeout()).min()
    }

    /// Passes every timeout on the way, while the link delivers or is slow.
    fn wait(&mut self, time: Duration, flows: bool) {
        let until = self.now + time;
        let mut rounds = 0;
        while let Some(at) = self.next_timeout().filter(|&at| at <= until) {
            rounds += 1;
            assert!(rounds < 10_000, "timeouts without end");
            self.now = self.now.max(at);
            self.tick();
            if flows {
                self.flow();
            }
        }
        self.now = until;
        self.tick();
    }

    fn tick(&mut self) {
        self.client.sleep_until(self.now);
        self.servers.iter_mut().for_each(|server| server.timeout(self.now));
        self.pump();
    }

    // The end.

    /// The network is good again, and everybody does what is expected of him.
    fn heals(mut self) {
        if let Some(link) = &mut self.link
            && (link.up.is_silent || link.down.is_silent)
        {
            link.up.cut(0);
            link.down.cut(0);
            (link.up.end, link.down.end) = (Some(End::Lost), Some(End::Lost));
        }
        self.client.unblock();
        self.server_does(|server, now, _| server.speed_up(now));
        let mut closes = 0;
        for round in 0..80 {
            if round == 40 {
                closes = self.closes;
            }
            self.pump();
            self.flow();
            while self.client.step.is_some() {
                self.go_on();
                self.flow();
            }
            while self.client.refresh.is_some() {
                self.answer_refresh();
            }
            while !self.asked.is_empty() {
                self.client_answers();
            }
            for upload in self.client.uploads.keys().copied().collect::<Vec<_>>() {
                self.client.end_upload(upload, None);
            }
            while self.servers.last().is_some_and(|server| !server.asked.is_empty()) {
                self.server_does(|server, now, _| server.answer(now, 0));
            }
            self.pump();
            self.flow();
            self.wait(Duration::from_secs(1), true);
        }
        assert_eq!(self.closes, closes, "a good link is given up");
        if self.client.is_up() {
            self.check_kept();
            let server = self.servers.last().expect("a server");
            assert!(server.is_up() && server.is_open, "the client does not notice the end");
            assert!(self.client.can_hear());
            assert!(server.from_client.is_empty() && server.to_client.is_empty(), "lost");
            assert!(self.client.calls.is_empty() && server.calls.is_empty(), "a call has no end");
            assert!(self.client.uploads.is_empty() && self.client.asked.is_empty());
            assert!(!self.client.machine.is_full() && !server.is_full(), "not acknowledged");
        }
        let up = self.client.can_hear();
        self.client.stop();
        self.pump();
        self.flow();
        assert!(!up || self.servers.iter().all(Server::is_over), "the server does not hear of the end");
        self.over();
    }

    /// Both have had time to acknowledge: a new socket has nothing to send again.
    fn check_kept(&mut self) {
        let stateful = self.client.machine.info().is_some_and(|info| info.stateful);
        let Some(link) = self.link.as_mut().filter(|_| stateful) else { return };
        link.up.cut(0);
        link.down.cut(0);
        self.flow();
        while self.client.step.is_some() {
            self.go_on();
            let link = self.link.as_ref().expect("a link");
            for frame in link.up.frames.iter().chain(&link.down.frames) {
                let text = std::str::from_utf8(frame).expect("JSON is text");
                for record in text.split_terminator('\u{1e}') {
                    let counted = !["{\"type\":6", "{\"type\":9"].iter().any(|kind| record.starts_with(kind));
                    assert!(!counted, "it was not acknowledged: {record}");
                }
            }
        }
        self.flow();
    }

    /// The link falls silent for good, no other opens, and nobody does anything.
    fn dies(mut self) {
        if let Some(link) = &mut self.link {
            link.up.fall_silent();
            link.down.fall_silent();
        }
        let mut rounds = 0;
        while self.now < Moment::from_epoch(Duration::from_secs(1 << 20)) {
            rounds += 1;
            assert!(rounds < 1_000, "it goes on and on");
            let Some(at) = self.next_timeout() else { break };
            self.now = self.now.max(at);
            self.tick();
            if self.client.step == Some(Job::Open) {
                self.client.open(Err(TransportError::new("lost")));
                self.pump();
            }
        }
        self.over();
    }

    fn over(mut self) {
        let longest = self.options.resume_window + self.options.handshake_timeout;
        self.wait(longest + Duration::from_secs(60), false);
        assert!(!self.client.is_started(), "the client does not notice the end");
        assert!(self.servers.iter().all(Server::is_over), "the server does not notice the end");
        assert_eq!(self.next_timeout(), None);
    }
}
