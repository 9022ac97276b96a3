//! Subscriptions across the eras (MCP 2026-07-28, Subscriptions).
//!
//! A modern client of a legacy server gets the notifications that the server sends without a request. For legacy
//! clients of a modern server, the gateway keeps a subscription at the server.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{error::RpcError, exchange::Item};
use crate::{
    gateway::Gateway,
    tunnel::{
        CallError, Caller, Connection, Era, Reply, SUBSCRIBE, Server,
        message::{self, Members},
        session::{MAX_URI_BYTES, Session},
    },
};

/// The key of the subscription's id in `_meta`.
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The fields of the filter, and the methods that they select.
const LISTS: [(&str, &str); 3] = [
    ("toolsListChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "notifications/prompts/list_changed"),
    ("resourcesListChanged", "notifications/resources/list_changed"),
];

/// Maximum number of resources of one subscription to a server of the legacy era. Each is a request to the server.
const MAX_WATCHED: usize = 100;

/// A subscription of a modern client to a server of the legacy era.
pub struct Subscription {
    gateway: Arc<Gateway>,
    caller: Caller,
    id: Value,
    methods: Vec<&'static str>,
    uris: BTreeSet<String>,
    unasked: Receiver<Arc<str>>,
    connection: Arc<Connection>,
    acknowledged: Option<Members>,
}

/// Begins a subscription of a modern client to a server of the legacy era.
///
/// # Errors
/// [`RpcError::INVALID_PARAMS`] if it is for too many resources.
pub(super) fn listen(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    caller: Caller,
    id: Value,
    request: &Members,
) -> Result<Subscription, RpcError> {
    let filter = message::member(request, &["params", "notifications"]);
    let wants = |name: &str| filter.and_then(|filter| filter.get(name)) == Some(&true.into());
    let lists: Vec<_> = LISTS.into_iter().filter(|(field, _)| wants(field)).collect();
    let uris = filter.and_then(|filter| filter.get("resourceSubscriptions")?.as_array());
    let uris: BTreeSet<String> =
        uris.into_iter().flatten().filter_map(|uri| Some(uri.as_str()?.to_owned())).collect();
    if uris.len() > MAX_WATCHED || uris.iter().any(|uri| uri.len() > MAX_URI_BYTES) {
        let reason = "the subscription is for too many resources, or a URI is too long";
        return Err(RpcError::new(RpcError::INVALID_PARAMS, reason));
    }
    let unasked = connection.listen();
    connection.watched.add(&uris, |uri| {
        watch_resource(gateway, connection, caller, ("resources/subscribe", uri));
    });
    let mut honored: Members =
        lists.iter().map(|(field, _)| ((*field).to_owned(), true.into())).collect();
    if !uris.is_empty() {
        honored.insert("resourceSubscriptions".to_owned(), json!(uris));
    }
    let params = json!({ "_meta": { SUBSCRIPTION_ID: id }, "notifications": honored });
    let acknowledged =
        message::notification("notifications/subscriptions/acknowledged", Some(params));
    Ok(Subscription {
        gateway: Arc::clone(gateway),
        caller,
        id,
        methods: lists.into_iter().map(|(_, method)| method).collect(),
        uris,
        unasked,
        connection: Arc::clone(connection),
        acknowledged: Some(acknowledged),
    })
}

/// Asks a server of the legacy era for the updates of a resource, or asks it to stop them. A server without this resource
/// sends none.
pub(super) fn watch_resource(
    gateway: &Gateway,
    connection: &Connection,
    caller: Caller,
    (method, uri): (&str, &str),
) {
    let request = message::request(0.into(), method, Some(json!({ "uri": uri })));
    let idle = Some(connection.settings.request_time);
    if let Ok(call) = connection.call(caller, request, idle) {
        gateway.spawn(async move { drop(call.answer().await) });
    }
}

impl Subscription {
    /// The next notification, or an error when the tunnel client disconnects.
    pub async fn next(&mut self) -> Item {
        if let Some(acknowledged) = self.acknowledged.take() {
            return Item::Message(acknowledged);
        }
        loop {
            let received = tokio::select! {
                received = self.unasked.recv() => received,
                _ = self.connection.closed() => Err(RecvError::Closed),
            };
            match received {
                Ok(notification) => {
                    let mut notification = message::parse(&notification);
                    if self.wants(&notification) && mark(&mut notification, &self.id) {
                        return Item::Message(notification);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    let error = RpcError::from(CallError::Disconnected);
                    return Item::Last(error.into_response(self.id.clone()));
                }
            }
        }
    }

    fn wants(&self, notification: &Members) -> bool {
        let method = message::method(notification).unwrap_or_default();
        let uri = message::member(notification, &["params", "uri"]).and_then(Value::as_str);
        let is_update = method == "notifications/resources/updated";
        self.methods.contains(&method)
            || is_update && uri.is_some_and(|uri| self.uris.contains(uri))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.watched.remove(&self.uris, |uri| {
            let sessions = &self.gateway.tunnels.sessions;
            if !sessions.is_subscribed(self.connection.tunnel, uri, None) {
                let stop = ("resources/unsubscribe", uri);
                watch_resource(&self.gateway, &self.connection, self.caller, stop);
            }
        });
    }
}

/// Adds the id of the subscription. Returns false if the parameters are no object.
fn mark(notification: &mut Members, id: &Value) -> bool {
    let params = notification.entry("params").or_insert_with(|| json!({}));
    let Some(params) = params.as_object_mut() else { return false };
    let meta = params.entry("_meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return false };
    meta.insert(SUBSCRIPTION_ID.to_owned(), id.clone());
    true
}

/// Keeps a subscription at a server of the modern era for a session of the legacy era, until the session or the
/// connection ends. Begins a new one when the client subscribes to other resources.
pub fn keep_subscribed(
    gateway: &Gateway,
    session: &Arc<Session>,
    connection: &Arc<Connection>,
    server: &Server,
) {
    if server.era == Era::Legacy || !session.begin_listening(connection.id) {
        return;
    }
    let (session, connection) = (Arc::clone(session), Arc::clone(connection));
    let meta = session.client.modern_meta(&server.protocol_version);
    gateway.spawn(async move {
        loop {
            let subscribed = subscribe(&session, &connection, &meta);
            tokio::select! {
                () = session.ended.cancelled() => return,
                () = session.resources_changed() => {}
                () = subscribed => return,
            }
        }
    });
}

async fn subscribe(session: &Session, connection: &Connection, meta: &Value) {
    let mut filter: Members =
        LISTS.iter().map(|(field, _)| ((*field).to_owned(), true.into())).collect();
    filter.insert("resourceSubscriptions".to_owned(), json!(session.resources()));
    let params = json!({ "_meta": meta, "notifications": filter });
    let request = message::request(0.into(), SUBSCRIBE, Some(params));
    let Ok(mut call) = connection.call(session.caller(), request, None) else { return };
    while let Ok(Reply::Notification(mut notification)) = call.next().await {
        if let Some(params) = notification.get_mut("params").and_then(Value::as_object_mut) {
            params.remove("_meta");
        }
        if session.wants(&notification) {
            session.send_unasked(&notification);
        }
    }
}
