//! The configurations of streamgate that are measured.

use streamgate::config::Config;

use super::upstream;

/// A configuration of streamgate that is measured.
pub(crate) struct Variant {
    /// Name in the tables.
    pub(crate) name: &'static str,
    pub(super) configure: fn(&mut Config) -> anyhow::Result<()>,
}

/// The first is the default configuration. It and the second are rows in every table.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant { name: "streamgate", configure: |_| Ok(()) },
    Variant {
        name: "streamgate, io_uring",
        configure: |config| {
            config.streams.io_uring = true;
            Ok(())
        },
    },
    Variant {
        name: "streamgate, PostgreSQL",
        configure: |config| {
            config.database.url = postgres_url();
            Ok(())
        },
    },
    Variant {
        name: "one reactor",
        configure: |config| {
            config.streams.reactor_threads = 1;
            Ok(())
        },
    },
    Variant {
        name: "two reactors",
        configure: |config| {
            config.streams.reactor_threads = 2;
            Ok(())
        },
    },
    Variant { name: "streamgate, OAuth", configure: upstream::configure },
];

/// Index of the variant with an OAuth provider. Only the scenario `auth` measures it.
pub(crate) const OAUTH: usize = 5;

/// Index of the variant on PostgreSQL. Only the scenario `durable` measures it.
pub(crate) const POSTGRES: usize = 2;

/// Indexes of the variants with one and with two reactors. Only the scenario `cores` measures them, on all cores.
pub(crate) const REACTORS: [usize; 2] = [3, 4];

/// URL of the empty database that `benches/run` has started, if PostgreSQL is installed.
pub(crate) fn postgres_url() -> Option<String> {
    std::env::var("BENCH_POSTGRES_URL").ok()
}
