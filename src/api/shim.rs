//! Old names, until every family is in `crate::family`.
pub(super) mod family {
    pub(in crate::api) use crate::api::{event_page::events, stream::open_topic as open};
    pub(crate) use crate::family::{
        ORPHANS_PER_TRANSACTION as ORPHANS_PER_END, ResourceFamily as Resources,
        ResourceState as State, commit, existing_users as users, find_visible as exists, is_silent,
        new_event,
    };
}
pub(super) mod text {
    pub(crate) use crate::family::wire::Text;
}
pub(super) mod lease {
    pub(crate) use crate::family::queue::{
        LEASES_PER_QUERY as PER_LOOK, LeaseEnd as End, end_expired, expired_within as over_after,
    };
}
