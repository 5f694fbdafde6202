//! Memory given out before it is allocated: for the bytes of uploads under way, and for pixels.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Error, Service};

/// What is given out at once.
const UNIT_BYTES: u64 = 64 * 1024;

/// How long an upload waits until others have made room. Its sender notices nothing but that the
/// connection does not take bytes yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// A number of bytes which jobs share. Those who wait get them in the order in which they came, so
/// that small jobs do not pass by a large one for ever.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    units: Arc<Semaphore>,
    all: u32,
}

/// Bytes of the memory, given back when it is dropped.
#[derive(Debug)]
pub struct Share(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let all = (bytes / UNIT_BYTES).clamp(1, most.into()) as u32;
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

    /// The same, and `Busy` if it takes too long.
    async fn share_within(&self, bytes: u64, patience: Duration) -> Result<Share, Error> {
        let share = timeout(patience, self.share(bytes));
        share.await.unwrap_or(Err(Error::Busy))
    }
}

/// Bytes of one memory or of both.
pub(crate) type Shares = [Option<Share>; 2];

/// Memory for pixels. A quarter of it is for what is light, which so never waits for a giant.
#[derive(Clone, Debug)]
pub(crate) struct RenderMemory {
    light: Memory,
    rest: Memory,
}

impl RenderMemory {
    pub(crate) fn new(bytes: u64) -> Self {
        let light = bytes / 4;
        Self {
            light: Memory::new(light),
            rest: Memory::new(bytes - light),
        }
    }

    /// Whether so many bytes are little enough to be light.
    pub(crate) fn is_light(&self, bytes: u64) -> bool {
        bytes.div_ceil(UNIT_BYTES) <= self.light.all.into()
    }

    /// Waits for memory of its own for what is light.
    pub(crate) async fn share_light(&self, bytes: u64) -> Result<Shares, Error> {
        Ok([Some(self.light.share(bytes).await?), None])
    }

    /// Waits for memory for anything else. What needs more than there is for that takes of the
    /// quarter as well, and what needs more than all runs alone.
    pub(crate) async fn share(&self, bytes: u64) -> Result<Shares, Error> {
        let most = u64::from(self.rest.all) * UNIT_BYTES;
        let rest = self.rest.share(bytes).await?;
        let light = match bytes.saturating_sub(most) {
            0 => None,
            more => Some(self.light.share(more).await?),
        };
        Ok([Some(rest), light])
    }
}

/// What a body takes whose length is not known, to begin with.
const UNKNOWN_BYTES: u64 = 1 << 20;

/// Bytes of the memory for a body which comes in pieces.
pub(crate) struct Room {
    memory: Memory,
    shares: Vec<Share>,
    bytes: u64,
}

impl Room {
    /// Waits for room for a body of this length, and for a first part if it is not known.
    pub(crate) async fn of(memory: &Memory, length: Option<u64>) -> Result<Self, Error> {
        let bytes = length.unwrap_or(UNKNOWN_BYTES);
        Ok(Self {
            memory: memory.clone(),
            shares: vec![memory.share_within(bytes, PATIENCE).await?],
            bytes,
        })
    }

    /// Sees that there is room for so many bytes in all. Bodies which wait for more while they hold
    /// some may wait for each other, so they wait less long.
    pub(crate) async fn grow(&mut self, total: u64) -> Result<(), Error> {
        if total > self.bytes {
            let more = (total - self.bytes).max(self.bytes);
            let share = self.memory.share_within(more, PATIENCE / 4).await?;
            self.shares.push(share);
            self.bytes += more;
        }
        Ok(())
    }

    /// The bytes, for which the room is held as long as anybody has them.
    pub(crate) fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept {
            bytes,
            _shares: self.shares,
        })
    }
}

struct Kept {
    bytes: Bytes,
    _shares: Vec<Share>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Service {
    /// Waits until `bytes` of an upload may be held in memory. `Busy` if that takes too long. To be
    /// asked for once and for all of an upload, before its first byte: uploads which wait for more
    /// while they hold some would wait for each other.
    pub async fn admit(&self, bytes: u64) -> Result<Share, Error> {
        self.upload_memory.share_within(bytes, PATIENCE).await
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

    #[tokio::test]
    async fn what_is_light_does_not_wait_for_giants_but_for_what_needs_everything() {
        let memory = RenderMemory::new(8 * UNIT_BYTES);
        assert!(memory.is_light(2 * UNIT_BYTES) && !memory.is_light(2 * UNIT_BYTES + 1));
        let giant = memory.share(6 * UNIT_BYTES).await.unwrap();
        let mut next = Box::pin(memory.share(6 * UNIT_BYTES));
        assert!(poll!(next.as_mut()).is_pending());
        let light = memory.share_light(2 * UNIT_BYTES).await.unwrap();
        drop(giant);
        drop(next.await.unwrap());
        let mut all = Box::pin(memory.share(u64::MAX));
        assert!(poll!(all.as_mut()).is_pending());
        drop(light);
        let all = all.await.unwrap();
        let mut light = Box::pin(memory.share_light(1));
        assert!(poll!(light.as_mut()).is_pending());
        drop(all);
        light.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_who_has_a_limit() {
        let memory = Memory::new(UNIT_BYTES);
        let first = memory.share_within(1, PATIENCE).await.unwrap();
        let late = memory.share_within(1, Duration::ZERO).await;
        assert!(matches!(late, Err(Error::Busy)));
        drop(first);
        memory.share_within(1, Duration::ZERO).await.unwrap();
    }
}
