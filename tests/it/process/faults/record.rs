//! Records requests and their responses, and compares them with the database.

#![expect(clippy::print_stderr, reason = "a failure needs the counts of its run")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Caller, PASSWORD};

/// The meaning of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    Refused,
}

/// Checks that a client may get this response while the database has a fault.
#[track_caller]
pub fn outcome(answer: &Answer) -> Outcome {
    if answer.status.is_success() {
        return Outcome::Acknowledged;
    }
    assert!(matches!(answer.status.as_u16(), 503 | 507), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let seconds = answer.headers["retry-after"].to_str().expect("ASCII");
    assert!(seconds.parse::<u64>().expect("seconds") > 0);
    Outcome::Refused
}

/// The record of one prompt.
#[derive(Debug, Default)]
pub struct Prompt {
    pub path: String,
    /// Numbers of events, in the order in which they were published.
    pub acknowledged: Vec<u64>,
    pub refused: BTreeSet<u64>,
    pub delivered: BTreeSet<u64>,
}

/// The record of all tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    /// The created tasks, with their types.
    pub created: BTreeMap<Uuid, String>,
    pub claimed: BTreeSet<Uuid>,
    /// The tasks with an acknowledged report, with the number in the output.
    pub reported: BTreeMap<Uuid, u64>,
    pub refused: usize,
}

/// A user that the administrator revoked or disabled.
#[derive(Debug)]
pub struct User {
    pub id: Uuid,
    pub name: String,
    pub token: Option<String>,
    /// True if the user was disabled. False if the login sessions were revoked.
    pub is_disabled: bool,
    pub outcome: Outcome,
}

/// All requests and their responses.
#[derive(Debug, Default)]
pub struct Record {
    pub prompts: Vec<Prompt>,
    pub tasks: Tasks,
    pub users: Vec<User>,
}

impl Record {
    /// Checks that writes were acknowledged and refused. Without a refused write, the run proves
    /// nothing.
    pub fn assert_faults_were_met(&self) {
        let acknowledged: usize = self.prompts.iter().map(|one| one.acknowledged.len()).sum();
        let refused: usize = self.prompts.iter().map(|one| one.refused.len()).sum();
        let delivered: usize = self.prompts.iter().map(|one| one.delivered.len()).sum();
        let (claimed, reported) = (self.tasks.claimed.len(), self.tasks.reported.len());
        eprintln!(
            "events: {acknowledged} acknowledged, {refused} refused, {delivered} delivered; tasks: \
             {} created, {claimed} claimed, {reported} reported, {} refused; users: {}",
            self.tasks.created.len(),
            self.tasks.refused,
            self.users.len()
        );
        assert!(acknowledged > 0 && refused > 0 && delivered > 0, "no events");
        assert!(claimed > 0 && reported > 0, "no tasks");
        assert!(!self.users.is_empty(), "no users");
    }

    /// Checks everything against the gateway.
    pub async fn check(&self, admin: &Caller) {
        for prompt in &self.prompts {
            check_prompt(admin, prompt).await;
        }
        self.check_tasks(admin).await;
        for user in &self.users {
            check_user(admin, user).await;
        }
    }

    pub async fn check_tasks(&self, admin: &Caller) {
        for (id, task_type) in &self.tasks.created {
            let task = admin.get(&format!("/v1/tasks/{id}")).await.ok();
            let expected = if self.tasks.reported.contains_key(id) {
                "completed"
            } else if self.tasks.claimed.contains(id) {
                "running"
            } else {
                // No claim was acknowledged, so the task is not claimed.
                "pending"
            };
            assert_eq!(task["status"], expected, "{task_type} {task}");
            if let Some(number) = self.tasks.reported.get(id) {
                assert_eq!(task["output"], json!({ "number": number }));
            }
        }
    }
}

async fn check_prompt(admin: &Caller, prompt: &Prompt) {
    let logged = numbers(admin, &prompt.path).await;
    let set: BTreeSet<u64> = logged.iter().copied().collect();
    assert_eq!(set.len(), logged.len(), "an event is in the log twice");
    let kept: Vec<u64> = logged.into_iter().filter(|one| !prompt.refused.contains(one)).collect();
    assert_eq!(kept, prompt.acknowledged, "the log has the acknowledged events in order");
    let refused: Vec<_> = set.intersection(&prompt.refused).collect();
    assert!(refused.is_empty(), "refused, but in the log: {refused:?}");
    let made_up: Vec<_> = prompt.delivered.difference(&set).collect();
    assert!(made_up.is_empty(), "delivered, but not in the log: {made_up:?}");
}

/// The numbers of the messages in a prompt's log.
async fn numbers(admin: &Caller, path: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.get(&format!("{path}/events?limit=200{after}")).await.ok();
        let events = page["events"].as_array().expect("events");
        let messages = events.iter().filter(|event| event["kind"] == "message");
        numbers.extend(messages.map(|event| number(&event["data"])));
        if page["has_more"] == false {
            return numbers;
        }
        after = format!("&after={}", page["next"].as_str().expect("a cursor"));
    }
}

pub fn number(data: &Value) -> u64 {
    data["number"].as_u64().expect("a number")
}

async fn check_user(admin: &Caller, user: &User) {
    let is_done = user.outcome == Outcome::Acknowledged;
    let seen = admin.get(&format!("/v1/users/{}", user.id)).await.ok();
    assert_eq!(seen["disabled"], user.is_disabled && is_done, "{user:?}");
    if let Some(token) = &user.token {
        let caller = Caller::at(admin.address, Some(token.clone()));
        let status = caller.get("/v1/auth/me").await.status.as_u16();
        assert_eq!(status, if is_done { 401 } else { 200 }, "{user:?}");
    }
    if user.is_disabled {
        let login = json!({ "username": user.name, "password": PASSWORD });
        let status = admin.post("/v1/auth/login", login).await.status.as_u16();
        assert_eq!(status, if is_done { 401 } else { 200 }, "{user:?}");
    }
}
