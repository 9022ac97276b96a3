//! The commands that end by themselves.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use streamgate::oauth::Keyring;

use crate::support::{
    Store,
    process::{ADMIN, Process, Said, password, run, said, streamgate},
    until,
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
                "oauth-key",
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
        (
            vec!["user", "--help"],
            vec!["add", "Create a user", "list", "password", "disable", "enable"],
        ),
        (
            vec!["user", "add", "--help"],
            vec!["<NAME>", "--role <ROLE>", "viewer", "agent", "operator", "admin"],
        ),
        (vec!["oauth-key", "--help"], vec!["--data-dir <DIR>", "within a minute"]),
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
async fn oauth_key_command_creates_a_key_that_the_gateway_reads() {
    let store = Store::new().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let path = ok(&store, &["oauth-key"]).await;
        let path = std::path::PathBuf::from(path.trim_end());
        let file = std::fs::metadata(&path).expect("a key");
        assert_eq!((file.len(), file.permissions().mode() & 0o777), (32, 0o600));
        paths.push(path);
    }
    assert_ne!(std::fs::read(&paths[0]).expect("a key"), std::fs::read(&paths[1]).expect("a key"));
    let data_dir = paths[0].ancestors().nth(3).expect("a directory");
    Keyring::new(data_dir).read().expect("valid keys");
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

/// The lines of `user list`, without the time of creation and the id.
async fn listed(store: &Store) -> Vec<String> {
    let list = ok(store, &["user", "list"]).await;
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, role, state, created, id] = fields[..] else { panic!("{line}") };
        assert!(id.parse::<uuid::Uuid>().is_ok() && created.starts_with("20"), "{line}");
        format!("{name} {role} {state}")
    };
    list.lines().map(line).collect()
}

#[tokio::test]
async fn user_commands_change_the_users_of_a_running_gateway() {
    let store = Store::new().await;
    let mut serve = streamgate(&store, ["serve"]);
    serve.env("STREAMGATE_ADMIN_PASSWORD", ADMIN).env("STREAMGATE_STREAMS__HEARTBEAT_SECONDS", "1");
    let process = Process::start(&mut serve).await;
    let admin = process.log_in("admin", ADMIN).await;
    let made_up =
        password(ok(&store, &["user", "add", "ada", "--role", "agent"]).await.trim_end(), "ada");
    assert_eq!(listed(&store).await, ["admin admin enabled", "ada agent enabled"]);
    let status = async |name: &str, password: &str| {
        let login = json!({ "username": name, "password": password });
        process.anyone().post("/v1/auth/login", login).await.status.as_u16()
    };

    // A new password ends the login session of the old one.
    let shown = ok(&store, &["user", "password", "admin"]).await;
    let renewed = password(shown.trim_end(), "admin");
    assert_eq!((status("admin", ADMIN).await, status("admin", &renewed).await), (401, 200));
    until("end of the session", async || admin.get("/v1/auth/me").await.status == 401).await;

    assert_eq!(ok(&store, &["user", "disable", "ada"]).await, "");
    assert_eq!(listed(&store).await, ["admin admin enabled", "ada agent disabled"]);
    assert_eq!(status("ada", &made_up).await, 401);
    assert_eq!(ok(&store, &["user", "enable", "ada"]).await, "");
    assert_eq!(status("ada", &made_up).await, 200);
    for (arguments, part) in [
        (["user", "password", "nobody"], "user nobody: the user does not exist"),
        (["user", "disable", "nobody"], "user nobody: the user does not exist"),
        (["user", "enable", "nobody"], "user nobody: the user does not exist"),
        (["user", "disable", "admin"], "user admin: the last administrator cannot be"),
    ] {
        let refused = run(&store, &arguments).await;
        assert!(!refused.success && refused.err.contains(part), "{}", refused.err);
        assert_eq!(refused.out, "");
    }
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
