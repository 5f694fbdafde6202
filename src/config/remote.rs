//! The settings of remote images and of their sources.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use model::{Zone, split_authority};
use service::{Network, Ports, Reach, RemoteSettings};

use super::Config;

/// Where remote images are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    /// At the hosts of this server's own addresses.
    Auto,
    /// At these.
    These(Vec<Zone>),
}

/// Networks which sources may be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// Hosts whose address is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<String, SocketAddr>);

/// A path without a slash at its end; empty is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountPrefix(String);

impl Zones {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::These(Vec::new())),
            list => entries(list, Zone::parse).map(Self::These),
        }
    }
}

impl Networks {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => Some(Self::default()),
            list => entries(list, Network::parse).map(Self),
        }
    }
}

impl Hosts {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let host = |entry: &str| {
            let (host, address) = entry.split_once('=')?;
            let (host, None) = split_authority(host.trim())? else {
                return None;
            };
            let address = address.trim();
            let port_of_request = || {
                let ip = address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
                Some(SocketAddr::new(ip, 0))
            };
            let address = address.parse().ok().or_else(port_of_request)?;
            Some((host, address))
        };
        match text.trim() {
            "" => Some(Self::default()),
            list => {
                let hosts = entries(list, host)?;
                let count = hosts.len();
                let hosts: HashMap<_, _> = hosts.into_iter().collect();
                // A host with two addresses is a slip.
                (hosts.len() == count).then_some(Self(hosts))
            }
        }
    }
}

impl MountPrefix {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let path = text.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte);
        let valid = path.is_empty() || path.starts_with('/') && path.bytes().all(plain);
        (valid && !path.contains("//")).then(|| Self(path.to_owned()))
    }

    /// The path, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn parse_ports(text: &str) -> Option<Ports> {
    if text.trim() == "any" {
        return Some(Ports::Any);
    }
    let port = |entry: &str| entry.parse().ok().filter(|port| *port > 0);
    entries(text, port).map(Ports::These)
}

/// The entries between commas. None may be empty.
fn entries<T>(list: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    list.split(',').map(|entry| parse(entry.trim())).collect()
}

impl Config {
    /// What the service is told of remote images and of sources.
    pub fn remote(&self) -> RemoteSettings {
        RemoteSettings {
            zones: self.remote_zones(),
            strict_path_segments: self.strict_path_segments,
            auto_width_uses_dpr: self.auto_width_uses_dpr,
            reach: Reach {
                private: self.allow_private_sources,
                networks: self.source_networks.0.clone(),
                hosts: self.source_hosts.0.clone(),
            },
            ports: self.source_ports.clone(),
            bytes_max: self.source_bytes_max,
            memory_bytes: self.source_memory_bytes,
            fetches_per_host: self.source_fetches_per_host,
            head_timeout: self.source_head_timeout,
            body_timeout: self.source_body_timeout,
            rendition_ttl_min: self.rendition_ttl_min,
        }
    }

    /// With `auto`: the host of `public_url`, that of `listen`, and the name of this machine for
    /// itself, where clients reach the server by it.
    fn remote_zones(&self) -> Vec<Zone> {
        if let Zones::These(zones) = &self.zones {
            return zones.clone();
        }
        let local = self.local_url();
        let mut addresses = vec![self.public_url.origin(), local.origin()];
        if local.is_loopback() {
            addresses.push(format!("http://localhost:{}", self.listen.port()));
        }
        let mut zones: Vec<Zone> = Vec::new();
        for zone in addresses.iter().filter_map(|address| Zone::parse(address)) {
            if zones.iter().all(|known| known.host() != zone.host()) {
                zones.push(zone);
            }
        }
        zones
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_no_empty_entries() {
        assert!(Zones::parse("a.com, https://b.com:8443=any").is_some());
        assert_eq!(Zones::parse("off"), Some(Zones::These(Vec::new())));
        assert_eq!(Zones::parse("a.com,"), None);
        assert_eq!(Zones::parse(""), None);
        assert_eq!(parse_ports("80, 443"), Some(Ports::These(vec![80, 443])));
        for broken in ["", "80,", "0", "65536", "http"] {
            assert_eq!(parse_ports(broken), None, "{broken}");
        }
        assert!(Networks::parse("10.0.0.0/8, fd00::/8").is_some());
        assert_eq!(Networks::parse("10.0.0.0/8;fd00::/8"), None);
    }

    #[test]
    fn hosts_have_one_address_each() {
        let hosts = Hosts::parse("A.com=10.0.0.5:8080, b.com=::1").unwrap();
        assert_eq!(hosts.0["a.com"], "10.0.0.5:8080".parse().unwrap());
        assert_eq!(hosts.0["b.com"], "[::1]:0".parse().unwrap());
        for broken in [
            "a.com",
            "a.com=b.com",
            "a.com:80=10.0.0.5",
            "a.com=1.1.1.1,a.com=1.1.1.2",
        ] {
            assert_eq!(Hosts::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_mount_prefix_is_a_plain_path() {
        let prefix = |text| MountPrefix::parse(text).map(|prefix| prefix.0);
        assert_eq!(prefix("/base/"), Some("/base".to_owned()));
        assert_eq!(prefix("/"), Some(String::new()));
        assert_eq!(prefix(""), Some(String::new()));
        for broken in ["base", "/a b", "/a?b", "/a//b", "/%61"] {
            assert_eq!(prefix(broken), None, "{broken}");
        }
    }
}
