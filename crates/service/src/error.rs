use model::{ImageId, InvalidFilter, InvalidImageId, InvalidMetadata, InvalidVariant, VariantName};

/// Why a use case was not carried out. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is missing, malformed or out of range; the sentence names it.
    #[error("{0}")]
    Invalid(String),
    /// No such image, or a draft where an image is needed.
    #[error("image {0} not found")]
    ImageNotFound(ImageId),
    /// No such variant.
    #[error("variant {0} not found")]
    VariantNotFound(String),
    /// No such signing key.
    #[error("signing key {0} not found")]
    KeyNotFound(String),
    /// No such webhook, policy, source or job of imports.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// An import from the source has not ended.
    #[error("an import from the source has not ended")]
    ImportRuns,
    /// The import has ended.
    #[error("the import has ended")]
    ImportEnded,
    /// A notification policy names the webhook.
    #[error("the webhook is used by a notification policy")]
    WebhookInUse,
    /// The image id is in use, by an image or a draft.
    #[error("image id {0} is taken")]
    ImageTaken(ImageId),
    /// The variant name is in use.
    #[error("variant name {0} is taken")]
    VariantTaken(VariantName),
    /// The account's id or hash, or a token, is in use.
    #[error("{0} is taken")]
    Taken(String),
    /// A one-time upload URL was used before.
    #[error("the upload URL has been used")]
    UploadUrlUsed,
    /// A one-time upload URL is too old.
    #[error("the upload URL has expired")]
    UploadUrlExpired,
    /// The account holds as many of something as it may.
    #[error("the account's limit of {0} is reached")]
    LimitReached(&'static str),
    /// More bytes than an image may have.
    #[error("an image may have {0} bytes at most")]
    TooManyBytes(u64),
    /// The bytes are no image which is accepted, or a broken one.
    #[error("the bytes are no acceptable image")]
    Unreadable(#[source] pixels::Error),
    /// The origin of an upload by URL did not deliver; the sentence says why.
    #[error("the image could not be fetched: {0}")]
    Origin(String),
    /// Too much work is waiting.
    #[error("too much work is waiting")]
    Busy,
    /// A worker gave up on a job, which is a defect.
    #[error("a worker failed: {0}")]
    Worker(String),
    /// Storage failed.
    #[error("storage failed")]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether the storage is out of reach for now, and will do what it is asked later.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Store(
                store::Error::Unavailable(_) | store::Error::Timeout | store::Error::Exhausted
            )
        )
    }
}

impl From<InvalidImageId> for Error {
    fn from(error: InvalidImageId) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidMetadata> for Error {
    fn from(error: InvalidMetadata) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidFilter> for Error {
    fn from(error: InvalidFilter) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidVariant> for Error {
    fn from(error: InvalidVariant) -> Self {
        Self::Invalid(error.to_string())
    }
}
