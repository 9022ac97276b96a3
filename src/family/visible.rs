//! Finds resources that a caller may see.

use std::time::Instant;

use super::{
    error::{FamilyError, Result},
    table::resource_family,
};
use crate::{
    auth::login_session::Principal,
    database::DatabaseError,
    event::{Family, Topic},
    gateway::Gateway,
    visibility::Resource,
};

/// The resource of a topic, if the caller may see it: from the cache, else from the database.
///
/// # Errors
/// [`FamilyError::NotFound`] if the resource does not exist or is not visible, [`FamilyError::Forbidden`] if the caller
/// may not use this id or this family.
pub async fn find_visible(
    gateway: &Gateway,
    principal: &Principal,
    topic: &Topic,
) -> Result<Resource> {
    check_family(principal, topic.family())?;
    let family = resource_family(topic.family());
    family.authorize(principal, topic.id())?;
    let began = Instant::now();
    let look_up = family.look_up(gateway, topic.id());
    let found = gateway.visibility.find(topic, (principal.user_id, principal.role), look_up).await;
    gateway.telemetry.looked_up(topic.family().name(), began.elapsed());
    found?.ok_or(FamilyError::NotFound)
}

/// Refuses a caller that may not use the family.
///
/// # Errors
/// [`FamilyError::Forbidden`].
pub fn check_family(principal: &Principal, family: Family) -> Result<()> {
    if principal.families.contains(family) {
        Ok(())
    } else {
        Err(FamilyError::Forbidden("this API key is not for this family"))
    }
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
