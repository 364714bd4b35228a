//! What handlers may return when the hub awaits a result.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::{Future, ready};

/// `Send`, where there are threads.
pub trait MaybeSend: crate::platform::MaybeSend {}
impl<T: crate::platform::MaybeSend> MaybeSend for T {}

/// What a handler may return when the hub awaits a `T`. `K` tells the kinds apart, and is found by inference.
#[diagnostic::on_unimplemented(
    message = "the hub awaits a `{T}`, which is not what this handler returns",
    note = "it may return `{T}`, a `Result` of it whose error can be displayed, or a future of either"
)]
pub trait Answers<T, K> {
    /// The error that the hub is told in place of a `T`.
    type Error: Display + MaybeSend;

    /// The answer.
    fn into_answer(self) -> impl Future<Output = Result<T, Self::Error>> + MaybeSend;
}

/// Marks values as answers.
#[derive(Debug)]
pub enum Plain {}

/// Marks results as answers.
#[derive(Debug)]
pub enum Fallible {}

/// Marks futures of values as answers.
#[derive(Debug)]
pub enum PlainLater {}

/// Marks futures of results as answers.
#[derive(Debug)]
pub enum FallibleLater {}

impl<T: MaybeSend> Answers<T, Plain> for T {
    type Error = Infallible;

    fn into_answer(self) -> impl Future<Output = Result<T, Infallible>> + MaybeSend {
        ready(Ok(self))
    }
}

impl<T: MaybeSend, E: Display + MaybeSend> Answers<T, Fallible> for Result<T, E> {
    type Error = E;

    fn into_answer(self) -> impl Future<Output = Self> + MaybeSend {
        ready(self)
    }
}

impl<T, F: Future<Output = T> + MaybeSend> Answers<T, PlainLater> for F {
    type Error = Infallible;

    async fn into_answer(self) -> Result<T, Infallible> {
        Ok(self.await)
    }
}

impl<T, E: Display + MaybeSend, F: Future<Output = Result<T, E>> + MaybeSend> Answers<T, FallibleLater>
    for F
{
    type Error = E;

    fn into_answer(self) -> impl Future<Output = Result<T, E>> + MaybeSend {
        self
    }
}
