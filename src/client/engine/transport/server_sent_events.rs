//! Server-Sent Events: messages come as the events of one endless answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::endpoint::Endpoint;
use crate::core::http::EVENT_STREAM;
use crate::core::sse::EventStream;
use crate::core::{Cause, TransportError};
use crate::platform::{Frame, HttpBody, HttpRequest, Method};

/// Messages come as the events of one endless answer. Text only.
pub(super) struct ServerSentEvents {
    body: HttpBody,
    events: EventStream,
    frames: VecDeque<Frame>,
}

impl ServerSentEvents {
    pub(super) async fn open(endpoint: &Arc<Endpoint>) -> Result<Self, TransportError> {
        let request = HttpRequest { accept: Some(EVENT_STREAM), ..endpoint.request(Method::Get) };
        let answer = Arc::clone(endpoint).send(request).await?;
        if answer.head.status != 200 || !answer.head.is_event_stream() {
            return Err(answer.head.refusal("the server refused to open an event stream"));
        }
        Ok(Self { body: answer.body, events: EventStream::default(), frames: VecDeque::new() })
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Ok(frame));
        }
        let Some(chunk) = ready!(self.body.poll_chunk(cx)) else {
            return Poll::Ready(Err(TransportError::new("the server ended the event stream")));
        };
        let frames = &mut self.frames;
        self.events.feed(&chunk?, |event| frames.push_back(Frame::from(event))).map_err(|error| {
            TransportError::because_of("the event stream is malformed", Cause::new(error))
        })?;
        // A comment, or a part of an event: a sign of life, which an empty frame is as well.
        Poll::Ready(Ok(frames.pop_front().unwrap_or_else(|| Frame::from(""))))
    }
}
