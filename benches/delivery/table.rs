//! Tables, as text for the terminal and as Markdown for the README.

use std::fmt::Write;

use crate::results::{Results, Summary};

/// The unit of a number, and how the number is written.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Seconds, as microseconds.
    Micros,
    /// Seconds, as milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// A whole number.
    Count,
    /// KiB.
    Kib,
    /// KiB, as MiB.
    Mib,
    /// A factor.
    Times,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::Count => "",
            Self::Kib => "KiB",
            Self::Mib => "MiB",
            Self::Times => "x",
        }
    }

    /// Formats a number without its unit.
    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Self::Micros => digits(value * 1e6),
            Self::Millis => digits(value * 1e3),
            Self::Mib => digits(value / 1024.0),
            Self::Seconds | Self::Kib | Self::Times => digits(value),
            Self::Count => thousands(value),
        }
    }
}

/// Formats a number with three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        1000.0.. => thousands(value),
        99.95.. => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let plain = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A column: a metric, or the ratio of a metric to that of another row.
pub(crate) struct Column {
    title: String,
    metric: String,
    unit: Unit,
    /// The row to divide by.
    base: Option<String>,
}

impl Column {
    pub(crate) fn new(title: &str, metric: &str, unit: Unit) -> Self {
        Self { title: title.to_owned(), metric: metric.to_owned(), unit, base: None }
    }

    /// A column with the metric divided by that of row `base`.
    pub(crate) fn ratio(title: &str, metric: &str, base: &str) -> Self {
        Self { base: Some(base.to_owned()), ..Self::new(title, metric, Unit::Times) }
    }

    fn cell(&self, results: &Results, row: &str) -> Option<String> {
        let summary = match &self.base {
            None => results.summary(&self.metric, row),
            Some(base) => results.ratio(&self.metric, row, base),
        };
        let Summary { median, min, max } = summary?;
        let [median, min, max] = [median, min, max].map(|value| self.unit.format(value));
        let is_one = min == max || self.base.is_some();
        Some(if is_one { median } else { format!("{median} ({min}..{max})") })
    }
}

/// A table with a title and notes.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Section {
    fn cells(&self, results: &Results) -> Vec<Vec<String>> {
        let title = |column: &Column| match (column.unit.name(), &column.base) {
            ("", _) | (_, Some(_)) => column.title.clone(),
            (unit, None) => format!("{}, {unit}", column.title),
        };
        let mut head = vec![String::new()];
        head.extend(self.columns.iter().map(title));
        let mut lines = vec![head];
        for row in &self.rows {
            let cells: Vec<Option<String>> =
                self.columns.iter().map(|column| column.cell(results, row)).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let mut line = vec![row.clone()];
            line.extend(cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())));
            lines.push(line);
        }
        lines
    }

    pub(crate) fn text(&self, results: &Results) -> String {
        let mut text = format!("\n{}\n", self.title);
        align(&mut text, &self.cells(results));
        for note in &self.notes {
            let _ = writeln!(text, "  * {note}");
        }
        text
    }

    pub(crate) fn markdown(&self, results: &Results) -> String {
        let mut text = format!("### {}\n\n", self.title);
        markdown_table(&mut text, &self.cells(results));
        for note in &self.notes {
            let _ = write!(text, "\n- {note}");
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text
    }
}

/// Appends lines with aligned columns: the first left-aligned, the others right-aligned.
pub(crate) fn align(text: &mut String, lines: &[Vec<String>]) {
    let count = lines.first().map_or(0, Vec::len);
    let width = |i: usize| {
        let cells = lines.iter().filter_map(|line| line.get(i));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    for line in lines {
        let mut cells = line.iter().zip(&widths);
        if let Some((name, width)) = cells.next() {
            let _ = write!(text, "  {name:<width$}");
        }
        for (cell, width) in cells {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
}

/// Appends a Markdown table. The first line is its head.
pub(crate) fn markdown_table(text: &mut String, lines: &[Vec<String>]) {
    for (i, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if i == 0 {
            let _ = writeln!(text, "|---{}", "|---:".repeat(line.len() - 1) + "|");
        }
    }
}
