//! Fetching a source from its address: bounded, and only from addresses a stranger may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, header, redirect};

use crate::{Error, Settings};

/// Fetches sources. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    allow_private: bool,
    bytes_max: u64,
    redirects_max: usize,
    timeout: Duration,
}

/// What of a URL's credentials travels on.
struct Target {
    url: Url,
    credentials: Option<(String, Option<String>)>,
}

impl Fetcher {
    /// A fetcher with the limits of `settings`.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let allow_private = settings.allow_private_sources;
        let client = Client::builder()
            .user_agent(concat!("Calotype/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(PublicResolver { allow_private }))
            .connect_timeout(Duration::from_secs(15))
            .no_proxy()
            .build()
            .map_err(|error| Error::Worker(error.to_string()))?;
        Ok(Self {
            client,
            allow_private,
            bytes_max: settings.limits.upload_bytes_max,
            redirects_max: settings.source_redirects_max,
            timeout: settings.source_timeout,
        })
    }

    /// The bytes at an `http` or `https` address, and the last segment of its path.
    pub async fn fetch(&self, address: &str) -> Result<(Bytes, Option<String>), Error> {
        let url = Url::parse(address)
            .map_err(|_| Error::Invalid("url must be a valid http or https URL".to_owned()))?;
        let filename = url
            .path_segments()
            .and_then(|mut segments| segments.next_back())
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned());
        let fetched = tokio::time::timeout(self.timeout, self.follow(url)).await;
        let bytes = fetched.map_err(|_| {
            Error::Origin(format!("no answer within {} s", self.timeout.as_secs()))
        })??;
        Ok((bytes, filename))
    }

    async fn follow(&self, url: Url) -> Result<Bytes, Error> {
        let mut target = Target::new(url);
        for _ in 0..=self.redirects_max {
            let response = self.request(&target).await?;
            let status = response.status();
            if status.is_redirection() {
                let location = response.headers().get(header::LOCATION);
                let location = location.and_then(|location| location.to_str().ok());
                let next = location.and_then(|location| target.url.join(location).ok());
                let next =
                    next.ok_or_else(|| Error::Origin("redirection to an invalid URL".to_owned()))?;
                target = target.redirected(next);
            } else if status.is_success() {
                return self.body(response).await;
            } else {
                return Err(Error::Origin(format!(
                    "the server returned HTTP error {status}"
                )));
            }
        }
        Err(Error::Origin("too many redirects".to_owned()))
    }

    async fn request(&self, target: &Target) -> Result<reqwest::Response, Error> {
        self.check(&target.url)?;
        let mut request = self
            .client
            .get(target.url.clone())
            .header(header::ACCEPT, "image/*");
        if let Some((user, password)) = &target.credentials {
            request = request.basic_auth(user, password.as_ref());
        }
        request.send().await.map_err(|error| {
            tracing::debug!(%error, "a source cannot be fetched");
            Error::Origin(reason(&error))
        })
    }

    /// Refuses other schemes, and addresses written as numbers; names are judged when resolved.
    fn check(&self, url: &Url) -> Result<(), Error> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Invalid(
                "url must be an http or https URL".to_owned(),
            ));
        }
        let host = url.host_str().unwrap_or_default();
        let number = host.trim_matches(['[', ']']).parse::<IpAddr>();
        match number {
            Ok(address) if !self.allow_private && is_private(address) => {
                Err(Error::Origin(PRIVATE.to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn body(&self, response: reqwest::Response) -> Result<Bytes, Error> {
        let too_large = || Error::TooManyBytes(self.bytes_max);
        if response
            .content_length()
            .is_some_and(|length| length > self.bytes_max)
        {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Error::Origin(reason(&error)))?;
            if (bytes.len() + piece.len()) as u64 > self.bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }
}

impl Target {
    /// Takes the credentials out of the URL.
    fn new(mut url: Url) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decode(url.username());
        let password = url.password().map(decode);
        // Both fail only on URLs without a host, which `check` refuses.
        let _ = url.set_username("");
        let _ = url.set_password(None);
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

const PRIVATE: &str = "the address is private, and this server does not fetch from such";

/// Resolves names and drops every address which a stranger must not reach, so that the address
/// which was judged is the one which is connected to.
struct PublicResolver {
    allow_private: bool,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let resolved = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = resolved
                .filter(|address| allow_private || !is_private(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(PRIVATE.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is on this machine, in a private network, or no single public host at all
/// (the special-purpose registries of RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

/// What of IPv4 is no public host (RFC 6890, multicast, class E).
const NETWORKS: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

fn is_private_v4(address: Ipv4Addr) -> bool {
    let within = |[a, b, c, d]: [u8; 4], bits: u32| {
        let network = Ipv4Addr::new(a, b, c, d).to_bits();
        (address.to_bits() ^ network) >> (32 - bits) == 0
    };
    NETWORKS
        .into_iter()
        .any(|(network, bits)| within(network, bits))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let segments = address.segments();
    let embedded = |shift: u32| Ipv4Addr::from_bits((bits >> shift) as u32);
    // Forms which carry an IPv4 address are judged by it: mapped, translated (RFC 6052), 6to4.
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_private_v4(mapped);
    }
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_private_v4(embedded(0));
    }
    if segments[0] == 0x2002 {
        return is_private_v4(embedded(80));
    }
    // Only 2000::/3 is global unicast; in it, Teredo and documentation are not.
    segments[0] & 0xe000 != 0x2000
        || segments[..2] == [0x2001, 0]
        || segments[..2] == [0x2001, 0xdb8]
        || segments[0] == 0x3fff
}

/// One sentence without addresses of this network in it.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if cause.to_string() == PRIVATE {
            return PRIVATE.to_owned();
        }
        match cause.source() {
            Some(source) => cause = source,
            None => break,
        }
    }
    let words = if error.is_connect() {
        "the server cannot be reached"
    } else if error.is_timeout() {
        "the server does not answer"
    } else {
        "the connection broke"
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_form() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:1::",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2606:4700::1111",
            "2002:101:101::",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }

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
