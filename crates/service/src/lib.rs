//! Use cases, without HTTP: what a request of any kind may do with accounts, images, variants,
//! keys and renditions. Errors are named in the words of this layer; no status code lives here.

pub mod accounts;
mod batch_token;
mod binding;
mod cursor;
mod deliver;
mod direct_upload;
mod error;
mod explanation;
mod fetch;
mod flights;
mod freshness;
mod hints;
pub mod holdings;
mod images;
mod imports;
mod keys;
mod load;
mod memory;
mod meters;
mod notifications;
mod purge;
mod remote;
mod renderer;
mod rendering;
mod reservations;
mod settings;
mod sources;
mod sweep;
mod upload;
mod variants;
mod zones;

use std::sync::Arc;

use pixels::Engine;
use store::{Blobs, Catalog, DiskSpace, RenditionKey, Renditions, Vault};

pub use batch_token::MintedBatchToken;
pub use binding::{Composed, Program, ProgramInput};
pub use deliver::{Caching, Delivered, Delivery, DeliveryError, Ready, ReadyBytes, Wanted};
pub use direct_upload::{DirectUpload, NewDirectUpload};
pub use error::Error;
pub use explanation::{Explanation, Times};
pub use fetch::{FetchError, Fetcher, Network, Ports, Reach};
pub use hints::{ClientHints, HintsUsed};
pub use images::{Blob, Page, PageRequest, Stats, Walk, WalkRequest};
pub use imports::{NewImport, NewImportSource};
pub use memory::Share;
pub use meters::{Histogram, Meters};
pub use notifications::{NewPolicy, NewWebhook, PolicyEdit, Teller, Told};
pub use purge::{Purge, Purged};
pub use remote::{RemoteImage, RemoteRefusal, RemoteRequest, WorkerFetch};
pub use renderer::Renderer;
pub use rendering::{Rendered, Tier};
pub use settings::{Addresses, RemoteSettings, Settings};
pub use sources::Found;
pub use sweep::Swept;
pub use upload::{NewImage, Upload};
pub use zones::ZoneEdit;

/// The target of spans which are made for traces alone.
pub const TRACE: &str = "otel";

/// The use cases over one store. Cheap to clone; every clone is the same service.
#[derive(Clone)]
pub struct Service {
    catalog: Arc<dyn Catalog>,
    blobs: Arc<Blobs>,
    renditions: Arc<Renditions>,
    disk_space: Arc<DiskSpace>,
    engine: Engine,
    lanes: Arc<load::Lanes>,
    /// For the pixels of renderings and uploads.
    memory: memory::RenderMemory,
    /// Judges uploads: a lane of their own, so that deliveries to strangers cannot stop them.
    judge: Arc<Renderer>,
    reservations: reservations::Reservations,
    /// Held while a variant changes. Other nodes are met by comparing before writing.
    variant_edits: Arc<tokio::sync::Mutex<()>>,
    /// For the bytes of uploads under way.
    upload_memory: memory::Memory,
    fetcher: Fetcher,
    sources: Arc<sources::Sources>,
    flights: flights::Flights<RenditionKey, rendering::Rendering>,
    refusals: Arc<rendering::Refusals>,
    meters: Arc<Meters>,
    zone_owner: Arc<zones::LastKnown>,
    secrets: Arc<Secrets>,
    settings: Arc<Settings>,
    /// Names this process among all which share the store.
    process: [u8; 16],
}

/// Keys derived from the server's secret, one per purpose.
pub struct Secrets {
    cursor: ring::hmac::Key,
    batch_token: ring::hmac::Key,
}

impl Secrets {
    /// The keys of a server's secret.
    pub fn of(vault: &Vault) -> Self {
        let key = |purpose| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &vault.derive(purpose));
        Self {
            cursor: key("list cursor"),
            batch_token: key("batch token"),
        }
    }
}

impl Service {
    /// Puts the use cases over a store.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        blobs: Blobs,
        renditions: Renditions,
        disk_space: DiskSpace,
        secrets: Secrets,
        settings: Settings,
    ) -> Result<Self, Error> {
        Ok(Self {
            catalog,
            blobs: Arc::new(blobs),
            renditions: Arc::new(renditions),
            disk_space: Arc::new(disk_space),
            engine: Engine::new(settings.limits.clone(), settings.policy.clone()),
            memory: memory::RenderMemory::new(settings.render_memory_bytes),
            lanes: Arc::new(load::Lanes::start(&settings)?),
            judge: Arc::new(Renderer::start(
                "judge",
                settings.render_threads,
                settings.render_queue,
            )?),
            reservations: reservations::Reservations::new(settings.blob_grace),
            variant_edits: Arc::default(),
            upload_memory: memory::Memory::new(settings.upload_memory_bytes),
            fetcher: Fetcher::new(&settings)?,
            sources: Arc::new(sources::Sources::new(&settings.remote)),
            flights: flights::Flights::default(),
            refusals: Arc::new(rendering::Refusals::new(rendering::REFUSALS_MAX)),
            meters: Arc::default(),
            zone_owner: Arc::default(),
            secrets: Arc::new(secrets),
            settings: Arc::new(settings),
            process: model::random_bytes(),
        })
    }

    /// Before the store is closed: forgets what was prepared for uploads which did not come.
    pub async fn end(&self) -> Result<(), Error> {
        self.reservations.give_up(&self.catalog).await
    }

    /// The time by which everything expires.
    pub fn now(&self) -> model::Timestamp {
        self.catalog.now()
    }

    /// The settings the service runs with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the service has counted.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The lanes of CPU work, by name.
    pub fn lanes(&self) -> [(&'static str, &Renderer); 4] {
        [
            ("render", self.lanes.get(load::Lane::Light)),
            ("heavy", self.lanes.get(load::Lane::Heavy)),
            ("later", self.lanes.get(load::Lane::Later)),
            ("judge", &self.judge),
        ]
    }

    /// Bytes of renditions in memory and on disk.
    pub fn cached_bytes(&self) -> [(Tier, u64); 2] {
        let renditions = &self.renditions;
        [
            (Tier::Memory, renditions.memory_bytes()),
            (Tier::Disk, renditions.bytes()),
        ]
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.catalog.ping().await?)
    }
}
