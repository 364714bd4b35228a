//! A browser's WebSocket, whose events fill an inbox that the driver reads from.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::{ArrayBuffer, JsString, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent};

use super::http::{HttpClient, describe};
use crate::core::TransportError;
use crate::core::negotiate::{Transport, Transports, with_token_in_query};
use crate::core::text::clip;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;

/// What this environment can open: Node.js has a WebSocket from version 22 on. The other two are made of `fetch`,
/// whose bodies can be read as they come wherever they can be read at all.
pub(crate) fn transports() -> Transports {
    let has = |name| js_sys::Reflect::has(&js_sys::global(), &JsValue::from_str(name)).unwrap_or(false);
    let mut transports = Transports::NONE;
    if has("WebSocket") {
        transports = transports | Transport::WebSockets;
    }
    if has("ReadableStream") {
        transports = transports | Transport::ServerSentEvents | Transport::LongPolling;
    }
    transports
}

/// Bytes whose clones are cheap.
pub(crate) type SharedBytes = Rc<[u8]>;

/// One WebSocket message. Text stays JavaScript's until someone asks for its bytes.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(JsString),
    Binary(Uint8Array),
}

impl Frame {
    /// A text frame. Bytes that are not UTF-8, which no codec writes, are replaced.
    pub(crate) fn text(bytes: Vec<u8>) -> Self {
        Self::Text(String::from_utf8_lossy(&bytes).as_ref().into())
    }

    pub(crate) fn binary(bytes: Vec<u8>) -> Self {
        Self::Binary(Uint8Array::from(bytes.as_slice()))
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// In bytes, or in units of UTF-16, which are as many or fewer.
    pub(crate) fn length(&self) -> usize {
        let length = match self {
            Self::Text(text) => text.length(),
            Self::Binary(bytes) => bytes.length(),
        };
        length as usize
    }

    /// All of it.
    pub(crate) fn into_bytes(self) -> SharedBytes {
        match self {
            Self::Text(text) => String::from(text).into_bytes().into(),
            Self::Binary(bytes) => bytes.to_vec().into(),
        }
    }

    #[cfg(feature = "js")]
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self {
            Self::Text(text) => String::from(text).into_bytes(),
            Self::Binary(bytes) => bytes.to_vec(),
        })
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl AsRef<JsValue> for Frame {
    fn as_ref(&self) -> &JsValue {
        match self {
            Self::Text(text) => text,
            Self::Binary(bytes) => bytes,
        }
    }
}

/// What the socket's events leave behind for the driver.
#[derive(Default)]
struct Inbox {
    open: bool,
    frames: VecDeque<Frame>,
    closed: Option<TransportError>,
    waker: Option<Waker>,
}

impl Inbox {
    fn wake(inbox: &RefCell<Self>, change: impl FnOnce(&mut Self)) {
        let waker = {
            let mut inbox = inbox.borrow_mut();
            change(&mut inbox);
            inbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A browser's WebSocket. It closes when dropped, and its events then reach nobody.
pub(crate) struct WebSocket {
    socket: web_sys::WebSocket,
    inbox: Rc<RefCell<Inbox>>,
    _on_open: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl WebSocket {
    pub(crate) async fn open(
        _client: HttpClient,
        url: HubUrl,
        token: Option<AccessToken>,
        _headers: Vec<(String, String)>,
    ) -> Result<Self, TransportError> {
        let url = with_token_in_query(&url, token.as_ref()).to_web_socket_text();
        let socket = web_sys::WebSocket::new(&url).map_err(|_| {
            // What the browser says names the whole URL, token and all.
            TransportError::new(
                "the browser refuses to open a WebSocket: the URL is not valid, or it is http and the page's is https",
            )
        })?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let inbox = Rc::new(RefCell::new(Inbox::default()));

        let at_open = Rc::clone(&inbox);
        let on_open = Closure::new(move |_| Inbox::wake(&at_open, |inbox| inbox.open = true));
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));

        let at_message = Rc::clone(&inbox);
        let on_message = Closure::new(move |event: MessageEvent| {
            let frame = match event.data().dyn_into::<JsString>() {
                Ok(text) => Frame::Text(text),
                Err(data) => Frame::Binary(Uint8Array::new(data.unchecked_ref::<ArrayBuffer>())),
            };
            Inbox::wake(&at_message, |inbox| inbox.frames.push_back(frame));
        });
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));

        // An error event tells nothing, and a close event follows it.
        let at_close = Rc::clone(&inbox);
        let on_close = Closure::new(move |event: CloseEvent| {
            Inbox::wake(&at_close, |inbox| inbox.closed = Some(close_error(inbox.open, &event)));
        });
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));

        let opened = Self { socket, inbox, _on_open: on_open, _on_message: on_message, _on_close: on_close };
        poll_fn(|cx| {
            let mut inbox = opened.inbox.borrow_mut();
            if inbox.open {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = inbox.closed.take() {
                return Poll::Ready(Err(error));
            }
            inbox.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await?;
        Ok(opened)
    }

    /// The next message; an error once the socket is closed, whoever closed it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        let mut inbox = self.inbox.borrow_mut();
        if let Some(frame) = inbox.frames.pop_front() {
            return Poll::Ready(Ok(frame));
        }
        if let Some(error) = &inbox.closed {
            return Poll::Ready(Err(error.clone()));
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    #[allow(clippy::unused_self, reason = "a browser's socket takes everything at any time")]
    pub(crate) fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    pub(crate) fn start_send(&mut self, frame: Frame) -> Result<(), TransportError> {
        // A browser takes data for a socket that is closing without a word, and drops it.
        if self.socket.ready_state() != web_sys::WebSocket::OPEN {
            return Err(TransportError::new("the WebSocket is closing"));
        }
        match frame {
            Frame::Text(text) => send_text(&self.socket, &text),
            Frame::Binary(bytes) => self.socket.send_with_js_u8_array(&bytes),
        }
        .map_err(|e| describe(&e))
    }

    #[allow(clippy::unused_self, reason = "a browser's socket flushes by itself")]
    pub(crate) fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    /// Sends what is left and closes. The browser finishes both by itself, and is not waited for: offline that
    /// can take minutes.
    #[allow(clippy::unused_async, reason = "natively the last flush is waited for")]
    pub(crate) async fn close(mut self, left: impl IntoIterator<Item = Frame>) {
        for frame in left {
            if self.start_send(frame).is_err() {
                break;
            }
        }
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // Closing a socket that is closed already does nothing.
        let _ = self.socket.close();
    }
}

/// web-sys has no `send` that takes a JavaScript string, which a Rust one would have to be made from.
fn send_text(socket: &web_sys::WebSocket, text: &JsString) -> Result<(), JsValue> {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        type TextSocket;
        #[wasm_bindgen(method, catch, js_name = send)]
        fn send(this: &TextSocket, text: &JsString) -> Result<(), JsValue>;
    }

    socket.unchecked_ref::<TextSocket>().send(text)
}

fn close_error(was_open: bool, event: &CloseEvent) -> TransportError {
    if !was_open {
        return TransportError::new(
            "the WebSocket could not be opened: the server refused it (an expired token, an unknown connection), a proxy does not let it pass, or with several servers behind one address sticky sessions are missing",
        );
    }
    let message = match event.reason() {
        reason if reason.is_empty() => "the WebSocket was closed".to_owned(),
        reason => format!("the WebSocket was closed: {}", clip(reason)),
    };
    TransportError { close_code: Some(event.code()), ..TransportError::new(message) }
}
