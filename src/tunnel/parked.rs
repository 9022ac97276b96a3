//! Requests of modern clients that wait until the client answers a question of a legacy server.
//!
//! A server of the legacy era asks while it works on a request. A client of the modern era gets the question as the
//! result `input_required`, and sends its request again with the answer. In between, the request is parked here. Its
//! `requestState` is random, and is accepted from the same user only (MCP 2026-07-28, Multi Round-Trip Requests).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use uuid::Uuid;

use super::{call::Call, caller::Caller};

/// Time after which a parked request is cancelled.
const PARKED_TIME: Duration = Duration::from_mins(10);

/// Maximum number of parked requests of one user. The oldest one is cancelled for a new one.
const MOST: usize = 16;

/// A parked request.
pub struct ParkedCall {
    /// The request.
    pub call: Call,
    /// Its sender.
    pub caller: Caller,
    /// Id of the tunnel.
    pub tunnel: Uuid,
    /// Its method.
    pub method: String,
    /// The tool, the prompt or the resource that it is for. Absent for other methods.
    pub target: Option<Value>,
    /// Id of the server's question.
    pub question: Value,
}

/// The parked requests.
#[derive(Default)]
pub struct Parked {
    by_state: Mutex<HashMap<String, (Instant, ParkedCall)>>,
}

impl Parked {
    /// Parks a request, and returns its `requestState`.
    pub fn insert(&self, parked: ParkedCall) -> String {
        let state = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut by_state = self.by_state.lock();
        let user = parked.caller.user;
        let of_user = by_state.iter().filter(|(_, (_, other))| other.caller.user == user);
        if of_user.clone().count() >= MOST {
            let oldest = of_user.min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| by_state.remove(&oldest));
        }
        by_state.insert(state.clone(), (Instant::now(), parked));
        state
    }

    /// Cancels those that are too old.
    pub fn prune(&self) {
        self.by_state.lock().retain(|_, (at, _)| at.elapsed() < PARKED_TIME);
    }

    /// Cancels those of this user and tunnel.
    pub fn cancel(&self, tunnel: Uuid, user: Uuid) {
        let is_other = |call: &ParkedCall| call.tunnel != tunnel || call.caller.user != user;
        self.by_state.lock().retain(|_, (_, parked)| is_other(parked));
    }

    /// Takes the parked request of this user and tunnel, for this method and target. `None` if there is none.
    pub fn take(
        &self,
        state: &str,
        (user, tunnel): (Uuid, Uuid),
        (method, target): (&str, Option<&Value>),
    ) -> Option<ParkedCall> {
        let mut by_state = self.by_state.lock();
        let (_, found) = by_state.get(state)?;
        let is_same = (found.caller.user, found.tunnel) == (user, tunnel)
            && (found.method.as_str(), found.target.as_ref()) == (method, target);
        if is_same { by_state.remove(state).map(|(_, parked)| parked) } else { None }
    }
}
