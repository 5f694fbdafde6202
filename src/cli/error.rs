use std::io;

use crate::{client, config};

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// The command did not succeed; the sentence says why.
    #[error("{0}")]
    Failed(String),
    /// A file or a stream failed; the sentence says which.
    #[error("{0}")]
    Io(String, #[source] io::Error),
    /// The catalog failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A use case failed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// A whole store could not be worked with.
    #[error(transparent)]
    Holdings(#[from] service::holdings::Error),
    /// The engine refused or failed.
    #[error(transparent)]
    Pixels(#[from] pixels::Error),
    /// A running server did not do what it was asked.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The service could not start, or stopped.
    #[error(transparent)]
    Serve(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// 2 for wrong usage, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Settings(_) => 2,
            _ => 1,
        }
    }
}
