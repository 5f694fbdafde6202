use crate::{BlobKey, Creator, Filename, ImageId, MediaType, Metadata, Timestamp};

/// One stored image, or the draft of one which waits for its direct upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its name in the account.
    pub id: ImageId,
    /// The name it was uploaded under.
    pub filename: Option<Filename>,
    /// The customer's own JSON.
    pub metadata: Option<Metadata>,
    /// The customer's own user.
    pub creator: Option<Creator>,
    /// When it was uploaded; of a draft, when the draft was made.
    pub uploaded: Timestamp,
    /// Whether delivery needs a signed URL.
    pub require_signed_urls: bool,
    /// What was uploaded; `None` on a draft.
    pub source: Option<Source>,
    /// On a draft: until when its one-time upload URL works.
    pub draft_expires: Option<Timestamp>,
}

impl Image {
    /// Whether its bytes are still to come.
    pub fn is_draft(&self) -> bool {
        self.source.is_none()
    }
}

/// The uploaded bytes of an image, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the bytes are.
    pub blob: BlobKey,
    /// How many there are.
    pub bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Their format.
    pub format: MediaType,
    /// Pixels, as displayed (after EXIF orientation); 0 for SVG.
    pub width: u32,
    /// Pixels, as displayed (after EXIF orientation); 0 for SVG.
    pub height: u32,
}
