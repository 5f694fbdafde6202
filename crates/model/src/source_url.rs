//! Where a remote image comes from (transformations.md, section 1.2).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::remote_path::PREFIX as NESTED;
use crate::signed_url::PREFIX as HOSTED;

/// The address of a source: `http` or `https`, without user or fragment. It is read by the parser
/// which the fetcher uses as well, so that what was judged is what is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceUrl(Url);

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// Another scheme, a broken escape, a character which must be encoded, a user name.
    #[error("Could not fetch the image — invalid URL")]
    Url,
    /// No host can have this name.
    #[error("Requested image URL has invalid suffix or is not allowed")]
    Host,
    /// A remote image of this server, or a hosted one.
    #[error("Requested resized version of an already-resized image")]
    Nested,
}

/// What relative sources are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whether `https`.
    pub secure: bool,
    /// The host which the request named, in lower case and without port.
    pub host: String,
    /// Unless it is the usual one.
    pub port: Option<u16>,
}

impl SourceUrl {
    /// Reads a source as it stands in a request. `is_ours` says of a host whether this server
    /// answers there.
    pub fn resolve(
        source: &str,
        site: &Site,
        is_ours: impl FnOnce(&str) -> bool,
    ) -> Result<Self, InvalidSource> {
        let source = decoded_absolute(source)?;
        let text = match scheme(&source) {
            Some((scheme, rest)) if is_http(scheme) => {
                // Proxies merge slashes, so that any number of them means two.
                let rest = rest.strip_prefix('/').ok_or(InvalidSource::Url)?;
                format!("{scheme}://{}", rest.trim_start_matches('/'))
            }
            Some(_) => return Err(InvalidSource::Url),
            // Would change the host behind the back of whoever reads the address.
            None if source.starts_with("//") => return Err(InvalidSource::Url),
            None => format!(
                "{}/{}",
                site.base(),
                source.strip_prefix('/').unwrap_or(&source)
            ),
        };
        let url = Self::parse(&text)?;
        if url.is_nested() && is_ours(url.host()) {
            return Err(InvalidSource::Nested);
        }
        Ok(url)
    }

    /// Reads an absolute address.
    pub fn parse(text: &str) -> Result<Self, InvalidSource> {
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::EmptyHost
            | url::ParseError::IdnaError
            | url::ParseError::InvalidIpv4Address
            | url::ParseError::InvalidIpv6Address
            | url::ParseError::InvalidDomainCharacter
            | url::ParseError::InvalidPort => InvalidSource::Host,
            _ => InvalidSource::Url,
        })?;
        Self::of(url)
    }

    /// The address at which a redirection from this one points.
    pub fn redirected(&self, location: &str) -> Result<Self, InvalidSource> {
        let url = self.0.join(location).map_err(|_| InvalidSource::Url)?;
        Self::of(url)
    }

    fn of(mut url: Url) -> Result<Self, InvalidSource> {
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !is_http(url.scheme()) || !anonymous {
            return Err(InvalidSource::Url);
        }
        url.set_fragment(None);
        // The dot of an absolute name: `a.example.` is `a.example`.
        let host = url.host_str().ok_or(InvalidSource::Host)?;
        if let Some(relative) = host.strip_suffix('.') {
            let relative = relative.to_owned();
            if relative.is_empty() || relative.ends_with('.') {
                return Err(InvalidSource::Host);
            }
            url.set_host(Some(&relative))
                .map_err(|_| InvalidSource::Host)?;
        }
        Ok(Self(url))
    }

    /// The host in lower case, in ASCII.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The path, undecoded, without dot segments.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The port which is connected to.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Whether the port is another than that of the scheme.
    pub fn names_port(&self) -> bool {
        self.0.port().is_some()
    }

    /// The address for an HTTP client.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the path is of an image which this server transforms, in any spelling which a proxy
    /// on the way may understand.
    fn is_nested(&self) -> bool {
        let path = percent_decode_str(self.path()).decode_utf8_lossy();
        let segments: Vec<&str> = path
            .split(['/', '\\'])
            .filter(|segment| !segment.is_empty())
            .collect();
        [NESTED, HOSTED].into_iter().any(|prefix| {
            let prefix: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
            segments.windows(prefix.len()).any(|part| part == prefix)
        })
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Site {
    /// Without a slash at the end.
    fn base(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{scheme}://{}{port}", self.host)
    }
}

/// A source which was percent-encoded as a whole, as generators write those with a query, decoded
/// once; others as they are. In those which were not encoded, every character must be fit for a URL.
fn decoded_absolute(source: &str) -> Result<Cow<'_, str>, InvalidSource> {
    let encoded = ["http%3a", "https%3a"].iter().any(|start| {
        let head = source.get(..start.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(start))
    });
    if !encoded {
        let fit = source.bytes().all(|byte| byte.is_ascii_graphic());
        return fit
            .then_some(Cow::Borrowed(source))
            .ok_or(InvalidSource::Url);
    }
    let bytes = source.as_bytes();
    let whole = bytes.iter().enumerate().all(|(at, byte)| {
        let is_hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        *byte != b'%' || (is_hex(1) && is_hex(2))
    });
    let decoded = percent_decode_str(source).decode_utf8().ok();
    // Spaces and other letters are encoded again, as by a browser; line breaks are an attack.
    decoded
        .filter(|text| whole && !text.chars().any(char::is_control))
        .ok_or(InvalidSource::Url)
}

/// The scheme of an absolute address, and what follows its colon.
fn scheme(source: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = source.split_once(':')?;
    let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then_some((scheme, rest))
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> Site {
        Site {
            secure: true,
            host: "zone.test".to_owned(),
            port: None,
        }
    }

    fn resolve(source: &str) -> Result<String, InvalidSource> {
        let url = SourceUrl::resolve(source, &site(), |host| host == "zone.test")?;
        Ok(url.to_string())
    }

    #[test]
    fn every_documented_spelling_of_a_source_is_resolved() {
        for (source, expected) in [
            (
                "uploads/avatar1.jpg",
                "https://zone.test/uploads/avatar1.jpg",
            ),
            (
                "/uploads/avatar1.jpg",
                "https://zone.test/uploads/avatar1.jpg",
            ),
            ("https://s3.test/b/i.png", "https://s3.test/b/i.png"),
            ("https:/s3.test/b/i.png", "https://s3.test/b/i.png"),
            ("https:///s3.test/b/i.png", "https://s3.test/b/i.png"),
            ("http://s3.test/i.png", "http://s3.test/i.png"),
            ("HTTPS://S3.test./i.png", "https://s3.test/i.png"),
            (
                "https%3A%2F%2Fs3.test%2Fb%2Fi.png%3Fv%3D2",
                "https://s3.test/b/i.png?v=2",
            ),
            (
                "https%3a%2f%2fs3.test%2fi%2520b.png",
                "https://s3.test/i%20b.png",
            ),
            (
                "https%3A%2F%2Fs3.test%2F%C3%BC%20b.png",
                "https://s3.test/%C3%BC%20b.png",
            ),
            ("https%3A/s3.test/i.png", "https://s3.test/i.png"),
            ("https://s3.test/a.png?v=2", "https://s3.test/a.png?v=2"),
            ("https://s3.test/x.jpg%3Fv=1", "https://s3.test/x.jpg%3Fv=1"),
            ("a%20b.png?x=%2F", "https://zone.test/a%20b.png?x=%2F"),
            ("12:30.png", "https://zone.test/12:30.png"),
            ("a/b:c.png", "https://zone.test/a/b:c.png"),
            ("a/../b.png", "https://zone.test/b.png"),
            ("https://s3.test:8443/a", "https://s3.test:8443/a"),
            ("https://s3.test:443/a", "https://s3.test/a"),
            ("https%3A%2F%2Fs3.test%2Fa%23top", "https://s3.test/a"),
            (
                "https://bücher.test/a".replace('ü', "%C3%BC").as_str(),
                "https://xn--bcher-kva.test/a",
            ),
            (
                "https://other.test/cdn-cgi/image/w=1/a",
                "https://other.test/cdn-cgi/image/w=1/a",
            ),
            (
                "cdn-cgi/images/a.png",
                "https://zone.test/cdn-cgi/images/a.png",
            ),
        ] {
            assert_eq!(resolve(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_could_reach_another_host_or_smuggle_a_header_is_refused() {
        use InvalidSource::{Host, Nested, Url};
        for (source, expected) in [
            ("ftp://h/a.png", Url),
            ("file:///etc/passwd", Url),
            ("gopher:x", Url),
            ("data:image/png,x", Url),
            ("javascript:alert(1)", Url),
            ("https:a.png", Url),
            ("//evil.test/a.png", Url),
            ("///evil.test/a.png", Url),
            ("https://user:pw@h.test/a", Url),
            ("https://a.test@evil.test/a", Url),
            ("https%3A%2F%2Fh.test%2Fa%0D%0AX-Evil:1", Url),
            ("https%3A%2F%2Fh.test%2Fa%00", Url),
            ("https%3A%2F%2Fh.test%2Fa%F", Url),
            ("https%3A%2F%2Fh.test%2F%FF", Url),
            ("a b.png", Url),
            ("é.png", Url),
            ("a\u{7f}.png", Url),
            ("https://", Host),
            ("https://./a", Host),
            ("https://h..", Host),
            ("https://h:99999/a", Host),
            ("https://h%00.test/a", Host),
            ("https://[::1/a", Host),
            ("https://1.2.3.4.5/a", Host),
            ("/cdn-cgi/image/width=5/a.png", Nested),
            ("cdn-cgi/image/width=5/a.png", Nested),
            ("/%63dn-cgi%2Fimage/width=5/a.png", Nested),
            ("/base/cdn-cgi//image/width=5/a.png", Nested),
            ("x/../cdn-cgi/image/width=5/a.png", Nested),
            ("https://zone.test/cdn-cgi/image/width=5/a.png", Nested),
            ("https://ZONE.test./cdn-cgi/image/width=5/a.png", Nested),
            ("/cdn-cgi/imagedelivery/hash/id/public", Nested),
        ] {
            assert_eq!(resolve(source), Err(expected), "{source}");
        }
    }

    #[test]
    fn redirections_are_read_like_sources() {
        let url = SourceUrl::parse("https://a.test/x/y?z").unwrap();
        for (location, expected) in [
            ("/b", Ok("https://a.test/b")),
            ("b", Ok("https://a.test/x/b")),
            ("//b.test/c", Ok("https://b.test/c")),
            ("http://b.test", Ok("http://b.test/")),
            ("http://", Err(InvalidSource::Url)),
            ("file:///etc/passwd", Err(InvalidSource::Url)),
            ("gopher://b.test/", Err(InvalidSource::Url)),
            ("http://me@b.test/", Err(InvalidSource::Url)),
        ] {
            let redirected = url.redirected(location);
            let redirected = redirected.as_ref().map(SourceUrl::as_str);
            assert_eq!(
                redirected,
                expected.as_ref().map(|text| *text),
                "{location}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_relative_source_never_leaves_its_site(source in "[!-~]{0,40}") {
            if let Ok(url) = SourceUrl::resolve(&source, &site(), |_| false)
                && scheme(&source).is_none()
                && !source.to_ascii_lowercase().starts_with("http")
            {
                prop_assert_eq!(url.host(), "zone.test");
                prop_assert_eq!(url.port(), 443);
            }
        }

        #[test]
        fn what_is_resolved_resolves_to_itself(source in "\\PC{0,60}") {
            if let Ok(url) = SourceUrl::resolve(&source, &site(), |_| false) {
                let again = SourceUrl::resolve(url.as_str(), &site(), |_| false);
                prop_assert_eq!(again, Ok(url.clone()));
                prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(url.as_str().starts_with("http"));
            }
        }
    }
}
