//! Every setting of the server, with its type, its unit, its default and its meaning.
//!
//! The table below is the only place which lists them: the `Config` struct, the command line flags,
//! the environment variables, the keys of the file, `calotype config print` and
//! `docs/reference/config.md` are made from it. The order of precedence is in `sources.rs`.

mod base_url;
mod error;
mod kind;
mod reference;
mod remote;
mod secret;
mod setting;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{AccountHash, AccountId, Flows, GammaDirection, Limits, Policy, ResizeLight};
use service::Ports;
use store::{Bucket, BucketUrl, PostgresUrl};

pub use base_url::BaseUrl;
pub use error::Error;
pub use kind::Kind;
pub(crate) use kind::parse_time;
pub use reference::reference;
pub use remote::{Hosts, MountPrefix, Networks, Zones};
pub use secret::{Secret, SecretKey};
pub use setting::{PREFIX, Setting};
pub use sources::{Given, Origin, Settings, Sources};

/// Makes `Config` and `SETTINGS` of one table.
macro_rules! settings {
    (
        $($group:literal {$(
            $(#[doc = $help:literal])+
            $name:ident: $type:ty, $kind:expr, $default:literal;
        )+})+
        limits $limits_group:literal {$(
            $(#[doc = $limit_help:literal])+
            $limit:ident, $limit_kind:expr, $limit_default:literal;
        )+}
    ) => {
        /// What the server was told, valid by type.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($($(#[doc = $help])+ pub $name: $type,)+)+
            /// The limits of single requests.
            pub limits: Limits,
        }

        /// The table of settings.
        pub const SETTINGS: &[Setting] = &[
            $($(Setting {
                name: stringify!($name),
                group: $group,
                kind: $kind,
                default: $default,
                help: concat!($($help),+),
            },)+)+
            $(Setting {
                name: stringify!($limit),
                group: $limits_group,
                kind: $limit_kind,
                default: $limit_default,
                help: concat!($($limit_help),+),
            },)+
        ];

        impl Config {
            /// Reads the texts of the settings.
            pub fn read(settings: &Settings) -> Result<Self, Error> {
                let mut table = SETTINGS.iter();
                // The fields come in the order of the table.
                let mut next = || table.next().expect("the table has a row for every field");
                Ok(Self {
                    $($($name: settings.value(next())?,)+)+
                    limits: Limits { $($limit: settings.value(next())?,)+ },
                })
            }
        }
    };
}

settings! {
    "Addresses" {
        /// Where the one listener serves API, delivery, uploads and batch.
        listen: SocketAddr, Kind::Address, "127.0.0.1:8787";
        /// Where the same is served with TLS, in HTTP/1.1 and HTTP/2; nowhere without it.
        tls_listen: Option<SocketAddr>, Kind::Address, "";
        /// The certificate for that, with those which vouch for it, as PEM. SIGHUP reads it again.
        tls_certificate: Option<PathBuf>, Kind::Path, "";
        /// Its private key as PEM.
        tls_key: Option<PathBuf>, Kind::Path, "";
        /// What the addresses in `variants` start with; the one by which clients reach this server.
        public_url: BaseUrl, Kind::Url, "http://<listen>";
        /// What the one-time addresses of direct uploads start with.
        upload_url: BaseUrl, Kind::Url, "<public_url>/upload";
        /// Where the batch API is.
        batch_url: BaseUrl, Kind::Url, "<public_url>/batch";
        /// Connections which are served at the same time; a thousand more wait, and further ones are
        /// refused with 503.
        connections_max: usize, Kind::Count(1, 1_000_000), "4096";
    }
    "Storage" {
        /// The folder of everything which no other setting puts elsewhere.
        data_dir: PathBuf, Kind::Path, "./data";
        /// Where records are kept.
        database: Database, Kind::Database, "sqlite:<data_dir>/calotype.db";
        /// Connections to PostgreSQL which this server may open, and one more.
        database_connections: usize, Kind::Count(1, 10_000), "16";
        /// Where uploaded bytes are kept.
        blobs: BlobStore, Kind::Blobs, "file:<data_dir>/blobs";
        /// Where the S3 store is; without it the variables of AWS say, or it is Amazon's.
        s3_endpoint: Option<BaseUrl>, Kind::Url, "";
        /// The region of the S3 store; without it the variables of AWS say, or it is `us-east-1`.
        s3_region: Option<String>, Kind::Word, "";
        /// Whether the bucket is named in the path of requests rather than in their host.
        s3_path_style: bool, Kind::Switch, "true";
        /// The key id for the S3 store; without it the variables of AWS, its file of shared credentials
        /// or the role of the machine say.
        s3_access_key_id: Option<Secret>, Kind::Token, "";
        /// The secret of that key.
        s3_secret_access_key: Option<Secret>, Kind::Token, "";
        /// A bucket for renditions of hosted images as well, in the same S3 store, so that what one node
        /// made no other makes again.
        rendition_bucket: Option<BucketUrl>, Kind::Bucket, "";
        /// The folder of renditions; losing it costs time, never data.
        cache_dir: PathBuf, Kind::Path, "<data_dir>/cache";
        /// Bytes of renditions on disk; the longest unused ones go first.
        cache_disk_bytes: u64, Kind::Bytes(0, 1 << 50), "10GB";
        /// Bytes of renditions in memory; those which are asked for most stay.
        cache_memory_bytes: u64, Kind::Bytes(0, 1 << 50), "256MB";
        /// Bytes which uploads and renditions leave free on the disk, so that deleting still works.
        disk_reserve_bytes: u64, Kind::Bytes(0, 1 << 50), "64MiB";
        /// Time between two searches for expired drafts and abandoned bytes.
        sweep_interval: Duration, time(10, DAY), "1m";
        /// How old an unfinished upload must be to be swept.
        blob_grace: Duration, time(1_000, 30 * DAY), "24h";
        /// How long the bytes of a deleted image stay.
        release_grace: Duration, time(0, 365 * DAY), "0s";
    }
    "Accounts and secrets" {
        /// The id of the account which the first start creates; minted without it.
        account_id: Option<AccountId>, Kind::AccountId, "";
        /// The hash of the account which the first start creates; minted without it.
        account_hash: Option<AccountHash>, Kind::AccountHash, "";
        /// The API token which the first start creates; minted without it.
        api_token: Option<Secret>, Kind::Token, "";
        /// The key which seals secrets in the database, the same on every node; minted into
        /// `<data_dir>/secret.key` without it.
        secret_key: Option<SecretKey>, Kind::Key, "";
    }
    "Uploads" {
        /// Time in which an upload by URL must have fetched its image.
        source_timeout: Duration, time(1, HOUR), "30s";
        /// The longest gap between two pieces of an upload.
        upload_idle_timeout: Duration, time(1, HOUR), "30s";
        /// Bytes of uploads under way which are held in memory; further uploads wait, and are refused
        /// after some seconds.
        upload_memory_bytes: u64, Kind::Bytes(1, 1 << 50), "512MiB";
        /// Whether AVIF files can be uploaded.
        accept_avif_input: bool, Kind::Switch, "true";
        /// Whether HEIC files can be uploaded.
        accept_heic_input: bool, Kind::Switch, "true";
        /// Whether JPEG XL, TIFF, BMP and ICO can be uploaded, which the API itself refuses. They are
        /// delivered in other formats.
        accept_more: bool, Kind::Switch, "false";
        /// How long the address of a direct upload works, if the request does not say.
        direct_upload_expiry: Duration, time(120_000, 6 * HOUR), "30m";
    }
    "Remote images" {
        /// The hosts at which `/cdn-cgi/image/` is offered, each with its subdomains:
        /// `[scheme://]host[:port]`, then `=` and the sources it allows besides the host itself: `zone`,
        /// `any`, or `b.com|*.c.com|d.com/themes`. `auto` is the hosts of `public_url` and `listen`,
        /// each for its own pictures alone.
        zones: Zones, Kind::Zones, "auto";
        /// What may stand before `/cdn-cgi/image/`, for sites below a path.
        mount_prefix: MountPrefix, Kind::MountPrefix, "";
        /// Pictures which zones transform at their own addresses: conditions (`zone`, `path`, `extension`,
        /// `query`), `->`, and options or `fastly`; the first which holds runs.
        flows: Flows, Kind::Flows, "";
        /// Whether the path of an allowed origin is a row of whole segments: `d.com/themes` then does
        /// not allow `/themesx`.
        strict_path_segments: bool, Kind::Switch, "false";
        /// Whether `width=auto` multiplies the width of the viewport by the device's pixels.
        auto_width_uses_dpr: bool, Kind::Switch, "false";
        /// How long renditions are used at least before the origin is asked whether the source has
        /// changed, unless it sends `must-revalidate`, `no-cache`, `no-store` or `private`.
        rendition_ttl_min: Duration, time(0, 365 * DAY), "1h";
    }
    "Sources" {
        /// Lets uploads by URL, remote images and webhooks reach loopback and private addresses.
        allow_private_sources: bool, Kind::Switch, "false";
        /// Private networks which they may reach all the same.
        source_networks: Networks, Kind::Networks, "";
        /// Hosts which are reached at this address, private or not, and not at that of DNS.
        source_hosts: Hosts, Kind::Hosts, "";
        /// Ports which sources of remote images may have, besides those which `zones` names, or `any`.
        source_ports: Ports, Kind::Ports, "80,443";
        /// Bytes of one source of a remote image.
        source_bytes_max: u64, Kind::Bytes(1, 1 << 40), "100MB";
        /// Bytes of sources of remote images which are held in memory at the same time; further ones
        /// wait, and are refused after some seconds.
        source_memory_bytes: u64, Kind::Bytes(1, 1 << 50), "512MiB";
        /// Redirects which are followed.
        source_redirects_max: usize, Kind::Count(0, 20), "5";
        /// Sources which are fetched from one host at the same time.
        source_fetches_per_host: usize, Kind::Count(1, 10_000), "16";
        /// Time until the origin of a remote image has answered, redirects included.
        source_head_timeout: Duration, time(1, HOUR), "15s";
        /// Time which the body of its answer may take.
        source_body_timeout: Duration, time(1, HOUR), "60s";
    }
    "Rendering" {
        /// Threads which decode, resize and encode.
        render_threads: usize, Kind::Count(1, 1_024), "<cores>";
        /// Renderings which wait for a thread; further ones are refused.
        render_queue: usize, Kind::Count(1, 1_000_000), "256";
        /// How long a rendering may wait for its turn before it is refused.
        render_queue_timeout: Duration, time(1, HOUR), "10s";
        /// How long a client which takes AVIF waits for it where it is not ready; then it gets the next
        /// format, and AVIF the next time. Without it, it waits as long as it takes.
        avif_wait: Option<Duration>, time(0, HOUR), "";
        /// Bytes of memory for pixels under way, estimated before they are decoded; further renderings
        /// wait. A quarter is for small ones alone. One which needs more runs alone.
        render_memory_bytes: u64, Kind::Bytes(1, 1 << 50), "1GB";
        /// Which way `gamma` works: `2026` (below 1 lightens) or `legacy` (below 1 darkens).
        gamma_semantics: GammaDirection, Kind::GammaDirection, "2026";
        /// Ceiling of `dpr`.
        dpr_max: u32, Kind::Count(1, 10), "2";
        /// Whether `format=png` is always PNG; without it, opaque pictures become JPEG.
        strict_png: bool, Kind::Switch, "false";
        /// Whether `format=jpg` is taken for `format=jpeg`; without it, it is refused.
        lenient_formats: bool, Kind::Switch, "false";
        /// In what pictures are shrunk: `linear` light, which is right, or `gamma`, the values as they
        /// are encoded, which costs less.
        resize_light: ResizeLight, Kind::ResizeLight, "gamma";
        /// Pixels of the longest side up to which AVIF is chosen for clients which take it.
        avif_side_auto: u32, Kind::Count(0, 65_535), "1200";
        /// Pixels of the longest side up to which `format=avif` gives AVIF.
        avif_side_explicit: u32, Kind::Count(0, 65_535), "1600";
        /// The library of SVT-AV1, which encodes AVIF smaller than the built-in libaom. Without it,
        /// one beside the program or of the system is used, if it is version 4.1 or newer.
        svt_av1: Option<PathBuf>, Kind::Path, "";
        /// Whether animated PNG stays animated, as GIF or WebP; without it, its default image is taken.
        animate_png: bool, Kind::Switch, "false";
        /// Whether SVG is drawn where a raster format is asked for by name; without it, it is
        /// delivered as SVG, sanitised, and the Images binding refuses it.
        rasterize_svg: bool, Kind::Switch, "false";
        /// Whether still pictures of Display P3, Adobe RGB, Rec. 2020 and the like keep their colours, in
        /// JPEG, PNG, WebP and AVIF which say so; without it, they become sRGB.
        wide_gamut: bool, Kind::Switch, "false";
    }
    "API" {
        /// Whether `true`, `false` and numbers in flattened metadata lose their quotes.
        metadata_coercion: bool, Kind::Switch, "true";
        /// Whether the list of version 1 also sends `items`, which the pagers of SDKs read.
        list_v1_items: bool, Kind::Switch, "true";
        /// How long a batch token works.
        batch_token_ttl: Duration, time(1_000, 30 * DAY), "1h";
        /// Requests a second which one batch token may make.
        batch_requests_per_second: u32, Kind::Count(1, 1_000_000), "200";
    }
    "Operation" {
        /// Where metrics are served as text for Prometheus, with the health checks; nowhere without it.
        metrics_listen: Option<SocketAddr>, Kind::Address, "";
        /// Whether pictures say in `Server-Timing` from which cache they are, or where the time went.
        server_timing: bool, Kind::Switch, "false";
        /// Which log events are written; `info,access=off` leaves out the line of each request.
        log: String, Kind::LogFilter, "info";
        /// How log events are written; `auto` is `pretty` on a terminal and `json` elsewhere.
        log_format: LogFormat, Kind::LogFormat, "auto";
        /// Time in which a client must have sent the headers of a request.
        header_timeout: Duration, time(1, HOUR), "10s";
        /// How long SIGTERM waits for requests under way.
        drain_timeout: Duration, time(0, HOUR), "30s";
    }
    limits "Limits" {
        /// Bytes of one uploaded image.
        upload_bytes_max, Kind::Bytes(1, 1 << 40), "10MiB";
        /// Bytes of one image in a call of the Images binding, and of a font which it names.
        binding_bytes_max, Kind::Bytes(1, 1 << 40), "20MB";
        /// Pixels of either side of an uploaded image, WebP and AVIF excepted.
        side_max, Kind::Count(1, 1_000_000), "12000";
        /// Pixels of either side of an uploaded AVIF.
        avif_side_max, Kind::Count(1, 65_536), "1200";
        /// Pixels of a still image, and of all frames of an animation together.
        pixels_max, Kind::Count(1, 1_000_000_000_000), "100000000";
        /// Pixels of all frames of an animation which is transformed; larger ones are delivered as
        /// they are.
        animation_transform_pixels_max, Kind::Count(1, 1_000_000_000_000), "50000000";
        /// Pixels of either side of a rendition.
        output_side_max, Kind::Count(1, 65_535), "12000";
        /// Bytes of memory for pixels which one rendering may take, estimated before it starts.
        render_bytes_max, Kind::Bytes(1, 1 << 50), "4GiB";
        /// Time one rendering may take.
        render_deadline, time(1, HOUR), "25s";
        /// Bytes of an image's metadata as compact JSON.
        metadata_bytes_max, Kind::Bytes(2, 1 << 24), "1024";
        /// Characters of a creator.
        creator_chars_max, Kind::Count(1, 65_536), "1024";
        /// Characters of a custom image id.
        image_id_chars_max, Kind::Count(1, 65_536), "1024";
        /// Characters of a filename.
        filename_chars_max, Kind::Count(1, 65_536), "255";
        /// Named variants of an account.
        variants_max, Kind::Count(1, 1_000_000), "100";
        /// Signing keys of an account.
        signing_keys_max, Kind::Count(1, 1_000), "2";
        /// Webhooks of an account.
        webhooks_max, Kind::Count(1, 10_000), "50";
        /// Notification policies of an account.
        policies_max, Kind::Count(1, 10_000), "50";
        /// Buckets of an account from which images are imported.
        import_sources_max, Kind::Count(1, 10_000), "50";
        /// Imports of an account which have not ended.
        imports_max, Kind::Count(1, 1_000), "10";
        /// Images on one page of a list.
        list_page_max, Kind::Count(1, 1_000_000), "10000";
        /// Images which a list by page number may skip.
        list_offset_max, Kind::Count(0, u64::MAX), "100000000";
        /// Parts of one multipart form.
        form_parts_max, Kind::Count(1, 1_000_000), "1000";
        /// Bytes of one text part of a form.
        form_field_bytes_max, Kind::Bytes(1, 1 << 30), "64KiB";
        /// Bytes of a JSON request body.
        json_bytes_max, Kind::Bytes(1, 1 << 30), "1MiB";
        /// Images of one account; without it there is no limit.
        images_max, Kind::Count(0, u64::MAX), "";
    }
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// A time between two numbers of milliseconds.
const fn time(least: u64, most: u64) -> Kind {
    Kind::Time(Duration::from_millis(least), Duration::from_millis(most))
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// `sqlite:PATH`: a file.
    Sqlite(PathBuf),
    /// `postgres://…`: a database which nodes share.
    Postgres(PostgresUrl),
}

/// Where uploaded bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobStore {
    /// `file:PATH`: a folder.
    Folder(PathBuf),
    /// `s3://BUCKET/PREFIX`: a bucket which nodes share.
    Bucket(BucketUrl),
}

/// How log events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Pretty` on a terminal, `Json` elsewhere.
    Auto,
    /// Lines for people.
    Pretty,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "pretty" => Some(Self::Pretty),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Config {
    /// What the operator prefers where the API leaves a choice.
    pub fn policy(&self) -> Policy {
        Policy {
            gamma: self.gamma_semantics,
            dpr_max: self.dpr_max.into(),
            accept_avif: self.accept_avif_input,
            accept_heic: self.accept_heic_input,
            accept_more: self.accept_more,
            strict_png: self.strict_png,
            resize_light: self.resize_light,
            lenient_formats: self.lenient_formats,
            avif_side_auto: self.avif_side_auto,
            avif_side_explicit: self.avif_side_explicit,
            svt_av1: self.svt_av1.clone(),
            animate_png: self.animate_png,
            rasterize_svg: self.rasterize_svg,
            wide_gamut: self.wide_gamut,
        }
    }

    /// Resolves and reads the settings.
    pub fn load(sources: Sources<'_>) -> Result<Self, Error> {
        Self::read(&Settings::resolve(sources)?)
    }

    /// The bucket of this name, with what else the settings say of it.
    pub fn bucket(&self, url: &BucketUrl) -> Bucket {
        let (id, secret) = (&self.s3_access_key_id, &self.s3_secret_access_key);
        let credentials = id.as_ref().zip(secret.as_ref());
        Bucket {
            url: url.clone(),
            endpoint: self.s3_endpoint.as_ref().map(ToString::to_string),
            region: self.s3_region.clone(),
            path_style: self.s3_path_style,
            credentials: credentials
                .map(|(id, secret)| (id.expose().to_owned(), secret.expose().to_owned())),
        }
    }

    /// The host of an address which is that of one API alone: it has no path, and deliveries are
    /// elsewhere.
    pub fn own_host(&self, url: &BaseUrl) -> Option<String> {
        let host = url.host();
        (url.has_no_path() && host != self.public_url.host()).then_some(host)
    }

    /// Where this server can be reached from the same machine.
    pub fn local_url(&self) -> BaseUrl {
        BaseUrl::of(self.listen)
    }

    /// Where `listen` asked for any free port (`:0`), puts the one which it got, also into the
    /// addresses which default to it.
    pub fn bind(&mut self, bound: SocketAddr) {
        let asked = BaseUrl::of(self.listen);
        let got = BaseUrl::of(bound);
        for url in [
            &mut self.public_url,
            &mut self.upload_url,
            &mut self.batch_url,
        ] {
            let rest = url.as_str().strip_prefix(asked.as_str());
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let moved = rest.and_then(|rest| BaseUrl::parse(&format!("{got}{rest}")));
            if let Some(moved) = moved {
                *url = moved;
            }
        }
        self.listen = bound;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::Path;

    use super::*;

    /// Settings of texts alone: flags, variables, and files by path.
    fn resolve(
        flags: &[(&str, &str)],
        variables: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Settings, Error> {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect()
        };
        let files = owned(files);
        let read = |path: &Path| {
            let text = files.get(&path.display().to_string()).cloned();
            text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        Settings::resolve(Sources {
            file: None,
            flags: owned(flags),
            variables: owned(variables),
            read: &read,
            cores: 3,
        })
    }

    fn load(
        flags: &[(&str, &str)],
        variables: &[(&str, &str)],
        file: &str,
    ) -> Result<Config, Error> {
        resolve(flags, variables, &[("calotype.toml", file)])
            .and_then(|settings| Config::read(&settings))
    }

    fn refusal(flags: &[(&str, &str)], variables: &[(&str, &str)], file: &str) -> String {
        load(flags, variables, file).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_those_of_the_limits_and_the_table() {
        let config = load(&[], &[], "").unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.listen.to_string(), "127.0.0.1:8787");
        assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8787");
        assert_eq!(config.upload_url.as_str(), "http://127.0.0.1:8787/upload");
        let database = Database::Sqlite("./data/calotype.db".into());
        assert_eq!(config.database, database);
        assert_eq!(config.blobs, BlobStore::Folder("./data/blobs".into()));
        assert_eq!(config.render_threads, 3);
        assert_eq!(config.cache_disk_bytes, 10_000_000_000);
        assert_eq!(config.api_token, None);
    }

    #[test]
    fn remote_images_are_offered_at_the_servers_own_hosts_unless_zones_are_named() {
        let hosts = |config: Config| -> Vec<String> {
            let zones = config.remote().zones;
            zones.iter().map(|zone| zone.host().to_owned()).collect()
        };
        let own = load(&[], &[], "").unwrap();
        assert_eq!(hosts(own), ["127.0.0.1", "localhost"]);
        let public = "public_url = \"https://img.example/x\"\nlisten = \"10.0.0.1:80\"";
        let public = load(&[], &[], public).unwrap();
        assert_eq!(hosts(public), ["img.example", "10.0.0.1"]);
        let named = load(&[("zones", "a.test, b.test=any")], &[], "").unwrap();
        assert_eq!(hosts(named), ["a.test", "b.test"]);
        let off = load(&[("zones", "off")], &[], "").unwrap();
        assert_eq!(hosts(off), [] as [&str; 0]);
        let wrong = refusal(&[("zones", "a.test=*")], &[], "");
        assert!(
            wrong.contains("zones must be `auto`, `off`, or zones"),
            "{wrong}"
        );
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let file = "render_queue = 4\nlog = \"warn\"\nside_max = 7";
        let variables = [("CALOTYPE_RENDER_QUEUE", "3"), ("CALOTYPE_LOG", "error")];
        let config = load(&[("render_queue", "2")], &variables, file).unwrap();
        assert_eq!(
            (
                config.render_queue,
                config.log.as_str(),
                config.limits.side_max
            ),
            (2, "error", 7)
        );
    }

    #[test]
    fn dependent_defaults_follow_what_is_given() {
        let flags = [("data_dir", "/srv/c/"), ("listen", "0.0.0.0:80")];
        let config = load(&flags, &[], "").unwrap();
        assert_eq!(config.cache_dir, PathBuf::from("/srv/c/cache"));
        assert_eq!(config.public_url.as_str(), "http://127.0.0.1:80");
        let config = load(&[("public_url", "https://i.example/")], &[], "").unwrap();
        assert_eq!(config.batch_url.as_str(), "https://i.example/batch");
    }

    #[test]
    fn a_bound_port_reaches_the_addresses_which_default_to_it() {
        let flags = [
            ("listen", "127.0.0.1:0"),
            ("batch_url", "https://b.example"),
        ];
        let mut config = load(&flags, &[], "").unwrap();
        config.bind("127.0.0.1:4321".parse().unwrap());
        assert_eq!(config.upload_url.as_str(), "http://127.0.0.1:4321/upload");
        assert_eq!(config.batch_url.as_str(), "https://b.example");
    }

    #[test]
    fn an_address_without_path_has_a_host_of_its_own() {
        let own = |upload: &str| {
            let flags = [("public_url", "https://i.example"), ("upload_url", upload)];
            let config = load(&flags, &[], "").unwrap();
            config.own_host(&config.upload_url)
        };
        assert_eq!(own("https://U.example:8443/"), Some("u.example".to_owned()));
        assert_eq!(own("https://u.example/x"), None);
        assert_eq!(own("https://i.example"), None);
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_known_one() {
        let text = refusal(&[], &[], "data_dri = \"x\"");
        assert_eq!(
            text,
            "calotype.toml: there is no setting \"data_dri\"; did you mean \"data_dir\"?"
        );
        let text = refusal(&[], &[("CALOTYPE_LISTN", "x")], "");
        assert_eq!(
            text,
            "there is no setting for the environment variable CALOTYPE_LISTN; did you mean CALOTYPE_LISTEN?"
        );
        let text = refusal(&[], &[], "listen_file = \"x\"");
        assert!(text.contains("listen_file"), "{text}");
    }

    #[test]
    fn variables_of_others_and_empty_ones_are_ignored() {
        let variables = [
            ("PATH", "/bin"),
            ("CALOTYPE_SERVICE_HOST", "10.0.0.1"),
            ("CALOTYPE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("CALOTYPE_ACCOUNT_ID", ""),
            ("CALOTYPE_TOKEN", "for the client"),
        ];
        assert_eq!(load(&[], &variables, "").unwrap().account_id, None);
    }

    #[test]
    fn wrong_values_are_refused_with_what_they_must_be() {
        for (name, text, part) in [
            ("listen", "8787", "must be an address with a port"),
            ("render_threads", "0", "from 1 to 1024, not \"0\""),
            ("cache_disk_bytes", "10 apples", "like `10MB`"),
            ("source_timeout", "30", "like `500ms`"),
            ("source_timeout", "2h", "from 1ms to 1h"),
            ("database", "postgres://", "names no host"),
            ("database", "mysql://x", "`postgres://` address"),
            ("blobs", "s3://", "`s3://`"),
            ("account_id", "A", "32 lower-case hexadecimal"),
            ("log_format", "xml", "`auto`, `pretty` or `json`"),
            ("metadata_coercion", "yes", "`true` or `false`"),
            ("public_url", "images.example", "`http://` or `https://`"),
        ] {
            let message = refusal(&[(name, text)], &[], "");
            assert!(
                message.starts_with(name) && message.contains(part),
                "{message}"
            );
            assert!(message.contains("(from --"), "{message}");
        }
        let message = refusal(&[], &[], "listen = [1]");
        assert!(message.contains("must be a text"), "{message}");
    }

    #[test]
    fn the_database_may_be_named_by_a_file() {
        let file = ("/run/database", "postgres://me:hidden@db/images\n");
        let named = [("CALOTYPE_DATABASE_FILE", "/run/database")];
        let settings = resolve(&[], &named, &[file]).unwrap();
        let Database::Postgres(url) = Config::read(&settings).unwrap().database else {
            panic!("it is an address of PostgreSQL");
        };
        assert!(!url.to_string().contains("hidden"), "{url}");
        let text = refusal(
            &[("database", "postgres://me:hidden@db:port/images")],
            &[],
            "",
        );
        assert!(
            text.contains("database") && !text.contains("hidden"),
            "{text}"
        );
        // A flag is nearer than a variable.
        let flags = [("database", "sqlite:other")];
        let settings = resolve(&flags, &named, &[file]).unwrap();
        let database = Config::read(&settings).unwrap().database;
        assert_eq!(database, Database::Sqlite("other".into()));
    }

    #[test]
    fn secrets_come_from_files_too_and_never_show() {
        let variables = [("CALOTYPE_API_TOKEN_FILE", "/run/token")];
        let settings = resolve(&[], &variables, &[("/run/token", "s3cret\n")]).unwrap();
        let config = Config::read(&settings).unwrap();
        let token = config.api_token.as_ref().map(Secret::expose);
        assert_eq!(token, Some("s3cret"));
        assert!(!format!("{config:?}").contains("s3cret"));
        let given = settings
            .iter()
            .find(|given| given.setting.name == "api_token");
        assert_eq!(given.and_then(Given::shown), None);

        let both = [("CALOTYPE_API_TOKEN", "s3cret"), variables[0]];
        let text = resolve(&[], &both, &[]).err().unwrap().to_string();
        assert!(
            text.contains("not both") && !text.contains("s3cret"),
            "{text}"
        );
        let missing = resolve(&[], &variables, &[]).err().unwrap().to_string();
        assert_eq!(missing, "/run/token cannot be read");
        for bad in [("secret_key", "s3cret"), ("api_token", "s3cret s3cret")] {
            let text = refusal(&[bad], &[], "");
            assert!(text.contains("must be") && !text.contains("s3cret"));
        }
    }

    #[test]
    fn a_broken_file_is_refused_by_line_without_showing_it() {
        let text = refusal(
            &[],
            &[],
            "log = \"info\"\napi_token = \"s3cret\nside_max = 7",
        );
        assert!(text.starts_with("calotype.toml, line 2: "), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SETTINGS.len());
    }
}
