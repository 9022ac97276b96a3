//! An expired stream token resumes its stream in the next process.

use crate::support::{
    Store,
    mutation::expect_numbers,
    process::{ADMIN, Process},
    stream_token::expired,
    topology::topology_with_status,
    until,
};

#[tokio::test]
async fn expired_stream_token_resumes_after_a_stop_and_a_kill() {
    let store = Store::new().await;
    let data_dir = store.directory.path().join("data");
    for signal in ["TERM", "KILL"] {
        let mut process = Process::serve(&store).await;
        let admin = process.log_in("admin", ADMIN).await;
        let topology = topology_with_status(&admin, "active").await;
        let url = admin.stream_url(topology).await;
        let late = expired(&data_dir, &url);
        let mut reader = process.anyone().stream(&url, "").await;
        let cursor = reader.expect("snapshot").await.id.expect("an id");
        if signal == "KILL" {
            // The row is written in the background. A resume shows that it is there.
            let probe = format!("{late}&last_event_id={cursor}&max_seconds=1");
            until("row", async || process.anyone().get(&probe).await.status == 200).await;
            process.child.kill().await.expect("a SIGKILL");
        } else {
            process.stop().await;
        }
        drop(reader);
        let process = Process::serve(&store).await;
        let admin = process.log_in("admin", ADMIN).await;
        admin.mutate(topology, 1).await.ok();
        let headers = format!("Last-Event-ID: {cursor}\r\n");
        let mut resumed = process.anyone().stream(&late, &headers).await;
        expect_numbers(&mut resumed, [1]).await;
        drop(resumed);
        process.stop().await;
    }
    store.remove().await;
}
