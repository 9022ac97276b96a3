//! What the families have in common: who may see a resource, its stream, its event page.
//!
//! A family says in [`Resources`] what is its own; everything that works for any topic works through
//! that.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use entity::{Timestamp, user};
use poem_openapi::types::ToJSON;
use sea_orm::{
    DbErr,
    sea_query::{Query, SelectStatement},
};
use uuid::Uuid;

use super::{
    caller::{StreamCaller, Viewer},
    event_page::{self, Events},
    mcp_session::McpSessions,
    notification::Notifications,
    problem::{Problem, Result},
    prompt::Prompts,
    stream::{self, EventKind, Parameters, StreamResponse},
    task::Tasks,
    topology::Topologies,
};
use crate::{
    auth::login_session::Principal,
    database::Transaction,
    event::{self, Family, NewEvent, Topic},
    event_log::{EventLog, Most, Retention},
    gateway::Gateway,
    hub::{Snapshot, Source},
    visibility::Resource,
};

/// Resources of users that have been deleted that are ended in one transaction.
pub(super) const ORPHANS_PER_END: u64 = 100;

/// The resources of a family, each of which has a topic.
#[async_trait]
pub(super) trait Resources: Send + Sync {
    /// The operation that streams one, and the events that it sends.
    fn stream(&self) -> (&'static str, &'static [EventKind]);

    /// Where the stream of one is.
    fn stream_path(&self, id: Uuid, resource: Resource) -> String;

    /// 403 if this caller may not even ask for one with this id.
    fn admit(&self, _principal: &Principal, _id: Uuid) -> Result<()> {
        Ok(())
    }

    /// What there is to know before anything else is done with one.
    async fn look_up(
        &self,
        gateway: &Gateway,
        id: Uuid,
    ) -> std::result::Result<Option<Resource>, DbErr>;

    /// The state of one as of this transaction; `reset` is to be carried in it. See [`Source`].
    async fn state(
        &self,
        tx: &Transaction,
        id: Uuid,
        reset: Option<String>,
    ) -> std::result::Result<Option<State>, DbErr>;

    /// Deletes these, which ended so long ago that they need not be kept. Returns whether the family
    /// lets any go at all.
    async fn delete(&self, _tx: &Transaction, _ids: &[Uuid]) -> std::result::Result<bool, DbErr> {
        Ok(false)
    }

    /// Ends what belongs to users that have been deleted, so that in time it is deleted, too.
    async fn end_orphans(&self, _gateway: &Arc<Gateway>) -> Result<()> {
        Ok(())
    }

    /// Does what else has to be done now and then.
    async fn sweep(&self, _gateway: &Arc<Gateway>, _retention: Retention) -> Result<()> {
        Ok(())
    }
}

/// The state of a resource.
pub(super) struct State {
    /// The data of a `snapshot` event, as JSON text.
    data: String,
    /// Whether no event can follow.
    terminal: bool,
}

impl State {
    pub(super) fn of(snapshot: &impl ToJSON, terminal: bool) -> Self {
        Self { data: event::json(&snapshot.to_json()), terminal }
    }
}

/// The resources of this family.
pub(super) fn resources(family: Family) -> &'static dyn Resources {
    match family {
        Family::Topology => &Topologies,
        Family::Notification => &Notifications,
        Family::McpSession => &McpSessions,
        Family::Task => &Tasks,
        Family::Prompt => &Prompts,
    }
}

/// What there is to know before anything else is done with the resource of a topic: 403, or 404, if
/// this caller may not see it. From memory if it is known, timed.
pub(super) async fn exists(
    gateway: &Gateway,
    principal: &Principal,
    topic: &Topic,
) -> Result<Resource> {
    let resources = resources(topic.family());
    resources.admit(principal, topic.id())?;
    let began = Instant::now();
    let look_up = resources.look_up(gateway, topic.id());
    let found = gateway.visibility.find(topic, (principal.user_id, principal.role), look_up).await;
    gateway.telemetry.looked_up(topic.family().name(), began.elapsed());
    found?.ok_or_else(Problem::not_found)
}

/// Answers a stream operation.
pub(super) async fn open(
    gateway: &Arc<Gateway>,
    caller: StreamCaller<Viewer>,
    topic: Topic,
    parameters: Parameters,
) -> Result<StreamResponse> {
    caller.may_open(&topic)?;
    exists(gateway, &caller.principal, &topic).await?;
    let source = source(gateway, &topic);
    stream::open(gateway, caller, topic, source, parameters).await
}

/// Why the streams of these could not be opened: what was remembered may have been deleted since, by
/// another gateway.
pub(super) fn unopened(gateway: &Gateway, topics: &[Topic], error: DbErr) -> Problem {
    if !matches!(error, DbErr::RecordNotFound(_)) {
        return error.into();
    }
    for topic in topics {
        gateway.visibility.invalidate(topic);
    }
    Problem::not_found()
}

/// Answers an events operation: the twin of the stream, page by page.
pub(super) async fn events(
    gateway: &Gateway,
    principal: &Principal,
    topic: &Topic,
    after: Option<String>,
    limit: Option<u64>,
) -> Result<Events> {
    exists(gateway, principal, topic).await?;
    event_page::read(gateway, topic, after, super::page_limit(limit)).await
}

/// Reads the state of a topic for its streams.
pub(super) fn source(gateway: &Arc<Gateway>, topic: &Topic) -> Arc<dyn Source> {
    Arc::new(FamilySource { gateway: Arc::clone(gateway), topic: topic.clone() })
}

struct FamilySource {
    gateway: Arc<Gateway>,
    topic: Topic,
}

#[async_trait]
impl Source for FamilySource {
    async fn snapshot(&self, reset: Option<&'static str>) -> std::result::Result<Snapshot, DbErr> {
        let tx = self.gateway.database.begin_read().await?;
        let cursor = self.gateway.hub.log().position(&tx, &self.topic).await?;
        let resources = resources(self.topic.family());
        let state = resources.state(&tx, self.topic.id(), reset.map(str::to_owned)).await?;
        let state = state.ok_or_else(|| DbErr::RecordNotFound(self.topic.to_string()))?;
        tx.rollback().await?;
        Ok(Snapshot { cursor, data: state.data, terminal: state.terminal })
    }
}

/// Writes the events of a change of a resource and commits both.
pub(super) async fn commit(
    gateway: &Gateway,
    tx: Transaction,
    topic: &Topic,
    events: Vec<NewEvent>,
) -> Result<()> {
    let events = gateway.hub.log().append(&tx, topic, events).await?;
    Ok(gateway.hub.commit(tx, events).await?)
}

/// Background work: deletes resources that ended so long ago that they need not be kept, with their
/// event logs, and whatever else a family wants.
pub(super) async fn sweep(gateway: Arc<Gateway>) {
    end_orphans(&gateway).await;
    if gateway.settled().await.is_none() {
        return;
    }
    for family in Family::ALL {
        let (retention, _) = gateway.settings(family);
        if let Err(problem) = resources(family).sweep(&gateway, retention).await {
            tracing::warn!(family = family.name(), cause = problem.cause(), "cannot sweep");
        }
        match delete_ended(&gateway, family).await {
            Ok(0) => {}
            Ok(deleted) => {
                tracing::info!(family = family.name(), deleted, "deleted what had ended");
            }
            Err(error) => tracing::warn!(%error, "cannot delete what has ended"),
        }
    }
}

/// Ends what belongs to users that have been deleted: at once when one is, and now and then, because
/// that may have been cut short.
pub(super) async fn end_orphans(gateway: &Arc<Gateway>) {
    for family in Family::ALL {
        if let Err(problem) = resources(family).end_orphans(gateway).await {
            let cause = problem.cause();
            tracing::warn!(family = family.name(), cause, "cannot end what deleted users had");
        }
    }
}

/// The ids of all users, to find what belongs to none of them.
pub(super) fn users() -> SelectStatement {
    Query::select().column(user::Column::Id).from(user::Entity).to_owned()
}

async fn delete_ended(gateway: &Gateway, family: Family) -> std::result::Result<u64, DbErr> {
    let mut deleted = 0;
    loop {
        let log = gateway.hub.log();
        let topics = log.ended(family).await?;
        if topics.is_empty() {
            return Ok(deleted);
        }
        let tx = gateway.database.begin_write().await?;
        let ids: Vec<Uuid> = topics.iter().map(Topic::id).collect();
        if !resources(family).delete(&tx, &ids).await? {
            return Ok(0);
        }
        log.remove(&tx, &topics).await?;
        tx.commit().await?;
        for topic in &topics {
            gateway.visibility.invalidate(topic);
        }
        deleted += topics.len() as u64;
    }
}

/// Whether nothing was written to the log of this resource since `cutoff`. Locks the log, so nothing
/// will be before the transaction ends.
pub(super) async fn is_silent(
    gateway: &Gateway,
    tx: &Transaction,
    topic: &Topic,
    cutoff: Timestamp,
) -> std::result::Result<bool, DbErr> {
    gateway.hub.log().create(tx, topic).await?;
    let (newest, _) = EventLog::newest(tx, topic, Most { events: 1, bytes: 0 }).await?;
    Ok(newest.last().is_none_or(|event| event.at < cutoff))
}

/// An event of a kind that is one of ours.
pub(super) fn new_event(kind: &str, data: &impl ToJSON) -> Result<NewEvent> {
    NewEvent::new(kind, &data.to_json()).map_err(Problem::internal)
}
