//! The paths of a request in docs/architecture.md.
//!
//! Each part of a path is a numbered list under a heading. An item starts with a link to a file below `../src/`.

use std::{collections::BTreeSet, fs, path::Path};

use super::layers::layer;

/// The headings of the parts of each path.
const PATHS: [&[&str]; 4] = [
    &["### Publish", "#### To few subscribers"],
    &["### Publish", "#### To many subscribers"],
    &["### Open"],
    &["### Claim"],
];

/// Maximum number of files on one path.
const MAX_FILES: usize = 18;

/// Maximum number of steps of one path that lead to a higher layer.
const MAX_RETURNS: usize = 4;

/// The files of the list under a heading, in order.
fn files(document: &str, heading: &str) -> Vec<String> {
    let mut lines = document.lines();
    assert!(lines.any(|line| line == heading), "no heading {heading}");
    let section = lines.take_while(|line| !line.starts_with('#'));
    let items = section.filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let file = |item: &str| {
        let (_, rest) = item.split_once("](../").unwrap_or_else(|| panic!("no link: {item}"));
        rest.split(')').next().unwrap_or_default().to_owned()
    };
    items.map(file).collect()
}

#[test]
fn each_path_leads_down_through_few_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/architecture.md")).expect("the document");
    for headings in PATHS {
        let name = headings.join(" ");
        let files: Vec<_> = headings.iter().flat_map(|heading| files(&document, heading)).collect();
        assert!(files.len() > 5, "{name}: {files:?}");
        let missing: Vec<_> = files.iter().filter(|file| !root.join(file).is_file()).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
        let distinct: BTreeSet<_> = files.iter().collect();
        assert!(distinct.len() <= MAX_FILES, "{name}: {} files", distinct.len());
        let layers: Vec<_> = files.iter().map(|file| layer(file).expect("a layer")).collect();
        let returns = layers.windows(2).filter(|step| step[1] > step[0]).count();
        assert!(returns <= MAX_RETURNS, "{name}: {returns} returns: {layers:?}");
    }
}
