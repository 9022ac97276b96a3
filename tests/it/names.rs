//! The name of every test is one sentence of at most ten words.

use std::{fs, path::Path};

/// Maximum number of words in the name of a test.
const WORDS: usize = 10;

/// Folders with tests, relative to the root of the repository.
const FOLDERS: [&str; 4] = ["src", "entity/src", "migration/src", "tests/it"];

/// All Rust files below a folder, with their texts.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            found.push((path.display().to_string(), text));
        }
    }
}

/// The names of the functions after `#[test]` and `#[tokio::test]`.
fn tests(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let attribute = line.strip_prefix("#[").map(|rest| rest.split(['(', ']']).next());
        is_test |= matches!(attribute, Some(Some("test" | "tokio::test")));
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some((name, _)) = function.and_then(|rest| rest.split_once('('))
            && std::mem::take(&mut is_test)
        {
            names.push(name);
        }
    }
    names
}

#[test]
fn every_test_name_has_at_most_ten_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in FOLDERS {
        files(&root.join(folder), &mut found);
    }
    let mut count = 0;
    let mut faults = Vec::new();
    for (path, text) in &found {
        for name in tests(text) {
            count += 1;
            let words = name.split('_').count();
            if words > WORDS {
                faults.push(format!("{path}: {words} words: {name}"));
            }
        }
    }
    assert!(count > 400, "only {count} tests were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn names_are_found_after_every_form_of_test_attribute() {
    let text = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"multi_thread\")]\n\
                #[ignore = \"why\"]\nasync fn two() {}\nfn helper() {}\n#[cfg(test)]\nfn other() {}";
    assert_eq!(tests(text), ["one", "two"]);
}
