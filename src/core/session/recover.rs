//! The way down, and back up again.

use std::time::Duration;

use super::connect::open;
use super::{ConnectionError, Effect, Live, Phase, Retry, RetryContext, Session};
use crate::core::Moment;

/// How often in a row resuming a connection is tried without a byte from the server in between.
pub(super) const FRUITLESS_RESUMES: u8 = 3;

impl<T, S: Clone, J> Session<T, S, J> {
    /// The retry policy has answered: after which delay to try again, or `None` to give up.
    pub fn handle_retry_delay(&mut self, now: Moment, delay: Option<Duration>) {
        let reason = match self.leave() {
            Phase::AskingRetryPolicy(reason) => reason,
            other => return *self.phase = other,
        };
        match (delay, &self.retry) {
            (Some(delay), Some(retry)) => {
                if retry.was_connected && retry.failed == 0 {
                    self.effects.push_back(Effect::Reconnecting(reason));
                }
                *self.phase = Phase::WaitingToRetry;
                self.deadline = now.saturating_add(delay);
                if delay.is_zero() {
                    self.attempt(now);
                }
            }
            (None, Some(Retry { failed: attempts @ 1.., since, .. })) => {
                let elapsed = now.saturating_sub(*since);
                let last = Box::new(reason);
                self.disconnect(ConnectionError::RetriesExhausted { attempts: *attempts, elapsed, last });
            }
            _ => self.disconnect(reason),
        }
    }

    /// Something has failed. What it means depends on how far the connection was.
    pub(super) fn fail(&mut self, now: Moment, error: ConnectionError) {
        let may_resume =
            matches!(error, ConnectionError::Transport(_) | ConnectionError::ServerTimeout { .. });
        match self.leave() {
            Phase::Connected(live)
                if may_resume && live.link.info.stateful && live.fruitless_resumes < FRUITLESS_RESUMES =>
            {
                self.effects.push_back(Effect::CloseTransport);
                self.resume(now, live, error);
            }
            phase @ (Phase::Connected(_) | Phase::Resuming { .. }) => {
                *self.phase = phase;
                self.close(&error);
                let retry = Retry { failed: 0, since: now, was_connected: true };
                if self.options.automatic_reconnect && error.allows_reconnect() {
                    self.ask_retry_policy(now, retry, error);
                } else {
                    self.disconnect(error);
                }
            }
            _ => {
                self.close(&error);
                match self.retry.take() {
                    Some(retry) => {
                        self.ask_retry_policy(now, Retry { failed: retry.failed + 1, ..retry }, error);
                    }
                    None if self.options.retry_first_connect && error.is_retryable() => {
                        self.ask_retry_policy(
                            now,
                            Retry { failed: 0, since: now, was_connected: false },
                            error,
                        );
                    }
                    None => self.disconnect(error),
                }
            }
        }
    }

    pub(super) fn ask_retry_policy(&mut self, now: Moment, retry: Retry, reason: ConnectionError) {
        let context = RetryContext {
            previous_retry_count: retry.failed,
            elapsed: now.saturating_sub(retry.since),
            reason: reason.clone(),
        };
        self.retry = Some(retry);
        self.enter(now, Phase::AskingRetryPolicy(reason), Effect::AskRetryPolicy(context));
    }

    /// The same connection on a new socket: the same URL, and no delay.
    pub(super) fn resume(&mut self, now: Moment, mut live: Live, cause: ConnectionError) {
        if self.options.has_token_provider && !live.link.redirected_token {
            match self.tokens.valid(now) {
                Some(token) => live.link.info.token = Some(token.clone()),
                None => {
                    let phase = Phase::Resuming { live, fetching_token: true, cause };
                    return self.enter_resuming(now, phase, Effect::FetchToken);
                }
            }
        }
        self.reopen(now, live, cause);
    }

    pub(super) fn reopen(&mut self, now: Moment, live: Live, cause: ConnectionError) {
        let effect = open(&live.link);
        self.enter_resuming(now, Phase::Resuming { live, fetching_token: false, cause }, effect);
    }

    fn enter_resuming(&mut self, now: Moment, phase: Phase, effect: Effect<T, S>) {
        self.enter(now, phase, effect);
        // A server forgets the connection sooner than a request times out.
        self.deadline = now.saturating_add(self.options.server_timeout.min(self.options.request_timeout));
    }

    pub(super) fn resume_failed(&mut self, now: Moment) {
        if let Phase::Resuming { cause, .. } = &*self.phase {
            let cause = cause.clone();
            self.fail(now, cause);
        }
    }

    /// The end of a transport, and of a connection that was up.
    pub(super) fn close(&mut self, error: &ConnectionError) {
        self.effects.push_back(Effect::CloseTransport);
        if self.is_connected() {
            let calls = self.hub.close();
            self.effects.push_back(Effect::Lost { error: error.clone(), calls });
        }
        *self.phase = Phase::Disconnected;
    }

    /// The one exit.
    pub(super) fn disconnect(&mut self, error: ConnectionError) {
        *self.phase = Phase::Disconnected;
        self.retry = None;
        self.effects.push_back(Effect::Disconnected(error));
    }
}
