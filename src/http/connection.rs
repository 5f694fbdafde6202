//! What hyper leaves to its caller: clients which connect and say nothing, and clients which ask and
//! do not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::presence::{Presence, Turn};
use super::tls::Certificate;

/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a preface which is still incomplete.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The longest time in which a client must take some bytes of an answer.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// The bytes of HTTP of a connection.
pub(super) enum Wire {
    Plain(TcpStream),
    Secure {
        stream: Box<TlsStream<TcpStream>>,
        /// What the client said first, to be read once more.
        said: Vec<u8>,
    },
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Http1,
    Http2,
}

impl Language {
    fn of(said: &[u8]) -> Self {
        if said == PREFACE {
            Self::Http2
        } else {
            Self::Http1
        }
    }
}

/// Waits for a connection on which a client speaks, with TLS if there is a certificate, until it has
/// said enough to tell which version of HTTP it speaks. Headers are timed from there on, and not
/// before.
pub(super) async fn greet(
    stream: TcpStream,
    certificate: Option<&Certificate>,
) -> io::Result<(Wire, Language)> {
    let Some(certificate) = certificate else {
        let language = Language::of(&first_words(&stream).await?);
        return Ok((Wire::Plain(stream), language));
    };
    let mut stream = Box::new(certificate.accept(stream).await?);
    let mut said = Vec::with_capacity(PREFACE.len());
    let mut piece = [0; PREFACE.len()];
    while said.len() < PREFACE.len() && PREFACE.starts_with(&said) {
        let count = stream.read(&mut piece[said.len()..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let from = said.len();
        said.extend_from_slice(&piece[from..from + count]);
    }
    let language = Language::of(&said);
    Ok((Wire::Secure { stream, said }, language))
}

/// What a client says first, which is left to be read: enough of it to tell its language.
pub(super) async fn first_words(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if count == PREFACE.len() || !PREFACE.starts_with(&seen[..count]) {
            return Ok(seen[..count].to_vec());
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// A stream which gives up on a client that takes nothing for a minute.
pub(super) struct Impatient {
    socket: Presence,
    /// What was read already, to be read once more.
    said: Vec<u8>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    /// Reads what was `said`, and then on, unless that is all of this turn.
    pub(super) fn new(socket: Presence, said: Vec<u8>) -> Self {
        let stalled = None;
        Self {
            socket,
            said,
            stalled,
        }
    }

    fn patience<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.said.is_empty() {
            let count = self.said.len().min(buffer.remaining());
            buffer.put_slice(&self.said[..count]);
            self.said.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let mut socket = self.socket.lock();
        if socket.turn != Turn::Kept {
            // What comes next is for whoever has the next turn.
            return Poll::Pending;
        }
        Pin::new(&mut socket.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.lock();
        let written = Pin::new(&mut socket.stream).poll_write(context, bytes);
        socket.all_taken = took(&written, bytes.len());
        drop(socket);
        self.patience(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.socket.lock();
        let written = Pin::new(&mut socket.stream).poll_write_vectored(context, slices);
        socket.all_taken = took(&written, slices.iter().map(|slice| slice.len()).sum());
        drop(socket);
        self.patience(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.lock().stream.is_write_vectored()
    }

    /// hyper asks for it when it has nothing left to write, so that an answer is written then.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.socket.lock();
        let flushed = Pin::new(&mut socket.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) && socket.turn == Turn::Answered {
            socket.turn = Turn::Over;
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.socket.lock();
        // It ends the connection, for example because the answer said so.
        socket.turn = Turn::Kept;
        Pin::new(&mut socket.stream).poll_shutdown(context)
    }
}

impl Wire {
    /// The socket below.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure { stream, .. } => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure { stream, said } if said.is_empty() => {
                Pin::new(stream).poll_read(context, buffer)
            }
            Self::Secure { said, .. } => {
                let count = said.len().min(buffer.remaining());
                buffer.put_slice(&said[..count]);
                said.drain(..count);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Secure { stream, .. } => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secure { stream, .. } => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }
}

fn took(written: &Poll<io::Result<usize>>, all: usize) -> bool {
    matches!(written, Poll::Ready(Ok(count)) if *count == all)
}
