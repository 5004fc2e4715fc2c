//! Whose address a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The last address on the way here that is none of our proxies. Only what a trusted proxy says is believed: whatever stands
/// before that in the header was written by whoever sent it.
pub(super) fn client_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.is_empty() {
        return client;
    }
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let lines: Vec<&str> =
        headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&client) {
            break;
        }
        match parse(hop.trim()) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}

/// Some proxies add the port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(|| bare().map(IpAddr::V6)).or_else(with_port)
}

/// What is counted together: an IPv4 address, or the /64 of an IPv6 address.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(&X_FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn what_an_untrusted_peer_says_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &["198.51.100.7"], &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_it_is_the_last_address_that_is_none_of_them() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client("10.0.0.1", &["198.51.100.7"], &trusted), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"], &trusted), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["203.0.113.9", "198.51.100.7"], &trusted), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &[], &trusted), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, unknown"], &trusted), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7:4711"], &trusted), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]:4711"], &trusted), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]"], &trusted), "2001:db8::7");
    }

    #[test]
    fn a_mapped_address_is_the_one_it_maps() {
        assert_eq!(client("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"], &["10.0.0.0/8"]), "198.51.100.7");
    }

    #[test]
    fn an_ipv6_address_counts_for_its_network() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
