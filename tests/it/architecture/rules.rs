//! Rules for single files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Maximum number of lines of a file.
const MAX_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a directory of the repository, as path and text.
fn files(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("a file of the repository");
                let text = fs::read_to_string(&path).expect("a text");
                found.push((name.to_str().expect("UTF-8").to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {directory}");
    found.sort();
    found
}

fn all_files() -> impl Iterator<Item = (String, String)> {
    ["src", "entity", "migration", "tests/it", "benches"].into_iter().flat_map(files)
}

/// The code of a file: without comments, and without the unit tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_file_has_more_than_400_lines() {
    let long = all_files().filter(|(_, text)| text.lines().count() > MAX_LINES);
    let long: Vec<_> = long.map(|(file, text)| (file, text.lines().count())).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn mod_files_hold_only_modules_and_re_exports() {
    let mut found = Vec::new();
    for (file, text) in all_files().filter(|(file, _)| file.ends_with("/mod.rs")) {
        let parsed = syn::parse_file(&text).expect("Rust");
        let is_allowed = |item: &syn::Item| match item {
            syn::Item::Mod(item) => item.content.is_none(),
            syn::Item::Use(item) => !matches!(item.vis, syn::Visibility::Inherited),
            _ => false,
        };
        if !parsed.items.iter().all(is_allowed) {
            found.push(file);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn api_has_no_sql_and_no_transaction() {
    let words = ["sea_orm", "begin_write(", "begin_read(", ".reader()", ".writer()"];
    let mut found = Vec::new();
    for (file, text) in files("src/api") {
        let code = code(&text);
        found.extend(
            words.iter().filter(|word| code.contains(**word)).map(|word| format!("{file}: {word}")),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn families_do_not_use_http() {
    let mut found = Vec::new();
    for (file, text) in files("src/family") {
        let code = code(&text);
        let names_poem = code.contains("poem::") || code.contains("use poem;");
        if names_poem || code.contains("StatusCode") {
            found.push(file);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn api_is_less_than_a_third_of_the_program() {
    let lines = |directory| -> usize {
        files(directory).iter().map(|(_, text)| text.lines().count()).sum()
    };
    let (api, all) = (lines("src/api"), lines("src"));
    assert!(3 * api < all, "{api} of {all} lines");
}

#[test]
fn unsafe_code_is_in_one_file_with_a_reason() {
    let mut found = Vec::new();
    for (file, text) in all_files() {
        if code(&text).lines().any(|line| line.contains(concat!("unsafe", " {"))) {
            assert!(text.contains("// SAFETY: "), "{file}");
            found.push(file);
        }
    }
    assert_eq!(found, ["src/hub/fanout/send.rs"]);
}

#[test]
fn configuration_document_has_every_key() {
    let document = root().join("docs/configuration.md");
    let document = fs::read_to_string(document).expect("the document");
    let table = streamgate::config::environment_table();
    assert!(
        document.contains(&table),
        "the table of keys in docs/configuration.md differs from the code; replace it with\n{table}"
    );
}

/// The files that may read the wall clock, each with its purpose. Leases, caches, sweeps and the times that sweeps
/// compare use `clock`.
const WALL_CLOCK: &[(&str, &str)] = &[
    ("src/api/mcp/sse.rs", "expiry of login sessions under streams"),
    ("src/api/session_cookie.rs", "lifetime of cookies"),
    ("src/audit/audit_log.rs", "at"),
    ("src/auth/api_key/keys.rs", "created_at, expires_at"),
    ("src/auth/issuer/claims.rs", "expiry of external tokens"),
    ("src/auth/issuer/issuers.rs", "expiry of external tokens"),
    ("src/auth/issuer/user.rs", "a user's timestamp"),
    ("src/auth/login_session/cached_sessions.rs", "expiry of login sessions"),
    ("src/auth/login_session/issuer.rs", "expiry of login sessions"),
    ("src/auth/login_session/proxy.rs", "created_at, expires_at"),
    ("src/auth/login_session/refresh.rs", "grace of refresh tokens, between processes"),
    ("src/auth/login_session/rows.rs", "expiry of login sessions"),
    ("src/auth/login_session/sessions.rs", "created_at, expires_at, revoked_at"),
    ("src/auth/session_cookie.rs", "iat"),
    ("src/auth/token.rs", "expiry of tokens"),
    ("src/auth/user.rs", "created_at, revoked_at"),
    ("src/clock.rs", "the comparison with the uptime"),
    ("src/family/conversation/create.rs", "created_at"),
    ("src/family/mcp_session/end.rs", "closed_at"),
    ("src/family/notification/mark_read.rs", "read_at"),
    ("src/family/oauth/hand_out.rs", "expiry of access tokens"),
    ("src/family/oauth/link.rs", "expiry of access tokens"),
    ("src/family/prompt/create.rs", "created_at, updated_at"),
    ("src/family/prompt/rows.rs", "updated_at, completed_at"),
    ("src/family/task/cancel.rs", "updated_at"),
    ("src/family/task/claim.rs", "updated_at"),
    ("src/family/task/create.rs", "created_at, updated_at"),
    ("src/family/task/lease.rs", "updated_at, completed_at"),
    ("src/family/task/orphans.rs", "updated_at, completed_at, cancel_by of an ended task"),
    ("src/family/task/release.rs", "updated_at"),
    ("src/family/task/report.rs", "updated_at, completed_at, at"),
    ("src/family/topology/create.rs", "created_at, status_changed_at"),
    ("src/family/topology/mutation/create.rs", "requested_at"),
    ("src/family/topology/mutation/report.rs", "applied_at"),
    ("src/family/topology/update_status.rs", "status_changed_at, at"),
    ("src/family/tunnel/connect.rs", "created_at, connected_at, expiry of login sessions"),
    ("src/family/tunnel/delete.rs", "created_at"),
    ("src/family/tunnel/rows.rs", "disconnected_at, deleted_at"),
    ("src/family/tunnel/share.rs", "created_at"),
    ("src/health.rs", "at, since"),
    ("src/hub/fanout/handle.rs", "expiry of login sessions under streams"),
    ("src/oauth/flow.rs", "created_at, expires_at"),
    ("src/oauth/grants.rs", "times of grants"),
    ("src/oauth/keyring.rs", "the age of keys"),
    ("src/oauth/refresh.rs", "times of grants, leases of refreshes"),
    ("src/server/response_head.rs", "the header Date"),
    ("src/telemetry/jobs.rs", "the time of the last success"),
    ("src/tunnel/counters.rs", "last_activity_at"),
];

#[test]
fn only_listed_files_read_the_wall_clock() {
    let reads = |(_, text): &(String, String)| code(text).contains("Timestamp::now()");
    let found: Vec<String> = files("src").into_iter().filter(reads).map(|(file, _)| file).collect();
    let listed: Vec<&str> = WALL_CLOCK.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, listed);
}
