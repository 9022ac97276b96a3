//! The reasons that end a stream from outside: its login session, a shutdown, its time, a client
//! that is stuck.

use std::time::Instant;

use bytes::Bytes;

use super::{
    end::End,
    subscription::Subscription,
    ticks::{Now, QUIET},
};
use crate::config::Overflow;

/// A comment, as a chunk.
const HEARTBEAT: &[u8] = b"3\r\n:\n\n\r\n";

impl Subscription {
    /// Checks the reasons to end from outside, and whether the stream was silent for too long. It
    /// is stuck when the client does not take its bytes. Returns false if the time to send the end
    /// is over.
    pub fn check(&mut self, now: &Now, is_stuck: bool) -> bool {
        if self.end.is_none() {
            let connection = self.connection.as_ref();
            let refused = connection.and_then(|open| open.allowed_until(now.timestamp).err());
            if let Some(ended) = refused {
                self.end_with(End::Session(ended));
            } else if self.topic.context().is_closing() {
                self.end_with(End::Shutdown);
            } else if self.until.is_some_and(|until| until <= now.instant) {
                self.end_with(End::MaxSeconds);
            } else if is_stuck && self.is_cut_off() {
                self.end_with(End::Overflow);
            } else if now.tick.wrapping_sub(self.written) >= QUIET && self.ready.is_empty() {
                self.queue(&Bytes::from_static(HEARTBEAT));
            }
        }
        self.end.is_none() || self.until.is_none_or(|until| until > now.instant)
    }

    /// Time of the next check at the latest, unless there is another reason for one.
    pub fn check_by(&self, now: &Now) -> Option<Instant> {
        let expiry = || {
            let expiry = self.connection.as_ref()?.allowed_until(now.timestamp).ok()?;
            now.instant.checked_add(expiry.since(now.timestamp))
        };
        let expiry = if self.end.is_none() { expiry() } else { None };
        [expiry, self.until].into_iter().flatten().min()
    }

    /// Whether it has to end although it cannot be written to.
    fn is_cut_off(&self) -> bool {
        self.overflow == Overflow::CloseConnection && self.passed().is_some()
    }
}
