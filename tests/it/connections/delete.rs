//! `DELETE /v1/connections/{id}`.

use crate::support::{
    connection::{delete, id, list},
    events::publish,
    topology::app_with_topology,
};

#[tokio::test]
async fn ending_one_of_many_connections_leaves_the_others_open() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let mut readers = Vec::new();
    for _ in 0..12 {
        let mut reader = operator.watch(topology, "").await;
        reader.expect("snapshot").await;
        readers.push(reader);
    }
    // These streams are in direct mode, where only the reactor knows each cursor.
    publish(&app, topology, 0..3, 10).await;
    for reader in &mut readers {
        for _ in 0..3 {
            reader.expect("note").await;
        }
    }
    assert_eq!(delete(&operator, id(&readers[5])).await.status, 204);
    let mut ended = readers.swap_remove(5);
    assert_eq!(ended.expect("stream.closed").await.data["reason"], "disconnected");
    ended.expect_end().await;
    publish(&app, topology, 0..1, 10).await;
    for reader in &mut readers {
        reader.expect("note").await;
    }
    assert_eq!(list(&operator).await.len(), 11);
    drop((readers, ended));
    app.finish().await;
}

#[tokio::test]
async fn connection_that_does_not_read_lags_and_can_be_ended() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let mut slow = operator.watch(topology, "").await;
    slow.expect("snapshot").await;
    // A stream that is a response body.
    let path = format!("/v1/streams?topic=topology.{topology}");
    let mut body = operator.stream(&path, "").await;
    body.expect("snapshot").await;
    // 12 MB, which is more than the buffers of the loopback interface hold.
    publish(&app, topology, 0..200, 60_000).await;
    for one in list(&operator).await {
        let number = |name: &str| one[name].as_u64().expect("a number");
        assert!(number("lag") > 0, "{one}");
        assert_eq!(number("delivered") + number("lag"), 1 + 200, "{one}");
    }
    for reader in [&slow, &body] {
        assert_eq!(delete(&operator, id(reader)).await.status, 204);
    }
    // The slots are freed although the clients read nothing.
    app.slots_freed().await;
    assert!(list(&operator).await.is_empty());
    drop((slow, body));
    app.finish().await;
}
