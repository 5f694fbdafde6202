//! Sources of remote images: fetched once however many ask, kept and asked for again by the rules of
//! HTTP (transformations.md, sections 6.3 and 6.5).
//!
//! All of a source lies under one key, which follows from its address: what is known of it, its bytes,
//! and the renditions of it. Bytes and renditions are named by a digest of the bytes, so that a source
//! which changes can never be seen in the renditions of what it was.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::{BlobKey, SourceUrl, Timestamp};
use pixels::Accepts;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use store::{Emptied, RenditionKey};

use crate::fetch::{Answer, Coding, Errand, Fetched, text_of};
use crate::flights::Flights;
use crate::freshness::{Age, CacheHeaders, Freshness};
use crate::load::Lane;
use crate::memory::{Memory, Room};
use crate::meters::Fetch;
use crate::rendering::{hex, sha256};
use crate::{Error, FetchError, RemoteSettings, Service};

/// What is known of sources, and what is under way.
pub(crate) struct Sources {
    pub(crate) memory: Memory,
    records: Cache<RenditionKey, Arc<Record>, Size>,
    failures: Cache<RenditionKey, Failure>,
    fetches: Flights<RenditionKey, Result<Known, FetchError>>,
}

/// A request for a source.
#[derive(Clone, Debug)]
pub(crate) struct SourceAsk {
    pub(crate) url: SourceUrl,
    /// Told to the origin, and nothing else of the client's `Accept`: what cannot be told apart in a
    /// cache must not decide what is in it.
    pub(crate) accepts: Accepts,
    /// What the origin is told besides, by whose caller the answer is shared with everybody.
    pub(crate) secrets: HeaderMap,
}

/// A source as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// A digest of the bytes.
    pub(crate) version: String,
    /// How many there are.
    pub(crate) length: u64,
    /// When the origin last said that these are the bytes, in microseconds.
    checked: i64,
    /// How old its answer was then, in seconds.
    age: u64,
    pub(crate) headers: KeptHeaders,
}

/// The headers of an origin's answer which matter later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptHeaders {
    pub(crate) cache_control: Option<String>,
    pub(crate) expires: Option<String>,
    date: Option<String>,
    vary: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) disposition: Option<String>,
    pub(crate) allow_origin: Option<String>,
}

/// A source which may be used.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) record: Arc<Record>,
    /// The bytes, if they were fetched just now.
    pub(crate) bytes: Option<Bytes>,
    pub(crate) found: Found,
}

/// How a source was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was fetched, with the time until the head and from then on.
    Fetched([Duration; 2]),
    /// It was known and fresh.
    Fresh,
    /// The origin said that it has not changed.
    Unchanged,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    error: FetchError,
    until: Instant,
}

/// Bytes of records in memory, and of one of the usual size.
const RECORDS_BYTES: u64 = 32 << 20;
const RECORD_BYTES: u64 = 600;

/// Entries of some hundred bytes.
const FAILURES_MAX: usize = 10_000;

/// What is no image is kept up to this size, so that its origin is not asked each time.
const OTHER_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a header which is kept.
const HEADER_MAX: usize = 1_024;

/// What origins find in `Via`, to tell these requests from those of visitors.
const VIA: &str = "1.1 image-resizing";

impl Sources {
    pub(crate) fn new(settings: &RemoteSettings) -> Self {
        Self {
            memory: Memory::new(settings.memory_bytes),
            records: Cache::with_weighter(
                (RECORDS_BYTES / RECORD_BYTES) as usize,
                RECORDS_BYTES,
                Size,
            ),
            failures: Cache::new(FAILURES_MAX),
            fetches: Flights::default(),
        }
    }
}

/// Bytes of a record, headers which an origin chose included.
#[derive(Clone)]
struct Size;

impl Weighter<RenditionKey, Arc<Record>> for Size {
    fn weight(&self, _: &RenditionKey, record: &Arc<Record>) -> u64 {
        RECORD_BYTES + record.headers.bytes()
    }
}

impl SourceAsk {
    /// Under which everything of this source lies.
    pub(crate) fn group(&self) -> BlobKey {
        group_of(&self.url)
    }

    /// Where the record lies of a source which is the same for all, or tells who does not see the
    /// same.
    fn slot(&self) -> RenditionKey {
        self.key("record")
    }

    /// Where the record lies of a source which depends on `Accept`.
    fn slot_of_accept(&self) -> RenditionKey {
        let Accepts { avif, webp } = self.accepts;
        self.key(&format!("record avif={avif} webp={webp}"))
    }

    /// Where failures are noted, and others who ask for the same are met, of who tells secrets.
    fn slot_of_secrets(&self) -> RenditionKey {
        let mut all = String::from("secrets");
        for (name, value) in &self.secrets {
            let _ = write!(all, " {name}={}", hex(value.as_bytes()));
        }
        self.key(&all)
    }

    fn bytes_key(&self, version: &str) -> RenditionKey {
        self.key(&format!("bytes {version}"))
    }

    fn key(&self, name: &str) -> RenditionKey {
        RenditionKey {
            blob: self.group(),
            transform: sha256(name),
        }
    }

    fn accept(&self) -> &'static str {
        match (self.accepts.avif, self.accepts.webp) {
            (true, true) => "image/avif,image/webp,image/*,*/*;q=0.8",
            (true, false) => "image/avif,image/*,*/*;q=0.8",
            (false, true) => "image/webp,image/*,*/*;q=0.8",
            (false, false) => "image/*,*/*;q=0.8",
        }
    }

    fn headers(&self, known: Option<&Record>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let fixed = [
            (header::ACCEPT, self.accept()),
            (header::ACCEPT_ENCODING, "identity"),
            (
                header::USER_AGENT,
                concat!("image-resizing/", env!("CARGO_PKG_VERSION")),
            ),
            (header::VIA, VIA),
        ];
        for (name, text) in fixed {
            headers.insert(name, HeaderValue::from_static(text));
        }
        let mut add = |name: HeaderName, text: &Option<String>| {
            let value = text.as_deref().map(HeaderValue::from_str);
            if let Some(Ok(value)) = value {
                headers.insert(name, value);
            }
        };
        if let Some(known) = known {
            add(header::IF_NONE_MATCH, &known.headers.etag);
            add(header::IF_MODIFIED_SINCE, &known.headers.last_modified);
        }
        headers
    }
}

fn group_of(url: &SourceUrl) -> BlobKey {
    let hash = sha256(url.as_str());
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    BlobKey::from_bytes(key)
}

impl KeptHeaders {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| text_of(headers, &name, HEADER_MAX);
        let etag = text(header::ETAG).filter(|etag| {
            let opaque = etag.strip_prefix("W/").unwrap_or(etag);
            opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"')
        });
        Self {
            cache_control: text(header::CACHE_CONTROL),
            expires: text(header::EXPIRES),
            date: text(header::DATE),
            vary: text(header::VARY),
            etag,
            last_modified: text(header::LAST_MODIFIED),
            disposition: text(header::CONTENT_DISPOSITION),
            allow_origin: text(header::ACCESS_CONTROL_ALLOW_ORIGIN),
        }
    }

    fn bytes(&self) -> u64 {
        let all = [
            &self.cache_control,
            &self.expires,
            &self.date,
            &self.vary,
            &self.etag,
            &self.last_modified,
            &self.disposition,
            &self.allow_origin,
        ];
        all.into_iter()
            .flatten()
            .map(|text| text.len() as u64)
            .sum()
    }

    /// With what the answer 304 says instead.
    fn renewed(&self, headers: &HeaderMap) -> Self {
        let new = Self::of(headers);
        let or = |new: Option<String>, old: &Option<String>| new.or_else(|| old.clone());
        Self {
            cache_control: or(new.cache_control, &self.cache_control),
            expires: or(new.expires, &self.expires),
            date: or(new.date, &self.date),
            vary: or(new.vary, &self.vary),
            etag: or(new.etag, &self.etag),
            last_modified: or(new.last_modified, &self.last_modified),
            disposition: or(new.disposition, &self.disposition),
            allow_origin: or(new.allow_origin, &self.allow_origin),
        }
    }
}

impl Record {
    pub(crate) fn freshness(&self) -> Freshness {
        let headers = CacheHeaders {
            cache_control: self.headers.cache_control.as_deref(),
            expires: self.headers.expires.as_deref(),
            date: self.headers.date.as_deref(),
            vary: self.headers.vary.as_deref(),
        };
        Freshness::of(headers, Timestamp::from_micros(self.checked))
    }

    fn age(&self, now: Timestamp) -> Age {
        // A clock which was set back makes nothing fresher.
        let resident = now.micros().saturating_sub(self.checked);
        Age {
            at_first: self.age,
            resident: Duration::from_micros(u64::try_from(resident).unwrap_or(u64::MAX)),
        }
    }

    fn is_fresh(&self, settings: &RemoteSettings) -> bool {
        let age = self.age(Timestamp::now());
        self.freshness().is_fresh(age, settings.rendition_ttl_min)
    }

    fn stands_in(&self, settings: &RemoteSettings) -> bool {
        let age = self.age(Timestamp::now());
        self.freshness().stands_in(age, settings.rendition_ttl_min)
    }

    fn depends_on_accept(&self) -> bool {
        let vary = self.headers.vary.as_deref().unwrap_or_default();
        vary.split(',')
            .any(|name| name.trim().eq_ignore_ascii_case("accept"))
    }
}

impl Failure {
    /// Failures are remembered shorter the sooner they may pass.
    fn of(error: FetchError) -> Option<Self> {
        use FetchError as E;
        let seconds = match error {
            E::Busy => return None,
            E::Status(404 | 410)
            | E::Scheme
            | E::Private
            | E::Port(_)
            | E::TooManyBytes(_)
            | E::Redirection
            | E::TooManyRedirects
            | E::Coding => 60,
            E::Status(400..=499) => 10,
            E::Status(_)
            | E::Name
            | E::Unreachable
            | E::Refused
            | E::SilentHead
            | E::SlowBody
            | E::Broken
            | E::Truncated => 5,
        };
        Some(Self {
            error,
            until: Instant::now() + Duration::from_secs(seconds),
        })
    }

    /// Whether what is known may stand in: the origin is away, and does not say that the source is.
    fn is_outage(self) -> bool {
        match self.error {
            FetchError::Status(status) => status >= 500,
            FetchError::Name
            | FetchError::Unreachable
            | FetchError::Refused
            | FetchError::SilentHead
            | FetchError::SlowBody
            | FetchError::Broken
            | FetchError::Truncated
            | FetchError::Busy => true,
            _ => false,
        }
    }
}

impl Service {
    fn remote(&self) -> &RemoteSettings {
        &self.settings.remote
    }

    /// The source as it may be used now: known, asked about, or fetched.
    pub(crate) async fn source(&self, ask: &SourceAsk) -> Result<Known, FetchError> {
        let mut slot = ask.slot();
        let mut record = self.record(&slot).await;
        if record
            .as_ref()
            .is_some_and(|record| record.depends_on_accept())
        {
            slot = ask.slot_of_accept();
            record = self.record(&slot).await;
        }
        if let Some(record) = &record
            && record.is_fresh(self.remote())
        {
            return Ok(Known::fresh(record.clone()));
        }
        // With other secrets, or none, it may have failed for want of them.
        if !ask.secrets.is_empty() {
            slot = ask.slot_of_secrets();
        }
        let failure = self.sources.failures.get(&slot);
        if let Some(failure) = failure.filter(|failure| Instant::now() < failure.until) {
            return self.stand_in(failure, record);
        }
        self.fetch_source(ask, slot, record, false).await
    }

    /// Fetches a source which is known, and whose bytes have gone.
    pub(crate) async fn fetch_again(&self, ask: &SourceAsk) -> Result<Known, FetchError> {
        let slot = ask.key(&format!("again {}", ask.accept()));
        self.fetch_source(ask, slot, None, true).await
    }

    async fn fetch_source(
        &self,
        ask: &SourceAsk,
        slot: RenditionKey,
        record: Option<Arc<Record>>,
        again: bool,
    ) -> Result<Known, FetchError> {
        let fetch = self.sources.fetches.join(&slot, || {
            let (service, ask, slot) = (self.clone(), ask.clone(), slot.clone());
            async move {
                // Another fetch may have landed between the look at the record and this one's start.
                if !again
                    && let Some(landed) = service.sources.records.get(&slot)
                    && landed.is_fresh(service.remote())
                {
                    return Ok(Known::fresh(landed));
                }
                let fetched = service.ask_origin(&ask, record.as_deref()).await;
                service.meters.count_fetch(match &fetched {
                    Ok(known) if known.found == Found::Unchanged => Fetch::Unchanged,
                    Ok(_) => Fetch::Fetched,
                    Err(_) => Fetch::Failed,
                });
                fetched.or_else(|error| {
                    let failure = Failure::of(error).inspect(|failure| {
                        service.sources.failures.insert(slot, *failure);
                    });
                    match failure {
                        Some(failure) => service.stand_in(failure, record),
                        None => Err(error),
                    }
                })
            }
        });
        fetch.await
    }

    fn stand_in(&self, failure: Failure, record: Option<Arc<Record>>) -> Result<Known, FetchError> {
        let usable = record.filter(|record| record.stands_in(self.remote()));
        match usable.filter(|_| failure.is_outage()) {
            Some(record) => {
                tracing::debug!(error = %failure.error, "a stale source stands in");
                Ok(Known::fresh(record))
            }
            None => Err(failure.error),
        }
    }

    async fn ask_origin(
        &self,
        ask: &SourceAsk,
        known: Option<&Record>,
    ) -> Result<Known, FetchError> {
        let remote = self.remote();
        let errand = Errand {
            url: ask.url.url().clone(),
            headers: ask.headers(known),
            secrets: ask.secrets.clone(),
            may_use: &|host, port| remote.allows_port(host, port),
            credentials: false,
            bytes_max: remote.bytes_max,
            head_timeout: remote.head_timeout,
            body_timeout: remote.body_timeout,
            memory: Some(&self.sources.memory),
        };
        match (self.fetcher.run(errand).await?, known) {
            (Fetched::NotModified(headers), Some(known)) => {
                let record = Arc::new(Record {
                    checked: Timestamp::now().micros(),
                    age: age_of(&headers),
                    headers: known.headers.renewed(&headers),
                    ..known.clone()
                });
                self.keep_record(ask, &record).await;
                Ok(Known {
                    record,
                    bytes: None,
                    found: Found::Unchanged,
                })
            }
            (Fetched::NotModified(_), None) => Err(FetchError::Status(304)),
            (Fetched::Answer(answer), _) => self.keep_answer(ask, answer).await,
        }
    }

    async fn keep_answer(&self, ask: &SourceAsk, answer: Answer) -> Result<Known, FetchError> {
        let coding = text_of(&answer.headers, &header::CONTENT_ENCODING, HEADER_MAX);
        let bytes = match Coding::parse(coding.as_deref().unwrap_or_default())? {
            None => answer.bytes,
            Some(coding) => self.undo(coding, answer.bytes).await?,
        };
        let record = Arc::new(Record {
            version: hex(&answer.digest[..16]),
            length: bytes.len() as u64,
            checked: Timestamp::now().micros(),
            age: age_of(&answer.headers),
            headers: KeptHeaders::of(&answer.headers),
        });
        let worth = self.engine.recognise(&bytes).is_ok() || record.length <= OTHER_BYTES_MAX;
        if record.freshness().storable && worth && self.disk_space.check(record.length).is_ok() {
            let key = ask.bytes_key(&record.version);
            self.renditions.put_note(&key, bytes.clone()).await;
        }
        self.keep_record(ask, &record).await;
        Ok(Known {
            record,
            bytes: Some(bytes),
            found: Found::Fetched(answer.times),
        })
    }

    async fn undo(&self, coding: Coding, bytes: Bytes) -> Result<Bytes, FetchError> {
        let bytes_max = self.remote().bytes_max;
        let room = Room::of(&self.sources.memory, Some(bytes_max)).await;
        let room = room.map_err(|_| FetchError::Busy)?;
        let lane = self.lanes.get(Lane::Light);
        let undone = lane.run(move || coding.undo(&bytes, bytes_max));
        let undone = undone.await.map_err(|_| FetchError::Busy)??;
        Ok(room.keep(undone.into()))
    }

    async fn record(&self, slot: &RenditionKey) -> Option<Arc<Record>> {
        if let Some(record) = self.sources.records.get(slot) {
            return Some(record);
        }
        let note = self.renditions.get_note(slot).await?;
        // One of another version of this program reads as none.
        let record: Record = serde_json::from_slice(&note).ok()?;
        let record = Arc::new(record);
        self.sources.records.insert(slot.clone(), record.clone());
        Some(record)
    }

    async fn keep_record(&self, ask: &SourceAsk, record: &Arc<Record>) {
        let mut slots = vec![ask.slot()];
        if record.depends_on_accept() {
            slots.push(ask.slot_of_accept());
        }
        for slot in slots {
            if !record.freshness().storable {
                self.sources.records.remove(&slot);
                continue;
            }
            self.sources.failures.remove(&slot);
            self.sources.records.insert(slot.clone(), record.clone());
            if let Ok(note) = serde_json::to_vec(record.as_ref())
                && self.disk_space.check(note.len() as u64).is_ok()
            {
                self.renditions.put_note(&slot, note.into()).await;
            }
        }
    }

    /// The bytes of a record, if they are still on disk.
    pub(crate) async fn source_bytes(
        &self,
        ask: &SourceAsk,
        record: &Record,
    ) -> Result<Option<Bytes>, Error> {
        let room = Room::of(&self.sources.memory, Some(record.length)).await?;
        let key = ask.bytes_key(&record.version);
        let bytes = self.renditions.get_note(&key).await;
        Ok(bytes.map(|bytes| room.keep(bytes)))
    }

    /// Forgets a source and all that was made of it.
    pub(crate) async fn purge_source(&self, url: &SourceUrl) -> Emptied {
        for avif in [false, true] {
            for webp in [false, true] {
                let ask = SourceAsk {
                    url: url.clone(),
                    accepts: Accepts { avif, webp },
                    secrets: HeaderMap::new(),
                };
                for slot in [ask.slot(), ask.slot_of_accept()] {
                    self.sources.records.remove(&slot);
                    self.sources.failures.remove(&slot);
                }
            }
        }
        let group = group_of(url);
        self.refusals.retain(|key, _| key.blob != group);
        self.renditions.empty_blob(&group).await
    }
}

impl Known {
    fn fresh(record: Arc<Record>) -> Self {
        Self {
            record,
            bytes: None,
            found: Found::Fresh,
        }
    }
}

/// The seconds which caches on the way had the answer.
fn age_of(headers: &HeaderMap) -> u64 {
    let age = text_of(headers, &header::AGE, HEADER_MAX);
    age.and_then(|age| age.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_which_may_pass_soon_are_asked_about_soon() {
        let seconds = |error| {
            let left = Failure::of(error).map(|failure| failure.until - Instant::now());
            left.map(|left| left.as_secs() + 1)
        };
        assert_eq!(seconds(FetchError::Status(404)), Some(60));
        assert_eq!(seconds(FetchError::Status(403)), Some(10));
        assert_eq!(seconds(FetchError::Status(503)), Some(5));
        assert_eq!(seconds(FetchError::Refused), Some(5));
        assert_eq!(seconds(FetchError::Busy), None);
    }

    #[test]
    fn only_tags_in_quotes_are_kept() {
        let etag = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, HeaderValue::from_static(text));
            KeptHeaders::of(&headers).etag
        };
        assert_eq!(etag("\"abc\"").as_deref(), Some("\"abc\""));
        assert_eq!(etag("W/\"abc\"").as_deref(), Some("W/\"abc\""));
        assert_eq!(etag("abc"), None);
        assert_eq!(etag("\""), None);
    }
}
