//! The trait of a family: how its resources are found, shown, ended and deleted.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{error::Result, event_kind::EventKind, snapshot::ResourceState, wire::ResetReason};
use crate::{
    auth::login_session::Principal, database::Transaction, event_log::Retention, gateway::Gateway,
    visibility::Resource,
};

/// Maximum number of resources of deleted users that one transaction ends.
pub const ORPHANS_PER_TRANSACTION: u64 = 100;

/// The resources of a family, each of which has a topic.
#[async_trait]
pub trait ResourceFamily: Send + Sync {
    /// The kinds of events that a stream of the family can send.
    fn events(&self) -> &'static [EventKind];

    /// Refuses a caller that may not use this id, whether or not the resource exists. By default, every caller may.
    ///
    /// # Errors
    /// [`FamilyError::Forbidden`](crate::family::FamilyError::Forbidden) if the caller may not use this id.
    fn authorize(&self, _principal: &Principal, _id: Uuid) -> Result<()> {
        Ok(())
    }

    /// Reads the data that decide whether a user may see a resource. `None` if the resource does not exist.
    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr>;

    /// The state of a resource in this transaction, with `reset` in the data. `None` if the resource does not exist.
    /// See [`Source`](crate::hub::Source).
    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<ResetReason>,
    ) -> std::result::Result<Option<ResourceState>, DbErr>;

    /// Deletes ended resources whose events were all pruned. Returns `false` if the family never deletes resources.
    async fn delete(&self, _tx: &Transaction, _ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        Ok(false)
    }

    /// Ends the leases that have expired.
    async fn end_expired_leases(&self, _gateway: &Gateway) -> Result<()> {
        Ok(())
    }

    /// Ends the resources of deleted users, so that the retention deletes them.
    async fn cancel_orphans(&self, _gateway: &Arc<Gateway>) -> Result<()> {
        Ok(())
    }

    /// Ends or deletes resources that the family keeps only for a limited time.
    async fn sweep(&self, _gateway: &Arc<Gateway>, _retention: Retention) -> Result<()> {
        Ok(())
    }
}
