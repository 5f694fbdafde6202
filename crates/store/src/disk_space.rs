use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// Watches the file systems which hold the data, and keeps a reserve on them: with the last bytes
/// gone, even deleting would fail, for it has to be written down.
#[derive(Clone, Debug)]
pub struct DiskSpace {
    folders: Vec<PathBuf>,
    reserve_bytes: u64,
    claimed: Arc<AtomicU64>,
}

/// Room for bytes which are about to be written; given back when dropped, for then they are on the
/// disk, or will never be.
#[derive(Debug)]
pub struct SpaceClaim {
    bytes: u64,
    claimed: Arc<AtomicU64>,
}

impl Drop for SpaceClaim {
    fn drop(&mut self) {
        self.claimed.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl DiskSpace {
    /// Keeps `reserve_bytes` free on the file system of each folder.
    pub fn new(folders: Vec<PathBuf>, reserve_bytes: u64) -> Self {
        Self {
            folders,
            reserve_bytes,
            claimed: Arc::default(),
        }
    }

    /// Claims room for `bytes`. `NoSpace` if, with all that is claimed, the reserve would be
    /// touched.
    pub fn claim(&self, bytes: u64) -> Result<SpaceClaim, Error> {
        self.claimed.fetch_add(bytes, Ordering::Relaxed);
        let claim = SpaceClaim {
            bytes,
            claimed: self.claimed.clone(),
        };
        self.check(0)?;
        Ok(claim)
    }

    /// `NoSpace` if writing `bytes` would touch the reserve. A file system which does not tell its
    /// free space is taken to have enough.
    pub fn check(&self, bytes: u64) -> Result<(), Error> {
        let claimed = self.claimed.load(Ordering::Relaxed);
        let needed = self.reserve_bytes.saturating_add(claimed);
        let needed = needed.saturating_add(bytes);
        for folder in &self.folders {
            match rustix::fs::statvfs(folder) {
                Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < needed => {
                    let words = format!(
                        "writing to {} would touch the reserve of {} bytes",
                        folder.display(),
                        self.reserve_bytes
                    );
                    let cause = io::Error::new(io::ErrorKind::StorageFull, words);
                    return Err(Error::NoSpace(cause.into()));
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "free space is not known"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_larger_than_the_disk_lets_nothing_in() {
        let folders = || vec![std::env::temp_dir()];
        assert!(DiskSpace::new(folders(), 0).check(0).is_ok());
        let full = DiskSpace::new(folders(), u64::MAX).check(1);
        assert!(matches!(full, Err(Error::NoSpace(_))));
        let space = DiskSpace::new(folders(), 0);
        let all = space.claim(u64::MAX / 2);
        assert!(matches!(all, Err(Error::NoSpace(_))));
        assert!(space.claim(0).is_ok(), "a refused claim is given back");
        assert!(
            DiskSpace::new(vec!["/no/such/folder".into()], 1)
                .check(1)
                .is_ok()
        );
    }
}
