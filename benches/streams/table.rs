//! The output: ours, the floor, and the ratio of the two.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::metrics::Histogram;

pub(crate) struct Table(io::Stdout);

impl Table {
    pub(crate) fn begin(title: &str) -> io::Result<Self> {
        let mut table = Self(io::stdout());
        table.line(&format!("streams: {title}"), ["streamgate", "floor", "ratio"])?;
        Ok(table)
    }

    pub(crate) fn section(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.0, "{title}")
    }

    /// A value of both.
    pub(crate) fn row(
        &mut self,
        name: &str,
        show: impl Fn(f64) -> String,
        ours: f64,
        floor: f64,
    ) -> anyhow::Result<()> {
        Ok(self.line(&format!("  {name}"), [&show(ours), &show(floor), ""])?)
    }

    /// A cost of both: the ratio says how many times the floor ours is.
    pub(crate) fn against(
        &mut self,
        name: &str,
        show: impl Fn(f64) -> String,
        ours: f64,
        floor: f64,
    ) -> anyhow::Result<()> {
        let ratio = format!("{:.1}", ours / floor);
        Ok(self.line(&format!("  {name}"), [&show(ours), &show(floor), &ratio])?)
    }

    pub(crate) fn latencies(&mut self) -> io::Result<()> {
        self.line("  from GET /metrics", ["p50", "p99", "count"])
    }

    pub(crate) fn latency(&mut self, name: &str, histogram: &Histogram) -> anyhow::Result<()> {
        let count = format!("{:.0}", histogram.count());
        let cells = [0.5, 0.99].map(|q| match histogram.count() {
            0.0 => "-".to_owned(),
            _ => time(histogram.quantile(q)),
        });
        Ok(self.line(&format!("  {name}"), [&cells[0], &cells[1], &count])?)
    }

    fn line(&mut self, name: &str, [one, two, three]: [&str; 3]) -> io::Result<()> {
        let line = format!("{name:<40}{one:>12}{two:>12}{three:>8}");
        writeln!(self.0, "{}", line.trim_end())
    }
}

/// Of seconds.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        1e-3.. => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.1} µs", seconds * 1e6),
    }
}

/// Of KiB.
pub(crate) fn kib(kib: f64) -> String {
    format!("{kib:.2} KiB")
}

/// Of KiB too.
pub(crate) fn mib(kib: f64) -> String {
    format!("{:.1} MiB", kib / 1024.0)
}

/// In seconds.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) worst: f64,
}

/// By nearest rank; of 100 rounds the 99th percentile leaves one out.
pub(crate) fn spread(rounds: impl Iterator<Item = Duration>) -> Spread {
    let mut sorted: Vec<Duration> = rounds.collect();
    sorted.sort_unstable();
    let rank = |percent: usize| {
        let place = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(place - 1).map_or(f64::NAN, Duration::as_secs_f64)
    };
    Spread { median: rank(50), p99: rank(99), worst: rank(100) }
}
