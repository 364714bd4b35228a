use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Event, EventTarget};

use crate::platform::Wake;

/// Nobody asks for a while: then only the newest of what happened is of interest.
const WAITING_LIMIT: usize = 8;

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Wake>,
    waker: Option<Waker>,
}

/// Listens to what a page hears of network and Page Lifecycle, a worker of the network. Node hears of neither. Its
/// listeners are gone when it is dropped.
pub(crate) struct WakeSignal {
    inbox: Rc<RefCell<Inbox>>,
    listening: Vec<(EventTarget, &'static str)>,
    listener: Closure<dyn FnMut(Event)>,
}

impl WakeSignal {
    pub(crate) fn new() -> Self {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        let at_event = Rc::clone(&inbox);
        let listener = Closure::new(move |event: Event| {
            let Some(wake) = meaning(&event) else { return };
            let waker = {
                let mut inbox = at_event.borrow_mut();
                if inbox.waiting.len() == WAITING_LIMIT {
                    inbox.waiting.pop_front();
                }
                inbox.waiting.push_back(wake);
                inbox.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let mut signal = Self { inbox, listening: Vec::new(), listener };
        let global: JsValue = js_sys::global().into();
        let document = property(&global, "document");
        signal.listen(global, "online");
        for name in ["visibilitychange", "freeze", "resume"] {
            signal.listen(document.clone(), name);
        }
        signal
    }

    /// Does nothing where there is no such target, or it sends no events.
    fn listen(&mut self, target: JsValue, name: &'static str) {
        if !property(&target, "addEventListener").is_function() {
            return;
        }
        let target: EventTarget = target.unchecked_into();
        if target.add_event_listener_with_callback(name, self.listener.as_ref().unchecked_ref()).is_ok() {
            self.listening.push((target, name));
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let mut inbox = self.inbox.borrow_mut();
        if let Some(wake) = inbox.waiting.pop_front() {
            return Poll::Ready(wake);
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for WakeSignal {
    fn drop(&mut self) {
        for (target, name) in &self.listening {
            // One that is gone already is as good.
            let _ = target.remove_event_listener_with_callback(name, self.listener.as_ref().unchecked_ref());
        }
    }
}

/// `undefined` where there is none.
fn property(of: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(of, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

fn meaning(event: &Event) -> Option<Wake> {
    match event.type_().as_str() {
        "online" => Some(Wake::Online),
        "freeze" => Some(Wake::Frozen),
        "resume" => Some(Wake::Resumed),
        _ => {
            let document = property(&js_sys::global(), "document");
            (property(&document, "visibilityState") == "visible").then_some(Wake::Visible)
        }
    }
}
