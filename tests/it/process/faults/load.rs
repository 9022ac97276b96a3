//! The clients that use the gateway during the faults, and record every response.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    process::faults::record::{Outcome, Prompt, Record, Tasks, User, number, outcome},
    support::{Caller, PASSWORD, id_of, soon},
};

/// Number of prompts. Each has a publisher and a subscriber.
const PROMPTS: usize = 4;

/// Maximum number of bytes of an event, which are several pages of the database.
const EVENT_BYTES: usize = 20_000;

/// All clients.
pub struct Load {
    pub publishers: JoinSet<Prompt>,
    pub subscribers: Vec<(String, JoinHandle<BTreeSet<u64>>)>,
    pub workers: JoinHandle<Tasks>,
    pub administrator: JoinHandle<Vec<User>>,
}

/// Whether to continue.
fn goes_on(stop: &watch::Receiver<bool>) -> bool {
    !*stop.borrow()
}

impl Load {
    pub async fn start(admin: &Caller, stop: &watch::Sender<bool>, random: &mut StdRng) -> Self {
        let (mut publishers, mut subscribers) = (JoinSet::new(), Vec::new());
        let session = id_of(&admin.post("/v1/sessions", json!({})).await.ok());
        for _ in 0..PROMPTS {
            let path = format!("/v1/sessions/{session}/prompts");
            let prompt = id_of(&admin.post(&path, json!({ "prompt": "x" })).await.ok());
            let path = format!("{path}/{prompt}");
            let seed = random.random();
            let subscriber = subscribe(admin.clone(), path.clone(), stop.subscribe());
            subscribers.push((path.clone(), tokio::spawn(subscriber)));
            publishers.spawn(publish(admin.clone(), path, stop.subscribe(), seed));
        }
        Self {
            publishers,
            subscribers,
            workers: tokio::spawn(work(admin.clone(), stop.subscribe())),
            administrator: tokio::spawn(administer(admin.clone(), stop.subscribe())),
        }
    }

    /// Waits for all clients.
    pub async fn finish(self) -> Record {
        let mut prompts = soon("end of the publishers", self.publishers.join_all()).await;
        for (path, subscriber) in self.subscribers {
            let delivered = soon("end of a subscriber", subscriber).await.expect("no panic");
            let prompt = prompts.iter_mut().find(|prompt| prompt.path == path);
            prompt.expect("its prompt").delivered = delivered;
        }
        let tasks = soon("end of the workers", self.workers).await.expect("no panic");
        let users = soon("end of the administrator", self.administrator).await;
        Record { prompts, tasks, users: users.expect("no panic") }
    }
}

/// Publishes events one by one, or a few at a time.
async fn publish(admin: Caller, path: String, stop: watch::Receiver<bool>, seed: u64) -> Prompt {
    let mut random = StdRng::seed_from_u64(seed);
    let mut prompt = Prompt { path, ..Prompt::default() };
    let mut next = 1;
    while goes_on(&stop) {
        let count = if random.random_bool(0.2) { random.random_range(2..5) } else { 1 };
        let numbers: Vec<u64> = (next..next + count).collect();
        next += count;
        let events: Vec<Value> = numbers
            .iter()
            .map(|number| {
                let pad = "x".repeat(random.random_range(0..EVENT_BYTES));
                json!({ "kind": "message", "data": { "number": number, "pad": pad } })
            })
            .collect();
        let answer = admin.post(&format!("{}/events", prompt.path), json!(events)).await;
        match outcome(&answer) {
            Outcome::Acknowledged => prompt.acknowledged.extend(numbers),
            Outcome::Refused => prompt.refused.extend(numbers),
        }
    }
    prompt
}

/// Watches a prompt and reconnects as a browser does.
async fn subscribe(admin: Caller, path: String, mut stop: watch::Receiver<bool>) -> BTreeSet<u64> {
    let mut delivered = BTreeSet::new();
    let mut cursor = String::new();
    while goes_on(&stop) {
        let mut stream = admin.stream(&format!("{path}/stream?last_event_id={cursor}"), "").await;
        if stream.status() != 200 {
            assert_eq!(stream.status(), 503, "{}", stream.head);
            continue;
        }
        loop {
            let block = tokio::select! {
                block = stream.next() => block,
                _ = stop.wait_for(|stop| *stop) => return delivered,
            };
            let Some(block) = block else { break };
            if block.event == "message" {
                delivered.insert(number(&block.data));
            }
            if let Some(id) = block.id {
                cursor = id;
            }
        }
    }
    delivered
}

/// Creates, claims and reports tasks, one after the other. Each has its own type, so that each
/// claim gets a known task.
async fn work(admin: Caller, stop: watch::Receiver<bool>) -> Tasks {
    let mut tasks = Tasks::default();
    for number in 0.. {
        if !goes_on(&stop) {
            break;
        }
        let task_type = format!("t{number}");
        let new = json!({ "task_type": task_type, "input": { "number": number } });
        let created = admin.post("/v1/tasks", new).await;
        if outcome(&created) == Outcome::Refused {
            tasks.refused += 1;
            continue;
        }
        let id = id_of(&created.body);
        tasks.created.insert(id, task_type.clone());
        let claim = json!({ "skills": [task_type], "lease_seconds": 600 });
        let claimed = admin.post("/v1/tasks/claim", claim).await;
        if outcome(&claimed) == Outcome::Refused {
            tasks.refused += 1;
            continue;
        }
        let lease = claimed.body[0]["lease_token"].as_str().expect("a lease");
        tasks.claimed.insert(id);
        let report = json!({
            "lease_token": lease, "seq": 1, "status": "completed", "output": { "number": number },
        });
        let reported = admin.post(&format!("/v1/tasks/{id}/report"), report).await;
        match outcome(&reported) {
            Outcome::Acknowledged => drop(tasks.reported.insert(id, number)),
            Outcome::Refused => tasks.refused += 1,
        }
    }
    tasks
}

/// Creates users and revokes or disables them.
async fn administer(admin: Caller, stop: watch::Receiver<bool>) -> Vec<User> {
    let mut users = Vec::new();
    for number in 0.. {
        if !goes_on(&stop) {
            break;
        }
        let name = format!("user-{number}");
        let new = json!({ "username": name, "password": PASSWORD, "role": "viewer" });
        let created = admin.post("/v1/users", new).await;
        if outcome(&created) == Outcome::Refused {
            continue;
        }
        let id = id_of(&created.body);
        let login = json!({ "username": name, "password": PASSWORD });
        let tokens = admin.post("/v1/auth/login", login).await;
        let token = (outcome(&tokens) == Outcome::Acknowledged)
            .then(|| tokens.body["access_token"].as_str().expect("a token").to_owned());
        let is_disabled = number % 2 == 0;
        let answer = if is_disabled {
            let disable = json!({ "disabled": true });
            admin.call(Method::PATCH, &format!("/v1/users/{id}"), Some(disable)).await
        } else {
            admin.post(&format!("/v1/users/{id}/revoke"), json!({})).await
        };
        users.push(User { id, name, token, is_disabled, outcome: outcome(&answer) });
    }
    users
}
