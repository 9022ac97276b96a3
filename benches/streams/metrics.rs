//! Latencies from the buckets of `GET /metrics` (OpenMetrics).

pub(crate) const VALIDATION: Metric = ("streamgate_session_validation_seconds", "");
pub(crate) const LOOKUP: Metric = ("streamgate_lookup_seconds", "resource=\"topology\"");
pub(crate) const COMMIT: Metric = ("streamgate_commit_seconds", "");

/// A name and a label that must be there.
type Metric = (&'static str, &'static str);

/// Upper bounds in seconds, each with the count of all that are not above it.
pub(crate) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    pub(crate) fn of(text: &str, (name, label): Metric) -> Self {
        let bucket = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix("_bucket{")?;
            let (labels, count) = rest.split_once("} ")?;
            let bound = labels.split_once("le=\"")?.1.split_once('"')?.0;
            // An exemplar may follow the count.
            let count = count.split(' ').next()?;
            labels.contains(label).then_some((bound.parse().ok()?, count.parse().ok()?))
        };
        Self(text.lines().filter_map(bucket).collect())
    }

    /// What was added since, as an older look at the same metric saw it.
    pub(crate) fn since(&self, older: &Self) -> Self {
        let before = |bound: f64| {
            // A metric without a sample may have had no buckets.
            older.0.iter().find(|(other, _)| *other >= bound).map_or(0.0, |(_, count)| *count)
        };
        Self(self.0.iter().map(|&(bound, count)| (bound, count - before(bound))).collect())
    }

    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The quantile `q`, as if the samples of a bucket were spread evenly in it.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let rank = q * self.count();
        let (mut lower, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if count >= rank && count > below && bound.is_finite() {
                return lower + (bound - lower) * (rank - below) / (count - below);
            }
            if bound.is_finite() {
                (lower, below) = (bound, count);
            }
        }
        lower
    }
}
