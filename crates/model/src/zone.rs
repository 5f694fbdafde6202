//! Hosts which offer remote images, and which sources each allows (transformations.md, sections 6.1
//! and 6.2).

use url::Host;

use crate::SourceUrl;
use crate::source_url::Site;

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

    /// Whether a request which named `host` may have this source.
    pub fn allows(&self, source: &SourceUrl, host: &str, strict: bool) -> bool {
        source.host() == host
            || match &self.origins {
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
        zone.allows(&source, request_host, strict)
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
