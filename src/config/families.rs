//! Settings of the families: retention, idle timeouts and overflow strategies.

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

    /// Newest events kept of a tunnel. At least 1.
    #[config(
        default = 1_000,
        env = "STREAMGATE_RETENTION__TUNNEL_EVENTS",
        validate(*tunnel_events >= 1, "must be at least 1 event")
    )]
    pub tunnel_events: u64,

    /// Age in seconds from which the events of a tunnel are pruned, from 1 to 315360000 (ten years). The
    /// default is a week.
    #[config(
        default = 604_800,
        env = "STREAMGATE_RETENTION__TUNNEL_SECONDS",
        validate((1..=315_360_000).contains(tunnel_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub tunnel_seconds: u64,

    /// Age in seconds from which security events are deleted, from 1 to 315360000 (ten years). The default is a year.
    #[config(
        default = 31_536_000,
        env = "STREAMGATE_RETENTION__AUDIT_SECONDS",
        validate((1..=315_360_000).contains(audit_seconds), "must be from 1 to 315360000 seconds")
    )]
    pub audit_seconds: u64,

    /// Seconds between two prunings, from 1 to 86400. A shorter interval means shorter write locks. Nothing is
    /// pruned in the first minute after a start. After a jump of the wall clock, pruning waits until the clock
    /// has been stable for a minute.
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
    /// Idle timeout in seconds for prompts that are answered without a claim, from 1 to 31536000 (a year).
    /// Without an event for this long, the prompt becomes `failed`. Checked
    /// every `retention.sweep_seconds`.
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
    /// Idle timeout in seconds for MCP sessions, from 1 to 31536000 (a year). A session is closed when no
    /// message was published for this long and no client watches it. Each gateway checks every
    /// `retention.sweep_seconds`, and sees only clients that watch on this gateway. With several gateways, let
    /// clients that only watch publish a message (a `ping`) now and then.
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
    /// Overflow strategy of topology streams that name none. `catch_up` reads missed events from the event log
    /// and loses nothing. `drop_oldest` continues with the newest events. `drop_new` sends the events that were
    /// waiting first. `close_connection` ends the stream. A stream announces dropped events in
    /// `stream.dropped`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__TOPOLOGY")]
    pub topology: Overflow,

    /// Overflow strategy of notification streams that name none. The strategies are those of `overflow.topology`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__NOTIFICATION")]
    pub notification: Overflow,

    /// Overflow strategy of task streams that name none. The strategies are those of `overflow.topology`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__TASK")]
    pub task: Overflow,

    /// Overflow strategy of prompt streams that name none. The strategies are those of `overflow.topology`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__PROMPT")]
    pub prompt: Overflow,

    /// Overflow strategy of MCP session streams that name none. The strategies are those of `overflow.topology`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__MCP_SESSION")]
    pub mcp_session: Overflow,

    /// Overflow strategy of tunnel streams that name none. The strategies are those of `overflow.topology`.
    #[config(default = "catch_up", env = "STREAMGATE_OVERFLOW__TUNNEL")]
    pub tunnel: Overflow,
}

/// Strategy for a client that is slower than the events kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The client gets the missed events from the event log.
    CatchUp,
    /// The client loses the oldest missed events.
    DropOldest,
    /// The client loses the newest missed events.
    DropNew,
    /// The stream ends.
    CloseConnection,
}
