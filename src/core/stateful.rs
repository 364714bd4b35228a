//! Stateful reconnect: what either end has to remember so that a connection survives the loss of its socket.
//!
//! ```text
//!   sent  1 … a │ a+1 … s            received  1 … r │ r+1 …
//!   acknowledged│kept: sent again              └─ Ack(r), a second after the first that lacks one
//!                 └─ Sequence(a+1) opens a new socket
//! ```
//!
//! Messages of types 1 to 5 are counted, each direction from 1 on and across all sockets of the connection. The
//! sender keeps what the receiver has not acknowledged. On a new socket it first sends a Sequence with the number
//! of the message that comes next, then all it kept; the receiver drops what it has already.
//!
//! Source: the official clients. [HubProtocol.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md)
//! says that a Sequence carries the highest number sent plus one; they send the first one that is not acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::message::Head;
use crate::core::{Moment, ProtocolError};

/// How many bytes are kept before sending waits for acknowledgements, unless said otherwise.
pub const DEFAULT_BUFFER_SIZE: usize = 100_000;

/// An acknowledgement goes out so long after the first message that lacks one.
pub const ACK_DELAY: Duration = Duration::from_secs(1);

/// Both directions of one connection. `M` is a message as it goes to the socket.
///
/// Order of calls: [`handle_sent`](Self::handle_sent) for each counted message that is sent or, without a socket,
/// would be; [`handle_message`](Self::handle_message) for each that comes; [`handle_timeout`](Self::handle_timeout)
/// at [`poll_timeout`](Self::poll_timeout); [`resume`](Self::resume) when there is a new socket.
#[derive(Debug)]
pub struct MessageBuffer<M> {
    /// Sent and not acknowledged, with their sizes.
    kept: VecDeque<(M, usize)>,
    /// Of all that is kept, in bytes.
    size: usize,
    limit: usize,
    /// How many were sent in all.
    sent: i64,
    /// The number of the message that comes next on this socket.
    expected: i64,
    /// The highest number that came.
    received: i64,
    ack_at: Option<Moment>,
    /// One message may be sent although the buffer is full.
    overdraft: bool,
}

/// What a message that came is to its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is to be processed.
    New,
    /// It was processed already.
    Duplicate,
    /// It was an Ack or a Sequence, and has been handled.
    Bookkeeping,
}

impl<M> MessageBuffer<M> {
    /// For a new connection. `limit` is in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            size: 0,
            limit,
            sent: 0,
            expected: 1,
            received: 0,
            ack_at: None,
            overdraft: false,
        }
    }

    /// Whether a message of this type is counted.
    #[must_use]
    pub fn counts(head: Head<'_>) -> bool {
        matches!(head, Head::Call { .. } | Head::Item { .. } | Head::End { .. } | Head::Cancellation { .. })
    }

    /// Keeps a counted message of `size` bytes.
    pub fn handle_sent(&mut self, message: M, size: usize) {
        self.sent += 1;
        if self.size >= self.limit {
            self.overdraft = false;
        }
        self.size += size;
        self.kept.push_back((message, size));
    }

    /// How many bytes wait for their acknowledgement.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether sending has to wait for acknowledgements.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.size >= self.limit && !self.overdraft
    }

    /// Takes a message that came, and says whether it is to be processed.
    ///
    /// # Errors
    /// [`ProtocolError::Sequence`] if the peer acknowledges what was not sent, or skips what was not received.
    pub fn handle_message(&mut self, now: Moment, head: Head<'_>) -> Result<Receipt, ProtocolError> {
        match head {
            Head::Ack { sequence_id } => {
                self.handle_ack(sequence_id)?;
                return Ok(Receipt::Bookkeeping);
            }
            // A number below 1 would make every later message a duplicate. One above `expected` is right
            // when the last socket was lost among messages that were sent again, and acknowledged already.
            Head::Sequence { sequence_id } => {
                if !(1..=self.received + 1).contains(&sequence_id) {
                    return Err(ProtocolError::Sequence { sequence_id });
                }
                self.expected = sequence_id;
                return Ok(Receipt::Bookkeeping);
            }
            head if !Self::counts(head) => return Ok(Receipt::New),
            _ => {}
        }
        let number = self.expected;
        self.expected += 1;
        let new = number > self.received;
        self.received = self.received.max(number);
        // A duplicate says that the last acknowledgement was lost.
        self.ack_at.get_or_insert(now + ACK_DELAY);
        Ok(if new { Receipt::New } else { Receipt::Duplicate })
    }

    fn handle_ack(&mut self, sequence_id: i64) -> Result<(), ProtocolError> {
        if !(0..=self.sent).contains(&sequence_id) {
            return Err(ProtocolError::Sequence { sequence_id });
        }
        while self.first_kept() <= sequence_id
            && let Some((_, size)) = self.kept.pop_front()
        {
            self.size -= size;
        }
        self.overdraft &= self.size >= self.limit;
        Ok(())
    }

    /// The number of the first message that is kept, or of the next one to send.
    fn first_kept(&self) -> i64 {
        self.sent + 1 - i64::try_from(self.kept.len()).unwrap_or(i64::MAX)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.ack_at
    }

    /// The number to acknowledge now, if it is time.
    pub fn handle_timeout(&mut self, now: Moment) -> Option<i64> {
        self.ack_at.take_if(|at| now >= *at).map(|_| self.received)
    }

    /// There is a new socket: the number for the Sequence message, and the messages to send after it, in order.
    ///
    /// No acknowledgement is repeated, though the last one may have been lost with the socket: ASP.NET Core takes one
    /// that comes while its buffer is empty for an acknowledgement of what it sends later. Where it was lost, the peer
    /// sends messages again, and these duplicates are acknowledged.
    ///
    /// The peer's last acknowledgement may have been lost as well. ASP.NET Core does not repeat it for duplicates, so
    /// that a full buffer would stay full: one more message may be sent, whose acknowledgement covers them all.
    pub fn resume(&mut self, now: Moment) -> (i64, impl Iterator<Item = &M>) {
        if self.ack_at.is_some() {
            self.ack_at = Some(now + ACK_DELAY);
        }
        self.overdraft = self.size >= self.limit;
        (self.first_kept(), self.kept.iter().map(|(message, _)| message))
    }
}

#[cfg(test)]
mod tests {
    use super::Receipt::{Bookkeeping, Duplicate, New};
    use super::*;
    use crate::core::message::HubMessage;

    const NOW: Moment = Moment::from_epoch(Duration::from_secs(100));

    fn item<'a>(n: &'a str) -> HubMessage<'a, &'a str> {
        HubMessage::StreamItem { headers: vec![], invocation_id: "1".into(), item: n }
    }

    fn sequence<'a>(sequence_id: i64) -> HubMessage<'a, &'a str> {
        HubMessage::Sequence { sequence_id }
    }

    fn ack<'a>(sequence_id: i64) -> HubMessage<'a, &'a str> {
        HubMessage::Ack { sequence_id }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again() {
        let mut buffer = MessageBuffer::new(10);
        for message in ["one", "two", "three"] {
            buffer.handle_sent(message, message.len());
        }
        assert!(buffer.is_full());
        assert_eq!(buffer.handle_message(NOW, ack(2).head()), Ok(Bookkeeping));
        assert!(!buffer.is_full());
        let (next, kept) = buffer.resume(NOW);
        assert_eq!((next, kept.copied().collect::<Vec<_>>()), (3, vec!["three"]));
        assert_eq!(buffer.handle_message(NOW, ack(3).head()), Ok(Bookkeeping));
        let (next, mut kept) = buffer.resume(NOW);
        assert_eq!((next, kept.next()), (4, None));
    }

    #[test]
    fn duplicates_are_dropped_and_acknowledged_again() {
        let mut buffer = MessageBuffer::<()>::new(10);
        for n in ["1", "2", "3"] {
            assert_eq!(buffer.handle_message(NOW, item(n).head()), Ok(New));
        }
        assert_eq!(buffer.poll_timeout(), Some(NOW + ACK_DELAY));
        assert_eq!(buffer.handle_timeout(NOW), None);
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY), Some(3));
        assert_eq!(buffer.poll_timeout(), None);
        assert_eq!(buffer.handle_message(NOW, sequence(2).head()), Ok(Bookkeeping));
        assert_eq!(buffer.handle_message(NOW, item("2").head()), Ok(Duplicate));
        assert_eq!(buffer.handle_message(NOW, item("3").head()), Ok(Duplicate));
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY), Some(3));
        assert_eq!(buffer.handle_message(NOW, HubMessage::<&str>::Ping.head()), Ok(New));
        assert_eq!(buffer.handle_message(NOW, item("4").head()), Ok(New));
    }

    /// The official clients close the connection here.
    #[test]
    fn a_socket_that_is_lost_in_the_middle_of_what_was_sent_again() {
        let mut buffer = MessageBuffer::<()>::new(10);
        for n in ["1", "2", "3"] {
            assert_eq!(buffer.handle_message(NOW, item(n).head()), Ok(New));
        }
        // The first new socket brings the first message again, and takes the acknowledgement of all three.
        assert_eq!(buffer.handle_message(NOW, sequence(1).head()), Ok(Bookkeeping));
        assert_eq!(buffer.handle_message(NOW, item("1").head()), Ok(Duplicate));
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY), Some(3));
        // So the second begins behind them.
        assert_eq!(buffer.handle_message(NOW, sequence(4).head()), Ok(Bookkeeping));
        assert_eq!(buffer.handle_message(NOW, item("4").head()), Ok(New));
    }

    /// A negative number would make every later message a duplicate; the official clients take it.
    #[test]
    fn hostile_numbers_are_refused() {
        let mut buffer = MessageBuffer::new(10);
        buffer.handle_sent((), 1);
        assert_eq!(buffer.handle_message(NOW, item("1").head()), Ok(New));
        for bad in [i64::MIN, -1, 0, 3, i64::MAX] {
            let refused = Err(ProtocolError::Sequence { sequence_id: bad });
            assert_eq!(buffer.handle_message(NOW, sequence(bad).head()), refused);
        }
        for bad in [i64::MIN, -1, 2, i64::MAX] {
            let refused = Err(ProtocolError::Sequence { sequence_id: bad });
            assert_eq!(buffer.handle_message(NOW, ack(bad).head()), refused);
        }
        assert_eq!(buffer.handle_message(NOW, sequence(2).head()), Ok(Bookkeeping));
        assert_eq!(buffer.handle_message(NOW, ack(1).head()), Ok(Bookkeeping));
    }

    /// ASP.NET Core takes an acknowledgement that comes while its buffer is empty for one of what it sends later.
    #[test]
    fn nothing_is_acknowledged_twice_unless_it_came_twice() {
        let mut buffer = MessageBuffer::<()>::new(100);
        assert_eq!(buffer.handle_message(NOW, item("1").head()), Ok(New));
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY), Some(1));
        assert_eq!(buffer.resume(NOW).0, 1);
        assert_eq!(buffer.poll_timeout(), None);
        assert_eq!(buffer.handle_message(NOW, sequence(1).head()), Ok(Bookkeeping));
        assert_eq!(buffer.handle_message(NOW, item("1").head()), Ok(Duplicate));
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY), Some(1));
        assert_eq!(buffer.poll_timeout(), None);
        // What was never acknowledged still is, though not before the peer has begun to speak on the new socket.
        assert_eq!(buffer.handle_message(NOW, item("2").head()), Ok(New));
        let _ = buffer.resume(NOW + ACK_DELAY / 2);
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY), None);
        assert_eq!(buffer.handle_timeout(NOW + ACK_DELAY * 3 / 2), Some(2));
    }

    #[test]
    fn a_full_buffer_lets_one_message_through_after_a_resume() {
        let mut buffer = MessageBuffer::new(10);
        buffer.handle_sent("0123456789", 10);
        assert!(buffer.is_full());
        let _ = buffer.resume(NOW);
        assert!(!buffer.is_full());
        buffer.handle_sent("x", 1);
        assert!(buffer.is_full());
        assert_eq!(buffer.handle_message(NOW, ack(2).head()), Ok(Bookkeeping));
        assert!(!buffer.is_full());
        buffer.handle_sent("0123456789", 10);
        assert!(buffer.is_full(), "only after a resume");
        let _ = buffer.resume(NOW);
        assert_eq!(buffer.handle_message(NOW, ack(3).head()), Ok(Bookkeeping));
        buffer.handle_sent("0123456789", 10);
        assert!(buffer.is_full(), "and only as long as it is needed");
    }
}
