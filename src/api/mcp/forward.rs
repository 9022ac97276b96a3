//! Sends the messages of a request on a stream of its session.

use crate::{
    mcp::{Item, Running},
    tunnel::session::{Session, SessionStream},
};

/// Sends the messages of a request until its answer, or until the session ends. `first` is the one that was taken already.
pub(super) async fn forward(
    session: &Session,
    stream: &SessionStream,
    mut running: Running,
    first: Option<Item>,
) {
    let mut next = first;
    loop {
        let item = if let Some(item) = next.take() {
            item
        } else {
            tokio::select! {
                // A message that is there already is still sent.
                biased;
                item = running.next() => item,
                () = session.ended.cancelled() => return,
            }
        };
        match item {
            Item::Message(message) => session.send(stream, &message),
            Item::Last(message) => return session.send(stream, &message),
        }
    }
}
