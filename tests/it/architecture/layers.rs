//! The layers of `src`, and the imports that break their order.

use super::{graph::edges, imports::Imports};

/// The modules of each layer, lowest layer first.
const LAYERS: [&[&str]; 8] = [
    &[
        "cache",
        "clock",
        "config",
        "data_dir",
        "database",
        "deadline",
        "event",
        "forwarded",
        "http_client",
        "json",
        "secret",
        "telemetry",
    ],
    &["audit", "auth", "bus", "event_log", "health", "limit", "oauth", "tunnel", "visibility"],
    &["hub"],
    &["gateway"],
    &["family", "mcp"],
    &["api", "server"],
    &["background", "lib", "shutdown_delay", "start"],
    &["cli", "main"],
];

/// Layers whose modules must not import each other: the engines, and the two sides of HTTP.
const BLIND: [usize; 2] = [1, 5];

/// The module of a file: `hub` for `src/hub/topic/ring.rs`.
fn module(file: &str) -> &str {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').next().unwrap_or(path)
}

/// The layer of a file.
pub fn layer(file: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module(file)))
}

/// A report of every import that breaks the order of the layers.
pub fn faults(imports: &Imports) -> Vec<String> {
    let unknown = imports.keys().filter(|file| layer(file).is_none());
    let mut faults: Vec<String> = unknown
        .map(|file| {
            format!("{file} is in no layer: add its module to a layer, here and in src/lib.rs")
        })
        .collect();
    for (from, to, names) in edges(imports) {
        let (Some(here), Some(there)) = (layer(from), layer(to)) else { continue };
        let names = names.join(", ");
        if there > here {
            faults.push(format!("{from} (layer {here}) imports {to} (layer {there}): {names}"));
        } else if BLIND.contains(&here) && here == there && module(from) != module(to) {
            faults.push(format!("{from} imports {to}, another module of its layer: {names}"));
        }
    }
    faults
}
