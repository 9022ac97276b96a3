//! Groups addresses that count as one address.

use std::net::{IpAddr, Ipv6Addr};

/// The address that limits count by. A customer of a network provider gets at least a whole IPv6 /64 (RFC 6177), so
/// the last 64 bits are set to zero. IPv4 addresses stay as they are.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
