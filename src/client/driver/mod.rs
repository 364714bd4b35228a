//! The task behind a connection. `io` is what it waits for and what goes out, `lifecycle` what it tells of ups and
//! downs; here is what it does in between.

mod io;
mod lifecycle;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::client::backlog::Gate;
use crate::client::call::{CallEnd, ClientEffect};
use crate::client::codec::Codec;
use crate::client::connection::{Connection, poll_job};
use crate::client::events::ConnectionEvent;
use crate::client::guard::guarded;
use crate::client::tokens::{self, Accepted, LinkTokens};
use crate::client::transport::Link;
use crate::core::Moment;
use crate::core::hub::HubEvent;
use crate::core::message::HubMessage;
use crate::core::negotiate::{NegotiateAnswer, RESPONSE_LIMIT, user_agent};
use crate::core::refresh::RefreshError;
use crate::core::session::{Effect, TransportError};
use crate::core::stateful::MessageBuffer;
use crate::core::token::AccessToken;
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
    /// Sending has failed. What has come before, such as the server's reason to close, is read first.
    failed: Option<TransportError>,
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
            failed: None,
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
                self.failed = None;
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

    fn handle(&mut self, input: Input) {
        let now = platform::now();
        match input {
            Input::Stop => {
                let mut shared = self.connection.lock();
                shared.stop = false;
                shared.session.stop();
            }
            Input::Done(done) => self.done(now, done),
            Input::Refreshed(result) => self.refreshed(now, result),
            Input::Frame(frame) => self.receive(now, frame),
            Input::TransportClosed(error) => {
                self.link = None;
                self.connection.lock().session.handle_transport_closed(now, error);
            }
            Input::Timeout => self.time_passed(now),
            Input::Wake(Wake::Frozen) => {
                tracing::warn!(
                    "the page is about to be frozen; the server may give the connection up meanwhile"
                );
            }
            Input::Wake(wake) => {
                tracing::debug!(?wake, "the page was asleep, or offline");
                self.connection.lock().session.handle_wake(now);
                self.time_passed(now);
            }
        }
    }

    fn done(&mut self, now: Moment, done: Done) {
        let mut shared = self.connection.lock();
        let session = &mut shared.session;
        match done {
            Done::Token(token) => session.handle_token(now, platform::unix_now(), token),
            Done::Answer(Ok(HttpResponse { status, retry_after, body })) => {
                session.handle_negotiate(now, Ok(NegotiateAnswer { status, retry_after, body: &body }));
            }
            Done::Answer(Err(error)) => session.handle_negotiate(now, Err(error)),
            Done::Opened(Ok(link)) => {
                self.link = Some(link);
                session.handle_open(now, Ok(()));
            }
            Done::Opened(Err(error)) => session.handle_open(now, Err(error)),
            Done::RetryDelay(delay) => session.handle_retry_delay(now, delay),
        }
    }

    fn receive(&mut self, now: Moment, frame: Frame) {
        tracing::trace!(text = frame.is_text(), "received a frame");
        let connection = &self.connection;
        let mut shared = connection.lock();
        shared.session.handle_received(now);
        let rest;
        let frame = if shared.session.is_handshaking() {
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
