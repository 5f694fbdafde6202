//! Keys of blobs which are reserved before anybody uploads, so that an upload need not wait for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BlobKey, Timestamp};
use store::Catalog;
use tokio::time::timeout;

use crate::Error;

/// Reserved at a time.
const BATCH: usize = 32;

/// With fewer left, more are reserved before they are needed.
const LOW: usize = 8;

/// How long a caller waits for keys which another one reserves.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Keys which nobody uses yet. Of a server which is killed they are the sweeper's.
#[derive(Clone)]
pub(crate) struct Reservations(Arc<Inner>);

struct Inner {
    /// The oldest first.
    keys: Mutex<VecDeque<Reserved>>,
    /// Held while keys are reserved, so that waiting callers share them.
    reserving: tokio::sync::Mutex<()>,
    /// How long a reservation lasts.
    grace: Duration,
}

struct Reserved {
    key: BlobKey,
    at: Timestamp,
}

impl Reservations {
    pub(crate) fn new(grace: Duration) -> Self {
        Self(Arc::new(Inner {
            keys: Mutex::default(),
            reserving: tokio::sync::Mutex::default(),
            grace,
        }))
    }

    /// A key whose reservation is durable, and lasts for three quarters of the grace unless reserving takes
    /// long.
    pub(crate) async fn take(&self, catalog: &Arc<dyn Catalog>) -> Result<BlobKey, Error> {
        if let Some(key) = self.fresh(catalog.now()) {
            self.fill(catalog);
            return Ok(key);
        }
        // Whoever reserves for others may hang, and must not stop them.
        let turn = timeout(TURN_MAX, self.0.reserving.lock()).await;
        if let Some(key) = self.fresh(catalog.now()) {
            return Ok(key);
        }
        let key = BlobKey::generate();
        if turn.is_ok() {
            self.reserve(catalog, Some(&key)).await?;
        } else {
            let lapses = catalog.now().after(self.0.grace);
            catalog
                .reserve_blobs(std::slice::from_ref(&key), lapses)
                .await?;
        }
        Ok(key)
    }

    /// Forgets the keys which nobody used.
    pub(crate) async fn give_up(&self, catalog: &Arc<dyn Catalog>) -> Result<(), Error> {
        let unused = std::mem::take(&mut *self.keys());
        let unused: Vec<BlobKey> = unused.into_iter().map(|reserved| reserved.key).collect();
        if !unused.is_empty() {
            catalog.forget_blobs(&unused).await?;
        }
        Ok(())
    }

    /// The oldest key which is not too old to begin with.
    fn fresh(&self, now: Timestamp) -> Option<BlobKey> {
        let mut keys = self.keys();
        std::iter::from_fn(|| keys.pop_front())
            .find(|reserved| reserved.at <= now && now < reserved.at.after(self.0.grace / 4))
            .map(|reserved| reserved.key)
    }

    /// Reserves more if few are left. What fails here fails again for whoever needs a key.
    fn fill(&self, catalog: &Arc<dyn Catalog>) {
        if self.keys().len() >= LOW || self.0.reserving.try_lock().is_err() {
            return;
        }
        let (reservations, catalog) = (self.clone(), catalog.clone());
        tokio::spawn(async move {
            let Ok(_turn) = reservations.0.reserving.try_lock() else {
                return;
            };
            if let Err(error) = reservations.reserve(&catalog, None).await {
                tracing::debug!(%error, "no blobs could be reserved before they are needed");
            }
        });
    }

    /// Reserves this key and more for others, in one go.
    async fn reserve(
        &self,
        catalog: &Arc<dyn Catalog>,
        own: Option<&BlobKey>,
    ) -> Result<(), Error> {
        let at = catalog.now();
        let mut keys: Vec<BlobKey> = (0..BATCH).map(|_| BlobKey::generate()).collect();
        keys.extend(own.cloned());
        catalog.reserve_blobs(&keys, at.after(self.0.grace)).await?;
        keys.truncate(BATCH);
        let keys = keys.into_iter().map(|key| Reserved { key, at });
        self.keys().extend(keys);
        Ok(())
    }

    fn keys(&self) -> MutexGuard<'_, VecDeque<Reserved>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
