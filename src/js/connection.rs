use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use js_sys::{Array, Function, JsString, Object, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::codec::JsJson;
use super::error::{connection_error, js_error};
use crate::client::{CallEnd, Callee, Caller, Connection, ConnectionSettings, StopOnDrop, TokenProvider};
use crate::core::hub::Pending;
use crate::core::message::{Invocation, Outcome};
use crate::core::negotiate::Transports;
use crate::core::session::{ConnectionError, SessionOptions};
use crate::core::token::AccessToken;
use crate::platform::{self, BoxFuture, Runtime};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = JSON, js_name = stringify, catch)]
    fn json_stringify(value: &JsValue) -> Result<JsString, JsValue>;

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

    /// The other half of the connection, in the package's JavaScript.
    #[derive(Clone, Debug)]
    pub type Callbacks;
    #[wasm_bindgen(method)]
    fn invocation(this: &Callbacks, target: &str, arguments: JsValue);
    #[wasm_bindgen(method)]
    fn closed(this: &Callbacks, error: JsValue);
    #[wasm_bindgen(method)]
    fn log(this: &Callbacks, level: u8, message: &str);
}

const INFORMATION: u8 = 2;
const WARNING: u8 = 3;

/// A connection for JavaScript.
#[derive(Debug)]
#[wasm_bindgen(skip_typescript)]
pub struct WasmConnection {
    connection: StopOnDrop<JsJson>,
    callbacks: Callbacks,
}

#[wasm_bindgen]
impl WasmConnection {
    /// A connection that is not started.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str, options: &Options, callbacks: Callbacks) -> Result<Self, JsValue> {
        let url = platform::absolute_url(url)
            .map_err(|error| connection_error(&ConnectionError::InvalidUrl(error)))?;
        let mut session = SessionOptions::new(url);
        // Where plain http is dangerous, the browser refuses it as mixed content; elsewhere the page came that way.
        session.insecure_http = true;
        session.skip_negotiation = options.skip_negotiation().unwrap_or(false);
        session.transports.allowed = match options.transport() {
            None | Some(0) => Transports::ALL,
            Some(mask) => Transports::from_mask(mask),
        };
        let set = |to: &mut Duration, milliseconds: Option<f64>| {
            if let Some(duration) = milliseconds.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok())
            {
                *to = duration;
            }
        };
        set(&mut session.request_timeout, options.timeout());
        set(&mut session.server_timeout, options.server_timeout());
        set(&mut session.keep_alive_interval, options.keep_alive_interval());
        let settings = ConnectionSettings {
            headers: options.headers().as_ref().map(headers).unwrap_or_default(),
            with_credentials: options.with_credentials().unwrap_or(true),
            token_provider: options.access_token_factory().map(token_provider),
            ..ConnectionSettings::default()
        };
        let connection = Connection::new(
            session,
            settings,
            Arc::default(),
            Box::new(callbacks.clone()),
            JsJson::default(),
        );
        Ok(Self { connection: StopOnDrop(connection), callbacks })
    }

    /// Connects.
    pub fn start(&self) -> Promise {
        let (connection, callbacks) = (Arc::clone(&self.connection.0), self.callbacks.clone());
        promise(async move {
            connection.start().await.map_err(|error| connection_error(&error))?;
            // The server may have ended it in the meantime.
            if let Some(info) = connection.info() {
                let mut message = format!("Connected to {} by {}.", info.url, info.transport);
                if let Some(id) = info.connection_id {
                    let _ = write!(message, " The connection's id is {id}.");
                }
                callbacks.log(INFORMATION, &message);
            }
            wasm_bindgen_futures::spawn_local(tell_end(connection, callbacks));
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Stops, and waits until the connection is down.
    pub fn stop(&self) -> Promise {
        let connection = Arc::clone(&self.connection.0);
        promise(async move {
            connection.stop().await;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Calls a method without waiting for its end.
    pub fn send(&self, target: String, arguments: &JsValue) -> Promise {
        let connection = Arc::clone(&self.connection.0);
        let arguments = json_stringify(arguments);
        promise(async move {
            let sent = connection.send(&target, arguments?.into(), Vec::new());
            let sent = sent.map_err(|error| connection_error(&error))?;
            sent.taken().await.map_err(|error| connection_error(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Calls a method and waits for its result.
    pub fn invoke(&self, target: &str, arguments: &JsValue) -> Promise {
        let (sender, receiver) = oneshot::channel();
        let call = json_stringify(arguments).and_then(|arguments| {
            let caller = Pending::Call(Box::new(Waiting(sender)) as _);
            let call = self.connection.0.invoke(target, arguments.into(), caller, Vec::new());
            call.map_err(|error| connection_error(&error))
        });
        promise(async move {
            let call = call?;
            let result = receiver.await;
            drop(call);
            result.unwrap_or_else(|_| Err(connection_error(&ConnectionError::Stopped)))
        })
    }

    /// What the connection is doing.
    #[wasm_bindgen(getter)]
    pub fn state(&self) -> String {
        self.connection.0.state().to_string()
    }

    /// The connection's public id.
    #[wasm_bindgen(getter, js_name = connectionId)]
    pub fn connection_id(&self) -> Option<String> {
        self.connection.0.info()?.connection_id
    }

    /// What was agreed on in negotiate.
    #[wasm_bindgen(getter)]
    pub fn negotiated(&self) -> JsValue {
        let Some(info) = self.connection.0.info() else { return JsValue::UNDEFINED };
        let object = Object::new();
        let set = |name: &str, value: JsValue| drop(Reflect::set(&object, &JsValue::from_str(name), &value));
        set("transport", info.transport.name().into());
        set("url", info.url.to_string().into());
        if let Some(id) = info.connection_id {
            set("connectionId", id.into());
            #[allow(clippy::cast_precision_loss, reason = "it is 0 or 1")]
            set("negotiateVersion", (info.negotiate_version as f64).into());
        }
        object.into()
    }
}

/// One promise from whatever future: the machinery behind it is then there once.
fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let future: BoxFuture<Result<JsValue, JsValue>> = Box::pin(future);
    wasm_bindgen_futures::future_to_promise(future)
}

/// Tells the end of a connection that was up. The official client tells no error when it was asked to stop.
async fn tell_end(connection: Arc<Connection<JsJson>>, callbacks: Callbacks) {
    match connection.closed().await.as_deref() {
        None | Some(ConnectionError::Stopped) => callbacks.closed(JsValue::UNDEFINED),
        Some(error) => {
            callbacks.log(WARNING, &format!("Disconnected: {error}."));
            callbacks.closed(connection_error(error));
        }
    }
}

impl Callee<JsJson> for Callbacks {
    fn start(&self, _runtime: &Runtime) {}

    fn call(&self, _connection: &Arc<Connection<JsJson>>, call: Invocation<'_, JsValue>) {
        self.invocation(&call.target, call.arguments);
    }
}

struct Waiting(oneshot::Sender<Result<JsValue, JsValue>>);

impl Caller<JsJson> for Waiting {
    fn end(self: Box<Self>, end: CallEnd<'_, JsValue>) {
        let result = match end {
            CallEnd::Outcome(Outcome::Void) => Ok(JsValue::UNDEFINED),
            CallEnd::Outcome(Outcome::Value(value)) => Ok(value),
            CallEnd::Outcome(Outcome::Error(error)) => Err(js_error("Server", &error, None)),
            CallEnd::UnexpectedItem => {
                Err(js_error("NotAStream", "the server's method returns a stream, not a single result", None))
            }
            CallEnd::Closed(error) => Err(connection_error(error)),
        };
        let _ = self.0.send(result);
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
    Arc::new(move || -> BoxFuture<Result<Option<AccessToken>, String>> {
        let called = factory.call0(&JsValue::UNDEFINED);
        Box::pin(async move {
            let token = match called {
                Ok(token) => JsFuture::from(Promise::resolve(&token)).await,
                Err(thrown) => Err(thrown),
            };
            match token {
                Ok(token) => Ok(token.as_string().map(AccessToken::from)),
                Err(thrown) => Err(match thrown.dyn_ref::<js_sys::Error>() {
                    Some(error) => String::from(error.message()),
                    None => thrown.as_string().unwrap_or_else(|| "it threw".to_owned()),
                }),
            }
        })
    })
}
