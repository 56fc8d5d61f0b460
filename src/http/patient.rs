//! A stream whose other end has to read.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Fails to write once nothing has been taken for a while: else who never reads an answer that
/// has no end would keep its connection, and its place, for ever.
pub(crate) struct Patient<S> {
    stream: S,
    limit: Duration,
    /// Set only while nothing is taken.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            stuck: None,
        }
    }

    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let limit = self.limit;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
        let too_long = || {
            let why = format!("its peer has read nothing for {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        };
        stuck.as_mut().poll(cx).map(|()| too_long())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::{Instant, timeout},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn peer_that_reads_nothing_fails_the_write_after_the_limit_and_not_before() {
        let (ours, _theirs) = duplex(4);
        let mut stream = Patient::new(ours, LIMIT);
        stream.write_all(b"full").await.unwrap();
        let started = Instant::now();
        let failed = timeout(2 * LIMIT, stream.write_all(b"more")).await;
        let failed = failed.expect("it is given up").unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_reader_that_goes_on_reading_and_a_silent_one_are_let_be() {
        let (ours, mut theirs) = duplex(1);
        let mut stream = Patient::new(ours, LIMIT);
        let almost = LIMIT - Duration::from_millis(1);
        let (written, ()) = tokio::join!(stream.write_all(b"12345"), async {
            for _ in 0..5 {
                sleep(almost).await;
                theirs.read_u8().await.unwrap();
            }
        });
        written.unwrap();
        // Nothing is written: nothing has to be read.
        let silent = timeout(LIMIT * 10, stream.read_u8()).await;
        assert!(silent.is_err());
        stream.write_all(b"6").await.unwrap();
    }
}
