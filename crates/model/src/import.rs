use std::fmt;

use crate::{BlobKey, ImageId, OpaqueId, Timestamp};

/// A bucket of somebody's, from which images are imported (management-api.md, section 8.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSource {
    /// Its name in the API.
    pub id: OpaqueId,
    /// What its owner calls it, 1 to `ImportSource::NAME_CHARS_MAX` characters.
    pub name: String,
    /// Where it is, and what opens it.
    pub bucket: ImportBucket,
    /// When it was made.
    pub created: Timestamp,
}

impl ImportSource {
    /// Characters of a name.
    pub const NAME_CHARS_MAX: usize = 256;
}

/// A bucket in an S3-compatible store.
#[derive(Clone, PartialEq, Eq)]
pub struct ImportBucket {
    /// Its name.
    pub name: String,
    /// Where the store is, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// Whether the bucket is named in the path rather than in the host.
    pub path_style: bool,
    /// The public half of what opens it.
    pub access_key_id: String,
    /// The other half, never shown.
    pub secret_access_key: String,
}

impl fmt::Debug for ImportBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportBucket({})", self.name)
    }
}

/// One import from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportJob {
    /// Its name in the API.
    pub id: OpaqueId,
    /// From where.
    pub source: OpaqueId,
    /// What the keys of its objects begin with: empty, or with a slash at its end.
    pub root: String,
    /// What the ids of its images begin with.
    pub prefix: String,
    /// Whether images whose object changed are replaced; else what is there is kept.
    pub overwrite: bool,
    /// How far it is.
    pub state: ImportState,
    /// What came of its objects so far.
    pub counts: ImportCounts,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it first began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// It waits for a server.
    Pending,
    /// A server is at it, or was and is to be replaced by another one.
    Running,
    /// Every object was looked at.
    Completed,
    /// Somebody ended it.
    Aborted,
    /// The bucket could not be read.
    Failed,
    /// There is no room for more images.
    QuotaExceeded,
}

impl ImportState {
    const ALL: [(Self, &str); 6] = [
        (Self::Pending, "pending"),
        (Self::Running, "running"),
        (Self::Completed, "completed"),
        (Self::Aborted, "aborted"),
        (Self::Failed, "failed"),
        (Self::QuotaExceeded, "quota_exceeded"),
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(state, _)| *state == self);
        found.map_or("", |(_, word)| word)
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(state, _)| *state)
    }

    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// What came of the objects of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Objects which were looked at.
    pub found: u64,
    /// Those which became images, or new bytes of images.
    pub imported: u64,
    /// Those which are no images of ours to be, or are there already.
    pub skipped: u64,
    /// Those which should have become images.
    pub failed: u64,
}

/// What came of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is an image.
    Imported,
    /// It is none of ours to be.
    Skipped,
    /// It should have been.
    Failed,
}

impl ImportOutcome {
    const ALL: [(Self, &str); 3] = [
        (Self::Imported, "imported"),
        (Self::Skipped, "skipped"),
        (Self::Failed, "failed"),
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(outcome, _)| *outcome == self);
        found.map_or("", |(_, word)| word)
    }

    /// The outcome of a word.
    pub fn parse(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(outcome, _)| *outcome)
    }
}

/// A line in the log of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportEntry {
    /// The key of the object.
    pub key: String,
    /// What came of it.
    pub outcome: ImportOutcome,
    /// Why it did not become an image.
    pub reason: Option<String>,
}

/// An object as it was when it became an image, so that a change of either shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedObject {
    /// The image.
    pub image: ImageId,
    /// What the image was made of.
    pub blob: BlobKey,
    /// What the store calls its content.
    pub etag: Option<String>,
    /// How many bytes it had.
    pub bytes: u64,
    /// When it was written.
    pub modified: Timestamp,
}
