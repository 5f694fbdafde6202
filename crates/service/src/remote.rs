//! Remote images: `/cdn-cgi/image/<options>/<source>` (transformations.md, sections 1, 5 and 6).

use std::sync::Arc;

use model::remote_path::Language;
use model::transform::fastly::{Offered, Spoken};
use model::transform::{self, Format, InvalidOptions};
use model::{RemotePath, SourceUrl, Transform, Zone};
use pixels::Accepts;
use reqwest::header::HeaderMap;
use store::RenditionKey;

use crate::hints::{ClientHints, HintsUsed};
use crate::rendering::{Asset, Job, Rendered, Rendering, short, warnings_of};
use crate::sources::{Found, Known, SourceAsk};
use crate::{DeliveryError, FetchError, Service};

/// A request for a remote image, parsed.
#[derive(Clone, Debug)]
pub struct RemoteRequest<'a> {
    /// The host which was asked, in lower case and without port.
    pub host: &'a str,
    /// The port which was asked, if it was named.
    pub port: Option<u16>,
    /// What was asked for.
    pub path: &'a RemotePath,
    /// What the client accepts beyond the standard formats.
    pub accepts: Accepts,
    /// What the client tells of itself.
    pub hints: ClientHints,
    /// Whether the request was made for a remote image by a server like this one.
    pub looped: bool,
}

/// What a Worker fetches with `cf.image` (transformations.md, section 1.6), parsed. Whoever asks may
/// have any source which can be reached.
#[derive(Clone, Debug)]
pub struct WorkerFetch {
    /// The source.
    pub url: SourceUrl,
    /// What is made of it.
    pub transform: Transform,
    /// What the fetch accepts beyond the standard formats.
    pub accepts: Accepts,
    /// What the fetch tells of a client.
    pub hints: ClientHints,
    /// What its origin is told besides, and no other host (section 6.2, `origin-auth`).
    pub secrets: HeaderMap,
}

/// A picture which is drawn on a remote image, known and not yet read.
#[derive(Clone, Debug)]
struct Drawn {
    address: String,
    ask: SourceAsk,
    known: Known,
}

/// A remote image on its way: permitted, its source known, not yet rendered.
#[derive(Debug)]
pub struct RemoteImage {
    /// `"cf-<what was asked>:<the origin's>"`, if the origin sent one.
    pub etag: Option<String>,
    /// The origin's.
    pub last_modified: Option<String>,
    /// The origin's.
    pub cache_control: Option<String>,
    /// The origin's.
    pub expires: Option<String>,
    /// The origin's, of another format perhaps.
    pub disposition: Option<String>,
    /// The origin's `Access-Control-Allow-Origin`.
    pub allow_origin: Option<String>,
    /// Which hints the rendition depends on.
    pub hints_used: HintsUsed,
    /// What was asked for and is ignored, and what the origin should know.
    pub warnings: Vec<String>,
    /// How the source was found.
    pub found: Found,
    redirect: Option<String>,
    ask: SourceAsk,
    drawn: Vec<Drawn>,
    fonts: Vec<String>,
    pub(crate) known: Known,
    pub(crate) job: Job,
}

/// Why a remote image is not delivered.
#[derive(Debug)]
pub struct RemoteRefusal {
    /// The reason.
    pub error: DeliveryError,
    /// Where the client is to be sent instead: the source.
    pub redirect: Option<String>,
}

impl RemoteRefusal {
    /// A loop goes on with a redirection, and what is not allowed is not pointed at.
    fn new(error: DeliveryError, redirect: Option<String>) -> Self {
        let silent = matches!(
            error,
            DeliveryError::Loop
                | DeliveryError::Fetch(FetchError::Status(508))
                | DeliveryError::OriginNotAllowed
        );
        Self {
            error,
            redirect: redirect.filter(|_| !silent),
        }
    }
}

impl Service {
    /// Whether remote images are offered at a host.
    pub fn has_zone(&self, host: &str) -> bool {
        self.zone(host).is_some()
    }

    fn zone(&self, host: &str) -> Option<&Zone> {
        Zone::of_host(&self.settings.remote.zones, host)
    }

    /// Judges the request, and finds or fetches the source.
    pub async fn open_remote(
        &self,
        request: &RemoteRequest<'_>,
    ) -> Result<RemoteImage, RemoteRefusal> {
        let Some(zone) = self.zone(request.host) else {
            return Err(RemoteRefusal::new(DeliveryError::OriginNotAllowed, None));
        };
        if request.looped {
            return Err(RemoteRefusal::new(DeliveryError::Loop, None));
        }
        let site = zone.site(request.host, request.port);
        let path = request.path;
        let url = SourceUrl::resolve(&path.source, &site, |host| self.has_zone(host));
        let redirect = url
            .as_ref()
            .ok()
            .filter(|url| path.redirects_on_error() && zone.contains(url.host()));
        let redirect = redirect.map(ToString::to_string);
        let opened = self.open_source(zone, request, url.map_err(DeliveryError::from));
        let opened = opened.await;
        opened
            .map(|image| RemoteImage {
                redirect: redirect.clone(),
                ..image
            })
            .map_err(|error| RemoteRefusal::new(error, redirect))
    }

    async fn open_source(
        &self,
        zone: &Zone,
        request: &RemoteRequest<'_>,
        url: Result<SourceUrl, DeliveryError>,
    ) -> Result<RemoteImage, DeliveryError> {
        let remote = &self.settings.remote;
        let options = &request.path.options;
        let asked = match request.path.language {
            Language::List => {
                let parsed = Transform::parse_list_of(options, self.settings.policy.formats());
                parsed.map(|(transform, ignored)| (transform, ignored, request.accepts))
            }
            Language::Fastly => {
                let Accepts { avif, webp } = request.accepts;
                let spoken = Spoken::parse(options, Offered { avif, webp });
                spoken.map(|spoken| {
                    let Offered { avif, webp } = spoken.offered;
                    (spoken.transform, spoken.ignored, Accepts { avif, webp })
                })
            }
        };
        let (transform, ignored, accepts) =
            asked.map_err(|error: InvalidOptions| DeliveryError::Options(error.to_string()))?;
        let url = url?;
        let told = self.zone_configs().await?;
        let (told, strict) = (told.of(zone), remote.strict_path_segments);
        if !zone.allows(&url, request.host, strict, told) {
            return Err(DeliveryError::OriginNotAllowed);
        }
        let fetch = WorkerFetch {
            url,
            transform,
            accepts,
            hints: request.hints,
            secrets: HeaderMap::new(),
        };
        let mut image = self.open_fetch(fetch).await?;
        image.warnings.splice(0..0, warnings_of(&ignored));
        Ok(image)
    }

    /// Finds or fetches the source, and what is drawn on it.
    pub async fn open_fetch(&self, fetch: WorkerFetch) -> Result<RemoteImage, DeliveryError> {
        let remote = &self.settings.remote;
        let (transform, hints_used) = fetch
            .hints
            .settle(fetch.transform, remote.auto_width_uses_dpr);
        let ask = SourceAsk {
            url: fetch.url,
            accepts: fetch.accepts,
            secrets: fetch.secrets,
        };
        let known = self.allowed_source(&ask).await?;
        let (drawn, fonts) = self.drawn(&transform).await?;
        let record = &known.record;
        // A named AVIF which is too large becomes what the client takes instead.
        let accepts = match transform.format {
            Format::Auto => fetch.accepts,
            Format::Avif => Accepts {
                avif: false,
                ..fetch.accepts
            },
            _ => Accepts::default(),
        };
        let mut version = format!(" source={}", record.version);
        for drawn in &drawn {
            version.push_str(" drawn=");
            version.push_str(&drawn.known.record.version);
        }
        let storable = |known: &Known| known.record.freshness().storable;
        // What a font says can change without anybody seeing it.
        let kept = storable(&known)
            && drawn.iter().all(|drawn| storable(&drawn.known))
            && fonts.is_empty();
        let job = Job {
            key: RenditionKey {
                blob: ask.group(),
                transform: self.digest_of(&version, &transform, accepts),
            },
            transform,
            accepts,
            version,
            header: None,
            kept,
            judged: false,
            assets: Arc::default(),
        };
        let mut warnings = Vec::new();
        if record.freshness().is_restrictive() {
            warnings.push("cache-control is too restrictive".to_owned());
        }
        let headers = &record.headers;
        let etag = headers.etag.as_deref();
        Ok(RemoteImage {
            etag: etag.map(|etag| tag_of(&short(&job.key.transform), etag)),
            last_modified: headers.last_modified.clone(),
            cache_control: headers.cache_control.clone(),
            expires: headers.expires.clone(),
            disposition: headers.disposition.clone(),
            allow_origin: headers.allow_origin.clone(),
            hints_used,
            warnings,
            found: known.found,
            redirect: None,
            ask,
            drawn,
            fonts,
            known,
            job,
        })
    }

    async fn allowed_source(&self, ask: &SourceAsk) -> Result<Known, DeliveryError> {
        let url = &ask.url;
        if !self.settings.remote.allows_port(url.host(), url.port()) {
            return Err(FetchError::Port(url.port()).into());
        }
        Ok(self.source(ask).await?)
    }

    /// The pictures which overlays draw, and the fonts which they write with.
    async fn drawn(
        &self,
        transform: &Transform,
    ) -> Result<(Vec<Drawn>, Vec<String>), DeliveryError> {
        let (mut drawn, mut fonts) = (Vec::new(), Vec::new());
        for asset in transform.assets() {
            let address = match asset {
                transform::Asset::Image(address) => address.to_owned(),
                transform::Asset::Font(address) => {
                    fonts.push(address.to_owned());
                    continue;
                }
            };
            let ask = SourceAsk {
                url: SourceUrl::parse(&address)?,
                accepts: Accepts::default(),
                secrets: HeaderMap::new(),
            };
            let known = self.allowed_source(&ask).await?;
            drawn.push(Drawn {
                address,
                ask,
                known,
            });
        }
        Ok((drawn, fonts))
    }

    /// The bytes of what is drawn and written with.
    async fn assets(&self, image: &RemoteImage) -> Result<Arc<[Asset]>, DeliveryError> {
        let mut assets = Vec::new();
        for Drawn {
            address,
            ask,
            known,
        } in &image.drawn
        {
            let kept = match &known.bytes {
                Some(bytes) => Some(bytes.clone()),
                None => self.source_bytes(ask, &known.record).await?,
            };
            let bytes = if let Some(bytes) = kept {
                bytes
            } else {
                let again = self.fetch_again(ask).await?;
                let same = again.record.version == known.record.version;
                let bytes = again.bytes.filter(|_| same);
                bytes.ok_or(DeliveryError::SourceChanged)?
            };
            assets.push(Asset {
                address: address.clone(),
                bytes,
                is_font: false,
            });
        }
        for address in &image.fonts {
            let bytes_max = self.settings.limits.binding_bytes_max;
            let font = self.fetcher.font(address, bytes_max, &self.sources.memory);
            let bytes = font
                .await
                .map_err(|error| DeliveryError::Font(error.to_string()))?;
            assets.push(Asset {
                address: address.clone(),
                bytes,
                is_font: true,
            });
        }
        Ok(assets.into())
    }

    /// The bytes, from a cache or rendered. Concurrent calls for one rendition render it once.
    pub async fn remote_rendition(&self, image: &RemoteImage) -> Rendering {
        let mut job = image.job.clone();
        if !(image.drawn.is_empty() && image.fonts.is_empty()) {
            if let Some(found) = self.find_kept(&job).await {
                return found.inspect(|rendered| self.meters.count_found(rendered.tier));
            }
            job.assets = self.assets(image).await?;
        }
        let (service, ask, known) = (self.clone(), image.ask.clone(), image.known.clone());
        let load = move || {
            let (service, ask, known) = (service.clone(), ask.clone(), known.clone());
            async move {
                if let Some(bytes) = known.bytes {
                    return Ok(bytes);
                }
                let kept = service.source_bytes(&ask, &known.record).await?;
                kept.ok_or(DeliveryError::SourceChanged)
            }
        };
        let rendering = self.find_or_render(&job, load).await;
        if !matches!(rendering, Err(DeliveryError::SourceChanged)) {
            return rendering;
        }
        // Not within the rendering: whoever waits for an origin must not hold a thread's turn.
        let again = self.fetch_again(&image.ask).await?;
        let same = again.record.version == image.known.record.version;
        let Some(bytes) = again.bytes.filter(|_| same) else {
            return Err(DeliveryError::SourceChanged);
        };
        let load = move || std::future::ready(Ok(bytes.clone()));
        self.find_or_render(&job, load).await
    }
}

impl RemoteImage {
    /// The tag of what was found or made, which may stand in for that which was asked for.
    pub fn etag_of(&self, rendered: &Rendered) -> Option<String> {
        match &rendered.substitute {
            Some(digest) => {
                let etag = self.known.record.headers.etag.as_deref();
                etag.map(|etag| tag_of(&short(digest), etag))
            }
            None => self.etag.clone(),
        }
    }

    /// The refusal of this image.
    pub fn refused(self, error: DeliveryError) -> RemoteRefusal {
        RemoteRefusal::new(error, self.redirect)
    }
}

/// The origin's tag with ours before it. As strong as the origin's.
fn tag_of(ours: &str, origin: &str) -> String {
    let (weak, opaque) = match origin.strip_prefix("W/") {
        Some(opaque) => ("W/", opaque),
        None => ("", origin),
    };
    format!("{weak}\"cf-{ours}:{}\"", opaque.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_hold_the_tag_of_the_origin() {
        assert_eq!(tag_of("1f", "\"abc\""), "\"cf-1f:abc\"");
        assert_eq!(tag_of("1f", "W/\"a:c\""), "W/\"cf-1f:a:c\"");
        assert_eq!(tag_of("1f", "\"\""), "\"cf-1f:\"");
    }
}
