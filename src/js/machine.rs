//! The client's machine for JavaScript: numbers and texts in, effects out. What messages carry stays in JavaScript.
//!
//! Times are in milliseconds, of one clock that never goes back; `unix_now` is the wall clock. What has a number here is
//! named by it in `driver.js`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::codec::{JsCodec, Writer, Written};
use super::error::{connection_error, js_error, refresh_error, skipped_transports};
use crate::core::client::{
    ClientMachine, ClientOptions, ConnectionError, Effect, Load, Renewal, RetryContext, Transmit,
    TransportError,
};
use crate::core::http::retry_after;
use crate::core::hub::{CallKind, HubEvent};
use crate::core::message::{HubMessage, Invocation, Outcome};
use crate::core::negotiate::{NegotiateAnswer, TransferFormat, Transports};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, Moment, ProtocolError};

/// The text of the official client for a call that its server has cancelled.
const CANCELLED: &str = "The invocation was canceled.";

/// JavaScript knows what it was.
#[derive(Debug)]
struct InJavaScript;

impl fmt::Display for InJavaScript {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl Error for InJavaScript {}

/// One connection of the package.
#[derive(Debug)]
#[wasm_bindgen(skip_typescript)]
pub struct Machine {
    machine: ClientMachine<JsCodec>,
}

#[wasm_bindgen]
impl Machine {
    /// A connection that is not started. `settings` are numbers, in the order of `driver.js`; a negative one stands for
    /// none. `name` is that of the hub protocol.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str, settings: &[f64], name: String, writer: Writer) -> Result<Self, JsValue> {
        let mut options = ClientOptions::new(hub_url(url)?);
        // Where plain http is dangerous, the browser refuses it as mixed content; elsewhere the page came that way.
        options.insecure_http = true;
        let mut settings = settings.iter().copied();
        let mut next = || settings.next().unwrap_or_default();
        options.transports.allowed = Transports::from_mask(next() as u8);
        options.transports.available = Transports::from_mask(next() as u8);
        options.custom_transport = next() != 0.0;
        options.skip_negotiation = next() != 0.0;
        options.has_token_provider = next() != 0.0;
        options.automatic_reconnect = next() != 0.0;
        options.retry_first_connect = next() != 0.0;
        let binary = next() != 0.0;
        options.request_timeout = duration(next());
        options.server_timeout = duration(next());
        options.keep_alive_interval = duration(next());
        options.refresh_lead = Some(next()).filter(|lead| *lead >= 0.0).map(duration);
        let buffer = next();
        if buffer > 0.0 {
            options.use_stateful_reconnect = true;
            options.stateful_buffer_size = buffer as usize;
        }
        let format = if binary { TransferFormat::Binary } else { TransferFormat::Text };
        Ok(Self { machine: ClientMachine::new(options, JsCodec { writer, name, format }) })
    }

    /// Has later attempts to connect go to another URL.
    #[wasm_bindgen(js_name = setUrl)]
    pub fn set_url(&mut self, url: &str) -> Result<(), JsValue> {
        self.machine.set_url(hub_url(url)?);
        Ok(())
    }

    /// Has other limits hold for silence, from the next message on.
    #[wasm_bindgen(js_name = setLimits)]
    pub fn set_limits(&mut self, keep_alive_interval: f64, server_timeout: f64) {
        self.machine.set_limits(duration(keep_alive_interval), duration(server_timeout));
    }

    /// What the owner was told so far.
    #[wasm_bindgen(getter)]
    pub fn state(&self) -> u8 {
        self.machine.state() as u8
    }

    /// Begins to connect.
    pub fn start(&mut self, now: f64) {
        // A machine is started once.
        let _ = self.machine.start(at(now));
    }

    /// Begins as after the loss of a connection that was up, in a worker that is gone.
    #[wasm_bindgen(js_name = startLost)]
    pub fn start_lost(&mut self, now: f64, error: String, failed: u32, elapsed: f64) {
        let _ = self.machine.start_lost(at(now), TransportError::new(error), failed, duration(elapsed));
    }

    /// Begins to stop.
    pub fn stop(&mut self, now: f64) {
        self.machine.stop(at(now));
    }

    /// The next thing to do: its number and details, or nothing.
    pub fn poll(&mut self) -> JsValue {
        let Some(effect) = self.machine.poll_effect() else { return JsValue::UNDEFINED };
        let opens = matches!(effect, Effect::Open { .. });
        let told = told(effect);
        if opens {
            told.push(&skipped_transports(self.machine.skipped()));
        }
        told.into()
    }

    /// What to send next: nothing, the handshake, a message, or a list of messages.
    pub fn transmit(&mut self, now: f64) -> JsValue {
        match self.machine.poll_transmit(at(now)) {
            None => JsValue::UNDEFINED,
            Some(Transmit::Handshake(text)) => String::from_utf8(text).unwrap_or_default().into(),
            Some(Transmit::Messages(out)) => out.into_value(),
        }
    }

    /// When `timeout` wants to be called.
    #[wasm_bindgen(getter)]
    pub fn deadline(&self) -> f64 {
        let deadline = self.machine.poll_timeout().filter(|at| *at < Moment::MAX);
        deadline.map_or(f64::INFINITY, |at| milliseconds(at.since_epoch()))
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: f64) {
        self.machine.handle_timeout(at(now));
    }

    /// The network or the page is back.
    pub fn wake(&mut self, now: f64) {
        self.machine.handle_wake(at(now));
        self.machine.handle_timeout(at(now));
    }

    /// Whether to read what comes next: `taken` messages were taken in all while there was no room for more.
    #[wasm_bindgen(js_name = mayRead)]
    pub fn may_read(&mut self, now: f64, is_full: bool, taken: u32) -> bool {
        self.machine.may_read(at(now), Load { is_full, taken: taken as usize, is_hungry: false })
    }

    /// The provider has answered: 0 to connect, 1 for a refresh, 2 for `rejected`, which gets the token to use.
    pub fn token(
        &mut self,
        now: f64,
        unix_now: f64,
        purpose: u8,
        token: Option<String>,
        failed: bool,
    ) -> Result<Option<String>, JsValue> {
        let token = if failed { Err(Cause::new(InJavaScript)) } else { Ok(token.map(AccessToken::from)) };
        let (now, unix_now) = (at(now), duration(unix_now));
        match purpose {
            0 => self.machine.handle_token(now, unix_now, token),
            1 => self.machine.handle_refresh_token(now, token),
            _ => {
                let token = self.machine.handle_renewed_token(now, unix_now, token);
                return token.map(|token| token.map(|token| token.secret().to_owned())).map_err(|_| {
                    js_error(
                        "AccessToken",
                        "the access token has a character that a header cannot carry",
                        None,
                    )
                    .into()
                });
            }
        }
        Ok(None)
    }

    /// The token for a transport's request that is made now.
    #[wasm_bindgen(js_name = linkToken)]
    pub fn link_token(&self) -> Option<String> {
        self.machine.link_token().map(|token| token.secret().to_owned())
    }

    /// The server has rejected this token: whether to ask the provider (true), or to use `linkToken` (false) or to
    /// give up (nothing).
    pub fn rejected(&mut self, token: Option<String>) -> Option<bool> {
        match self.machine.handle_rejected_token(token.map(AccessToken::from).as_ref()) {
            Renewal::Ask => Some(true),
            Renewal::Use(_) => Some(false),
            Renewal::Refused => None,
        }
    }

    /// Negotiate was answered.
    pub fn negotiated(
        &mut self,
        now: f64,
        status: u16,
        body: &str,
        retry: Option<String>,
        content_type: Option<String>,
        location: Option<String>,
    ) {
        let answer = NegotiateAnswer {
            status,
            retry_after: retry.as_deref().and_then(retry_after),
            content_type: content_type.as_deref(),
            location: location.as_deref(),
            body: body.as_bytes(),
        };
        self.machine.handle_negotiate(at(now), Ok(answer));
    }

    /// A refresh of the authentication was answered.
    pub fn refreshed(&mut self, now: f64, unix_now: f64, status: u16, body: &str) {
        self.machine.handle_refresh(at(now), duration(unix_now), Ok((status, body.as_bytes())));
    }

    /// The transport is open.
    pub fn opened(&mut self, now: f64) {
        self.machine.handle_open(at(now), Ok(()));
    }

    /// Something has failed: 0 for negotiate, 1 for a refresh, 2 for opening the transport, 3 for the open transport.
    /// Status and close code are 0 where there is none.
    pub fn failed(&mut self, now: f64, what: u8, message: String, status: u16, close_code: u16) {
        let mut error = TransportError::new(message);
        error.status = Some(status).filter(|status| *status != 0);
        error.close_code = Some(close_code).filter(|code| *code != 0);
        let now = at(now);
        match what {
            0 => self.machine.handle_negotiate(now, Err(error)),
            1 => self.machine.handle_refresh(now, Duration::ZERO, Err(error)),
            2 => self.machine.handle_open(now, Err(error)),
            _ => self.machine.handle_transport_closed(now, error),
        }
    }

    /// The retry policy has answered. What is not a time is to give up.
    pub fn retry(&mut self, now: f64, delay: f64) {
        self.machine.handle_retry_delay(at(now), Duration::try_from_secs_f64(delay / 1000.0).ok());
    }

    /// A frame came: while the handshake lasts, with what it has of the server's answer.
    pub fn frame(&mut self, now: f64, handshake: &str) {
        // The codec has no messages in frames.
        let _ = self.machine.handle_frame(at(now), handshake, &mut Vec::new());
    }

    /// Whether the handshake is over, and there is a transport.
    #[wasm_bindgen(getter, js_name = isUp)]
    pub fn is_up(&self) -> bool {
        self.machine.has_transport()
    }

    /// A message came. Returns what it means: nothing (-1), a call without an answer (-2), the end of a call (-3), an
    /// item (-4), the end of a call by an item that it did not expect (-5); else the number of a call to be answered.
    pub fn message(&mut self, now: f64, kind: u8, text: Option<String>, number: f64, flag: bool) -> f64 {
        let now = at(now);
        let (id, headers) = (text.map(Into::into), Vec::new());
        let invocation_id = id.clone().unwrap_or_default();
        let message = match kind {
            1 | 4 => {
                let invocation = Invocation {
                    headers,
                    invocation_id: id,
                    target: "".into(),
                    arguments: Written::ELSEWHERE,
                    stream_ids: Vec::new(),
                };
                if kind == 1 {
                    HubMessage::Invocation(invocation)
                } else {
                    HubMessage::StreamInvocation(invocation)
                }
            }
            2 => HubMessage::StreamItem { headers, invocation_id, item: Written::ELSEWHERE },
            3 => {
                HubMessage::Completion { headers, invocation_id, outcome: Outcome::Value(Written::ELSEWHERE) }
            }
            5 => HubMessage::CancelInvocation { headers, invocation_id },
            7 => HubMessage::Close { error: id, allow_reconnect: flag },
            8 => HubMessage::Ack { sequence_id: number as i64 },
            9 => HubMessage::Sequence { sequence_id: number as i64 },
            // Those of unknown types mean nothing.
            _ => HubMessage::Ping,
        };
        match self.machine.handle_message(now, message) {
            #[allow(clippy::cast_precision_loss, reason = "there are never 2^53 calls")]
            HubEvent::Called { call: Some(call), .. } => call as f64,
            HubEvent::Called { .. } => -2.0,
            HubEvent::Completed { .. } | HubEvent::StreamCompleted { .. } => -3.0,
            HubEvent::Item { .. } => -4.0,
            HubEvent::UnexpectedItem { .. } => -5.0,
            HubEvent::Cancelled { call } => {
                self.machine.answer(call, Outcome::Error(CANCELLED.into()));
                -1.0
            }
            _ => -1.0,
        }
    }

    /// What came is not the hub protocol.
    #[wasm_bindgen(js_name = malformed)]
    pub fn malformed(&mut self, now: f64) {
        self.machine.handle_protocol_error(at(now), ProtocolError::Message("it is malformed"));
    }

    /// More has come than can wait.
    pub fn overflow(&mut self, now: f64) {
        self.machine.handle_slow_consumer(at(now));
    }

    /// Whether the next message should wait.
    #[wasm_bindgen(getter, js_name = isFull)]
    pub fn is_full(&self) -> bool {
        self.machine.is_full()
    }

    /// Calls a method: 0 without waiting for its end, 1 for a result, 2 for a stream. Its number is `id`, unless it has
    /// none, and its uploads' are the next. `false` when there is no connection.
    pub fn call(&mut self, kind: u8, id: f64, message: JsValue, length: u32, uploads: u32) -> bool {
        self.machine.skip_to(id as u64);
        let (message, uploads) = (written(message, length), uploads as usize);
        match kind {
            0 => self.machine.send("", message, uploads).is_ok(),
            1 => self.machine.invoke(CallKind::Plain, "", message, uploads).is_ok(),
            _ => self.machine.invoke(CallKind::Stream, "", message, uploads).is_ok(),
        }
    }

    /// A call is no longer awaited.
    pub fn cancel(&mut self, id: f64) {
        self.machine.cancel(id as u64);
    }

    /// Sends an item. `false` when it is no longer wanted.
    pub fn upload(&mut self, id: f64, message: JsValue, length: u32) -> bool {
        self.machine.send_item(id as u64, written(message, length))
    }

    /// Ends an upload.
    #[wasm_bindgen(js_name = endUpload)]
    pub fn end_upload(&mut self, id: f64, error: Option<String>) {
        self.machine.end_upload(id as u64, error.as_deref());
    }

    /// Answers the server, if it still waits.
    pub fn answer(&mut self, call: f64, message: JsValue, length: u32) {
        self.machine.answer(call as u64, Outcome::Value(written(message, length)));
    }

    /// Gives the server a new token. How that ends is an effect.
    pub fn refresh(&mut self, now: f64) -> Result<(), JsValue> {
        self.machine.refresh(at(now)).map_err(|error| refresh_error(&error))
    }
}

/// An effect, as its number and its details.
fn told(effect: Effect) -> Array {
    let list = Array::new();
    let add = |value: JsValue| {
        list.push(&value);
    };
    let secret = |token: AccessToken| JsValue::from_str(token.secret());
    match effect {
        Effect::FetchToken => add(0.into()),
        Effect::FetchRefreshToken => add(1.into()),
        Effect::Negotiate(request) => {
            add(2.into());
            add(request.url.to_text().into());
            add(request.token.map_or(JsValue::UNDEFINED, secret));
        }
        Effect::Refresh(request) => {
            add(3.into());
            add(request.url.to_text().into());
            add(request.token.map_or(JsValue::UNDEFINED, secret));
            add(secret(request.connection_token));
        }
        Effect::Open { transport, url } => {
            add(4.into());
            add(url.to_text().into());
            add(Transports::from(transport).mask().into());
        }
        Effect::CloseTransport { abort } => {
            add(5.into());
            add(abort.into());
        }
        Effect::Connected { info, again } => {
            add(6.into());
            add(again.into());
            add(info.transport.name().into());
            add(info.url.without_query().into());
            add(info.stateful.into());
            if let Some(id) = info.connection_id {
                add(id.into());
                #[allow(clippy::cast_precision_loss, reason = "it is 0 or 1")]
                add((info.negotiate_version as f64).into());
            }
        }
        Effect::Resumed => add(7.into()),
        Effect::Lost(error) => {
            add(8.into());
            add(connection_error(&error));
        }
        Effect::AskRetryPolicy(RetryContext { previous_retry_count, elapsed, reason }) => {
            add(9.into());
            add(previous_retry_count.into());
            add(milliseconds(elapsed).into());
            add(connection_error(&reason));
            add(reason.retry_after().map_or(0.0, milliseconds).into());
        }
        Effect::Reconnecting(error) => {
            add(10.into());
            add(connection_error(&error));
        }
        Effect::Refreshed(Ok(lifetime)) => {
            add(11.into());
            add(lifetime.map_or(JsValue::UNDEFINED, |lifetime| lifetime.as_secs_f64().into()));
        }
        Effect::Refreshed(Err(error)) => {
            add(12.into());
            add(refresh_error(&error));
        }
        Effect::Disconnected(error) => {
            add(13.into());
            add(connection_error(&error));
        }
    }
    list
}

fn written(message: JsValue, length: u32) -> Written {
    Written { message, length: length as usize }
}

fn hub_url(url: &str) -> Result<HubUrl, JsValue> {
    HubUrl::parse(url).map_err(|error| connection_error(&ConnectionError::InvalidUrl(error)))
}

fn at(milliseconds: f64) -> Moment {
    Moment::from_epoch(duration(milliseconds))
}

/// What is too long, `Infinity` among it, is forever.
fn duration(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(Duration::MAX)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
