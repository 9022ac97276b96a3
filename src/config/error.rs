//! Why a configuration cannot be used.

use std::{fmt, io, path::PathBuf};

/// The source of a value.
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
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the file {} is not TOML, line {line}: {message}", path.display())]
    Syntax {
        /// The file asked for.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// The error of the parser. The line itself is left out: it may hold a password.
        message: String,
    },
    /// A key that does not exist.
    #[error("`{key}` in {origin} is not a key; known there: {known}")]
    UnknownKey {
        /// Dotted path as written.
        key: String,
        /// The source of the value.
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
        /// The source of the value.
        origin: Origin,
        /// The rule that the value breaks.
        reason: String,
        /// The default, as an example of a value that is right.
        default: String,
    },
}
