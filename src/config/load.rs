//! Reads flags, environment and file into one [`Config`].
//!
//! confique merges the layers and checks each value. Three things are missing. Its errors do not name the invalid key
//! of a file, it ignores unknown keys, and it reads only the environment of the process. So this file splits each
//! source into single settings, and passes each setting to confique alone. Then every error names its key and its
//! source.

use std::{collections::BTreeMap, ffi::OsString, ops::Range, path::Path};

use confique::{
    Layer as _,
    meta::{Expr, LeafKind},
};
use serde::Deserialize;
use toml::{Table, Value};

use super::{
    document::{ADMIN_PASSWORD, Key, keys},
    error::{ConfigError, Origin},
    tree::{Config, ConfigLayer, complete},
    values::Values,
};

const PREFIX: &str = "STREAMGATE_";

/// A key with its value from one source.
struct Setting {
    key: Key,
    value: Value,
    origin: Origin,
}

impl Config {
    /// Reads the configuration. `flags` override the environment of the process, which overrides `file`, which
    /// overrides the defaults. If `file` is given, it must exist.
    pub fn load(file: Option<&Path>, flags: &ConfigLayer) -> Result<Self, ConfigError> {
        Self::load_from(file, std::env::vars_os(), flags)
    }

    /// Does the same as [`Config::load`], with the environment as an argument.
    pub fn load_from(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &ConfigLayer,
    ) -> Result<Self, ConfigError> {
        Self::read(file, environment, flags).map(|(config, _)| config)
    }

    /// Does the same as [`Config::load`], and also returns the values, to compare them with those of a later read.
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
        // The settings come from the weakest source first, so a later setting overrides an earlier one.
        for setting in settings {
            merged = checked(&setting)?.with_fallback(merged);
            origins.insert(setting.key.path, setting.origin);
        }
        let values = Values::from_layer(&merged).map_err(ConfigError::Flags)?;
        let config = complete(merged);
        tls_is_complete(&config, &origins)?;
        proxy_is_trusted(&config, &origins)?;
        issuers_are_external(&config, &origins)?;
        Ok((config, values))
    }
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

/// Splits a table into settings. Fails on an unknown key.
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
        // All our variables have ASCII names, so a name that is not Unicode is not one of them.
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
        let parsed =
            value.to_str().ok_or("must be Unicode").and_then(|text| parse_value(key.kind, text));
        match parsed {
            Ok(value) => settings.push(Setting { key, value, origin }),
            Err(reason) => return Err(invalid(&key, origin, reason)),
        }
    }
    Ok(())
}

/// Converts the text of a variable to the TOML type of its key. The type is that of the default. A key without a
/// default is a string.
fn parse_value(kind: LeafKind, text: &str) -> Result<Value, &'static str> {
    let LeafKind::Required { default: Some(default) } = kind else {
        return Ok(Value::from(text));
    };
    match default {
        Expr::Bool(_) => text.parse().map(Value::Boolean).map_err(|_| "must be true or false"),
        Expr::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "must be a whole number"),
        // A list of tables is written as JSON.
        Expr::Array(_) if text.trim_start().starts_with('[') => serde_json::from_str(text)
            .map_err(|_| "must be a JSON array, or items separated by commas"),
        Expr::Array(_) => {
            // An empty text, or a comma at the end, adds no item.
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(Value::from).collect()))
        }
        _ => Ok(Value::from(text)),
    }
}

fn read_flags(flags: &ConfigLayer, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    // Converted back to TOML, so that a flag passes the same checks as a key of the file.
    let table = Table::try_from(flags).map_err(ConfigError::Flags)?;
    flatten("", table, &Origin::Flag, settings)
}

/// Checks a setting with confique, and returns it as a layer.
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

/// Checks that certificate and key are either both set or both absent. With only one of them the gateway would
/// silently serve plain HTTP.
fn tls_is_complete(config: &Config, origins: &BTreeMap<String, Origin>) -> Result<(), ConfigError> {
    let (missing, given) = match (&config.server.tls_certificate, &config.server.tls_key) {
        (Some(_), None) => ("server.tls_key", "server.tls_certificate"),
        (None, Some(_)) => ("server.tls_certificate", "server.tls_key"),
        _ => return Ok(()),
    };
    let origin = origins.get(given).expect("neither key has a default, so a source gave it");
    Err(ConfigError::Invalid {
        key: given.to_owned(),
        origin: origin.clone(),
        reason: format!("requires `{missing}`; set both keys for HTTPS, or neither for HTTP"),
        default: "absent".to_owned(),
    })
}

/// Checks that there is a proxy that may name users. Without one, the header would never count.
fn proxy_is_trusted(
    config: &Config,
    origins: &BTreeMap<String, Origin>,
) -> Result<(), ConfigError> {
    let key = "auth.proxy_user_header";
    if config.auth.proxy_user_header.is_none() || !config.server.trusted_proxies.is_empty() {
        return Ok(());
    }
    let origin = origins.get(key).expect("the key has no default, so a source gave it");
    Err(ConfigError::Invalid {
        key: key.to_owned(),
        origin: origin.clone(),
        reason: "requires `server.trusted_proxies`, the addresses of the proxies that may send the header"
            .to_owned(),
        default: "absent".to_owned(),
    })
}

/// Checks that no external issuer has the name that the gateway writes into its own tokens. Otherwise the tokens of a
/// login would be checked with the keys of the other.
fn issuers_are_external(
    config: &Config,
    origins: &BTreeMap<String, Origin>,
) -> Result<(), ConfigError> {
    let own = &config.tokens.issuer;
    if config.auth.issuers.iter().all(|external| external.issuer != *own) {
        return Ok(());
    }
    let origin = origins.get("auth.issuers").expect("the default is empty, so a source gave it");
    Err(ConfigError::Invalid {
        key: "auth.issuers".to_owned(),
        origin: origin.clone(),
        reason: format!("must not contain `{own}`, the value of `tokens.issuer`"),
        default: "[]".to_owned(),
    })
}
