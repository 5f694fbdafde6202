//! The one place which bounds CPU work: a fixed set of threads and a bounded queue before them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::Error;

/// Runs work which takes milliseconds, off the threads which answer requests.
pub struct Renderer {
    queue: Arc<Queue>,
    turns: Semaphore,
    in_line: AtomicUsize,
    in_line_max: usize,
    threads: usize,
}

/// A turn to use the workers; the next in line gets it when it is dropped.
pub struct Turn<'a>(#[expect(dead_code, reason = "held for its drop")] SemaphorePermit<'a>);

type Job = Box<dyn FnOnce() + Send>;

struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    waiting_max: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    closed: bool,
}

impl Renderer {
    /// Starts `threads` workers, named `lane`, before which `waiting_max` jobs may wait.
    pub fn start(lane: &str, threads: usize, waiting_max: usize) -> Result<Self, Error> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            arrived: Condvar::new(),
            waiting_max: waiting_max.max(1),
        });
        let renderer = Self {
            queue,
            turns: Semaphore::new(threads.max(1) * 2),
            in_line: AtomicUsize::new(0),
            in_line_max: waiting_max.max(1),
            threads: threads.max(1),
        };
        for number in 0..renderer.threads {
            let queue = renderer.queue.clone();
            thread::Builder::new()
                .name(format!("{lane}-{number}"))
                .spawn(move || queue.work())
                .map_err(|error| Error::Worker(error.to_string()))?;
        }
        Ok(renderer)
    }

    /// How many workers there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// How many may wait.
    pub fn waiting_max(&self) -> usize {
        self.in_line_max
    }

    /// How many jobs run.
    pub fn running(&self) -> usize {
        self.queue.lock().running
    }

    /// How many jobs wait, for a worker or for a turn.
    pub fn waiting(&self) -> usize {
        self.queue.lock().jobs.len() + self.in_line.load(Ordering::Relaxed)
    }

    /// Whether nobody gets a turn at once.
    pub(crate) fn is_busy(&self) -> bool {
        self.turns.available_permits() == 0
    }

    /// Waits for a turn, of which there are twice as many as workers. `Busy` at once if as many as
    /// may wait are waiting. What is held only during a turn is bounded by their number.
    pub async fn turn(&self) -> Result<Turn<'_>, Error> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(Turn(turn));
        }
        let _place = PlaceInLine::take(&self.in_line, self.in_line_max)?;
        let turn = self.turns.acquire().await;
        Ok(Turn(turn.map_err(|_| Error::Busy)?))
    }

    /// Runs `work` on a worker. `Busy` at once if the queue is full; a panic in `work` is an error
    /// of this job alone. Work whose caller is gone before it starts is not started.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let job = move || {
            if sender.is_closed() {
                return;
            }
            let outcome = catch_unwind(AssertUnwindSafe(work));
            // The caller may have gone meanwhile; then nobody needs the outcome.
            let _ = sender.send(outcome);
        };
        self.queue.push(Box::new(job))?;
        match receiver.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(Error::Worker(sentence(panic.as_ref()))),
            Err(_) => Err(Error::Busy),
        }
    }
}

struct PlaceInLine<'a>(&'a AtomicUsize);

impl<'a> PlaceInLine<'a> {
    fn take(in_line: &'a AtomicUsize, in_line_max: usize) -> Result<Self, Error> {
        let before = in_line.fetch_add(1, Ordering::Relaxed);
        let place = Self(in_line);
        if before < in_line_max {
            Ok(place)
        } else {
            Err(Error::Busy)
        }
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Renderer {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.arrived.notify_all();
    }
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed || state.jobs.len() >= self.waiting_max {
            return Err(Error::Busy);
        }
        state.jobs.push_back(job);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            let job = loop {
                if let Some(job) = state.jobs.pop_front() {
                    state.running += 1;
                    break job;
                }
                if state.closed {
                    return;
                }
                state = self
                    .arrived
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            job();
            state = self.lock();
            state.running -= 1;
        }
    }

    /// No job runs under the lock, so a poisoned one still holds a sound queue.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sentence(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_and_a_panic_fails_its_own_job_alone() {
        let renderer = Renderer::start("test", 1, 4).unwrap();
        assert!(matches!(renderer.run(|| 6 * 7).await, Ok(42)));
        let failed: Result<(), _> = renderer.run(|| panic!("broken picture")).await;
        assert!(matches!(failed, Err(Error::Worker(text)) if text == "broken picture"));
        assert!(matches!(renderer.run(|| 1).await, Ok(1)));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let renderer = Arc::new(Renderer::start("test", 1, 1).unwrap());
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let first = tokio::spawn({
            let renderer = renderer.clone();
            async move {
                let work = move || {
                    let _ = started.send(());
                    blocked.recv()
                };
                renderer.run(work).await
            }
        });
        running.await.unwrap();
        let mut second = Box::pin(renderer.run(|| 2));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        assert_eq!((renderer.running(), renderer.waiting()), (1, 1));
        assert!(matches!(renderer.run(|| 3).await, Err(Error::Busy)));
        release.send(()).unwrap();
        assert!(matches!(second.await, Ok(2)));
        first.await.unwrap().unwrap().unwrap();
    }
}
