//! Checks that a resource exists and that a user may see it.
//!
//! The cache only answers "visible". If a resource is absent or hidden, every check queries the database. So random ids
//! do not fill the cache, and a new resource is found at once. The time of the response also does not show whether a
//! resource is absent or hidden.

use std::{sync::Arc, time::Duration};

use entity::user::Role;
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use crate::{
    cache::{Cache, LookupStart},
    clock::Clock,
    event::Topic,
};

/// Maximum number of resources in the cache.
const CAPACITY: usize = 100_000;

/// A resource that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Id of the owner. The owner and administrators may see the resource. If there is no owner, every user may see it.
    pub owner: Option<Uuid>,
    /// Id of the agent that serves the resource. The agent may see it while its role is agent or higher.
    pub agent: Option<Uuid>,
    /// Id of the resource that is above it in the URL path. Absent if there is none.
    pub parent: Option<Uuid>,
    /// Whether the owner needs a grant at an OAuth provider.
    pub needs_grant: bool,
}

impl Resource {
    /// A resource that every user may see.
    pub const PUBLIC: Self = Self { owner: None, agent: None, parent: None, needs_grant: false };

    /// Creates a resource that belongs to this user.
    #[must_use]
    pub const fn owned_by(owner: Uuid) -> Self {
        Self { owner: Some(owner), agent: None, parent: None, needs_grant: false }
    }

    /// Whether a user with this role may see the resource.
    #[must_use]
    pub fn is_visible_to(&self, user: Uuid, role: Role) -> bool {
        role == Role::Admin
            || self.owner.is_none_or(|owner| owner == user)
            || role >= Role::Agent && self.agent == Some(user)
    }
}

/// The cache of resources.
#[derive(Debug)]
pub struct Visibility(Cache<Topic, Resource>);

impl Visibility {
    /// Creates a cache whose entries expire after `life`. A change by another gateway takes effect after `life` at the
    /// latest. `counters` are hits and misses.
    #[must_use]
    pub fn new(life: Duration, counters: [Counter; 2], clock: &Arc<Clock>) -> Self {
        Self(Cache::new(life, CAPACITY, counters, clock))
    }

    /// Finds the resource of a topic in the cache, or with `look_up`. Returns `None` if the resource does not exist, or
    /// if a user with this role may not see it.
    ///
    /// # Errors
    /// The error of `look_up`.
    pub async fn find<E>(
        &self,
        topic: &Topic,
        (user, role): (Uuid, Role),
        look_up: impl Future<Output = Result<Option<Resource>, E>>,
    ) -> Result<Option<Resource>, E> {
        let is_enough = |known: &Resource| known.is_visible_to(user, role);
        let began = match self.0.get(topic, is_enough) {
            Ok(known) => return Ok(Some(known)),
            Err(began) => began,
        };
        let found = look_up.await?;
        if let Some(resource) = found {
            self.0.insert(topic.clone(), resource, began);
        }
        Ok(found.filter(|resource| resource.is_visible_to(user, role)))
    }

    /// Starts the creation of a resource. Call this before the transaction, and pass the result to
    /// [`Visibility::insert`].
    #[must_use]
    pub fn start_lookup(&self) -> LookupStart {
        self.0.start_lookup()
    }

    /// Caches a resource after its creation was committed.
    pub fn insert(&self, topic: Topic, resource: Resource, began: LookupStart) {
        self.0.insert(topic, resource, began);
    }

    /// Removes a resource from the cache after its change or deletion was committed.
    pub fn invalidate(&self, topic: &Topic) {
        self.0.invalidate(topic);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;
    use crate::event::Family;

    /// A [`Visibility`] that counts its lookups.
    struct Counted {
        visibility: Visibility,
        topic: Topic,
        looks: Cell<usize>,
        truth: Cell<Option<Resource>>,
    }

    impl Counted {
        fn new(truth: Option<Resource>) -> Self {
            Self {
                visibility: Visibility::new(
                    Duration::from_mins(1),
                    Default::default(),
                    &Arc::new(Clock::default()),
                ),
                topic: Topic::new(Family::Topology, Uuid::new_v4()),
                looks: Cell::default(),
                truth: Cell::new(truth),
            }
        }

        /// Returns the result for `user`, and the number of lookups.
        async fn find(&self, user: Uuid) -> (Option<Resource>, usize) {
            self.looks.set(0);
            let look_up = async {
                self.looks.set(1);
                Ok::<_, Infallible>(self.truth.get())
            };
            let found = self.visibility.find(&self.topic, (user, Role::Viewer), look_up).await;
            (found.unwrap_or_else(|never| match never {}), self.looks.get())
        }
    }

    #[tokio::test]
    async fn existing_resource_is_cached_and_missing_one_is_not() {
        let user = Uuid::new_v4();
        let counted = Counted::new(None);
        assert_eq!(counted.find(user).await, (None, 1));
        assert_eq!(counted.find(user).await, (None, 1));
        let made = Some(Resource::PUBLIC);
        counted.truth.set(made);
        assert_eq!(counted.find(user).await, (made, 1));
        assert_eq!(counted.find(user).await, (made, 0));
        counted.truth.set(None);
        counted.visibility.invalidate(&counted.topic);
        assert_eq!(counted.find(user).await, (None, 1));
    }

    #[tokio::test]
    async fn foreign_resource_is_looked_up_like_a_missing_one() {
        let (owner, other) = (Uuid::new_v4(), Uuid::new_v4());
        let truth = Some(Resource::owned_by(owner));
        let counted = Counted::new(truth);
        assert_eq!(counted.find(owner).await, (truth, 1));
        assert_eq!(counted.find(owner).await, (truth, 0));
        assert_eq!(counted.find(other).await, (None, 1));
        assert_eq!(counted.find(other).await, (None, 1));
    }

    #[test]
    fn owner_agent_and_administrators_see_an_owned_resource() {
        let [owner, agent, other] = [(); 3].map(|()| Uuid::new_v4());
        let resource = Resource { agent: Some(agent), ..Resource::owned_by(owner) };
        for role in [Role::Viewer, Role::Agent, Role::Operator] {
            assert!(resource.is_visible_to(owner, role));
            assert_eq!(resource.is_visible_to(agent, role), role >= Role::Agent);
            assert!(
                !resource.is_visible_to(other, role) && Resource::PUBLIC.is_visible_to(other, role)
            );
        }
        assert!(resource.is_visible_to(other, Role::Admin));
    }

    #[tokio::test]
    async fn new_resource_is_cached_unless_it_changed_already() {
        let user = Uuid::new_v4();
        let truth = Resource::PUBLIC;
        let counted = Counted::new(Some(truth));
        let began = counted.visibility.start_lookup();
        counted.visibility.invalidate(&counted.topic);
        counted.visibility.insert(counted.topic.clone(), truth, began);
        assert_eq!(counted.find(user).await, (Some(truth), 1));
        let counted = Counted::new(Some(truth));
        let began = counted.visibility.start_lookup();
        counted.visibility.insert(counted.topic.clone(), truth, began);
        assert_eq!(counted.find(user).await, (Some(truth), 0));
    }
}
