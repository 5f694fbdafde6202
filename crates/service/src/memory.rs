//! Memory for pixels, given out before they are allocated.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// What is given out at once.
const UNIT_BYTES: u64 = 64 * 1024;

/// A number of bytes which jobs share. Those who wait get them in the order in which they came, so
/// that small jobs do not pass by a large one for ever.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    all: u32,
}

/// Bytes of the memory, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self {
            units: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    /// Waits for so many bytes. A job which needs more than there is gets all, and so runs alone.
    pub(crate) async fn share(&self, bytes: u64) -> Result<Share, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let units = units.clamp(1, self.all);
        let permit = self.units.clone().acquire_many_owned(units).await;
        permit.map(Share).map_err(|_| Error::Busy)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn jobs_wait_until_there_is_room_and_the_largest_runs_alone() {
        let memory = Memory::new(10 * UNIT_BYTES);
        let first = memory.share(6 * UNIT_BYTES).await.unwrap();
        let mut huge = Box::pin(memory.share(u64::MAX));
        let mut small = Box::pin(memory.share(1));
        assert!(poll!(huge.as_mut()).is_pending());
        // There is room, but not its turn.
        assert!(poll!(small.as_mut()).is_pending());
        drop(first);
        let huge = huge.await.unwrap();
        assert!(poll!(small.as_mut()).is_pending());
        drop(huge);
        small.await.unwrap();
    }
}
