//! Checks which topics of an open stream its caller may still see.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{error::FamilyError, visible::find_visible};
use crate::{
    auth::login_session::{Principal, SessionError, SessionWatch},
    event::Topic,
    gateway::Gateway,
    hub::TopicAccess,
};

/// The access of the caller of an open stream. The hub checks it again after the caller's role was lowered.
pub struct SubscriptionAccess {
    gateway: Arc<Gateway>,
    session: Uuid,
    user: Uuid,
}

impl SubscriptionAccess {
    /// The access of this caller.
    #[must_use]
    pub fn new(gateway: &Arc<Gateway>, principal: &Principal) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            session: principal.session_id,
            user: principal.user_id,
        }
    }
}

#[async_trait]
impl TopicAccess for SubscriptionAccess {
    async fn recheck(
        &self,
        topics: Vec<Topic>,
    ) -> Result<(SessionWatch, Vec<Topic>), SessionError> {
        let principal = self.gateway.login_sessions.validate(self.session, self.user).await?;
        // The watch begins before the visibility is checked, so that it notices if the role is lowered in the meantime.
        let watch = self.gateway.login_sessions.watch(&principal).await?;
        let mut allowed = Vec::with_capacity(topics.len());
        for topic in topics {
            match find_visible(&self.gateway, &principal, &topic).await {
                Ok(_) => allowed.push(topic),
                Err(FamilyError::NotFound | FamilyError::Forbidden(_)) => {}
                Err(FamilyError::Database(error)) => return Err(error.into()),
                Err(error) => return Err(DbErr::Custom(error.to_string()).into()),
            }
        }
        Ok((watch, allowed))
    }
}
