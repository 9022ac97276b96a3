//! The external reasons that end a stream: the login session, a shutdown, the maximum time, a client that does not
//! read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::{
    end::End,
    subscription::Subscription,
    ticks::{CheckTime, SILENT_TICKS},
};
use crate::{
    config::Overflow,
    event::{self, block},
    hub::topic::chunk,
};

/// The control event that announces the end of the login session.
pub const EXPIRING: &str = "stream.expiring";

/// A comment of `text/event-stream`. No blank line follows it, because several clients deliver a block without data as
/// an empty message.
pub const HEARTBEAT: &[u8] = b":\n";

/// [`HEARTBEAT`] as one chunk.
const HEARTBEAT_CHUNK: &[u8] = b"2\r\n:\n\r\n";

impl Subscription {
    /// Ends the stream if there is an external reason. Otherwise queues a heartbeat if the stream was silent for too
    /// long. `is_stuck` means that the client does not take bytes. Returns false if the time to send the end is over.
    pub fn check(&mut self, now: &CheckTime, is_stuck: bool) -> bool {
        if self.end.is_none() {
            let connection = self.connection.as_ref();
            let refused = connection.and_then(|open| open.allowed_until(now.timestamp).err());
            if let Some(ended) = refused {
                self.end_with(End::Session(ended));
            } else if self.topic.context().is_closing() {
                self.end_with(End::Shutdown);
            } else if self.until.is_some_and(|until| until <= now.instant) {
                self.end_with(End::MaxSeconds);
            } else if is_stuck && self.must_close_for_overflow() {
                self.end_with(End::Overflow);
            } else if let Some(left) = self.expires_in(now) {
                let seconds = left.as_millis().div_ceil(1_000);
                let data = event::json(
                    &json!({ "in_seconds": u64::try_from(seconds).unwrap_or_default() }),
                );
                self.queue(&chunk(&block(None, EXPIRING, &data)));
            } else if now.tick.wrapping_sub(self.last_write_tick) >= SILENT_TICKS
                && self.ready.is_empty()
            {
                self.queue(&Bytes::from_static(HEARTBEAT_CHUNK));
            }
        }
        self.end.is_none() || self.until.is_none_or(|until| until > now.instant)
    }

    /// Remaining time of the login session, if it is time to announce the end and nothing has announced it yet.
    fn expires_in(&self, now: &CheckTime) -> Option<Duration> {
        let connection = self.connection.as_ref()?;
        let expiry = connection.allowed_until(now.timestamp).ok()?;
        let left = expiry.since(now.timestamp);
        let is_due = left <= self.topic.context().settings.expiring;
        (is_due && connection.announce(expiry)).then_some(left)
    }

    /// Latest time of the next check. `None` if the periodic checks are enough.
    pub fn check_by(&self, now: &CheckTime) -> Option<Instant> {
        let expiry = || {
            let connection = self.connection.as_ref()?;
            let expiry = connection.allowed_until(now.timestamp).ok()?;
            let notice = self.topic.context().settings.expiring;
            let by = if connection.is_announced(expiry) { expiry } else { expiry - notice };
            now.instant.checked_add(by.since(now.timestamp))
        };
        let expiry = if self.end.is_none() { expiry() } else { None };
        [expiry, self.until].into_iter().flatten().min()
    }

    /// Whether a stream that cannot be written to has to end because of its overflow strategy.
    fn must_close_for_overflow(&self) -> bool {
        self.overflow == Overflow::CloseConnection && self.skip_targets().is_some()
    }
}
