//! A socket with timeouts: it fails when the peer does not send what is due, or does not read what is ready for it.

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

use super::connection_state::{ConnectionState, TimeoutAction};

pub(super) struct TimeoutIo<S> {
    stream: S,
    state: Arc<ConnectionState>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> TimeoutIo<S> {
    pub(super) const fn new(stream: S, state: Arc<ConnectionState>) -> Self {
        Self {
            stream,
            state,
            read_timer: None,
            write_timer: None,
        }
    }

    /// Called when there is nothing to read: fails at the connection's deadline.
    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.state.register(cx.waker());
        while let Some((at, end)) = self.state.deadline() {
            ready!(poll_until(&mut self.read_timer, at, cx));
            match end {
                TimeoutAction::Abort => return Poll::Ready(Err(timed_out())),
                // The next deadline, that of the shutdown, aborts.
                TimeoutAction::Shutdown => self.state.begin_shutdown(),
            }
        }
        Poll::Pending
    }

    /// The result of a write, or a timeout if the peer does not read.
    fn or_stalled<T>(&mut self, written: Poll<Result<T>>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let at = match &self.write_timer {
            Some(timer) => timer.deadline(),
            None => Instant::now() + self.state.shared.limits.write_timeout,
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

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if self.state.receive(&buffer.filled()[before..]) {
                    Poll::Ready(result)
                } else {
                    Poll::Ready(Err(ErrorKind::OutOfMemory.into()))
                }
            }
            Poll::Pending => self.wait_to_read(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutIo<S> {
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
    use crate::{metrics::LoadShed, server::listener::memory_budget::Shared};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn timeout_io<S>(stream: S) -> TimeoutIo<S> {
        let shared = Arc::new(Shared::new(Arc::default(), LoadShed::default()));
        TimeoutIo::new(stream, Arc::new(ConnectionState::new(None, shared)))
    }

    #[tokio::test(start_paused = true)]
    async fn silent_socket_fails_after_the_first_byte_timeout() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut socket = timeout_io(ours);
        let start = Instant::now();
        let error = socket.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn write_fails_when_the_peer_does_not_read() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut socket = timeout_io(ours);
        let start = Instant::now();
        let error = socket.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
