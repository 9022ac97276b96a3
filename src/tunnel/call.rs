//! A request in flight, as its caller sees it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    calls::{Calls, Replies},
    error::CallError,
    message,
    outbound::Outbound,
    reply::Reply,
};

/// A request in flight. Dropping it cancels the request at the MCP server.
pub struct Call {
    pub(super) calls: Arc<Calls>,
    pub(super) outbound: Outbound,
    pub(super) replies: Replies,
    /// The longest time without a message of the server. Absent for a subscription.
    pub(super) idle: Option<Duration>,
    /// Time of the last message of the server, or of the request.
    pub(super) heard_at: Instant,
    pub(super) has_ended: bool,
}

impl Call {
    /// The next message for the caller. After [`Reply::Answer`] and after an error, nothing follows.
    ///
    /// # Errors
    /// [`CallError`] if there will be no answer. The MCP server is told if it still works on the request.
    pub async fn next(&mut self) -> Result<Reply, CallError> {
        let received = match self.idle {
            // A deadline, because this future can be dropped and begun again while it waits.
            Some(idle) => {
                match timeout_at(self.heard_at + idle, self.replies.receiver.next()).await {
                    Ok(received) => received,
                    Err(_) => return Err(self.cancel(CallError::TimedOut(idle))),
                }
            }
            None => self.replies.receiver.next().await,
        };
        self.heard_at = Instant::now();
        let received = received.unwrap_or(Err(CallError::Disconnected));
        match &received {
            Ok(Reply::Notification(_) | Reply::Request(_)) => {}
            Ok(Reply::Answer(_)) | Err(_) => self.has_ended = true,
        }
        received
    }

    /// The answer, without the other messages.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn answer(mut self) -> Result<message::Members, CallError> {
        loop {
            if let Reply::Answer(answer) = self.next().await? {
                return Ok(answer);
            }
        }
    }

    /// Whether the request fails when the server sends nothing for it. A subscription does not.
    #[must_use]
    pub fn has_idle_limit(&self) -> bool {
        self.idle.is_some()
    }

    /// Changes the progress token that the caller gets.
    pub fn set_progress_token(&self, token: Option<serde_json::Value>) {
        self.calls.set_progress_token(&self.replies.key, token);
    }

    /// Changes the longest time without a message of the server.
    pub fn set_idle(&mut self, idle: Option<Duration>) {
        self.idle = idle;
    }

    /// Restarts the time that the server has.
    pub fn restart_idle(&mut self) {
        self.heard_at = Instant::now();
    }

    fn cancel(&mut self, error: CallError) -> CallError {
        self.has_ended = true;
        if let Some(messages) = self.calls.end(&self.replies.key, Some(&error)) {
            for message in messages {
                // A client that takes nothing any more will be found by the probe.
                let _ = self.outbound.send_message(&message);
            }
            self.tell_server(&error);
        }
        error
    }

    fn tell_server(&self, error: &CallError) {
        cancel_at_server(&self.outbound, &self.replies.key, &error.to_string());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.has_ended {
            self.cancel(CallError::Cancelled);
        }
    }
}

/// Cancels a request at the MCP server.
pub(super) fn cancel_at_server(outbound: &Outbound, key: &str, reason: &str) {
    // A client that takes nothing any more will be found by the probe.
    let _ = outbound.send_message(&message::cancelled(key, reason));
}
