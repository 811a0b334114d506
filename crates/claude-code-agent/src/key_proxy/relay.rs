//! The body of an answer, on its way from the API to the CLI.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::lease::Grant;

/// Passes pieces on as they come. It breaks when the API's stream breaks and when the lease ends.
pub(super) struct Relay {
    body: reqwest::Body,
    grant: Arc<Grant>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    /// To be told at the next poll.
    broken: Option<Broken>,
    /// Whether something is to come, and nothing has: an answer that ends like that broke off before it began.
    awaited: bool,
}

/// Why the CLI's stream breaks.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the stream of the model's API broke")]
    Api(#[source] Box<dyn Error + Send + Sync>),
    #[error("the lease ended")]
    LeaseEnded,
}

impl Relay {
    /// `awaited` says whether an answer without a body is none.
    pub(super) fn new(body: reqwest::Body, grant: &Arc<Grant>, awaited: bool) -> Self {
        // Of an empty body nothing is asked any more.
        grant.breaks_off(awaited && body.is_end_stream());
        Self {
            body,
            grant: grant.clone(),
            ended: Box::pin(grant.ended.clone().cancelled_owned()),
            broken: None,
            awaited,
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::LeaseEnded)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match frame.transpose() {
            Ok(frame) => {
                if frame.is_none() && self.awaited {
                    self.grant.breaks_off(true);
                }
                self.awaited = false;
                Poll::Ready(frame.map(Ok))
            }
            Err(error) => {
                // The server writes out what it has when there is nothing new to write. Told at once, it would
                // drop the last pieces with the connection.
                self.grant.breaks_off(true);
                self.broken = Some(Broken::Api(error.into()));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
