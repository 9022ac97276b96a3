//! Circles of imports between files.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Imports;

/// A report of every circle: the files, and each import inside the circle with the names.
pub fn circles(imports: &Imports) -> Vec<String> {
    let mut rest: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    let mut reports = Vec::new();
    while let Some(file) = rest.pop_first() {
        let reached = reachable(imports, file);
        if !reached.contains(file) {
            continue;
        }
        let circle: BTreeSet<&str> = reached
            .iter()
            .copied()
            .filter(|other| reachable(imports, other).contains(file))
            .collect();
        rest.retain(|other| !circle.contains(other));
        reports.push(report(imports, &circle));
    }
    reports
}

/// The files that a file imports, directly or through others.
fn reachable<'a>(imports: &'a Imports, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let next = imports.get(file).into_iter().flat_map(BTreeMap::keys);
        open.extend(next.map(String::as_str).filter(|file| reached.insert(*file)));
    }
    reached
}

fn report(imports: &Imports, circle: &BTreeSet<&str>) -> String {
    let mut lines = vec![format!("a circle of {} files:", circle.len())];
    for (from, to, names) in edges(imports) {
        if circle.contains(from) && circle.contains(to) {
            lines.push(format!("  {from} -> {to}: {}", names.join(", ")));
        }
    }
    lines.join("\n")
}

/// Every import: the importing file, the imported one, and the names.
pub fn edges(imports: &Imports) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
    imports.iter().flat_map(|(from, files)| {
        files.iter().map(move |(to, names)| {
            (from.as_str(), to.as_str(), names.iter().map(String::as_str).collect())
        })
    })
}
