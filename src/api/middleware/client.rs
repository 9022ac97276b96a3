//! The client of a request.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use poem::{
    Addr, Request,
    http::{HeaderValue, uri::Scheme},
};

use crate::{
    api::problem::{Problem, Result},
    forwarded::{self, Client, Fields},
};

/// The user that a trusted proxy names in this header. `None` if the peer is not a trusted proxy, or sends the header not
/// exactly once.
pub(super) fn proxy_user(
    request: &Request,
    header: Option<&str>,
    trusted: &[IpNet],
) -> Option<Arc<str>> {
    let peer = peer(request).to_canonical();
    if !trusted.iter().any(|network| network.contains(&peer)) {
        return None;
    }
    let mut values = request.headers().get_all(header?).iter();
    let name = values.next()?.to_str().ok()?.trim();
    let is_single = values.next().is_none() && !name.is_empty();
    is_single.then(|| name.into())
}

fn peer(request: &Request) -> IpAddr {
    match &request.remote_addr().0 {
        Addr::SocketAddr(address) => address.ip(),
        _ => IpAddr::from([127, 0, 0, 1]),
    }
}

/// The client, as trusted proxies report it. If `Forwarded` and `X-Forwarded-For` name different clients, the client is
/// the peer, and the request is refused.
pub(super) fn client(request: &Request, trusted: &[IpNet]) -> (Client, Result<()>) {
    let peer = peer(request);
    let is_tls = *request.scheme() == Scheme::HTTPS;
    let scheme = if is_tls { forwarded::Scheme::Https } else { forwarded::Scheme::Http };
    // A value that is not text becomes `?`, which is not a valid address.
    let lines = |name| -> Vec<&str> {
        let values = request.headers().get_all(name).iter();
        values.map(|value: &HeaderValue| value.to_str().unwrap_or("?")).collect()
    };
    let fields = Fields {
        forwarded: lines("forwarded"),
        forwarded_for: lines("x-forwarded-for"),
        forwarded_proto: lines("x-forwarded-proto"),
    };
    match forwarded::client(peer, scheme, trusted, &fields) {
        Ok(client) => (client, Ok(())),
        Err(error) => {
            let refusal = Problem::bad_request(error.to_string());
            (Client { address: peer.to_canonical(), scheme }, Err(refusal))
        }
    }
}
