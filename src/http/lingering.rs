//! Request bodies with a time limit between pieces, and lingering close: a body which an early
//! refusal leaves unread is drained behind the answer's back, so that a client which is still
//! sending reads the answer instead of a broken pipe (clients.md, section 1, rule 2).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT};
use hyper::http::HeaderValue;
use hyper::{Request, Response, Version};
use tokio::time::{Instant, Sleep, sleep};

/// How much is drained, and for how long, before the connection is closed after all.
const DRAIN_BYTES: usize = 256 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// A request body, lent to a handler.
pub(super) struct Body {
    slot: Arc<Slot>,
    idle_timeout: Duration,
    idle: Option<Pin<Box<Sleep>>>,
}

/// Why a body ended early.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The next piece took too long.
    #[error("the client sends too slowly")]
    Idle,
    /// The connection broke, or the framing is wrong.
    #[error("the request body broke off")]
    Broken,
}

/// What stays when a handler has answered.
pub(super) struct Lingering {
    slot: Arc<Slot>,
    waits_for_continue: bool,
}

#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` once it has ended.
    incoming: Option<Incoming>,
    touched: bool,
}

/// Lends the body of a request to its handler.
pub(super) fn lend_body(
    request: Request<Incoming>,
    idle_timeout: Duration,
) -> (Request<Body>, Lingering) {
    let expect = request.headers().get(EXPECT);
    // Later versions end a request without ending the connection.
    let waits_for_continue = request.version() < Version::HTTP_2
        && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let slot = Arc::new(Slot::default());
    let lingering = Lingering {
        slot: slot.clone(),
        waits_for_continue,
    };
    let request = request.map(|incoming| {
        slot.lock().incoming = (!incoming.is_end_stream()).then_some(incoming);
        Body {
            slot,
            idle_timeout,
            idle: None,
        }
    });
    (request, lingering)
}

impl Body {
    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.slot.lock().incoming.is_none()
    }

    /// Bytes which are still to come at most; `None` if the client did not say.
    pub(super) fn announced_bytes(&self) -> Option<u64> {
        let state = self.slot.lock();
        let incoming = state.incoming.as_ref();
        incoming.map_or(Some(0), |incoming| incoming.size_hint().upper())
    }
}

impl Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.slot.poll(context);
        if polled.is_ready() {
            self.idle = None;
            return polled;
        }
        let timeout = self.idle_timeout;
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match idle.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Idle))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Slot {
    /// No code panics under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut state = self.lock();
        state.touched = true;
        loop {
            let Some(incoming) = &mut state.incoming else {
                return Poll::Ready(None);
            };
            match Pin::new(incoming).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers carry nothing for us.
                    if let Ok(piece) = frame.into_data() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a request body broke off");
                    state.incoming = None;
                    return Poll::Ready(Some(Err(BodyError::Broken)));
                }
                Poll::Ready(None) => state.incoming = None,
            }
        }
    }
}

impl Lingering {
    /// Drains what the handler left unread, while the answer is on its way.
    pub(super) fn drain<B>(self, answer: &mut Response<B>) {
        let mut state = self.slot.lock();
        let touched = state.touched;
        let Some(mut incoming) = state.incoming.take() else {
            return;
        };
        drop(state);
        if self.waits_for_continue && !touched {
            // The client has sent nothing yet and will not, once it has read the refusal.
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            return;
        }
        tokio::spawn(async move {
            let deadline = Instant::now() + DRAIN_TIME;
            let mut drained = 0;
            while drained < DRAIN_BYTES {
                let frame = tokio::time::timeout_at(deadline, incoming.frame()).await;
                let Ok(Some(Ok(frame))) = frame else { return };
                drained += frame.data_ref().map_or(0, Bytes::len);
            }
        });
    }
}
