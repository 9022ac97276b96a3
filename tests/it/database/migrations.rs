//! Migrations up and down, with rows in the tables.

use std::sync::Arc;

use entity::{event, topic, user::Role};
use migration::{Migrator, MigratorTrait};
use sea_orm::{EntityTrait, QuerySelect};
use streamgate::{
    database::Database,
    event::{Family, NewEvent, Topic},
    event_log::EventLog,
};
use uuid::Uuid;

use crate::support::{App, Store, soon, topology::topology_with_status};

#[tokio::test]
async fn migration_marks_topics_that_had_already_ended() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let ended = topology_with_status(&operator, "torn_down").await;
    let active = topology_with_status(&operator, "active").await;
    let database = &app.gateway.database;
    // Back to the schema in which topics could not end.
    let steps = Migrator::migrations().len() - 3;
    database.migrate_down(u32::try_from(steps).expect("few")).await.expect("an older schema");
    database.migrate().await.expect("the newest schema");
    for (id, is_over) in [(ended, true), (active, false)] {
        let topic = Topic::new(Family::Topology, id);
        let head = app.gateway.hub.log().head(&topic).await.expect("a database");
        assert_eq!(head.expect("a log").1, is_over);
        let events = vec![NewEvent::new("note", &1).expect("a kind")];
        let published = app.gateway.hub.publish(topic, events).await;
        assert_eq!(published.is_err(), is_over, "{published:?}");
    }
    app.finish().await;
}

/// An older program does not know these families, so it would never prune their events.
#[tokio::test]
async fn removing_a_familys_tables_removes_its_event_logs() {
    let store = Store::new().await;
    let url = store.url();
    let database = Database::connect(url.as_deref(), store.directory.path(), 2);
    let database = soon("connection", database).await.expect("a connection");
    soon("schema", database.migrate()).await.expect("a schema");
    let log = EventLog::new(database.clone(), Arc::default());
    for family in Family::ALL {
        let topic = Topic::new(family, Uuid::now_v7());
        let event = NewEvent::new("x", &1).expect("an event");
        let tx = database.begin_write().await.expect("a transaction");
        log.append(&tx, &topic, vec![event]).await.expect("an event");
        tx.commit().await.expect("a commit");
    }
    // Down to the schema that knows topologies only.
    let steps = u32::try_from(Migrator::migrations().len() - 4).expect("few");
    soon("schema", database.migrate_down(steps)).await.expect("a schema");
    // Single columns, because the entities have columns that this schema lacks.
    let topics = topic::Entity::find()
        .select_only()
        .columns([topic::Column::Id, topic::Column::Name])
        .into_tuple::<(i64, String)>()
        .all(database.reader());
    let topics = topics.await.expect("topics");
    let families: Vec<_> = topics.iter().map(|(_, name)| name.split('.').next()).collect();
    assert_eq!(families, [Some("topology")]);
    let events = event::Entity::find()
        .select_only()
        .column(event::Column::TopicId)
        .into_tuple::<i64>()
        .all(database.reader());
    assert_eq!(events.await.expect("events"), [topics[0].0]);
    soon("close", database.close()).await.expect("closed");
    store.remove().await;
}
