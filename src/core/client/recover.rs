//! Losing a connection, and getting it back.

use std::sync::Arc;
use std::time::Duration;

use super::link::{FRUITLESS_RESUMES, Live};
use super::{ClientMachine, ConnectionError, Effect, Phase, Retry, RetryContext};
use crate::core::Moment;
use crate::core::codec::Codec;

impl<C: Codec> ClientMachine<C> {
    /// The retry policy has answered: after which delay to try again, or `None` to give up.
    pub fn handle_retry_delay(&mut self, now: Moment, delay: Option<Duration>) {
        let reason = match self.leave() {
            Phase::AskingRetryPolicy(reason) => reason,
            other => return self.phase = other,
        };
        match (delay, &self.retry) {
            (Some(delay), Some(retry)) => {
                if self.was_up && retry.failed == 0 {
                    self.effects.push_back(Effect::Reconnecting(reason));
                }
                self.phase = Phase::WaitingToRetry;
                self.deadline = now + delay;
                if delay.is_zero() {
                    self.attempt(now);
                }
            }
            (None, Some(retry @ Retry { failed: attempts @ 1.., .. })) => {
                let elapsed = retry.elapsed(now);
                let attempts = *attempts;
                let error = ConnectionError::RetriesExhausted { attempts, elapsed, last: reason };
                self.disconnect(Arc::new(error));
            }
            _ => self.disconnect(reason),
        }
    }

    /// Something has failed. What it means depends on how far the connection was.
    pub(super) fn fail(&mut self, now: Moment, error: ConnectionError) {
        self.fail_again(now, Arc::new(error));
    }

    fn fail_again(&mut self, now: Moment, error: Arc<ConnectionError>) {
        match self.leave() {
            Phase::Connected(live) if may_resume(&live, &error) => {
                // The server would take a close frame as the end of the connection, which a socket that is silent may
                // still deliver.
                let abort = matches!(*error, ConnectionError::ServerTimeout { .. });
                if abort {
                    self.outgoing.clear();
                }
                self.effects.push_back(Effect::CloseTransport { abort });
                self.resume(now, live, error);
            }
            phase @ (Phase::Connected(_) | Phase::Resuming { .. }) => {
                self.phase = phase;
                self.close(now, &error);
                let retry = Retry { failed: 0, since: now, before: Duration::ZERO };
                self.lost(now, retry, error);
            }
            _ => {
                self.close(now, &error);
                let retry = match self.retry.take() {
                    Some(retry) => Some(Retry { failed: retry.failed + 1, ..retry }),
                    None if self.options.retry_first_connect && error.is_retryable() => {
                        Some(Retry { failed: 0, since: now, before: Duration::ZERO })
                    }
                    None => None,
                };
                match retry {
                    Some(retry) => self.ask_retry_policy(now, retry, error),
                    None => self.disconnect(error),
                }
            }
        }
    }

    /// A connection that was up is gone, for good unless the retry policy brings it back.
    pub(super) fn lost(&mut self, now: Moment, retry: Retry, error: Arc<ConnectionError>) {
        if self.options.automatic_reconnect && error.allows_reconnect() {
            self.ask_retry_policy(now, retry, error);
        } else {
            self.disconnect(error);
        }
    }

    fn ask_retry_policy(&mut self, now: Moment, retry: Retry, reason: Arc<ConnectionError>) {
        let context = RetryContext {
            previous_retry_count: retry.failed,
            elapsed: retry.elapsed(now),
            reason: Arc::clone(&reason),
        };
        self.retry = Some(retry);
        self.enter(now, Phase::AskingRetryPolicy(reason), Effect::AskRetryPolicy(context));
    }

    /// The same connection on a new socket: the same URL, and no delay.
    fn resume(&mut self, now: Moment, mut live: Live, cause: Arc<ConnectionError>) {
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

    pub(super) fn reopen(&mut self, now: Moment, live: Live, cause: Arc<ConnectionError>) {
        let effect = live.link.open();
        self.enter_resuming(now, Phase::Resuming { live, fetching_token: false, cause }, effect);
    }

    fn enter_resuming(&mut self, now: Moment, phase: Phase, effect: Effect) {
        self.enter(now, phase, effect);
        // A server forgets the connection sooner than a request times out.
        self.deadline = now + self.options.server_timeout.min(self.options.request_timeout);
    }

    pub(super) fn resume_failed(&mut self, now: Moment) {
        if let Phase::Resuming { cause, .. } = &self.phase {
            let cause = Arc::clone(cause);
            self.fail_again(now, cause);
        }
    }

    /// The end of a transport, and of a connection that was up.
    pub(super) fn close(&mut self, now: Moment, error: &Arc<ConnectionError>) {
        self.effects.push_back(Effect::CloseTransport { abort: false });
        if self.is_connected() {
            self.hub.close();
            self.effects.push_back(Effect::Lost(Arc::clone(error)));
        }
        self.leave();
        self.end_authentication(now);
    }

    /// The one place where the machine disconnects.
    pub(super) fn disconnect(&mut self, error: Arc<ConnectionError>) {
        self.phase = Phase::Disconnected;
        self.retry = None;
        self.effects.push_back(Effect::Disconnected(error));
    }
}

/// Whether the connection may go on with another socket. A server that has stayed silent on a new socket already has
/// lost its way: ASP.NET Core may wait forever for the socket that is gone. So that silence is final.
fn may_resume(live: &Live, error: &ConnectionError) -> bool {
    live.link.info.stateful
        && match error {
            ConnectionError::Transport(_) => live.fruitless_resumes < FRUITLESS_RESUMES,
            ConnectionError::ServerTimeout { .. } => live.fruitless_resumes == 0,
            _ => false,
        }
}
