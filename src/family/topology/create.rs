//! Creates a topology.

use entity::{Timestamp, topology};
use sea_orm::{ActiveModelTrait, IntoActiveModel, SqlErr};
use uuid::Uuid;

use super::{
    rows::topic,
    schema::{NewTopology, Topology},
};
use crate::{
    family::{FamilyError, Result, wire::json_object},
    gateway::Gateway,
    visibility::Resource,
};

/// Default mode of a topology.
const DEFAULT_MODE: &str = "standard";

/// Creates a topology with the status `pending`.
///
/// # Errors
/// [`FamilyError::Conflict`] if another topology has the name, [`FamilyError::BadInput`] if the config is too large.
pub async fn create(gateway: &Gateway, new: NewTopology) -> Result<Topology> {
    let config = json_object("config", new.config.unwrap_or_default())?;
    let lookup = gateway.visibility.start_lookup();
    let tx = gateway.database.begin_write().await?;
    let now = Timestamp::now();
    let row = topology::Model {
        // The id is created within the transaction, shortly before the commit. Pages are read in the order of ids. A
        // reader can miss a row that is committed after a row with a greater id.
        id: Uuid::now_v7(),
        name: new.name.0,
        mode: new.mode.map_or_else(|| DEFAULT_MODE.to_owned(), |mode| mode.0),
        config,
        status: topology::Status::Pending,
        status_changed_at: now,
        version: 1,
        created_at: now,
    };
    let row = row.into_active_model().insert(&tx).await.map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => {
            FamilyError::conflict("another topology has this name")
        }
        _ => error.into(),
    })?;
    gateway.hub.log().create(&tx, &topic(row.id)).await?;
    gateway.hub.commit(tx, Vec::new()).await?;
    gateway.visibility.insert(topic(row.id), Resource::PUBLIC, lookup);
    Ok(row.into())
}
