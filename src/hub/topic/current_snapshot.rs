//! Reads the state of a topic's resource, once for all streams that start at the same time.

use std::{sync::Arc, time::Instant};

use sea_orm::DbErr;

use super::{
    frame::chunk,
    live_topic::LiveTopic,
    snapshot::{Snapshot, SnapshotFrame},
};
use crate::{event::block, event_log::StaleCursor};

impl LiveTopic {
    /// The current state, from memory if no event came since it was read. Includes changes by other gateways after one
    /// heartbeat at the latest.
    pub async fn current_snapshot(
        self: &Arc<Self>,
        reset: Option<StaleCursor>,
    ) -> Result<SnapshotFrame, DbErr> {
        if let Some(stale) = reset {
            self.context().telemetry.stream_reset(self.family(), stale.reason());
            let _permit = self.context().readers.acquire().await;
            return self.read_snapshot(reset).await;
        }
        let requested_at = Instant::now();
        // One caller reads the state. All callers that came before that read began share the result.
        let mut newest = self.snapshot.lock().await;
        if let Some(snapshot) = &*newest
            && (self.head() == Some(snapshot.position) || snapshot.read_at >= requested_at)
        {
            return Ok(snapshot.clone());
        }
        let snapshot = self.read_snapshot(None).await?;
        *newest = Some(snapshot.clone());
        Ok(snapshot)
    }

    async fn read_snapshot(
        self: &Arc<Self>,
        reset: Option<StaleCursor>,
    ) -> Result<SnapshotFrame, DbErr> {
        let Some(properties) = self.properties() else {
            return Err(DbErr::RecordNotFound(self.name().to_string()));
        };
        loop {
            let read_at = Instant::now();
            let Snapshot { cursor, data, terminal } = properties.source.snapshot(reset).await?;
            if self.head().is_none() {
                self.start_at(0, (cursor, terminal), StaleCursor::UnknownCursor);
            }
            // If the cursor is stale, the log was replaced or pruned just now, and the state is outdated. The loop then
            // reads the state again.
            if let Ok(position) = self.position_of(cursor).await? {
                let bytes = chunk(&block(Some(cursor), "snapshot", &data));
                return Ok(SnapshotFrame { position, bytes, terminal, read_at });
            }
        }
    }
}
