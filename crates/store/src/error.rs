use std::io::{self, ErrorKind};
use std::path::Path;

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is in use: an image id, a variant, an account.
    #[error("the name is taken")]
    Taken,
    /// There is no such record.
    #[error("there is no such record")]
    NotFound,
    /// The draft was filled before.
    #[error("the draft has been used")]
    DraftUsed,
    /// The draft's time is over.
    #[error("the draft has expired")]
    DraftExpired,
    /// The account holds as many of these as it may.
    #[error("the account is full")]
    Full,
    /// Another record needs this one.
    #[error("another record needs this one")]
    InUse,
    /// The record changed between reading and writing it.
    #[error("the record has changed meanwhile")]
    Changed,
    /// The reserved blob was swept away before its record was written; the upload must fail.
    #[error("the blob's reservation has lapsed")]
    ReservationLapsed,
    /// Writes are refused, because the store is being moved to another one.
    #[error("the store is closed to writes: it is being moved")]
    Closed,
    /// No space left on the device.
    #[error("no space left")]
    NoSpace(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data folder is in use, or not usable.
    #[error("the data folder cannot be used: {0}")]
    Folder(String),
    /// The schema is of a newer program, or broken.
    #[error("the database cannot be used: {0}")]
    Schema(String),
    /// A sealed value does not open with this server's secret key.
    #[error("a stored secret does not open with this server's secret key")]
    Sealed,
    /// The database cannot be reached, or does not write at present.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database did not answer in time. Nobody knows what came of it.
    #[error("the database did not answer in time")]
    Timeout,
    /// All connections to the database are in use.
    #[error("no connection to the database is free")]
    Exhausted,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The blob store failed.
    #[error("the blob store failed")]
    Blobs(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A folder or file which the store needs at its start.
    pub(crate) fn folder(path: &Path, error: io::Error) -> Self {
        if is_no_space(&error) {
            Self::NoSpace(error.into())
        } else {
            Self::Folder(format!("{}: {error}", path.display()))
        }
    }

    /// An error of the blob store.
    pub(crate) fn blobs(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        if is_no_space(&*error) {
            Self::NoSpace(error)
        } else {
            Self::Blobs(error)
        }
    }
}

/// Whether an error, or one of its causes, is a full disk.
pub(crate) fn is_no_space(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            )
        })
    })
}
