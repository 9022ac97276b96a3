//! The rows that the benchmark needs: topologies, users with login sessions, and prompts.

use entity::{Timestamp, conversation, login_session, prompt, topology, user};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use streamgate::{
    event::{Cursor, Family, Topic},
    gateway::Gateway,
};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Number of topics that can be subscribed to.
pub(crate) const TOPICS: usize = 1_000;
/// Number of prompts that can be published on.
const PROMPTS: usize = 64;
/// Number of users. Each has one login session.
const USERS: usize = 1_000;
/// Rows in one `INSERT`.
const ROWS: usize = 500;

/// A topology whose topic can be subscribed to.
pub(super) struct Watched {
    pub(super) id: Uuid,
    pub(super) topic: Topic,
    /// Cursor of the newest event. Locked until the event is delivered, so that events keep their order.
    pub(super) newest: Mutex<Cursor>,
}

/// A user and its login session.
pub(super) struct Login {
    pub(super) user: Uuid,
    pub(super) session: Uuid,
}

/// Inserts topologies and their topics.
pub(super) async fn insert_topics(gateway: &Gateway) -> anyhow::Result<Vec<Watched>> {
    let now = Timestamp::now();
    let rows = (0..TOPICS).map(|i| topology::Model {
        id: Uuid::now_v7(),
        name: format!("bench-{i}"),
        mode: "standard".to_owned(),
        config: "{}".to_owned().into(),
        status: topology::Status::Active,
        status_changed_at: now,
        version: 1,
        created_at: now,
    });
    let rows: Vec<topology::Model> = rows.collect();
    let tx = gateway.database.begin_write().await?;
    let mut topics = Vec::with_capacity(TOPICS);
    for rows in rows.chunks(ROWS) {
        let models = rows.iter().cloned().map(IntoActiveModel::into_active_model);
        topology::Entity::insert_many(models).exec_without_returning(&tx).await?;
    }
    for row in &rows {
        let topic = Topic::new(Family::Topology, row.id);
        gateway.hub.log().create(&tx, &topic).await?;
        let newest = Mutex::new(gateway.hub.log().position(&tx, &topic).await?);
        topics.push(Watched { id: row.id, topic, newest });
    }
    tx.commit().await?;
    Ok(topics)
}

/// Inserts users and their login sessions. They have no password hash, because the calculation of each hash would need
/// 19 MiB of memory.
pub(super) async fn insert_logins(gateway: &Gateway) -> anyhow::Result<Vec<Login>> {
    let now = Timestamp::now();
    let login = |_| Login { user: Uuid::now_v7(), session: Uuid::now_v7() };
    let logins: Vec<Login> = (0..USERS).map(login).collect();
    let tx = gateway.database.begin_write().await?;
    for (part, logins) in logins.chunks(ROWS).enumerate() {
        let users = logins.iter().enumerate().map(|(i, login)| user::ActiveModel {
            id: Set(login.user),
            username: Set(format!("bench-{}", part * ROWS + i)),
            password_hash: Set("none".to_owned()),
            // An agent can open streams and publish.
            role: Set(user::Role::Agent),
            disabled: Set(false),
            created_at: Set(now),
            ..Default::default()
        });
        user::Entity::insert_many(users).exec_without_returning(&tx).await?;
        let sessions = logins.iter().map(|login| login_session::ActiveModel {
            id: Set(login.session),
            user_id: Set(login.user),
            created_at: Set(now),
            expires_at: Set(now + gateway.login_sessions.life()),
            ends_at: Set(now + gateway.login_sessions.life()),
            method: Set(login_session::Method::Password),
            ..Default::default()
        });
        login_session::Entity::insert_many(sessions).exec_without_returning(&tx).await?;
    }
    tx.commit().await?;
    Ok(logins)
}

/// Inserts prompts of one conversation, with status `processing` and without a claim. Returns the path
/// to publish on for each.
pub(super) async fn insert_prompts(
    gateway: &Gateway,
    owner_id: Uuid,
) -> anyhow::Result<Vec<String>> {
    let now = Timestamp::now();
    let tx = gateway.database.begin_write().await?;
    let id = Uuid::now_v7();
    let conversation = conversation::Model { id, owner_id, name: String::new(), created_at: now };
    conversation.into_active_model().insert(&tx).await?;
    let mut paths = Vec::with_capacity(PROMPTS);
    for _ in 0..PROMPTS {
        let row = prompt::Model {
            id: Uuid::now_v7(),
            conversation_id: id,
            owner_id,
            text: String::new(),
            status: prompt::Status::Processing,
            attempt: 0,
            created_at: now,
            updated_at: now,
            completed_at: None,
            lease_token: None,
            lease_expires_at: None,
            lease_clock: None,
            lease_seconds: 0,
            claim_seq: 0,
            requires: None,
        };
        paths.push(format!("/v1/sessions/{id}/prompts/{}/events", row.id));
        gateway.hub.log().create(&tx, &Topic::new(Family::Prompt, row.id)).await?;
        row.into_active_model().insert(&tx).await?;
    }
    tx.commit().await?;
    Ok(paths)
}
