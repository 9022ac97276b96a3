//! The metric that names the build of the program.

use prometheus_client::{metrics::info::Info, registry::Registry};

/// A label that was unknown at build time is empty, which is the same as an absent label.
pub(super) fn register(registry: &mut Registry) {
    let info = Info::new(vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("rustc", env!("BUILD_RUSTC")),
        ("commit", env!("BUILD_COMMIT")),
    ]);
    registry.register("build", "Version of the program, of its compiler and of its source", info);
}
