//! Every acknowledged event is in the log after `kill -9`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use streamgate::event::Cursor;

use crate::support::{
    Caller, Store, id_of,
    process::{ADMIN, Process},
    until,
};

/// Number of publishers at the same time.
const CALLERS: u64 = 8;

/// The number of the mutation that ends the replay.
const MARK: u64 = 1_000_000;

#[tokio::test]
async fn acknowledged_events_survive_a_kill_and_replay_once_in_order() {
    let store = Store::new().await;
    let mut process = Process::serve(&store).await;
    let admin = process.log_in("admin", ADMIN).await;
    let new = json!({ "name": "lab" });
    let id = id_of(&admin.post("/v1/topologies", new).await.ok());
    for status in ["deploying", "active"] {
        admin.set_status(id, status).await.ok();
    }
    let mut reader = admin.watch(id, "").await;
    reader.expect("snapshot").await;
    admin.mutate(id, MARK - 1).await.ok();
    let seen = reader.expect("mutation.enqueued").await.id.expect("an id");

    let count = Arc::new(AtomicUsize::new(0));
    let publish = |caller: u64| {
        let (admin, count) = (admin.clone(), Arc::clone(&count));
        async move {
            let mut acknowledged = Vec::new();
            for number in caller * 1_000.. {
                let Some(answer) = attempt(&admin, id, number).await else { break };
                assert_eq!(answer, 202);
                acknowledged.push(number);
                count.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        }
    };
    let publishers: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(publish(caller))).collect();
    until("burst", async || count.load(Ordering::Relaxed) >= 80).await;
    process.child.kill().await.expect("a SIGKILL");
    let mut acknowledged = BTreeMap::new();
    for (caller, publisher) in (0..CALLERS).zip(publishers) {
        acknowledged.insert(caller, publisher.await.expect("no other response than 202"));
    }

    let process = Process::serve(&store).await;
    assert_eq!(process.said, [""; 0]);
    // The login session and its token have survived the kill, too.
    let admin = Caller::at(process.address, admin.token);
    admin.mutate(id, MARK).await.ok();
    let mut resumed = admin.watch(id, &format!("last_event_id={seen}")).await;
    let mut cursor: Cursor = seen.parse().expect("a cursor");
    let mut replayed: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    loop {
        let event = resumed.expect("mutation.enqueued").await;
        let next: Cursor = event.id.expect("an id").parse().expect("a cursor");
        assert_eq!(
            (next.epoch, next.seq),
            (cursor.epoch, cursor.seq + 1),
            "no gap and no duplicate"
        );
        cursor = next;
        let number = event.data["payload"]["number"].as_u64().expect("a number");
        if number == MARK {
            break;
        }
        replayed.entry(number / 1_000).or_default().push(number);
    }
    for (caller, acknowledged) in acknowledged {
        let replayed = replayed.remove(&caller).unwrap_or_default();
        let whole: Vec<u64> = (caller * 1_000..).take(replayed.len()).collect();
        assert_eq!(replayed, whole, "in order, each once");
        // The last event may be committed although its response was lost.
        let extra = replayed.len() - acknowledged.len().min(replayed.len());
        assert!(replayed.starts_with(&acknowledged) && extra <= 1, "{acknowledged:?}");
    }
    assert!(replayed.is_empty(), "{replayed:?}");
    drop(resumed);
    process.stop().await;
    store.remove().await;
}

/// The status of the response. `None` if no response arrives. `Caller` panics in that case, so it
/// runs in a separate task.
async fn attempt(caller: &Caller, id: uuid::Uuid, number: u64) -> Option<u16> {
    let mutate = caller.clone();
    let answer = tokio::spawn(async move { mutate.mutate(id, number).await.status.as_u16() });
    answer.await.ok()
}
