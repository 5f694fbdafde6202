//! Renditions found in the caches, or rendered once however many ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use model::Transform;
use model::transform::{Format, Warning};
use pixels::{Accepts, Assets, Cancel, Engine, Header, RenditionFormat, Request};
use quick_cache::sync::Cache;
use ring::digest;
use store::{RenditionKey, StoredRendition};
use tokio::time::timeout;
use tracing::{Instrument as _, info_span};

use crate::flights::Flying;
use crate::load::{AVIF_SIDE_LOADED, Lane, Shed};
use crate::{DeliveryError, Service, TRACE, Times};

/// Changes whenever the same source and transform would give other bytes.
const ENGINE: &str = "8";

/// What is to be rendered, and under which key it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) key: RenditionKey,
    pub(crate) transform: Transform,
    pub(crate) accepts: Accepts,
    /// Of the source, as the key holds it.
    pub(crate) version: String,
    /// Of the source, if it is known before the source is read.
    pub(crate) header: Option<Header>,
    /// Whether the rendition may be kept beyond the requests which wait for it.
    pub(crate) kept: bool,
    /// Whether the format of the source was judged when it was uploaded.
    pub(crate) judged: bool,
    /// What the overlays need.
    pub(crate) assets: Arc<[Asset]>,
}

/// A picture or font of an overlay.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    /// As the overlay names it.
    pub(crate) address: String,
    pub(crate) bytes: Bytes,
    pub(crate) is_font: bool,
}

impl Job {
    /// Whether other nodes may have the rendition. Those of hosted images go with their images; nobody
    /// would remove those of remote ones.
    fn is_shared(&self) -> bool {
        self.kept && self.judged
    }

    /// Whether AVIF is chosen by negotiation, so that the next format would do.
    fn may_be_avif(&self) -> bool {
        self.transform.format == Format::Auto && self.accepts.avif
    }
}

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
    /// Where the time went, if it was made just now.
    pub times: Option<Times>,
    /// The digest of the rendition which stands in for that which was asked for.
    pub(crate) substitute: Option<[u8; 32]>,
}

impl Rendered {
    /// Whether something better is delivered at another time.
    pub fn is_substitute(&self) -> bool {
        self.substitute.is_some()
    }
}

/// Where a rendition was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In the cache in memory.
    Memory,
    /// In the cache on disk.
    Disk,
    /// In the bucket of renditions, where another node put it.
    Bucket,
    /// Nowhere: it was rendered, for this request or for another of the same moment.
    Made,
}

impl Tier {
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Disk, Self::Bucket, Self::Made];

    /// `memory`, `disk`, `bucket` or `miss`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Bucket => "bucket",
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
            times: None,
            substitute: None,
        }
    }
}

pub(crate) type Rendering = Result<Rendered, DeliveryError>;

/// Renderings which failed, for a while.
pub(crate) type Refusals = Cache<RenditionKey, Refusal>;

/// A rendering which failed for a reason that lasts.
#[derive(Clone)]
pub(crate) struct Refusal {
    error: Arc<pixels::Error>,
    until: Instant,
}

/// More are not told.
const WARNINGS_MAX: usize = 8;

/// What is told of options which were ignored.
pub(crate) fn warnings_of(ignored: &[Warning]) -> Vec<String> {
    let told = ignored.iter().take(WARNINGS_MAX);
    told.map(ToString::to_string).collect()
}

/// How many are remembered.
pub(crate) const REFUSALS_MAX: usize = 10_000;

/// Stops the work of a flight which is over, finished or abandoned.
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Service {
    /// The rendition, from memory, from disk or rendered from what `load` brings. Concurrent calls
    /// for one key load and render once. Under load, or where AVIF is not ready in time, it is that of
    /// the next format.
    pub(crate) async fn find_or_render<L, F>(&self, job: &Job, load: L) -> Rendering
    where
        L: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, DeliveryError>> + Send + 'static,
    {
        let rendering = self.find(job, load).await;
        if let Ok(rendered) = &rendering {
            self.meters.count_found(rendered.tier);
        }
        rendering
    }

    async fn find<L, F>(&self, job: &Job, load: L) -> Rendering
    where
        L: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, DeliveryError>> + Send + 'static,
    {
        if let Some(found) = self.find_kept(job).await {
            return found;
        }
        if !job.may_be_avif() {
            return self.flight(job, None, load).await;
        }
        let side = job.header.as_ref();
        let side = side.and_then(|header| self.engine.longest_side(header, &job.transform));
        if side.is_some_and(|side| side > self.engine.policy().avif_side_auto) {
            return self.flight(job, None, load).await;
        }
        let shed = self.lanes.shed();
        let spared = match shed {
            Shed::Nothing => false,
            Shed::LargeAvif => side.is_none_or(|side| side > AVIF_SIDE_LOADED),
            Shed::Avif | Shed::Large => true,
        };
        if spared {
            self.meters.count_shed(shed.min(Shed::Avif));
            return self.without_avif(job, load).await;
        }
        let Some(wait) = self.settings.avif_wait else {
            return self.flight(job, None, load).await;
        };
        let flight = self.flight(job, Some(Lane::Later), load.clone());
        let landed = if wait.is_zero() {
            flight.clone().now_or_never()
        } else {
            timeout(wait, flight.clone()).await.ok()
        };
        match landed {
            Some(Err(DeliveryError::Busy)) => {}
            Some(rendering) => return rendering,
            // For those who ask later. They are bounded by the queue of their lane.
            None => drop(tokio::spawn(flight)),
        }
        self.meters.count_late();
        self.without_avif(job, load).await
    }

    /// The rendition as it is for clients which do not take AVIF.
    async fn without_avif<L, F>(&self, job: &Job, load: L) -> Rendering
    where
        L: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, DeliveryError>> + Send + 'static,
    {
        let accepts = Accepts {
            avif: false,
            ..job.accepts
        };
        let digest = self.digest_of(&job.version, &job.transform, accepts);
        let next = Job {
            key: RenditionKey {
                transform: digest,
                ..job.key.clone()
            },
            accepts,
            ..job.clone()
        };
        let rendered = match self.find_kept(&next).await {
            Some(found) => found?,
            None => self.flight(&next, None, load).await?,
        };
        Ok(Rendered {
            substitute: Some(digest),
            ..rendered
        })
    }

    /// What is in the caches, or known not to work.
    pub(crate) async fn find_kept(&self, job: &Job) -> Option<Rendering> {
        if job.kept {
            if let Some(ready) = self.renditions.get_ready(&job.key) {
                let tier = Tier::Memory;
                return Some(Ok(Rendered {
                    tier,
                    ..ready.into()
                }));
            }
            if let Some(stored) = self.renditions.get(&job.key).await {
                return Some(Ok(stored.into()));
            }
        }
        let refused = self.refusals.get(&job.key);
        let refused = refused.filter(|refusal| Instant::now() < refusal.until);
        refused.map(|refusal| Err(DeliveryError::Pixels(refusal.error)))
    }

    /// Remembers that a source cannot be rendered, so that nobody makes the server try all the time.
    /// A source which changes has other keys.
    fn remember(&self, key: &RenditionKey, error: &Arc<pixels::Error>) {
        use pixels::Error;
        let seconds = match error.as_ref() {
            Error::Cancelled | Error::Encode(_) => return,
            Error::Deadline => 10,
            _ => 60,
        };
        let refusal = Refusal {
            error: error.clone(),
            until: Instant::now() + Duration::from_secs(seconds),
        };
        self.refusals.insert(key.clone(), refusal);
    }

    /// In this lane, or in that which the work asks for.
    fn flight<L, F>(&self, job: &Job, lane: Option<Lane>, load: L) -> Flying<Rendering>
    where
        L: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, DeliveryError>> + Send + 'static,
    {
        self.flights.join(&job.key, || {
            let rendering = self.clone().render(job.clone(), lane, load);
            let meters = self.meters.clone();
            let span = info_span!(target: TRACE, "rendition");
            async move { meters.watch(rendering).await }.instrument(span)
        })
    }

    async fn render<L, F>(self, job: Job, lane: Option<Lane>, load: L) -> Rendering
    where
        L: Fn() -> F,
        F: Future<Output = Result<Bytes, DeliveryError>>,
    {
        // Another flight may have landed between the look at the disk and this one's start.
        if job.kept
            && let Some(stored) = self.renditions.get(&job.key).await
        {
            return Ok(stored.into());
        }
        if job.is_shared()
            && let Some(shared) = self.renditions.get_shared(&job.key).await
        {
            let tier = Tier::Bucket;
            return Ok(Rendered {
                tier,
                ..shared.into()
            });
        }
        // Bytes are read when a thread is near, so that those who wait hold none.
        let mut times = Times::default();
        let mut since = Instant::now();
        let mut lap = || {
            let now = Instant::now();
            now - std::mem::replace(&mut since, now)
        };
        let queue = || info_span!(target: TRACE, "queue");
        let source = || info_span!(target: TRACE, "source");
        let turn = self.lanes.turn(lane.unwrap_or(Lane::Light));
        let mut turn = turn.instrument(queue()).await?;
        times.queue += lap();
        let mut bytes = load().instrument(source()).await?;
        times.load += lap();
        let needed = self.engine.rendering_bytes(&bytes, &job.transform);
        // One overlay is decoded at a time, and waits as large as it is drawn.
        let drawn = job.assets.iter().filter(|asset| !asset.is_font);
        let drawn = drawn.map(|asset| self.engine.rendering_bytes(&asset.bytes, &job.transform));
        let needed = drawn.fold(needed, u64::saturating_add);
        let work = self
            .engine
            .rendering_work(&bytes, &job.transform, job.accepts);
        let lane = lane.unwrap_or_else(|| self.lane_of(work, needed));
        if lane == Lane::Heavy {
            drop((turn, bytes));
            self.refuse_large(lane)?;
            turn = self.lanes.turn(lane).instrument(queue()).await?;
            times.queue += lap();
            bytes = load().instrument(source()).await?;
            times.load += lap();
        }
        let share = self.share(lane, needed).await?;
        let cancel = Cancel::at(Instant::now() + self.settings.limits.render_deadline);
        let _stop = CancelOnDrop(cancel.clone());
        let work = {
            let (job, engine) = (job.clone(), self.engine.clone());
            move || {
                let rendition = render(&engine, &bytes, &job, &cancel);
                // With the job and not with its caller, who may go before it ends.
                drop(share);
                rendition
            }
        };
        let span = info_span!(target: TRACE, "render", lane = lane.as_str());
        let rendered = self.lanes.get(lane).run(work).instrument(span).await?;
        times.render = lap();
        let rendition = rendered.map_err(|error| {
            let error = Arc::new(error);
            self.remember(&job.key, &error);
            DeliveryError::Pixels(error)
        })?;
        let rendered = Rendered {
            media_type: rendition.format.as_str(),
            bytes: rendition.bytes.into(),
            warnings: rendition.warnings.iter().map(ToString::to_string).collect(),
            tier: Tier::Made,
            times: Some(times),
            substitute: None,
        };
        // A description is made from the header alone and not worth a file.
        if let RenditionFormat::Image(format) = rendition.format
            && job.kept
        {
            let stored = StoredRendition {
                format,
                bytes: rendered.bytes.clone(),
                warnings: rendered.warnings.clone(),
            };
            // The cache is the first to do without on a full disk.
            if self.disk_space.check(stored.bytes.len() as u64).is_ok() {
                self.renditions.put(&job.key, &stored).await;
            }
            if job.is_shared() {
                self.renditions.put_shared(&job.key, &stored);
            }
        }
        drop(turn);
        Ok(rendered)
    }

    /// A digest of a source's version and all that is made of it with this engine and its
    /// preferences.
    pub(crate) fn digest_of(
        &self,
        version: &str,
        transform: &Transform,
        accepts: Accepts,
    ) -> [u8; 32] {
        let Accepts { avif, webp } = accepts;
        let engine = self.engine.rendering();
        sha256(&format!(
            "{ENGINE} {engine} avif={avif} webp={webp} {transform}{version}"
        ))
    }
}

fn render(
    engine: &Engine,
    source: &[u8],
    job: &Job,
    cancel: &Cancel,
) -> Result<pixels::Rendition, pixels::Error> {
    if !job.judged {
        engine.recognise(source)?;
    }
    let mut assets = Assets::new();
    for asset in job.assets.iter() {
        if !asset.is_font {
            engine.recognise(&asset.bytes)?;
        }
        assets.insert(&asset.address, &asset.bytes);
    }
    let request = Request {
        source,
        transform: &job.transform,
        accepts: job.accepts,
    };
    engine.render_with(&request, &assets, cancel)
}

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    bytes
}

/// The first 16 digits of a digest.
pub(crate) fn short(hash: &[u8; 32]) -> String {
    hex(&hash[..8])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
