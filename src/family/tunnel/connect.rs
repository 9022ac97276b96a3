//! Gives a tunnel client its tunnel: the one that it had before, or a new one.

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, tunnel, user};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::{
    client::{Client, check_not_blocked},
    events::CONNECTED,
    rows::{disconnect_locked, resource, topic, traffic},
    schema::TunnelChanged,
};
use crate::{
    database::Transaction,
    event::Event,
    family::{FamilyError, Result, new_event},
    gateway::Gateway,
    limit::Slot,
    tunnel::{Connection, Disconnect, Frames, Identity, Settings, Traffic},
};

/// Number of heartbeats without a sign of a gateway after which its tunnel clients count as disconnected.
const HEARTBEATS: u32 = 3;

/// Time in which a connected client must answer a ping, when another client wants its name.
const PING_TIME: Duration = Duration::from_secs(2);

/// A tunnel client that has its tunnel.
pub struct Connected {
    /// The connection.
    pub connection: Arc<Connection>,
    /// The frames to write to its socket.
    pub frames: Frames,
    /// The slot of the user, as long as the client is connected.
    pub slot: Slot,
}

/// The time until which a connection counts as alive without a further sign of its gateway.
pub(super) fn alive_until(gateway: &Gateway) -> Timestamp {
    let heartbeat = Duration::from_secs(gateway.config.streams.heartbeat_seconds);
    gateway.clock.now() + heartbeat * HEARTBEATS
}

/// Connects a client. A process that connects again gets its tunnel. Another process gets the first tunnel with this
/// name whose client is away. Otherwise it gets a new tunnel, with a number after the name if
/// the name is taken.
///
/// # Errors
/// [`FamilyError::Forbidden`] if the tunnel of the client was deleted, [`FamilyError::NotFound`] if the user was.
pub async fn connect(gateway: &Gateway, client: Client) -> Result<Connected> {
    close_dead(gateway, &client).await?;
    let id = Uuid::new_v4();
    let lookup = gateway.visibility.start_lookup();
    let _connecting = gateway.tunnels.connecting.lock().await;
    let tx = gateway.database.begin_write().await?;
    // Two clients of a user that connect at the same time would choose the same name.
    let owner = user::Entity::find_by_id(client.owner).lock_exclusive().one(&tx).await?;
    owner.ok_or(FamilyError::NotFound)?;
    // It may have been deleted since the client was admitted.
    check_not_blocked(&tx, client.owner, client.key, &client.name).await?;
    let rows = candidates(&client).lock_exclusive().all(&tx).await?;
    let (row, mut events) = match choose(gateway, &client, &rows) {
        Some(row) => {
            let events = match row.gateway {
                Some(_) => replace(gateway, &tx, row.clone()).await?,
                None => Vec::new(),
            };
            (take(gateway, &tx, &client, id, row.id).await?, events)
        }
        None => (create(gateway, &tx, &client, id).await?, Vec::new()),
    };
    let (before, resource, tunnel) = (traffic(&row), resource(&row), row.id);
    let event = new_event(CONNECTED, &TunnelChanged { tunnel: row.into() })?;
    events.extend(gateway.hub.log().append(&tx, &topic(tunnel), vec![event]).await?);
    gateway.hub.commit(tx, events).await?;
    gateway.visibility.insert(topic(tunnel), resource, lookup);
    let watch = client.watch;
    let identity = Identity {
        tunnel,
        id,
        owner: client.owner,
        instance: client.instance,
        is_session_valid: Box::new(move || watch.check(Timestamp::now()).is_ok()),
    };
    let metrics = &gateway.tunnels.metrics;
    let (connection, frames) = Connection::new(identity, before, settings(gateway), metrics);
    gateway.tunnels.insert(Arc::clone(&connection));
    // The session may have ended, and the shutdown may have begun, before the registry had the connection.
    connection.check_session();
    if gateway.is_stopping() {
        connection.close(Disconnect::ServerShutdown);
    }
    Ok(Connected { connection, frames, slot: client.slot })
}

fn settings(gateway: &Gateway) -> Settings {
    let config = &gateway.config.tunnels;
    Settings {
        requests_in_flight: config.requests_in_flight,
        request_time: Duration::from_secs(config.request_seconds),
        unresponsive: Duration::from_secs(config.unresponsive_seconds),
    }
}

/// The tunnels of the owner with this client name, oldest first.
fn candidates(client: &Client) -> sea_orm::Select<tunnel::Entity> {
    tunnel::Entity::find()
        .filter(tunnel::Column::OwnerId.eq(client.owner))
        .filter(tunnel::Column::ClientName.eq(&client.name))
        .filter(tunnel::Column::DeletedAt.is_null())
        .order_by_asc(tunnel::Column::Id)
}

/// Closes the connections to this gateway whose client has gone without a word, so that a client which has started
/// again gets its name back.
async fn close_dead(gateway: &Gateway, client: &Client) -> Result<()> {
    for row in candidates(client).all(gateway.database.reader()).await? {
        let Some(connection) = gateway.tunnels.find(row.id) else { continue };
        let is_same = client.instance.is_some() && connection.instance == client.instance;
        if !is_same && !connection.is_alive(PING_TIME).await {
            connection.close(Disconnect::ConnectionLost);
        }
    }
    Ok(())
}

/// The tunnel that the client gets. `None` if it needs a new one.
fn choose<'a>(
    gateway: &Gateway,
    client: &Client,
    rows: &'a [tunnel::Model],
) -> Option<&'a tunnel::Model> {
    let is_same =
        |row: &&tunnel::Model| client.instance.is_some() && row.instance == client.instance;
    let is_away = |row: &&tunnel::Model| match row.gateway {
        None => true,
        Some(node) if node == gateway.node() => gateway.tunnels.find(row.id).is_none(),
        Some(_) => row.alive_until < gateway.clock.now(),
    };
    rows.iter().find(is_same).or_else(|| rows.iter().find(is_away))
}

/// Ends the connection that a tunnel still has. Returns the events for the commit.
async fn replace(gateway: &Gateway, tx: &Transaction, row: tunnel::Model) -> Result<Vec<Event>> {
    let live = gateway.tunnels.find(row.id).map(|connection| connection.traffic());
    let traffic: Traffic = live.unwrap_or_else(|| traffic(&row));
    disconnect_locked(gateway, tx, row, tunnel::DisconnectReason::Replaced, traffic).await
}

async fn take(
    gateway: &Gateway,
    tx: &Transaction,
    client: &Client,
    connection: Uuid,
    id: Uuid,
) -> Result<tunnel::Model> {
    let change = tunnel::ActiveModel {
        id: Set(id),
        key_id: Set(client.key),
        instance: Set(client.instance.clone()),
        address: Set(client.address.to_string()),
        connection: Set(connection),
        gateway: Set(Some(gateway.node())),
        alive_until: Set(alive_until(gateway)),
        connected_at: Set(Timestamp::now()),
        ..Default::default()
    };
    Ok(change.update(tx).await?)
}

async fn create(
    gateway: &Gateway,
    tx: &Transaction,
    client: &Client,
    connection: Uuid,
) -> Result<tunnel::Model> {
    let now = Timestamp::now();
    let row = tunnel::Model {
        id: Uuid::now_v7(),
        owner_id: client.owner,
        key_id: client.key,
        client_name: client.name.clone(),
        name: free_name(tx, client).await?,
        instance: client.instance.clone(),
        description: None,
        server_info: None,
        protocol_version: None,
        policy: None,
        address: client.address.to_string(),
        connection,
        gateway: Some(gateway.node()),
        alive_until: alive_until(gateway),
        created_at: now,
        connected_at: now,
        disconnected_at: None,
        disconnect_reason: None,
        last_activity_at: now,
        messages_received: 0,
        bytes_received: 0,
        messages_sent: 0,
        bytes_sent: 0,
        deleted_at: None,
    };
    Ok(row.into_active_model().insert(tx).await?)
}

/// The name of the client, or the first of `name-2`, `name-3` and so on that no tunnel of the owner has.
async fn free_name(tx: &Transaction, client: &Client) -> Result<String> {
    let taken: Vec<String> = tunnel::Entity::find()
        .filter(tunnel::Column::OwnerId.eq(client.owner))
        .filter(tunnel::Column::Name.starts_with(&client.name))
        .filter(tunnel::Column::DeletedAt.is_null())
        .select_only()
        .column(tunnel::Column::Name)
        .into_tuple()
        .all(tx)
        .await?;
    let numbered = (2..).map(|number: u64| format!("{}-{number}", client.name));
    let mut names = [client.name.clone()].into_iter().chain(numbered);
    let free = names.find(|name| !taken.contains(name));
    Ok(free.unwrap_or_default())
}
