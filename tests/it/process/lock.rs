//! Two processes on one database.

use std::fs;

use crate::support::{
    Store,
    process::{ADMIN, Process, run, said, streamgate},
};

/// Another start on the same directory.
const AGAIN: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

#[tokio::test]
async fn second_process_on_one_sqlite_database_does_not_start() {
    let store = Store::new().await;
    if store.url().is_some() {
        return store.remove().await;
    }
    let data = store.directory.path().join("data");
    let file = data.join("streamgate.db");
    let link = store.directory.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    let process = Process::serve(&store).await;
    let first = format!("(process {})", process.child.id().expect("a running process"));
    let refused = run(&store, &AGAIN).await;
    assert!(!refused.success && refused.out.is_empty(), "{}", refused.out);
    for part in ["data_dir: another streamgate", &first, &data.display().to_string()] {
        assert!(refused.err.contains(part), "no {part:?} in: {}", refused.err);
    }

    // The same database by other paths.
    for name in [file, link] {
        let mut serve = streamgate(&store, AGAIN);
        serve.env("STREAMGATE_DATABASE__URL", format!("sqlite:{}", name.display()));
        serve.env("STREAMGATE_DATA_DIR", store.directory.path().join("other"));
        let refused = said(&mut serve).await;
        assert!(!refused.success);
        for part in ["database.url: another streamgate", &first, &name.display().to_string()] {
            assert!(refused.err.contains(part), "no {part:?} in: {}", refused.err);
        }
    }

    // The other commands work while the service runs.
    for arguments in [vec!["migrate"], vec!["user", "add", "ada", "--role", "viewer"]] {
        let done = run(&store, &arguments).await;
        assert!(done.success, "{arguments:?}: {}", done.err);
    }
    process.log_in("admin", ADMIN).await;
    process.stop().await;
    store.remove().await;
}

#[tokio::test]
async fn lock_ends_with_its_process_even_after_a_kill() {
    let store = Store::new().await;
    let mut process = Process::serve(&store).await;
    process.child.kill().await.expect("a SIGKILL");
    let lock = store.directory.path().join("data/streamgate.db.lock");
    if store.url().is_none() {
        let id = fs::read_to_string(&lock).expect("a lock file");
        id.trim().parse::<u32>().expect("the id of the process");
        // This text is longer than the text that replaces it.
        fs::write(&lock, "something else altogether\n").expect("a file");
    }
    let process = Process::serve(&store).await;
    if store.url().is_none() {
        let id = process.child.id().expect("a running process");
        assert_eq!(fs::read_to_string(&lock).expect("a lock file"), format!("{id}\n"));
    }
    process.stop().await;
    Process::serve(&store).await.stop().await;
    store.remove().await;
}

#[tokio::test]
async fn symbolic_link_in_place_of_the_lock_is_not_followed() {
    let store = Store::new().await;
    if store.url().is_some() {
        return store.remove().await;
    }
    Process::serve(&store).await.stop().await;
    let lock = store.directory.path().join("data/streamgate.db.lock");
    let target = store.directory.path().join("precious");
    fs::write(&target, "kept").expect("a file");
    fs::remove_file(&lock).expect("the lock file");
    std::os::unix::fs::symlink(&target, &lock).expect("a link");
    let refused = run(&store, &AGAIN).await;
    assert!(!refused.success && refused.err.contains("cannot lock"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&target).expect("a file"), "kept");
    store.remove().await;
}

#[tokio::test]
async fn several_processes_share_one_postgresql_database() {
    let store = Store::new().await;
    if store.url().is_none() {
        return store.remove().await;
    }
    let (one, other) = (Process::serve(&store).await, Process::serve(&store).await);
    for process in [&one, &other] {
        process.log_in("admin", ADMIN).await;
    }
    one.stop().await;
    other.stop().await;
    store.remove().await;
}
