//! `[limits]`: limits of connections, of each user and of each address.

use ipnet::IpNet;
use serde::Serialize;

/// `[limits]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Limits {
    /// Connections that may be open at the same time, streams included. At least 1. Above the limit, a new
    /// connection is closed at once. Each connection takes a file descriptor and 1 to 45 KiB of memory.
    #[config(
        default = 50_000,
        env = "STREAMGATE_LIMITS__CONNECTIONS",
        validate(*connections >= 1, "must be at least 1 connection")
    )]
    pub connections: u32,

    /// Connections from one address that may be open at the same time without a logged-in user. At
    /// least 1. Above the limit, a new connection is closed at once. One IPv6 /64 network counts as one
    /// address. A connection no longer counts after a request on it has authenticated.
    #[config(
        default = 256,
        env = "STREAMGATE_LIMITS__CONNECTIONS_PER_ADDRESS",
        validate(*connections_per_address >= 1, "must be at least 1 connection")
    )]
    pub connections_per_address: u32,

    /// Networks that `connections_per_address` does not apply to, such as `10.0.0.0/8`. The default
    /// is loopback.
    #[config(
        default = ["127.0.0.0/8", "::1/128"],
        env = "STREAMGATE_LIMITS__EXEMPT_NETWORKS"
    )]
    pub exempt_networks: Vec<IpNet>,

    /// Streams that one user may hold open at the same time, per gateway. At least 1.
    #[config(
        default = 5,
        env = "STREAMGATE_LIMITS__STREAMS_PER_USER",
        validate(*streams_per_user >= 1, "must be at least 1 stream")
    )]
    pub streams_per_user: u32,

    /// Tunnel clients that one user may have connected at the same time, per gateway. At least 1.
    #[config(
        default = 20,
        env = "STREAMGATE_LIMITS__TUNNELS_PER_USER",
        validate(*tunnels_per_user >= 1, "must be at least 1 tunnel client")
    )]
    pub tunnels_per_user: u32,

    /// Requests per minute of one user, per gateway. At least 1.
    #[config(
        default = 600,
        env = "STREAMGATE_LIMITS__REQUESTS_PER_MINUTE",
        validate(*requests_per_minute >= 1, "must be at least 1 per minute")
    )]
    pub requests_per_minute: u32,

    /// Streams per minute that one user may open, per gateway. At least 1. It stops a client that
    /// reconnects in a loop, because opening a stream costs more than keeping it open.
    #[config(
        default = 120,
        env = "STREAMGATE_LIMITS__STREAM_OPENS_PER_MINUTE",
        validate(*stream_opens_per_minute >= 1, "must be at least 1 per minute")
    )]
    pub stream_opens_per_minute: u32,

    /// Login attempts per minute on one user name from one address, per gateway. At least 1. It
    /// slows password guessing down. Behind a proxy, set `server.trusted_proxies`.
    #[config(
        default = 10,
        env = "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_USER",
        validate(*logins_per_minute_per_user >= 1, "must be at least 1 per minute")
    )]
    pub logins_per_minute_per_user: u32,

    /// Login attempts per minute on one user name, from all addresses together, per gateway. At
    /// least 1. Higher than from one address, because using it up keeps the user from logging in.
    #[config(
        default = 100,
        env = "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_NAME",
        validate(*logins_per_minute_per_name >= 1, "must be at least 1 per minute")
    )]
    pub logins_per_minute_per_name: u32,

    /// Login attempts and refreshes per minute from one address, per gateway. At least 1. Higher
    /// than per user name, because an office shares an address. Behind a proxy all users share its
    /// address unless it is in `server.trusted_proxies`.
    #[config(
        default = 60,
        env = "STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_ADDRESS",
        validate(*logins_per_minute_per_address >= 1, "must be at least 1 per minute")
    )]
    pub logins_per_minute_per_address: u32,

    /// Refreshes of one login session per minute. At least 1.
    #[config(
        default = 20,
        env = "STREAMGATE_LIMITS__REFRESHES_PER_MINUTE_PER_SESSION",
        validate(*refreshes_per_minute_per_session >= 1, "must be at least 1 per minute")
    )]
    pub refreshes_per_minute_per_session: u32,

    /// Requests per minute of one public operation from one address, per gateway. At least 1. Public
    /// operations are the health checks, the metrics, the documents and the public keys. Each has its own
    /// count, so that requests of `/docs` do not use up those of `/health/ready`. Behind a proxy all
    /// clients share its address unless it is in `server.trusted_proxies`.
    #[config(
        default = 6_000,
        env = "STREAMGATE_LIMITS__PUBLIC_REQUESTS_PER_MINUTE_PER_ADDRESS",
        validate(*public_requests_per_minute_per_address >= 1, "must be at least 1 per minute")
    )]
    pub public_requests_per_minute_per_address: u32,
}
