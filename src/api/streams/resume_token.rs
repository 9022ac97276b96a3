//! Opens streams with a stream token: records the first use, and lets an expired token resume.

use uuid::Uuid;

use super::parameters::Parameters;
use crate::{
    api::{
        presented_token::PresentedToken,
        problem::{Problem, Result},
    },
    auth::stream_token::OpenToken,
    event::{Cursor, Cursors, Topic},
    event_log::{LogError, ReadLimit},
    gateway::Gateway,
    hub::Resume,
};

/// The cursors that an expired token resumes after, one for each topic of the stream.
pub(super) type ResumeAfter = Vec<(Topic, Cursor)>;

/// The cursor of a stream of one topic. `None` without a cursor.
pub(super) fn after_one(topic: &Topic, parameters: &Parameters) -> Option<ResumeAfter> {
    match parameters.resume() {
        Resume::After(cursor) => Some(vec![(topic.clone(), cursor)]),
        Resume::Start | Resume::Invalid => None,
    }
}

/// The cursors of a stream of several topics. `None` if a topic has no cursor, or a cursor has no topic.
pub(super) async fn after_all(
    gateway: &Gateway,
    topics: &[Topic],
    parameters: &Parameters,
) -> Result<Option<ResumeAfter>> {
    let Resume::After(cursors) = parameters.resume::<Cursors>() else { return Ok(None) };
    let positions = gateway.hub.log().positions(topics).await?;
    let is_known = |epoch| positions.values().any(|position| position.epoch == epoch);
    if !cursors.epochs().all(is_known) {
        return Ok(None);
    }
    let after = |topic: &Topic| {
        let cursor = cursors.for_epoch(positions.get(topic.as_str())?.epoch)?;
        Some((topic.clone(), cursor))
    };
    Ok(topics.iter().map(after).collect())
}

/// Resumes a stream with an expired token, and ends the connection that it had.
///
/// # Errors
/// 401 if the token was last used for other topics, or if the stream cannot resume after the cursors.
pub(super) async fn resume(
    gateway: &Gateway,
    token: &PresentedToken,
    after: Option<ResumeAfter>,
    connection: Uuid,
) -> Result<OpenToken> {
    let stale = || {
        let stale = "the token has expired, and the stream cannot resume without a cursor that the log still has";
        Problem::invalid_token(stale)
    };
    let after = after.ok_or_else(stale)?;
    let one = ReadLimit { events: 1, bytes: 1 };
    for (topic, cursor) in &after {
        match gateway.hub.log().after(topic, *cursor, one).await {
            Ok(_) => {}
            Err(LogError::Stale(_)) => return Err(stale()),
            Err(LogError::Database(error)) => return Err(error.into()),
        }
    }
    let names: Vec<&str> = after.iter().map(|(topic, _)| topic.as_str()).collect();
    let resumed = gateway.stream_tokens.resume(&token.claims, &names, connection).await?;
    let open = resumed.ok_or_else(|| {
        Problem::invalid_token("the token has expired, and was last used for other topics")
    })?;
    gateway.stream_resumed(token.claims.jti, connection);
    Ok(open)
}

/// Records that a valid token opens a stream of these topics. 401 if it opens one stream only, and has done so.
pub(super) async fn open(
    gateway: &Gateway,
    token: &PresentedToken,
    topics: &[Topic],
    connection: Uuid,
) -> Result<Option<OpenToken>> {
    let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
    if token.claims.single_use && !gateway.stream_tokens.use_up(&token.claims, &names).await? {
        return Err(Problem::invalid_token("the token was for a single use, and is used up"));
    }
    Ok(gateway.stream_tokens.open(&token.claims, &names, connection))
}
