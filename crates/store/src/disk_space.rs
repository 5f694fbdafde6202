use std::io;
use std::path::PathBuf;

use crate::Error;

/// Watches the file systems which hold the data, and keeps a reserve on them: with the last bytes
/// gone, even deleting would fail, for it has to be written down.
#[derive(Clone, Debug)]
pub struct DiskSpace {
    folders: Vec<PathBuf>,
    reserve_bytes: u64,
}

impl DiskSpace {
    /// Keeps `reserve_bytes` free on the file system of each folder.
    pub fn new(folders: Vec<PathBuf>, reserve_bytes: u64) -> Self {
        Self {
            folders,
            reserve_bytes,
        }
    }

    /// `NoSpace` if writing `bytes` would touch the reserve. A file system which does not tell its
    /// free space is taken to have enough.
    pub fn check(&self, bytes: u64) -> Result<(), Error> {
        let needed = self.reserve_bytes.saturating_add(bytes);
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
        assert!(
            DiskSpace::new(vec!["/no/such/folder".into()], 1)
                .check(1)
                .is_ok()
        );
    }
}
