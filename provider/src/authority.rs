//! Serves drivers up to 1.5.6, which send the socket's path as `:authority`.
//!
//! h2 takes a path there for a malformed request and resets the stream before any service runs
//! (hyperium/h2#487; the driver changed in kubernetes-sigs/secrets-store-csi-driver#1953). So a filter
//! before h2 swaps `/` for `.` and `%` for `-` inside that one literal: no length changes, and the
//! header tables of both sides stay in step. What the filter does not understand passes unchanged, for
//! h2 to judge. No other header is touched, and nothing that is sent.

mod hpack;
mod rewriter;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tracing::info;

use rewriter::{MAX_HELD, Rewriter};

/// One held HEADERS payload and, behind it, room for the next read.
const BUFFER_SIZE: usize = 2 * MAX_HELD;

/// An accepted stream whose reader never meets a path as `:authority`.
///
/// Bytes come out as many as went in and in the same order; at most one incomplete HEADERS frame is
/// held back, which HTTP/2 could not act upon either. At the end of the stream a held rest is handed
/// out as it is. The first rewrite of a connection is told in one line at INFO.
pub struct AuthorityFilter<S> {
    inner: S,
    rewriter: Rewriter,
    announced: bool,
    /// `start..released` can be handed out, `released..end` is held back.
    buffer: Box<[u8]>,
    start: usize,
    released: usize,
    end: usize,
}

impl<S> AuthorityFilter<S> {
    /// Filters what is read from `inner`, which must be at the first byte of its connection.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            rewriter: Rewriter::new(),
            announced: false,
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
            start: 0,
            released: 0,
            end: 0,
        }
    }

    /// The stream below, to ask it about its peer.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    fn hand_out(&mut self, into: &mut ReadBuf<'_>) {
        let length = (self.released - self.start).min(into.remaining());
        into.put_slice(&self.buffer[self.start..self.start + length]);
        self.start += length;
    }

    fn release(&mut self) {
        let released = self
            .rewriter
            .release(&mut self.buffer[self.start..self.end]);
        self.released = self.start + released;
        if self.rewriter.rewrote() && !self.announced {
            self.announced = true;
            info!(
                "the caller sends a path as :authority, as Secrets Store CSI driver 1.5.6 and older do; \
                 it is served, and driver 1.6.0 or newer ends this"
            );
        }
    }
}

impl<S: AsyncRead + Unpin> AuthorityFilter<S> {
    /// Reads once behind what is held back and returns how many bytes came; zero at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.released = 0;
        let mut space = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut space))?;
        let length = space.filled().len();
        self.end += length;
        Poll::Ready(Ok(length))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AuthorityFilter<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.start == this.released {
            if ready!(this.poll_fill(cx))? > 0 {
                this.release();
            } else {
                this.released = this.end;
                break;
            }
        }
        this.hand_out(buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AuthorityFilter<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<S: Connected> Connected for AuthorityFilter<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.inner.connect_info()
    }
}

#[cfg(test)]
mod tests;
