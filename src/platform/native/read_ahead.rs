//! Reads a socket in large pieces without a large buffer for each: a connection that is idle takes none.
//!
//! tungstenite allocates its read buffer when it begins to wait, so that a thousand idle connections hold a thousand
//! buffers. It gets a small one here; what a read brings beyond that is kept until it is asked for.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Bytes;

/// How much is read from a socket at a time.
const READ: usize = 32 * 1024;

thread_local! {
    /// Where a thread reads into.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A connection that is read ahead.
pub(super) struct ReadAhead<S> {
    inner: S,
    /// What was read and not asked for yet.
    ahead: Bytes,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, ahead: Bytes::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() && buf.remaining() >= READ {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        if self.ahead.is_empty() {
            let inner = Pin::new(&mut self.inner);
            let rest = ready!(SCRATCH.with(|scratch| -> Poll<io::Result<Bytes>> {
                let mut scratch = scratch.borrow_mut();
                let mut read = ReadBuf::new(&mut scratch);
                ready!(inner.poll_read(cx, &mut read))?;
                let (now, later) = read.filled().split_at(read.filled().len().min(buf.remaining()));
                buf.put_slice(now);
                Poll::Ready(Ok(Bytes::copy_from_slice(later)))
            }))?;
            self.ahead = rest;
            return Poll::Ready(Ok(()));
        }
        let length = self.ahead.len().min(buf.remaining());
        let now = self.ahead.split_to(length);
        buf.put_slice(&now);
        if self.ahead.is_empty() {
            // Its memory as well.
            self.ahead = Bytes::new();
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
            assert!(ours.ahead.is_empty());
        }
    }
}
