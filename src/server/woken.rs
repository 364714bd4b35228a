//! Futures that are polled only when they have been woken.
//!
//! A connection waits for many things, most of which do not happen: to poll them all whenever one has happened costs more
//! than what has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Some of the futures that a task waits for. They outlive the waiting: what they have registered stays so.
#[derive(Debug)]
pub(crate) struct Woken {
    flag: Arc<Flag>,
    waker: Waker,
}

#[derive(Debug)]
struct Flag {
    is_set: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_set.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Woken {
    /// They have to be polled first of all.
    pub(crate) fn new() -> Self {
        let flag = Arc::new(Flag { is_set: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { waker: flag.clone().into(), flag }
    }

    /// Polls them if one was woken, or `always`. The task of the context hears of the next time.
    pub(crate) fn poll<T>(
        &self,
        cx: &Context<'_>,
        always: bool,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.flag.task.register(cx.waker());
        if !self.flag.is_set.swap(false, Ordering::AcqRel) && !always {
            return Poll::Pending;
        }
        let polled = poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // Others may have been woken as well.
            self.again();
        }
        polled
    }

    /// They have to be polled again, since one of them has changed.
    pub(crate) fn again(&self) {
        self.flag.is_set.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_woken_is_polled_and_nothing_else() {
        let (woken, task) = (Woken::new(), Woken::new());
        let mut polled = Vec::new();
        let mut poll = |woken: &Woken, always, answer: Poll<()>| {
            let before = polled.len();
            let cx = Context::from_waker(&task.waker);
            let ready = woken.poll(&cx, always, |cx| {
                polled.push(cx.waker().clone());
                answer
            });
            assert_eq!(ready.is_ready(), polled.len() > before && answer.is_ready());
            polled.get(before).cloned()
        };
        let waker = poll(&woken, false, Poll::Pending).expect("the first time");
        assert!(poll(&woken, false, Poll::Pending).is_none());
        assert!(poll(&woken, true, Poll::Pending).is_some());
        let is_told = || task.flag.is_set.swap(false, Ordering::AcqRel);
        assert!(is_told() && !is_told());
        waker.wake();
        assert!(is_told(), "the task hears of it");
        assert!(poll(&woken, false, Poll::Ready(())).is_some());
        assert!(poll(&woken, false, Poll::Pending).is_some(), "there may be more");
        assert!(poll(&woken, false, Poll::Pending).is_none());
        woken.again();
        assert!(poll(&woken, false, Poll::Pending).is_some() && !is_told());
    }
}
