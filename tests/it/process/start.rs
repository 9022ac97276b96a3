//! The first start, later starts, and starts that must fail.

use std::fs;

use serde_json::json;

use crate::support::{
    Store,
    process::{ADMIN, Process, password, run, said, streamgate},
};

#[tokio::test]
async fn first_start_prints_the_administrators_password_once() {
    let store = Store::new().await;
    let first = Process::start(&mut streamgate(&store, ["serve"])).await;
    assert_eq!(first.said.len(), 1, "{:?}", first.said);
    let made_up = password(&first.said[0], "admin");
    let admin = first.log_in("admin", &made_up).await;
    assert_eq!(admin.me().await["role"], "admin");
    let log = first.stop().await;
    assert!(!log.contains(&made_up), "{log}");

    let second = Process::serve(&store).await;
    assert_eq!(second.said, [""; 0]);
    second.log_in("admin", &made_up).await;
    let given = json!({ "username": "admin", "password": ADMIN });
    second.anyone().post("/v1/auth/login", given).await.problem(401);
    second.stop().await;
    store.remove().await;
}

#[tokio::test]
async fn administrators_password_from_the_environment_is_not_printed() {
    let store = Store::new().await;
    let process = Process::serve(&store).await;
    assert_eq!(process.said, [""; 0]);
    let admin = process.log_in("admin", ADMIN).await;
    admin.get("/v1/users").await.ok();
    let log = process.stop().await;
    assert!(!log.contains(ADMIN), "{log}");
    store.remove().await;
}

#[tokio::test]
async fn data_directory_and_keys_are_readable_by_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::new().await;
    Process::serve(&store).await.stop().await;
    let mut keys = 0;
    let data = store.directory.path().join("data");
    let mode = fs::metadata(&data).expect("a data directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut open = vec![data];
    while let Some(directory) = open.pop() {
        for file in fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file"))
        {
            let (path, metadata) = (file.path(), file.metadata().expect("its metadata"));
            if metadata.is_dir() {
                open.push(path);
            } else if !file.file_name().to_string_lossy().starts_with("streamgate.db") {
                assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", path.display());
                keys += 1;
            }
        }
    }
    assert!(keys >= 2, "one key for access tokens, one for stream tokens: {keys}");
    store.remove().await;
}

#[tokio::test]
async fn unknown_key_or_invalid_value_stops_the_start() {
    let store = Store::new().await;
    let file = store.directory.path().join("streamgate.toml");
    fs::write(&file, "[limits]\nstream_per_user = 3\n").expect("a file");
    let with_file = run(&store, &["serve", "--config", "streamgate.toml"]).await;
    let variable = "STREAMGATE_LIMITS__STREAM_PER_USER";
    let unknown = said(streamgate(&store, ["serve"]).env(variable, "3")).await;
    let variable = "STREAMGATE_STREAMS__HEARTBEAT_SECONDS";
    let impossible = said(streamgate(&store, ["serve"]).env(variable, "0")).await;
    for (said, parts) in [
        (with_file, ["limits.stream_per_user", "streamgate.toml", "streams_per_user"]),
        (
            unknown,
            ["STREAMGATE_LIMITS__STREAM_PER_USER", "unknown environment variable", "streamgate: "],
        ),
        (impossible, ["streams.heartbeat_seconds", variable, "from 1 to 60"]),
    ] {
        assert!(!said.success);
        assert_eq!(said.out, "");
        for part in parts {
            assert!(said.err.contains(part), "no {part:?} in: {}", said.err);
        }
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
    let variable = "STREAMGATE_ADMIN_PASSWORD";
    let empty = said(streamgate(&store, ["serve"]).env(variable, "")).await;
    assert!(!empty.success && empty.err.contains(variable), "{}", empty.err);
    assert!(empty.err.contains("at least 8 characters"), "{}", empty.err);
    fs::remove_dir_all(store.directory.path().join("data")).expect("a data directory");
    let missing = run(&store, &["serve", "--config", "nowhere.toml"]).await;
    assert!(!missing.success && missing.err.contains("nowhere.toml"), "{}", missing.err);
    assert!(
        !store.directory.path().join("data").exists(),
        "refused before the directory was created"
    );
    store.remove().await;
}

#[tokio::test]
async fn error_names_the_port_that_is_in_use() {
    let store = Store::new().await;
    let process = Process::serve(&store).await;
    let address = process.address.to_string();
    let second = run(&store, &["serve", "--listen", &address]).await;
    assert!(!second.success);
    assert!(second.err.contains(&address), "{}", second.err);
    process.stop().await;
    store.remove().await;
}
