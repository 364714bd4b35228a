//! A browser's WebSocket, whose events fill an inbox that the driver reads from.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use js_sys::{ArrayBuffer, JsString, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent};

use super::frame::Frame;
use super::http::{HttpClient, describe};
use crate::core::TransportError;
use crate::core::negotiate::{Transport, Transports, with_token_in_query};
use crate::core::text::clip;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::platform::inbox::Inbox;

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

/// A browser's WebSocket. It closes when dropped, and its events are then ignored.
pub(crate) struct WebSocket {
    socket: web_sys::WebSocket,
    inbox: Rc<RefCell<Inbox<Frame>>>,
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
            // The browser's own text names the whole URL with its token.
            TransportError::new(
                "the browser refuses to open a WebSocket: the URL is not valid, or it is http and the page's is https",
            )
        })?;
        let opened = Self::over(socket);
        poll_fn(|cx| opened.inbox.borrow_mut().poll_open(cx)).await?;
        Ok(opened)
    }

    /// Listens to a socket that opens.
    fn over(socket: web_sys::WebSocket) -> Self {
        socket.set_binary_type(BinaryType::Arraybuffer);
        let inbox = Rc::new(RefCell::new(Inbox::default()));

        let at_open = Rc::clone(&inbox);
        let on_open = Closure::new(move |_| Inbox::handle(&at_open, Inbox::handle_open));
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));

        let (at_message, overflowing) = (Rc::clone(&inbox), socket.clone());
        let on_message = Closure::new(move |event: MessageEvent| {
            let frame = match event.data().dyn_into::<JsString>() {
                Ok(text) => Frame::Text(text),
                Err(data) => Frame::Binary(Uint8Array::new(data.unchecked_ref::<ArrayBuffer>())),
            };
            let bytes = frame.length();
            if !Inbox::handle(&at_message, |inbox| inbox.handle_message(frame, bytes)) {
                // Closing a socket that is closed already does nothing.
                let _ = overflowing.close();
            }
        });
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));

        // An error event has no details, and a close event follows it.
        let at_close = Rc::clone(&inbox);
        let on_close = Closure::new(move |event: CloseEvent| {
            Inbox::handle(&at_close, |inbox| {
                inbox.handle_close(|was_open| close_error(was_open, &event));
            });
        });
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));

        Self { socket, inbox, _on_open: on_open, _on_message: on_message, _on_close: on_close }
    }

    /// The next message; an error once the socket is closed, whichever end closed it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        self.inbox.borrow_mut().poll_next(cx)
    }

    /// Whether more has come than can wait while the driver does not read. The socket is closed then, and its
    /// messages are gone.
    pub(crate) fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inbox.borrow_mut().poll_overflow(cx)
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

    #[allow(clippy::unused_self, reason = "a browser's socket flushes automatically")]
    pub(crate) fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    /// Sends what is left and closes. The browser finishes both in the background, which is not awaited: offline it
    /// can take minutes.
    #[allow(clippy::unused_async, reason = "natively the last flush is awaited")]
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use js_sys::Function;
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;
    use crate::platform::{WAITING_BYTES, WAITING_MESSAGES};

    wasm_bindgen_test_configure!(run_in_browser);

    /// A socket that does not get to open while the test runs, which never waits.
    fn socket() -> WebSocket {
        WebSocket::over(web_sys::WebSocket::new("ws://127.0.0.1:9/").unwrap())
    }

    /// So many messages arrive of what a JavaScript expression says.
    fn arrive(socket: &WebSocket, count: usize, data: &str) {
        let body = format!(
            "const data = {data}; for (let n = 0; n < {count}; n++) socket.dispatchEvent(new MessageEvent('message', {{ data }}))"
        );
        Function::new_with_args("socket", &body).call1(&JsValue::NULL, &socket.socket).unwrap();
    }

    #[wasm_bindgen_test]
    fn what_comes_while_nobody_reads_is_bounded() {
        let cx = &mut Context::from_waker(Waker::noop());
        for (count, data) in [
            (WAITING_MESSAGES, "'{\"type\":6}\\u001e'".to_owned()),
            (2, format!("'x'.repeat({})", WAITING_BYTES / 2)),
            (2, format!("new ArrayBuffer({})", WAITING_BYTES / 2)),
        ] {
            let mut socket = socket();
            arrive(&socket, count, &data);
            assert!(socket.poll_overflow(cx).is_pending(), "{data}");
            assert_eq!(socket.socket.ready_state(), web_sys::WebSocket::CONNECTING);
            arrive(&socket, 1, &data);
            assert!(socket.poll_overflow(cx).is_ready(), "{data}");
            assert_eq!(socket.socket.ready_state(), web_sys::WebSocket::CLOSING);
            assert!(matches!(socket.poll_next(cx), Poll::Ready(Err(_))));
            assert!(socket.start_send(Frame::from("x")).is_err());
        }
    }

    #[wasm_bindgen_test]
    fn what_is_read_makes_room() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut socket = socket();
        for _ in 0..3 {
            arrive(&socket, WAITING_MESSAGES, "'x'");
            for _ in 0..WAITING_MESSAGES {
                assert!(matches!(socket.poll_next(cx), Poll::Ready(Ok(Frame::Text(_)))));
            }
            assert!(socket.poll_next(cx).is_pending() && socket.poll_overflow(cx).is_pending());
        }
    }
}
