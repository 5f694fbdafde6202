//! Delivering renditions: who may see what, in which shape, and rendered once however many ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use model::transform::{Format, InvalidOptions};
use model::{
    Account, AccountHash, AccountId, Image, ImageId, MediaType, Source, Timestamp, Transform,
    VariantName, signed_url,
};
use pixels::{Accepts, Cancel, RenditionFormat, Request};
use ring::digest;
use store::{RenditionKey, StoredRendition};

use crate::{Error, Service, images};

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
    account: AccountId,
    id: ImageId,
    source: Source,
    transform: Transform,
    accepts: Accepts,
    key: RenditionKey,
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

/// Changes whenever the same source and transform would give other bytes.
const ENGINE: &str = "3";
/// The longest a signed address may be kept, and how long one without expiry is.
const PRIVATE_TTL_MAX: i64 = 172_800;
const PRIVATE_TTL_FOREVER: u32 = 3_600;

/// A rendition, or a description of an image.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// What the bytes are.
    pub media_type: &'static str,
    /// All of them.
    pub bytes: Bytes,
    /// What was asked for and done otherwise.
    pub warnings: Vec<String>,
    /// Where they were found.
    pub tier: Tier,
}

/// Where a rendition was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In the cache in memory.
    Memory,
    /// In the cache on disk.
    Disk,
    /// Nowhere: it was rendered, for this request or for another of the same moment.
    Made,
}

impl Tier {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Disk, Self::Made];

    /// `memory`, `disk` or `miss`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Made => "miss",
        }
    }
}

impl From<StoredRendition> for Rendered {
    fn from(stored: StoredRendition) -> Self {
        Self {
            media_type: stored.format.as_str(),
            bytes: stored.bytes,
            warnings: stored.warnings,
            tier: Tier::Disk,
        }
    }
}

type Rendering = Result<Rendered, DeliveryError>;

/// Renderings under way. The map holds no rendering alive: when the last client has gone, its
/// future is dropped and the work is cancelled.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<Airborne>>);

#[derive(Default)]
struct Airborne {
    flights: HashMap<RenditionKey, Flight>,
    next_number: u64,
}

struct Flight {
    number: u64,
    rendering: WeakShared<BoxFuture<'static, Rendering>>,
}

impl Service {
    /// Finds the image and the variant, verifies the signature and settles what is to be rendered.
    pub async fn open(&self, delivery: &Delivery<'_>) -> Result<Delivered, DeliveryError> {
        let account = self.catalog.account_by_hash(&delivery.hash).await?;
        let account = account.ok_or(DeliveryError::UnknownAccount)?;
        let image = self.catalog.image(&account.id, &delivery.id).await?;
        let image = image.ok_or(DeliveryError::ImageNotFound)?;
        let source = image.source.clone().ok_or(DeliveryError::ImageNotFound)?;
        let (transform, caching) = match &delivery.wanted {
            Wanted::Variant(name) => self.open_variant(&account, &image, name, delivery).await?,
            Wanted::Options(options) => open_flexible(&account, &image, options)?,
        };
        let negotiated = transform.format == Format::Auto && source.format != MediaType::Svg;
        let accepts = if negotiated {
            delivery.accepts
        } else {
            Accepts::default()
        };
        let key = rendition_key(&source, &transform, accepts, &self.engine.rendering());
        let etag = format!("\"cf-{}:{}\"", short(&key.transform), short(&source.sha256));
        Ok(Delivered {
            etag,
            uploaded: image.uploaded,
            caching,
            negotiated,
            account: account.id,
            id: image.id,
            source,
            transform,
            accepts,
            key,
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
            let now = Timestamp::now();
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

    /// The bytes, from disk or rendered. Concurrent calls for one rendition render it once.
    pub async fn rendition(&self, delivered: &Delivered) -> Rendering {
        let rendering = self.find_or_render(delivered).await;
        if let Ok(rendered) = &rendering {
            self.meters.count_found(rendered.tier);
        }
        rendering
    }

    async fn find_or_render(&self, delivered: &Delivered) -> Rendering {
        if let Some(ready) = self.renditions.get_ready(&delivered.key) {
            let tier = Tier::Memory;
            return Ok(Rendered {
                tier,
                ..ready.into()
            });
        }
        if let Some(stored) = self.renditions.get(&delivered.key).await {
            return Ok(stored.into());
        }
        self.flight(delivered).await
    }

    fn flight(&self, delivered: &Delivered) -> Shared<BoxFuture<'static, Rendering>> {
        let key = &delivered.key;
        let mut airborne = self.flights.lock();
        let flight = airborne.flights.get(key);
        if let Some(rendering) = flight.and_then(|flight| flight.rendering.upgrade()) {
            return rendering;
        }
        let number = airborne.next_number;
        airborne.next_number += 1;
        let landing = Landing {
            flights: self.flights.clone(),
            key: key.clone(),
            number,
            cancel: Cancel::at(Instant::now() + self.settings.limits.render_deadline),
        };
        let rendering = self.clone().render(delivered.clone(), landing);
        let meters = self.meters.clone();
        let rendering = async move { meters.watch(rendering).await };
        let rendering = rendering.boxed().shared();
        if let Some(weak) = rendering.downgrade() {
            let flight = Flight {
                number,
                rendering: weak,
            };
            airborne.flights.insert(key.clone(), flight);
        }
        rendering
    }

    async fn render(self, delivered: Delivered, landing: Landing) -> Rendering {
        // Another flight may have landed between the look at the disk and this one's start.
        if let Some(stored) = self.renditions.get(&delivered.key).await {
            return Ok(stored.into());
        }
        // Bytes are read when a thread is near, so that those who wait hold none.
        let _turn = self.renderer.turn().await?;
        let source = &delivered.source;
        let Some(bytes) = self.blobs.get(&source.blob).await? else {
            return Err(
                if self
                    .is_lost(&delivered.account, &delivered.id, source)
                    .await?
                {
                    images::lost(source).into()
                } else {
                    DeliveryError::ImageNotFound
                },
            );
        };
        let needed = self.engine.rendering_bytes(&bytes, &delivered.transform);
        let share = self.memory.share(needed).await?;
        let job = {
            let (transform, accepts) = (delivered.transform.clone(), delivered.accepts);
            let (engine, cancel) = (self.engine.clone(), landing.cancel.clone());
            move || {
                let request = Request {
                    source: &bytes,
                    transform: &transform,
                    accepts,
                };
                let rendition = engine.render(&request, &cancel);
                // With the job and not with its caller, who may go before it ends.
                drop(share);
                rendition
            }
        };
        let rendered = self.renderer.run(job).await?;
        let rendition = rendered.map_err(|error| DeliveryError::Pixels(Arc::new(error)))?;
        let rendered = Rendered {
            media_type: rendition.format.as_str(),
            bytes: rendition.bytes.into(),
            warnings: rendition.warnings.iter().map(ToString::to_string).collect(),
            tier: Tier::Made,
        };
        // A description is made from the header alone and not worth a file.
        if let RenditionFormat::Image(format) = rendition.format {
            let stored = StoredRendition {
                format,
                bytes: rendered.bytes.clone(),
                warnings: rendered.warnings.clone(),
            };
            // The cache is the first to do without on a full disk.
            if self.disk_space.check(stored.bytes.len() as u64).is_ok() {
                self.renditions.put(&delivered.key, &stored).await;
            }
        }
        Ok(rendered)
    }
}

fn open_flexible(
    account: &Account,
    image: &Image,
    options: &str,
) -> Result<(Transform, Caching), DeliveryError> {
    if !account.config.flexible_variants {
        return Err(DeliveryError::FlexibleDisabled);
    }
    if image.require_signed_urls {
        return Err(DeliveryError::FlexiblePrivate);
    }
    let transform: Transform = options
        .parse()
        .map_err(|error: InvalidOptions| DeliveryError::Options(error.to_string()))?;
    let transform = transform
        .or_negotiated()
        .resolve_width(None, false)
        .for_slow_connection(false);
    Ok((transform, Caching::Public(account.config.browser_ttl)))
}

/// Blob, canonical transform, engine and its preferences: an edited, replaced or deleted image cannot
/// be served from under it.
fn rendition_key(
    source: &Source,
    transform: &Transform,
    accepts: Accepts,
    engine: &str,
) -> RenditionKey {
    let Accepts { avif, webp } = accepts;
    let text = format!("{ENGINE} {engine} avif={avif} webp={webp} {transform}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    RenditionKey {
        blob: source.blob.clone(),
        transform: bytes,
    }
}

fn short(hash: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    hash[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Flights {
    /// No code panics under the lock, so a poisoned one still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, Airborne> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives as long as a rendering; its end, finished or abandoned, takes the rendering off the map
/// and stops what still runs.
struct Landing {
    flights: Flights,
    key: RenditionKey,
    number: u64,
    cancel: Cancel,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.cancel.cancel();
        let mut airborne = self.flights.lock();
        // A new rendering of this key may have taken the place of an abandoned one.
        let flight = airborne.flights.get(&self.key);
        if flight.is_some_and(|flight| flight.number == self.number) {
            airborne.flights.remove(&self.key);
        }
    }
}
