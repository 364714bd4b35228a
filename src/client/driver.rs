use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::client::backlog::Gate;
use crate::client::call::{CallEnd, ClientCall, ClientEffect};
use crate::client::codec::Codec;
use crate::client::connection::{Connection, ConnectionState, poll_job};
use crate::core::hub::HubEvent;
use crate::core::message::HubMessage;
use crate::core::negotiate::{NegotiateAnswer, RESPONSE_LIMIT, TransferFormat, user_agent};
use crate::core::session::{ConnectionError, Effect, TransportError};
use crate::core::token::AccessToken;
use crate::core::{Moment, ProtocolError};
use crate::platform::{self, BoxFuture, Frame, HttpClient, HttpResponse, WebSocket};

/// The task behind a connection: does what the session machine asks for, and tells it what happens. It lives from
/// one start to the end that follows.
pub(super) struct Driver<C: Codec> {
    connection: Arc<Connection<C>>,
    codec: C,
    gate: Gate,
    http: Option<HttpClient>,
    socket: Option<Box<WebSocket>>,
    /// Frames that the socket has not taken yet.
    frames: VecDeque<Frame>,
    unflushed: bool,
    /// The one request or opening that is under way.
    job: Option<BoxFuture<Done>>,
    /// The end of the socket that was used last.
    closing: Option<BoxFuture<()>>,
    timer: Option<(Moment, BoxFuture<()>)>,
    ended: bool,
}

enum Done {
    Token(Result<Option<AccessToken>, String>),
    Answer(Result<HttpResponse, TransportError>),
    Opened(Result<Box<WebSocket>, TransportError>),
}

enum Input {
    Stop,
    Done(Done),
    Frame(Frame),
    TransportClosed(TransportError),
    Timeout,
}

impl<C: Codec> Driver<C> {
    pub(super) fn new(connection: Arc<Connection<C>>, codec: C) -> Self {
        Self {
            gate: Gate::new(Arc::clone(&connection.backlog)),
            connection,
            codec,
            http: None,
            socket: None,
            frames: VecDeque::new(),
            unflushed: false,
            job: None,
            closing: None,
            timer: None,
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll_run(cx)).await;
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Who hears of the end may count on the socket being closed.
            if self.closing.is_some() {
                ready!(poll_job(&mut self.closing, cx));
            }
            let effect = self.connection.lock().session.poll_effect();
            if let Some(effect) = effect {
                self.perform(effect);
            } else if self.ended {
                return Poll::Ready(());
            } else {
                let input = ready!(self.poll(cx));
                self.handle(input);
            }
        }
    }

    fn perform(&mut self, effect: ClientEffect<C>) {
        match effect {
            Effect::FetchToken => {
                let provider = self.connection.settings.token_provider.clone();
                self.job = Some(Box::pin(async move {
                    Done::Token(match provider {
                        Some(provider) => provider.provide().await,
                        None => Ok(None),
                    })
                }));
            }
            Effect::Negotiate(request) => {
                tracing::debug!(url = %request.url, "negotiating");
                let (http, headers) = (self.http(), self.headers());
                self.job = Some(Box::pin(async move {
                    Done::Answer(match http {
                        Ok(http) => http.post(request.url, request.token, headers, RESPONSE_LIMIT).await,
                        Err(error) => Err(error),
                    })
                }));
            }
            Effect::Open { transport, url, token } => {
                tracing::debug!(%transport, %url, "opening the transport");
                let (http, headers) = (self.http(), self.headers());
                self.job = Some(Box::pin(async move {
                    Done::Opened(match http {
                        Ok(http) => WebSocket::open(http, url, token, headers).await.map(Box::new),
                        Err(error) => Err(error),
                    })
                }));
            }
            Effect::SendHandshake(bytes) => self.frames.push_back(Frame::text(bytes)),
            Effect::SendPing => self.connection.lock().write(&HubMessage::Ping),
            Effect::SendClose => {
                let close = HubMessage::Close { error: None, allow_reconnect: false };
                self.connection.lock().write(&close);
            }
            Effect::Connected(info) => {
                tracing::info!(connection_id = info.connection_id, url = %info.url, "connected");
                // Nothing more will be requested, and an idle pool costs memory.
                self.http = None;
                let mut shared = self.connection.lock();
                shared.state = ConnectionState::Connected;
                shared.info = Some(info);
                for started in mem::take(&mut shared.started) {
                    let _ = started.send(Ok(()));
                }
            }
            Effect::CloseTransport => {
                self.job = None;
                self.collect();
                let frames = mem::take(&mut self.frames);
                if let Some(socket) = self.socket.take() {
                    self.closing = Some(Box::pin(socket.close(frames)));
                }
            }
            Effect::Disconnected { error, calls } => self.disconnected(error, calls),
        }
    }

    fn http(&mut self) -> Result<HttpClient, TransportError> {
        let http = match self.http.take() {
            Some(http) => http,
            None => HttpClient::new(self.connection.settings.with_credentials)?,
        };
        self.http = Some(http.clone());
        Ok(http)
    }

    /// The user's headers come last, and so may replace ours.
    fn headers(&self) -> Vec<(String, String)> {
        let agent = user_agent("hubwire", env!("CARGO_PKG_VERSION"), platform::OS, platform::RUNTIME, "");
        let ours = [(platform::USER_AGENT_HEADER, agent), ("X-Requested-With", "XMLHttpRequest".to_owned())];
        let theirs = &self.connection.settings.headers;
        ours.into_iter()
            .filter(|(name, _)| !theirs.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.to_owned(), value))
            .chain(theirs.iter().cloned())
            .collect()
    }

    /// The one end of a connection, for everyone who waits.
    fn disconnected(&mut self, error: ConnectionError, calls: Vec<ClientCall<C>>) {
        self.ended = true;
        let error = Arc::new(error);
        let (started, ended) = {
            let mut shared = self.connection.lock();
            tracing::info!(reason = %error, "disconnected");
            shared.state = ConnectionState::Disconnected;
            shared.info = None;
            shared.waker = None;
            shared.out = C::Out::default();
            shared.drained.clear();
            shared.last_end = Some(Arc::clone(&error));
            (mem::take(&mut shared.started), mem::take(&mut shared.ended))
        };
        for call in calls {
            call.end(CallEnd::Closed(&error));
        }
        for started in started {
            let _ = started.send(Err(Arc::clone(&error)));
        }
        for ended in ended {
            let _ = ended.send(Arc::clone(&error));
        }
    }

    fn handle(&mut self, input: Input) {
        let now = platform::now();
        match input {
            Input::Frame(frame) => self.receive(now, frame),
            input => {
                let mut shared = self.connection.lock();
                let session = &mut shared.session;
                match input {
                    Input::Stop => {
                        session.stop();
                        shared.stop = false;
                    }
                    Input::Done(Done::Token(token)) => session.handle_token(now, token),
                    Input::Done(Done::Answer(answer)) => session.handle_negotiate(
                        now,
                        answer.as_ref().map_err(Clone::clone).map(|response| NegotiateAnswer {
                            status: response.status,
                            retry_after: response.retry_after,
                            body: &response.body,
                        }),
                    ),
                    Input::Done(Done::Opened(Ok(socket))) => {
                        self.socket = Some(socket);
                        session.handle_open(now, Ok(()));
                    }
                    Input::Done(Done::Opened(Err(error))) => session.handle_open(now, Err(error)),
                    Input::TransportClosed(error) => {
                        self.socket = None;
                        session.handle_transport_closed(error);
                    }
                    Input::Timeout => session.handle_timeout(now),
                    Input::Frame(_) => {}
                }
            }
        }
    }

    fn receive(&mut self, now: Moment, frame: Frame) {
        let connection = &self.connection;
        let mut shared = connection.lock();
        shared.session.handle_received(now);
        let rest;
        let frame = if shared.session.is_handshaking() {
            if !frame.is_text() && frame.bytes().first() != Some(&b'{') {
                shared.session.handle_protocol_error(ProtocolError::NotAHandshake);
                return;
            }
            rest = shared.session.handle_handshake(now, &frame.bytes()).to_vec();
            if rest.is_empty() {
                return;
            }
            match self.codec.format() {
                TransferFormat::Text => Frame::text(rest),
                TransferFormat::Binary => Frame::binary(rest),
            }
        } else {
            frame
        };
        drop(shared);
        let decoded = self.codec.decode(&frame, &mut |message| {
            let event = connection.lock().session.handle_message(message);
            match event {
                HubEvent::Completed(call, outcome) => call.end(CallEnd::Outcome(outcome)),
                HubEvent::UnexpectedItem(call) => call.end(CallEnd::UnexpectedItem),
                HubEvent::Item { id, stream, item } => {
                    if !stream.item(item) {
                        connection.abandon(id);
                    }
                }
                HubEvent::StreamCompleted(stream, outcome) => stream.end(CallEnd::Outcome(outcome)),
                HubEvent::Invocation(call) => connection.callee.call(connection, call),
                HubEvent::StreamInvocation(call) => {
                    if let Some(id) = call.invocation_id {
                        connection.refuse(&id, "Clients have no methods that stream.");
                    }
                }
                HubEvent::Cancelled(id) => connection.refuse(&id, "The invocation was canceled."),
                HubEvent::None | HubEvent::Close { .. } => {}
            }
        });
        if let Err(error) = decoded {
            connection.lock().session.handle_protocol_error(error);
        } else if connection.backlog.is_too_long() {
            connection.lock().session.handle_slow_consumer();
        }
    }

    /// Puts what was written since the last time behind the frames that wait already.
    fn collect(&mut self) {
        if let Some(out) = self.connection.lock().take_out() {
            self.frames.push_back(self.codec.frame(out));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let now = platform::now();
        let has_calls = self.connection.lock().session.calls().is_some_and(|calls| calls.pending_calls() > 0);
        let full = !self.gate.is_open(cx, has_calls);
        let deadline = {
            let mut shared = self.connection.lock();
            if shared.stop {
                return Poll::Ready(Input::Stop);
            }
            if !shared.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                shared.waker = Some(cx.waker().clone());
            }
            if full {
                // The server may well be talking: it is this side that does not listen.
                shared.session.handle_received(now);
            }
            // One frame at a time: what is written while the socket is busy goes out as one batch.
            if self.frames.is_empty()
                && shared.session.is_connected()
                && let Some(out) = shared.take_out()
            {
                shared.session.handle_sent(now);
                self.frames.push_back(self.codec.frame(out));
            }
            shared.session.poll_timeout()
        };
        if let Poll::Ready(done) = poll_job(&mut self.job, cx) {
            return Poll::Ready(Input::Done(done));
        }
        if let Some(error) = self.poll_send(cx) {
            return Poll::Ready(Input::TransportClosed(error));
        }
        if let Some(socket) = self.socket.as_mut().filter(|_| !full)
            && let Poll::Ready(received) = socket.poll_next(cx)
        {
            return Poll::Ready(match received {
                Ok(frame) => Input::Frame(frame),
                Err(error) => Input::TransportClosed(error),
            });
        }
        match deadline {
            Some(deadline) => self.poll_timer(cx, now, deadline),
            None => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Option<TransportError> {
        let socket = self.socket.as_mut()?;
        while !self.frames.is_empty() {
            match socket.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(frame) = self.frames.pop_front() {
                if let Err(error) = socket.start_send(frame) {
                    return Some(error);
                }
                self.unflushed = true;
            }
        }
        if self.unflushed {
            match socket.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    // What was written in the meantime waits for no one else to wake it.
                    if C::waiting(&self.connection.lock().out) > 0 {
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        None
    }

    /// The deadline moves with every message, mostly to later: a timer that fires too early is cheaper than a new
    /// one for each.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Moment, deadline: Moment) -> Poll<Input> {
        if now >= deadline {
            return Poll::Ready(Input::Timeout);
        }
        loop {
            let (at, sleep) = match &mut self.timer {
                Some((at, sleep)) if *at <= deadline => (at, sleep),
                timer => {
                    let new = (deadline, platform::sleep(deadline.saturating_sub(now)));
                    let (at, sleep) = timer.insert(new);
                    (at, sleep)
                }
            };
            let reached = *at >= deadline;
            match Pin::new(sleep).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {
                    self.timer = None;
                    if reached {
                        return Poll::Ready(Input::Timeout);
                    }
                }
            }
        }
    }
}

/// A runtime that shuts down drops its tasks; nobody may be left waiting then.
impl<C: Codec> Drop for Driver<C> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let last = {
            let mut shared = self.connection.lock();
            shared.session.stop();
            std::iter::from_fn(|| shared.session.poll_effect()).last()
        };
        if let Some(Effect::Disconnected { error, calls }) = last {
            self.disconnected(error, calls);
        }
    }
}
