//! Records the use of stream tokens, and decides which expired token may resume a stream.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    open_tokens::{NewRow, OpenToken, OpenTokens},
    rows::{self, BATCH},
};
use crate::{
    auth::stream_claims::StreamClaims,
    clock::{Clock, Reading},
    database::Database,
};

/// Longest lifetime of a stream token. The row of a token for one stream must not be deleted before.
const LONGEST_LIFE: Duration = Duration::from_mins(5);

/// The use of stream tokens, in the database and in this process.
pub struct StreamTokens {
    database: Database,
    clock: Arc<Clock>,
    resume_within: Duration,
    open: Arc<OpenTokens>,
    /// Held while rows are written, so that changes reach the database in order. A refresh also must not compare a
    /// connection with its row while that connection is resuming.
    writing: Mutex<()>,
}

impl StreamTokens {
    /// `resume_within` is the time after the end of a connection in which the expired token can resume its stream.
    /// Zero means that no expired token can.
    #[must_use]
    pub fn new(database: Database, clock: &Arc<Clock>, resume_within: Duration) -> Self {
        let (clock, open) = (Arc::clone(clock), Arc::default());
        Self { database, clock, resume_within, open, writing: Mutex::default() }
    }

    /// Records that a valid token opens a stream of these topics. `None` if the token will not be able to resume it.
    #[must_use]
    pub fn open(
        &self,
        claims: &StreamClaims,
        topics: &[&str],
        connection: Uuid,
    ) -> Option<OpenToken> {
        if self.resume_within.is_zero() || claims.single_use {
            return None;
        }
        let open = self.open.add(claims.jti, connection);
        self.open.insert(row(claims, topics));
        Some(open)
    }

    /// Uses up a token that opens one stream only. Returns false if it is used up already, on any gateway.
    pub async fn use_up(&self, claims: &StreamClaims, topics: &[&str]) -> Result<bool, DbErr> {
        let row = row(claims, topics);
        rows::insert_once(self.database.writer(), &row, self.clock.now()).await
    }

    /// Whether this expired token may resume any stream.
    pub async fn may_resume(&self, claims: &StreamClaims) -> Result<bool, DbErr> {
        if self.resume_within.is_zero() || claims.single_use {
            return Ok(false);
        }
        let since = self.clock.read().cutoff(self.resume_within);
        Ok(rows::find(self.database.reader(), claims.jti, since).await?.is_some())
    }

    /// Records that an expired token resumes the stream of these topics. `None` if it may not. The caller ends the
    /// other connections of the token, see [`Self::others`].
    pub async fn resume(
        &self,
        claims: &StreamClaims,
        topics: &[&str],
        connection: Uuid,
    ) -> Result<Option<OpenToken>, DbErr> {
        let _writing = self.writing.lock().await;
        let (since, now) = (self.clock.read().cutoff(self.resume_within), self.clock.now());
        let row = row(claims, topics);
        let resumed = rows::resume(self.database.writer(), &row, connection, (since, now)).await?;
        Ok(resumed.then(|| self.open.add(claims.jti, connection)))
    }

    /// The open connections of a token in this process, except this one.
    #[must_use]
    pub fn others(&self, token: Uuid, except: Uuid) -> Vec<Uuid> {
        self.open.others(token, except)
    }

    /// The stream token of an open connection of this process. `None` if it has none, or one that cannot resume.
    #[must_use]
    pub fn token_of(&self, connection: Uuid) -> Option<Uuid> {
        self.open.token_of(connection)
    }

    /// Deletes the row of a token. From now on, the expired token resumes nothing.
    pub async fn delete(&self, token: Uuid) -> Result<(), DbErr> {
        self.open.delete(token);
        self.write_changes().await
    }

    /// Waits for rows to insert or to delete. Only one task may wait.
    pub async fn changed(&self) {
        self.open.changed().await;
    }

    /// Inserts and deletes rows.
    pub async fn write_changes(&self) -> Result<(), DbErr> {
        let _writing = self.writing.lock().await;
        let changes = self.open.take_changes();
        let written = rows::write(self.database.writer(), &changes, self.clock.now()).await;
        if written.is_err() {
            self.open.put_back(changes);
        }
        written
    }

    /// Records that the streams in this process are open. Returns the connections whose token has resumed the stream
    /// elsewhere.
    pub async fn refresh(&self) -> Result<Vec<Uuid>, DbErr> {
        self.write_changes().await?;
        let mut replaced = Vec::new();
        for batch in self.open.tokens().chunks(BATCH) {
            let _writing = self.writing.lock().await;
            let resumed = rows::resumed(self.database.reader(), batch).await?;
            for (token, connection) in resumed {
                replaced.extend(self.open.others(token, connection));
            }
            rows::refresh(self.database.writer(), batch, self.clock.now()).await?;
        }
        Ok(replaced)
    }

    /// Deletes the rows that have no use any more.
    pub async fn prune(&self, now: &Reading) -> Result<(), DbErr> {
        let cutoff = now.cutoff(self.resume_within.max(LONGEST_LIFE));
        rows::prune(self.database.writer(), cutoff).await
    }
}

fn row(claims: &StreamClaims, topics: &[&str]) -> NewRow {
    let mut topics = topics.to_vec();
    topics.sort_unstable();
    NewRow { token: claims.jti, session: claims.sid, topics: topics.join(",") }
}
