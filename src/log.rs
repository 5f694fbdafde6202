//! Where log lines go: to stderr, some at a time. One write for each line would cost a busy server
//! more than the lines do.

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const WAIT: Duration = Duration::from_millis(50);

/// Bytes which may wait. Beyond them, whoever has a line writes all of them.
const WAITING_MAX: usize = 256 << 10;

/// The lines which wait to be written, which is within 50 milliseconds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<u8>>,
    some: Condvar,
    /// Held while writing, so that lines stay in their order.
    writing: Mutex<()>,
}

impl Lines {
    /// Starts the thread which writes.
    pub fn start() -> io::Result<Self> {
        let lines = Self(Arc::default());
        let shared = lines.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                loop {
                    shared.wait();
                    thread::sleep(WAIT);
                    shared.flush();
                }
            })?;
        Ok(lines)
    }

    /// Adds what `write` writes: one line or several.
    pub fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = lock(&self.0.waiting);
        let was_empty = waiting.is_empty();
        write(&mut waiting);
        let full = waiting.len() > WAITING_MAX;
        drop(waiting);
        if full {
            self.flush();
        } else if was_empty {
            self.0.some.notify_one();
        }
    }

    /// Writes all lines which wait.
    pub fn flush(&self) {
        let _turn = lock(&self.0.writing);
        let waiting = std::mem::take(&mut *lock(&self.0.waiting));
        // Where to say that the log cannot be written?
        let _ = io::stderr().write_all(&waiting);
        // The room for the next ones.
        let mut next = lock(&self.0.waiting);
        if next.is_empty() && waiting.capacity() <= 2 * WAITING_MAX {
            *next = waiting;
            next.clear();
        }
    }

    fn wait(&self) {
        let waiting = lock(&self.0.waiting);
        let some = self
            .0
            .some
            .wait_while(waiting, |waiting| waiting.is_empty());
        drop(some.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A line which cannot be formatted leaves the others whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes one event.
#[derive(Debug)]
pub struct Line<'a> {
    lines: &'a Lines,
    /// Warnings and errors do not wait: they may be the last words.
    is_urgent: bool,
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.add(|waiting| waiting.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.is_urgent {
            self.lines.flush();
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            is_urgent: true,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            is_urgent: *metadata.level() <= Level::WARN,
        }
    }
}
