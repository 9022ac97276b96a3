//! The operations of agents on prompts.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};
use uuid::Uuid;

use crate::{
    api::{
        caller::{Agent, Caller},
        json::Json,
        middleware::RequestInfo,
        problem::{ChangeResult, WriteResult},
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
    /// Claims the oldest queued prompts of all users, each under a lease. If there is none, waits up to `wait_seconds`
    /// for one, then returns an empty list. Requires the role agent.
    #[oai(path = "/prompts/claim", method = "post", operation_id = "prompt_claim")]
    async fn claim(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<ClaimPrompts>,
    ) -> WriteResult<Json<Vec<ClaimedPrompt>>> {
        let gone = request.client_gone(Duration::from_secs(body.wait_seconds.unwrap_or(0)));
        Ok(Json(prompt::claim(&gateway, &body, gone).await?))
    }

    /// Renew a prompt lease
    ///
    /// Renews the lease for its full duration. If more than half of the lease has passed, publishing an event also
    /// renews it. Requires the role agent. 409 if the lease has expired or is not the newest of the prompt, or if the
    /// prompt has ended.
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
    ) -> ChangeResult<Json<RenewedPromptLease>> {
        Ok(Json(prompt::renew(&gateway, (session_id.0, prompt_id.0), &body).await?))
    }

    /// Release a prompt
    ///
    /// Returns a claimed prompt to the queue. Published events cannot be taken back, so 409 if an event was published
    /// since the claim. Requires the role agent. 409 also if the lease has expired or is not the newest of the prompt,
    /// or if the prompt has ended.
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
    ) -> ChangeResult<Json<Prompt>> {
        Ok(Json(prompt::release(&gateway, (session_id.0, prompt_id.0), &body).await?))
    }
}
