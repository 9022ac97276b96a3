//! A worker that reports artifacts chunk by chunk.

use serde_json::{Value, json};

use crate::support::{
    Answer, Caller,
    task::{claim, send},
};

/// A worker, its claim, and the number of its newest report.
pub struct ReportingWorker<'a> {
    pub agent: &'a Caller,
    pub claimed: Value,
    pub seq: u64,
}

impl<'a> ReportingWorker<'a> {
    pub async fn new(agent: &'a Caller, skill: &str) -> Self {
        Self { agent, claimed: claim(agent, skill).await, seq: 0 }
    }

    /// Reports a chunk. Counts it if it is accepted.
    pub async fn send(&mut self, artifact: Value) -> Answer {
        let body = json!({ "seq": self.seq + 1, "artifact": artifact });
        let answer = send(self.agent, &self.claimed, "report", body).await;
        self.seq += u64::from(answer.status == 200);
        answer
    }
}

pub fn chunk(id: &str, data: impl Into<Value>, append: bool) -> Value {
    json!({ "artifact_id": id, "data": data.into(), "append": append })
}
