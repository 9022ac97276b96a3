//! What was promised, and whether this run keeps it.

use crate::{
    findings::Findings,
    scenario::{CROWD, KEPT_UP, connect, growth, metric},
    serve::VARIANTS,
    server::{Credential, Peer},
    table::Unit,
};

/// A promise.
struct Target {
    what: &'static str,
    measured: Option<f64>,
    unit: Unit,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    Most(f64),
    Least(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::Most(most) => value <= most,
            Self::Least(least) => value >= least,
        }
    }
}

/// The lines of the table: what, measured, target, met or not.
pub(crate) fn lines(findings: &Findings) -> Vec<Vec<String>> {
    let mut lines = vec![["target", "measured", "wanted", ""].map(str::to_owned).to_vec()];
    for target in targets(findings) {
        let show = |value: f64| {
            let unit = target.unit.name();
            format!("{} {unit}", target.unit.show(value)).trim_end().to_owned()
        };
        let wanted = match target.bound {
            Bound::Most(most) => format!("<= {}", show(most)),
            Bound::Least(least) => format!(">= {}", show(least)),
        };
        let (measured, verdict) = match target.measured {
            None => ("-".to_owned(), "not measured"),
            Some(value) if target.bound.holds(value) => (show(value), "met"),
            Some(value) => (show(value), "not met"),
        };
        lines.push(vec![target.what.to_owned(), measured, wanted, verdict.to_owned()]);
    }
    lines
}

fn targets(findings: &Findings) -> Vec<Target> {
    use Bound::{Least, Most};
    let ours = Peer::Streamgate(0).name();
    let uring = VARIANTS.iter().find(|variant| variant.name.contains("io_uring"));
    let (floor, nchan) = (Peer::Floor.name(), Peer::Nchan.name());
    let median = |metric: &str| findings.median(metric, ours);
    let ratio = |metric: &str, row: &str, base: &str| {
        findings.ratio(metric, row, base).map(|summary| summary.median)
    };
    let paced = metric::paced(CROWD, "cpu");
    let after = metric::burst(CROWD, "memory after");
    let idle = metric::idle(CROWD);
    let grown = median(&after).zip(median(&idle)).map(|(after, idle)| after / idle);
    let stream_token = connect::row(Peer::Streamgate(0), Credential::StreamToken);
    let bearer = connect::row(Peer::Streamgate(0), Credential::Bearer);
    let target = |what, measured, unit, bound| Target { what, measured, unit, bound };
    vec![
        target(
            "paced to 10,000: server CPU per delivery, to the floor's",
            ratio(&paced, ours, floor),
            Unit::Times,
            Most(1.05),
        ),
        target(
            "the same with io_uring",
            uring.and_then(|uring| ratio(&paced, uring.name, floor)),
            Unit::Times,
            Most(0.95),
        ),
        target("the same without, to Nchan's", ratio(&paced, ours, nchan), Unit::Times, Most(0.75)),
        target(
            "burst to 10,000: deliveries per second, to Nchan's",
            ratio(&metric::burst(CROWD, "rate"), ours, nchan),
            Unit::Times,
            Least(10.0),
        ),
        target(
            "one to one: p50 publish to receipt, to Nchan's",
            ratio(&metric::one_to_one("p50"), ours, nchan),
            Unit::Times,
            Most(1.1),
        ),
        target("memory per idle stream at 10,000 (PSS)", median(&idle), Unit::Kib, Most(1.0)),
        target(
            "connects per second on one core, stream tokens",
            findings.median(metric::CONNECTS, &stream_token),
            Unit::Count,
            Least(10_000.0),
        ),
        target(
            "connects per second on one core, access tokens",
            findings.median(metric::CONNECTS, &bearer),
            Unit::Count,
            Least(10_000.0),
        ),
        target(
            "CPU per delivery from 100 subscribers to the most, dearest to cheapest",
            median(growth::SPREAD),
            Unit::Times,
            Most(1.2),
        ),
        target(
            "the same, each as a multiple of the floor's",
            median(growth::RELATIVE),
            Unit::Times,
            Most(1.2),
        ),
        target("memory per stream after a burst, to idle (PSS)", grown, Unit::Times, Most(1.5)),
        target(
            "250,000 deliveries/s offered on one core: behind at the end",
            median(&metric::overload("late")),
            Unit::Seconds,
            Most(KEPT_UP),
        ),
        target(
            "durable publish, batches: events per second",
            median(&metric::durable("batches")),
            Unit::Count,
            Least(50_000.0),
        ),
        target(
            "durable publish, single, 64 in flight: events per second",
            median(&metric::durable("single")),
            Unit::Count,
            Least(5_000.0),
        ),
    ]
}
