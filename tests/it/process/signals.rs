//! Signals that the program ignores.

use serde_json::json;

use crate::support::{
    Store, id_of,
    process::{ADMIN, Process},
};

#[tokio::test]
async fn signals_without_a_meaning_are_ignored() {
    let store = Store::new().await;
    let process = Process::serve(&store).await;
    let admin = process.log_in("admin", ADMIN).await;
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut reader = admin.watch(id, "").await;
    reader.expect("snapshot").await;
    for name in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ", "PIPE"] {
        process.signal(name).await;
    }
    process.logs("SIGUSR1 is ignored").await;
    process.logs("SIGUSR2 is ignored").await;
    admin.set_status(id, "deploying").await.ok();
    reader.expect("status").await;
    process.signal("TERM").await;
    reader.expect("stream.closed").await;
    drop(reader);
    process.ended().await;
    store.remove().await;
}
