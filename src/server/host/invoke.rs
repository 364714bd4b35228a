//! From a call to the method that it calls, past all that may keep it from there: rate limits, policies, filters.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{
    arguments::Mismatch,
    caller::Caller,
    error::HubError,
    filter::{LastCall, Next},
    invocation::HubInvocation,
    methods::{Registered, Running},
    reply::{Reply, Written},
    state::Hub,
    telemetry,
};
use crate::core::text::clip;

/// Finds the method, and calls it. Errors are told in ASP.NET Core's words.
pub(super) fn begin(hub: &Arc<Hub>, call: HubInvocation) -> Result<Running, HubError> {
    let span = hub.rules.telemetry.span(&call.target, call.trace.as_deref());
    if !span.is_disabled() {
        let reply = guided(hub.clone(), call).instrument(span.clone());
        return Ok(Running::Later(Box::pin(async move { telemetry::finish(span, reply.await) })));
    }
    if !hub.rules.are_quick() {
        return Ok(Running::Later(Box::pin(guided(hub.clone(), call))));
    }
    let method = hub.methods.find(&call.target).ok_or_else(|| unknown(&call.target))?;
    check(method, &call.caller, &call.target, call.streams)?;
    run(hub, method, call)
}

/// A call that something may keep back.
async fn guided(hub: Arc<Hub>, call: HubInvocation) -> Result<Reply, HubError> {
    let rules = &hub.rules;
    rules.limit(&call.caller, &call.target)?;
    if let Some(method) = hub.methods.find(&call.target) {
        check(method, &call.caller, &call.target, call.streams)?;
        if !rules.policies.allow(&call.caller, &call.target).await {
            return Err(unauthorized(&call.target));
        }
    }
    let (streams, target) = (call.streams, call.target.clone());
    let filters = rules.filters.clone();
    let last: LastCall = Box::new(move |call| Box::pin(method(hub, call)));
    let reply = Next::first(&filters, last).run(call).await?;
    // A filter or a fallback may have made another kind of reply than the client waits for.
    if reply.is_stream() == streams { Ok(reply) } else { Err(kind(&target, reply.is_stream())) }
}

/// Calls the method, or the fallback where there is no such method.
async fn method(hub: Arc<Hub>, call: HubInvocation) -> Result<Reply, HubError> {
    let Some(method) = hub.methods.find(&call.target) else {
        return match &hub.rules.fallback {
            Some(fallback) => fallback(call).await,
            None => Err(unknown(&call.target)),
        };
    };
    let protocol = call.arguments.protocol;
    match run(&hub, method, call)? {
        Running::Plain(value) => Ok(Reply::encoded(protocol, value.await?)),
        Running::Stream(items) => Ok(Reply::items(protocol, items)),
        Running::Later(reply) => Ok(match reply.await?.write(protocol)? {
            Written::Value(value) => Reply::encoded(protocol, value),
            Written::Items(items) => Reply::items(protocol, items),
        }),
    }
}

fn check(method: &Registered, caller: &Caller, target: &str, streams: bool) -> Result<(), HubError> {
    if method.allows.as_ref().is_some_and(|allows| !allows(caller)) {
        return Err(unauthorized(target));
    }
    if method.streams == streams { Ok(()) } else { Err(kind(target, method.streams)) }
}

fn run(hub: &Hub, method: &Registered, call: HubInvocation) -> Result<Running, HubError> {
    let detailed = hub.detailed_errors;
    let name = &*clip(&*call.target);
    (method.method)(call.caller, call.arguments).map_err(|mismatch| {
        if let Mismatch::Values(reason) = &mismatch {
            tracing::info!(
                target = name,
                reason,
                "a client called a method with other arguments than it has"
            );
        }
        HubError::answer(match mismatch {
            Mismatch::Values(reason) if detailed => format!("{} {reason}", failed_to_invoke(name)),
            Mismatch::Values(_) => failed_to_invoke(name),
            Mismatch::Streams { sent, expected } => format!(
                "{} HubException: Client sent {sent} stream(s), Hub method expects {expected}.",
                unexpected(name)
            ),
        })
    })
}

fn unknown(target: &str) -> HubError {
    HubError::answer(format!("{} HubException: Method does not exist.", failed_to_invoke(&clip(target))))
}

fn unauthorized(target: &str) -> HubError {
    HubError::answer(format!("Failed to invoke '{}' because user is unauthorized", clip(target)))
}

/// What is called is a stream, or is not, and the client wants the other.
fn kind(target: &str, streams: bool) -> HubError {
    let (is, call) = if streams { ("streaming", "non-streaming") } else { ("non-streaming", "streaming") };
    HubError::answer(format!(
        "The client attempted to invoke the {is} '{}' method with a {call} invocation.",
        clip(target)
    ))
}

/// What is told of an error that nobody is to be told of.
pub(super) fn unexpected(target: &str) -> String {
    format!("An unexpected error occurred invoking '{}' on the server.", clip(target))
}

fn failed_to_invoke(name: &str) -> String {
    format!("Failed to invoke '{name}' due to an error on the server.")
}
