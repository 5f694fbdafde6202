//! Hosts which offer remote images, and which sources each allows (transformations.md, sections 6.1
//! and 6.2).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use url::Host;

use crate::source_url::Site;
use crate::{SourceUrl, Timestamp, to_hex};

/// A host, with all its subdomains, at which remote images are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// In lower case, without port.
    host: String,
    /// Whether its own pictures are fetched by `https`; `None` is as the request came.
    secure: Option<bool>,
    /// Where its own pictures are; `None` is as the request says.
    port: Option<u16>,
    origins: Origins,
}

/// What zones are told by the API, by the hosts of the zones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneConfigs(Arc<BTreeMap<String, ZoneConfig>>);

/// What a zone is told by the API (clients.md, section 2.3). What it is not told is as the server is
/// configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneConfig {
    /// Which sources it allows, and when that was said.
    pub allowed_origins: Option<(AllowedOrigins, Timestamp)>,
    /// Whether Content Credentials are to be kept, and when that was said.
    pub content_credentials: Option<(bool, Timestamp)>,
}

/// Sources as the API names them: entries separated by commas, `*` for every public host, or `zone`
/// for the zone with its subdomains. It is shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigins {
    text: String,
    origins: Origins,
}

/// 32 lower-case hexadecimal characters: a zone's name in API paths, which follows from its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneId(String);

/// Which sources a zone allows besides the host which a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// The zone with its subdomains.
    Zone,
    /// Those of a list.
    List(Vec<AllowedOrigin>),
    /// Every public host.
    Any,
}

/// An entry of a list of allowed origins: `b.com`, `*.b.com`, `b.com/themes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin {
    host: String,
    subdomains: bool,
    /// What paths must start with.
    path: String,
}

impl ZoneConfigs {
    /// What this zone is told.
    pub fn of(&self, zone: &Zone) -> Option<&ZoneConfig> {
        self.0.get(&zone.host)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, zone: &Zone) -> &mut ZoneConfig {
        let configs = Arc::make_mut(&mut self.0);
        configs.entry(zone.host.clone()).or_default()
    }

    /// As they are stored: by host, with times in microseconds.
    pub fn to_json(&self) -> Map<String, Value> {
        let configs = self.0.iter().map(|(host, config)| {
            let mut object = Map::new();
            if let Some((allowed, modified)) = &config.allowed_origins {
                let value = json!([allowed.text, modified.micros()]);
                object.insert("allowed_origins".to_owned(), value);
            }
            if let Some((kept, modified)) = config.content_credentials {
                let value = json!([kept, modified.micros()]);
                object.insert("content_credentials".to_owned(), value);
            }
            (host.clone(), object.into())
        });
        configs.collect()
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(object: &Map<String, Value>) -> Option<Self> {
        let modified = |value: &Value| Some(Timestamp::from_micros(value.get(1)?.as_i64()?));
        let config = |(host, value): (&String, &Value)| {
            let allowed_origins = match value.get("allowed_origins") {
                None => None,
                Some(said) => {
                    let allowed = AllowedOrigins::parse(said.get(0)?.as_str()?)?;
                    Some((allowed, modified(said)?))
                }
            };
            let content_credentials = match value.get("content_credentials") {
                None => None,
                Some(said) => Some((said.get(0)?.as_bool()?, modified(said)?)),
            };
            let config = ZoneConfig {
                allowed_origins,
                content_credentials,
            };
            Some((host.clone(), config))
        };
        let configs = object.iter().map(config);
        let configs = configs.collect::<Option<_>>()?;
        Some(Self(Arc::new(configs)))
    }
}

impl AllowedOrigins {
    /// The most bytes which a list may have.
    pub const BYTES_MAX: usize = 16_384;

    /// Reads a list. An entry may begin with `http://` or `https://`, which means nothing; empty
    /// entries are none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::BYTES_MAX {
            return None;
        }
        let origins = match text.trim() {
            "*" => Origins::Any,
            "zone" => Origins::Zone,
            list => {
                let entries = list.split(',').map(str::trim);
                let entries = entries.filter(|entry| !entry.is_empty()).map(|entry| {
                    let plain = entry
                        .strip_prefix("https://")
                        .or_else(|| entry.strip_prefix("http://"));
                    AllowedOrigin::parse(plain.unwrap_or(entry))
                });
                Origins::List(entries.collect::<Option<_>>()?)
            }
        };
        Some(Self {
            text: text.to_owned(),
            origins,
        })
    }

    /// The list as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl ZoneId {
    fn of(host: &str) -> Self {
        let digest = digest(&SHA256, format!("zone {host}").as_bytes());
        Self(to_hex(&digest.as_ref()[..16]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origins {
    /// As [`AllowedOrigins`] are written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Zone => f.write_str("zone"),
            Self::List(list) => list.iter().enumerate().try_for_each(|(index, origin)| {
                let comma = if index > 0 { "," } else { "" };
                let star = if origin.subdomains { "*." } else { "" };
                write!(f, "{comma}{star}{}{}", origin.host, origin.path)
            }),
        }
    }
}

impl AllowedOrigin {
    /// Reads an entry.
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, path) = match text.split_once('/') {
            Some((domain, path)) => (domain, format!("/{path}")),
            None => (text, String::new()),
        };
        let (domain, subdomains) = match domain.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (domain, false),
        };
        Some(Self {
            host: host(domain)?,
            subdomains,
            path,
        })
    }

    /// Whether a source is at this origin. `strict` takes a path for a row of segments, so that
    /// `/themes` does not allow `/themesx`.
    fn allows(&self, source: &SourceUrl, strict: bool) -> bool {
        let hosts = if self.subdomains {
            is_within(source.host(), &self.host)
        } else {
            source.host() == self.host
        };
        let rest = source.path().strip_prefix(self.path.as_str());
        let path = rest.is_some_and(|rest| {
            let ends = self.path.is_empty() || self.path.ends_with('/');
            !strict || ends || rest.is_empty() || rest.starts_with('/')
        });
        hosts && path
    }
}

impl Zone {
    /// Reads `[scheme://]host[:port][=origins]`, where `origins` is `zone`, `any` or entries
    /// separated by `|`; without it, no other origin is allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, origins) = match text.split_once('=') {
            Some((address, origins)) => (address, origins.trim()),
            None => (text, ""),
        };
        let origins = match origins {
            "" => Origins::List(Vec::new()),
            "zone" => Origins::Zone,
            "any" => Origins::Any,
            list => {
                let entries = list
                    .split('|')
                    .map(|entry| AllowedOrigin::parse(entry.trim()));
                Origins::List(entries.collect::<Option<_>>()?)
            }
        };
        let (secure, authority) = match address.trim().split_once("://") {
            Some(("https", authority)) => (Some(true), authority),
            Some(("http", authority)) => (Some(false), authority),
            Some(_) => return None,
            None => (None, address.trim()),
        };
        let (name, port) = split_port(authority)?;
        Some(Self {
            host: host(name)?,
            secure,
            port,
            origins,
        })
    }

    /// The zone's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The zone's name in API paths.
    pub fn id(&self) -> ZoneId {
        ZoneId::of(&self.host)
    }

    /// Which sources it allows as the server is configured.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Whether a host is the zone or a subdomain of it.
    pub fn contains(&self, host: &str) -> bool {
        is_within(host, &self.host)
    }

    /// The zone among several to which a host belongs: the one with the longest name.
    pub fn of_host<'a>(zones: &'a [Self], host: &str) -> Option<&'a Self> {
        let matching = zones.iter().filter(|zone| zone.contains(host));
        // The first of equal ones, as they were configured.
        matching.rev().max_by_key(|zone| zone.host.len())
    }

    /// Where the zone's own pictures are, for a request which named this host and port.
    pub fn site(&self, host: &str, port: Option<u16>) -> Site {
        Site {
            secure: self.secure.unwrap_or(false),
            host: host.to_owned(),
            port: self.port.or(port),
        }
    }

    /// Whether this port of this host is where the zone's own pictures are by the settings.
    pub fn names_port(&self, host: &str, port: u16) -> bool {
        self.port == Some(port) && self.contains(host)
    }

    /// Whether a request which named `host` may have this source. `told` counts before what is
    /// configured.
    pub fn allows(
        &self,
        source: &SourceUrl,
        host: &str,
        strict: bool,
        told: Option<&ZoneConfig>,
    ) -> bool {
        let told = told.and_then(|told| told.allowed_origins.as_ref());
        let origins = told.map_or(&self.origins, |(allowed, _)| &allowed.origins);
        source.host() == host
            || match origins {
                Origins::Any => true,
                Origins::Zone => self.contains(source.host()),
                Origins::List(list) => list.iter().any(|origin| origin.allows(source, strict)),
            }
    }
}

/// A host and the port of a request, as `Host` carries them; in lower case.
pub fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = split_port(authority)?;
    Some((host(name)?, port))
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = if port.is_empty() {
                None
            } else {
                Some(port.parse().ok()?)
            };
            digits.then_some((name, port))
        }
        _ => Some((authority, None)),
    }
}

/// A host in the spelling of [`SourceUrl::host`].
fn host(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let host = Host::parse(name).ok()?.to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let valid = !host.is_empty() && !host.ends_with('.') && host.bytes().all(plain);
    valid.then_some(host)
}

/// Whether a host is a domain or below it. Addresses have nothing below them.
fn is_within(host: &str, domain: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(zone: &str, request_host: &str, source: &str, strict: bool) -> bool {
        let zone = Zone::parse(zone).unwrap();
        let source = SourceUrl::parse(source).unwrap();
        zone.allows(&source, request_host, strict, None)
    }

    #[test]
    fn origins_are_compared_component_by_component() {
        for (zone, source, expected) in [
            ("zone.test", "https://zone.test/a.png", true),
            ("zone.test", "https://sub.zone.test/a.png", false),
            ("zone.test", "https://other.test/a.png", false),
            ("zone.test=zone", "https://sub.zone.test/a.png", true),
            ("zone.test=zone", "https://evilzone.test/a.png", false),
            ("zone.test=zone", "https://zone.test.evil.test/a.png", false),
            ("zone.test=any", "https://other.test/a.png", true),
            ("zone.test=b.com", "https://b.com/a.png", true),
            ("zone.test=b.com", "https://B.COM./a.png", true),
            ("zone.test=b.com", "https://media.b.com/a.png", false),
            ("zone.test=b.com", "https://b.com.evil.test/a.png", false),
            ("zone.test=b.com", "https://xb.com/a.png", false),
            ("zone.test=b.com", "https://zone.test/a.png", true),
            ("zone.test=*.b.com", "https://b.com/a.png", true),
            ("zone.test=*.b.com", "https://cdn.b.com/a.png", true),
            ("zone.test=*.b.com", "https://a.cdn.b.com/a.png", true),
            ("zone.test=*.b.com", "https://evilb.com/a.png", false),
            ("zone.test=media.b.com", "https://b.com/a.png", false),
            ("zone.test=b.com/themes", "https://b.com/themes/i.png", true),
            (
                "zone.test=b.com/themes",
                "https://b.com/media/themes/i.png",
                false,
            ),
            (
                "zone.test=b.com/themes",
                "https://b.com/themes/../i.png",
                false,
            ),
            (
                "zone.test=b.com/themes",
                "https://b.com/themes/%2e%2e/i.png",
                false,
            ),
            (
                "zone.test=b.com/themes",
                "https://b.com/themesx/i.png",
                true,
            ),
            (
                "zone.test = c.com | *.b.com/x ",
                "https://q.b.com/x/i.png",
                true,
            ),
            (
                "zone.test=bücher.test",
                "https://xn--bcher-kva.test/a",
                true,
            ),
            (
                "zone.test=xn--bcher-kva.test",
                "https://b%C3%BCcher.test/a",
                true,
            ),
            // A Cyrillic letter which looks like a Latin one.
            ("zone.test=apple.test", "https://%D0%B0pple.test/a", false),
        ] {
            assert_eq!(
                allows(zone, "zone.test", source, false),
                expected,
                "{zone} {source}"
            );
        }
        let strict = |source| allows("zone.test=b.com/themes", "zone.test", source, true);
        assert!(strict("https://b.com/themes/i.png"));
        assert!(strict("https://b.com/themes"));
        assert!(!strict("https://b.com/themesx/i.png"));
    }

    #[test]
    fn what_the_api_says_of_origins_counts_before_the_configuration() {
        let zone = Zone::parse("zone.test=b.com").unwrap();
        let allows = |list: Option<&str>, source| {
            let told = ZoneConfig {
                allowed_origins: list.map(|list| {
                    let allowed = AllowedOrigins::parse(list).unwrap();
                    assert_eq!(allowed.as_str(), list);
                    (allowed, Timestamp::from_micros(1))
                }),
                ..ZoneConfig::default()
            };
            let source = SourceUrl::parse(source).unwrap();
            zone.allows(&source, "zone.test", false, Some(&told))
        };
        for (list, source, expected) in [
            (None, "https://b.com/a.png", true),
            (None, "https://c.com/a.png", false),
            (Some(""), "https://b.com/a.png", false),
            (Some(""), "https://zone.test/a.png", true),
            (Some("*"), "https://c.com/a.png", true),
            (Some("zone"), "https://sub.zone.test/a.png", true),
            (Some("zone"), "https://b.com/a.png", false),
            (Some("c.com, *.d.com/x"), "https://c.com/a.png", true),
            (Some("c.com, *.d.com/x"), "https://q.d.com/x/a.png", true),
            (Some("c.com,*.d.com/x,"), "https://q.d.com/y/a.png", false),
            (Some("https://c.com"), "http://c.com/a.png", true),
        ] {
            assert_eq!(allows(list, source), expected, "{list:?} {source}");
        }
        for broken in ["a b", "c.com,*", "c.com|d.com", "ftp://c.com", "*.*.c.com"] {
            assert_eq!(AllowedOrigins::parse(broken), None, "{broken}");
        }
        let long = "a.com,".repeat(AllowedOrigins::BYTES_MAX / 6 + 1);
        assert_eq!(AllowedOrigins::parse(&long), None);
    }

    #[test]
    fn origins_are_shown_as_the_api_takes_them() {
        for (configured, shown) in [
            ("zone.test", ""),
            ("zone.test=any", "*"),
            ("zone.test=zone", "zone"),
            ("zone.test=B.com|*.c.com/x", "b.com,*.c.com/x"),
        ] {
            let zone = Zone::parse(configured).unwrap();
            assert_eq!(zone.origins().to_string(), shown);
            let taken = AllowedOrigins::parse(shown).unwrap();
            assert_eq!(&taken.origins, zone.origins());
        }
    }

    #[test]
    fn the_longest_zone_wins() {
        let zones = ["zone.test", "img.zone.test=any", "127.0.0.1"];
        let zones = zones.map(|text| Zone::parse(text).unwrap());
        let zone = |host| Zone::of_host(&zones, host).map(Zone::host);
        assert_eq!(zone("zone.test"), Some("zone.test"));
        assert_eq!(zone("a.zone.test"), Some("zone.test"));
        assert_eq!(zone("img.zone.test"), Some("img.zone.test"));
        assert_eq!(zone("a.img.zone.test"), Some("img.zone.test"));
        assert_eq!(zone("127.0.0.1"), Some("127.0.0.1"));
        assert_eq!(zone("evilzone.test"), None);
        assert_eq!(zone(""), None);
    }

    #[test]
    fn zones_are_read_with_scheme_port_and_origins() {
        let zone = Zone::parse("https://Zone.test:8443=any").unwrap();
        let site = zone.site("sub.zone.test", None);
        let expected = Site {
            secure: true,
            host: "sub.zone.test".to_owned(),
            port: Some(8443),
        };
        assert_eq!(site, expected);
        let plain = Zone::parse("[::1]").unwrap().site("[::1]", Some(80));
        assert_eq!((plain.secure, plain.host.as_str()), (false, "[::1]"));
        for broken in [
            "",
            "=any",
            "ftp://a.test",
            "a.test:x",
            "a.test=b.com|",
            "a b",
            "a.test=*",
            "a/b",
        ] {
            assert_eq!(Zone::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn hosts_of_requests_are_read() {
        for (authority, expected) in [
            ("Zone.TEST", Some(("zone.test", None))),
            ("zone.test.", Some(("zone.test", None))),
            ("zone.test:80", Some(("zone.test", Some(80)))),
            ("zone.test:", Some(("zone.test", None))),
            ("[::1]:8080", Some(("[::1]", Some(8080)))),
            ("[::1]", Some(("[::1]", None))),
            ("127.0.0.1:1", Some(("127.0.0.1", Some(1)))),
            ("", None),
            ("a:b", None),
            ("a:+1", None),
            ("a/b", None),
            ("a@b", None),
        ] {
            let expected = expected.map(|(host, port): (&str, _)| (host.to_owned(), port));
            assert_eq!(split_authority(authority), expected, "{authority}");
        }
    }
}
