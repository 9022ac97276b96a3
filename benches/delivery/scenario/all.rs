//! The order of the scenarios.

use super::{
    auth::auth, connect::connect, cores::cores, durable::durable, growth::growth,
    metric::SUBSCRIBERS, one_to_one::one_to_one, one_topic::one_topic, overload::overload,
    run::Run,
};

/// Numbers of subscribers of one topic.
const SIZES: [usize; 2] = [1_000, SUBSCRIBERS];

/// Runs the selected scenarios, one after the other.
pub(crate) fn run_all(run: &mut Run) -> anyhow::Result<()> {
    let mut sizes = SIZES.map(|size| size.min(run.max_subscribers)).to_vec();
    sizes.dedup();
    for size in sizes {
        one_topic(run, size)?;
    }
    one_to_one(run)?;
    connect(run)?;
    auth(run)?;
    durable(run)?;
    cores(run)?;
    growth(run)?;
    // This scenario is last, because it takes as long as the slowest server needs.
    overload(run)
}
