//! A claimed task, mutation and prompt, and clocks that move.

use std::time::Duration;

use entity::{Timestamp, user::Role};
use serde_json::{Value, json};
use streamgate::{clock::STABLE_AFTER, config::Config};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::support::{App, Caller, id_of, mutation, prompt, task, until};

pub const HOUR: i64 = 3_600;

/// A little longer than the time for which a clock must be stable.
pub const LONGER_THAN_STABLE: Duration = STABLE_AFTER.saturating_add(Duration::from_secs(1));

pub const CLAIMED: [&str; 3] = ["running", "applying", "processing"];

pub const UNCLAIMED: [&str; 3] = ["pending", "pending", "queued"];

/// A claimed resource of each family that has leases.
pub struct ClaimedWork {
    pub owner: Caller,
    pub operator: Caller,
    pub agent: Caller,
    pub task: Value,
    pub mutations: String,
    pub mutation: Value,
    pub prompt: String,
    pub prompt_claim: Value,
}

impl ClaimedWork {
    pub async fn claimed(app: &App, seconds: u64) -> Self {
        let (operator, agent, _, mutations) = mutation::topology_with_workers(app, "active").await;
        let owner = app.caller(Role::Viewer).await;
        let topology = mutations.split('/').nth(3).and_then(|id| id.parse().ok()).expect("an id");
        operator.mutate(topology, 1).await.ok();
        task::create(&owner, "work").await;
        let created = prompt::create(&owner).await;
        let lease = json!({ "lease_seconds": seconds });
        let work = json!({ "lease_seconds": seconds, "skills": ["work"] });
        let first =
            async |path: &str, body: &Value| agent.post(path, body.clone()).await.ok()[0].take();
        Self {
            task: first("/v1/tasks/claim", &work).await,
            mutation: first(&format!("{mutations}/claim"), &lease).await,
            prompt_claim: first("/v1/prompts/claim", &lease).await,
            prompt: created.path,
            owner,
            operator,
            agent,
            mutations,
        }
    }

    pub async fn states(&self) -> [Value; 3] {
        let task = task::get(&self.owner, id_of(&self.task["task"])).await["status"].take();
        let mutation = self.operator.get(&self.mutations).await.ok()["items"][0]["state"].take();
        [task, mutation, prompt::status(&self.owner, &self.prompt).await]
    }

    /// Renews the leases of the task and the prompt. Returns the times at which they expire.
    pub async fn heartbeats(&self) -> [OffsetDateTime; 2] {
        let lease = json!({ "lease_token": self.prompt_claim["lease_token"] });
        let path = format!("{}/heartbeat", self.prompt);
        let answers = [
            task::send(&self.agent, &self.task, "heartbeat", json!({})).await.ok(),
            self.agent.post(&path, lease).await.ok(),
        ];
        answers.map(|answer| time_of(&answer["lease_expires_at"]))
    }

    pub async fn reports_are_refused(&self) {
        task::report(&self.agent, &self.task, 1, "completed").await.problem(409);
        mutation::report(&self.agent, &self.mutations, &self.mutation, "applied")
            .await
            .problem(409);
        let end = prompt::event("complete");
        prompt::publish(&self.agent, &self.prompt, &self.prompt_claim, end).await.problem(409);
    }

    pub async fn reports_are_taken(&self) {
        task::report(&self.agent, &self.task, 1, "completed").await.ok();
        mutation::report(&self.agent, &self.mutations, &self.mutation, "applied").await.ok();
        let end = prompt::event("complete");
        prompt::publish(&self.agent, &self.prompt, &self.prompt_claim, end).await.ok();
    }
}

pub fn time_of(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().expect("a time"), &Rfc3339).expect("a time")
}

/// Checks that a time is this many seconds from now, within the duration of a test.
#[track_caller]
pub fn is_in(at: OffsetDateTime, seconds: i64) {
    let off = (at - Timestamp::now().datetime()).whole_seconds() - seconds;
    assert!(off.abs() < 15, "{off} s off");
}

/// Makes the gateway look at leases and sweep every second.
pub fn every_second(config: &mut Config) {
    config.streams.heartbeat_seconds = 1;
    config.retention.sweep_seconds = 1;
}

/// Waits until the gateway has looked at leases twice: each time until a lease of one second has
/// expired.
pub async fn look(app: &App, owner: &Caller, agent: &Caller) {
    for _ in 0..2 {
        let skill = Uuid::new_v4().to_string();
        let id = task::create(owner, &skill).await;
        let claim = json!({ "skills": [skill], "lease_seconds": 1 });
        agent.post("/v1/tasks/claim", claim).await.ok();
        until("end of a short lease", async || {
            app.look_for_expired_leases();
            task::get(owner, id).await["status"] == "pending"
        })
        .await;
    }
}
