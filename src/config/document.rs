//! Generates the documentation of the keys from their doc comments: the commented file and the table.

use confique::{
    Config as _,
    meta::{Expr, Field, FieldKind, LeafKind},
    toml::FormatOptions,
};
use toml::Value;

use super::tree::Config;

/// The only `STREAMGATE_` variable that is not a key. The first start reads it once. A configuration file must not
/// hold a password.
pub(super) const ADMIN_PASSWORD: &str = "STREAMGATE_ADMIN_PASSWORD";

/// A key of the configuration, read from [`Config::META`].
pub(super) struct Key {
    /// Dotted path, such as `limits.streams_per_user`.
    pub path: String,
    /// Environment variable, such as `STREAMGATE_LIMITS__STREAMS_PER_USER`.
    pub environment: &'static str,
    /// Optional, or required with a default.
    pub kind: LeafKind,
    /// Lines of the doc comment.
    pub doc: &'static [&'static str],
}

impl Key {
    /// The default in TOML, or "absent" for a key without a default.
    pub fn default_value(&self) -> String {
        match self.kind {
            LeafKind::Required { default: Some(default) } => toml_text(default),
            _ => "absent".to_owned(),
        }
    }
}

fn toml_text(default: Expr) -> String {
    Value::try_from(default).expect("a default is a plain value").to_string()
}

/// All keys, in the order in which the structs declare them.
pub(super) fn keys() -> impl Iterator<Item = Key> {
    Config::META.fields.iter().flat_map(|field| match field.kind {
        FieldKind::Nested { meta } => {
            meta.fields.iter().map(|inner| key(&format!("{}.", field.name), inner)).collect()
        }
        FieldKind::Leaf { .. } => vec![key("", field)],
    })
}

fn key(section: &str, field: &Field) -> Key {
    let FieldKind::Leaf { env: Some(environment), kind } = field.kind else {
        unreachable!("sections are one level deep and each key names its variable")
    };
    Key { path: format!("{section}{}", field.name), environment, kind, doc: field.doc }
}

/// A TOML file that lists every key, commented out, with meaning, unit, environment variable and default.
/// `src/config.default.toml` is this text.
#[must_use]
pub fn documentation() -> String {
    confique::toml::template::<Config>(FormatOptions::default())
}

/// A markdown table of every key: key, environment variable, default, meaning.
#[must_use]
pub fn environment_table() -> String {
    let head = ["| key | environment | default | meaning |", "|---|---|---|---|"];
    let rows = keys().map(|key| {
        let meaning = key.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        format!(
            "| `{}` | `{}` | `{}` | {} |",
            key.path,
            key.environment,
            key.default_value(),
            meaning.replace('|', "\\|"),
        )
    });
    let admin = format!(
        "| not a key | `{ADMIN_PASSWORD}` | generated and printed once | \
         Password of the administrator `admin`, read once at the first start: at least 8 characters, \
         at most 1024 bytes. |\n"
    );
    let lines: Vec<String> =
        head.map(str::to_owned).into_iter().chain(rows).chain([admin]).collect();
    lines.join("\n")
}
