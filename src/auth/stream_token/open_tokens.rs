//! The stream tokens whose streams are open in this process, and the changes of their rows that are not written yet.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    mem,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

/// The row of a token that has opened a stream.
#[derive(Clone)]
pub(super) struct NewRow {
    pub(super) token: Uuid,
    pub(super) session: Uuid,
    /// As in the column.
    pub(super) topics: String,
}

/// Changes of rows. The deletions come before the insertions.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) deleted: HashSet<Uuid>,
    /// One for each token, because PostgreSQL refuses two rows with one key in a statement.
    pub(super) inserted: HashMap<Uuid, NewRow>,
}

#[derive(Default)]
struct State {
    /// Each token with an open connection of it. In this form, an open stream takes little memory.
    connections: BTreeSet<(Uuid, Uuid)>,
    changes: Changes,
}

impl State {
    /// The open connections of a token.
    fn of(&self, token: Uuid) -> impl Iterator<Item = Uuid> {
        let all = (token, Uuid::nil())..=(token, Uuid::max());
        self.connections.range(all).map(|(_, connection)| *connection)
    }
}

/// The stream tokens whose streams are open in this process.
#[derive(Default)]
pub(super) struct OpenTokens {
    /// Never held during a write to the database.
    state: Mutex<State>,
    changed: Notify,
}

impl OpenTokens {
    /// Adds a connection of a token.
    pub(super) fn add(self: &Arc<Self>, token: Uuid, connection: Uuid) -> OpenToken {
        let mut state = self.state.lock();
        state.connections.insert((token, connection));
        OpenToken { token, connection, open: Arc::clone(self) }
    }

    /// Requests the insertion of a row.
    pub(super) fn insert(&self, row: NewRow) {
        self.state.lock().changes.inserted.insert(row.token, row);
        self.changed.notify_one();
    }

    /// Requests the deletion of the row of a token.
    pub(super) fn delete(&self, token: Uuid) {
        let mut state = self.state.lock();
        state.changes.inserted.remove(&token);
        state.changes.deleted.insert(token);
        self.changed.notify_one();
    }

    /// Takes the changes that are not written yet.
    pub(super) fn take_changes(&self) -> Changes {
        mem::take(&mut self.state.lock().changes)
    }

    /// Returns changes that could not be written. Insertions for streams that are no longer open are dropped, so that
    /// their number stays limited while the database fails.
    pub(super) fn put_back(&self, changes: Changes) {
        let mut state = self.state.lock();
        for (token, row) in changes.inserted {
            let is_open = state.of(token).next().is_some();
            if is_open && !state.changes.deleted.contains(&token) {
                state.changes.inserted.entry(token).or_insert(row);
            }
        }
        state.changes.deleted.extend(changes.deleted);
    }

    /// Waits for a change that is not written yet. Only one task may wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The token of an open connection. Looks at every connection, because only a deletion needs it.
    pub(super) fn token_of(&self, connection: Uuid) -> Option<Uuid> {
        let state = self.state.lock();
        state.connections.iter().find(|(_, open)| *open == connection).map(|(token, _)| *token)
    }

    /// The open connections of a token, except this one.
    pub(super) fn others(&self, token: Uuid, except: Uuid) -> Vec<Uuid> {
        self.state.lock().of(token).filter(|connection| *connection != except).collect()
    }

    /// The tokens with open connections.
    pub(super) fn tokens(&self) -> Vec<Uuid> {
        let mut tokens: Vec<Uuid> =
            self.state.lock().connections.iter().map(|(token, _)| *token).collect();
        tokens.dedup();
        tokens
    }
}

/// The stream token of an open connection. Dropping this value reports that the connection has ended.
pub struct OpenToken {
    token: Uuid,
    connection: Uuid,
    open: Arc<OpenTokens>,
}

impl OpenToken {
    /// Deletes the row of the token in the background, because its stream has ended for good.
    pub fn delete(&self) {
        self.open.delete(self.token);
    }
}

impl Drop for OpenToken {
    fn drop(&mut self) {
        self.open.state.lock().connections.remove(&(self.token, self.connection));
    }
}
