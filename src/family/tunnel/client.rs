//! The identity of a tunnel client, and the check whether it may connect.

use std::net::IpAddr;

use entity::{blocked_tunnel_client, login_session::Method, tunnel};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};
use uuid::Uuid;

use crate::{
    auth::{
        api_key::ApiKeyError,
        login_session::{Principal, SessionWatch},
    },
    family::{FamilyError, Result},
    gateway::Gateway,
    limit::Slot,
};

/// Maximum length of a name, in characters.
pub(super) const MAX_NAME: usize = 64;

/// Maximum number of tunnels of one user, connected or not.
const MAX_TUNNELS: u64 = 1_000;

/// The name of a client that sent none and has no API key.
const DEFAULT_NAME: &str = "tunnel";

/// Names that other parts of the URL have.
const RESERVED: [&str; 2] = ["sse", "messages"];

/// The description of a client, from the request with which it connects.
pub struct NewClient {
    /// The name of its tunnel. Absent if it sent none.
    pub name: Option<String>,
    /// Text that identifies its process. Absent if it sent none.
    pub instance: Option<String>,
    /// Its address.
    pub address: IpAddr,
}

/// A client that may connect.
pub struct Client {
    /// The user that it authenticates as.
    pub(super) owner: Uuid,
    /// Its API key. Absent with another credential.
    pub(super) key: Option<Uuid>,
    /// The name that it asks for: its own choice, or the name of its API key.
    pub(super) name: String,
    pub(super) instance: Option<String>,
    pub(super) address: IpAddr,
    pub(super) watch: SessionWatch,
    pub(super) slot: Slot,
}

/// Checks whether a client may connect, before the WebSocket is accepted.
///
/// # Errors
/// - [`FamilyError::BadInput`] if the name is not valid.
/// - [`FamilyError::Forbidden`] if the tunnel of the client was deleted, or if the user has too many tunnels.
/// - [`FamilyError::Limit`] if the user has too many clients connected.
/// - [`FamilyError::Session`] if the login session has ended.
pub async fn admit(gateway: &Gateway, principal: &Principal, new: NewClient) -> Result<Client> {
    let owner = principal.user_id;
    let key = (principal.method == Method::ApiKey).then_some(principal.session_id);
    let name = match (new.name, key) {
        (Some(name), _) => checked(name)?,
        (None, Some(key)) => match gateway.api_keys.find(Some(owner), key).await {
            Ok((key, _)) => name_of_key(&key.name),
            // Deleted a moment ago: the watch below refuses it.
            Err(ApiKeyError::Database(error)) => return Err(error.into()),
            Err(_) => DEFAULT_NAME.to_owned(),
        },
        (None, None) => DEFAULT_NAME.to_owned(),
    };
    check_not_blocked(gateway.database.reader(), owner, key, &name).await?;
    if has_too_many(gateway, owner, &name).await? {
        return Err(FamilyError::Forbidden("this user has 1,000 tunnels: delete some"));
    }
    let slot = gateway.limits.admit_tunnel(owner).inspect_err(|refused| {
        gateway.telemetry.quota_refused(refused.limit);
    })?;
    let watch = gateway.login_sessions.watch(principal).await?;
    let is_text = |text: &String| {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let instance = new.instance.filter(is_text);
    Ok(Client { owner, key, name, instance, address: new.address, watch, slot })
}

/// Whether a client with a new name would make too many tunnels of its user.
async fn has_too_many(gateway: &Gateway, owner: Uuid, name: &str) -> Result<bool> {
    let reader = gateway.database.reader();
    let of_owner = tunnel::Entity::find()
        .filter(tunnel::Column::OwnerId.eq(owner))
        .filter(tunnel::Column::DeletedAt.is_null());
    let known = of_owner.clone().filter(tunnel::Column::ClientName.eq(name)).one(reader).await?;
    Ok(known.is_none() && of_owner.count(reader).await? >= MAX_TUNNELS)
}

/// Refuses a client whose tunnel was deleted.
pub(super) async fn check_not_blocked(
    connection: &impl ConnectionTrait,
    owner: Uuid,
    key: Option<Uuid>,
    name: &str,
) -> Result<()> {
    use blocked_tunnel_client::Column;
    let same_key = match key {
        Some(key) => Column::KeyId.eq(key),
        None => Column::KeyId.is_null(),
    };
    let row = blocked_tunnel_client::Entity::find()
        .filter(Column::OwnerId.eq(owner))
        .filter(Column::ClientName.eq(name))
        .filter(same_key);
    if row.one(connection).await?.is_none() {
        return Ok(());
    }
    Err(FamilyError::Forbidden(
        "the tunnel of this client was deleted: delete its entry at /reverse-proxy/blocked-clients, or use another name",
    ))
}

/// The name if it can be a segment of a URL path.
fn checked(name: String) -> Result<String> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_unreserved);
    let is_dots = name.bytes().all(|byte| byte == b'.');
    if !fits || is_dots || RESERVED.contains(&name.as_str()) {
        let rule = "must have 1 to 64 of the characters a-z, A-Z, 0-9, '-', '_', '.' and '~', and must not be `sse`, \
                    `messages` or only dots";
        return Err(FamilyError::bad_input("X-Tunnel-Name", rule));
    }
    Ok(name)
}

/// The name of an API key as a segment of a URL path.
fn name_of_key(name: &str) -> String {
    let kept = name.bytes().map(|byte| if is_unreserved(byte) { char::from(byte) } else { '-' });
    let name: String = kept.take(MAX_NAME).collect();
    let name = name.trim_matches(['-', '.']);
    checked(name.to_owned()).unwrap_or_else(|_| DEFAULT_NAME.to_owned())
}

/// Whether a URL path may have this character as it is (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_key_becomes_part_of_a_url() {
        for (key, name) in [
            ("everything", "everything"),
            ("My laptop (home)", "My-laptop--home"),
            ("日本", "tunnel"),
            ("..", "tunnel"),
            ("sse", "tunnel"),
        ] {
            assert_eq!(name_of_key(key), name);
        }
        assert_eq!(name_of_key(&"x".repeat(100)).len(), MAX_NAME);
    }

    #[test]
    fn only_segments_of_a_url_are_names() {
        for name in ["a", "a-b_c.d~9"] {
            assert!(checked(name.to_owned()).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "ä", "sse", "messages", &"x".repeat(65)] {
            assert!(checked(name.to_owned()).is_err(), "{name}");
        }
    }
}
