//! The results: one number per round, for each metric and each row of its table.

use std::collections::BTreeMap;

/// All results of a run.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<(String, String), Vec<f64>>);

/// The results of several rounds.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Results {
    /// Adds the number of the next round. NaN stands for a missing number, so that the rounds of two
    /// rows stay aligned.
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

    /// Divides one row by another, round by round. The speed of the machine changes over time, and affects both rows in
    /// the same way.
    pub(crate) fn ratio(&self, metric: &str, row: &str, base: &str) -> Option<Summary> {
        let pairs = self.rounds(metric, row).iter().zip(self.rounds(metric, base));
        summarise(pairs.map(|(value, base)| value / base))
    }
}

fn summarise(values: impl Iterator<Item = f64>) -> Option<Summary> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some(Summary { median: f64::midpoint(low, high), min, max })
}
