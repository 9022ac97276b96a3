//! Names of metrics and rows, and the numbers that the targets use.

use crate::peer::{Credential, Peer};

/// Number of subscribers in most targets.
pub(crate) const SUBSCRIBERS: usize = 10_000;
/// A server keeps up if it is at most this many seconds behind at the end.
pub(crate) const KEPT_UP: f64 = 0.5;

pub(crate) const CONNECT_RATE: &str = "connect: rate";
/// Seconds until one event was written to all subscribers.
pub(crate) const CORES: &str = "cores: time";
pub(crate) const CONNECT_CPU: &str = "connect: cpu";
/// The highest CPU per delivery divided by the lowest, over all sizes.
pub(crate) const GROWTH_SPREAD: &str = "growth: spread";
/// The same for the ratios to the floor. The CPU of the floor also grows with the number of sockets, because the
/// sockets no longer fit into the processor's caches.
pub(crate) const GROWTH_SPREAD_TO_FLOOR: &str = "growth: spread to floor";

pub(crate) fn paced(size: usize, quantity: &str) -> String {
    format!("paced to {size}: {quantity}")
}

pub(crate) fn burst(size: usize, quantity: &str) -> String {
    format!("burst to {size}: {quantity}")
}

pub(crate) fn idle(size: usize) -> String {
    format!("idle {size}: memory")
}

pub(crate) fn one_to_one(quantity: &str) -> String {
    format!("one to one: {quantity}")
}

pub(crate) fn overload(quantity: &str) -> String {
    format!("overload: {quantity}")
}

pub(crate) fn durable(quantity: &str) -> String {
    format!("durable: {quantity}")
}

pub(crate) fn auth(quantile: &str) -> String {
    format!("auth: {quantile}")
}

pub(crate) fn growth(size: usize) -> String {
    format!("growth to {size}: cpu")
}

/// The row of a server and a credential in the table of `connect`.
pub(crate) fn connect_row(peer: Peer, credential: Credential) -> String {
    match (peer, credential) {
        (Peer::Streamgate(_), Credential::StreamToken) => {
            format!("{}, stream tokens", peer.name())
        }
        (Peer::Streamgate(_), Credential::AccessToken) => format!("{}, access tokens", peer.name()),
        _ => format!("{}, no authentication", peer.name()),
    }
}
