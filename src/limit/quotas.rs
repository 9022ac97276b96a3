//! Quotas: requests, stream opens and logins per minute. `slots.rs` has the limits of what is open at the same time.

use std::net::IpAddr;

use uuid::Uuid;

use super::{
    client_network::client_network,
    rate::Rate,
    refused::{Headers, Refused, jittered},
    slots::{RESPONSES, STREAMS, Slot, Slots, TUNNELS},
};

/// A limit of calls per minute. The caller may use all of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Requests of one user.
    Requests,
    /// Streams that one user opens.
    StreamOpens,
    /// Logins to one name from one address. Slows an attacker down, without an effect on other addresses.
    LoginsPerUser,
    /// Logins to one name from all addresses. Slows down an attacker with many addresses.
    LoginsPerName,
    /// Logins and refreshes from one address.
    LoginsPerAddress,
    /// Refreshes of one login session.
    RefreshesPerSession,
    /// Requests of one public operation from one address. Login and refresh have the quotas above.
    PublicRequests,
}

impl Quota {
    /// All quotas, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Requests,
        Self::StreamOpens,
        Self::LoginsPerUser,
        Self::LoginsPerName,
        Self::LoginsPerAddress,
        Self::RefreshesPerSession,
        Self::PublicRequests,
    ];

    /// Name, key in the configuration, default per minute, message.
    const fn definition(self) -> (&'static str, &'static str, u32, &'static str) {
        match self {
            Self::Requests => (
                "requests",
                "limits.requests_per_minute",
                600,
                "too many requests of this user in the last minute",
            ),
            Self::StreamOpens => (
                "stream-opens",
                "limits.stream_opens_per_minute",
                120,
                "too many streams opened by this user in the last minute",
            ),
            Self::LoginsPerUser => (
                "logins-user",
                "limits.logins_per_minute_per_user",
                10,
                "too many logins to this name from this address in the last minute",
            ),
            Self::LoginsPerName => (
                "logins-name",
                "limits.logins_per_minute_per_name",
                100,
                "too many logins to this name in the last minute",
            ),
            Self::LoginsPerAddress => (
                "logins-address",
                "limits.logins_per_minute_per_address",
                60,
                "too many logins from this address in the last minute",
            ),
            Self::RefreshesPerSession => (
                "refreshes-session",
                "limits.refreshes_per_minute_per_session",
                20,
                "too many refreshes of this login session in the last minute",
            ),
            Self::PublicRequests => (
                "public-requests",
                "limits.public_requests_per_minute_per_address",
                6_000,
                "too many requests of this operation from this address in the last minute",
            ),
        }
    }

    /// The name in `RateLimit` headers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.definition().0
    }

    /// The key in the configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        self.definition().1
    }

    /// Default number per minute. The configuration documents the same number; a test compares them.
    #[must_use]
    pub const fn default(self) -> u32 {
        self.definition().2
    }

    const fn per_minute(self, settings: &Settings) -> u32 {
        match self {
            Self::Requests => settings.requests_per_minute,
            Self::StreamOpens => settings.stream_opens_per_minute,
            Self::LoginsPerUser => settings.logins_per_minute_per_user,
            Self::LoginsPerName => settings.logins_per_minute_per_name,
            Self::LoginsPerAddress => settings.logins_per_minute_per_address,
            Self::RefreshesPerSession => settings.refreshes_per_minute_per_session,
            Self::PublicRequests => settings.public_requests_per_minute_per_address,
        }
    }
}

/// The configured limits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Maximum number of open streams of one user.
    pub streams_per_user: u32,
    /// Maximum number of connected tunnel clients of one user.
    pub tunnels_per_user: u32,
    /// See [`Quota::Requests`].
    pub requests_per_minute: u32,
    /// See [`Quota::StreamOpens`].
    pub stream_opens_per_minute: u32,
    /// See [`Quota::LoginsPerUser`].
    pub logins_per_minute_per_user: u32,
    /// See [`Quota::LoginsPerName`].
    pub logins_per_minute_per_name: u32,
    /// See [`Quota::LoginsPerAddress`].
    pub logins_per_minute_per_address: u32,
    /// See [`Quota::RefreshesPerSession`].
    pub refreshes_per_minute_per_session: u32,
    /// See [`Quota::PublicRequests`].
    pub public_requests_per_minute_per_address: u32,
}

/// The key that a quota counts by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The id of a user.
    User(Uuid),
    /// The id of a login session.
    Session(Uuid),
    /// The user name of a login, whether or not the user exists.
    Name(String),
    /// The user name of a login, and the address of the request.
    NameAt(String, IpAddr),
    /// The address of the request, see [`client_network`].
    Address(IpAddr),
    /// The path of a public operation, and the address of the request.
    PathFrom(Box<str>, IpAddr),
}

impl Key {
    /// Creates the key of an address.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Address(client_network(address))
    }

    /// Creates the key of the path of a public operation and an address.
    #[must_use]
    pub fn path_from(path: &str, address: IpAddr) -> Self {
        Self::PathFrom(path.into(), client_network(address))
    }

    /// Creates the key of a user name and an address.
    #[must_use]
    pub fn name_at(name: String, address: IpAddr) -> Self {
        Self::NameAt(name, client_network(address))
    }
}

/// A limit of a user, and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Name of the limit in headers and metrics.
    pub name: &'static str,
    /// Maximum number.
    pub limit: u32,
    /// Number that is used up now.
    pub used: u32,
    /// Whether this is a number of calls per minute. Otherwise it is a number of things that are open at
    /// the same time.
    pub is_rate: bool,
}

/// The counters of all quotas and slots.
pub struct Limits {
    settings: Settings,
    rates: [Rate<Key>; Quota::ALL.len()],
    streams: Slots,
    tunnels: Slots,
    responses: Slots,
}

/// Maximum number of responses of MCP servers that one user may leave open. Each can hold a few megabytes for a client
/// that does not read.
const OPEN_RESPONSES: u32 = 128;

impl Limits {
    /// Starts with every counter at zero.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let rates = Quota::ALL.map(|quota| Rate::per_minute(quota.per_minute(&settings)));
        let too_many = "this user has as many streams open as are allowed";
        let streams = Slots::new(STREAMS, settings.streams_per_user, too_many);
        let too_many = "this user has as many tunnel clients connected as are allowed";
        let tunnels = Slots::new(TUNNELS, settings.tunnels_per_user, too_many);
        let too_many = "this user has as many responses of MCP servers open as are allowed";
        let responses = Slots::new(RESPONSES, OPEN_RESPONSES, too_many);
        Self { settings, rates, streams, tunnels, responses }
    }

    /// Counts one call.
    ///
    /// # Errors
    /// [`Refused`] if `key` has used up the quota. Such a call is not counted.
    pub fn check(&self, quota: Quota, key: &Key) -> Result<(), Refused> {
        self.rates[quota as usize].check(key).map_err(|wait| {
            let retry_after = jittered(wait);
            Refused {
                limit: quota.name(),
                message: quota.definition().3,
                retry_after,
                headers: Headers {
                    policy: format!(
                        "\"{}\";q={};w=60",
                        quota.name(),
                        quota.per_minute(&self.settings)
                    ),
                    limit: format!("\"{}\";r=0;t={}", quota.name(), wait.as_secs() + 1),
                },
            }
        })
    }

    /// Takes a slot for a stream of `user`, and returns the headers for the response.
    ///
    /// # Errors
    /// [`Refused`] if `user` has the maximum number of open streams.
    pub fn admit(&self, user: Uuid) -> Result<(Slot, Headers), Refused> {
        self.streams.take(user)
    }

    /// Takes a slot for a tunnel client of `user`.
    ///
    /// # Errors
    /// [`Refused`] if `user` has the maximum number of connected tunnel clients.
    pub fn admit_tunnel(&self, user: Uuid) -> Result<Slot, Refused> {
        self.tunnels.take(user).map(|(slot, _)| slot)
    }

    /// Takes a slot for a response of an MCP server that is a stream.
    ///
    /// # Errors
    /// [`Refused`] if `user` has the maximum number of them open.
    pub fn admit_response(&self, user: Uuid) -> Result<Slot, Refused> {
        self.responses.take(user).map(|(slot, _)| slot)
    }

    /// The limits of a user, and how much of each is used.
    #[must_use]
    pub fn usage(&self, user: Uuid) -> Vec<Usage> {
        let open = [&self.streams, &self.tunnels].map(|slots| Usage {
            name: slots.name(),
            limit: slots.limit(),
            used: slots.used(user),
            is_rate: false,
        });
        let of_user = [Quota::Requests, Quota::StreamOpens];
        let rates = of_user.map(|quota| Usage {
            name: quota.name(),
            limit: quota.per_minute(&self.settings),
            used: self.rates[quota as usize].used(&Key::User(user)),
            is_rate: true,
        });
        open.into_iter().chain(rates).collect()
    }

    /// Number of open streams of all users.
    #[must_use]
    pub fn open_slots(&self) -> u32 {
        self.streams.total()
    }

    /// The users that have a stream open.
    #[must_use]
    pub fn streaming_users(&self) -> Vec<Uuid> {
        self.streams.users()
    }

    /// Drops the counters that are back at zero.
    pub fn prune(&self) {
        self.rates.iter().for_each(Rate::prune);
    }
}
