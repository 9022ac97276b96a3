//! Loads a configuration from texts, without the environment of the tests.

use std::{ffi::OsString, fs};

use confique::Layer as _;
use streamgate::config::{Config, ConfigError, ConfigLayer, environment_table};

/// Loads the text of a file and these variables, without the environment of this process.
pub fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_with(file, variables, &ConfigLayer::empty())
}

pub fn load_with(
    file: &str,
    variables: &[(&str, &str)],
    flags: &ConfigLayer,
) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("streamgate.toml");
    fs::write(&path, file).expect("a file in it");
    let environment =
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load_from(Some(&path), environment, flags)
}

/// Loads a configuration, which must fail. Returns the message of the error.
pub fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    match load(file, variables) {
        Ok(_) => panic!("accepted: file {file:?}, environment {variables:?}"),
        Err(error) => error.to_string(),
    }
}

pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// `limits.streams_per_user` to `STREAMGATE_LIMITS__STREAMS_PER_USER`.
pub fn variable(key: &str) -> String {
    format!("STREAMGATE_{}", key.replace('.', "__").to_uppercase())
}

/// Key, variable and default of each row of the table, in order.
pub fn table_rows() -> Vec<[String; 3]> {
    environment_table()
        .lines()
        .skip(2)
        .map(|line| {
            let mut cells =
                line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned());
            [(); 3].map(|()| cells.next().expect("a row has four cells"))
        })
        .collect()
}
