//! From flags, environment and file to one [`Config`].
//!
//! confique merges the layers and checks each value, but its errors do not say which key of a file
//! was wrong, it ignores keys that it does not know, and it reads the environment of the process
//! only. So each source is turned into single settings here, and each setting goes through
//! confique on its own: whatever fails, its key and its origin are at hand.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    net::IpAddr,
    ops::Range,
    path::Path,
    path::PathBuf,
};

use confique::{
    Config as _, Layer as _,
    meta::{Expr, LeafKind},
};
use ipnet::{IpNet, Ipv4Net};
use sea_orm::sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::{Table, Value};

use super::{
    Config, ConfigLayer, Values,
    document::{ADMIN_PASSWORD, Key, keys},
};

const PREFIX: &str = "STREAMGATE_";

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The TOML file at this path.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
    /// A command line flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "the file {}", path.display()),
            Self::Environment(name) => write!(out, "the environment variable {name}"),
            Self::Flag => write!(out, "a command line flag"),
        }
    }
}

/// Why the configuration cannot be used. No message repeats a value that may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or unreadable.
    #[error("the file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the file {} is not TOML, line {line}: {message}", path.display())]
    Syntax {
        /// The file asked for.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What the parser said. The line itself is left out: it may hold a password.
        message: String,
    },
    /// A key that does not exist.
    #[error("`{key}` in {origin} is not a key; known there: {known}")]
    UnknownKey {
        /// Dotted path as written.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// The keys of the same section.
        known: String,
    },
    /// A `STREAMGATE_` environment variable that sets nothing.
    #[error("the environment variable {name} sets no key; `streamgate config` lists them")]
    UnknownVariable {
        /// The variable as found.
        name: String,
    },
    /// A flag that TOML cannot hold, such as a path that is not Unicode.
    #[error("a command line flag cannot be used: {0}")]
    Flags(toml::ser::Error),
    /// A value that does not parse or makes no sense.
    #[error("`{key}` from {origin}: {reason} (default: {default})")]
    Invalid {
        /// Dotted path.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// What is wrong and what is allowed.
        reason: String,
        /// The default, as an example of a value that is right.
        default: String,
    },
}

/// One key set by one source.
struct Setting {
    key: Key,
    value: Value,
    origin: Origin,
}

impl Config {
    /// Reads the configuration: `flags` over the environment of the process over `file` over the
    /// defaults. A `file` that is asked for must exist.
    pub fn load(file: Option<&Path>, flags: &ConfigLayer) -> Result<Self, ConfigError> {
        Self::load_from(file, std::env::vars_os(), flags)
    }

    /// [`Config::load`] with the environment as an argument.
    pub fn load_from(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &ConfigLayer,
    ) -> Result<Self, ConfigError> {
        Self::read(file, environment, flags).map(|(config, _)| config)
    }

    /// [`Config::load`], together with the values read, to compare with those of a later read.
    pub fn load_values(
        file: Option<&Path>,
        flags: &ConfigLayer,
    ) -> Result<(Self, Values), ConfigError> {
        Self::read(file, std::env::vars_os(), flags)
    }

    fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &ConfigLayer,
    ) -> Result<(Self, Values), ConfigError> {
        let mut settings = Vec::new();
        if let Some(path) = file {
            read_file(path, &mut settings)?;
        }
        read_environment(environment, &mut settings)?;
        read_flags(flags, &mut settings)?;

        let mut merged = ConfigLayer::default_values();
        let mut origins = BTreeMap::new();
        // Weakest source first: each setting covers what is below it.
        for setting in settings {
            merged = checked(&setting)?.with_fallback(merged);
            origins.insert(setting.key.path, setting.origin);
        }
        let values = Values::from_layer(&merged).map_err(ConfigError::Flags)?;
        let config = complete(merged);
        tls_is_complete(&config, &origins)?;
        Ok((config, values))
    }
}

/// Turns a layer that holds at least the defaults into the configuration.
pub(super) fn complete(layer: ConfigLayer) -> Config {
    Config::from_layer(layer).expect("every key that is not optional has a default")
}

fn read_file(path: &Path, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let table = text.parse::<Table>().map_err(|error| {
        let Range { start, .. } = error.span().unwrap_or_default();
        ConfigError::Syntax {
            path: path.to_owned(),
            line: 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count(),
            message: error.message().to_owned(),
        }
    })?;
    flatten("", table, &Origin::File(path.to_owned()), settings)
}

/// Walks a table down to the known keys.
fn flatten(
    section: &str,
    table: Table,
    origin: &Origin,
    settings: &mut Vec<Setting>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = format!("{section}{name}");
        let inside = format!("{path}.");
        let is_section = keys().any(|key| key.path.starts_with(&inside));
        match (keys().find(|key| key.path == path), value) {
            (Some(key), value) => settings.push(Setting { key, value, origin: origin.clone() }),
            (None, Value::Table(table)) if is_section => {
                flatten(&inside, table, origin, settings)?;
            }
            (None, _) => {
                return Err(ConfigError::UnknownKey {
                    known: known_keys(if is_section { &inside } else { section }),
                    key: path,
                    origin: origin.clone(),
                });
            }
        }
    }
    Ok(())
}

fn known_keys(section: &str) -> String {
    let mut names: Vec<String> = keys()
        .filter_map(|key| Some(key.path.strip_prefix(section)?.to_owned()))
        .map(|rest| match rest.split_once('.') {
            Some((section, _)) => format!("[{section}]"),
            None => rest,
        })
        .collect();
    names.dedup();
    names.join(", ")
}

fn read_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    settings: &mut Vec<Setting>,
) -> Result<(), ConfigError> {
    for (name, value) in environment {
        // A name that is not Unicode is not ours either: all of ours are ASCII.
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        if name == ADMIN_PASSWORD {
            continue;
        }
        let Some(key) = keys().find(|key| key.environment == name) else {
            return Err(ConfigError::UnknownVariable { name: name.to_owned() });
        };
        let origin = Origin::Environment(name.to_owned());
        let parsed = value.to_str().ok_or("must be Unicode").and_then(|text| typed(key.kind, text));
        match parsed {
            Ok(value) => settings.push(Setting { key, value, origin }),
            Err(reason) => return Err(invalid(&key, origin, reason)),
        }
    }
    Ok(())
}

/// Gives the text of a variable the type that its key has in TOML, as the default shows it. All
/// optional keys are strings.
fn typed(kind: LeafKind, text: &str) -> Result<Value, &'static str> {
    let LeafKind::Required { default: Some(default) } = kind else {
        return Ok(Value::from(text));
    };
    match default {
        Expr::Bool(_) => text.parse().map(Value::Boolean).map_err(|_| "must be true or false"),
        Expr::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "must be a whole number"),
        Expr::Array(_) => {
            // Nothing, and a comma at the end, are no item.
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(Value::from).collect()))
        }
        _ => Ok(Value::from(text)),
    }
}

fn read_flags(flags: &ConfigLayer, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    // Back to TOML, so that a flag passes the same checks as the file.
    let table = Table::try_from(flags).map_err(ConfigError::Flags)?;
    flatten("", table, &Origin::Flag, settings)
}

/// The layer with this one setting, checked by confique.
fn checked(setting: &Setting) -> Result<ConfigLayer, ConfigError> {
    let Setting { key, value, origin } = setting;
    let alone = key.path.rsplit('.').fold(value.clone(), |inner, name| {
        Value::Table(Table::from_iter([(name.to_owned(), inner)]))
    });
    ConfigLayer::deserialize(alone).map_err(|error| {
        let reason = error.message();
        let reason = reason.strip_prefix("validation failed: ").unwrap_or(reason);
        invalid(key, origin.clone(), reason)
    })
}

fn invalid(key: &Key, origin: Origin, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        key: key.path.clone(),
        origin,
        reason: reason.into(),
        default: key.default_value(),
    }
}

/// One half of TLS would silently serve plain HTTP.
fn tls_is_complete(config: &Config, origins: &BTreeMap<String, Origin>) -> Result<(), ConfigError> {
    let (missing, given) = match (&config.server.tls_certificate, &config.server.tls_key) {
        (Some(_), None) => ("server.tls_key", "server.tls_certificate"),
        (None, Some(_)) => ("server.tls_certificate", "server.tls_key"),
        _ => return Ok(()),
    };
    let origin = origins.get(given).expect("neither half has a default, so a source gave it");
    Err(ConfigError::Invalid {
        key: given.to_owned(),
        origin: origin.clone(),
        reason: format!("needs `{missing}` beside it; set both for HTTPS or neither"),
        default: "absent".to_owned(),
    })
}

// The checks below are generic because confique hands over `&String` and `&PathBuf` as they are.

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
            // SQLite would open the same file, but the lock and the file's mode go by the path.
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
    // Connecting would panic on what is not a URL. The error does not repeat the text.
    match url.parse::<PgConnectOptions>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("must be like `postgres://user:password@host/name`: {error}")),
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

/// Networks, and addresses as networks of one.
pub(super) fn networks<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let expected = "must be an address or a network such as `10.0.0.0/8`";
        network.map(unmapped).map_err(|_| D::Error::custom(format!("`{text}` {expected}")))
    };
    Vec::<String>::deserialize(value)?.into_iter().map(network).collect()
}

/// IPv4 that is written as IPv6 (`::ffff:10.0.0.0/104`) as IPv4, which is how peers are compared.
fn unmapped(network: IpNet) -> IpNet {
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
