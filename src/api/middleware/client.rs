//! The client of a request.

use std::net::IpAddr;

use ipnet::IpNet;
use poem::{
    Addr, Request,
    http::{HeaderValue, uri::Scheme},
};

use crate::{
    api::problem::{Problem, Result},
    forwarded::{self, Client, Fields},
};

/// The client, as trusted proxies report it. If `Forwarded` and `X-Forwarded-For` name different clients, the client is
/// the peer, and the request is refused.
pub(super) fn client(request: &Request, trusted: &[IpNet]) -> (Client, Result<()>) {
    let peer = match &request.remote_addr().0 {
        Addr::SocketAddr(address) => address.ip(),
        _ => IpAddr::from([127, 0, 0, 1]),
    };
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
