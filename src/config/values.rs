//! The values of all keys after a read, to compare them with those of a later read.

use toml::{Table, Value};

use super::{document::keys, tree::ConfigLayer};

/// The values of all keys after a read.
pub struct Values(Table);

impl Values {
    pub(super) fn from_layer(layer: &ConfigLayer) -> Result<Self, toml::ser::Error> {
        Table::try_from(layer).map(Self)
    }

    /// The keys with another value in `newer`, in the order of their declaration. Returns no values, because they may
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
