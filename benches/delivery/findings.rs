//! What was measured: for each metric and each row of its table one number per round.

use std::collections::BTreeMap;

/// All numbers.
#[derive(Default)]
pub(crate) struct Findings(BTreeMap<(String, String), Vec<f64>>);

/// Several rounds in one.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Findings {
    /// The next round's number; NaN if it has none, so that the rounds of two rows stay in step.
    pub(crate) fn add(&mut self, metric: &str, row: &str, value: f64) {
        self.0.entry((metric.to_owned(), row.to_owned())).or_default().push(value);
    }

    fn rounds(&self, metric: &str, row: &str) -> &[f64] {
        self.0.get(&(metric.to_owned(), row.to_owned())).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn summary(&self, metric: &str, row: &str) -> Option<Summary> {
        summarise(self.rounds(metric, row).iter().copied())
    }

    pub(crate) fn median(&self, metric: &str, row: &str) -> Option<f64> {
        self.summary(metric, row).map(|summary| summary.median)
    }

    /// One row divided by another, round by round: what drifts in the machine drifts in both.
    pub(crate) fn ratio(&self, metric: &str, row: &str, base: &str) -> Option<Summary> {
        let pairs = self.rounds(metric, row).iter().zip(self.rounds(metric, base));
        summarise(pairs.map(|(value, base)| value / base))
    }
}

fn summarise(values: impl Iterator<Item = f64>) -> Option<Summary> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some(Summary { median: f64::midpoint(low, high), least, most })
}
