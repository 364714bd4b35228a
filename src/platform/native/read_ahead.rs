//! Reads a socket in large pieces without a large buffer for each: a connection that is idle takes none.
//!
//! tungstenite allocates its read buffer when it begins to wait, so that a thousand idle connections hold a thousand
//! buffers. It gets a small one here; what a read brings beyond that is kept until it is asked for, in a buffer that goes
//! from one connection of a thread to the next.

use std::cell::Cell;
use std::io;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read from a socket at a time.
const READ: usize = 64 * 1024;

thread_local! {
    /// A buffer of a thread that no connection holds anything in.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A connection that is read ahead.
pub(super) struct ReadAhead<S> {
    inner: S,
    /// Empty while nothing is read ahead.
    buffer: Vec<u8>,
    /// What in it was not asked for yet.
    ahead: Range<usize>,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, buffer: Vec::new(), ahead: 0..0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() {
            if buf.remaining() >= READ {
                return Pin::new(&mut this.inner).poll_read(cx, buf);
            }
            let mut buffer = SPARE.take();
            buffer.resize(READ, 0);
            let mut read = ReadBuf::new(&mut buffer);
            let polled = Pin::new(&mut this.inner).poll_read(cx, &mut read);
            this.ahead = 0..read.filled().len();
            if !matches!(polled, Poll::Ready(Ok(()))) || this.ahead.is_empty() {
                SPARE.set(buffer);
                return polled;
            }
            this.buffer = buffer;
        }
        let asked = this.ahead.start..this.ahead.end.min(this.ahead.start + buf.remaining());
        this.ahead.start = asked.end;
        buf.put_slice(this.buffer.get(asked).unwrap_or_default());
        if this.ahead.is_empty() {
            SPARE.set(mem::take(&mut this.buffer));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn everything_comes_in_order_however_little_is_asked_for() {
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for asked in [1, 7, 2048, READ - 1, READ, 100_000] {
            let (ours, mut theirs) = duplex(60_000);
            let mut ours = ReadAhead::new(ours);
            let writing = async {
                theirs.write_all(&sent).await.unwrap();
                drop(theirs);
            };
            let reading = async {
                let (mut got, mut buffer) = (Vec::new(), vec![0; asked]);
                loop {
                    match ours.read(&mut buffer).await.unwrap() {
                        0 => return got,
                        n => got.extend_from_slice(&buffer[..n]),
                    }
                }
            };
            let (got, ()) = futures_util::join!(reading, writing);
            assert!(got == sent, "{asked} at a time");
            assert!(ours.ahead.is_empty() && ours.buffer.is_empty());
        }
    }
}
