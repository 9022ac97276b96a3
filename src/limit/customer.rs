//! Addresses that count as one.

use std::net::{IpAddr, Ipv6Addr};

/// One customer holds a whole IPv6 /64 (RFC 6177), so it counts as one address.
#[must_use]
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
