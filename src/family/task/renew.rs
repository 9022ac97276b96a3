//! Renews the lease of a task.

use sea_orm::{ActiveModelTrait, IntoActiveModel};
use uuid::Uuid;

use super::{
    lease,
    rows::lock,
    worker_schema::{RenewedTaskLease, TaskLease},
};
use crate::{family::Result, gateway::Gateway};

/// Renews the lease of a task for its full duration. If cancellation was requested, the lease ends with the grace time
/// at the latest.
///
/// # Errors
/// - [`FamilyError::NotFound`](crate::family::FamilyError::NotFound) if the task does not exist.
/// - [`FamilyError::LeaseLost`](crate::family::FamilyError::LeaseLost) if the lease is not the newest or has expired,
///   or if the task has ended.
pub async fn renew(gateway: &Gateway, id: Uuid, lease: &TaskLease) -> Result<RenewedTaskLease> {
    let tx = gateway.database.begin_write().await?;
    let row = lock(&tx, id).await?;
    let now = gateway.clock.read();
    lease::check(&row, lease.lease_token, &now)?;
    let cancel_requested = row.cancel_by.is_some();
    let mut change = row.clone().into_active_model();
    let until = lease::extend(&mut change, &row, &now);
    change.update(&tx).await?;
    tx.commit().await?;
    Ok(RenewedTaskLease { lease_expires_at: until.datetime(), cancel_requested })
}
