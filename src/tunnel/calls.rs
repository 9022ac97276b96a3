//! The requests in flight of one tunnel: which message of the MCP server belongs to which caller.
//!
//! Many callers share one MCP server, and each chooses its own ids. So every id that passes is replaced: the
//! ids of requests in both directions, progress tokens, and the ids of subscriptions.
//!
//! Some messages have none of these: lines of the server's log, and requests of the server. Such a message goes to a
//! caller only if it cannot be for another one. Otherwise it goes to no caller, because it could contain the data of
//! another user.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use serde_json::Value;
use uuid::Uuid;

use super::{
    caller::Caller,
    error::CallError,
    in_flight::{Entry, State},
    message::{self, Members},
    metrics::Metrics,
    queue::{NotQueued, Receiver, queue},
    reply::{Reply, Routed},
};
use crate::json;

/// Bytes of messages that may wait for a caller that does not take them.
const QUEUE_BYTES: usize = 1 << 20;

/// The path of a subscription's id in a notification (MCP 2026-07-28, subscriptions).
const SUBSCRIPTION: [&str; 3] = ["params", "_meta", "io.modelcontextprotocol/subscriptionId"];
/// The path of a progress token in a request.
const REQUEST_TOKEN: [&str; 3] = ["params", "_meta", "progressToken"];
/// The path of a progress token in a notification.
const PROGRESS_TOKEN: [&str; 2] = ["params", "progressToken"];
/// The method of a subscription (MCP 2026-07-28).
pub const SUBSCRIBE: &str = "subscriptions/listen";

/// A user that is not the owner can have this part of the requests in flight: a quarter.
const SHARE_OF_ONE_USER: usize = 4;

/// The path of the id in `notifications/cancelled`.
const CANCELLED_ID: [&str; 2] = ["params", "requestId"];

/// The requests in flight of one tunnel.
pub(super) struct Calls {
    state: Mutex<State>,
    limit: usize,
    owner: Uuid,
    metrics: Arc<Metrics>,
}

/// The receiving side of a request in flight.
pub(super) struct Replies {
    pub(super) key: String,
    pub(super) receiver: Receiver<Result<Reply, CallError>>,
}

impl Calls {
    pub(super) fn new(limit: usize, owner: Uuid, metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), limit, owner, metrics }
    }

    /// Registers a request, and replaces its id and its progress token by the next number.
    pub(super) fn open(&self, caller: Caller, request: &mut Members) -> Result<Replies, CallError> {
        let mut state = self.state.lock();
        let is_subscription = message::method(request) == Some(SUBSCRIBE);
        // Subscriptions stay, so they have a limit of their own. The gateway itself must reach the server in any case.
        let others = state.calls.len() - state.subscriptions;
        let used = if is_subscription { state.subscriptions } else { others };
        let refused = if state.is_closed {
            Some(CallError::Disconnected)
        } else if used >= self.limit && !caller.id.is_nil() {
            Some(CallError::TooManyInFlight(self.limit))
        } else if caller.user != self.owner {
            // So that no user whom the owner has let in can lock the others out.
            let share = self.limit.div_ceil(SHARE_OF_ONE_USER);
            let of_user = state.calls.values().filter(|entry| entry.caller.user == caller.user);
            (of_user.count() >= share).then_some(CallError::TooManyInFlight(share))
        } else {
            None
        };
        if let Some(error) = refused {
            self.metrics.refused(&error);
            return Err(error);
        }
        state.last += 1;
        let number = state.last;
        let id = Value::from(number);
        let key = json::text(&id);
        let progress_token = message::member_mut(request, &REQUEST_TOKEN);
        let progress_token = progress_token.map(|token| std::mem::replace(token, id.clone()));
        let request_id = request.insert("id".to_owned(), id).unwrap_or_default();
        let (sender, receiver) = queue(QUEUE_BYTES);
        state.users.insert(caller.user);
        let entry = Entry {
            caller,
            request_id,
            progress_token,
            replies: sender,
            opened: Instant::now(),
            is_subscription,
            number,
        };
        state.subscriptions += usize::from(is_subscription);
        state.calls.insert(key.clone(), entry);
        self.metrics.opened();
        Ok(Replies { key, receiver })
    }

    /// Ends a request. Returns the messages for the MCP server: responses to its own requests that the caller has not
    /// answered. `None` if the request has ended before.
    pub(super) fn end(&self, key: &str, error: Option<&CallError>) -> Option<Vec<Members>> {
        self.state.lock().end(key, error, &self.metrics)
    }

    /// The keys of the requests of a caller with this id.
    pub(super) fn find(&self, caller: Uuid, request_id: &Value) -> Option<String> {
        let state = self.state.lock();
        let wanted = json::text(request_id);
        let is_wanted =
            |entry: &Entry| entry.caller.id == caller && json::text(&entry.request_id) == wanted;
        state.calls.iter().find(|(_, entry)| is_wanted(entry)).map(|(key, _)| key.clone())
    }

    /// Changes the progress token that the caller of a request gets.
    pub(super) fn set_progress_token(&self, key: &str, token: Option<Value>) {
        if let Some(entry) = self.state.lock().calls.get_mut(key) {
            entry.progress_token = token;
        }
    }

    /// Ends a request with an error for its caller.
    pub(super) fn fail(&self, key: &str, error: CallError) -> Option<Vec<Members>> {
        let mut state = self.state.lock();
        let replies = state.calls.get(key)?.replies.clone();
        let messages = state.end(key, Some(&error), &self.metrics);
        let _ = replies.send_anyway(Err(error));
        messages
    }

    /// Takes a caller's response to a request of the server. Returns the response with the server's id. `None` if no
    /// request of the server with this id waits for this caller.
    pub(super) fn answer(&self, caller: Uuid, mut response: Members) -> Option<Members> {
        let mut state = self.state.lock();
        let key = message::id_key(&response)?;
        if state.server_requests.get(&key)?.caller != caller {
            return None;
        }
        let request = state.server_requests.remove(&key)?;
        response.insert("id".to_owned(), request.id);
        Some(response)
    }

    /// Ends every request, and refuses new ones.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let keys: Vec<String> = state.calls.keys().cloned().collect();
        for key in keys {
            let replies = state.calls.get(&key).map(|entry| entry.replies.clone());
            state.end(&key, Some(&CallError::Disconnected), &self.metrics);
            // The receiver may be gone already.
            let _ = replies.map(|replies| replies.send_anyway(Err(CallError::Disconnected)));
        }
    }

    /// Gives a message of the MCP server to its caller.
    pub(super) fn route(&self, mut message: Members) -> Routed {
        let mut state = self.state.lock();
        let Some(method) = message::method(&message).map(str::to_owned) else {
            return self.route_answer(&mut state, message);
        };
        if message.contains_key("id") {
            return state.route_request(&method, message);
        }
        match method.as_str() {
            "notifications/progress" => {
                let key = message::member(&message, &PROGRESS_TOKEN).map(json::text);
                let call = key.and_then(|key| state.calls.get(&key).map(|entry| (key, entry)));
                let Some((key, entry)) = call else { return Routed::Done(Vec::new()) };
                let (Some(place), Some(token)) = (
                    message::member_mut(&mut message, &PROGRESS_TOKEN),
                    entry.progress_token.clone(),
                ) else {
                    return Routed::Done(Vec::new());
                };
                *place = token;
                self.deliver(&mut state, &key, Reply::Notification(message))
            }
            "notifications/cancelled" => {
                let id = message::member(&message, &CANCELLED_ID).map(json::text);
                let found = state
                    .server_requests
                    .iter()
                    .find(|(_, request)| id.as_deref() == Some(json::text(&request.id).as_str()));
                let Some((seen, call)) =
                    found.map(|(seen, request)| (seen.clone(), request.call.clone()))
                else {
                    return Routed::Done(Vec::new());
                };
                state.server_requests.remove(&seen);
                if let Some(place) = message::member_mut(&mut message, &CANCELLED_ID) {
                    *place = serde_json::from_str(&seen).unwrap_or_default();
                }
                self.deliver(&mut state, &call, Reply::Notification(message))
            }
            _ => {
                if let Some(place) = message::member_mut(&mut message, &SUBSCRIPTION) {
                    // Some servers send the id of a request as a string, although it was a number.
                    let text = place.as_str().unwrap_or_default().to_owned();
                    let key = json::text(place);
                    let key = if state.calls.contains_key(&key) { key } else { text };
                    let Some(entry) = state.calls.get(&key) else {
                        return Routed::Done(Vec::new());
                    };
                    *place = match &entry.request_id {
                        number if place.is_string() && !number.is_string() => {
                            json::text(number).into()
                        }
                        id => id.clone(),
                    };
                    return self.deliver(&mut state, &key, Reply::Notification(message));
                }
                match state.only_caller(&method) {
                    Some(key) => self.deliver(&mut state, &key, Reply::Notification(message)),
                    None => Routed::Unasked(message),
                }
            }
        }
    }

    fn route_answer(&self, state: &mut State, mut message: Members) -> Routed {
        let Some(key) = message::id_key(&message) else { return Routed::Done(Vec::new()) };
        let Some(entry) = state.calls.get(&key) else { return Routed::Done(Vec::new()) };
        message.insert("id".to_owned(), entry.request_id.clone());
        // The id of a subscription is also in its result.
        let path = ["result", SUBSCRIPTION[1], SUBSCRIPTION[2]];
        let request_id = entry.request_id.clone();
        if let Some(place) = message::member_mut(&mut message, &path) {
            *place = request_id;
        }
        // An answer is delivered whatever is waiting: it is the last message.
        let sent = entry.replies.send_anyway(Ok(Reply::Answer(message)));
        let error = sent.is_err().then_some(CallError::Cancelled);
        Routed::Done(state.end(&key, error.as_ref(), &self.metrics).unwrap_or_default())
    }

    /// Queues a message for a caller. A caller that takes nothing loses its request.
    fn deliver(&self, state: &mut State, key: &str, reply: Reply) -> Routed {
        let Some(entry) = state.calls.get(key) else { return Routed::Done(Vec::new()) };
        let (Reply::Notification(message) | Reply::Request(message) | Reply::Answer(message)) =
            &reply;
        let bytes = message::text(message).len();
        if entry.replies.send(Ok(reply), bytes) != Err(NotQueued::Full) {
            return Routed::Done(Vec::new());
        }
        let _ = entry.replies.send_anyway(Err(CallError::CallerTooSlow));
        let error = CallError::CallerTooSlow;
        let messages = state.end(key, Some(&error), &self.metrics).unwrap_or_default();
        // At once, because the caller may never take the error.
        let cancelled = message::cancelled(key, &error.to_string());
        Routed::Done(messages.into_iter().chain([cancelled]).collect())
    }
}
