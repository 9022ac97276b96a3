//! The targets, and whether a run meets them.

use crate::{
    peer::{Credential, Peer},
    results::Results,
    scenario::metric::{self, KEPT_UP, SUBSCRIBERS},
    streamgate::VARIANTS,
    table::Unit,
};

/// A target.
struct Target {
    name: &'static str,
    measured: Option<f64>,
    unit: Unit,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// The lines of the table: target, measured value, required value, result.
pub(crate) fn lines(results: &Results) -> Vec<Vec<String>> {
    let mut lines = vec![["target", "measured", "required", "result"].map(str::to_owned).to_vec()];
    for target in targets(results).into_iter().chain(auth_targets(results)) {
        let format = |value: f64| {
            let unit = target.unit.name();
            format!("{} {unit}", target.unit.format(value)).trim_end().to_owned()
        };
        let required = match target.bound {
            Bound::AtMost(limit) => format!("<= {}", format(limit)),
            Bound::AtLeast(limit) => format!(">= {}", format(limit)),
        };
        let (measured, result) = match target.measured {
            None => ("-".to_owned(), "not measured"),
            Some(value) if target.bound.is_met_by(value) => (format(value), "met"),
            Some(value) => (format(value), "not met"),
        };
        lines.push(vec![target.name.to_owned(), measured, required, result.to_owned()]);
    }
    lines
}

fn targets(results: &Results) -> Vec<Target> {
    use Bound::{AtLeast, AtMost};
    let streamgate = Peer::Streamgate(0).name();
    let io_uring = VARIANTS.iter().find(|variant| variant.name.contains("io_uring"));
    let (floor, nchan) = (Peer::Floor.name(), Peer::Nchan.name());
    let median = |metric: &str| results.median(metric, streamgate);
    let ratio = |metric: &str, row: &str, base: &str| {
        results.ratio(metric, row, base).map(|summary| summary.median)
    };
    let paced = metric::paced(SUBSCRIBERS, "cpu");
    let after = metric::burst(SUBSCRIBERS, "memory after");
    let idle = metric::idle(SUBSCRIBERS);
    let grown = median(&after).zip(median(&idle)).map(|(after, idle)| after / idle);
    let target = |name, measured, unit, bound| Target { name, measured, unit, bound };
    vec![
        target(
            "paced, 10,000 subscribers: CPU per delivery, ratio to floor",
            ratio(&paced, streamgate, floor),
            Unit::Times,
            AtMost(1.05),
        ),
        target(
            "paced, 10,000 subscribers: CPU per delivery with io_uring, ratio to floor",
            io_uring.and_then(|variant| ratio(&paced, variant.name, floor)),
            Unit::Times,
            AtMost(0.95),
        ),
        target(
            "paced, 10,000 subscribers: CPU per delivery, ratio to Nchan",
            ratio(&paced, streamgate, nchan),
            Unit::Times,
            AtMost(0.75),
        ),
        target(
            "burst, 10,000 subscribers: deliveries per second, ratio to Nchan",
            ratio(&metric::burst(SUBSCRIBERS, "rate"), streamgate, nchan),
            Unit::Times,
            AtLeast(10.0),
        ),
        target(
            "one-to-one: latency p50 from publish to receipt, ratio to Nchan",
            ratio(&metric::one_to_one("p50"), streamgate, nchan),
            Unit::Times,
            AtMost(1.1),
        ),
        target(
            "idle, 10,000 streams: memory per stream (PSS)",
            median(&idle),
            Unit::Kib,
            AtMost(1.0),
        ),
        target(
            "connect: streams per second on one core, stream tokens",
            connect_rate(results, Credential::StreamToken),
            Unit::Count,
            AtLeast(10_000.0),
        ),
        target(
            "connect: streams per second on one core, access tokens",
            connect_rate(results, Credential::AccessToken),
            Unit::Count,
            AtLeast(10_000.0),
        ),
        target(
            "growth: highest to lowest CPU per delivery, from 100 subscribers to the maximum",
            median(metric::GROWTH_SPREAD),
            Unit::Times,
            AtMost(1.2),
        ),
        target(
            "growth: the same for the ratios to floor",
            median(metric::GROWTH_SPREAD_TO_FLOOR),
            Unit::Times,
            AtMost(1.2),
        ),
        target(
            "burst: memory per stream afterwards (PSS), ratio to idle",
            grown,
            Unit::Times,
            AtMost(1.5),
        ),
        target(
            "overload, 250,000 deliveries per second on one core: lag at the end",
            median(&metric::overload("lag")),
            Unit::Seconds,
            AtMost(KEPT_UP),
        ),
        target(
            "durable, batches: events per second",
            median(&metric::durable("batches")),
            Unit::Count,
            AtLeast(50_000.0),
        ),
        target(
            "durable, single events, 64 in flight: events per second",
            median(&metric::durable("single")),
            Unit::Count,
            AtLeast(5_000.0),
        ),
    ]
}

/// The targets of authentication, while 1,000 streams are open.
fn auth_targets(results: &Results) -> impl Iterator<Item = Target> {
    let p99 = metric::auth("p99");
    [
        ("session validation", "auth: p99 of session validation", 0.001),
        ("resource look-up", "auth: p99 of the look-up of a resource", 0.005),
        ("token refresh", "auth: p99 of the exchange of a refresh token", 0.020),
        ("grant refresh", "auth: p99 of the refresh of an OAuth grant", 0.020),
        ("provider check", "auth: p99 of the check of a provider", 0.200),
    ]
    .map(|(row, name, limit)| Target {
        name,
        measured: results.median(&p99, row),
        unit: Unit::Millis,
        bound: Bound::AtMost(limit),
    })
    .into_iter()
}

fn connect_rate(results: &Results, credential: Credential) -> Option<f64> {
    results.median(metric::CONNECT_RATE, &metric::connect_row(Peer::Streamgate(0), credential))
}
