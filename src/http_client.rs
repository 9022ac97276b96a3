//! Requests to servers that the configuration names: external issuers and OAuth providers.
//!
//! A URL from a discovery document can point anywhere, for example at the metadata service of a cloud. An attacker could
//! reach internal servers that way (server-side request forgery, OWASP API7:2023). So a client calls HTTPS only, follows no redirect, ignores
//! proxies of the environment, and connects to public addresses only. The check is made on the addresses of the
//! connection itself, so a name that resolves differently the second time gains nothing.
//!
//! If the configuration allows the private network, the client also connects to private addresses, and there by plain
//! HTTP too.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, Request, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use serde::de::DeserializeOwned;
use url::{Host, Url};

/// Time in which a server must accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time in which a server must send the whole response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a response, in bytes.
const MAX_BODY: usize = 1 << 20;

/// The addresses that a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Public addresses, by HTTPS only.
    Public,
    /// Private addresses too, except link-local ones. To those, also by plain HTTP.
    Private,
}

impl Network {
    /// Whether a client of this network connects to the address. Never to a link-local one: the metadata service of a cloud
    /// has such an address, and no issuer or provider does.
    fn allows(self, address: IpAddr) -> bool {
        let is_link_local = match address.to_canonical() {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        match self {
            Self::Public => is_public(address),
            Self::Private => !is_link_local,
        }
    }
}

/// A request failed, or is not allowed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL does not start with `https:`, or with `http:` and a private address where that is allowed.
    #[error("the URL must start with https:")]
    Scheme,
    /// The server has a private address.
    #[error("the server has a private address, which the configuration does not allow")]
    PrivateAddress,
    /// The response is larger than a mebibyte.
    #[error("the response is too large")]
    TooLarge,
    /// The server cannot be reached, or did not answer in time.
    #[error("the server does not answer")]
    Transport(#[from] reqwest::Error),
}

/// A document of an issuer or of an OAuth provider cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The URL is not allowed.
    #[error("the URL of the document is not allowed")]
    NotAllowed,
    /// The server does not answer.
    #[error("the server does not answer")]
    Unreachable,
    /// The server answers with another status than 200.
    #[error("the server answers with the status {0}")]
    Status(StatusCode),
    /// The response is not the document.
    #[error("the response is not the document")]
    Content,
    /// The document is of another issuer.
    #[error("the document is of another issuer")]
    OtherIssuer,
}

impl DocumentError {
    /// The name of the error in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::Unreachable => "unreachable",
            Self::Status(_) => "error_status",
            Self::Content => "invalid_response",
            Self::OtherIssuer => "other_issuer",
        }
    }
}

impl From<HttpError> for DocumentError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Scheme | HttpError::PrivateAddress => Self::NotAllowed,
            HttpError::TooLarge => Self::Content,
            HttpError::Transport(_) => Self::Unreachable,
        }
    }
}

/// Sends requests to other servers.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client,
    network: Network,
}

impl HttpClient {
    /// Creates a client for this network.
    ///
    /// # Errors
    /// [`HttpError::Transport`] if the root certificates of the system cannot be loaded.
    pub fn new(network: Network) -> Result<Self, HttpError> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .dns_resolver(Arc::new(CheckedResolver(network)))
            .user_agent(concat!("streamgate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, network })
    }

    /// Sends a request, and reads the whole response.
    pub async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let request = Request::try_from(request)?;
        self.check(request.url())?;
        let mut response = self.client.execute(request).await.map_err(refusal_or_transport)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut read = http::Response::new(body);
        *read.status_mut() = response.status();
        *read.headers_mut() = response.headers().clone();
        Ok(read)
    }

    /// Sends a GET request, and reads the whole response.
    pub async fn get(&self, url: &Url) -> Result<http::Response<Vec<u8>>, HttpError> {
        let mut request = http::Request::new(Vec::new());
        *request.uri_mut() = url.as_str().parse().map_err(|_| HttpError::Scheme)?;
        self.send(request).await
    }

    /// Reads a JSON document.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, DocumentError> {
        let response = self.get(url).await?;
        if response.status() != StatusCode::OK {
            return Err(DocumentError::Status(response.status()));
        }
        serde_json::from_slice(response.body()).map_err(|_| DocumentError::Content)
    }

    /// Checks what the resolver does not see: the scheme, and an address in place of a name.
    fn check(&self, url: &Url) -> Result<(), HttpError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        match url.scheme() {
            "https" => {}
            "http" if self.network == Network::Private => {
                // A name is checked by the resolver only for private addresses, so plain HTTP needs an address or
                // `localhost`.
                let is_private = address.is_some_and(|address| !is_public(address));
                if !is_private && url.host_str() != Some("localhost") {
                    return Err(HttpError::Scheme);
                }
            }
            _ => return Err(HttpError::Scheme),
        }
        match address {
            Some(address) if !self.network.allows(address) => Err(HttpError::PrivateAddress),
            _ => Ok(()),
        }
    }
}

/// Resolves names to the addresses that the network allows.
struct CheckedResolver(Network);

/// A name has private addresses only.
#[derive(Debug, thiserror::Error)]
#[error("the name has private addresses only")]
struct PrivateName;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let is_allowed = |address: &SocketAddr| network.allows(address.ip());
            let allowed: Vec<SocketAddr> = found.filter(is_allowed).collect();
            if allowed.is_empty() {
                return Err(PrivateName.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn refusal_or_transport(error: reqwest::Error) -> HttpError {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if cause.is::<PrivateName>() {
            return HttpError::PrivateAddress;
        }
        source = cause.source();
    }
    error.into()
}

/// Whether an address is reachable from everywhere (IANA special-purpose address registries, RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (18..20).contains(&b))
        // Multicast, reserved and broadcast.
        || a >= 224;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is assigned for global unicast. Within it, tunnels to IPv4 addresses, documentation and benchmarks.
    let is_special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || a == 0x3fff;
    a & 0xe000 == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: Network, url: &str) -> Result<(), HttpError> {
        HttpClient::new(network).expect("a client").check(&url.parse().expect("a URL"))
    }

    #[test]
    fn special_addresses_are_not_public() {
        for special in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(special.parse().expect("an address")), "{special}");
        }
        for public in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn plain_http_needs_a_private_address_that_is_allowed() {
        for url in ["http://example.com/", "http://127.0.0.1/", "file:///etc/passwd", "ftp://a/"] {
            assert!(matches!(check(Network::Public, url), Err(HttpError::Scheme)), "{url}");
        }
        assert!(matches!(check(Network::Private, "http://1.1.1.1/"), Err(HttpError::Scheme)));
        assert!(matches!(check(Network::Private, "http://example.com/"), Err(HttpError::Scheme)));
        for url in ["http://127.0.0.1:1/", "http://localhost/", "https://10.0.0.1/"] {
            assert!(check(Network::Private, url).is_ok(), "{url}");
        }
        for network in [Network::Public, Network::Private] {
            for address in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"] {
                let refused = check(network, &format!("https://{address}/latest/meta-data"));
                assert!(matches!(refused, Err(HttpError::PrivateAddress)), "{address}");
            }
        }
    }

    #[tokio::test]
    async fn name_with_private_addresses_is_refused() {
        let client = HttpClient::new(Network::Public).expect("a client");
        let url = "https://localhost:1/".parse().expect("a URL");
        assert!(matches!(client.get(&url).await, Err(HttpError::PrivateAddress)));
    }
}
