//! `[server]`: the HTTP listener.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::Serialize;

use super::{public_url::PublicUrl, validate};

/// `[server]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Server {
    /// Base URL of the gateway for its clients, such as `https://example.com/gate`. It has the scheme
    /// `http` or `https`, and neither user, query nor fragment. The URLs that the gateway returns start with
    /// it, and the OpenAPI documents name it as the server. Without it, a returned URL is a path, and a client
    /// puts its own base URL before the path.
    #[config(env = "STREAMGATE_SERVER__PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,

    /// Origins of pages that may call the gateway from another origin, such as `https://app.example.com`. Each
    /// is compared exactly; `*` and `null` are refused. Pages of these origins can read responses (CORS), and
    /// their requests may use the session cookie. The origin of the gateway itself is always allowed. It is that of
    /// `public_url`, or scheme and host of the request.
    #[config(
        default = [],
        env = "STREAMGATE_SERVER__ALLOWED_ORIGINS",
        validate = validate::origins
    )]
    pub allowed_origins: Vec<String>,

    /// Seconds a client may take to send the head of a request, counted from its first byte, from 1
    /// to 3600. A new connection has the same time for its first request, TLS handshake included. Keep
    /// it short, because a connection without a request takes a descriptor.
    #[config(
        default = 10,
        env = "STREAMGATE_SERVER__HEADER_TIMEOUT_SECONDS",
        validate((1..=3600).contains(header_timeout_seconds), "must be from 1 to 3600 seconds")
    )]
    pub header_timeout_seconds: u64,

    /// Seconds that a connection stays open between two requests, from 1 to 3600. Set it longer than a
    /// load balancer keeps an idle connection (often 60). If it is shorter, some requests are lost. An
    /// HTTP/2 connection with an open request or stream is not idle.
    #[config(
        default = 75,
        env = "STREAMGATE_SERVER__IDLE_TIMEOUT_SECONDS",
        validate((1..=3600).contains(idle_timeout_seconds), "must be from 1 to 3600 seconds")
    )]
    pub idle_timeout_seconds: u64,

    /// Seconds after which a response is aborted if the client reads nothing of it, from 1 to 3600.
    /// Streams are not affected: see `overflow`.
    #[config(
        default = 20,
        env = "STREAMGATE_SERVER__WRITE_TIMEOUT_SECONDS",
        validate((1..=3600).contains(write_timeout_seconds), "must be from 1 to 3600 seconds")
    )]
    pub write_timeout_seconds: u64,

    /// Bytes of responses that may wait in memory until clients read them, over all connections, from
    /// 16777216 (16 MiB) to 1099511627776 (1 TiB). Above it, the gateway aborts responses of the user
    /// with the most waiting bytes. The response with the longest time without progress is the first.
    /// Responses up to 16 KiB, the OpenAPI documents and streams do not count.
    #[config(
        default = 67_108_864,
        env = "STREAMGATE_SERVER__UNREAD_LIMIT_BYTES",
        validate(
            (16_777_216..=1_099_511_627_776).contains(unread_limit_bytes),
            "must be from 16777216 to 1099511627776 bytes"
        )
    )]
    pub unread_limit_bytes: usize,

    /// Seconds a client may take to send the body of a request, from 1 to 3600.
    #[config(
        default = 30,
        env = "STREAMGATE_SERVER__BODY_TIMEOUT_SECONDS",
        validate((1..=3600).contains(body_timeout_seconds), "must be from 1 to 3600 seconds")
    )]
    pub body_timeout_seconds: u64,

    /// Largest request body in bytes, from 1024 to 1073741824 (1 GiB). A larger body is refused with 413 before
    /// it is read. Requests without a valid token may send at most 8192 bytes.
    #[config(
        default = 1_048_576,
        env = "STREAMGATE_SERVER__BODY_LIMIT_BYTES",
        validate(
            (1024..=1_073_741_824).contains(body_limit_bytes),
            "must be from 1024 to 1073741824 bytes"
        )
    )]
    pub body_limit_bytes: usize,

    /// Largest request head (line and headers) in bytes, from 8192 to 1048576. It is also the size of
    /// the read buffer of a connection, so it limits the memory of a connection. An HTTP/1.1 head also
    /// has a fixed limit of 100 header fields. A larger head is refused with 431, a target of more
    /// than 65534 bytes with 414.
    #[config(
        default = 16_384,
        env = "STREAMGATE_SERVER__HEAD_LIMIT_BYTES",
        validate(
            (8192..=1_048_576).contains(head_limit_bytes),
            "must be from 8192 to 1048576 bytes"
        )
    )]
    pub head_limit_bytes: usize,

    /// Proxies that requests come through: addresses or networks, such as `10.0.0.7` or
    /// `10.0.0.0/8`. The gateway trusts `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Proto` only from
    /// these, so that limits, logs and lists of connections have the client's address. Without this key,
    /// all users behind a proxy share the proxy's address and its login limits. Never add a network that
    /// clients connect from: they could then choose their address.
    #[config(
        default = [],
        env = "STREAMGATE_SERVER__TRUSTED_PROXIES",
        deserialize_with = validate::networks
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Seconds from a stop signal to the drain, from 0 (none) to 3600. In this time `/health/ready`
    /// answers 503, and everything else works as before, so that a load balancer can stop sending
    /// requests first. A second stop signal ends this time.
    #[config(
        default = 0,
        env = "STREAMGATE_SERVER__SHUTDOWN_DELAY_SECONDS",
        validate(*shutdown_delay_seconds <= 3600, "must be from 0 to 3600 seconds")
    )]
    pub shutdown_delay_seconds: u64,

    /// Seconds in which open requests and streams can end after a stop signal and
    /// `shutdown_delay_seconds`, from 0 (none) to 3600.
    #[config(
        default = 10,
        env = "STREAMGATE_SERVER__DRAIN_SECONDS",
        validate(*drain_seconds <= 3600, "must be from 0 to 3600 seconds")
    )]
    pub drain_seconds: u64,

    /// PEM file of the TLS certificate chain, leaf first. Set it together with `tls_key` for HTTPS.
    /// Without both keys, the gateway serves plain HTTP. Both files are read again every 30 seconds
    /// and on SIGHUP. New connections use the renewed certificate. If the files cannot be used, the
    /// old certificate stays in use, with a warning.
    #[config(
        env = "STREAMGATE_SERVER__TLS_CERTIFICATE",
        validate = validate::not_empty
    )]
    pub tls_certificate: Option<PathBuf>,

    /// PEM file of the private key of `tls_certificate`.
    #[config(
        env = "STREAMGATE_SERVER__TLS_KEY",
        validate = validate::not_empty
    )]
    pub tls_key: Option<PathBuf>,
}

impl Server {
    /// The URL of a path of the gateway, as clients get it: absolute with `public_url`, else the path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match &self.public_url {
            Some(base) => format!("{base}{path}"),
            None => path.to_owned(),
        }
    }
}
