//! Connections which read, beside the one which writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::{Closed, schema};
use crate::Error;

/// Connections are opened when they are needed and kept. A read begins and ends on its thread, so
/// that no transaction is ever held across an await, which would keep the log from being folded
/// into the database.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        let cores = available_parallelism().map_or(2, usize::from);
        Self {
            path: Arc::new(path),
            idle: Arc::default(),
            places: Arc::new(Semaphore::new(2 * cores)),
        }
    }

    /// Runs a read on a thread which may block. Without a transaction of its own each statement sees
    /// the newest state, so that this is for reads of one statement.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Error::Database(Closed.into()))?;
        let readers = self.clone();
        let task = spawn_blocking(move || {
            let result = readers.run_here(work);
            drop(place);
            result
        });
        task.await.map_err(|error| Error::Database(error.into()))?
    }

    fn run_here<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.path)?,
        };
        let result = work(&connection);
        if !self.places.is_closed() {
            self.lock().push(connection);
        }
        result
    }

    /// Closes the idle connections and refuses further reads.
    pub(super) fn close(&self) {
        self.places.close();
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
