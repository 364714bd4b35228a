use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::client::backlog::Gate;
use crate::client::call::{CallEnd, ClientCall, ClientEffect};
use crate::client::codec::Codec;
use crate::client::connection::{Connection, ConnectionState, Refreshed, Shared, poll_job};
use crate::client::events::ConnectionEvent;
use crate::client::guard::guarded;
use crate::client::tokens::{self, Accepted, LinkTokens};
use crate::client::transport::Link;
use crate::core::hub::HubEvent;
use crate::core::message::HubMessage;
use crate::core::negotiate::{NegotiateAnswer, RESPONSE_LIMIT, user_agent};
use crate::core::refresh::RefreshError;
use crate::core::session::{ConnectionError, ConnectionInfo, Effect, TransportError};
use crate::core::stateful::MessageBuffer;
use crate::core::token::AccessToken;
use crate::core::{Moment, ProtocolError};
use crate::platform::{self, BoxFuture, Frame, HttpClient, HttpResponse, Wake, WakeSignal};

/// The task behind a connection: does what the session machine asks for, and tells it what happens. It lives from
/// one start to the end that follows, through all reconnects.
pub(super) struct Driver<C: Codec> {
    connection: Arc<Connection<C>>,
    codec: C,
    gate: Gate,
    http: Option<HttpClient>,
    link: Option<Link>,
    /// Frames that the link has not taken yet.
    frames: VecDeque<Frame>,
    unflushed: bool,
    /// The one request or opening that is under way.
    job: Option<BoxFuture<Done>>,
    /// A refresh of the authentication, beside whatever else happens.
    refresh: Option<BoxFuture<Result<Accepted, RefreshError>>>,
    /// The end of the link that was used last.
    closing: Option<BoxFuture<()>>,
    timer: Option<(Moment, BoxFuture<()>)>,
    wake: WakeSignal,
    ended: bool,
}

enum Done {
    Token(Result<Option<AccessToken>, String>),
    Answer(Result<HttpResponse, TransportError>),
    Opened(Result<Link, TransportError>),
    RetryDelay(Option<Duration>),
}

enum Input {
    Stop,
    Done(Done),
    Refreshed(Result<Accepted, RefreshError>),
    Frame(Frame),
    TransportClosed(TransportError),
    Timeout,
    Wake(Wake),
}

impl<C: Codec> Driver<C> {
    pub(super) fn new(connection: Arc<Connection<C>>, codec: C) -> Self {
        Self {
            gate: Gate::new(Arc::clone(&connection.backlog)),
            connection,
            codec,
            http: None,
            link: None,
            frames: VecDeque::new(),
            unflushed: false,
            job: None,
            refresh: None,
            closing: None,
            timer: None,
            wake: WakeSignal::new(),
            ended: false,
        }
    }

    pub(super) async fn run(mut self) {
        // Everything that is told of a connection stands in its span.
        let url = self.connection.lock().session.options().url.clone();
        let span = tracing::info_span!("hub_connection", %url, connection_id = tracing::field::Empty);
        poll_fn(|cx| span.in_scope(|| self.poll_run(cx))).await;
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
                self.job = Some(Box::pin(async move { Done::Token(tokens::fetch(provider).await) }));
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
            Effect::Open { transport, url, token, redirected_token } => {
                tracing::debug!(%transport, %url, "opening the transport");
                let (timeout, format) = {
                    let mut shared = self.connection.lock();
                    shared.link_token = (token, redirected_token);
                    // What the last socket left half received means nothing to the next.
                    self.codec = shared.codec.clone();
                    (shared.session.options().request_timeout, shared.codec.format())
                };
                let (http, headers) = (self.http(), self.headers());
                let authorization = Arc::new(LinkTokens(Arc::downgrade(&self.connection)));
                self.job = Some(Box::pin(async move {
                    Done::Opened(match http {
                        Ok(http) => {
                            Link::open(transport, format, http, url, authorization, headers, timeout).await
                        }
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
            Effect::Connected(info) => self.connected(info),
            Effect::Resumed => {
                tracing::info!("resumed the connection on a new socket");
                self.frames.clear();
                self.connection.lock().resume();
            }
            Effect::CloseTransport => {
                self.job = None;
                self.unflushed = false;
                self.collect();
                let frames = mem::take(&mut self.frames);
                if let Some(link) = self.link.take() {
                    self.closing = Some(Box::pin(link.close(frames)));
                }
            }
            Effect::Lost { error, calls } => self.lost(&error, calls),
            Effect::AskRetryPolicy(context) => {
                if context.previous_retry_count > 0 {
                    tracing::info!(attempt = context.previous_retry_count, reason = %context.reason, "an attempt to connect failed");
                }
                let policy = self.connection.settings.retry_policy.clone();
                self.job = Some(Box::pin(async move {
                    Done::RetryDelay(guarded(policy.decide(context)).await.flatten())
                }));
            }
            Effect::Reconnecting(error) => {
                tracing::info!(reason = %error, "reconnecting");
                self.connection.lock().tell(&ConnectionEvent::Reconnecting { error });
            }
            Effect::Disconnected(error) => self.disconnected(error),
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

    fn connected(&mut self, info: ConnectionInfo) {
        tracing::Span::current().record("connection_id", info.connection_id.as_deref());
        tracing::info!(connection_id = info.connection_id, url = %info.url, transport = %info.transport, "connected");
        // Nothing more will be requested, and an idle pool costs memory.
        self.http = None;
        let mut shared = self.connection.lock();
        shared.renewed = false;
        if self.connection.settings.refresh_lead.is_some()
            && self.connection.settings.token_provider.is_some()
        {
            shared.refresh.arm(platform::now(), info.token_lifetime);
        }
        let connection_id = info.connection_id.clone();
        shared.info = Some(info);
        // A wish to stop that came in between stays visible.
        if shared.state != ConnectionState::Disconnecting {
            shared.state = ConnectionState::Connected;
        }
        let event = match mem::replace(&mut shared.was_up, true) {
            false => ConnectionEvent::Connected { connection_id },
            true => ConnectionEvent::Reconnected { connection_id },
        };
        shared.tell(&event);
        for started in mem::take(&mut shared.started) {
            let _ = started.send(Ok(()));
        }
    }

    /// A connection that was up is down; there may be another.
    fn lost(&mut self, error: &ConnectionError, calls: Vec<ClientCall<C>>) {
        self.refresh = None;
        let refreshed = {
            let mut shared = self.connection.lock();
            if shared.state == ConnectionState::Connected {
                shared.state = ConnectionState::Reconnecting;
            }
            shared.info = None;
            shared.out = C::Out::default();
            shared.buffer = None;
            shared.drained.clear();
            shared.refresh.disarm();
            mem::take(&mut shared.refreshed)
        };
        for call in calls {
            call.end(CallEnd::Closed(error));
        }
        for refreshed in refreshed {
            let _ = refreshed.send(Err(RefreshError::NotConnected));
        }
    }

    /// The one end of a start, for everyone who waits.
    fn disconnected(&mut self, error: ConnectionError) {
        self.ended = true;
        let error = Arc::new(error);
        let (started, ended) = {
            let mut shared = self.connection.lock();
            match &*error {
                ConnectionError::Stopped => tracing::info!("disconnected: the connection was stopped"),
                error => tracing::error!(reason = %error, "disconnected"),
            }
            shared.state = ConnectionState::Disconnected;
            shared.waker = None;
            shared.last_end = Some(Arc::clone(&error));
            shared.tell(&ConnectionEvent::Disconnected { error: (*error).clone() });
            (mem::take(&mut shared.started), mem::take(&mut shared.ended))
        };
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
            Input::Refreshed(result) => self.refreshed(now, result),
            Input::Timeout => self.time_passed(now),
            Input::Wake(wake) => {
                tracing::debug!(?wake, "the page was asleep or offline, or is about to be");
                if wake != Wake::Frozen {
                    self.connection.lock().session.handle_wake(now);
                    self.time_passed(now);
                }
            }
            input => {
                let mut shared = self.connection.lock();
                let session = &mut shared.session;
                match input {
                    Input::Stop => {
                        session.stop();
                        shared.stop = false;
                    }
                    Input::Done(Done::Token(token)) => {
                        session.handle_token(now, platform::unix_now(), token);
                    }
                    Input::Done(Done::RetryDelay(delay)) => session.handle_retry_delay(now, delay),
                    Input::Done(Done::Answer(answer)) => session.handle_negotiate(
                        now,
                        answer.as_ref().map_err(Clone::clone).map(|response| NegotiateAnswer {
                            status: response.status,
                            retry_after: response.retry_after,
                            body: &response.body,
                        }),
                    ),
                    Input::Done(Done::Opened(Ok(link))) => {
                        self.link = Some(link);
                        session.handle_open(now, Ok(()));
                    }
                    Input::Done(Done::Opened(Err(error))) => session.handle_open(now, Err(error)),
                    Input::TransportClosed(error) => {
                        self.link = None;
                        session.handle_transport_closed(now, error);
                    }
                    Input::Frame(_) | Input::Refreshed(_) | Input::Timeout | Input::Wake(_) => {}
                }
            }
        }
    }

    fn receive(&mut self, now: Moment, frame: Frame) {
        tracing::trace!(text = frame.is_text(), "received a frame");
        let connection = &self.connection;
        let mut shared = connection.lock();
        shared.session.handle_received(now);
        let rest;
        let frame = if shared.session.is_handshaking() {
            if !frame.is_text() && frame.bytes().first() != Some(&b'{') {
                shared.session.handle_protocol_error(now, ProtocolError::NotAHandshake);
                return;
            }
            rest = shared.session.handle_handshake(now, &frame.bytes()).to_vec();
            // What follows in the same chunk counts already.
            if shared.session.info().is_some_and(|info| info.stateful) {
                shared.buffer = Some(MessageBuffer::new(connection.settings.stateful_buffer_size));
            }
            if rest.is_empty() {
                return;
            }
            if frame.is_text() { Frame::text(rest) } else { Frame::binary(rest) }
        } else {
            frame
        };
        drop(shared);
        let mut sequence_error = None;
        let decoded = self.codec.decode(&frame, &mut |message| {
            let event = {
                let mut shared = connection.lock();
                match shared.is_news(now, &message) {
                    Ok(true) => shared.session.handle_message(now, message),
                    Ok(false) => return,
                    Err(error) => {
                        sequence_error.get_or_insert(error);
                        return;
                    }
                }
            };
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
        if let Some(error) = decoded.err().or(sequence_error) {
            connection.lock().session.handle_protocol_error(now, error);
        } else if connection.backlog.is_too_long() {
            connection.lock().session.handle_slow_consumer(now);
        }
    }

    fn time_passed(&mut self, now: Moment) {
        let mut shared = self.connection.lock();
        shared.session.handle_timeout(now);
        if let Some(sequence_id) = shared.buffer.as_mut().and_then(|buffer| buffer.handle_timeout(now)) {
            shared.write(&HubMessage::Ack { sequence_id });
        }
        if shared.refresh.handle_timeout(now) {
            drop(shared);
            self.start_refresh();
        }
    }

    fn start_refresh(&mut self) {
        if self.refresh.is_some() {
            return;
        }
        let (http, headers) = (self.http(), self.headers());
        let connection = &self.connection;
        let shared = connection.lock();
        let Some(token) = shared.session.connection_token().cloned() else { return };
        let options = shared.session.options();
        let provider = connection.settings.token_provider.clone();
        let refresh = tokens::refresh(http, options.url.clone(), token, provider, headers);
        self.refresh = Some(Box::pin(tokens::limited(options.request_timeout, refresh)));
    }

    fn refreshed(&mut self, now: Moment, result: Result<Accepted, RefreshError>) {
        let mut shared = self.connection.lock();
        let result: Refreshed = match result {
            Ok((answer, sent)) => {
                shared.accept(now, answer.access_token.as_ref(), sent.as_ref());
                if self.connection.settings.refresh_lead.is_some() {
                    shared.refresh.arm(now, answer.token_lifetime);
                }
                Ok(answer.token_lifetime)
            }
            Err(error) => {
                shared.refresh.handle_failure(now);
                Err(error)
            }
        };
        let event = match &result {
            Ok(lifetime) => {
                tracing::info!(?lifetime, "refreshed the authentication");
                ConnectionEvent::AuthenticationRefreshed { lifetime: *lifetime }
            }
            Err(error) => {
                tracing::warn!(%error, "refreshing the authentication failed");
                ConnectionEvent::AuthenticationRefreshFailed { error: error.clone() }
            }
        };
        shared.tell(&event);
        let waiting = mem::take(&mut shared.refreshed);
        drop(shared);
        for refreshed in waiting {
            let _ = refreshed.send(result.clone());
        }
        self.http = None;
    }

    /// Puts what was written since the last time behind the frames that wait already.
    fn collect(&mut self) {
        if let Some(out) = self.connection.lock().take_out() {
            self.frames.push_back(self.codec.frame(out));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let now = platform::now();
        let mut wants_refresh = false;
        let full;
        let deadline = {
            let mut shared = self.connection.lock();
            if shared.stop {
                return Poll::Ready(Input::Stop);
            }
            if !shared.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                shared.waker = Some(cx.waker().clone());
            }
            full = shared.session.can_send() && {
                let has_calls = shared.session.calls().is_some_and(|calls| calls.pending_calls() > 0);
                !self.gate.is_open(cx, has_calls)
            };
            if full {
                // The server may well be talking: it is this side that does not listen.
                shared.session.handle_received(now);
            }
            // One frame at a time: what is written while the link is busy goes out as one batch.
            if self.frames.is_empty()
                && !self.unflushed
                && shared.session.can_send()
                && let Some(out) = shared.take_out()
            {
                shared.session.handle_sent(now);
                self.frames.push_back(self.codec.frame(out));
            }
            wants_refresh |= !shared.refreshed.is_empty();
            let Shared { session, buffer, refresh, .. } = &*shared;
            let ack = buffer.as_ref().and_then(MessageBuffer::poll_timeout);
            [session.poll_timeout(), ack, refresh.poll_timeout()].into_iter().flatten().min()
        };
        if wants_refresh {
            self.start_refresh();
        }
        if let Poll::Ready(result) = poll_job(&mut self.refresh, cx) {
            return Poll::Ready(Input::Refreshed(result));
        }
        if let Poll::Ready(done) = poll_job(&mut self.job, cx) {
            return Poll::Ready(Input::Done(done));
        }
        if let Some(error) = self.poll_send(cx) {
            return Poll::Ready(Input::TransportClosed(error));
        }
        if let Some(link) = self.link.as_mut().filter(|_| !full)
            && let Poll::Ready(received) = link.poll_next(cx)
        {
            return Poll::Ready(match received {
                Ok(frame) => Input::Frame(frame),
                Err(error) => Input::TransportClosed(error),
            });
        }
        // A timer may have slept as well, so the clock is looked at.
        if let Poll::Ready(wake) = self.wake.poll(cx) {
            return Poll::Ready(Input::Wake(wake));
        }
        match deadline {
            Some(deadline) => self.poll_timer(cx, now, deadline),
            None => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Option<TransportError> {
        let link = self.link.as_mut()?;
        while !self.frames.is_empty() {
            match link.poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(frame) = self.frames.pop_front() {
                tracing::trace!(text = frame.is_text(), "sending a frame");
                if let Err(error) = link.start_send(frame) {
                    return Some(error);
                }
                self.unflushed = true;
            }
        }
        if self.unflushed {
            match link.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    // What was written in the meantime waits for no one else to wake it.
                    if !self.frames.is_empty() || C::waiting(&self.connection.lock().out) > 0 {
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
        let effects: Vec<_> = {
            let mut shared = self.connection.lock();
            shared.session.stop();
            std::iter::from_fn(|| shared.session.poll_effect()).collect()
        };
        for effect in effects {
            match effect {
                Effect::Lost { error, calls } => self.lost(&error, calls),
                Effect::Disconnected(error) => self.disconnected(error),
                _ => {}
            }
        }
    }
}
