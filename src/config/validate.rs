//! Checks of single values. Each error states the rule that a value must follow.

use std::{ffi::OsStr, net::IpAddr};

use ipnet::{IpNet, Ipv4Net};
use sea_orm::sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

// The checks are generic because confique passes `&String` and `&PathBuf`.

pub(super) fn not_empty(value: &impl AsRef<OsStr>) -> Result<(), &'static str> {
    if value.as_ref().is_empty() {
        return Err("must not be empty");
    }
    Ok(())
}

pub(super) fn database_url(url: &impl AsRef<str>) -> Result<(), String> {
    let url = url.as_ref();
    if let Some(name) = url.strip_prefix("sqlite:") {
        let is_in_memory = name.trim_start_matches("//").split('?').next() == Some(":memory:");
        return match url.parse::<SqliteConnectOptions>() {
            // SQLite would open the file, but the lock and the mode of the file need its path.
            Ok(options)
                if !is_in_memory
                    && options
                        .get_filename()
                        .as_os_str()
                        .as_encoded_bytes()
                        .starts_with(b"file:") =>
            {
                Err("must name the path, as in `sqlite:/path`, without `file:`".to_owned())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("must be like `sqlite:path?mode=rwc`: {error}")),
        };
    }
    if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
        return Err("must start with `sqlite:`, `postgres:` or `postgresql:`".to_owned());
    }
    // A text that is not a URL would make the connection panic. The error does not contain the text.
    match url.parse::<PgConnectOptions>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("must be like `postgres://user:password@host/name`: {error}")),
    }
}

/// Checks that each text is an origin as browsers write it (RFC 6454, section 6.2).
pub(super) fn origins(origins: &impl AsRef<[String]>) -> Result<(), String> {
    let is_origin = |text: &str| {
        let url = Url::parse(text).ok();
        url.is_some_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
        })
    };
    match origins.as_ref().iter().find(|text| !is_origin(text)) {
        None => Ok(()),
        Some(text) => Err(format!(
            "`{text}` must be an origin such as `https://app.example.com` or `http://localhost:3000`: scheme, host and \
             port, in lower case, without a path and without the default port"
        )),
    }
}

pub(super) fn header_name(name: &impl AsRef<str>) -> Result<(), String> {
    let name = name.as_ref();
    let taken = ["authorization", "cookie", "forwarded", "host", "origin", "x-forwarded-for"];
    match http::HeaderName::try_from(name) {
        Ok(known) if !taken.contains(&known.as_str()) => Ok(()),
        _ => Err(format!(
            "must be the name of a header, such as `X-Forwarded-User`, and none of {}",
            taken.join(", ")
        )),
    }
}

pub(super) fn algorithms(names: &impl AsRef<[String]>) -> Result<(), String> {
    let known = ["EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let names = names.as_ref();
    if names.is_empty() {
        return Err(format!("must name at least one of {}", known.join(", ")));
    }
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!("`{name}` must be one of {}", known.join(", "))),
    }
}

/// Parses networks. An address becomes a network of one address.
pub(super) fn networks<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let expected = "must be an address or a network such as `10.0.0.0/8`";
        network.map(to_ipv4_if_mapped).map_err(|_| D::Error::custom(format!("`{text}` {expected}")))
    };
    Vec::<String>::deserialize(value)?.into_iter().map(network).collect()
}

/// Converts an IPv4 network that is mapped into IPv6 (`::ffff:10.0.0.0/104`) to IPv4. Peers are compared as IPv4 too.
fn to_ipv4_if_mapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let address = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    let network =
        address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    network.map_or(IpNet::V6(mapped), IpNet::V4)
}

pub(super) fn log_filter(filter: &impl AsRef<str>) -> Result<(), String> {
    let filter = filter.as_ref();
    if filter.trim().is_empty() {
        return Err("must name a level, such as `info`".to_owned());
    }
    match tracing_subscriber::EnvFilter::try_new(filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "must be directives such as `info` or `info,streamgate::hub=debug`: {error}"
        )),
    }
}
