//! Reads the snapshots of a topic for the hub.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::DbErr;

use super::{table::resource_family, wire::ResetReason};
use crate::{
    event::Topic,
    event_log::StaleCursor,
    gateway::Gateway,
    hub::{Snapshot, Source},
};

/// The source of a topic's snapshots.
pub fn source(gateway: &Arc<Gateway>, topic: &Topic) -> Arc<dyn Source> {
    Arc::new(FamilySource { gateway: Arc::clone(gateway), topic: topic.clone() })
}

struct FamilySource {
    gateway: Arc<Gateway>,
    topic: Topic,
}

#[async_trait]
impl Source for FamilySource {
    async fn snapshot(&self, reset: Option<StaleCursor>) -> Result<Snapshot, DbErr> {
        let tx = self.gateway.database.begin_read().await?;
        let cursor = self.gateway.hub.log().position(&tx, &self.topic).await?;
        let family = resource_family(self.topic.family());
        let state = family.state(&tx, self.topic.id(), reset.map(ResetReason::from)).await?;
        let state = state.ok_or_else(|| DbErr::RecordNotFound(self.topic.to_string()))?;
        tx.rollback().await?;
        Ok(Snapshot { cursor, data: state.data, terminal: state.terminal })
    }
}
