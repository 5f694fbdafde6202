use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::FetchError;

/// How many fetches run at each host at the same time.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
    each_max: usize,
}

/// A turn at a host; the next in line gets it when it is dropped.
pub(super) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    host: String,
    turns: Turns,
}

impl Turns {
    pub(super) fn new(each_max: usize) -> Self {
        Self {
            hosts: Arc::default(),
            each_max: each_max.max(1),
        }
    }

    pub(super) async fn turn(&self, host: &str) -> Result<Turn, FetchError> {
        // Takes the host off the list also when the wait is abandoned.
        let mut turn = Turn {
            permit: None,
            host: host.to_owned(),
            turns: self.clone(),
        };
        let semaphore = self.semaphore(host);
        let permit = semaphore.acquire_owned().await;
        turn.permit = Some(permit.map_err(|_| FetchError::Busy)?);
        Ok(turn)
    }

    fn semaphore(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.lock();
        let semaphore = hosts
            .entry(host.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.each_max)));
        semaphore.clone()
    }

    /// No code panics under the lock, so a poisoned one still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut hosts = self.turns.lock();
        // Who waits or runs holds a share as well.
        if hosts
            .get(&self.host)
            .is_some_and(|host| Arc::strong_count(host) == 1)
        {
            hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn hosts_wait_for_themselves_and_are_forgotten() {
        let turns = Turns::new(1);
        let first = turns.turn("a.test").await.unwrap();
        let other = turns.turn("b.test").await.unwrap();
        let mut second = Box::pin(turns.turn("a.test"));
        assert!(poll!(second.as_mut()).is_pending());
        drop(first);
        let second = second.await.unwrap();
        let mut abandoned = Box::pin(turns.turn("a.test"));
        assert!(poll!(abandoned.as_mut()).is_pending());
        drop(abandoned);
        drop((second, other));
        assert!(turns.lock().is_empty());
    }
}
