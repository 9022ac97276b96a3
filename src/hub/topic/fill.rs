//! Fills a ring from the event log, and finds cursors in both.
//!
//! The bus may lose events. A topic that has missed an event reads it from the log.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{
    frame::Frame,
    live_topic::{LiveTopic, Pushed},
    ring::Position,
};
use crate::{
    event::Cursor,
    event_log::{LogError, ReadLimit, StaleCursor},
};

/// Limits of one read of the log. A subscription that catches up holds up to this much in memory.
pub const PAGE: ReadLimit = ReadLimit { events: 50, bytes: 64 << 10 };

impl LiveTopic {
    /// Reads events that the ring lacks from the log. Only one task per topic does this, even if many callers notice
    /// the gap.
    pub fn fill(self: &Arc<Self>) {
        if !self.begin_fill() {
            return;
        }
        self.context().telemetry.caught_up(self.family());
        let topic = Arc::clone(self);
        let work = async move {
            while topic.take_fill_request() {
                if let Err(error) = topic.fill_once().await {
                    // The next heartbeat tries again.
                    tracing::warn!(
                        topic = %topic.name(),
                        %error,
                        "cannot read the event log, retrying at the next heartbeat"
                    );
                    topic.abort_fill();
                    return;
                }
            }
        };
        self.context().spawn(work);
    }

    async fn fill_once(self: &Arc<Self>) -> Result<(), DbErr> {
        let log = &self.context().log;
        loop {
            let Some(known) = self.known() else {
                return self.start().await;
            };
            match log.since(self.name(), known.head.seq, known.newest_known, PAGE).await {
                Ok(page) => {
                    let frame = |event| (known.head.epoch, Frame::from(event));
                    self.push(page.events.iter().map(frame));
                    if !page.has_more {
                        return Ok(());
                    }
                }
                Err(LogError::Stale(stale)) => {
                    // Without a log, the ring begins at 0. Subscriptions then start over, and find that the resource
                    // has no state.
                    let nothing = (Cursor::UNKNOWN, false);
                    let head = log.head(self.name()).await?.unwrap_or(nothing);
                    self.start_over(known.history, head, stale);
                    return Ok(());
                }
                Err(LogError::Database(error)) => return Err(error),
            }
        }
    }

    /// Begins the ring's first history at the head of the log.
    async fn start(self: &Arc<Self>) -> Result<(), DbErr> {
        let head = self.context().log.head(self.name()).await?;
        let head = head.ok_or_else(|| DbErr::RecordNotFound(self.name().to_string()))?;
        self.start_at(0, head, StaleCursor::UnknownCursor);
        Ok(())
    }

    /// Begins another history at the head of the log, because the log was replaced, or pruned beyond the ring.
    /// Subscriptions notice this at their next pull, and start over.
    fn start_over(self: &Arc<Self>, old: u32, head: (Cursor, bool), stale: StaleCursor) {
        let (topic, reason) = (self.name(), stale.reason());
        tracing::warn!(
            %topic,
            reason,
            "the event log no longer has delivered events, streams start over"
        );
        self.start_at(old, head, stale);
    }

    /// Begins a history. Reads the log if frames that arrived earlier leave a gap.
    pub(super) fn start_at(self: &Arc<Self>, old: u32, head: (Cursor, bool), stale: StaleCursor) {
        if self.begin(old, head, stale) == Pushed::Gap {
            self.fill();
        }
    }

    /// Returns the position of a cursor in the ring's history, or the reason why a stream cannot resume after it. If
    /// the ring does not know the cursor, this looks in the log. If the log has both the cursor and the newest event
    /// that the ring knows, they are in the same history.
    pub async fn position_of(
        self: &Arc<Self>,
        cursor: Cursor,
    ) -> Result<Result<Position, StaleCursor>, DbErr> {
        loop {
            let Some(known) = self.known() else {
                self.start().await?;
                continue;
            };
            if let Some(position) = self.find(cursor) {
                if cursor.seq > known.head.seq {
                    self.fill();
                }
                return Ok(Ok(position));
            }
            let found = self.context().log.find(self.name(), cursor, known.newest_known).await?;
            if let Some(stale) = found.known {
                self.start_over(known.history, (found.head, found.closed), stale);
                continue;
            }
            if let Some(stale) = found.cursor {
                return Ok(Err(stale));
            }
            let position = self.accept_cursor(known.history, cursor);
            if !self.matches_log(Some(known), found.head) {
                self.fill();
            }
            // Without a position, the ring's history has changed in the meantime, and the loop tries again.
            if let Some(position) = position {
                return Ok(Ok(position));
            }
        }
    }
}
