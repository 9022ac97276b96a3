//! The operations of agents on prompts.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{OpenApi, param::Path, payload::Json};
use uuid::Uuid;

use crate::{
    api::{
        caller::{Agent, Caller},
        middleware::RequestInfo,
        problem::Result,
        tag::Tag,
    },
    family::prompt::{self, ClaimPrompts, ClaimedPrompt, Prompt, PromptLease, RenewedPromptLease},
    gateway::Gateway,
};

/// The operations.
pub(in crate::api) struct AgentsApi;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Prompt")]
impl AgentsApi {
    /// Claim prompts
    ///
    /// Claims the oldest queued prompts of all users, each under a lease, or waits for one. Returns an empty list if
    /// there is none. Requires the role agent.
    #[oai(path = "/prompts/claim", method = "post", operation_id = "prompt_claim")]
    async fn claim(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<ClaimPrompts>,
    ) -> Result<Json<Vec<ClaimedPrompt>>> {
        let gone = request.client_gone(Duration::from_secs(body.wait_seconds.unwrap_or(0)));
        Ok(Json(prompt::claim(&gateway, &body, gone).await?))
    }

    /// Renew a prompt lease
    ///
    /// Renews the lease for its full length. Publishing renews it too, when half of it has passed. Requires the role
    /// agent. 409 if the lease is not the newest of the prompt or has expired, or if the prompt has ended.
    #[oai(
        path = "/sessions/:session_id/prompts/:prompt_id/heartbeat",
        method = "post",
        operation_id = "prompt_renew"
    )]
    async fn renew(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
        body: Json<PromptLease>,
    ) -> Result<Json<RenewedPromptLease>> {
        Ok(Json(prompt::renew(&gateway, (session_id.0, prompt_id.0), &body).await?))
    }

    /// Release a prompt
    ///
    /// The prompt is queued again. Requires the role agent. 409 if the lease is not the newest of the prompt or has
    /// expired, or if the prompt has ended. 409 also if an event was published under the claim, because published events
    /// cannot be taken back.
    #[oai(
        path = "/sessions/:session_id/prompts/:prompt_id/release",
        method = "post",
        operation_id = "prompt_release"
    )]
    async fn release(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
        body: Json<PromptLease>,
    ) -> Result<Json<Prompt>> {
        Ok(Json(prompt::release(&gateway, (session_id.0, prompt_id.0), &body).await?))
    }
}
