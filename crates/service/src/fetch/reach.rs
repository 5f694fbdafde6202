//! Which hosts, addresses and ports sources may be fetched from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::FetchError;

/// What a fetcher may reach besides public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Every address, loopback and private ones included.
    pub private: bool,
    /// Networks which are private by their address, and may be reached all the same.
    pub networks: Vec<Network>,
    /// Hosts whose address is not asked of DNS. Port 0 is the port of the request.
    pub hosts: HashMap<String, SocketAddr>,
}

/// The ports of remote sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port.
    Any,
    /// These.
    These(Vec<u16>),
}

/// The addresses which begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    start: IpAddr,
    bits: u32,
}

impl Ports {
    /// Whether a port is among them.
    pub fn contain(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::These(ports) => ports.contains(&port),
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::These(vec![80, 443])
    }
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, bits) = match text.split_once('/') {
            Some((start, bits)) => (start.parse().ok()?, Some(bits.parse::<u32>().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let most = match start {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { start, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.start, address) {
            (IpAddr::V4(start), IpAddr::V4(address)) => {
                let differing = start.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(start), IpAddr::V6(address)) => {
                let differing = start.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl Reach {
    /// What is asked for, and the host which is named to the origin if it is another. A host whose address
    /// is given with a port is connected to there alone, whatever port it is named with: the client would
    /// take that one.
    pub(super) fn route(&self, url: &Url) -> (Url, Option<String>) {
        let mut routed = url.clone();
        let host = url.host_str().unwrap_or_default();
        let fixed = self
            .hosts
            .get(host)
            .is_some_and(|address| address.port() != 0);
        match url.port() {
            Some(port) if fixed && routed.set_port(None).is_ok() => {
                (routed, Some(format!("{host}:{port}")))
            }
            _ => (routed, None),
        }
    }

    /// Whether a connection to this address may be opened.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is the IPv4 address.
        let address = address.to_canonical();
        self.private
            || !is_private(address)
            || self
                .networks
                .iter()
                .any(|network| network.contains(address))
    }

    /// Those of resolved addresses which may be reached, in their order.
    fn allowed(
        &self,
        resolved: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, FetchError> {
        let allowed: Vec<_> = resolved
            .filter(|address| self.allows(address.ip()))
            .collect();
        if allowed.is_empty() {
            return Err(FetchError::Private);
        }
        Ok(allowed)
    }
}

/// Resolves names and drops every address which a stranger must not reach, so that the address
/// which was judged is the one which is connected to.
pub(super) struct Resolver {
    reach: Arc<Reach>,
    lookups: Arc<Semaphore>,
}

/// Each takes a thread of those which also read files, for as long as a name server likes.
const LOOKUPS_MAX: usize = 64;

impl Resolver {
    pub(super) fn new(reach: Arc<Reach>) -> Self {
        Self {
            reach,
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, lookups) = (self.reach.clone(), self.lookups.clone());
        Box::pin(async move {
            let host = name.as_str();
            if let Some(address) = reach.hosts.get(host) {
                return Ok(Box::new(std::iter::once(*address)) as Addrs);
            }
            let turn = lookups.acquire_owned().await;
            let turn = turn.map_err(|_| FetchError::Busy)?;
            // Apart, because the thread is taken until the lookup ends, also if nobody waits for it.
            let lookup = tokio::spawn(async move {
                let _turn = turn;
                let resolved = tokio::net::lookup_host((name.as_str(), 0)).await;
                resolved.map(Vec::from_iter)
            });
            let resolved = lookup.await.map_err(|_| FetchError::Busy)?;
            let resolved = resolved.map_err(|_| FetchError::Name)?;
            let allowed = reach.allowed(resolved.into_iter())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows 1 and 2.
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

    /// Row 3.
    #[test]
    fn of_mixed_answers_of_dns_only_public_addresses_are_connected_to() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let allowed = |reach: &Reach, texts: &[&str]| {
            let resolved: Vec<_> = texts.iter().map(|text| address(text)).collect();
            reach.allowed(resolved.into_iter())
        };
        let reach = Reach::default();
        let mixed = ["10.0.0.1", "1.1.1.1", "::ffff:127.0.0.1", "2606:4700::1111"];
        let public = vec![address("1.1.1.1"), address("2606:4700::1111")];
        assert_eq!(allowed(&reach, &mixed), Ok(public));
        assert_eq!(allowed(&reach, &["127.0.0.1"]), Err(FetchError::Private));
        assert_eq!(allowed(&reach, &[]), Err(FetchError::Private));
    }

    #[test]
    fn networks_are_compared_by_their_first_bits() {
        let reach = Reach {
            networks: ["10.1.0.0/16", "192.168.0.7", "fd00::/8"]
                .map(|text| Network::parse(text).unwrap())
                .to_vec(),
            ..Reach::default()
        };
        for (text, expected) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.168.0.7", true),
            ("::ffff:192.168.0.7", true),
            ("192.168.0.8", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(reach.allows(text.parse().unwrap()), expected, "{text}");
        }
        for broken in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "a"] {
            assert_eq!(Network::parse(broken), None, "{broken}");
        }
    }
}
