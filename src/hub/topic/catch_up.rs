//! Reading from the event log what a subscription has missed and the ring has dropped.

use std::sync::Arc;

use sea_orm::DbErr;

use super::{
    fill::PAGE,
    frame::{Frame, Run},
    live_topic::LiveTopic,
    ring::Position,
    snapshot::SnapshotFrame,
};
use crate::event_log::{LogError, ReadLimit, Stale};

/// The events that a subscription has missed.
pub enum Missed {
    /// These events. None if the log has only what the ring has.
    Events(Option<Run>),
    /// More than the log still has: the subscription starts over.
    StartOver(SnapshotFrame),
}

impl LiveTopic {
    /// At most `most` events after a position.
    pub async fn read_missed(
        self: &Arc<Self>,
        position: Position,
        most: u64,
    ) -> Result<Missed, DbErr> {
        let known = match self.known() {
            Some(known) if known.history == position.history => known,
            _ => return self.start_over_from(self.lost()).await,
        };
        // Many subscriptions can be behind at once. None of them is in such a hurry that it may
        // take all connections to the database, or fail because there was none.
        let permit = self.context().readers.acquire().await;
        self.context().telemetry.caught_up(self.family());
        let most = ReadLimit { events: PAGE.events.min(most), ..PAGE };
        match self.context().log.since(self.name(), position.seq, known.furthest, most).await {
            Ok(page) => {
                let frames: Vec<Frame> = page.events.iter().map(Frame::from).collect();
                let run = Run::from_frames(&frames.iter().collect::<Vec<_>>());
                match page.events.last() {
                    Some(event) if self.admit(known.history, event.cursor).is_none() => {
                        // The log was replaced after it was read, and the ring knows it already.
                        drop(permit);
                        return self.start_over_from(Stale::Replaced).await;
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

    async fn start_over_from(self: &Arc<Self>, stale: Stale) -> Result<Missed, DbErr> {
        self.current_snapshot(Some(stale.reason())).await.map(Missed::StartOver)
    }
}
