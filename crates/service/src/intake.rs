//! Memory for the bytes of uploads under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Error, Service};

/// Permits are for so many bytes.
const UNIT: u64 = 1_024;

/// How long an upload waits until others have made room. Its sender notices nothing but that the
/// connection does not take bytes yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// The room for uploads under way; one is never refused for being larger than all of it.
pub(crate) struct Intake {
    room: Arc<Semaphore>,
    units: u32,
}

/// Room for an upload, given back when it is dropped.
#[derive(Debug)]
pub struct Admission(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Intake {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize) as u64;
        let units = bytes_max.div_ceil(UNIT).clamp(1, most) as u32;
        Self {
            room: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    async fn admit(&self, bytes: u64, patience: Duration) -> Result<Admission, Error> {
        let units = bytes.div_ceil(UNIT).clamp(1, u64::from(self.units)) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(units);
        match timeout(patience, room).await {
            Ok(Ok(permit)) => Ok(Admission(permit)),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}

impl Service {
    /// Waits until `bytes` of an upload may be held in memory, first come, first served. `Busy` if
    /// that takes too long. To be asked for once and for all of an upload, before its first byte:
    /// uploads which wait for more while they hold some would wait for each other.
    pub async fn admit(&self, bytes: u64) -> Result<Admission, Error> {
        self.intake.admit(bytes, PATIENCE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uploads_wait_for_room_and_not_forever() {
        let intake = Intake::new(10 * UNIT);
        let first = intake.admit(6 * UNIT, PATIENCE).await.unwrap();
        let second = intake.admit(4 * UNIT, PATIENCE).await.unwrap();
        assert!(matches!(
            intake.admit(1, Duration::ZERO).await,
            Err(Error::Busy)
        ));
        let (third, ()) = tokio::join!(intake.admit(5 * UNIT, PATIENCE), async { drop(first) });
        let third = third.unwrap();
        drop((second, third));
        // More than there is counts as all there is.
        let all = intake.admit(u64::MAX, PATIENCE).await.unwrap();
        assert!(matches!(
            intake.admit(0, Duration::ZERO).await,
            Err(Error::Busy)
        ));
        drop(all);
        intake.admit(0, PATIENCE).await.unwrap();
    }
}
