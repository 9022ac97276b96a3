//! A subscriber rebuilds a task with its artifacts from the task's stream.

use entity::user::Role;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    support::{
        App, Block, Caller, id_of,
        rebuilt::Rebuilt,
        task::{cancel, claim, create, expire, get, report, send, watch},
    },
    tasks::artifacts::sender::chunk,
};

/// Applies an event to a task.
pub fn apply(task: &mut Value, event: &Block) {
    if event.event == "task.status" {
        let before = std::mem::replace(task, event.data.clone());
        for kept in ["input", "artifacts"] {
            task[kept] = before[kept].clone();
        }
        return;
    }
    assert_eq!(event.event, "task.artifact");
    let chunk = &event.data;
    task["updated_at"] = chunk["at"].clone();
    let artifacts = task["artifacts"].as_array_mut().expect("artifacts");
    let place = artifacts.iter().position(|known| known["artifact_id"] == chunk["artifact_id"]);
    let place = place.unwrap_or(artifacts.len());
    if place == artifacts.len() {
        artifacts.push(Value::Null);
    }
    let artifact = &mut artifacts[place];
    if chunk["append"] == false {
        *artifact = json!({ "artifact_id": chunk["artifact_id"], "data": chunk["data"] });
    } else if let Some(text) = chunk["data"].as_str() {
        artifact["data"] = json!(format!("{}{text}", artifact["data"].as_str().expect("a text")));
    } else {
        let items = artifact["data"].as_array_mut().expect("an array");
        items.extend(chunk["data"].as_array().expect("an array").iter().cloned());
    }
    for newer in ["name", "last_chunk"] {
        if let Some(value) = chunk.get(newer) {
            artifact[newer] = value.clone();
        }
    }
}

/// A step of the worker, the owner or a subscriber. The gateway may refuse a step.
#[derive(Clone, Debug)]
enum Step {
    Claim,
    Beat,
    Note,
    Chunk {
        artifact: u8,
        text: bool,
        append: bool,
    },
    Again,
    Release,
    /// The lease expires.
    Lapse,
    Cancel,
    End(&'static str),
    /// Another subscriber opens the stream.
    Watch,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let chunk = (0..3_u8, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        8 => Just(Step::Claim),
        1 => Just(Step::Beat),
        2 => Just(Step::Note),
        12 => chunk.prop_map(|(artifact, text, append)| Step::Chunk { artifact, text, append }),
        2 => Just(Step::Again),
        1 => Just(Step::Release),
        1 => Just(Step::Lapse),
        1 => Just(Step::Cancel),
        1 => prop_oneof![Just("completed"), Just("failed"), Just("cancelled")].prop_map(Step::End),
        2 => Just(Step::Watch),
    ];
    prop::collection::vec((0..3_usize, step), 20..60)
}

/// A task, its claim and its subscribers.
struct Played {
    skill: String,
    id: Uuid,
    claimed: Value,
    seq: u64,
    last: Value,
    watchers: Vec<Rebuilt>,
}

impl Played {
    async fn new(owner: &Caller) -> Self {
        let skill = Uuid::new_v4().to_string();
        let id = create(owner, &skill).await;
        let claimed = json!({ "task": { "id": id }, "lease_token": Uuid::new_v4() });
        let last = json!({ "seq": 1, "status": "running" });
        Self { skill, id, claimed, seq: 0, last, watchers: Vec::new() }
    }

    async fn report(&mut self, agent: &Caller, mut body: Value) {
        body["seq"] = json!(self.seq + 1);
        let answer = send(agent, &self.claimed, "report", body.clone()).await;
        if answer.status == 200 {
            self.seq += 1;
            self.last = body;
        }
    }

    async fn play(&mut self, step: &Step, app: &App, [owner, agent]: [&Caller; 2]) {
        match step {
            Step::Claim => {
                let claimed = claim(agent, &self.skill).await;
                if !claimed.is_null() {
                    (self.claimed, self.seq) = (claimed, 0);
                }
            }
            Step::Beat => drop(send(agent, &self.claimed, "heartbeat", json!({})).await),
            Step::Note => self.report(agent, json!({ "status": "running" })).await,
            Step::Chunk { artifact, text, append } => {
                let data = if *text { json!(format!("{} ", self.seq)) } else { json!([self.seq]) };
                let mut artifact = chunk(&artifact.to_string(), data, *append);
                if self.seq.is_multiple_of(3) {
                    artifact["name"] = json!(format!("name {}", self.seq));
                }
                self.report(agent, json!({ "artifact": artifact })).await;
            }
            Step::Again => drop(send(agent, &self.claimed, "report", self.last.clone()).await),
            Step::Release => drop(send(agent, &self.claimed, "release", json!({})).await),
            Step::Lapse => {
                if get(owner, self.id).await["status"] == "running" {
                    expire(app, owner, self.id).await;
                }
            }
            Step::Cancel => drop(cancel(owner, self.id).await),
            Step::End(status) => drop(report(agent, &self.claimed, self.seq + 1, status).await),
            Step::Watch => {
                self.watchers.push(Rebuilt::from(watch(owner, self.id, "").await, "/task").await);
            }
        }
    }
}

#[tokio::test]
async fn subscriber_rebuilds_the_task_from_its_stream() {
    let app = App::with(|config| config.limits.streams_per_user = 1_000).await;
    let owner = app.caller(Role::Viewer).await;
    let agent = app.caller(Role::Agent).await;
    let mut runner = TestRunner::default();
    let (mut events, mut artifacts) = (0, 0);
    for _ in 0..24 {
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let mut task = Played::new(&owner).await;
            task.play(&Step::Watch, &app, [&owner, &agent]).await;
            tasks.push(task);
        }
        for (task, step) in &steps {
            tasks[*task].play(step, &app, [&owner, &agent]).await;
        }
        for task in &mut tasks {
            let shown = get(&owner, task.id).await;
            assert_eq!(id_of(&shown), task.id);
            artifacts += shown["artifacts"].as_array().map_or(0, Vec::len);
            for watcher in &mut task.watchers {
                watcher.catch_up(&owner, &format!("/v1/tasks/{}/events", task.id), apply).await;
                assert_eq!(watcher.state, shown, "{steps:?}");
                events += watcher.events;
            }
        }
    }
    assert!(events > 100 && artifacts > 20, "{events} events, {artifacts} artifacts");
    app.finish().await;
}
