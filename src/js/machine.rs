//! The client's machine for JavaScript: numbers and texts in, effects out. What messages carry stays in JavaScript.
//!
//! Times are in milliseconds, of one clock that never goes back; `unix_now` is the wall clock. What has a number here is
//! named by it in `machine.js`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::codec::{JsCodec, Writer, Written};
use super::error::{connection_error, js_error, refresh_error, skipped_transports};
use super::list::List;
use crate::core::client::{
    ClientMachine, ClientOptions, ConnectionError, Effect, Load, Renewal, RetryContext, Transmit,
    TransportError,
};
use crate::core::http::retry_after;
use crate::core::hub::{CallKind, Meaning};
use crate::core::message::{Head, Outcome};
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
    /// A connection that is not started. `name` is that of the hub protocol; a negative `refresh_lead` means no refresh, and a
    /// `buffer` of 0 no stateful reconnect.
    #[allow(clippy::too_many_arguments, reason = "a list of them is larger on both sides")]
    #[wasm_bindgen(constructor)]
    pub fn new(
        url: &str,
        name: String,
        writer: Writer,
        allowed: u8,
        available: u8,
        custom_transport: bool,
        skip_negotiation: bool,
        has_token_provider: bool,
        automatic_reconnect: bool,
        retry_first_connect: bool,
        binary: bool,
        request_timeout: f64,
        server_timeout: f64,
        keep_alive_interval: f64,
        refresh_lead: f64,
        buffer: f64,
    ) -> Result<Self, List> {
        let mut options = ClientOptions::new(hub_url(url)?);
        // Where plain http is dangerous, the browser refuses it as mixed content; elsewhere the page came that way.
        options.insecure_http = true;
        options.transports.allowed = Transports::from_mask(allowed);
        options.transports.available = Transports::from_mask(available);
        options.custom_transport = custom_transport;
        options.skip_negotiation = skip_negotiation;
        options.has_token_provider = has_token_provider;
        options.automatic_reconnect = automatic_reconnect;
        options.retry_first_connect = retry_first_connect;
        options.request_timeout = duration(request_timeout);
        options.server_timeout = duration(server_timeout);
        options.keep_alive_interval = duration(keep_alive_interval);
        options.refresh_lead = (refresh_lead >= 0.0).then(|| duration(refresh_lead));
        options.use_stateful_reconnect = buffer > 0.0;
        if options.use_stateful_reconnect {
            options.stateful_buffer_size = buffer as usize;
        }
        let format = if binary { TransferFormat::Binary } else { TransferFormat::Text };
        Ok(Self { machine: ClientMachine::new(options, JsCodec { writer, name, format }) })
    }

    /// Has later attempts to connect go to another URL. Returns what is wrong with it.
    #[wasm_bindgen(js_name = setUrl)]
    pub fn set_url(&mut self, url: &str) -> Option<List> {
        match hub_url(url) {
            Ok(url) => {
                self.machine.set_url(url);
                None
            }
            Err(error) => Some(error),
        }
    }

    /// Something has happened, or is wanted: `input` says what, by its number in `machine.js`. A status or a close code is
    /// 0 where there is none.
    pub fn tell(&mut self, input: u8, now: f64, number: f64, other: f64, text: &str) {
        let (machine, now) = (&mut self.machine, at(now));
        let failure = || {
            let mut error = TransportError::new(text);
            error.status = Some(number as u16).filter(|status| *status != 0);
            error.close_code = Some(other as u16).filter(|code| *code != 0);
            error
        };
        match input {
            // A machine is started once.
            0 => drop(machine.start(now)),
            1 => drop(machine.stop(now)),
            2 => machine.handle_timeout(now),
            3 => {
                machine.handle_wake(now);
                machine.handle_timeout(now);
            }
            4 => machine.handle_open(now, Ok(())),
            5 => machine.handle_protocol_error(now, ProtocolError::Message("it is malformed")),
            6 => machine.handle_slow_consumer(now),
            // What is not a time is to give up.
            7 => machine.handle_retry_delay(now, (number >= 0.0).then(|| duration(number))),
            // While the handshake lasts, with what the frame has of the server's answer. The codec has no messages in
            // frames.
            8 => drop(machine.handle_frame(now, text, &mut Vec::new())),
            9 => machine.handle_refresh(now, duration(number), Ok((other as u16, text.as_bytes()))),
            10 => drop(machine.cancel(number as u64)),
            11 => machine.end_upload(number as u64, Some(text).filter(|_| other != 0.0)),
            12 => machine.set_limits(duration(number), duration(other)),
            13 => machine.handle_negotiate(now, Err(failure())),
            14 => machine.handle_refresh(now, Duration::ZERO, Err(failure())),
            15 => machine.handle_open(now, Err(failure())),
            16 => machine.handle_transport_closed(now, failure()),
            _ => drop(machine.start_lost(now, TransportError::new(text), number as u32, duration(other))),
        }
    }

    /// The next thing to do: its number and details, or nothing.
    pub fn poll(&mut self) -> Option<List> {
        let effect = self.machine.poll_effect()?;
        let told = told(&effect);
        if matches!(effect, Effect::Open { .. }) {
            told.list(&skipped_transports(self.machine.skipped()));
        }
        Some(told)
    }

    /// What to send next: nothing, the handshake, a message, or a list of messages.
    pub fn transmit(&mut self, now: f64) -> JsValue {
        match self.machine.poll_transmit(at(now)) {
            None => JsValue::UNDEFINED,
            Some(Transmit::Handshake(text)) => String::from_utf8(text).unwrap_or_default().into(),
            Some(Transmit::Messages(out)) => out.into_value(),
        }
    }

    /// When time has passed.
    #[wasm_bindgen(getter)]
    pub fn deadline(&self) -> f64 {
        let deadline = self.machine.poll_timeout().filter(|at| *at < Moment::MAX);
        deadline.map_or(f64::INFINITY, |at| at.as_micros() as f64 / 1000.0)
    }

    /// Whether to read what comes next: `taken` messages were taken in all while there was no room for more, and so
    /// many loops wait for items.
    #[wasm_bindgen(js_name = mayRead)]
    pub fn may_read(&mut self, now: f64, is_full: bool, taken: u32, hungry: u32) -> bool {
        self.machine.may_read(at(now), Load { is_full, taken: taken as usize, is_hungry: hungry > 0 })
    }

    /// The provider has answered: 0 to connect, 1 for a refresh, 2 for `rejected`, which gets the token to use.
    pub fn token(
        &mut self,
        now: f64,
        unix_now: f64,
        purpose: u8,
        token: Option<String>,
        failed: bool,
    ) -> Result<Option<String>, List> {
        let token = if failed { Err(Cause::of(InJavaScript)) } else { Ok(token.map(AccessToken::from)) };
        let (now, unix_now) = (at(now), duration(unix_now));
        match purpose {
            0 => self.machine.handle_token(now, unix_now, token),
            1 => self.machine.handle_refresh_token(now, token),
            _ => {
                let token = self.machine.handle_renewed_token(now, unix_now, token);
                return token.map(|token| token.map(|token| token.secret().to_owned())).map_err(|_| {
                    js_error("AccessToken", "the access token has a character that a header cannot carry")
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

    /// Whether the handshake is over, and there is a transport.
    #[wasm_bindgen(getter, js_name = isUp)]
    pub fn is_up(&self) -> bool {
        self.machine.has_transport()
    }

    /// A message came. Returns what it means: nothing (-1), a call without an answer (-2), the end of a call (-3), an
    /// item (-4), the end of a call by an item that it did not expect (-5); else the number of a call to be answered.
    pub fn message(&mut self, now: f64, kind: u8, text: &str, number: f64, flag: bool) -> f64 {
        let text = Some(text).filter(|text| !text.is_empty());
        let id = text.unwrap_or_default();
        let head = match kind {
            1 | 4 => Head::Call { id: text, streams: kind == 4, uploads: &[] },
            2 => Head::Item { id },
            3 => Head::End { id, has_value: true },
            5 => Head::Cancellation { id },
            7 => Head::Close { error: text, allow_reconnect: flag },
            8 => Head::Ack { sequence_id: number as i64 },
            9 => Head::Sequence { sequence_id: number as i64 },
            // Those of unknown types mean nothing.
            _ => Head::Ping,
        };
        match self.machine.handle_head(at(now), head) {
            #[allow(clippy::cast_precision_loss, reason = "there are never 2^53 calls")]
            Meaning::Called(Some(call)) => call as f64,
            Meaning::Called(None) => -2.0,
            Meaning::Completed(_) | Meaning::StreamCompleted(_) => -3.0,
            Meaning::Item(_) => -4.0,
            Meaning::UnexpectedItem(_) => -5.0,
            Meaning::Cancelled(call) => {
                self.machine.answer(call, Outcome::Error(CANCELLED.into()));
                -1.0
            }
            _ => -1.0,
        }
    }

    /// Whether the next message should wait.
    #[wasm_bindgen(getter, js_name = isFull)]
    pub fn is_full(&self) -> bool {
        self.machine.is_full()
    }

    /// Sends a message that begins a call: 0 without waiting for its end, 1 for a result, 2 for a stream. Its number is
    /// `id`, unless it has none, and its uploads' are the next. Or 3 for an item of an upload, 4 for the answer to a call
    /// of the server. `false` when it does not go out: there is no connection, or it is no longer wanted.
    pub fn send(&mut self, kind: u8, id: f64, message: JsValue, length: u32, uploads: u32) -> bool {
        let (message, id, uploads) =
            (Written { message, length: length as usize }, id as u64, uploads as usize);
        match kind {
            3 => return self.machine.send_item(id, message),
            4 => {
                self.machine.answer(id, Outcome::Value(message));
                return true;
            }
            _ => self.machine.skip_to(id),
        }
        match kind {
            0 => self.machine.send("", message, uploads).is_ok(),
            1 => self.machine.invoke(CallKind::Plain, "", message, uploads).is_ok(),
            _ => self.machine.invoke(CallKind::Stream, "", message, uploads).is_ok(),
        }
    }

    /// Gives the server a new token. How that ends is an effect. Returns why it cannot be done.
    pub fn refresh(&mut self, now: f64) -> Option<List> {
        self.machine.refresh(at(now)).err().map(|error| refresh_error(&error))
    }
}

/// An effect, as its number and its details.
fn told(effect: &Effect) -> List {
    let list = List::new();
    let number = |number: f64| list.number(number);
    let text = |text: &str| list.text(text);
    let secret = |token: &Option<AccessToken>| list.optional(token.as_ref().map(AccessToken::secret));
    match effect {
        Effect::FetchToken => number(0.0),
        Effect::FetchRefreshToken => number(1.0),
        Effect::Negotiate(request) => {
            number(2.0);
            text(request.url.text());
            secret(&request.token);
        }
        Effect::Refresh(request) => {
            number(3.0);
            text(request.url.text());
            secret(&request.token);
            text(request.connection_token.secret());
        }
        Effect::Open { transport, url } => {
            number(4.0);
            text(url.text());
            number(Transports::from(*transport).mask().into());
        }
        Effect::CloseTransport { abort } => {
            number(5.0);
            number((*abort).into());
        }
        Effect::Connected { info, again } => {
            number(6.0);
            number((*again).into());
            text(info.transport.name());
            text(&info.url.without_query());
            number(info.stateful.into());
            if let Some(id) = &info.connection_id {
                text(id);
                #[allow(clippy::cast_precision_loss, reason = "it is 0 or 1")]
                number(info.negotiate_version as f64);
            }
        }
        Effect::Resumed => number(7.0),
        Effect::Lost(error) => {
            number(8.0);
            list.list(&connection_error(error));
        }
        Effect::AskRetryPolicy(RetryContext { previous_retry_count, elapsed, reason }) => {
            number(9.0);
            number((*previous_retry_count).into());
            number(milliseconds(*elapsed));
            list.list(&connection_error(reason));
            number(reason.retry_after().map_or(0.0, milliseconds));
        }
        Effect::Reconnecting(error) => {
            number(10.0);
            list.list(&connection_error(error));
        }
        Effect::Refreshed(Ok(lifetime)) => {
            number(11.0);
            if let Some(lifetime) = lifetime {
                number(lifetime.as_secs() as f64);
            }
        }
        Effect::Refreshed(Err(error)) => {
            number(12.0);
            list.list(&refresh_error(error));
        }
        Effect::Disconnected(error) => {
            number(13.0);
            list.list(&connection_error(error));
        }
    }
    list
}

fn hub_url(url: &str) -> Result<HubUrl, List> {
    HubUrl::parse(url).map_err(|error| connection_error(&ConnectionError::InvalidUrl(error)))
}

/// The next whole number: a deadline's own milliseconds may lack a little of the last microsecond.
fn micros(milliseconds: f64) -> u64 {
    (milliseconds * 1000.0).round_ties_even() as u64
}

fn at(milliseconds: f64) -> Moment {
    Moment::from_micros(micros(milliseconds))
}

/// What is too long, `Infinity` among it, is forever.
fn duration(milliseconds: f64) -> Duration {
    Duration::from_micros(micros(milliseconds))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as u64 as f64 / 1000.0
}
