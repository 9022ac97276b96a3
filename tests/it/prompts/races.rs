//! Prompts under load. Agents publish as fast as they can, lose their leases and are cancelled.
//! Every subscriber sees the events of the log.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use futures_util::future::{join, join_all};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, yield_now};

use crate::support::{
    App, Caller, SseReader,
    prompt::{
        CreatedPrompt, claim, create, event, events, lines as ndjson, message, owner_and_agent,
        publish, watch,
    },
    soon,
};

/// The events of one subscriber, also those of the snapshot: cursor, kind and data of each.
type Told = Vec<(Value, Value, Value)>;

fn told(events: &[Value]) -> Told {
    let parts = |event: &Value| (event["id"].clone(), event["kind"].clone(), event["data"].clone());
    events.iter().map(parts).collect()
}

/// Reads to the end of the stream.
async fn read_all(mut reader: SseReader) -> Told {
    let snapshot = reader.expect("snapshot").await.data;
    assert_eq!(snapshot["earlier"], false);
    let mut all = told(snapshot["events"].as_array().expect("events"));
    loop {
        let block = soon("event", reader.next()).await.expect("the end is announced");
        if block.event == "stream.closed" {
            assert_eq!(block.data["reason"], "completed", "{}", block.text);
            reader.expect_end().await;
            return all;
        }
        all.push((json!(block.id), json!(block.event), block.data));
    }
}

/// Opens a stream, and reads it in a separate task.
async fn subscribe(owner: &Caller, created: &CreatedPrompt) -> JoinHandle<Told> {
    tokio::spawn(read_all(watch(owner, &created.path, "").await))
}

async fn cancel(owner: &Caller, created: &CreatedPrompt) {
    owner.call(Method::POST, &format!("{}/cancel", created.path), None).await.ok();
}

/// Publishes events as NDJSON.
async fn publish_lines(agent: &Caller, path: &str, claimed: &Value, lines: &[Value]) -> Value {
    let request = agent.request(Method::POST, &format!("{path}/events"));
    let request = request.header("Content-Type", "application/x-ndjson");
    let request = request.header("Lease-Token", claimed["lease_token"].as_str().expect("a token"));
    Caller::answer(request.body(ndjson(lines))).await.ok()
}

/// The numbers of the messages.
fn numbers(told: &Told) -> Vec<u64> {
    told.iter().filter_map(|(_, _, data)| data["number"].as_u64()).collect()
}

#[tokio::test]
async fn prompt_events_reach_all_subscribers_complete_and_in_order() {
    let app = App::with(|config| config.limits.streams_per_user = 100).await;
    let (owner, agent) = owner_and_agent(&app).await;
    for (total, batch) in [(4_000, 40), (1_000, 1)] {
        let created = create(&owner).await;
        let claimed = claim(&agent).await;
        let mut subscribers = Vec::new();
        let all: Vec<Value> = (0..total).map(message).collect();
        for (at, lines) in all.chunks(batch).enumerate() {
            // Some subscribers come at the start, some later.
            if at < 3 || at == 10 || at == 20 {
                subscribers.push(subscribe(&owner, &created).await);
            }
            publish_lines(&agent, &created.path, &claimed, lines).await;
        }
        publish(&agent, &created.path, &claimed, event("complete")).await.ok();
        let page = told(&events(&owner, &created.path).await);
        assert_eq!(numbers(&page), (0..total).collect::<Vec<_>>());
        for subscriber in subscribers {
            assert!(
                soon("end", subscriber).await.expect("no panic") == page,
                "the events of a subscriber differ from the log"
            );
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn concurrent_publishers_write_nothing_after_a_cancellation() {
    let app = App::with(|config| config.limits.streams_per_user = 100).await;
    let (owner, agent) = owner_and_agent(&app).await;
    for round in 0..12 {
        let created = create(&owner).await;
        let claimed = if round % 2 == 0 { claim(&agent).await } else { Value::Null };
        let subscribers = [subscribe(&owner, &created).await, subscribe(&owner, &created).await];
        // Each publisher publishes until it is refused. From then on, everything is refused.
        let publishers = join_all((0..6_u64).map(|publisher| {
            let (agent, claimed, path) = (&agent, &claimed, &created.path);
            async move {
                let mut acknowledged = Vec::new();
                for number in (publisher * 1_000).. {
                    let answer = publish(agent, path, claimed, message(number)).await;
                    if answer.status == 409 {
                        break;
                    }
                    answer.ok();
                    acknowledged.push(number);
                }
                publish(agent, path, claimed, event("complete")).await.problem(409);
                acknowledged
            }
        }));
        let interrupt = async {
            // Cancels when the first events are in the log.
            while events(&owner, &created.path).await.len() < 10 {}
            cancel(&owner, &created).await;
        };
        let (acknowledged, ()) = soon("end", join(publishers, interrupt)).await;
        let page = told(&events(&owner, &created.path).await);
        assert_eq!(page.last().expect("an end").1, "cancelled");
        assert_eq!(page.iter().filter(|(_, kind, _)| kind == "cancelled").count(), 1);
        // The log has the acknowledged events of each publisher in order, and no others.
        let in_log = numbers(&page);
        for (publisher, acknowledged) in (0..).zip(&acknowledged) {
            let own = in_log.iter().filter(|number| *number / 1_000 == publisher).copied();
            assert_eq!(own.collect::<Vec<u64>>(), *acknowledged);
        }
        for subscriber in subscribers {
            assert_eq!(soon("end", subscriber).await.expect("no panic"), page);
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn agent_cannot_publish_on_a_prompt_that_it_released() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (mut taken_over, mut kept) = (0, 0);
    for round in 0..40 {
        let created = create(&owner).await;
        let old = claim(&agent).await;
        let path = &created.path;
        let said = |claimed: &Value, count: u64| {
            let (agent, claimed) = (agent.clone(), claimed.clone());
            async move {
                let lease = &claimed["lease_token"];
                let body = json!({ "kind": "message", "data": { "lease": lease } });
                let answers = (0..count).map(|_| publish(&agent, path, &claimed, body.clone()));
                let answers = join_all(answers).await;
                answers.iter().filter(|answer| answer.status == 201).count()
            }
        };
        // The old agent publishes a little before or after it releases the prompt.
        let later = async |is_later: bool| {
            for _ in 0..if is_later { round * 4 } else { 0 } {
                yield_now().await;
            }
        };
        let by_old = async {
            later(round % 2 == 0).await;
            said(&old, 1 + round % 4).await
        };
        let give_back = async {
            later(round % 2 == 1).await;
            let lease = json!({ "lease_token": old["lease_token"] });
            let back = agent.post(&format!("{path}/release"), lease).await;
            if back.status == 409 {
                return None;
            }
            back.ok();
            let new = claim(&agent).await;
            let said = said(&new, 4).await;
            Some((new, said))
        };
        let (by_old, new) = join(by_old, give_back).await;
        let page = events(&owner, path).await;
        let by = |claimed: &Value| {
            page.iter().filter(|event| event["data"]["lease"] == claimed["lease_token"]).count()
        };
        assert_eq!(by(&old), by_old, "acknowledged, but not in the log");
        if let Some((new, by_new)) = new {
            assert_eq!((by(&new), by_new, by_old), (4, 4, 0), "{page:?}");
            taken_over += 1;
        } else {
            assert!(by_old > 0, "the release was refused although the prompt has no event");
            kept += 1;
        }
        cancel(&owner, &created).await;
    }
    assert!(taken_over > 0 && kept > 0, "the steps never raced: {taken_over} {kept}");
    app.finish().await;
}

/// A step of a client.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(usize),
    Claim,
    Release,
    Cancel,
    Complete,
    Subscribe,
}

/// The steps of three clients at the same time.
fn lanes() -> impl Strategy<Value = [Vec<Step>; 3]> {
    let agent = prop_oneof![6 => (1..6_usize).prop_map(Step::Publish), 1 => Just(Step::Complete)];
    let rest = prop_oneof![
        6 => Just(Step::Claim),
        4 => Just(Step::Release),
        4 => (1..3_usize).prop_map(Step::Publish),
        1 => Just(Step::Cancel),
    ];
    let lane = |step: BoxedStrategy<Step>| prop::collection::vec(step, 1..8);
    (lane(agent.boxed()), lane(rest.boxed()), lane(Just(Step::Subscribe).boxed()))
        .prop_map(|(agent, rest, subscribers)| [agent, rest, subscribers])
}

#[tokio::test]
async fn snapshot_and_stream_equal_the_log_under_concurrent_steps() {
    let app = App::with(|config| config.limits.streams_per_user = 100).await;
    let (owner, agent) = owner_and_agent(&app).await;
    let mut runner = TestRunner::default();
    for _ in 0..40 {
        let lanes = lanes().new_tree(&mut runner).expect("lanes").current();
        let created = create(&owner).await;
        let subscribers = Mutex::new(Vec::new());
        let acknowledged = Mutex::new(BTreeSet::new());
        let claimed = Mutex::new(Value::Null);
        let lock = || claimed.lock().unwrap_or_else(PoisonError::into_inner);
        join_all(lanes.iter().enumerate().map(|(lane, steps)| {
            let (owner, agent, created) = (&owner, &agent, &created);
            let (subscribers, acknowledged) = (&subscribers, &acknowledged);
            async move {
                for (at, step) in steps.iter().enumerate() {
                    let lease = lock().clone();
                    match *step {
                        Step::Publish(count) => {
                            let first = (lane * 100 + at) as u64 * 10;
                            let numbers: Vec<u64> = (first..).take(count).collect();
                            let batch: Vec<Value> = numbers.iter().copied().map(message).collect();
                            let answer = publish(agent, &created.path, &lease, json!(batch)).await;
                            if answer.status != 409 {
                                answer.ok();
                                acknowledged.lock().expect("a set").extend(numbers);
                            }
                        }
                        Step::Complete => {
                            publish(agent, &created.path, &lease, event("complete")).await;
                        }
                        Step::Claim => {
                            let answer = agent.post("/v1/prompts/claim", json!({})).await;
                            if answer.status == 200 {
                                *lock() = answer.body[0].clone();
                            }
                        }
                        Step::Release => {
                            let lease = json!({ "lease_token": lease["lease_token"] });
                            let path = format!("{}/release", created.path);
                            if agent.post(&path, lease).await.status == 200 {
                                *lock() = Value::Null;
                            }
                        }
                        Step::Cancel => {
                            let path = format!("{}/cancel", created.path);
                            owner.call(Method::POST, &path, None).await;
                        }
                        Step::Subscribe => {
                            let subscriber = subscribe(owner, created).await;
                            subscribers.lock().expect("a list").push(subscriber);
                        }
                    }
                }
            }
        }))
        .await;
        // Ends the prompt if it has not ended.
        owner.call(Method::POST, &format!("{}/cancel", created.path), None).await;
        let page = told(&events(&owner, &created.path).await);
        let there: BTreeSet<u64> = numbers(&page).into_iter().collect();
        assert_eq!(there, acknowledged.into_inner().expect("a set"), "{lanes:?}");
        for subscriber in subscribers.into_inner().expect("a list") {
            let told = soon("end", subscriber).await.expect("no panic");
            assert_eq!(told, page, "{lanes:?}");
        }
    }
    app.finish().await;
}
