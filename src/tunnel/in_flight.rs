//! What is in flight through one tunnel: requests of callers, and requests of the MCP server that wait for callers.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use serde_json::Value;
use uuid::Uuid;

use super::{
    caller::Caller,
    error::CallError,
    message::{self, Members},
    metrics::Metrics,
    queue::Sender,
    reply::{Reply, Routed},
};
use crate::json;

/// Maximum number of requests of the server that wait for the answers of callers, and of the bytes of their ids.
const SERVER_REQUESTS: usize = 256;
const ID_BYTES: usize = 256;

/// A request of a caller.
pub(super) struct Entry {
    pub(super) caller: Caller,
    /// The caller's id of the request.
    pub(super) request_id: Value,
    pub(super) progress_token: Option<Value>,
    pub(super) replies: Sender<Result<Reply, CallError>>,
    pub(super) opened: Instant,
    /// Whether the request is a subscription, which works on nothing.
    pub(super) is_subscription: bool,
    /// The order of the requests.
    pub(super) number: u64,
}

impl Entry {
    /// Whether a client waits for the answer of the server.
    pub(super) fn is_of_client(&self) -> bool {
        !self.caller.id.is_nil() && !self.is_subscription
    }
}

/// A request of the MCP server that waits for the answer of a caller.
pub(super) struct ServerRequest {
    /// The key of the call that it belongs to.
    pub(super) call: String,
    pub(super) caller: Uuid,
    /// The server's id.
    pub(super) id: Value,
}

/// Everything in flight.
pub(super) struct State {
    /// The last number. Starts with a random one, so that a late answer to a request of an earlier connection is not taken
    /// for one of this connection. Below 2^53, which every JSON library can read.
    pub(super) last: u64,
    /// Number of the subscriptions among the calls.
    pub(super) subscriptions: usize,
    pub(super) calls: HashMap<String, Entry>,
    /// By the id that the caller sees.
    pub(super) server_requests: HashMap<String, ServerRequest>,
    /// The users that have sent a request since the client connected.
    pub(super) users: HashSet<Uuid>,
    pub(super) is_closed: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            last: u64::from(rand::random::<u32>()) << 20,
            subscriptions: 0,
            calls: HashMap::new(),
            server_requests: HashMap::new(),
            users: HashSet::new(),
            is_closed: false,
        }
    }
}

impl State {
    /// Ends a request. Returns the messages for the MCP server: responses to its own requests that the caller has not
    /// answered. `None` if the request has ended before.
    pub(super) fn end(
        &mut self,
        key: &str,
        error: Option<&CallError>,
        metrics: &Metrics,
    ) -> Option<Vec<Members>> {
        let entry = self.calls.remove(key)?;
        self.subscriptions -= usize::from(entry.is_subscription);
        metrics.closed(error, entry.opened.elapsed());
        let open = self.server_requests.extract_if(|_, request| request.call == key);
        let gone = |(_, request): (String, ServerRequest)| {
            message::failure(request.id, message::INTERNAL_ERROR, "the MCP client has gone")
        };
        Some(open.map(gone).collect())
    }

    /// Gives a request of the server to the only caller that can answer it.
    pub(super) fn route_request(&mut self, method: &str, mut message: Members) -> Routed {
        let id = message.get("id").cloned().unwrap_or_default();
        if method == "ping" {
            let pong = message::success(id, Value::Object(Members::new()));
            return Routed::Done(vec![pong]);
        }
        let can_answer = |entry: &&Entry| entry.caller.capabilities.answers(method);
        let candidates = self.calls.values().filter(can_answer);
        let callers: HashSet<Uuid> = candidates.clone().map(|entry| entry.caller.id).collect();
        let oldest = self.calls.iter().filter(|(_, entry)| can_answer(entry));
        let oldest = oldest.min_by_key(|(_, entry)| entry.number);
        // It could also be about a request of another user, whose client cannot answer. Then nobody gets it.
        let is_of_others = |user: Uuid| {
            let mut others = self.calls.values().filter(|entry| entry.is_of_client());
            others.any(|entry| entry.caller.user != user)
        };
        let is_clear = |entry: &Entry| callers.len() == 1 && !is_of_others(entry.caller.user);
        let Some((key, entry)) = oldest.filter(|(_, entry)| is_clear(entry)) else {
            let reason = if callers.is_empty() {
                "no MCP client with a request in flight can answer this"
            } else {
                "several MCP clients have a request in flight, so it is not known which of them is asked"
            };
            let refusal = message::failure(id, message::METHOD_NOT_FOUND, reason);
            return Routed::Done(vec![refusal]);
        };
        let bytes = message::text(&message).len();
        self.last += 1;
        let seen = Value::from(format!("server-{}", self.last));
        message.insert("id".to_owned(), seen.clone());
        let is_large = json::text(&id).len() > ID_BYTES;
        if is_large
            || self.server_requests.len() >= SERVER_REQUESTS
            || entry.replies.send(Ok(Reply::Request(message)), bytes).is_err()
        {
            let reason = "too many requests of the server wait for MCP clients";
            let id = if is_large { Value::Null } else { id };
            return Routed::Done(vec![message::failure(id, message::INTERNAL_ERROR, reason)]);
        }
        let request = ServerRequest { call: key.clone(), caller: entry.caller.id, id };
        self.server_requests.insert(json::text(&seen), request);
        Routed::Done(Vec::new())
    }

    /// The oldest request of the only caller, for a message that names no request. `None` if several callers have
    /// requests in flight, or if another user has used the connection. Changes of lists are for everybody.
    pub(super) fn only_caller(&self, method: &str) -> Option<String> {
        if method.ends_with("/list_changed") || method == "notifications/resources/updated" {
            return None;
        }
        let of_callers = || self.calls.iter().filter(|(_, entry)| entry.is_of_client());
        let callers: HashSet<Uuid> = of_callers().map(|(_, entry)| entry.caller.id).collect();
        if callers.len() != 1 || self.users.len() != 1 {
            return None;
        }
        let oldest = of_callers().min_by_key(|(_, entry)| entry.number);
        oldest.map(|(key, _)| key.clone())
    }
}
