//! One connection, from its first request to its last. On one of HTTP/1, requests whose answers are
//! ready are answered here; any other is given to hyper, and the connection with it until it is
//! answered, or for good.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustix::net::{SendFlags, send};
use store::OpenRendition;
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::App;
use super::connection::{Impatient, Language, WRITE_TIMEOUT, Wire};
use super::presence::{ClientLeft, Presence, Socket, Turn};
use super::ready::{Answer, Rest, Said};
use super::response::Response;

/// Heads up to this length are looked at here. Longer ones are hyper's.
const HEAD_MAX: usize = 4 << 10;

/// For the last words of TLS.
const FAREWELL: Duration = Duration::from_secs(1);

/// What every connection of a listener is served with.
#[derive(Clone)]
pub(super) struct Speaker<A> {
    pub(super) http1: Builder<TokioExecutor>,
    pub(super) http2: Builder<TokioExecutor>,
    /// Answers any request.
    pub(super) answer: A,
    /// Has answers which are ready.
    pub(super) app: Option<App>,
    /// How long a client may say nothing between two requests.
    pub(super) idle_timeout: Duration,
}

/// Whether the server ends.
pub(super) struct Ending(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

/// What comes after the requests whose answers were ready.
enum Next {
    /// The client left, or is to leave.
    End,
    /// The rest of an answer of which so many bytes are written.
    Rest(Answer, usize),
    /// This is for hyper, and whether it is one request and no more.
    Ask(Vec<u8>, bool),
}

impl Ending {
    /// It ends when there is nobody left to send.
    pub(super) fn of(mut ended: watch::Receiver<()>) -> Self {
        Self(Some(Box::pin(async move {
            while ended.changed().await.is_ok() {}
        })))
    }

    fn is_here(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(end) = &mut self.0
            && end.as_mut().poll(context).is_ready()
        {
            self.0 = None;
        }
        self.0.is_none()
    }

    /// Returns when it is here.
    pub(super) async fn wait(&mut self) {
        poll_fn(|context| {
            if self.is_here(context) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl<A, F> Speaker<A>
where
    A: Fn(Request<Incoming>, Presence) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response, ClientLeft>> + Send + 'static,
{
    /// Answers until the client leaves or the server ends.
    pub(super) async fn converse(self, client: Presence, language: Language, ending: &mut Ending) {
        let Some(app) = self.app.as_ref().filter(|_| language == Language::Http1) else {
            self.leave_to_hyper(&client, language, Vec::new(), ending)
                .await;
            return;
        };
        loop {
            match self.answer_ready(app, &client, ending).await {
                Next::End => break,
                Next::Rest(answer, written) => {
                    if write_rest(&client, &answer, written).await.is_err() {
                        break;
                    }
                }
                Next::Ask(said, is_alone) => {
                    client.lock().turn = if is_alone { Turn::Asked } else { Turn::Kept };
                    self.leave_to_hyper(&client, language, said, ending).await;
                    if client.lock().turn != Turn::Over {
                        return;
                    }
                }
            }
        }
        let farewell =
            poll_fn(|context| Pin::new(&mut client.lock().stream).poll_shutdown(context));
        // Nobody listens any more.
        let _ = timeout(FAREWELL, farewell).await;
    }

    /// Returns when the turn of hyper is over, or with it the connection.
    async fn leave_to_hyper(
        &self,
        client: &Presence,
        language: Language,
        said: Vec<u8>,
        ending: &mut Ending,
    ) {
        let service = service_fn(|request| {
            let answer = (self.answer)(request, client.clone());
            let client = client.clone();
            async move {
                let answer = answer.await;
                client.answered();
                answer
            }
        });
        let builder = match language {
            Language::Http1 => &self.http1,
            Language::Http2 => &self.http2,
        };
        let stream = TokioIo::new(Impatient::new(client.clone(), said));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut told = false;
        let ended = poll_fn(|context| {
            // First what was said before: told of the end, it hears nothing it has not begun to hear.
            let mut polled = connection.as_mut().poll(context);
            if polled.is_pending() && !told && ending.is_here(context) {
                connection.as_mut().graceful_shutdown();
                told = true;
                polled = connection.as_mut().poll(context);
            }
            match polled {
                Poll::Pending if client.lock().turn == Turn::Over => Poll::Ready(Ok(())),
                polled => polled,
            }
        });
        if let Err(error) = ended.await {
            tracing::debug!(error, "a connection ended early");
        }
    }

    async fn answer_ready(&self, app: &App, client: &Presence, ending: &mut Ending) -> Next {
        let mut last = Instant::now();
        let mut idle = pin!(sleep(self.idle_timeout));
        poll_fn(|context| {
            let mut socket = client.lock();
            while let Poll::Ready(next) = answer_one(app, &mut socket, context) {
                match next {
                    Some(next) => return Poll::Ready(next),
                    None => last = Instant::now(),
                }
            }
            drop(socket);
            if ending.is_here(context) {
                return Poll::Ready(Next::End);
            }
            // Set once in a while and not with each answer.
            while idle.as_mut().poll(context).is_ready() {
                let until = last + self.idle_timeout;
                if until <= Instant::now() {
                    return Poll::Ready(Next::End);
                }
                idle.as_mut().reset(until);
            }
            Poll::Pending
        })
        .await
    }
}

/// Reads what the client says, and answers it if the answer is ready and taken at once.
fn answer_one(app: &App, socket: &mut Socket, context: &mut Context<'_>) -> Poll<Option<Next>> {
    let mut bytes = [MaybeUninit::uninit(); HEAD_MAX];
    let mut said = ReadBuf::uninit(&mut bytes);
    let read = ready!(Pin::new(&mut socket.stream).poll_read(context, &mut said));
    let said = said.filled();
    if read.is_err() || said.is_empty() {
        return Poll::Ready(Some(Next::End));
    }
    let can_send_files = matches!(socket.stream, Wire::Plain(_));
    let answer = match app.judge(said, can_send_files) {
        Said::Alone(Some(answer)) => answer,
        Said::Alone(None) => return Poll::Ready(Some(Next::Ask(said.to_vec(), true))),
        Said::Other => return Poll::Ready(Some(Next::Ask(said.to_vec(), false))),
    };
    let mut written = 0;
    while written < answer.len() {
        match write_piece(socket, context, &answer, written) {
            Poll::Ready(Ok(count)) => written += count,
            Poll::Ready(Err(_)) => return Poll::Ready(Some(Next::End)),
            Poll::Pending => break,
        }
    }
    let is_written = written == answer.len()
        && matches!(
            Pin::new(&mut socket.stream).poll_flush(context),
            Poll::Ready(Ok(()))
        );
    Poll::Ready((!is_written).then_some(Next::Rest(answer, written)))
}

async fn write_rest(client: &Presence, answer: &Answer, mut written: usize) -> io::Result<()> {
    while written < answer.len() {
        let piece = poll_fn(|context| write_piece(&mut client.lock(), context, answer, written));
        written += timeout(WRITE_TIMEOUT, piece).await??;
    }
    let flushed = poll_fn(|context| Pin::new(&mut client.lock().stream).poll_flush(context));
    timeout(WRITE_TIMEOUT, flushed).await?
}

/// Sends some bytes more, from the head if there are any left of it, else from the file.
fn poll_send(
    stream: &TcpStream,
    context: &mut Context<'_>,
    head: &[u8],
    file: &OpenRendition,
    from: u64,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(context))?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            if head.is_empty() {
                file.send(stream.as_fd(), from)
            } else {
                Ok(send(stream, head, SendFlags::MORE | SendFlags::NOSIGNAL)?)
            }
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}

/// Writes some bytes more, at least one.
fn write_piece(
    socket: &mut Socket,
    context: &mut Context<'_>,
    answer: &Answer,
    written: usize,
) -> Poll<io::Result<usize>> {
    let head = &answer.head[written.min(answer.head.len())..];
    let from = written.saturating_sub(answer.head.len());
    let count = match (&answer.rest, &socket.stream) {
        (Rest::Bytes(bytes), _) => {
            let slices = [IoSlice::new(head), IoSlice::new(&bytes[from..])];
            let slices = if head.is_empty() {
                &slices[1..]
            } else {
                &slices
            };
            ready!(Pin::new(&mut socket.stream).poll_write_vectored(context, slices))?
        }
        (Rest::File(file), Wire::Plain(stream)) => {
            ready!(poll_send(stream, context, head, file, from as u64))?
        }
        (Rest::File(_), Wire::Secure { .. }) => 0,
    };
    if count == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    Poll::Ready(Ok(count))
}
