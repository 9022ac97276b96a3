//! The three ways through the program in docs/architecture.md.
//!
//! Each way is a numbered list under the heading `### Publish`, `### Open` or `### Claim`. An item starts with a link to a
//! file below `../src/`.

use std::{collections::BTreeSet, fs, path::Path};

use super::layers::layer;

/// Maximum number of files on one way.
const MAX_FILES: usize = 18;

/// Maximum number of steps of one way that lead to a higher layer.
const MAX_RETURNS: usize = 4;

/// The files of the list under a heading, in order.
fn files(document: &str, heading: &str) -> Vec<String> {
    let start = document.find(heading).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = &document[start + heading.len()..];
    let section = section.split("\n#").next().unwrap_or_default();
    let items = section.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let file = |item: &str| {
        let (_, rest) = item.split_once("](../").unwrap_or_else(|| panic!("no link: {item}"));
        rest.split(')').next().unwrap_or_default().to_owned()
    };
    items.map(file).collect()
}

#[test]
fn each_way_leads_down_through_few_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/architecture.md")).expect("the document");
    for heading in ["### Publish", "### Open", "### Claim"] {
        let files = files(&document, heading);
        assert!(files.len() > 5, "{heading}: {files:?}");
        let missing: Vec<_> = files.iter().filter(|file| !root.join(file).is_file()).collect();
        assert!(missing.is_empty(), "{heading}: {missing:?}");
        let distinct: BTreeSet<_> = files.iter().collect();
        assert!(distinct.len() <= MAX_FILES, "{heading}: {} files", distinct.len());
        let layers: Vec<_> = files.iter().map(|file| layer(file).expect("a layer")).collect();
        let returns = layers.windows(2).filter(|step| step[1] > step[0]).count();
        assert!(returns <= MAX_RETURNS, "{heading}: {returns} returns: {layers:?}");
    }
}
