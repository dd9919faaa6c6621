//! A socket that gives up: on a peer that sends nothing when something is due, and on one that takes
//! nothing when something is ready for it.

use std::{
    future::Future,
    io::{Error, ErrorKind, IoSlice, Result},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::pulse::{AtEnd, Pulse};
use crate::server::limits::Limits;

/// The socket.
pub(super) struct Guarded<S> {
    stream: S,
    pulse: Arc<Pulse>,
    limits: Arc<Limits>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, limits: Arc<Limits>) -> Self {
        Self {
            stream,
            pulse,
            limits,
            read_timer: None,
            write_timer: None,
        }
    }

    /// Nothing to read: is that too much?
    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.pulse.register(cx.waker());
        while let Some((at, end)) = self.pulse.due(&self.limits) {
            ready!(poll_until(&mut self.read_timer, at, cx));
            match end {
                AtEnd::Cut => return Poll::Ready(Err(timed_out())),
                // The next time is later, and that is the end.
                AtEnd::Leave => self.pulse.ask_to_leave(),
            }
        }
        Poll::Pending
    }

    /// A write's outcome, or the end of the peer's time to take it.
    fn or_stalled<T>(&mut self, written: Poll<Result<T>>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let at = match &self.write_timer {
            Some(timer) => timer.deadline(),
            None => Instant::now() + self.limits.write_timeout,
        };
        ready!(poll_until(&mut self.write_timer, at, cx));
        Poll::Ready(Err(timed_out()))
    }
}

fn poll_until(timer: &mut Option<Pin<Box<Sleep>>>, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
    if timer.deadline() != at {
        timer.as_mut().reset(at);
    }
    timer.as_mut().poll(cx)
}

fn timed_out() -> Error {
    ErrorKind::TimedOut.into()
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if self.pulse.heard(&buffer.filled()[before..]) {
                    Poll::Ready(result)
                } else {
                    Poll::Ready(Err(ErrorKind::OutOfMemory.into()))
                }
            }
            Poll::Pending => self.wait_to_read(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_stalled(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.or_stalled(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_stalled(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_stalled(closed, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::LoadShed, server::listener::shared::Shared};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn guarded<S>(stream: S) -> Guarded<S> {
        let limits = Arc::new(Limits::default());
        let shared = Arc::new(Shared::new(Arc::clone(&limits), LoadShed::default()));
        Guarded::new(stream, Arc::new(Pulse::new(None, shared)), limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_socket_ends_after_the_first_byte_timeout() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut socket = guarded(ours);
        let start = Instant::now();
        let error = socket.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_ends_the_connection() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut socket = guarded(ours);
        let start = Instant::now();
        let error = socket.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
