use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

/// The start of web addresses: scheme, host, perhaps a port and a path; no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Reads an `http://` or `https://` address without user, query or fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    /// Where a listener can be reached from the same machine: "all addresses" is none.
    pub fn of(listen: SocketAddr) -> Self {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self(format!("http://{}", SocketAddr::new(ip, listen.port())))
    }

    /// The address as text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port, without the path.
    pub fn origin(&self) -> String {
        let url = Url::parse(&self.0).ok();
        url.map_or(String::new(), |url| url.origin().ascii_serialization())
    }

    /// Whether the host is an address of the machine itself.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether it names a host and nothing below it.
    pub fn has_no_path(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.path() == "/")
    }

    /// The host name alone, without port.
    pub fn host(&self) -> String {
        let url = Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(Url::host_str);
        host.unwrap_or_default().to_owned()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_last_slash() {
        for (text, expected) in [
            ("https://a.example/", Some("https://a.example")),
            ("http://a.example:8080/x", Some("http://a.example:8080/x")),
            ("http://[::1]:80", Some("http://[::1]:80")),
            ("ftp://a.example", None),
            ("a.example", None),
            ("https://u:p@a.example", None),
            ("https://a.example/?x=1", None),
            ("https://a.example/#x", None),
        ] {
            let url = BaseUrl::parse(text);
            assert_eq!(url.as_ref().map(BaseUrl::as_str), expected, "{text}");
        }
        let url = BaseUrl::parse("http://a.example:8080/x").unwrap();
        assert_eq!(url.host(), "a.example");
    }
}
