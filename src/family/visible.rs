//! Finds resources that a caller may see.

use std::time::Instant;

use super::{
    error::{FamilyError, Result},
    table::resource_family,
};
use crate::{
    auth::login_session::Principal, database::DatabaseError, event::Topic, gateway::Gateway,
    visibility::Resource,
};

/// The resource of a topic, if the caller may see it: from the cache, else from the database.
///
/// # Errors
/// [`FamilyError::NotFound`] if the resource does not exist or is not visible, [`FamilyError::Forbidden`] if the caller
/// may not use this id.
pub async fn find_visible(
    gateway: &Gateway,
    principal: &Principal,
    topic: &Topic,
) -> Result<Resource> {
    let family = resource_family(topic.family());
    family.authorize(principal, topic.id())?;
    let began = Instant::now();
    let look_up = family.look_up(gateway, topic.id());
    let found = gateway.visibility.find(topic, (principal.user_id, principal.role), look_up).await;
    gateway.telemetry.looked_up(topic.family().name(), began.elapsed());
    found?.ok_or(FamilyError::NotFound)
}

/// The error for streams of these topics that cannot be opened. If a resource was not found, removes the topics from
/// the cache: another gateway may have deleted the resource.
pub fn stream_open_error(gateway: &Gateway, topics: &[Topic], error: DatabaseError) -> FamilyError {
    if !matches!(error, DatabaseError::RecordNotFound(_)) {
        return error.into();
    }
    for topic in topics {
        gateway.visibility.invalidate(topic);
    }
    FamilyError::NotFound
}
