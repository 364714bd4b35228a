//! The wake signals of a page: the network, and being frozen, hidden and shown.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Event, EventTarget};

use crate::platform::Wake;

/// The driver may not ask for a while: then only the newest signals matter.
const WAITING_LIMIT: usize = 8;

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Wake>,
    waker: Option<Waker>,
}

/// Listens to a page's network and Page Lifecycle events, in a worker to those of the network. Node has neither. Its
/// listeners are removed when it is dropped.
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
            // A listener that is already gone does no harm.
            let _ = target.remove_event_listener_with_callback(name, self.listener.as_ref().unchecked_ref());
        }
    }
}

/// `undefined` if the property is missing.
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use js_sys::{Object, Reflect};
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    fn document() -> JsValue {
        property(&js_sys::global(), "document")
    }

    fn dispatch(target: &JsValue, name: &str) {
        let target: &EventTarget = target.unchecked_ref();
        target.dispatch_event(&Event::new(name).unwrap()).unwrap();
    }

    #[wasm_bindgen_test]
    async fn a_page_hears_of_its_network_and_its_life() {
        let mut signal = WakeSignal::new();
        let page: JsValue = js_sys::global().into();
        for (target, name, wake) in [
            (&page, "online", Wake::Online),
            (&document(), "freeze", Wake::Frozen),
            (&document(), "resume", Wake::Resumed),
            (&document(), "visibilitychange", Wake::Visible),
        ] {
            dispatch(target, name);
            assert_eq!(poll_fn(|cx| signal.poll(cx)).await, wake);
        }
        for n in 0..=WAITING_LIMIT {
            dispatch(&document(), if n == 0 { "freeze" } else { "resume" });
        }
        let waiting: Vec<_> = signal.inbox.borrow_mut().waiting.drain(..).collect();
        assert_eq!(waiting, [Wake::Resumed; WAITING_LIMIT]);
    }

    #[wasm_bindgen_test]
    fn being_hidden_wakes_nobody() {
        let signal = WakeSignal::new();
        let hidden = Object::new();
        Reflect::set(&hidden, &"value".into(), &"hidden".into()).unwrap();
        Reflect::set(&hidden, &"configurable".into(), &JsValue::TRUE).unwrap();
        let document: Object = document().unchecked_into();
        Object::define_property(&document, &"visibilityState".into(), &hidden);
        dispatch(&document, "visibilitychange");
        assert!(signal.inbox.borrow().waiting.is_empty());
        // The prototype's property is back then.
        Reflect::delete_property(&document, &"visibilityState".into()).unwrap();
        dispatch(&document, "visibilitychange");
        assert_eq!(signal.inbox.borrow().waiting, [Wake::Visible]);
    }

    #[wasm_bindgen_test]
    fn listeners_are_gone_when_it_is_dropped() {
        let signal = WakeSignal::new();
        assert_eq!(signal.listening.len(), 4);
        let inbox = Rc::clone(&signal.inbox);
        drop(signal);
        dispatch(&js_sys::global(), "online");
        dispatch(&document(), "resume");
        assert!(inbox.borrow().waiting.is_empty());
        assert_eq!(Rc::strong_count(&inbox), 1);
    }
}
