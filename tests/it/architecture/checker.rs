//! The checks of imports, on the crate and on small crates that break the rules.

use std::{collections::HashMap, fs, path::Path};

use super::{
    graph::circles,
    imports::{Imports, imports},
    layers::faults,
    modules::Modules,
};

fn read(file: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

/// The imports of a crate of the repository.
fn imports_of(root: &str) -> Imports {
    imports(&Modules::load(root, &read))
}

/// The imports of a crate whose files are given as path and text.
fn imports_in(files: &[(&str, &str)]) -> Imports {
    let files: HashMap<&str, &str> = files.iter().copied().collect();
    imports(&Modules::load("src/lib.rs", &|file| files.get(file).map(ToString::to_string)))
}

#[test]
fn no_file_imports_from_a_higher_layer() {
    let mut found = faults(&imports_of("src/lib.rs"));
    found.extend(faults(&imports_of("src/main.rs")));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let roots = [
        "src/lib.rs",
        "src/main.rs",
        "entity/src/lib.rs",
        "migration/src/lib.rs",
        "benches/delivery/main.rs",
    ];
    let found: Vec<String> = roots.iter().flat_map(|root| circles(&imports_of(root))).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_form_of_upward_import_is_found() {
    let hub = ("src/hub/mod.rs", "pub struct Hub; pub fn open() {}");
    for limit in [
        "use crate::hub::Hub;",
        "use crate::{hub::{Hub as H}, limit as _};",
        "use super::hub::Hub;",
        "use crate::hub; fn f() { hub::open() }",
        "fn f() { crate::hub::open() }",
        "fn f() -> crate::hub::Hub { todo!() }",
        "fn f() { println!(\"{}\", crate::hub::open()) }",
        "use crate::hub::*; fn f() { self::open() }",
        "use crate::names::Hub;",
        "mod inner { use crate::hub::Hub; }",
        "macro_rules! m { () => { $crate::hub::open() } }",
    ] {
        let lib = "mod hub; mod limit; mod names;";
        let names = ("src/bus.rs", "");
        let files = [
            ("src/lib.rs", lib),
            hub,
            ("src/limit.rs", limit),
            ("src/names/mod.rs", "pub use crate::hub::Hub;"),
            names,
        ];
        let found = faults(&imports_in(&files));
        let from_limit = found.iter().filter(|fault| fault.starts_with("src/limit.rs (layer 1)"));
        assert_eq!(from_limit.count(), 1, "{limit}: {found:?}");
    }
}

#[test]
fn allowed_mention_of_another_layer_is_no_fault() {
    for hub in [
        "use crate::limit::Limit;",
        "pub(in crate::gateway) fn f() {}",
        "// use crate::gateway::Gateway;",
        "#[cfg(test)] mod tests { use crate::gateway::Gateway; }",
        "const TEXT: &str = \"crate::gateway::Gateway\";",
        "use other_crate::gateway::Gateway;",
    ] {
        let files = [
            ("src/lib.rs", "mod hub; mod limit; mod gateway;"),
            ("src/hub.rs", hub),
            ("src/limit.rs", "pub struct Limit;"),
            ("src/gateway.rs", "pub struct Gateway;"),
        ];
        assert_eq!(faults(&imports_in(&files)), [""; 0], "{hub}");
    }
}

#[test]
fn import_between_two_engines_is_a_fault() {
    let files = [
        ("src/lib.rs", "mod bus; mod limit;"),
        ("src/bus.rs", "use crate::limit::Limit;"),
        ("src/limit.rs", "pub struct Limit;"),
    ];
    assert_eq!(faults(&imports_in(&files)).len(), 1);
}

#[test]
fn circle_of_three_files_is_reported_with_its_names() {
    let files = [
        ("src/lib.rs", "mod hub;"),
        ("src/hub/mod.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("src/hub/a.rs", "use super::b::B; pub struct A(B);"),
        ("src/hub/b.rs", "pub struct B; fn f() { super::c::run() }"),
        ("src/hub/c.rs", "use crate::hub::A; pub fn run() {}"),
    ];
    let found = circles(&imports_in(&files));
    let expected = "a circle of 3 files:\n  src/hub/a.rs -> src/hub/b.rs: B\n  \
                    src/hub/b.rs -> src/hub/c.rs: run\n  src/hub/c.rs -> src/hub/a.rs: A";
    assert_eq!(found, [expected]);
}

#[test]
fn parent_and_child_that_import_each_other_are_a_circle() {
    let files = [
        ("src/lib.rs", "mod config;"),
        ("src/config.rs", "mod keys; use keys::Key; pub struct Config(Key);"),
        ("src/config/keys.rs", "use super::Config; pub struct Key; fn f(config: Config) {}"),
    ];
    assert_eq!(circles(&imports_in(&files)).len(), 1);
}

#[test]
fn re_export_does_not_count_as_an_import() {
    let files = [
        ("src/lib.rs", "mod hub;"),
        ("src/hub/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("src/hub/a.rs", "pub struct A;"),
        ("src/hub/b.rs", "use super::A; pub struct B(A);"),
    ];
    assert_eq!(circles(&imports_in(&files)), [""; 0]);
}
