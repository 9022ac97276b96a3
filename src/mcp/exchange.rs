//! A request of an MCP client, from its first message to its answer, in the era of the client.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    error::RpcError,
    requester::filter,
    translate::{input_required, required_inputs, result_to_legacy, result_to_modern, with_inputs},
};
use crate::{
    family::tunnel::ToolCall,
    tunnel::{
        Call, CallError, Caller, Connection, Parked, ParkedCall, Permissions, Reply,
        message::{self, Members},
        session::{LogLevel, Session},
    },
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
    /// The key at the server, the id of the question, and its answer.
    answers: VecDeque<(String, String, oneshot::Receiver<Members>)>,
    collected: Members,
    state: Option<Value>,
}

/// A request of a client.
pub(super) struct Request {
    /// Its sender, for the tunnel.
    pub(super) caller: Caller,
    /// The id that the client has chosen.
    pub(super) id: Value,
    pub(super) method: String,
    /// The tool, the prompt or the resource that it is for. Absent for other methods.
    pub(super) target: Option<Value>,
    /// What the user may do.
    pub(super) permissions: Permissions,
    /// The call for the audit log. Absent if it calls no tool.
    pub(super) tool_call: Option<ToolCall>,
}

/// A request that goes on.
pub struct Exchange {
    call: Option<Call>,
    connection: Arc<Connection>,
    request: Request,
    level: Option<LogLevel>,
    eras: Eras,
    waiting: VecDeque<Members>,
    asked: Option<Asked>,
    /// Number of times that the server has required answers.
    rounds: usize,
    /// Cancelled by a client of the legacy era, also while it is asked.
    cancelled: CancellationToken,
}

/// Maximum number of rounds of one request, and of questions in a round.
const ROUNDS: usize = 32;
const QUESTIONS: usize = 16;

impl Exchange {
    /// Begins with a request that was sent.
    pub(super) fn new(
        call: Call,
        connection: Arc<Connection>,
        mut request: Request,
        level: Option<LogLevel>,
        eras: Eras,
    ) -> Self {
        if let Some(tool_call) = &mut request.tool_call {
            tool_call.sent();
        }
        let cancelled = match &eras {
            Eras::LegacyClient { session, .. } => session.begin_request(&request.id),
            _ => CancellationToken::new(),
        };
        Self {
            call: Some(call),
            connection,
            request,
            level,
            eras,
            waiting: VecDeque::new(),
            asked: None,
            rounds: 0,
            cancelled,
        }
    }

    /// The next message. A request that fails ends with a JSON-RPC error.
    pub async fn next(&mut self) -> Item {
        let item = self.next_item().await;
        if let Item::Last(answer) = &item
            && let Some(call) = self.request.tool_call.take()
        {
            call.answered(answer);
        }
        item
    }

    async fn next_item(&mut self) -> Item {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Item::Message(message);
            }
            if self.asked.is_some() {
                if let Err(error) = self.go_on().await {
                    return self.failed(error);
                }
                continue;
            }
            let Some(call) = &mut self.call else {
                return self.failed(CallError::Cancelled);
            };
            match call.next().await {
                Ok(Reply::Notification(message)) => {
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
                Err(error) => return self.failed(error),
            }
        }
    }

    fn set_idle(&mut self, idle: Duration) {
        if let Some(call) = &mut self.call
            && call.has_idle_limit()
        {
            call.set_idle(Some(idle));
        }
    }

    fn failed(&mut self, error: CallError) -> Item {
        if error == CallError::Cancelled {
            // A call that is dropped was cancelled.
            self.request.tool_call = None;
        }
        Item::Last(RpcError::from(error).into_response(self.request.id.clone()))
    }

    /// Passes a request of the server on.
    fn ask(&mut self, message: Members) -> Item {
        let Eras::ModernClient { parked } = &self.eras else { return Item::Message(message) };
        let Some(call) = self.call.take() else {
            return self.failed(CallError::Cancelled);
        };
        let state = parked.insert(ParkedCall {
            call,
            caller: self.request.caller,
            tunnel: self.connection.tunnel,
            method: self.request.method.clone(),
            target: self.request.target.clone(),
            question: message.get("id").cloned().unwrap_or_default(),
        });
        Item::Last(input_required(self.request.id.clone(), &message, &state))
    }

    /// Translates the answer of the server. `None` if the client must be asked something first.
    fn answered(&mut self, mut answer: Members) -> Option<Members> {
        answer.insert("id".to_owned(), self.request.id.clone());
        filter(&self.request.permissions, &self.request.method, &mut answer);
        match &self.eras {
            Eras::Same => {}
            Eras::ModernClient { .. } => result_to_modern(&self.request.method, &mut answer),
            Eras::LegacyClient { session, .. } => {
                if let Some(inputs) = required_inputs(&answer) {
                    self.rounds += 1;
                    if inputs.is_empty() || inputs.len() > QUESTIONS || self.rounds > ROUNDS {
                        let reason = "the MCP server requires no answer, or too many";
                        let error = RpcError::new(RpcError::INTERNAL, reason);
                        return Some(error.into_response(self.request.id.clone()));
                    }
                    let mut answers = VecDeque::new();
                    for (key, method, params) in inputs {
                        let id = format!("gateway-{}", Uuid::new_v4().simple());
                        answers.push_back((key, id.clone(), session.ask(id.clone())));
                        self.waiting.push_back(message::request(id.into(), &method, Some(params)));
                    }
                    let state = message::member(&answer, &["result", "requestState"]).cloned();
                    self.asked = Some(Asked { answers, collected: Members::new(), state });
                    return None;
                }
                result_to_legacy(&mut answer);
            }
        }
        Some(answer)
    }

    /// Waits for the answers of a legacy client, and sends the request again with them.
    async fn go_on(&mut self) -> Result<(), CallError> {
        let Some(Asked { answers, collected, state }) = &mut self.asked else { return Ok(()) };
        while let Some((key, _, answer)) = answers.front_mut() {
            let answer = tokio::select! {
                answer = timeout(ANSWER_TIME, answer) => answer,
                () = self.cancelled.cancelled() => return Err(CallError::Cancelled),
            };
            let answer = answer.map_err(|_| CallError::TimedOut(ANSWER_TIME))?;
            let mut answer = answer.map_err(|_| CallError::Cancelled)?;
            // A client that cannot answer has declined.
            let declined = || serde_json::json!({ "action": "cancel" });
            collected.insert(key.clone(), answer.remove("result").unwrap_or_else(declined));
            answers.pop_front();
        }
        let (state, collected) = (state.take(), std::mem::take(collected));
        self.asked = None;
        let Eras::LegacyClient { request, .. } = &self.eras else { return Ok(()) };
        let request = with_inputs(request, state, collected);
        let idle = Some(self.connection.settings.request_time);
        self.call = Some(self.connection.call(self.request.caller, request, idle)?);
        Ok(())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Eras::LegacyClient { session, .. } = &self.eras {
            session.end_request(&self.request.id);
            for (_, id, _) in self.asked.iter().flat_map(|asked| &asked.answers) {
                session.forget(id);
            }
        }
    }
}
