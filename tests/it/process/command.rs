//! The commands that end by themselves.

use serde_json::Value;

use crate::support::{
    Store,
    process::{ADMIN, Process, Said, password, run, said, streamgate},
};

async fn ok(store: &Store, arguments: &[&str]) -> String {
    let Said { success, out, err } = run(store, arguments).await;
    assert!(success, "{arguments:?}: {err}");
    assert_eq!(err, "", "{arguments:?}");
    out
}

#[tokio::test]
async fn help_describes_every_command() {
    let store = Store::new().await;
    for (arguments, parts) in [
        (
            vec!["--help"],
            vec![
                "OpenAPI-first gateway",
                "serve",
                "Serve until",
                "demo",
                "throw-away",
                "migrate",
                "schema",
                "user",
                "Manage users",
                "openapi",
                "config",
            ],
        ),
        (
            vec!["serve", "--help"],
            vec![
                "--config <FILE>",
                "--listen <ADDRESS>",
                "--data-dir <DIR>",
                "--no-migrate",
                "SIGHUP",
                "SIGUSR1",
            ],
        ),
        (vec!["demo", "--help"], vec!["--listen <ADDRESS>", "8080", "SIGHUP"]),
        (vec!["migrate", "--help"], vec!["--down <STEPS>", "--data-dir <DIR>"]),
        (vec!["user", "--help"], vec!["add", "Create a user"]),
        (
            vec!["user", "add", "--help"],
            vec!["<NAME>", "--role <ROLE>", "viewer", "agent", "operator", "admin"],
        ),
        (vec!["openapi", "--help"], vec!["--version <VERSION>", "3.0", "3.2"]),
        (vec!["config", "--help"], vec!["every configuration key"]),
    ] {
        let help = ok(&store, &arguments).await;
        assert!(help.contains("Usage: streamgate"), "{help}");
        for part in parts {
            assert!(help.contains(part), "no {part:?} in: {help}");
        }
    }
    let nothing = run(&store, &[]).await;
    assert!(!nothing.success && nothing.err.contains("Usage: streamgate"), "{}", nothing.err);
    let version = ok(&store, &["--version"]).await;
    assert_eq!(version, format!("streamgate {}\n", env!("CARGO_PKG_VERSION")));
    store.remove().await;
}

#[tokio::test]
async fn printed_documents_and_configuration_equal_the_committed_ones() {
    let store = Store::new().await;
    for (version, file) in [("3.0", "openapi.json"), ("3.2", "openapi-3.2.json")] {
        let printed = ok(&store, &["openapi", "--version", version]).await;
        let document: Value = serde_json::from_str(&printed).expect("JSON");
        let is = document["openapi"].as_str().expect("a version");
        assert!(is.starts_with(version), "{is}");
        let path = format!("{}/openapi/{file}", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(path).expect("a committed document");
        assert!(
            printed == committed,
            "{file} differs from the printed document: see CONTRIBUTING.md"
        );
    }
    assert_eq!(ok(&store, &["openapi"]).await, ok(&store, &["openapi", "--version", "3.0"]).await);
    let refused = run(&store, &["openapi", "--version", "2.0"]).await;
    assert!(!refused.success && refused.err.contains("3.2"), "{}", refused.err);
    let config = ok(&store, &["config"]).await;
    assert_eq!(config, streamgate::config::documentation());
    store.remove().await;
}

#[tokio::test]
async fn added_user_can_log_in_with_the_printed_password() {
    let store = Store::new().await;
    Process::serve(&store).await.stop().await;
    let shown = ok(&store, &["user", "add", "ada", "--role", "operator"]).await;
    let made_up = password(shown.trim_end(), "ada");
    for (arguments, part) in [
        (["user", "add", "ada", "--role", "viewer"], "another user has this name"),
        (["user", "add", "Ada!", "--role", "viewer"], "a user name is"),
        (["user", "add", "bob", "--role", "king"], "possible values: viewer, agent, operator"),
    ] {
        let refused = run(&store, &arguments).await;
        assert!(!refused.success && refused.err.contains(part), "{}", refused.err);
        assert_eq!(refused.out, "");
    }
    let process = Process::serve(&store).await;
    let ada = process.log_in("ada", &made_up).await;
    assert_eq!(ada.me().await["role"], "operator");
    process.log_in("admin", ADMIN).await;
    process.stop().await;
    store.remove().await;
}

#[tokio::test]
async fn first_start_after_user_add_still_creates_an_administrator() {
    let store = Store::new().await;
    ok(&store, &["migrate"]).await;
    ok(&store, &["user", "add", "ada", "--role", "viewer"]).await;
    let process = Process::serve(&store).await;
    process.log_in("admin", ADMIN).await;
    process.stop().await;
    store.remove().await;
}

#[tokio::test]
async fn schema_migrates_up_down_and_up_again() {
    let store = Store::new().await;
    // Without a schema, a start that may not migrate fails.
    let bare = async || {
        let mut serve = streamgate(&store, ["serve", "--listen", "127.0.0.1:0"]);
        said(serve.env("STREAMGATE_DATABASE__MIGRATE", "false")).await
    };
    let refused = bare().await;
    assert!(!refused.success && refused.err.contains("streamgate migrate"), "{}", refused.err);
    for _ in 0..2 {
        assert_eq!(ok(&store, &["migrate"]).await, "");
        assert_eq!(ok(&store, &["migrate"]).await, "", "a second migration changes nothing");
        let shown = ok(&store, &["user", "add", "ada", "--role", "admin"]).await;
        let mut serve = streamgate(&store, ["serve"]);
        serve.env("STREAMGATE_DATABASE__MIGRATE", "false");
        let process = Process::start(&mut serve).await;
        process.log_in("ada", &password(shown.trim_end(), "ada")).await;
        process.stop().await;
        assert_eq!(ok(&store, &["migrate", "--down", "100"]).await, "");
        assert!(!bare().await.success, "all tables are gone");
    }
    store.remove().await;
}
