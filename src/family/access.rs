//! The topics of an open stream that its caller may still see.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{error::FamilyError, visible::find_visible};
use crate::{
    auth::login_session::{Principal, SessionError, Watch},
    event::Topic,
    gateway::Gateway,
    hub::TopicAccess,
};

/// Says which topics the caller of an open stream may see, after its role was lowered.
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
    async fn recheck(&self, topics: Vec<Topic>) -> Result<(Watch, Vec<Topic>), SessionError> {
        let principal = self.gateway.sessions.validate(self.session, self.user).await?;
        // Before the visibility is checked: the watch notices when the role is lowered meanwhile.
        let watch = self.gateway.sessions.watch(&principal).await?;
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
