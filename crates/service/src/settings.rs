use std::time::Duration;

use model::{AccountHash, ImageId, Limits, Policy, VariantName, Zone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::fetch::{Ports, Reach};

/// What the service is told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much of anything one request may ask for.
    pub limits: Limits,
    /// The bases of the addresses in answers.
    pub addresses: Addresses,
    /// Whether flattened metadata regains booleans and numbers.
    pub metadata_coercion: bool,
    /// What the operator prefers where the API leaves a choice.
    pub policy: Policy,
    /// Threads which decode and encode.
    pub render_threads: usize,
    /// Bytes which pixels under way may take, of uploads which are judged and of renderings.
    pub render_memory_bytes: u64,
    /// Renderings which may wait for a thread.
    pub render_queue: usize,
    /// How long one may wait for its turn.
    pub render_queue_timeout: Duration,
    /// How long a client which takes AVIF waits for it before it gets the next format; `None` is for
    /// as long as it takes.
    pub avif_wait: Option<Duration>,
    /// Bytes of uploads under way which are held in memory.
    pub upload_memory_bytes: u64,
    /// Time in which an upload by URL must have fetched its source.
    pub source_timeout: Duration,
    /// Redirects followed while fetching a source.
    pub source_redirects_max: usize,
    /// Remote images.
    pub remote: RemoteSettings,
    /// Lifetime of a one-time upload URL which names none.
    pub direct_upload_expiry: Duration,
    /// Lifetime of a batch token.
    pub batch_token_ttl: Duration,
    /// How long an upload may take between reserving its blob and writing its record.
    pub blob_grace: Duration,
    /// How long the bytes of a deleted image stay on disk.
    pub release_grace: Duration,
}

/// Where remote images are offered, and how their sources are fetched.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// The hosts which offer them.
    pub zones: Vec<Zone>,
    /// Whether the path of an allowed origin is a row of segments, and not just a start.
    pub strict_path_segments: bool,
    /// Whether `width=auto` heeds the pixels of the device.
    pub auto_width_uses_dpr: bool,
    /// What sources may be at, also those of uploads by URL.
    pub reach: Reach,
    /// The ports which sources may have.
    pub ports: Ports,
    /// Bytes of one source.
    pub bytes_max: u64,
    /// Bytes of sources which are held in memory at the same time.
    pub memory_bytes: u64,
    /// Sources which are fetched from one host at the same time.
    pub fetches_per_host: usize,
    /// Time until an origin has answered, redirections included.
    pub head_timeout: Duration,
    /// Time which the body of its answer may take.
    pub body_timeout: Duration,
    /// How long renditions are used at least before the origin is asked again.
    pub rendition_ttl_min: Duration,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self {
            zones: Vec::new(),
            strict_path_segments: false,
            auto_width_uses_dpr: false,
            reach: Reach::default(),
            ports: Ports::default(),
            bytes_max: 100_000_000,
            memory_bytes: 512 * 1024 * 1024,
            fetches_per_host: 16,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_mins(1),
            rendition_ttl_min: Duration::from_hours(1),
        }
    }
}

impl RemoteSettings {
    /// Whether sources may be at this port of this host.
    pub(crate) fn allows_port(&self, host: &str, port: u16) -> bool {
        self.ports.contain(port) || self.zones.iter().any(|zone| zone.names_port(host, port))
    }
}

/// The bases of the addresses which answers carry, without a slash at the end.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Delivery: `{public}/{hash}/{id}/{variant}`.
    pub public: String,
    /// One-time uploads: `{upload}/{hash}/{id}`.
    pub upload: String,
}

/// Everything but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

impl Addresses {
    /// Where a variant of an image is delivered; the slashes of a custom id stay.
    pub fn variant(&self, hash: &AccountHash, id: &ImageId, variant: &VariantName) -> String {
        let id = utf8_percent_encode(id.as_str(), PATH);
        format!("{}/{hash}/{id}/{variant}", self.public)
    }

    /// Where the end user uploads; the slashes of a custom id are encoded too.
    pub fn one_time_upload(&self, hash: &AccountHash, id: &ImageId) -> String {
        let id = utf8_percent_encode(id.as_str(), SEGMENT);
        format!("{}/{hash}/{id}", self.upload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_as_the_service_does() {
        let addresses = Addresses {
            public: "http://i".into(),
            upload: "http://u".into(),
        };
        let hash = AccountHash::try_from("Vi7wi5KSItxGFsWRG2Us6Q").unwrap();
        let id = ImageId::custom("shop/a 1%é.png", 1024).unwrap();
        assert_eq!(
            addresses.variant(&hash, &id, &VariantName::public()),
            "http://i/Vi7wi5KSItxGFsWRG2Us6Q/shop/a%201%25%C3%A9.png/public"
        );
        assert_eq!(
            addresses.one_time_upload(&hash, &id),
            "http://u/Vi7wi5KSItxGFsWRG2Us6Q/shop%2Fa%201%25%C3%A9.png"
        );
    }
}
