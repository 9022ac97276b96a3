//! Reads from the event log the events that a subscription has missed and the ring has dropped.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{
    fill::PAGE,
    frame::{Frame, Run},
    live_topic::LiveTopic,
    ring::Position,
    snapshot::SnapshotFrame,
};
use crate::event_log::{LogError, ReadLimit, StaleCursor};

/// The events that a subscription has missed.
pub enum Missed {
    /// The next events. `None` if the log has no later events.
    Events(Option<Run>),
    /// The log no longer has the next event. The subscription starts over with this snapshot.
    StartOver(SnapshotFrame),
}

impl LiveTopic {
    /// Reads at most `most` events after a position.
    pub async fn read_missed(
        self: &Arc<Self>,
        position: Position,
        most: u64,
    ) -> Result<Missed, DbErr> {
        let known = match self.known() {
            Some(known) if known.history == position.history => known,
            _ => return self.start_over_from(self.stale_reason()).await,
        };
        // Many subscriptions can be behind at once. Each waits for a permit. So their reads do not take all connections
        // to the database, and do not fail because no connection is free.
        let permit = self.context().readers.acquire().await;
        self.context().telemetry.caught_up(self.family());
        let most = ReadLimit { events: PAGE.events.min(most), ..PAGE };
        match self.context().log.since(self.name(), position.seq, known.newest_known, most).await {
            Ok(page) => {
                let frames: Vec<Frame> = page.events.iter().map(Frame::from).collect();
                let run = Run::from_frames(&frames.iter().collect::<Vec<_>>());
                match page.events.last() {
                    Some(event) if self.accept_cursor(known.history, event.cursor).is_none() => {
                        // The log was replaced after this read, and the ring has already noticed that.
                        drop(permit);
                        return self.start_over_from(StaleCursor::Replaced).await;
                    }
                    Some(_) => {}
                    None => self.fill(),
                }
                Ok(Missed::Events(run))
            }
            Err(LogError::Stale(stale)) => {
                drop(permit);
                self.start_over_from(stale).await
            }
            Err(LogError::Database(error)) => Err(error),
        }
    }

    async fn start_over_from(self: &Arc<Self>, stale: StaleCursor) -> Result<Missed, DbErr> {
        self.current_snapshot(Some(stale)).await.map(Missed::StartOver)
    }
}
