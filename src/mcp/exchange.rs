//! A request of an MCP client, from its first message to its answer, in the era of the client.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

use super::{
    error::RpcError,
    translate::{input_required, required_inputs, result_to_legacy, result_to_modern, with_inputs},
};
use crate::tunnel::{
    Call, CallError, Caller, Connection, Parked, ParkedCall, Reply,
    message::{self, Members},
    session::{LogLevel, Session},
};

/// Time that a person has to answer a question of the server.
const ANSWER_TIME: Duration = Duration::from_mins(10);

/// A message for the client.
#[derive(Debug)]
pub enum Item {
    /// A notification, or a request of the server.
    Message(Members),
    /// The answer. Nothing follows.
    Last(Members),
}

/// The eras of client and server.
pub enum Eras {
    /// Both are of the same era.
    Same,
    /// A client of the legacy era, in this session, and a server of the modern era. `request` is what the server gets.
    LegacyClient {
        /// The session.
        session: Arc<Session>,
        /// The request.
        request: Members,
    },
    /// A client of the modern era, and a server of the legacy era.
    ModernClient {
        /// The questions of the server that wait for the client.
        parked: Arc<Parked>,
    },
}

/// The questions to a legacy client that it has not answered yet.
struct Asked {
    answers: Vec<(String, oneshot::Receiver<Members>)>,
    state: Option<Value>,
}

/// A request that goes on.
pub struct Exchange {
    pub(super) call: Option<Call>,
    pub(super) connection: Arc<Connection>,
    pub(super) caller: Caller,
    pub(super) request_id: Value,
    pub(super) method: String,
    pub(super) level: Option<LogLevel>,
    pub(super) eras: Eras,
    pub(super) waiting: VecDeque<Members>,
    asked: Option<Asked>,
}

impl Exchange {
    /// Begins with a request that was sent.
    pub(super) fn new(
        call: Call,
        connection: Arc<Connection>,
        (caller, request_id, method): (Caller, Value, String),
        level: Option<LogLevel>,
        eras: Eras,
    ) -> Self {
        Self {
            call: Some(call),
            connection,
            caller,
            request_id,
            method,
            level,
            eras,
            waiting: VecDeque::new(),
            asked: None,
        }
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The next message. A request that fails ends with a JSON-RPC error.
    pub async fn next(&mut self) -> Item {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Item::Message(message);
            }
            if self.asked.is_some() {
                if let Err(error) = self.go_on().await {
                    return self.failed(error.into());
                }
                continue;
            }
            let Some(call) = &mut self.call else {
                return self.failed(CallError::Cancelled.into());
            };
            match call.next().await {
                Ok(Reply::Notification(message)) => {
                    if !self.is_asked() {
                        self.set_idle(self.connection.settings.request_time);
                    }
                    if self.level.unwrap_or_default().passes(&message) {
                        return Item::Message(message);
                    }
                }
                Ok(Reply::Request(message)) => {
                    self.set_idle(ANSWER_TIME);
                    return self.ask(message);
                }
                Ok(Reply::Answer(answer)) => {
                    if let Some(last) = self.answered(answer) {
                        return Item::Last(last);
                    }
                }
                Err(error) => return self.failed(error.into()),
            }
        }
    }

    fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    fn set_idle(&mut self, idle: Duration) {
        if let Some(call) = &mut self.call
            && call.has_idle_limit()
        {
            call.set_idle(Some(idle));
        }
    }

    fn failed(&self, error: RpcError) -> Item {
        Item::Last(error.into_response(self.request_id.clone()))
    }

    /// Passes a request of the server on.
    fn ask(&mut self, message: Members) -> Item {
        let Eras::ModernClient { parked } = &self.eras else { return Item::Message(message) };
        let Some(call) = self.call.take() else {
            return self.failed(CallError::Cancelled.into());
        };
        let state = parked.insert(ParkedCall {
            call,
            caller: self.caller,
            tunnel: self.connection.tunnel,
            method: self.method.clone(),
            question: message.get("id").cloned().unwrap_or_default(),
        });
        Item::Last(input_required(self.request_id.clone(), &message, &state))
    }

    /// Translates the answer of the server. `None` if the client must be asked something first.
    fn answered(&mut self, mut answer: Members) -> Option<Members> {
        answer.insert("id".to_owned(), self.request_id.clone());
        match &self.eras {
            Eras::Same => {}
            Eras::ModernClient { .. } => result_to_modern(&self.method, &mut answer),
            Eras::LegacyClient { session, .. } => {
                if let Some(inputs) = required_inputs(&answer) {
                    let mut answers = Vec::new();
                    for (key, method, params) in inputs {
                        let id = format!("gateway-{}", Uuid::new_v4().simple());
                        answers.push((key, session.ask(id.clone())));
                        self.waiting.push_back(message::request(id.into(), &method, Some(params)));
                    }
                    let state = message::member(&answer, &["result", "requestState"]).cloned();
                    self.asked = Some(Asked { answers, state });
                    return None;
                }
                result_to_legacy(&mut answer);
            }
        }
        Some(answer)
    }

    /// Waits for the answers of a legacy client, and sends the request again with them.
    async fn go_on(&mut self) -> Result<(), CallError> {
        let Some(Asked { answers, state }) = &mut self.asked else { return Ok(()) };
        let mut collected = Members::new();
        for (key, answer) in answers.iter_mut() {
            let answer = timeout(ANSWER_TIME, answer).await;
            let answer = answer.map_err(|_| CallError::TimedOut(ANSWER_TIME))?;
            let mut answer = answer.map_err(|_| CallError::Cancelled)?;
            // A client that cannot answer has declined.
            let declined = || serde_json::json!({ "action": "cancel" });
            collected.insert(key.clone(), answer.remove("result").unwrap_or_else(declined));
        }
        let state = state.take();
        self.asked = None;
        let Eras::LegacyClient { request, .. } = &self.eras else { return Ok(()) };
        let request = with_inputs(request, state, collected);
        let idle = Some(self.connection.settings.request_time);
        self.call = Some(self.connection.call(self.caller, request, None, idle)?);
        Ok(())
    }
}
