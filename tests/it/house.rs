//! The house: who imports whom, how long a file may be, and whether the manual is whole.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The floors of `src`, from the ground up. Beside the first are two crates, `entity` and `migration`.
const FLOORS: [&[&str]; 7] = [
    &["clock"],
    &["cache", "deadline", "config", "telemetry", "data_dir", "database", "event", "forwarded"],
    &["event_log", "bus", "auth", "limit", "visibility"],
    &["hub"],
    &["gateway"],
    &["api", "server"],
    &["lib", "main", "demo", "reload", "signals"],
];

/// Lines of a file, at most.
const LONGEST: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a directory of the repository.
fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {directory}");
    found
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The modules that a file is in: `["hub", "ring"]` for `hub/ring.rs`, `["hub"]` for `hub/mod.rs`.
fn modules(file: &str) -> Vec<&str> {
    let mut modules: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if modules.last() == Some(&"mod") {
        modules.pop();
    }
    modules
}

/// The code of a file: without comments and without the unit tests at its end.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names of what follows a `::`, of one path or of a group in braces.
fn names(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut depth = 0;
    let mut names = vec![word(group)];
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The rooms that a file of `src` names, its own left out.
fn rooms(file: &str, source: &str) -> Vec<String> {
    let code = code(source);
    let modules = modules(file);
    let mut rooms = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = &code[..at];
            // `$crate::`, `super::super::` (seen at its beginning) and ends of longer words.
            if before.ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)) {
                continue;
            }
            let mut up = 0;
            let mut rest = &code[at..];
            while let Some(above) = rest.strip_prefix("super::") {
                (up, rest) = (up + 1, above);
            }
            let rest = rest.strip_prefix(start).unwrap_or(rest);
            // Above the room is the root, whose children are the rooms.
            if up < modules.len() {
                if up == 0 {
                    rooms.extend(names(rest));
                }
                continue;
            }
            rooms.extend(names(rest));
        }
    }
    rooms.retain(|room| Some(&room.as_str()) != modules.first());
    rooms
}

/// What is wrong with the imports of a file.
fn faults(file: &str, source: &str) -> Vec<String> {
    let own = modules(file)[0];
    let Some(here) = floor(own) else {
        return vec![format!("{file}: `{own}` is on no floor: give it one here and in src/lib.rs")];
    };
    // The commands stand on everything.
    if here == FLOORS.len() - 1 {
        return Vec::new();
    }
    let wrong = rooms(file, source).into_iter().filter(|room| match floor(room) {
        Some(there) => there >= here,
        None => true,
    });
    wrong.map(|room| format!("{file}: `{room}` is not below `{own}`")).collect()
}

#[test]
fn no_file_imports_from_its_own_floor_or_from_above() {
    let src = root().join("src");
    let mut found = Vec::new();
    for path in files("src") {
        let file = path.strip_prefix(&src).expect("a file in src").to_str().expect("UTF-8");
        found.extend(faults(file, &fs::read_to_string(&path).expect("a file")));
    }
    for (ground, other) in [("entity", "migration"), ("migration", "entity")] {
        for path in files(ground) {
            let code = code(&fs::read_to_string(&path).expect("a file"));
            for word in [format!("{other}::"), "streamgate::".to_owned()] {
                let named = |line: &str| line.trim_start().starts_with(&format!("use {word}"));
                if code.lines().any(named) {
                    found.push(format!("{}: names {word}", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_import_that_climbs_or_goes_sideways_is_seen_in_whatever_way_it_is_written() {
    for (file, source) in [
        ("limit.rs", "use crate::hub::Hub;"),
        ("limit.rs", "use crate::{\n    config::Config,\n    token::{Claims, Tokens},\n};"),
        ("limit.rs", "fn f() { crate::gateway::g() }"),
        ("limit.rs", "use super::session;"),
        ("bus/mod.rs", "pub use crate::event_log::EventLog;"),
        ("bus/in_process.rs", "use super::super::hub::Hub;"),
        ("bus/in_process.rs", "use super::super::{event, limit};"),
        ("server/socket.rs", "use crate::api;"),
        ("api/topology/rows.rs", "use super::super::super::server;"),
        ("config.rs", "use crate::event;"),
        ("hub/ring.rs", "pub(in crate::gateway) fn f() {}"),
        ("attic.rs", ""),
    ] {
        assert_eq!(faults(file, source).len(), 1, "{file}: {source}");
    }
    for (file, source) in [
        ("limit.rs", "use crate::{config::Config, event::{self, Topic}};"),
        ("limit.rs", "// use crate::hub::Hub;"),
        ("limit.rs", "#[cfg(test)]\nmod tests { use super::*; use crate::hub::Hub; }"),
        ("bus/in_process.rs", "use super::{Bus, BusError};\nuse crate::bus::Bus;"),
        ("api/topology/rows.rs", "use super::super::problem;\nuse crate::api::stream;"),
        ("api/mod.rs", "$crate::api::mirror! {}\nuse crate::{gateway, user::User};"),
        ("demo.rs", "use super::say;\nuse streamgate::{config, server};"),
        ("hub/ring.rs", "use sea_orm::Value; use hypercrate::gateway; \"streamgate::hub\""),
    ] {
        assert_eq!(faults(file, source), [""; 0], "{file}: {source}");
    }
}

#[test]
fn no_file_is_longer_than_what_one_reads_in_one_go() {
    let mut long = Vec::new();
    for path in ["src", "entity", "migration", "tests/it"].into_iter().flat_map(files) {
        let lines = fs::read_to_string(&path).expect("a file").lines().count();
        if lines > LONGEST {
            let path = path.strip_prefix(root()).expect("a file of ours").display().to_string();
            long.push(format!("{path}: {lines} lines"));
        }
    }
    long.sort();
    assert!(long.is_empty(), "more than {LONGEST}: {long:#?}");
}

#[test]
fn the_readme_has_every_key_of_the_configuration() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let table = streamgate::config::environment_table();
    assert!(
        readme.contains(&table),
        "the table of configuration keys in README.md has drifted; it should be\n{table}"
    );
}

/// The files that may ask for the wall clock, and what for. Leases, caches, sweeps and the
/// stamps that sweeps judge ask `clock`.
const WALL_CLOCK: [(&str, &str); 19] = [
    ("api/conversation.rs", "created_at"),
    ("api/mcp_session/end.rs", "closed_at"),
    ("api/notification/mod.rs", "read_at"),
    ("api/prompt/operations.rs", "created_at"),
    ("api/prompt/rows.rs", "updated_at, completed_at"),
    ("api/task/lease.rs", "updated_at, completed_at"),
    ("api/task/operations.rs", "created_at, updated_at"),
    ("api/task/orphan.rs", "updated_at, completed_at, cancel_by of what has ended"),
    ("api/task/worker/mod.rs", "updated_at, completed_at, at"),
    ("api/topology/mutation/mod.rs", "requested_at, applied_at"),
    ("api/topology/operations.rs", "created_at, status_changed_at"),
    ("clock.rs", "comparing it with the uptime"),
    ("hub/reactor.rs", "expiry of sessions under streams"),
    ("server/response_head.rs", "the header Date"),
    ("auth/login_session/known.rs", "expiry of sessions"),
    ("auth/login_session.rs", "expiry of sessions and refresh tokens"),
    ("auth/login_session/refresh.rs", "grace of refresh tokens, between processes"),
    ("auth/token.rs", "expiry of tokens"),
    ("auth/user.rs", "created_at, revoked_at"),
];

#[test]
fn only_stamps_and_tokens_go_by_the_wall_clock() {
    let src = root().join("src");
    let asks = |path: &PathBuf| {
        let source = fs::read_to_string(path).expect("a file");
        code(&source).contains("Timestamp::now()")
    };
    let found = files("src").into_iter().filter(asks).map(|path| {
        path.strip_prefix(&src).expect("a file in src").to_str().expect("UTF-8").to_owned()
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    assert_eq!(found, WALL_CLOCK.map(|(file, _)| file));
}

#[test]
fn unsafe_code_is_in_one_file_and_says_why() {
    let mut found = Vec::new();
    for file in ["src", "entity", "migration", "benches", "tests"].into_iter().flat_map(files) {
        let source = fs::read_to_string(&file).expect("a file");
        if code(&source).lines().any(|line| line.contains(concat!("unsafe", " {"))) {
            found.push(file.strip_prefix(root()).expect("below the root").display().to_string());
            assert!(source.contains("// SAFETY: "), "{}", file.display());
        }
    }
    assert_eq!(found, ["src/hub/send.rs"]);
}
