//! Whether the client of a request is still there.
//!
//! A client of HTTP/1 which closes its connection and one which only says that it has asked all it
//! wants look the same: both send FIN, and the second still waits for its answer. They differ in
//! what they do with bytes: the system of the first answers them with RST. So the one who may have
//! left is sent an interim answer, which every client of HTTP/1.1 skips (RFC 9110, section 15.2). A
//! client of HTTP/1.0 may not be sent one; if it closes, it has left, as the proxies do which still
//! speak that version, and so has one with TLS, whose halves are not closed apart. With HTTP/2 the connection itself tells.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Version;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::sleep;

use super::connection::Wire;

/// Most answers are ready before anybody looks.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Tells a client to wait, which it does already.
const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The socket of a connection. Nobody waits while holding it.
#[derive(Clone)]
pub(super) struct Presence(Arc<Mutex<Socket>>);

/// A socket, and what is known of the bytes written to it.
pub(super) struct Socket {
    pub(super) stream: Wire,
    /// Whether the system took all of what was written last.
    pub(super) all_taken: bool,
    /// Whose turn it is.
    pub(super) turn: Turn,
}

/// How far hyper is with what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has the connection for good.
    Kept,
    /// It was given one request and nothing after it.
    Asked,
    /// It was given the answer to it.
    Answered,
    /// It has written the answer, and nothing more is to be done.
    Over,
}

/// The client left before its answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client left before its answer")]
pub(super) struct ClientLeft;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It may say more.
    Open,
    /// It says no more, and reads perhaps.
    SaidAll,
    Gone,
}

impl Presence {
    pub(super) fn new(stream: Wire) -> Self {
        Self(Arc::new(Mutex::new(Socket {
            stream,
            all_taken: true,
            turn: Turn::Kept,
        })))
    }

    /// No code panics under the lock, so a poisoned one still holds a sound socket.
    pub(super) fn lock(&self) -> MutexGuard<'_, Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That there is an answer to the request which hyper was given.
    pub(super) fn answered(&self) {
        let mut socket = self.lock();
        if socket.turn == Turn::Asked {
            socket.turn = Turn::Answered;
        }
    }

    /// Returns when the client of a request of this version has left. To be waited for only until
    /// there is an answer.
    pub(super) async fn left(&self, version: Version) -> ClientLeft {
        if version >= Version::HTTP_2 {
            return std::future::pending().await;
        }
        let mut asked = false;
        sleep(FIRST_LOOK).await;
        while self.lock().is_there(version, &mut asked) {
            sleep(LOOK_AGAIN).await;
        }
        ClientLeft
    }
}

impl Socket {
    /// Looks, and asks once for a sign of life where a look does not tell.
    fn is_there(&mut self, version: Version, asked: &mut bool) -> bool {
        match self.look() {
            Seen::Open => true,
            Seen::Gone => false,
            Seen::SaidAll if version < Version::HTTP_11 => false,
            // Not into the midst of an answer to an earlier request.
            Seen::SaidAll if *asked || !self.all_taken => true,
            Seen::SaidAll => {
                *asked = true;
                self.interrupt().is_ok()
            }
        }
    }

    fn look(&self) -> Seen {
        let mut sockets = [PollFd::new(self.stream.socket(), PollFlags::RDHUP)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if poll(&mut sockets, Some(&at_once)).is_err() {
            return Seen::Open;
        }
        let events = sockets[0].revents();
        if events.intersects(PollFlags::HUP | PollFlags::ERR) {
            Seen::Gone
        } else if events.contains(PollFlags::RDHUP) {
            Seen::SaidAll
        } else {
            Seen::Open
        }
    }

    fn interrupt(&mut self) -> Result<(), ClientLeft> {
        let Wire::Plain(stream) = &self.stream else {
            // With TLS nobody closes one half alone.
            return Err(ClientLeft);
        };
        match stream.try_write(INTERIM) {
            Ok(written) if written == INTERIM.len() => Ok(()),
            // It has not read for long.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            // A part of it would garble the answer.
            Ok(_) | Err(_) => Err(ClientLeft),
        }
    }
}
