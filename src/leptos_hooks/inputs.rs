//! Arguments that are given once, and arguments that change with signals.

use serde::Serialize;

use crate::arguments::Arguments;

/// The arguments of a stream or a resource: what [`Arguments`] are (a tuple, most often) if it can be cloned, or a
/// closure that makes them. With a closure, signals that it reads make another stream, or another result, when they
/// change.
#[diagnostic::on_unimplemented(
    message = "these are not the arguments of a hub's method",
    note = "they are a tuple that can be cloned, such as `(\"MSFT\",)`, or a closure that returns one: `move || (symbol.get(),)`"
)]
pub trait ReactiveArguments: Source {}
impl<S: Source> ReactiveArguments for S {}

pub(super) mod sealed {
    use super::Arguments;

    pub trait Source: 'static {
        type Arguments: Arguments + 'static;

        fn arguments(&self) -> Self::Arguments;
    }
}

use self::sealed::Source;

impl<A: Arguments + 'static, F: Fn() -> A + 'static> Source for F {
    type Arguments = A;

    fn arguments(&self) -> A {
        self()
    }
}

macro_rules! given {
    ($([$($parameter:tt)*] $Arguments:ty;)*) => {
        $(
            impl<$($parameter)*> Source for $Arguments
            where
                Self: Arguments + Clone + 'static,
            {
                type Arguments = Self;

                fn arguments(&self) -> Self {
                    self.clone()
                }
            }
        )*
    };
}

given! {
    [] ();
    [A] (A,);
    [A, B] (A, B);
    [A, B, C] (A, B, C);
    [A, B, C, D] (A, B, C, D);
    [A, B, C, D, E] (A, B, C, D, E);
    [A, B, C, D, E, F] (A, B, C, D, E, F);
    [A, B, C, D, E, F, G] (A, B, C, D, E, F, G);
    [A, B, C, D, E, F, G, H] (A, B, C, D, E, F, G, H);
    [T: Serialize] Vec<T>;
    [T: Serialize, const N: usize] [T; N];
    [T: Serialize] &'static [T];
}
