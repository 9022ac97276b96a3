//! Stream tokens that are used at two gateways on one database.

use std::sync::Arc;

use streamgate::bus::InProcessBus;

use crate::support::{
    App,
    auth::invalid_token,
    cluster::{DeadBus, pair},
    mutation::expect_numbers,
    stream_token::{row, used_and_expired},
    topology::operator_with_topology,
};

use super::{
    resume::{cursor_of_snapshot, last},
    single_use::mint_single_use,
};

/// Opens a stream at one gateway and resumes it at the other. Both gateways have one data directory.
async fn stream_moves(one: App, two: App) {
    let (operator, topology) = operator_with_topology(&one).await;
    let url = operator.stream_url(topology).await;
    let mut first = one.anyone().stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut first).await;
    let late = used_and_expired(&one, &url).await;
    operator.mutate(topology, 1).await.ok();
    let mut second = two.anyone().stream(&late, &last(&cursor)).await;
    expect_numbers(&mut second, [1]).await;
    expect_numbers(&mut first, [1]).await;
    assert_eq!(first.expect("stream.closed").await.data["reason"], "replaced");
    first.expect_end().await;
    // The new stream stays open, and so does its right to resume.
    operator.mutate(topology, 2).await.ok();
    expect_numbers(&mut second, [2]).await;
    assert!(row(&two, &late).await.is_some());
    drop((first, second));
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn stream_resumed_at_another_gateway_is_replaced_at_once() {
    // The heartbeat is too slow to do this.
    let (one, two) = pair(Arc::new(InProcessBus::default()), 60).await;
    stream_moves(one, two).await;
}

#[tokio::test]
async fn stream_resumed_at_another_gateway_is_replaced_without_a_bus() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 1).await;
    stream_moves(one, two).await;
}

#[tokio::test]
async fn single_use_token_opens_one_stream_at_all_gateways() {
    let (one, two) = pair(Arc::new(DeadBus::default()), 60).await;
    let (operator, topology) = operator_with_topology(&one).await;
    for _ in 0..4 {
        let url = mint_single_use(&operator, topology).await + "&max_events=1";
        let (here, there) = (one.anyone(), two.anyone());
        let opens = [here.get(&url), there.get(&url), here.get(&url), there.get(&url)];
        let answers = futures_util::future::join_all(opens).await;
        let opened = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(opened, 1, "{answers:?}");
        for answer in answers.into_iter().filter(|answer| answer.status != 200) {
            let detail = invalid_token(answer);
            assert_eq!(detail, "the token was for a single use, and is used up");
        }
    }
    two.finish().await;
    one.finish().await;
}
