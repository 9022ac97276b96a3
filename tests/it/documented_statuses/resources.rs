//! One resource of each kind, and for each operation the request that reaches its write, or that conflicts.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    documented_statuses::walker::Request,
    support::{Caller, PASSWORD, SseReader, id_of, mutation, prompt, task, tunnel::TunnelClient},
};

/// Resources of an administrator.
pub struct Resources {
    admin: Uuid,
    user: Uuid,
    refresh_token: Value,
    password: &'static str,
    /// An active topology with a claimed mutation, and one with a pending mutation.
    topologies: [Uuid; 2],
    claimed_mutation: Value,
    claimed_task: Value,
    pending_task: Uuid,
    ended_task: Uuid,
    claimed_prompt: (Uuid, Value),
    pending_prompt: (Uuid, Uuid),
    ended_prompt: (Uuid, Uuid),
    session: Uuid,
    closed_session: Uuid,
    notification: Uuid,
    api_key: Uuid,
    /// A tunnel whose client is away.
    tunnel: Uuid,
    /// The entry of a tunnel client that may not connect.
    blocked_client: Uuid,
    /// The name of a user that the tunnel is shared with. It is an id, like every part of the paths here.
    shared_with: Uuid,
}

impl Resources {
    /// Creates the resources of the administrator, who has this password.
    pub async fn new(admin: &Caller, password: &'static str) -> Self {
        let id = admin.id().await;
        let create = async |path: &str, body: Value| id_of(&admin.post(path, body).await.ok());
        let login = json!({ "username": "admin", "password": password });
        let tokens = Caller { token: None, ..admin.clone() }.post("/v1/auth/login", login).await;
        let user = json!({ "username": "grace", "password": PASSWORD, "role": "viewer" });
        let user_id = create("/v1/users", user).await;
        // So that the user has a login session to revoke.
        let login = json!({ "username": "grace", "password": PASSWORD });
        admin.post("/v1/auth/login", login).await.ok();

        let mut topologies = [Uuid::nil(); 2];
        for (topology, name) in topologies.iter_mut().zip(["claimed", "pending"]) {
            *topology = create("/v1/topologies", json!({ "name": name })).await;
            for status in ["deploying", "active"] {
                admin.set_status(*topology, status).await.ok();
            }
            admin.mutate(*topology, 1).await.ok();
        }
        let mutations = format!("/v1/topologies/{}/mutations", topologies[0]);
        let claimed_mutation = mutation::claim(admin, &mutations, 1).await.remove(0);

        let ended_task = task::create(admin, "ended").await;
        let claimed = task::claim(admin, "ended").await;
        task::report(admin, &claimed, 1, "completed").await.ok();
        task::create(admin, "claimed").await;
        let claimed_task = task::claim(admin, "claimed").await;
        let pending_task = task::create(admin, "summarize").await;

        let created = prompt::create(admin).await;
        let claimed_prompt = (created.session, prompt::claim(admin).await);
        let ended = prompt::create(admin).await;
        let complete = prompt::event("complete");
        prompt::publish(admin, &ended.path, &Value::Null, complete).await.ok();
        let pending = prompt::create(admin).await;

        let session = create("/v1/mcp-sessions", json!({})).await;
        let closed_session = create("/v1/mcp-sessions", json!({})).await;
        let path = format!("/v1/mcp-sessions/{closed_session}");
        admin.call(reqwest::Method::DELETE, &path, None).await.ok();
        let deleted = TunnelClient::legacy(admin, "deleted").await.id;
        let path = format!("/reverse-proxy/sessions/{deleted}");
        admin.call(reqwest::Method::DELETE, &path, None).await.ok();
        let blocked = admin.get("/reverse-proxy/blocked-clients").await.ok();
        let client = TunnelClient::legacy(admin, "away").await;
        let tunnel = client.id;
        client.leave(admin).await;
        let shared_with = Uuid::new_v4();
        let user = json!({ "username": shared_with, "password": PASSWORD, "role": "viewer" });
        admin.post("/v1/users", user).await.ok();
        let share = format!("/reverse-proxy/sessions/{tunnel}/shares/{shared_with}");
        let role = Some(json!({ "role": "list" }));
        admin.call(reqwest::Method::PUT, &share, role).await.ok();
        let message = json!({ "kind": "report.ready", "message": "Ready." });
        Self {
            admin: id,
            user: user_id,
            refresh_token: tokens.ok()["refresh_token"].clone(),
            password,
            topologies,
            claimed_mutation,
            claimed_task,
            pending_task,
            ended_task,
            claimed_prompt,
            pending_prompt: (pending.session, pending.id),
            ended_prompt: (ended.session, ended.id),
            session,
            closed_session,
            api_key: create("/v1/api-keys", json!({ "name": "worker" })).await,
            tunnel,
            blocked_client: id_of(&blocked["items"][0]),
            shared_with,
            notification: create(&format!("/v1/users/{id}/notifications"), message).await,
        }
    }

    /// The request with which an operation reaches its write.
    pub fn writing(&self, operation: &str) -> Request {
        let lease = |claimed: &Value| Some(json!({ "lease_token": claimed["lease_token"] }));
        let [with_claim, with_pending] = self.topologies;
        let task = || id_of(&self.claimed_task["task"]);
        let prompt = || vec![self.claimed_prompt.0, id_of(&self.claimed_prompt.1["prompt"])];
        let pending_prompt = || vec![self.pending_prompt.0, self.pending_prompt.1];
        match operation {
            "auth_login" => {
                (vec![], Some(json!({ "username": "admin", "password": self.password })))
            }
            "auth_refresh" => (vec![], Some(json!({ "refresh_token": self.refresh_token }))),
            "user_update" => (vec![self.user], Some(json!({ "role": "agent" }))),
            "api_key_create" => (vec![], Some(json!({ "name": "another" }))),
            "api_key_rotate" | "api_key_delete" => (vec![self.api_key], None),
            "user_delete" | "user_revoke" => (vec![self.user], None),
            "topology_update" => (vec![with_claim], Some(json!({ "status": "degraded" }))),
            "mutation_create" => (vec![with_claim], Some(json!({ "op": "add_node" }))),
            "mutation_claim" => (vec![with_pending], None),
            "mutation_report" => {
                let report = json!({
                    "lease_token": self.claimed_mutation["lease_token"], "state": "applied",
                });
                (vec![with_claim, id_of(&self.claimed_mutation["mutation"])], Some(report))
            }
            "task_cancel" => (vec![self.pending_task], None),
            "task_renew" | "task_release" => (vec![task()], lease(&self.claimed_task)),
            "task_report" => {
                let token = &self.claimed_task["lease_token"];
                let report = json!({ "lease_token": token, "seq": 1, "status": "completed" });
                (vec![task()], Some(report))
            }
            "prompt_create" => (vec![self.claimed_prompt.0], None),
            "prompt_renew" | "prompt_release" => (prompt(), lease(&self.claimed_prompt.1)),
            "prompt_publish" | "prompt_cancel" => (pending_prompt(), None),
            "mcp_session_create" => (vec![], Some(json!({}))),
            "mcp_session_publish" | "mcp_session_delete" => (vec![self.session], None),
            "tunnel_delete" => (vec![self.tunnel], None),
            "tunnel_share_set" => {
                (vec![self.tunnel, self.shared_with], Some(json!({ "role": "call" })))
            }
            "tunnel_share_delete" => (vec![self.tunnel, self.shared_with], None),
            "tunnel_policy_set" => {
                (vec![self.tunnel], Some(json!({ "tools": { "deny": ["delete_*"] } })))
            }
            "blocked_tunnel_client_delete" => (vec![self.blocked_client], None),
            "notification_create" => (vec![self.admin], None),
            "notification_update" => (vec![self.admin, self.notification], None),
            _ => (vec![], None),
        }
    }

    /// The request that conflicts with the state of the resource. `None` if the operation has none here.
    pub fn conflicting(&self, operation: &str) -> Option<Request> {
        let ended_prompt = || vec![self.ended_prompt.0, self.ended_prompt.1];
        let name = || Some(json!({ "name": "claimed" }));
        let user = json!({ "username": "grace", "password": PASSWORD, "role": "viewer" });
        Some(match operation {
            "user_create" => (vec![], Some(user)),
            "user_update" => (vec![self.admin], Some(json!({ "role": "viewer" }))),
            "user_delete" => (vec![self.admin], None),
            "topology_create" => (vec![], name()),
            "topology_update" => (vec![self.topologies[0]], Some(json!({ "status": "deploying" }))),
            "mutation_create" => {
                let old = json!({ "op": "add_node", "expected_version": 1_000 });
                (vec![self.topologies[0]], Some(old))
            }
            // The lease token of the example is not the newest.
            "mutation_report" => (self.writing(operation).0, None),
            "task_cancel" | "task_renew" | "task_release" | "task_report" => {
                (vec![self.ended_task], None)
            }
            "prompt_renew" | "prompt_release" | "prompt_publish" | "prompt_cancel" => {
                (ended_prompt(), None)
            }
            "mcp_session_publish" => (vec![self.closed_session], None),
            _ => return None,
        })
    }

    /// The URL of a stream, with a stream token that opens it once.
    pub async fn single_use_url(&self, admin: &Caller, operation: &str) -> String {
        let (family, id) = match operation {
            "topology_stream" | "topic_stream" => ("topology", self.topologies[0]),
            "task_stream" => ("task", self.pending_task),
            "prompt_stream" => ("prompt", self.pending_prompt.1),
            "notification_stream" => ("notification", self.admin),
            "mcp_session_stream" => ("mcp_session", self.session),
            "tunnel_stream" => ("tunnel", self.tunnel),
            _ => panic!("{operation}: no resource with a stream"),
        };
        let new = if operation == "topic_stream" {
            json!({ "topics": [format!("{family}.{id}")], "single_use": true })
        } else {
            json!({ "family": family, "id": id, "single_use": true })
        };
        let minted = admin.post("/v1/stream-tokens", new).await.ok();
        minted["url"].as_str().expect("a URL").to_owned()
    }

    /// Opens a stream with a stream token.
    pub async fn stream(&self, admin: &Caller) -> SseReader {
        let url = admin.stream_url(self.topologies[0]).await;
        let anyone = Caller { token: None, ..admin.clone() };
        let mut reader = anyone.stream(&url, "").await;
        reader.expect("snapshot").await;
        reader
    }

    /// The id of the resource whose events an operation lists.
    pub fn with_events(&self, operation: &str) -> Vec<Uuid> {
        match operation {
            "topology_list_events" => vec![self.topologies[0]],
            "task_list_events" => vec![self.pending_task],
            "prompt_list_events" => vec![self.pending_prompt.0, self.pending_prompt.1],
            "notification_list_events" => vec![self.admin],
            "mcp_session_list_events" => vec![self.session],
            "tunnel_list_events" => vec![self.tunnel],
            _ => panic!("{operation}: no resource with events"),
        }
    }
}
