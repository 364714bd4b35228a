//! A connection for JavaScript.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::callbacks::Callbacks;
use super::codec::JsCodec;
use super::error::{connection_error, js_error};
use crate::client::{
    Backlog, CallEnd, Called, Callee, Caller, ClientCall, Connection, ConnectionEvent, ConnectionSettings,
    Job, Listen, RetryPolicy, StopOnDrop, Subscriber, TokenProvider, Waiting, WireCodec,
};
use crate::core::client::{ClientOptions, ConnectionError, RetryContext};
use crate::core::message::Outcome;
use crate::core::negotiate::Transports;
use crate::core::refresh::RefreshError;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, ErrorChain};
use crate::platform::{self, BoxFuture, Network, Runtime};

#[wasm_bindgen]
extern "C" {
    /// What the builder was told. The package's JavaScript has checked the kinds already.
    pub type Options;
    #[wasm_bindgen(method, getter, js_name = accessTokenFactory)]
    fn access_token_factory(this: &Options) -> Option<Function>;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &Options) -> Option<Object>;
    #[wasm_bindgen(method, getter, js_name = skipNegotiation)]
    fn skip_negotiation(this: &Options) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    fn timeout(this: &Options) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn transport(this: &Options) -> Option<u8>;
    #[wasm_bindgen(method, getter, js_name = withCredentials)]
    fn with_credentials(this: &Options) -> Option<bool>;
    #[wasm_bindgen(method, getter, js_name = serverTimeoutInMilliseconds)]
    fn server_timeout(this: &Options) -> Option<f64>;
    #[wasm_bindgen(method, getter, js_name = keepAliveIntervalInMilliseconds)]
    fn keep_alive_interval(this: &Options) -> Option<f64>;
    /// The name of the hub protocol.
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &Options) -> String;
    #[wasm_bindgen(method, getter)]
    fn binary(this: &Options) -> bool;
    /// Whether there is a retry policy, see `Callbacks::retry`.
    #[wasm_bindgen(method, getter)]
    fn reconnects(this: &Options) -> bool;
    #[wasm_bindgen(method, getter, js_name = retriesFirstConnect)]
    fn retries_first_connect(this: &Options) -> bool;
    /// The size of the buffer of stateful reconnect, which is off without.
    #[wasm_bindgen(method, getter, js_name = statefulBufferSize)]
    fn stateful_buffer_size(this: &Options) -> Option<f64>;
    /// How long before they expire the credentials are refreshed; null for not automatically.
    #[wasm_bindgen(method, getter, js_name = refreshLeadInMilliseconds)]
    fn refresh_lead(this: &Options) -> Option<f64>;
}

/// A connection for JavaScript. Calls and uploads carry numbers that JavaScript gives them, in ascending order.
#[derive(Debug)]
#[wasm_bindgen(skip_typescript)]
pub struct WasmConnection {
    connection: StopOnDrop<JsCodec>,
    callbacks: Callbacks,
    backlog: Arc<Backlog>,
    /// Items of streams that were not taken yet.
    held: RefCell<Vec<Waiting>>,
}

#[wasm_bindgen]
impl WasmConnection {
    /// A connection that is not started.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str, options: &Options, callbacks: Callbacks) -> Result<Self, JsValue> {
        let mut session = ClientOptions::new(hub_url(url)?);
        // Where plain http is dangerous, the browser refuses it as mixed content; elsewhere the page came that way.
        session.insecure_http = true;
        session.skip_negotiation = options.skip_negotiation().unwrap_or(false);
        session.transports.allowed = match options.transport() {
            None | Some(0) => Transports::ALL,
            Some(mask) => Transports::from_mask(mask),
        };
        session.automatic_reconnect = options.reconnects();
        session.retry_first_connect = options.retries_first_connect();
        let set = |to: &mut Duration, milliseconds: Option<f64>| {
            if let Some(duration) = milliseconds.and_then(duration) {
                *to = duration;
            }
        };
        set(&mut session.request_timeout, options.timeout());
        set(&mut session.server_timeout, options.server_timeout());
        set(&mut session.keep_alive_interval, options.keep_alive_interval());
        let settings = ConnectionSettings {
            headers: options.headers().as_ref().map(headers).unwrap_or_default(),
            with_credentials: options.with_credentials().unwrap_or(true),
            network: Network::default(),
            token_provider: options.access_token_factory().map(token_provider),
            retry_policy: retry_policy(callbacks.clone()),
        };
        settings.check().map_err(|error| connection_error(&error))?;
        session.refresh_lead = options.refresh_lead().and_then(duration);
        if let Some(size) = options.stateful_buffer_size() {
            session.use_stateful_reconnect = true;
            session.stateful_buffer_size = size as usize;
        }
        let codec = JsCodec::new(callbacks.clone(), options.protocol(), options.binary());
        let callee = Box::new(callbacks.clone());
        let backlog = Arc::<Backlog>::default();
        let connection = Connection::new(session, settings, Arc::clone(&backlog), callee, codec);
        connection.listen(Box::new(callbacks.clone()));
        Ok(Self { connection: StopOnDrop(connection), callbacks, backlog, held: RefCell::default() })
    }

    /// Begins to connect. How that ended is an event.
    pub fn start(&self) -> Result<(), JsValue> {
        self.connection.0.begin_start().map(drop).map_err(|error| connection_error(&error))
    }

    /// Begins to stop. The end is an event.
    pub fn stop(&self) {
        self.connection.0.request_stop();
    }

    /// Has later attempts to connect go to another URL.
    #[wasm_bindgen(js_name = setUrl)]
    pub fn set_url(&self, url: &str) -> Result<(), JsValue> {
        self.connection.0.set_url(hub_url(url)?);
        Ok(())
    }

    /// Calls a method without waiting for its end. The uploads are numbered from this number on. What it returns is
    /// there when too much is on its way already, and comes when there is room again.
    pub fn send(&self, id: f64, message: JsValue, uploads: u32) -> Result<Option<Promise>, JsValue> {
        let sent = self.connection.0.send_as(id as u64, message, jobs(uploads));
        Ok(self.room(sent.map_err(|error| connection_error(&error))?))
    }

    /// Calls a method, and is told of its end and of the items of a stream. The uploads are numbered from the
    /// next number on.
    pub fn invoke(&self, id: f64, message: JsValue, streams: bool, uploads: u32) -> Result<(), JsValue> {
        let call = Call { callbacks: self.callbacks.clone(), id };
        let call =
            if streams { ClientCall::Stream(Arc::new(call)) } else { ClientCall::Plain(Box::new(call)) };
        let begun = self.connection.0.invoke_as(id as u64, message, call, jobs(uploads));
        begun.map_err(|error| connection_error(&error))
    }

    /// A call is no longer awaited.
    pub fn cancel(&self, id: f64) {
        self.connection.0.cancel(id as u64);
    }

    /// An item of a stream waits for its consumer: when there are many, the socket is no longer read.
    pub fn hold(&self) {
        self.held.borrow_mut().push(self.backlog.enter(0));
    }

    /// So many items wait no longer.
    pub fn release(&self, items: u32) {
        let mut held = self.held.borrow_mut();
        let rest = held.len().saturating_sub(items as usize);
        let released = held.split_off(rest);
        // Dropping them may wake others.
        drop(held);
        drop(released);
    }

    /// Sends an item. `false` when it is no longer wanted; else as `send`.
    pub fn upload(&self, id: f64, message: JsValue) -> JsValue {
        match self.connection.0.upload_now(id as u64, message) {
            None => JsValue::FALSE,
            Some(is_full) => self.room(is_full).into(),
        }
    }

    /// Ends an upload.
    #[wasm_bindgen(js_name = endUpload)]
    pub fn end_upload(&self, id: f64, error: Option<String>) {
        self.connection.0.end_upload(id as u64, error.as_deref());
    }

    /// Answers the server, if it still waits.
    pub fn answer(&self, number: f64, message: JsValue) {
        self.connection.0.answer(number as u64, Outcome::Value(message));
    }

    /// Gives the server a new token. Comes with its lifetime in seconds, if the server tells.
    pub fn refresh(&self) -> Promise {
        let connection = Arc::clone(&self.connection.0);
        promise(async move { connection.refresh().await.map(seconds).map_err(|error| refresh_error(&error)) })
    }

    /// What was agreed on in negotiate.
    #[wasm_bindgen(getter)]
    pub fn negotiated(&self) -> JsValue {
        let Some(info) = self.connection.0.info() else { return JsValue::UNDEFINED };
        let object = Object::new();
        let set = |name: &str, value: JsValue| drop(Reflect::set(&object, &JsValue::from_str(name), &value));
        set("transport", info.transport.name().into());
        set("url", info.url.to_string().into());
        set("statefulReconnect", info.stateful.into());
        if let Some(id) = info.connection_id {
            set("connectionId", id.into());
            #[allow(clippy::cast_precision_loss, reason = "it is 0 or 1")]
            set("negotiateVersion", (info.negotiate_version as f64).into());
        }
        object.into()
    }
}

/// One promise from any future, so that the code behind it is in the module only once.
fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let future: BoxFuture<Result<JsValue, JsValue>> = Box::pin(future);
    wasm_bindgen_futures::future_to_promise(future)
}

impl WasmConnection {
    /// What to wait for before the next message, if too much is on its way.
    fn room(&self, is_full: bool) -> Option<Promise> {
        let connection = Arc::clone(&self.connection.0);
        is_full.then(|| {
            promise(async move {
                // The connection may end before the socket takes the message.
                let taken = connection.room().await.map_err(|error| connection_error(&error));
                taken.map(|()| JsValue::UNDEFINED)
            })
        })
    }
}

/// JavaScript stops its uploads itself, since the end of a call is told there.
fn jobs(count: u32) -> Vec<Job> {
    (0..count).map(|_| oneshot::channel().0).collect()
}

fn hub_url(url: &str) -> Result<HubUrl, JsValue> {
    platform::absolute_url(url).map_err(|error| connection_error(&ConnectionError::InvalidUrl(error)))
}

fn duration(milliseconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn seconds(lifetime: Option<Duration>) -> JsValue {
    lifetime.map_or(JsValue::UNDEFINED, |lifetime| lifetime.as_secs_f64().into())
}

fn refresh_error(error: &RefreshError) -> JsValue {
    js_error("AuthenticationRefresh", &ErrorChain::new(error).to_string(), error.status())
}

impl Listen for Callbacks {
    fn hear(&self, event: &ConnectionEvent) -> bool {
        let (kind, value) = match event {
            ConnectionEvent::Connecting => return true,
            ConnectionEvent::Connected { .. } => (0, JsValue::UNDEFINED),
            ConnectionEvent::Reconnecting { error } => (1, connection_error(error)),
            ConnectionEvent::Reconnected { .. } => (2, JsValue::UNDEFINED),
            ConnectionEvent::Disconnected { error } => (3, connection_error(error)),
            ConnectionEvent::AuthenticationRefreshed { lifetime } => (4, seconds(*lifetime)),
            ConnectionEvent::AuthenticationRefreshFailed { error } => (5, refresh_error(error)),
        };
        self.event(kind, &value);
        true
    }
}

impl Callee<JsCodec> for Callbacks {
    fn start(&self, _runtime: &Runtime) {}

    #[allow(clippy::cast_precision_loss, reason = "there are never 2^53 calls")]
    fn call(
        &self,
        _connection: &Arc<Connection<JsCodec>>,
        _frame: &<JsCodec as WireCodec>::Held,
        calls: Vec<Called<'_, JsCodec>>,
    ) {
        for (call, invocation) in calls {
            self.invocation(&invocation.arguments, call.map(|call| call as f64));
        }
    }
}

/// A call made by JavaScript.
struct Call {
    callbacks: Callbacks,
    id: f64,
}

impl Call {
    fn finish(&self, end: &CallEnd<'_, JsValue>) {
        let fail = |error: JsValue, closed| self.callbacks.fail(self.id, &error, closed);
        match end {
            CallEnd::Outcome(Outcome::Value(message)) => self.callbacks.end(self.id, message),
            // The codec tells every outcome by its message.
            CallEnd::Outcome(_) | CallEnd::UnexpectedItem => fail(
                js_error("NotAStream", "the server's method returns a stream, not a single result", None),
                false,
            ),
            CallEnd::Closed(error) => fail(connection_error(error), true),
        }
    }
}

impl Caller<JsCodec> for Call {
    fn end(self: Box<Self>, end: CallEnd<'_, JsValue>) {
        self.finish(&end);
    }
}

impl Subscriber<JsCodec> for Call {
    fn item(&self, item: JsValue) -> bool {
        self.callbacks.item(self.id, &item);
        true
    }

    fn end(&self, end: CallEnd<'_, JsValue>) {
        self.finish(&end);
    }
}

fn headers(object: &Object) -> Vec<(String, String)> {
    let pair = |entry: JsValue| {
        let pair: Array = entry.dyn_into().ok()?;
        Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
    };
    Object::entries(object).iter().filter_map(pair).collect()
}

/// A factory may return a text or a promise of one.
fn token_provider(factory: Function) -> TokenProvider {
    Arc::new(move || -> BoxFuture<Result<Option<AccessToken>, Cause>> {
        let called = factory.call0(&JsValue::UNDEFINED);
        Box::pin(async move {
            let token = match called {
                Ok(token) => settled(token).await,
                Err(thrown) => Err(thrown),
            };
            match token {
                Ok(token) => Ok(token.as_string().map(AccessToken::from)),
                Err(thrown) => Err(Cause::new(match thrown.dyn_ref::<js_sys::Error>() {
                    Some(error) => String::from(error.message()),
                    None => thrown.as_string().unwrap_or_else(|| "it threw".to_owned()),
                })),
            }
        })
    })
}

fn retry_policy(callbacks: Callbacks) -> RetryPolicy {
    RetryPolicy::new_async(move |context: RetryContext| {
        let RetryContext { previous_retry_count, elapsed, reason } = context;
        let retry_after = reason.retry_after().map_or(0.0, milliseconds);
        let reason = connection_error(&reason);
        let delay = callbacks.retry(previous_retry_count, milliseconds(elapsed), &reason, retry_after);
        async move { settled(delay).await.ok()?.as_f64().and_then(duration) }
    })
}

/// The value itself, unless it is a promise: then what comes of that.
async fn settled(value: JsValue) -> Result<JsValue, JsValue> {
    match value.dyn_into::<Promise>() {
        Ok(promise) => JsFuture::from(promise).await,
        Err(value) => Ok(value),
    }
}
