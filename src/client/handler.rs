//! Closures that the server can call.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};

use crate::platform::MaybeSend;

/// A function that the server can call: a closure or an `async` one, of up to eight arguments, each of any type that
/// serde can read. It returns nothing.
///
/// More arguments than it takes are ignored, as the official JavaScript client does, so that a server can add one.
#[diagnostic::on_unimplemented(
    message = "this is not a handler for calls of a hub",
    note = "a handler is a closure of up to eight arguments with their types written out, such as `|user: String, n: u32| …` or `|user: String| async move {{ … }}`",
    note = "each argument implements `serde::Deserialize` and owns what it holds: `String`, not `&str`",
    note = "it owns what it captures (`move`); natively that is `Send`: `Arc`, not `Rc`",
    note = "it returns nothing; for a result, register it with `on_invoke`"
)]
pub trait Handler<M>: Callable<M, Output = ()> {}
impl<M, F: Callable<M, Output = ()>> Handler<M> for F {}

/// A function that answers the server: like a [`Handler`], but it returns a `Result`.
///
/// The value is anything that serde can write. The server gets the text of the error.
#[diagnostic::on_unimplemented(
    message = "this is not a handler that answers calls of a hub",
    note = "what answers is a closure of up to eight arguments with their types written out, and returns a `Result` of a value that serde can write and an error that can be displayed: `|name: String| async move {{ find(&name).await }}`",
    note = "each argument implements `serde::Deserialize` and owns what it holds: `String`, not `&str`",
    note = "it owns what it captures (`move`); natively that is `Send`: `Arc`, not `Rc`",
    note = "where nothing can fail, name the error: `Ok::<_, std::convert::Infallible>(value)`"
)]
pub trait InvokeHandler<M>: Callable<M, Output: Answer> {}
impl<M, F: Callable<M, Output: Answer>> InvokeHandler<M> for F {}

pub(super) mod sealed {
    use super::{DeserializeOwned, Future, MaybeSend, PhantomData, Serialize};

    /// The arguments of a handler, read from a list that may be longer.
    #[derive(Debug)]
    pub struct List<A>(pub A);

    /// Marks closures that are done when they return.
    #[derive(Debug)]
    pub struct Plain<A>(PhantomData<A>);

    /// Marks closures that return a future.
    #[derive(Debug)]
    pub struct Async<A>(PhantomData<A>);

    /// `M` tells the kinds of closures apart. It is found by inference: each closure fits one.
    #[diagnostic::on_unimplemented(
        message = "this is not a handler for calls of a hub",
        note = "a handler is a closure of up to eight arguments with their types written out, such as `|user: String, n: u32| …` or `|user: String| async move {{ … }}`",
        note = "each argument implements `serde::Deserialize` and owns what it holds: `String`, not `&str`",
        note = "it owns what it captures (`move`); natively that is `Send`: `Arc`, not `Rc`"
    )]
    pub trait Callable<M>: MaybeSend + 'static {
        type Arguments: DeserializeOwned + MaybeSend + 'static;
        type Output: Output;
        type Future: Future<Output = Self::Output> + MaybeSend;

        /// Whether it is done when it returns.
        const IS_PLAIN: bool;

        fn call(&mut self, arguments: Self::Arguments) -> Self::Future;
    }

    /// What a handler may return.
    pub trait Output: MaybeSend {
        type Value: Serialize;

        /// The value, or the error as the server gets it.
        fn into_result(self) -> Result<Self::Value, String>;
    }

    /// What a handler that answers may return.
    pub trait Answer: Output {}
}

use self::sealed::{Answer, Async, Callable, List, Output, Plain};

impl Output for () {
    type Value = ();

    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<T: Serialize + MaybeSend, E: fmt::Display + MaybeSend> Output for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

impl<T: Serialize + MaybeSend, E: fmt::Display + MaybeSend> Answer for Result<T, E> {}

macro_rules! handlers {
    ($($count:literal: $($name:ident)*;)*) => {
        $(
            impl<F, R, $($name),*> Callable<Plain<($($name,)*)>> for F
            where
                F: FnMut($($name),*) -> R + MaybeSend + 'static,
                R: Output,
                $($name: DeserializeOwned + MaybeSend + 'static,)*
            {
                type Arguments = List<($($name,)*)>;
                type Output = R;
                type Future = Ready<R>;

                const IS_PLAIN: bool = true;

                #[allow(non_snake_case, reason = "the names of the types are used for the values")]
                fn call(&mut self, List(($($name,)*)): Self::Arguments) -> Ready<R> {
                    ready(self($($name),*))
                }
            }

            impl<F, R, $($name),*> Callable<Async<($($name,)*)>> for F
            where
                F: FnMut($($name),*) -> R + MaybeSend + 'static,
                R: Future + MaybeSend,
                R::Output: Output,
                $($name: DeserializeOwned + MaybeSend + 'static,)*
            {
                type Arguments = List<($($name,)*)>;
                type Output = R::Output;
                type Future = R;

                const IS_PLAIN: bool = false;

                #[allow(non_snake_case, reason = "the names of the types are used for the values")]
                fn call(&mut self, List(($($name,)*)): Self::Arguments) -> R {
                    self($($name),*)
                }
            }

            impl<'de, $($name: DeserializeOwned),*> Deserialize<'de> for List<($($name,)*)> {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct Arguments<A>(PhantomData<A>);

                    impl<'de, $($name: DeserializeOwned),*> Visitor<'de> for Arguments<($($name,)*)> {
                        type Value = List<($($name,)*)>;

                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            f.write_str(concat!("a list of at least ", $count, " arguments"))
                        }

                        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                            let arguments = ($(match list.next_element::<$name>()? {
                                Some(argument) => argument,
                                None => return Err(S::Error::custom(concat!("fewer than ", $count, " arguments"))),
                            },)*);
                            while list.next_element::<IgnoredAny>()?.is_some() {}
                            Ok(List(arguments))
                        }
                    }

                    deserializer.deserialize_seq(Arguments(PhantomData))
                }
            }
        )*
    };
}

handlers! {
    0: ;
    1: A1;
    2: A1 A2;
    3: A1 A2 A3;
    4: A1 A2 A3 A4;
    5: A1 A2 A3 A4 A5;
    6: A1 A2 A3 A4 A5 A6;
    7: A1 A2 A3 A4 A5 A6 A7;
    8: A1 A2 A3 A4 A5 A6 A7 A8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_lists_may_be_longer_but_not_shorter() {
        let read = |json| serde_json::from_str::<List<(String, u32)>>(json).map(|list| list.0);
        assert_eq!(read(r#"["a",1]"#).unwrap(), ("a".to_owned(), 1));
        assert_eq!(read(r#"["a",1,{"more":[]},null]"#).unwrap(), ("a".to_owned(), 1));
        assert!(read(r#"["a"]"#).unwrap_err().to_string().contains("fewer than 2 arguments"));
        assert!(read(r#"["a","b"]"#).is_err());
        assert!(serde_json::from_str::<List<()>>("[1]").is_ok());
    }

    #[test]
    fn every_kind_of_closure_is_told_apart() {
        fn on<M>(_: impl Handler<M>) {}
        fn on_invoke<M>(_: impl InvokeHandler<M>) {}
        async fn find(name: String) -> Result<usize, fmt::Error> {
            Ok(name.len())
        }
        on(|| {});
        on(|_: u32, _: String| {});
        on(|| async {});
        on(async |_: u32| {});
        let mut seen = Vec::new();
        on(move |n: u32| seen.push(n));
        on(|name: String| async move { drop(name) });
        on_invoke(find);
        on_invoke(|name: String| find(name));
        on_invoke(|name: String| async move { find(name).await });
        on_invoke(|name: String| name.parse::<u32>());
        on_invoke(|| Ok::<_, std::convert::Infallible>(()));
    }
}
