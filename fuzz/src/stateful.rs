//! Two ends of a connection whose sockets get lost, with whatever was on its way. Nothing is lost, doubled or out of
//! order. Then an end whose peer makes its numbers up.

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::Unstructured;
use hubwire::core::message::HubMessage;
use hubwire::core::stateful::{ACK_DELAY, MessageBuffer, Receipt};
use hubwire::core::{Moment, ProtocolError};

/// In bytes; a message has one to four.
const LIMIT: usize = 20;

pub(crate) fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let data = &mut Unstructured::new(data);
    if first % 2 == 0 {
        let mut pair = Pair::default();
        while !data.is_empty() && pair.operate(data).is_ok() {}
        pair.finish();
    } else {
        let _ = made_up(data);
    }
}

/// What travels: a message by its number, or a word about numbers.
#[derive(Debug, Clone, Copy)]
enum Frame {
    Message(u32),
    Ping,
    Ack(i64),
    Sequence(i64),
}

impl Frame {
    fn message(self) -> HubMessage<'static, u32> {
        match self {
            Self::Message(item) => {
                HubMessage::StreamItem { headers: vec![], invocation_id: "1".into(), item }
            }
            Self::Ping => HubMessage::Ping,
            Self::Ack(sequence_id) => HubMessage::Ack { sequence_id },
            Self::Sequence(sequence_id) => HubMessage::Sequence { sequence_id },
        }
    }
}

struct End {
    buffer: MessageBuffer<u32>,
    /// How many it has sent.
    sent: u32,
    /// How many of the other's it has processed.
    processed: u32,
    /// On the socket, towards the other end.
    on_the_way: VecDeque<Frame>,
}

#[derive(Default)]
struct Pair {
    ends: [End; 2],
    now: Moment,
    no_socket: bool,
    sockets: usize,
}

impl Default for End {
    fn default() -> Self {
        Self { buffer: MessageBuffer::new(LIMIT), sent: 0, processed: 0, on_the_way: VecDeque::new() }
    }
}

impl Pair {
    fn operate(&mut self, data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let code = data.int_in_range(0..=13_u8)?;
        let end = usize::from(code % 2);
        match code / 2 {
            0 | 1 => self.send(end),
            2 | 3 => {
                for _ in 0..data.int_in_range(0..=20)? {
                    self.deliver(end);
                }
            }
            4 => self.transmit(end, Frame::Ping),
            5 => {
                self.now += Duration::from_millis(data.int_in_range(0..=2_000)?);
                self.time_passes();
            }
            _ if self.no_socket => self.new_socket(),
            _ => {
                self.no_socket = true;
                self.ends.iter_mut().for_each(|end| end.on_the_way.clear());
            }
        }
        Ok(())
    }

    fn transmit(&mut self, end: usize, frame: Frame) {
        if !self.no_socket {
            self.ends[end].on_the_way.push_back(frame);
        }
    }

    /// A well-behaved end does not send when its buffer is full.
    fn send(&mut self, end: usize) {
        let End { buffer, sent, .. } = &mut self.ends[end];
        if !buffer.is_full() {
            let number = *sent;
            *sent += 1;
            buffer.handle_sent(number, 1 + number as usize % 4);
            // The last message may pass the limit, and one more after each new socket.
            assert!(buffer.size() < LIMIT + 4 * (1 + self.sockets), "unbounded");
            self.transmit(end, Frame::Message(number));
        }
    }

    fn deliver(&mut self, from: usize) {
        let Some(frame) = self.ends[from].on_the_way.pop_front() else { return };
        let to = &mut self.ends[1 - from];
        let receipt = to.buffer.handle_message(self.now, frame.message().head()).expect("an honest peer");
        match (frame, receipt) {
            (Frame::Message(number), Receipt::New) => {
                assert_eq!(number, to.processed, "out of order");
                to.processed += 1;
            }
            (Frame::Message(number), Receipt::Duplicate) => assert!(number < to.processed, "lost"),
            (Frame::Ping, Receipt::New) | (Frame::Ack(_) | Frame::Sequence(_), Receipt::Bookkeeping) => {}
            _ => panic!("{frame:?} is {receipt:?}"),
        }
    }

    fn new_socket(&mut self) {
        self.no_socket = false;
        self.sockets += 1;
        for End { buffer, on_the_way, sent, .. } in &mut self.ends {
            let (next, kept) = buffer.resume(self.now);
            on_the_way.clear();
            on_the_way.push_back(Frame::Sequence(next));
            on_the_way.extend(kept.copied().map(Frame::Message));
            assert_eq!(on_the_way.len() as i64, i64::from(*sent) + 2 - next);
        }
    }

    fn time_passes(&mut self) {
        for end in 0..2 {
            let buffer = &mut self.ends[end].buffer;
            let due = buffer.poll_timeout().is_some_and(|at| at <= self.now);
            let ack = buffer.handle_timeout(self.now);
            assert_eq!(ack.is_some(), due);
            assert!(buffer.poll_timeout().is_none_or(|at| at > self.now && at <= self.now + ACK_DELAY));
            if let Some(sequence_id) = ack {
                assert_eq!(sequence_id, i64::from(self.ends[end].processed));
                self.transmit(end, Frame::Ack(sequence_id));
            }
        }
    }

    /// The network has become reliable: everything arrives, and nothing is kept.
    fn finish(mut self) {
        self.new_socket();
        for _ in 0..2 {
            for end in 0..2 {
                while !self.ends[end].on_the_way.is_empty() {
                    self.deliver(end);
                }
            }
            self.now += ACK_DELAY;
            self.time_passes();
        }
        let [one, other] = &mut self.ends;
        assert_eq!((one.sent, other.sent), (other.processed, one.processed));
        for end in [one, other] {
            assert!(!end.buffer.is_full());
            assert_eq!(end.buffer.size(), 0);
            assert_eq!(end.buffer.resume(self.now).1.count(), 0);
        }
    }
}

/// Impossible numbers are refused, and possible ones change nothing else.
fn made_up(data: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut buffer = MessageBuffer::new(LIMIT);
    let (mut sent, mut acknowledged, mut received, mut next) = (0_i64, 0_i64, 0_i64, 1_i64);
    while !data.is_empty() {
        let number = match data.int_in_range(0..=2)? {
            0 => data.arbitrary::<i64>()?,
            _ => data.int_in_range(-2..=20)?,
        };
        let (frame, possible) = match data.int_in_range(0..=3)? {
            0 => {
                sent += 1;
                buffer.handle_sent(0, 1);
                continue;
            }
            1 => (Frame::Message(0), true),
            2 => (Frame::Ack(number), (0..=sent).contains(&number)),
            _ => (Frame::Sequence(number), (1..=received + 1).contains(&number)),
        };
        match buffer.handle_message(Moment::ZERO, frame.message().head()) {
            Ok(receipt) => {
                assert!(possible, "{frame:?}");
                let bookkeeping = matches!(frame, Frame::Ack(_) | Frame::Sequence(_));
                assert_eq!(receipt == Receipt::Bookkeeping, bookkeeping, "{frame:?}");
                match frame {
                    Frame::Ack(number) => acknowledged = acknowledged.max(number),
                    Frame::Sequence(number) => next = number,
                    _ => {
                        assert_eq!(receipt == Receipt::New, next > received);
                        received = received.max(next);
                        next += 1;
                    }
                }
            }
            Err(error) => {
                assert_eq!(error, ProtocolError::Sequence { sequence_id: number });
                assert!(!possible, "{frame:?}");
                return Ok(());
            }
        }
        let (first, kept) = buffer.resume(Moment::ZERO);
        assert_eq!((first, kept.count() as i64), (acknowledged + 1, sent - acknowledged));
    }
    Ok(())
}
