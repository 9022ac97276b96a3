//! Errors of the configuration.

use std::{fmt, io, path::PathBuf};

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A TOML file, at this path.
    File(PathBuf),
    /// An environment variable, with this name.
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

/// The reason why a configuration cannot be used. A message never contains a value that may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing or unreadable.
    #[error("the file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not valid TOML.
    #[error("the file {} is not valid TOML, line {line}: {message}", path.display())]
    Syntax {
        /// Path of the file.
        path: PathBuf,
        /// Line of the error, counted from 1.
        line: usize,
        /// The message of the parser. It does not contain the line, which may hold a password.
        message: String,
    },
    /// The key does not exist.
    #[error("unknown key `{key}` in {origin}; use one of: {known}")]
    UnknownKey {
        /// Dotted path of the unknown key.
        key: String,
        /// The source of the value.
        origin: Origin,
        /// The valid keys of the same section, separated by commas.
        known: String,
    },
    /// A `STREAMGATE_` environment variable belongs to no key.
    #[error("unknown environment variable {name}; `streamgate config` lists the valid names")]
    UnknownVariable {
        /// Name of the variable.
        name: String,
    },
    /// TOML cannot hold the value of a flag, such as a path that is not Unicode.
    #[error("a command line flag is not valid: {0}")]
    Flags(toml::ser::Error),
    /// The value cannot be parsed, or is not allowed.
    #[error("`{key}` from {origin}: {reason} (default: {default})")]
    Invalid {
        /// Dotted path of the key.
        key: String,
        /// The source of the value.
        origin: Origin,
        /// The rule that the value breaks.
        reason: String,
        /// The default, as an example of a valid value.
        default: String,
    },
}
