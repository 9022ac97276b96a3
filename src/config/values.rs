//! The values read from file, environment and flags, to compare with those of a later read.

use toml::{Table, Value};

use super::{document::keys, tree::ConfigLayer};

/// The value of every key at one time.
pub struct Values(Table);

impl Values {
    pub(super) fn from_layer(layer: &ConfigLayer) -> Result<Self, toml::ser::Error> {
        Table::try_from(layer).map(Self)
    }

    /// The keys that have another value in `newer`, in order. The values are left out because they may
    /// be secret.
    #[must_use]
    pub fn changed(&self, newer: &Self) -> Vec<String> {
        let paths = keys().map(|key| key.path);
        paths.filter(|path| value(&self.0, path) != value(&newer.0, path)).collect()
    }
}

fn value<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((section, rest)) => value(table.get(section)?.as_table()?, rest),
        None => table.get(path),
    }
}
