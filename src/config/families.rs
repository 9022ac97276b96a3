//! What each family of streams is configured with. A family has a key in each of these sections.

use serde::{Deserialize, Serialize};

/// `[retention]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Retention {
    /// Newest events kept of a topology. At least 1.
    #[config(
        default = 10_000,
        env = "STREAMGATE_RETENTION__TOPOLOGY_EVENTS",
        validate(*topology_events >= 1, "must be at least 1 event")
    )]
    pub topology_events: u64,

    /// Age in seconds from which the events of a topology are pruned, from 1 to 315360000 (ten years). The
    /// default is a week.
    #[config(
        default = 604_800,
        env = "STREAMGATE_RETENTION__TOPOLOGY_SECONDS",
        validate((1..=315_360_000).contains(topology_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub topology_seconds: u64,

    /// Newest events kept of a user's notifications. At least 1.
    #[config(
        default = 1_000,
        env = "STREAMGATE_RETENTION__NOTIFICATION_EVENTS",
        validate(*notification_events >= 1, "must be at least 1 event")
    )]
    pub notification_events: u64,

    /// Age in seconds from which the events of a user's notifications are pruned, from 1 to 315360000 (ten years). The
    /// default is a week. Notifications of that age are deleted, read or not.
    #[config(
        default = 604_800,
        env = "STREAMGATE_RETENTION__NOTIFICATION_SECONDS",
        validate((1..=315_360_000).contains(notification_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub notification_seconds: u64,

    /// Newest events kept of a task. At least 1.
    #[config(
        default = 1_000,
        env = "STREAMGATE_RETENTION__TASK_EVENTS",
        validate(*task_events >= 1, "must be at least 1 event")
    )]
    pub task_events: u64,

    /// Age in seconds from which the events of a task are pruned, from 1 to 315360000 (ten years). The
    /// default is a week. A task that ended that long ago is deleted.
    #[config(
        default = 604_800,
        env = "STREAMGATE_RETENTION__TASK_SECONDS",
        validate((1..=315_360_000).contains(task_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub task_seconds: u64,

    /// Newest events kept of a prompt. At least 1.
    #[config(
        default = 10_000,
        env = "STREAMGATE_RETENTION__PROMPT_EVENTS",
        validate(*prompt_events >= 1, "must be at least 1 event")
    )]
    pub prompt_events: u64,

    /// Age in seconds from which the events of a prompt are pruned, from 1 to 315360000 (ten years). The
    /// default is a week. A prompt that ended that long ago is deleted.
    #[config(
        default = 604_800,
        env = "STREAMGATE_RETENTION__PROMPT_SECONDS",
        validate((1..=315_360_000).contains(prompt_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub prompt_seconds: u64,

    /// Newest events kept of an MCP session. At least 1.
    #[config(
        default = 1_000,
        env = "STREAMGATE_RETENTION__MCP_SESSION_EVENTS",
        validate(*mcp_session_events >= 1, "must be at least 1 event")
    )]
    pub mcp_session_events: u64,

    /// Age in seconds from which the events of an MCP session are pruned, from 1 to 315360000 (ten years). The
    /// default is a week. A session that was closed that long ago is deleted.
    #[config(
        default = 604_800,
        env = "STREAMGATE_RETENTION__MCP_SESSION_SECONDS",
        validate((1..=315_360_000).contains(mcp_session_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub mcp_session_seconds: u64,

    /// Seconds between two prunings, from 1 to 86400. More often means shorter write locks. Nothing is
    /// pruned in the first minute after a start, nor until a wall clock that jumped has been stable for
    /// a minute.
    #[config(
        default = 300,
        env = "STREAMGATE_RETENTION__SWEEP_SECONDS",
        validate((1..=86_400).contains(sweep_seconds), "must be from 1 to 86400 seconds")
    )]
    pub sweep_seconds: u64,
}

/// `[prompts]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Prompts {
    /// Seconds after which a prompt has failed that somebody answers who has not claimed it, and about
    /// which nothing is published any more, from 1 to 31536000 (a year). Looked for every
    /// `retention.sweep_seconds`.
    #[config(
        default = 600,
        env = "STREAMGATE_PROMPTS__IDLE_SECONDS",
        validate((1..=31_536_000).contains(idle_seconds), "must be from 1 to 31536000 seconds")
    )]
    pub idle_seconds: u64,
}

/// `[mcp_sessions]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct McpSessions {
    /// Seconds after which a session is closed in which nobody says anything and that nobody watches,
    /// from 1 to 31536000 (a year). Looked for every `retention.sweep_seconds`, by each gateway, which
    /// sees only who watches there: with several, let clients who only listen say something (a
    /// `ping`) now and then.
    #[config(
        default = 600,
        env = "STREAMGATE_MCP_SESSIONS__IDLE_SECONDS",
        validate((1..=31_536_000).contains(idle_seconds), "must be from 1 to 31536000 seconds")
    )]
    pub idle_seconds: u64,
}

/// `[overflow]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct OverflowByFamily {
    /// Topologies, unless the subscriber asks for something else: `catch_up` from the event log,
    /// which loses nothing; `drop_oldest`, so that it has the newest; `drop_new`, so that it first
    /// gets what waited for it; or `close_connection`. What is dropped is announced in
    /// `stream.dropped`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__TOPOLOGY")]
    pub topology: Overflow,

    /// The same for notifications.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__NOTIFICATION")]
    pub notification: Overflow,

    /// The same for tasks.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__TASK")]
    pub task: Overflow,

    /// The same for prompts.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__PROMPT")]
    pub prompt: Overflow,

    /// The same for MCP sessions.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__MCP_SESSION")]
    pub mcp_session: Overflow,
}

/// What is to happen when a subscriber is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It reads from the event log what it missed.
    CatchUp,
    /// It misses the oldest that it has not been given.
    DropOldest,
    /// It misses what came while there was no more room for it.
    DropNew,
    /// Its stream is ended.
    CloseConnection,
}
