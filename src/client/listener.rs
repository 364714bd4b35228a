//! The calls of a method as a stream, for front-end frameworks.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_channel::oneshot;
use futures_core::Stream as _;
use serde::de::value::{Error as ProbeError, SeqAccessDeserializer, UnitDeserializer};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, IntoDeserializer as _, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use crate::client::HubConnection;
use crate::client::handler::sealed::Callable;
use crate::client::handlers::Subscription;
use crate::platform::MaybeSend;

/// The calls of one method, one after the other. Dropping it removes its handler.
pub(crate) struct Listener<T> {
    calls: UnboundedReceiver<Call<T>>,
    /// The call that is being looked at. The connection hands out the next one when it is dropped.
    current: Option<Done>,
    subscription: Option<Subscription>,
}

type Done = oneshot::Sender<()>;
type Call<T> = (T, Done);

impl HubConnection {
    /// As [`on`](Self::on), as a source to await calls from.
    #[cfg(feature = "leptos")]
    pub(crate) fn listen<T: DeserializeOwned + MaybeSend + 'static>(&self, target: &str) -> Listener<T> {
        Listener::new(|feed| self.feed(target, feed))
    }

    /// Registers a handler that feeds.
    pub(crate) fn feed<T>(&self, target: &str, feed: Feed<T>) -> Subscription
    where
        T: DeserializeOwned + MaybeSend + 'static,
    {
        self.subscribe(target, Feeder(feed))
    }
}

impl<T> Listener<T> {
    /// Listens to what a handler gives that this registers.
    pub(crate) fn new(register: impl FnOnce(Feed<T>) -> Subscription) -> Self {
        let (sender, calls) = mpsc::unbounded();
        let subscription = register(Feed(sender));
        Self { calls, current: None, subscription: Some(subscription) }
    }

    /// The next call; `None` when the connection's handlers are gone.
    pub(crate) async fn next(&mut self) -> Option<T> {
        self.current = None;
        let (value, done) = poll_fn(|cx| Pin::new(&mut self.calls).poll_next(cx)).await?;
        self.current = Some(done);
        Some(value)
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.unsubscribe();
        }
    }
}

/// Gives the calls of a method to a component. It is done with a call when the component is, so that what waits is counted
/// where all calls are.
#[cfg_attr(not(feature = "yew"), allow(unreachable_pub, reason = "only the hooks of Yew show it"))]
pub struct Feed<T>(UnboundedSender<Call<T>>);

impl<T> Feed<T> {
    /// Gives the arguments of a call to the component, and ends when it has taken them.
    #[cfg(feature = "yew")]
    pub fn give(&self, arguments: T) -> impl Future<Output = ()> + use<T> {
        self.hand_over(arguments)
    }

    fn hand_over(&self, arguments: T) -> Taken {
        let (done, taken) = oneshot::channel();
        // It fails when the listener was dropped in this moment.
        let _ = self.0.unbounded_send((arguments, done));
        Taken(taken)
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

/// The handler that feeds.
struct Feeder<T>(Feed<T>);

impl<T: DeserializeOwned + MaybeSend + 'static> Callable<Self> for Feeder<T> {
    type Arguments = Event<T>;
    type Output = ();
    type Future = Taken;

    const IS_PLAIN: bool = false;

    fn call(&mut self, Event(value): Event<T>) -> Taken {
        self.0.hand_over(value)
    }
}

struct Taken(oneshot::Receiver<()>);

impl Future for Taken {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// The arguments of a call: all of them where `T` is a tuple, else the first. There may be more.
pub(super) struct Event<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Event<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Arguments<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of arguments")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<T, S::Error> {
                let value = if is_tuple::<T>() {
                    T::deserialize(SeqAccessDeserializer::new(&mut list))?
                } else {
                    match list.next_element()? {
                        Some(value) => value,
                        // A `()` or an `Option` may be missing.
                        None => T::deserialize(no_argument())
                            .map_err(|_: ProbeError| S::Error::custom("no argument"))?,
                    }
                };
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(value)
            }
        }

        deserializer.deserialize_seq(Arguments(PhantomData)).map(Event)
    }
}

fn no_argument() -> UnitDeserializer<ProbeError> {
    ().into_deserializer()
}

/// Whether a type is read as a list of known length.
fn is_tuple<'de, T: Deserialize<'de>>() -> bool {
    struct Probe<'a>(&'a Cell<bool>);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = ProbeError;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ProbeError> {
            Err(ProbeError::custom("nothing is read here"))
        }

        fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ProbeError> {
            self.0.set(true);
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple_struct map struct enum identifier ignored_any
        }
    }

    let found = Cell::new(false);
    let _ = T::deserialize(Probe(&found));
    found.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        serde_json::from_str::<Event<T>>(json).map(|event| event.0).map_err(|error| error.to_string())
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Point {
        x: i32,
        y: i32,
    }

    #[test]
    fn a_tuple_is_all_arguments_and_anything_else_the_first() {
        assert_eq!(read::<f64>("[1.5]"), Ok(1.5));
        assert_eq!(read::<f64>(r#"[1.5,"more"]"#), Ok(1.5));
        assert_eq!(read::<Point>(r#"[{"x":1,"y":2}]"#), Ok(Point { x: 1, y: 2 }));
        assert_eq!(read::<Vec<i32>>("[[1,2,3],4]"), Ok(vec![1, 2, 3]));
        assert_eq!(read::<(String, i32)>(r#"["a",1]"#), Ok(("a".to_owned(), 1)));
        assert_eq!(read::<(String, i32)>(r#"["a",1,{"more":[]}]"#), Ok(("a".to_owned(), 1)));
        assert_eq!(read::<((i32, i32),)>("[[1,2]]"), Ok(((1, 2),)));
    }

    #[test]
    fn arguments_that_lack() {
        assert_eq!(read::<()>("[]"), Ok(()));
        assert_eq!(read::<Option<String>>("[]"), Ok(None));
        assert!(read::<f64>("[]").unwrap_err().contains("no argument"));
        assert!(read::<(String, i32)>(r#"["a"]"#).is_err());
        assert!(read::<f64>(r#"["a"]"#).is_err());
    }
}
