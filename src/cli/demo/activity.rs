//! The activity of the demo. An operator and a worker change a topology, a worker executes tasks, and agents
//! answer a prompt and serve an MCP session.

use std::time::Duration;

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::caller::Caller;

/// Pause between two actions, long enough to read the events.
const ACTION_PAUSE: Duration = Duration::from_secs(2);

/// The text of the agent's answer. It is repeated until the answer is long enough.
const TEXT: &str = "A stream sends the events of a resource in order. A client that reconnects gets \
                    the events that it missed, and gets no event twice.";

/// Number of words in an answer. It takes about 40 minutes.
const WORDS: usize = 6_000;

/// Number of chapters in a book. It takes 30 minutes.
const CHAPTERS: usize = 900;

/// The users of the demo, and the paths of the resources that they use.
pub(super) struct Demo {
    operator: Caller,
    agent: Caller,
    pub(super) viewer: Caller,
    topology: String,
    pub(super) task: String,
    prompts: String,
    mcp_session: String,
    notifications: String,
    /// Every topic of the demo.
    pub(super) topics: Vec<String>,
}

impl Demo {
    pub(super) async fn create(
        operator: Caller,
        agent: Caller,
        viewer: Caller,
    ) -> anyhow::Result<Self> {
        let new = json!({ "name": "demo", "config": { "lans": 2 } });
        let topology = operator.create("/v1/topologies", new).await?;
        for step in ["deploying", "active"] {
            status(&operator, &topology, step).await?;
        }
        let task = viewer.create("/v1/tasks", json!({ "task_type": "book" })).await?;
        let session = viewer.create("/v1/sessions", json!({ "name": "demo" })).await?;
        let prompts = format!("{session}/prompts");
        let prompt = viewer.create(&prompts, json!({ "prompt": "What is a stream?" })).await?;
        let mcp_session = viewer.create("/v1/mcp-sessions", json!({ "name": "demo" })).await?;
        let me = viewer.call(Method::GET, "/v1/auth/me", None).await?;
        let me = me["id"].as_str().context("no id")?;
        let topic = |family: &str, path: &str| {
            format!("{family}.{}", path.rsplit('/').next().unwrap_or_default())
        };
        let topics = vec![
            topic("topology", &topology),
            topic("task", &task),
            topic("prompt", &prompt),
            topic("mcp_session", &mcp_session),
            topic("notification", me),
        ];
        let notifications = format!("/v1/users/{me}/notifications");
        Ok(Self {
            operator,
            agent,
            viewer,
            topology,
            task,
            prompts,
            mcp_session,
            notifications,
            topics,
        })
    }

    /// Runs until the demo ends.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        tokio::try_join!(
            self.run_operator(),
            self.mutate(),
            self.write_books(),
            self.write_reports(),
            self.answer(),
            self.run_mcp_client()
        )?;
        Ok(())
    }

    /// The operator requests mutations. Sometimes the topology becomes degraded and then active again.
    async fn run_operator(&self) -> anyhow::Result<()> {
        let mutations = format!("{}/mutations", self.topology);
        for node in 1_u64.. {
            let op = if node % 4 == 0 { "update_node" } else { "add_node" };
            let mutation = json!({ "op": op, "payload": { "node": node } });
            self.operator.post(&mutations, mutation).await?;
            sleep(ACTION_PAUSE).await;
            if node % 8 == 0 {
                status(&self.operator, &self.topology, "degraded").await?;
                sleep(ACTION_PAUSE).await;
                status(&self.operator, &self.topology, "active").await?;
            }
        }
        Ok(())
    }

    /// The worker of the topology claims mutations and reports them. Every seventh mutation fails.
    async fn mutate(&self) -> anyhow::Result<()> {
        let mutations = format!("{}/mutations", self.topology);
        let mut done = 0_u64;
        loop {
            let claim = json!({ "lease_seconds": 30, "wait_seconds": 30 });
            let claimed = self.agent.post(&format!("{mutations}/claim"), claim).await?;
            sleep(ACTION_PAUSE / 4).await;
            for claimed in claimed.as_array().into_iter().flatten() {
                done += 1;
                let (state, reason) = match done % 7 {
                    0 => ("failed", Some("the node does not respond")),
                    _ => ("applied", None),
                };
                let report = json!({
                    "lease_token": claimed["lease_token"],
                    "state": state,
                    "reason": reason,
                });
                let id = claimed["mutation"]["id"].as_str().context("no id")?;
                self.agent.post(&format!("{mutations}/{id}/report"), report).await?;
            }
        }
    }

    /// The worker of tasks writes books. Each book is an artifact with one chunk for each chapter.
    async fn write_books(&self) -> anyhow::Result<()> {
        loop {
            self.work("book", CHAPTERS, ACTION_PAUSE).await?;
            self.viewer.post("/v1/tasks", json!({ "task_type": "book" })).await?;
        }
    }

    /// The worker of tasks writes short reports. The viewer gets a notification of each report.
    async fn write_reports(&self) -> anyhow::Result<()> {
        for number in 1_u64.. {
            let new = json!({ "task_type": "report", "input": { "number": number } });
            self.viewer.post("/v1/tasks", new).await?;
            let task = self.work("report", 3, ACTION_PAUSE).await?;
            let told = json!({
                "kind": "report.ready",
                "message": format!("Report {number} is ready."),
                "success": true,
                "data": { "task_id": task["id"] },
            });
            self.agent.post(&self.notifications, told).await?;
        }
        Ok(())
    }

    /// Claims a task of this type and reports its artifact in chunks. Returns the completed task.
    async fn work(&self, skill: &str, chunks: usize, pace: Duration) -> anyhow::Result<Value> {
        let claim = json!({ "skills": [skill], "wait_seconds": 30, "lease_seconds": 60 });
        let claimed = loop {
            let claimed = self.agent.post("/v1/tasks/claim", claim.clone()).await?;
            if let Some(claimed) = claimed.get(0) {
                break claimed.clone();
            }
        };
        let id = claimed["task"]["id"].as_str().context("no id")?;
        let path = format!("/v1/tasks/{id}/report");
        for (number, word) in (1..=chunks).zip(TEXT.split(' ').cycle()) {
            sleep(pace).await;
            let artifact = json!({
                "artifact_id": skill,
                "name": format!("{skill}.md"),
                "data": format!("Chapter {number}: {word}\n"),
                "append": number > 1,
                "last_chunk": number == chunks,
            });
            let token = &claimed["lease_token"];
            let report = json!({ "lease_token": token, "seq": number, "artifact": artifact });
            self.agent.post(&path, report).await?;
        }
        let report = json!({
            "lease_token": claimed["lease_token"],
            "seq": chunks + 1,
            "status": "completed",
            "output": { "chapters": chunks },
        });
        self.agent.post(&path, report).await
    }

    /// The agent answers a prompt, word by word. Then the viewer creates another prompt.
    async fn answer(&self) -> anyhow::Result<()> {
        loop {
            let claim = json!({ "wait_seconds": 30, "lease_seconds": 60 });
            let claimed = self.agent.post("/v1/prompts/claim", claim).await?;
            let Some(claimed) = claimed.get(0) else { continue };
            let id = claimed["prompt"]["id"].as_str().context("no id")?;
            let token = claimed["lease_token"].as_str().context("no lease token")?;
            let path = format!("{}/{id}/events", self.prompts);
            let publish = async |event: Value| self.agent.post_under(token, &path, event).await;
            for word in TEXT.split(' ').cycle().take(WORDS) {
                sleep(ACTION_PAUSE / 5).await;
                publish(json!({ "kind": "message", "data": { "text": format!("{word} ") } }))
                    .await?;
            }
            let usage = json!({ "kind": "usage", "data": { "output_tokens": WORDS } });
            publish(json!([usage, { "kind": "complete", "data": {} }])).await?;
            self.viewer
                .post(&self.prompts, json!({ "prompt": "Please explain it again." }))
                .await?;
        }
    }

    /// The viewer's MCP client sends requests, and the agent sends the responses.
    async fn run_mcp_client(&self) -> anyhow::Result<()> {
        let messages = format!("{}/messages", self.mcp_session);
        for id in 1_u64.. {
            let call = json!({ "name": "add", "arguments": { "a": id, "b": 1 } });
            let request =
                json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call });
            self.viewer.post(&messages, request).await?;
            sleep(ACTION_PAUSE).await;
            let content = json!([{ "type": "text", "text": (id + 1).to_string() }]);
            let result = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": content } });
            self.agent.post(&messages, result).await?;
            sleep(ACTION_PAUSE * 2).await;
        }
        Ok(())
    }
}

/// Changes the status of a topology.
async fn status(operator: &Caller, topology: &str, status: &str) -> anyhow::Result<()> {
    let change = json!({ "status": status, "reason": "part of the demo" });
    operator.post(&format!("{topology}/status"), change).await.map(drop)
}
