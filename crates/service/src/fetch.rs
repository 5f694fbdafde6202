//! Fetching a source from its address: bounded, and only from addresses a stranger may reach.

mod coding;
mod error;
mod reach;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use ring::digest;
use tokio::time::timeout;
use tracing::{Instrument as _, info_span};

use crate::memory::{Memory, Room};
use crate::{Error, Settings, TRACE};

pub(crate) use coding::Coding;
pub use error::FetchError;
use reach::Resolver;
pub use reach::{Network, Ports, Reach};
use turns::{Turn, Turns};

/// Fetches sources. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    /// For hosts which are named with another port than they are reached at: by HTTP/1.1, where the name is a
    /// header of its own.
    routed: Client,
    reach: Arc<Reach>,
    turns: Turns,
    upload_bytes_max: u64,
    upload_timeout: Duration,
    redirects_max: usize,
}

/// A request for a source, of which nothing but these headers is told to the origin.
pub(crate) struct Errand<'a> {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Told to the host of the URL as well, and to no other after a redirection.
    pub(crate) secrets: HeaderMap,
    /// Whether the fetch may go to this port of this host, redirections included.
    pub(crate) may_use: &'a (dyn Fn(&str, u16) -> bool + Sync),
    /// Whether an address may hold a user and password.
    pub(crate) credentials: bool,
    pub(crate) bytes_max: u64,
    /// Until the head of the last answer.
    pub(crate) head_timeout: Duration,
    /// From then on.
    pub(crate) body_timeout: Duration,
    /// Where the bytes are counted; `None` where the caller was admitted with all of them.
    pub(crate) memory: Option<&'a Memory>,
}

/// What an origin answered.
pub(crate) enum Fetched {
    /// It has what the conditions name.
    NotModified(HeaderMap),
    /// An image, or what the origin takes for one.
    Answer(Answer),
}

pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// SHA-256 of the bytes as they came.
    pub(crate) digest: [u8; 32],
    /// Until the head, and from then on.
    pub(crate) times: [Duration; 2],
}

/// What of a URL's credentials travels on.
struct Target {
    url: Url,
    credentials: Option<(String, Option<String>)>,
}

/// What this server calls itself where somebody named the address who may upload.
const AGENT: &str = concat!("Calotype/", env!("CARGO_PKG_VERSION"));

/// Of an answer's head; more is an attack.
const HEADERS_MAX: usize = 100;

impl Fetcher {
    /// A fetcher with the limits of `settings`.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let remote = &settings.remote;
        let reach = Arc::new(remote.reach.clone());
        let client = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .dns_resolver(Resolver::new(reach.clone()))
                .connect_timeout(remote.head_timeout)
                .http1_max_headers(HEADERS_MAX)
                .http2_max_header_list_size(64 * 1024)
                .no_proxy()
        };
        let build = |client: ClientBuilder| {
            let built = client.build();
            built.map_err(|error| Error::Worker(error.to_string()))
        };
        Ok(Self {
            client: build(client())?,
            routed: build(client().http1_only())?,
            reach,
            turns: Turns::new(remote.fetches_per_host),
            upload_bytes_max: settings.limits.upload_bytes_max,
            upload_timeout: settings.source_timeout,
            redirects_max: settings.source_redirects_max,
        })
    }

    /// For an upload: the bytes at an `http` or `https` address, and the last segment of its path.
    pub async fn fetch(&self, address: &str) -> Result<(Bytes, Option<String>), Error> {
        let url = Url::parse(address)
            .map_err(|_| Error::Invalid("url must be a valid http or https URL".to_owned()))?;
        let filename = url
            .path_segments()
            .and_then(|mut segments| segments.next_back())
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned());
        let bytes = self.get(url, "image/*", self.upload_bytes_max, None);
        Ok((bytes.await?, filename))
    }

    /// Sends a JSON text to an address which a customer named, within `time`. Whatever is answered but 200 to
    /// 299 is an error, and redirections are not followed.
    pub(crate) async fn tell(
        &self,
        address: &str,
        headers: HeaderMap,
        json: String,
        time: Duration,
    ) -> Result<(), FetchError> {
        let url = Url::parse(address).map_err(|_| FetchError::Scheme)?;
        let target = Target::new(url);
        self.check(&target.url, |_, _| true)?;
        let mut request = self
            .addressed(Method::POST, &target.url)
            .headers(headers)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, AGENT)
            .body(json);
        if let Some((user, password)) = &target.credentials {
            request = request.basic_auth(user, password.as_ref());
        }
        let answer = timeout(time, request.send()).await;
        let response = answer
            .map_err(|_| FetchError::SilentHead)?
            .map_err(|error| {
                let reason = FetchError::of(&error);
                // Its address may hold secrets.
                tracing::debug!(error = %error.without_url(), "a webhook cannot be reached");
                reason
            })?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(FetchError::Status(status.as_u16()))
        }
    }

    /// The bytes of a font, from where sources of uploads may be fetched.
    pub(crate) async fn font(
        &self,
        address: &str,
        bytes_max: u64,
        memory: &Memory,
    ) -> Result<Bytes, Error> {
        let url = Url::parse(address)
            .map_err(|_| Error::Invalid("font.url must be a valid http or https URL".to_owned()))?;
        self.get(url, "font/*", bytes_max, Some(memory)).await
    }

    /// The bytes at an address which somebody named who may upload.
    async fn get(
        &self,
        url: Url,
        accept: &'static str,
        bytes_max: u64,
        memory: Option<&Memory>,
    ) -> Result<Bytes, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        let errand = Errand {
            url,
            headers,
            secrets: HeaderMap::new(),
            may_use: &|_, _| true,
            credentials: true,
            bytes_max,
            head_timeout: self.upload_timeout,
            body_timeout: self.upload_timeout,
            memory,
        };
        let fetched = timeout(self.upload_timeout, self.run(errand)).await;
        let fetched = fetched.map_err(|_| {
            let seconds = self.upload_timeout.as_secs();
            Error::Origin(format!("no answer within {seconds} s"))
        })??;
        match fetched {
            Fetched::Answer(answer) => Ok(answer.bytes),
            Fetched::NotModified(_) => Err(FetchError::Status(304).into()),
        }
    }

    /// Follows redirections to an answer, and reads it.
    pub(crate) async fn run(&self, errand: Errand<'_>) -> Result<Fetched, FetchError> {
        let host = errand.url.host_str();
        let span = info_span!(target: TRACE, "fetch", otel.kind = "client", server.address = host);
        self.run_in_time(errand).instrument(span).await
    }

    async fn run_in_time(&self, errand: Errand<'_>) -> Result<Fetched, FetchError> {
        let started = Instant::now();
        let head = timeout(errand.head_timeout, self.follow(&errand)).await;
        let (response, _turn) = head.map_err(|_| FetchError::SilentHead)??;
        let head_time = started.elapsed();
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::NotModified(response.headers().clone()));
        }
        let headers = response.headers().clone();
        let body = timeout(errand.body_timeout, read(response, &errand)).await;
        let (bytes, digest) = body.map_err(|_| FetchError::SlowBody)??;
        Ok(Fetched::Answer(Answer {
            headers,
            bytes,
            digest,
            times: [head_time, started.elapsed().saturating_sub(head_time)],
        }))
    }

    /// The first answer which is no redirection, with the turn at its host.
    async fn follow(&self, errand: &Errand<'_>) -> Result<(Response, Turn), FetchError> {
        let mut target = Target::new(errand.url.clone());
        let conditional = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
            .iter()
            .any(|name| errand.headers.contains_key(name));
        for _ in 0..=self.redirects_max {
            self.check(&target.url, errand.may_use)?;
            let turn = self.turns.turn(target.url.host_str().unwrap_or_default());
            let turn = turn.await?;
            let response = self.request(&target, errand).await?;
            let status = response.status();
            if status.is_success() || (conditional && status == StatusCode::NOT_MODIFIED) {
                return Ok((response, turn));
            }
            if !is_redirection(status) {
                return Err(FetchError::Status(status.as_u16()));
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| target.url.join(location).ok());
            let next = next.ok_or(FetchError::Redirection)?;
            let names_user = !next.username().is_empty() || next.password().is_some();
            if !is_http(&next) || (names_user && !errand.credentials) {
                return Err(FetchError::Redirection);
            }
            target = target.redirected(next);
        }
        Err(FetchError::TooManyRedirects)
    }

    async fn request(&self, target: &Target, errand: &Errand<'_>) -> Result<Response, FetchError> {
        let mut request = self
            .addressed(Method::GET, &target.url)
            .headers(errand.headers.clone());
        if target.url.origin() == errand.url.origin() {
            request = request.headers(errand.secrets.clone());
        }
        if let Some((user, password)) = &target.credentials {
            request = request.basic_auth(user, password.as_ref());
        }
        request.send().await.map_err(|error| {
            tracing::debug!(%error, "a source cannot be fetched");
            FetchError::of(&error)
        })
    }

    /// A request to where this address is reached.
    fn addressed(&self, method: Method, url: &Url) -> RequestBuilder {
        let (url, host) = self.reach.route(url);
        match host {
            Some(host) => self.routed.request(method, url).header(header::HOST, host),
            None => self.client.request(method, url),
        }
    }

    /// Refuses other schemes and ports, and addresses written as numbers; names are judged when
    /// they are resolved.
    fn check(&self, url: &Url, may_use: impl Fn(&str, u16) -> bool) -> Result<(), FetchError> {
        if !is_http(url) {
            return Err(FetchError::Scheme);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        if !may_use(host, port) {
            return Err(FetchError::Port(port));
        }
        // No such name exists, and to those who overlook the dots it is another one.
        if host.ends_with('.') {
            return Err(FetchError::Private);
        }
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) if !self.reach.allows(address) => Err(FetchError::Private),
            _ => Ok(()),
        }
    }
}

async fn read(response: Response, errand: &Errand<'_>) -> Result<(Bytes, [u8; 32]), FetchError> {
    let too_large = || FetchError::TooManyBytes(errand.bytes_max);
    let length = response.content_length();
    if length.is_some_and(|length| length > errand.bytes_max) {
        return Err(too_large());
    }
    let mut room = match errand.memory {
        Some(memory) => {
            let room = Room::of(memory, length).await;
            Some(room.map_err(|_| FetchError::Busy)?)
        }
        None => None,
    };
    let mut bytes = BytesMut::new();
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            tracing::debug!(%error, "a source broke off");
            FetchError::Truncated
        })?;
        let total = (bytes.len() + piece.len()) as u64;
        if total > errand.bytes_max {
            return Err(too_large());
        }
        if let Some(room) = &mut room {
            room.grow(total).await.map_err(|_| FetchError::Busy)?;
        }
        digest.update(&piece);
        bytes.extend_from_slice(&piece);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.finish().as_ref());
    let bytes = bytes.freeze();
    Ok((
        room.map_or_else(|| bytes.clone(), |room| room.keep(bytes.clone())),
        hash,
    ))
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn is_redirection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The value of a header, if it is plain text and not longer than anybody needs.
pub(crate) fn text_of(headers: &HeaderMap, name: &HeaderName, bytes_max: usize) -> Option<String> {
    let values = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().ok());
    let values: Vec<&str> = values.collect::<Option<_>>()?;
    let text = values.join(", ");
    (!text.is_empty() && text.len() <= bytes_max).then_some(text)
}

impl Target {
    /// Takes the credentials out of the URL, and the dot of an absolute name: `a.example.` is `a.example`.
    fn new(mut url: Url) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decode(url.username());
        let password = url.password().map(decode);
        // Both fail only on URLs without a host, which `check` refuses.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let relative = url.host_str().and_then(|host| host.strip_suffix('.'));
        if let Some(relative) = relative.map(str::to_owned) {
            let _ = url.set_host(Some(&relative));
        }
        let given = !user.is_empty() || password.is_some();
        Self {
            url,
            credentials: given.then_some((user, password)),
        }
    }

    /// Credentials stay with their origin.
    fn redirected(self, next: Url) -> Self {
        let same_origin = next.origin() == self.url.origin();
        let mut target = Self::new(next);
        target.credentials = self.credentials.filter(|_| same_origin);
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_origin() {
        let target = Target::new(Url::parse("http://me:p%40ss@a.example/x").unwrap());
        assert_eq!(target.url.as_str(), "http://a.example/x");
        assert_eq!(target.credentials, Some(("me".into(), Some("p@ss".into()))));
        let same = target.redirected(Url::parse("http://a.example/y").unwrap());
        assert!(same.credentials.is_some());
        let other = same.redirected(Url::parse("http://b.example/y").unwrap());
        assert!(other.credentials.is_none());
    }
}
