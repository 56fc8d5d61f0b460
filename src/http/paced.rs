//! A body that has to come.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    extract::Request,
};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A request whose body breaks off once nothing of it has come for so long.
pub(crate) fn paced(request: Request, pause: Duration) -> Request {
    request.map(|body| {
        Body::new(Paced {
            body,
            pause,
            waiting: None,
        })
    })
}

struct Paced {
    body: Body,
    pause: Duration,
    /// Set only while nothing comes.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let pause = self.pause;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(waiting.as_mut().poll(cx));
        let why = format!("nothing of the body has come for {pause:?}");
        let failed = io::Error::new(io::ErrorKind::TimedOut, why);
        Poll::Ready(Some(Err(failed.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
