//! A call of an operation of the MCP endpoint, and the tunnel that it is for.

use std::sync::Arc;

use poem::Request;

use crate::{
    api::{
        caller::{Caller, Viewer, gateway},
        middleware::{RequestInfo, RequestOrigin},
        problem::{Kind, Problem, Result},
    },
    family::tunnel::{Access, access},
    gateway::Gateway,
    mcp::Requester,
    tunnel::TunnelName,
};

/// The values that every operation uses.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) caller: &'a Caller<Viewer>,
    pub(super) info: &'a RequestInfo,
    pub(super) request: &'a Request,
}

impl<'a> Call<'a> {
    pub(super) fn new(caller: &'a Caller<Viewer>, request: &'a Request) -> Self {
        let info = request.data().expect("the middleware sets the request info");
        Self { gateway: gateway(request), caller, info, request }
    }

    /// The tunnel, if the caller may use it.
    pub(super) async fn access(self, tunnel: &str, name: Option<&str>) -> Result<Access> {
        // A page must not reach a server through a DNS name that it controls (MCP, Streamable HTTP, Security Warning).
        if self.info.origin == RequestOrigin::Other {
            let detail = "a page of this origin may not use a tunnel: see server.allowed_origins";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        let name = match (name, tunnel.strip_prefix('@')) {
            (None, _) => tunnel.parse().ok().map(TunnelName::Id),
            (Some(name), Some(owner)) => {
                Some(TunnelName::Owned { owner: owner.to_owned(), name: name.to_owned() })
            }
            (Some(_), None) => None,
        };
        let name = name.ok_or_else(Problem::not_found)?;
        Ok(access(self.gateway, &self.caller.principal, &name).await?)
    }

    /// The sender of the message.
    pub(super) fn requester<'b>(self, access: &'b Access) -> Requester<'b>
    where
        'a: 'b,
    {
        Requester { principal: &self.caller.principal, address: self.info.address, access }
    }
}
