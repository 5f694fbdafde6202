//! Where a backup is written until it is complete: beside its name, by one run at a time, and in what
//! nobody else can have opened.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::archive::{BLOBS, MANIFEST, RECORDS};

/// The name of the draft for this one.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut draft = path.to_owned().into_os_string();
    draft.push(".unfinished");
    draft.into()
}

/// A new file. One which was left by a run that was killed goes.
pub(super) fn file(draft: &Path) -> io::Result<File> {
    let create = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(draft)
    };
    let file = match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let _left = take_left(draft, Metadata::is_file)?;
            fs::remove_file(draft)?;
            create()
        }
        created => created,
    };
    take(file.map_err(|error| busy_if_there(error, draft))?, draft)
}

/// A new folder, in the same way; it returns what keeps others out. What is none of a backup stays.
pub(super) fn folder(draft: &Path) -> io::Result<File> {
    let create = || DirBuilder::new().mode(0o700).create(draft);
    match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let _left = take_left(draft, Metadata::is_dir)?;
            for entry in fs::read_dir(draft)? {
                let name = entry?.file_name();
                if ![MANIFEST, RECORDS, BLOBS].iter().any(|ours| name == *ours) {
                    let words = format!("holds {}", name.display());
                    return Err(of_somebody_else(draft, &words));
                }
            }
            fs::remove_dir_all(draft)?;
            create()
        }
        created => created,
    }
    .map_err(|error| busy_if_there(error, draft))?;
    take(File::open(draft)?, draft)
}

/// What a killed run has left, if it is of this kind: whoever writes it now keeps it.
fn take_left(draft: &Path, is_ours: fn(&Metadata) -> bool) -> io::Result<File> {
    let metadata = draft.symlink_metadata()?;
    if metadata.is_symlink() {
        return Err(of_somebody_else(draft, "is a link"));
    }
    if !is_ours(&metadata) {
        return Err(of_somebody_else(draft, "is of another kind"));
    }
    take(File::open(draft)?, draft)
}

/// Locks what was opened under this name, and makes sure that it still has it: it may have been
/// finished, or removed by another run.
fn take(opened: File, name: &Path) -> io::Result<File> {
    match opened.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(name)),
        // Not every file system of a network has locks.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let (metadata, named) = (opened.metadata()?, name.symlink_metadata());
    let named = named.map_err(|_| busy(name))?;
    if (metadata.dev(), metadata.ino()) == (named.dev(), named.ino()) {
        Ok(opened)
    } else {
        Err(busy(name))
    }
}

fn busy(draft: &Path) -> io::Error {
    let words = format!("another backup is writing {}", draft.display());
    io::Error::new(ErrorKind::ResourceBusy, words)
}

fn busy_if_there(error: io::Error, draft: &Path) -> io::Error {
    match error.kind() {
        ErrorKind::AlreadyExists => busy(draft),
        _ => error,
    }
}

fn of_somebody_else(draft: &Path, what: &str) -> io::Error {
    let words = format!("{} {what}, which is none of a backup", draft.display());
    io::Error::new(ErrorKind::AlreadyExists, words)
}
