//! Changes to the event log of which the gateway is not informed.

use entity::{event, topic};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use streamgate::event::Cursor;
use uuid::Uuid;

use crate::support::{
    App, SseReader,
    events::{note, topic_of},
};

/// Removes the events of a topic after number `seq`, which an older copy of the database would not
/// have.
pub async fn rewind(app: &App, topology: Uuid, seq: i64) {
    let log = app.gateway.hub.log();
    let tx = log.database().begin_write().await.expect("a transaction");
    let of_topic = topic::Column::Name.eq(topic_of(topology).as_str());
    let head = topic::Entity::find().filter(of_topic.clone()).one(&tx).await.expect("a topic");
    let id = head.expect("a topic").id;
    let newest = event::Entity::find_by_id((id, seq)).one(&tx).await.expect("an event");
    event::Entity::delete_many()
        .filter(event::Column::TopicId.eq(id))
        .filter(event::Column::Seq.gt(seq))
        .exec(&tx)
        .await
        .expect("a deletion");
    topic::Entity::update_many()
        .col_expr(topic::Column::LastSeq, Expr::value(seq))
        .col_expr(topic::Column::Nonce, Expr::value(newest.expect("an event").nonce))
        .filter(of_topic)
        .exec(&tx)
        .await
        .expect("an update");
    tx.commit().await.expect("a commit");
}

/// Writes events without informing this gateway, as another gateway does when its bus is down.
pub async fn write_elsewhere(app: &App, topology: Uuid, numbers: std::ops::Range<u64>) {
    let log = app.gateway.hub.log();
    for number in numbers {
        let tx = log.database().begin_write().await.expect("a transaction");
        let appended = log.append(&tx, &topic_of(topology), vec![note(number, 10)]).await;
        assert_eq!(appended.expect("an event").len(), 1);
        tx.commit().await.expect("a commit");
    }
}

pub async fn expect_notes(
    reader: &mut SseReader,
    numbers: impl IntoIterator<Item = u64>,
) -> Cursor {
    let mut cursor = None;
    for number in numbers {
        let block = reader.expect("note").await;
        let data = block.data.get("data").unwrap_or(&block.data);
        assert_eq!(data["number"], number, "{}", block.text);
        cursor = block.id;
    }
    let cursor = cursor.expect("an id");
    cursor.split('.').next().expect("a cursor").parse().expect("a cursor")
}
