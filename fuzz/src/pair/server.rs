//! The server's end of a pair: a driver of the server's machine, and what the server knows of its client's work.

use std::collections::{BTreeMap, VecDeque};

use hubwire::core::Moment;
use hubwire::core::codec::{Frame, Payload, RawCodec};
use hubwire::core::hub::HubEvent;
use hubwire::core::message::Outcome;
use hubwire::core::negotiate::Transport;
use hubwire::core::server::{Effect, ServerMachine, ServerOptions, Transmit, TransportError};

/// How far a connection is, as far as its owner was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Handshaking,
    Connected,
    Detached,
    Disconnected,
}

/// A call of the client's that is not answered yet.
pub(super) struct Asked {
    pub(super) tag: u64,
    pub(super) streams: bool,
    next_item: u64,
}

/// One connection as its server sees it.
pub(super) struct Server {
    machine: ServerMachine<RawCodec>,
    pub(super) state: State,
    pub(super) is_stateful: bool,
    /// Whether a transport is open.
    pub(super) is_open: bool,
    /// Whether the transport is slow to take frames.
    pub(super) is_slow: bool,
    on_its_way: bool,
    /// What was written to the transport, and whether it was closed, and without a word; for the link to take.
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) closed: Option<bool>,
    /// What the client has called and not got an answer to, and what it uploads.
    pub(super) asked: BTreeMap<u64, Asked>,
    uploads: BTreeMap<String, (Option<u64>, u64)>,
    /// Calls of the client's methods, with their tags.
    pub(super) calls: BTreeMap<u64, u64>,
    /// The tags of calls and messages that were sent and have not come: every one of them has to, in order.
    pub(super) from_client: VecDeque<u64>,
    pub(super) to_client: VecDeque<u64>,
}

impl Server {
    pub(super) fn new(now: Moment, options: ServerOptions) -> Self {
        let codecs = vec![RawCodec::default()];
        Self {
            machine: ServerMachine::new(now, options, codecs, Transport::WebSockets),
            state: State::Handshaking,
            is_stateful: false,
            is_open: true,
            is_slow: false,
            on_its_way: false,
            frames: Vec::new(),
            closed: None,
            asked: BTreeMap::new(),
            uploads: BTreeMap::new(),
            calls: BTreeMap::new(),
            from_client: VecDeque::new(),
            to_client: VecDeque::new(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Disconnected
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Connected | State::Detached)
    }

    pub(super) fn may_read(&self) -> bool {
        self.machine.may_read()
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.machine.poll_timeout()
    }

    pub(super) fn timeout(&mut self, now: Moment) {
        let due = self.machine.poll_timeout().is_some_and(|at| at <= now);
        self.machine.handle_timeout(now);
        self.settle(now, !due);
        let next = self.machine.poll_timeout();
        assert!(next.is_none_or(|at| at > now), "still due, which would keep a driver busy for ever");
    }

    /// The client comes with another socket. Whether it is taken.
    pub(super) fn resume(&mut self, now: Moment) -> bool {
        let resumes = self.is_stateful && self.is_up();
        assert_eq!(self.machine.handle_transport(now).is_ok(), resumes);
        if resumes {
            // What was written before is for the socket that is gone.
            (self.is_open, self.on_its_way) = (true, false);
            self.frames.clear();
        }
        self.settle(now, !resumes);
        if resumes {
            self.closed = None;
            self.is_open = true;
            self.transmit(now);
        }
        resumes
    }

    pub(super) fn transport_closed(&mut self, now: Moment) {
        let late = !self.is_open;
        self.is_open = false;
        self.machine.handle_transport_closed(now, TransportError::new("lost"));
        self.settle(now, late);
    }

    pub(super) fn client_left(&mut self, now: Moment) {
        let late = !self.is_open;
        self.is_open = false;
        self.machine.handle_left();
        self.settle(now, late);
    }

    pub(super) fn close(&mut self, now: Moment, allow_reconnect: bool) {
        let late = self.is_over();
        self.machine.close(Some("bye"), allow_reconnect);
        self.settle(now, late);
        assert!(self.is_over());
    }

    pub(super) fn receive(&mut self, now: Moment, text: &str) {
        let late = !self.is_open;
        let mut spare = Vec::new();
        match self.machine.handle_frame(now, Frame::Text(text), &mut spare) {
            Some(mut messages) => {
                assert!(!late, "a frame of no transport is taken");
                if self.state == State::Handshaking {
                    // The answer to the handshake was written, and what follows is of the connection.
                    self.state = State::Connected;
                    self.is_stateful = self.machine.is_stateful();
                }
                while let Some(event) = self.machine.next_event(now, &mut messages) {
                    Self::event(
                        event,
                        &mut self.asked,
                        &mut self.uploads,
                        &mut self.calls,
                        &mut self.from_client,
                    );
                }
            }
            None => assert!(!late || !self.machine.may_read()),
        }
        self.settle(now, late);
    }

    fn event(
        event: HubEvent<'_, Payload<'_>>,
        asked: &mut BTreeMap<u64, Asked>,
        uploads: &mut BTreeMap<String, (Option<u64>, u64)>,
        calls: &mut BTreeMap<u64, u64>,
        from_client: &mut VecDeque<u64>,
    ) {
        match event {
            HubEvent::Called { call, streams, invocation } => {
                let tag = tag_of(invocation.arguments.as_ref());
                assert_eq!(from_client.pop_front(), Some(tag), "lost, doubled or out of order");
                for stream in invocation.stream_ids {
                    assert!(uploads.insert(stream.into_owned(), (call, 0)).is_none());
                }
                if let Some(call) = call {
                    assert!(asked.insert(call, Asked { tag, streams, next_item: 0 }).is_none());
                }
            }
            HubEvent::Cancelled { call } => assert!(asked.contains_key(&call)),
            HubEvent::Completed { id, outcome } => {
                let tag = calls.remove(&id).expect("a call that has not ended");
                match outcome {
                    Outcome::Value(value) => assert_eq!(tag_of(value.as_ref()), tag, "another's answer"),
                    Outcome::Error(_) => {}
                    Outcome::Void => panic!("no result"),
                }
            }
            HubEvent::Uploaded { stream_id, item } => {
                let (_, next) = uploads.get_mut(&*stream_id).expect("an upload that has not ended");
                assert_eq!(tag_of(item.as_ref()), *next, "an item was lost, doubled or out of order");
                *next += 1;
            }
            HubEvent::UploadCompleted { stream_id, .. } => {
                assert!(uploads.remove(&*stream_id).is_some(), "an upload ends twice");
            }
            // The end of an upload whose call has ended before.
            HubEvent::ForeignCompletion { .. } => {}
            event => panic!("{event:?} of a well-behaved client"),
        }
    }

    // What the server does by itself.

    pub(super) fn invoke(&mut self, now: Moment, tag: u64) {
        if self.machine.is_full() {
            return;
        }
        let call = self.machine.invoke("Ask", Payload::Json(&format!("[{tag}]")));
        assert_eq!(call.is_ok(), self.is_up());
        if let Ok(call) = call {
            assert!(self.calls.insert(call, tag).is_none(), "a number comes again");
            self.to_client.push_back(tag);
        }
        self.settle(now, call.is_err());
    }

    pub(super) fn send(&mut self, now: Moment, tag: u64) {
        if self.machine.is_full() {
            return;
        }
        let sent = self.machine.send("Say", Payload::Json(&format!("[{tag}]")));
        assert_eq!(sent.is_ok(), self.is_up());
        if sent.is_ok() {
            self.to_client.push_back(tag);
        }
        self.settle(now, sent.is_err());
    }

    /// Nobody waits for the client's answer any more.
    pub(super) fn forget(&mut self, now: Moment) {
        if let Some((call, _)) = self.calls.pop_last() {
            assert!(self.machine.forget(call) && !self.machine.forget(call));
            self.settle(now, true);
        }
    }

    pub(super) fn answer(&mut self, now: Moment, nth: usize) {
        let Some(&call) = self.asked.keys().nth(nth) else { return };
        let Some(Asked { tag, streams, .. }) = self.asked.remove(&call) else { return };
        self.uploads.retain(|_, (of, _)| *of != Some(call));
        assert!(self.machine.expects_answer(call));
        let text = tag.to_string();
        let outcome = if streams { Outcome::Void } else { Outcome::Value(Payload::Json(&text)) };
        assert!(self.machine.answer(call, outcome) && !self.machine.answer(call, Outcome::Void));
        self.settle(now, false);
    }

    pub(super) fn stream(&mut self, now: Moment, nth: usize) {
        let streams = self.asked.iter_mut().filter(|(_, asked)| asked.streams);
        let Some((&call, asked)) = streams.into_iter().nth(nth) else { return };
        if !self.machine.is_full() {
            let text = asked.next_item.to_string();
            asked.next_item += 1;
            assert!(self.machine.send_item(call, Payload::Json(&text)));
            self.settle(now, false);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.machine.is_full()
    }

    pub(super) fn speed_up(&mut self, now: Moment) {
        self.is_slow = false;
        self.transmit(now);
    }

    fn settle(&mut self, now: Moment, late: bool) {
        let mut effects = 0;
        while let Some(effect) = self.machine.poll_effect() {
            assert!(!late, "a late input has effects: {effect:?}");
            assert!(!self.is_over(), "{effect:?} after the end");
            effects += 1;
            assert!(effects < 20, "there is no end of it");
            self.perform(now, &effect);
        }
        self.transmit(now);
        assert_eq!(self.machine.is_connected(), self.is_up(), "{:?}", self.state);
        assert_eq!(self.machine.poll_timeout().is_some(), !self.is_over(), "{:?}", self.state);
        assert!(!self.machine.may_read() || self.is_open, "{:?} reads a transport that is gone", self.state);
    }

    fn perform(&mut self, now: Moment, effect: &Effect) {
        match effect {
            Effect::Connected => {
                assert!(matches!(self.state, State::Handshaking | State::Connected));
                self.state = State::Connected;
                self.is_stateful = self.machine.is_stateful();
            }
            Effect::CloseTransport { abort } => {
                if !abort {
                    self.transmit(now);
                }
                self.on_its_way = false;
                self.is_open = false;
                self.closed = Some(*abort);
            }
            Effect::Detached => {
                assert!(self.is_stateful && self.state == State::Connected && !self.is_open);
                self.state = State::Detached;
            }
            Effect::Resumed => {
                assert!(self.is_stateful && self.is_up());
                self.is_open = true;
                self.state = State::Connected;
            }
            Effect::Disconnected(_) => {
                assert!(!self.is_open);
                self.state = State::Disconnected;
                for call in std::mem::take(&mut self.asked).into_keys() {
                    assert!(!self.machine.expects_answer(call), "the answer {call} goes on");
                }
                for call in std::mem::take(&mut self.calls).into_keys() {
                    assert!(!self.machine.forget(call), "the call {call} goes on");
                }
                self.uploads.clear();
            }
            effect => panic!("{effect:?} is not known here"),
        }
    }

    /// Gives the transport what there is, while it takes it.
    fn transmit(&mut self, now: Moment) {
        if self.on_its_way && !self.is_slow {
            self.on_its_way = false;
            self.machine.handle_transmitted(now);
        }
        while self.is_open
            && !self.on_its_way
            && let Some(transmit) = self.machine.poll_transmit(now)
        {
            let (Transmit::Handshake(bytes) | Transmit::Messages(bytes)) = transmit;
            assert!(!bytes.is_empty());
            self.frames.push(bytes);
            if self.is_slow {
                self.on_its_way = true;
            } else {
                self.machine.handle_transmitted(now);
            }
        }
    }
}

/// The number that arguments, a result or an item begin with.
pub(super) fn tag_of(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).expect("JSON is text");
    let digits = text.trim_start_matches('[');
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().expect("a number")
}
