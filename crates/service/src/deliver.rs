//! Delivering renditions: who may see what, in which shape, and rendered once however many ask.

use std::sync::Arc;

use bytes::Bytes;
use model::transform::{Format, Formats, Warning};
use model::{
    Account, AccountHash, AccountId, Image, ImageId, InvalidSource, MediaType, Source, Timestamp,
    Transform, VariantName, signed_url,
};
use pixels::{Accepts, Header};
use store::{Moment, OpenRendition, RenditionFile, RenditionKey};

use crate::rendering::{Job, Rendered, Rendering, Tier, short, warnings_of};
use crate::{ClientHints, Error, FetchError, HintsUsed, Service, images};

/// A request for a rendition, parsed.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// Whose image.
    pub hash: AccountHash,
    /// Which image.
    pub id: ImageId,
    /// In which shape.
    pub wanted: Wanted,
    /// What the client accepts beyond the standard formats.
    pub accepts: Accepts,
    /// What the client tells of itself.
    pub hints: ClientHints,
    /// The path as requested, percent-encoding included: what a signature covers.
    pub path: &'a str,
    /// The query as requested.
    pub query: Option<&'a str>,
}

/// The last segment of a delivery address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A variant by its name.
    Variant(String),
    /// An option list, the flexible variant.
    Options(String),
}

impl Wanted {
    /// A segment with `=` is an option list; names of variants cannot hold one.
    pub fn parse(segment: String) -> Self {
        if segment.contains('=') {
            Self::Options(segment)
        } else {
            Self::Variant(segment)
        }
    }
}

/// A rendition on its way: found and permitted, not yet rendered.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Strong and quoted: `"cf-<what was asked>:<the source>"`.
    pub etag: String,
    /// When the source was uploaded.
    pub uploaded: Timestamp,
    /// How long clients may keep it.
    pub caching: Caching,
    /// Whether the format depends on `Accept`.
    pub negotiated: bool,
    /// Which hints the rendition depends on.
    pub hints_used: HintsUsed,
    /// What was asked for and is ignored.
    pub warnings: Vec<String>,
    account: AccountId,
    id: ImageId,
    moment: Moment,
    pub(crate) source: Source,
    pub(crate) job: Job,
}

/// A rendition which anybody may have, as it is, for as long as nothing of it changes.
#[derive(Clone, Debug)]
pub struct Ready {
    key: RenditionKey,
    moment: Moment,
    tier: Tier,
    /// Bytes of the rendition.
    length: usize,
    /// Where it lies, if that was looked for.
    file: Option<RenditionFile>,
}

/// The bytes of a rendition which is ready.
#[derive(Debug)]
pub enum ReadyBytes {
    /// In memory.
    Memory(Bytes),
    /// On disk, and in the memory of the system.
    Disk(OpenRendition),
}

/// How long clients may keep a rendition, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Anybody.
    Public(u32),
    /// The client alone.
    Private(u32),
}

/// Why a rendition is not delivered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeliveryError {
    /// No account has this hash.
    #[error("Image access denied with incorrect account id")]
    UnknownAccount,
    /// No such image, or a draft.
    #[error("Could not fetch the image — the server returned HTTP error 404 Not Found")]
    ImageNotFound,
    /// The account has no variant of this name.
    #[error("This account doesn't have variant with this name")]
    UnknownVariant,
    /// The account does not allow option lists.
    #[error("Flexible variants are not enabled for the account")]
    FlexibleDisabled,
    /// Option lists never open a private image.
    #[error("Flexible variants can't be used for images that require signed URLs")]
    FlexiblePrivate,
    /// The address is not signed, or not validly.
    #[error("{0}")]
    Signature(#[from] signed_url::Refusal),
    /// The option list cannot be read.
    #[error("{0}")]
    Options(String),
    /// The rendition cannot be made.
    #[error("{0}")]
    Pixels(Arc<pixels::Error>),
    /// The source of a remote image is no address which can be fetched.
    #[error("{0}")]
    Source(#[from] InvalidSource),
    /// The zone does not allow the source of a remote image.
    #[error("Transformation origin is not in allowed origins list")]
    OriginNotAllowed,
    /// A remote image was asked for in order to make a remote image.
    #[error("Requested resized version of an already-resized image")]
    Loop,
    /// The source of a remote image was not fetched.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// The source of a remote image changes faster than it can be rendered.
    #[error("the source changed meanwhile")]
    SourceChanged,
    /// A font was not fetched.
    #[error("font for text could not be fetched: {0}")]
    Font(String),
    /// Too much work is waiting for one of so much.
    #[error("the service is busy and can't handle large images right now")]
    BusyForLarge,
    /// Too much work is waiting.
    #[error("the service is too busy")]
    Busy,
    /// Storage or a worker failed.
    #[error("{0}")]
    Failed(Arc<Error>),
}

impl From<Error> for DeliveryError {
    fn from(error: Error) -> Self {
        match error {
            Error::Busy => Self::Busy,
            other => Self::Failed(Arc::new(other)),
        }
    }
}

impl From<store::Error> for DeliveryError {
    fn from(error: store::Error) -> Self {
        Error::from(error).into()
    }
}

/// The longest a signed address may be kept, and how long one without expiry is.
const PRIVATE_TTL_MAX: i64 = 172_800;
const PRIVATE_TTL_FOREVER: u32 = 3_600;

/// From so many bytes on, what is in memory is sent from its file all the same: the system need not copy
/// it.
const SENT_FROM_FILE: usize = 256 << 10;

impl Service {
    /// Finds the image and the variant, verifies the signature and settles what is to be rendered.
    pub async fn open(&self, delivery: &Delivery<'_>) -> Result<Delivered, DeliveryError> {
        let moment = self.catalog.moment();
        let account = self.catalog.account_by_hash(&delivery.hash).await?;
        let account = account.ok_or(DeliveryError::UnknownAccount)?;
        let moment = self.catalog.moment_of(moment, &account.id, &delivery.id);
        let image = self.catalog.image(&account.id, &delivery.id).await?;
        let image = image.ok_or(DeliveryError::ImageNotFound)?;
        let source = image.source.clone().ok_or(DeliveryError::ImageNotFound)?;
        let mut warnings = Vec::new();
        let (transform, caching) = match &delivery.wanted {
            Wanted::Variant(name) => self.open_variant(&account, &image, name, delivery).await?,
            Wanted::Options(options) => {
                let formats = self.settings.policy.formats();
                let (transform, ignored) = open_flexible(&account, &image, options, formats)?;
                warnings = warnings_of(&ignored);
                (transform, Caching::Public(account.config.browser_ttl))
            }
        };
        let uses_dpr = self.settings.remote.auto_width_uses_dpr;
        let (transform, hints_used) = delivery.hints.settle(transform, uses_dpr);
        let negotiated = transform.format == Format::Auto && source.format != MediaType::Svg;
        let accepts = if negotiated {
            delivery.accepts
        } else {
            Accepts::default()
        };
        // With the blob's key: an edited, replaced or deleted image cannot be served from under it.
        let key = RenditionKey {
            blob: source.blob.clone(),
            transform: self.digest_of("", &transform, accepts),
        };
        let etag = etag_of(&key.transform, &source);
        let header = Header {
            format: source.format,
            width: source.width,
            height: source.height,
            frames: 1,
            orientation: 1,
        };
        let job = Job {
            key,
            transform,
            accepts,
            version: String::new(),
            header: Some(header),
            kept: true,
            judged: true,
            assets: Arc::default(),
        };
        Ok(Delivered {
            etag,
            uploaded: image.uploaded,
            caching,
            negotiated,
            hints_used,
            warnings,
            account: account.id,
            id: image.id,
            moment,
            source,
            job,
        })
    }

    async fn open_variant(
        &self,
        account: &Account,
        image: &Image,
        name: &str,
        delivery: &Delivery<'_>,
    ) -> Result<(Transform, Caching), DeliveryError> {
        let name = VariantName::parse(name).ok_or(DeliveryError::UnknownVariant)?;
        let variant = self.catalog.variant(&account.id, &name).await?;
        let variant = variant.ok_or(DeliveryError::UnknownVariant)?;
        let ttl = variant.options.browser_ttl;
        let caching = if image.require_signed_urls && !variant.never_require_signed_urls {
            let keys = self.catalog.signing_keys(&account.id).await?;
            let now = self.catalog.now();
            let expires = signed_url::verify(&keys, delivery.path, delivery.query, now)?;
            Caching::Private(expires.map_or(PRIVATE_TTL_FOREVER, |expires| {
                let left = (expires - now.seconds()).clamp(0, PRIVATE_TTL_MAX);
                u32::try_from(left).unwrap_or(0)
            }))
        } else {
            Caching::Public(ttl.unwrap_or(account.config.browser_ttl))
        };
        Ok((variant.options.to_transform(), caching))
    }

    /// The bytes, if they are where they were when they were delivered before and nothing has
    /// changed since. Waits neither for the database nor for the disk.
    pub fn ready(&self, ready: &Ready, can_send_files: bool) -> Option<ReadyBytes> {
        if !self.catalog.is_still(&ready.moment) {
            return None;
        }
        let open = || ready.file.as_ref()?.open_at_once();
        let bytes = match ready.tier {
            Tier::Memory => {
                let found = self.renditions.get_ready(&ready.key)?.bytes;
                // It may have been made anew.
                let found = (found.len() == ready.length).then_some(found)?;
                match can_send_files.then(open).flatten() {
                    Some(file) => ReadyBytes::Disk(file),
                    None => ReadyBytes::Memory(found),
                }
            }
            _ => ReadyBytes::Disk(open()?),
        };
        self.meters.count_found(ready.tier);
        Some(bytes)
    }

    /// The same, with the file in which it is, if it came from one not for the first time, or is long.
    pub async fn with_file(&self, ready: Ready, before: Option<&Ready>) -> Ready {
        let is_wanted = match ready.tier {
            Tier::Disk => before.is_some(),
            _ => ready.length >= SENT_FROM_FILE,
        };
        if !is_wanted {
            return ready;
        }
        let before = before.filter(|before| before.key == ready.key);
        let file = match before.and_then(|before| before.file.clone()) {
            Some(file) => Some(file),
            None => self.renditions.file(&ready.key).await,
        };
        let file = file.filter(|file| file.length() == ready.length as u64);
        Ready { file, ..ready }
    }

    /// The bytes, from a cache or rendered. Concurrent calls for one rendition render it once.
    pub async fn rendition(&self, delivered: &Delivered) -> Rendering {
        let (service, source) = (self.clone(), delivered.source.clone());
        let (account, id) = (delivered.account.clone(), delivered.id.clone());
        let load = move || {
            let (service, source) = (service.clone(), source.clone());
            let (account, id) = (account.clone(), id.clone());
            load(service, account, id, source)
        };
        self.find_or_render(&delivered.job, load).await
    }
}

impl Ready {
    /// Where the rendition was found.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Bytes of the rendition.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl Delivered {
    /// How to have it once more without asking who may, if the answer depends on nothing but the
    /// address and the formats which are accepted.
    pub fn ready(&self, rendered: &Rendered) -> Option<Ready> {
        let for_all = matches!(self.caching, Caching::Public(_));
        let for_any_client = self.hints_used == HintsUsed::default();
        let kept = matches!(rendered.tier, Tier::Memory | Tier::Disk);
        let whole = kept && !rendered.is_substitute();
        (for_all && for_any_client && whole).then(|| Ready {
            key: self.job.key.clone(),
            moment: self.moment,
            tier: rendered.tier,
            length: rendered.bytes.len(),
            file: None,
        })
    }

    /// The tag of what was found or made, which may stand in for that which was asked for.
    pub fn etag_of(&self, rendered: &Rendered) -> String {
        match &rendered.substitute {
            Some(digest) => etag_of(digest, &self.source),
            None => self.etag.clone(),
        }
    }
}

fn etag_of(digest: &[u8; 32], source: &Source) -> String {
    format!("\"cf-{}:{}\"", short(digest), short(&source.sha256))
}

async fn load(
    service: Service,
    account: AccountId,
    id: ImageId,
    source: Source,
) -> Result<Bytes, DeliveryError> {
    if let Some(bytes) = service.blobs.get(&source.blob).await? {
        return Ok(bytes);
    }
    Err(if service.is_lost(&account, &id, &source).await? {
        images::lost(&source).into()
    } else {
        DeliveryError::ImageNotFound
    })
}

fn open_flexible(
    account: &Account,
    image: &Image,
    options: &str,
    formats: Formats,
) -> Result<(Transform, Vec<Warning>), DeliveryError> {
    if !account.config.flexible_variants {
        return Err(DeliveryError::FlexibleDisabled);
    }
    if image.require_signed_urls {
        return Err(DeliveryError::FlexiblePrivate);
    }
    let (transform, ignored) = Transform::parse_list_of(options, formats)
        .map_err(|error| DeliveryError::Options(error.to_string()))?;
    Ok((transform.or_negotiated(), ignored))
}
