//! Maps the claims of an external token to a role.

use entity::user::Role;
use serde_json::{Map, Value};

use crate::config;

/// The highest role that the issuer's configuration gives to these claims, up to its ceiling. `None` if it gives none.
pub(super) fn role(claims: &Map<String, Value>, issuer: &config::Issuer) -> Option<Role> {
    let found = claim(claims, &issuer.role_claim);
    let values: Vec<&str> = match found {
        // RFC 8693, section 4.2: scopes are separated by spaces.
        Some(Value::String(text)) if issuer.role_claim == "scope" => text.split(' ').collect(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mapped = values.iter().filter_map(|value| issuer.roles.get(*value).copied());
    let role = mapped.map(Role::from).max().or(issuer.default_role.map(Role::from))?;
    Some(role.min(issuer.max_role.into()))
}

/// The claim of this name, or the one at this path. Names with dots exist too, such as `https://example.com/roles`.
pub(super) fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    let (name, rest) = path.split_once('.')?;
    claim(claims.get(name)?.as_object()?, rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer(change: &Value) -> config::Issuer {
        let mut issuer = json!({
            "issuer": "https://id.example.com",
            "audience": "streamgate",
            "roles": { "staff": "operator", "root": "admin", "guest": "viewer" },
        });
        issuer
            .as_object_mut()
            .expect("a table")
            .extend(change.as_object().expect("a table").clone());
        serde_json::from_value(issuer).expect("an issuer")
    }

    fn role_of(claims: &Value, change: &Value) -> Option<Role> {
        role(claims.as_object().expect("claims"), &issuer(change))
    }

    #[test]
    fn highest_mapped_role_counts_up_to_the_ceiling() {
        let claims = json!({ "roles": ["guest", "staff", "unknown", 7] });
        assert_eq!(role_of(&claims, &json!({})), Some(Role::Operator));
        let root = json!({ "roles": "root" });
        assert_eq!(role_of(&root, &json!({})), Some(Role::Operator));
        assert_eq!(role_of(&root, &json!({ "max_role": "admin" })), Some(Role::Admin));
        assert_eq!(role_of(&root, &json!({ "max_role": "agent" })), Some(Role::Agent));
    }

    #[test]
    fn token_without_a_mapped_role_gets_the_default() {
        for claims in [json!({}), json!({ "roles": [] }), json!({ "roles": { "root": true } })] {
            assert_eq!(role_of(&claims, &json!({})), None, "{claims}");
            let default = role_of(&claims, &json!({ "default_role": "viewer" }));
            assert_eq!(default, Some(Role::Viewer), "{claims}");
        }
    }

    #[test]
    fn role_claim_is_a_name_or_a_path() {
        let nested = json!({ "realm_access": { "roles": ["staff"] } });
        let path = json!({ "role_claim": "realm_access.roles" });
        assert_eq!(role_of(&nested, &path), Some(Role::Operator));
        let url = json!({ "https://example.com/roles": ["guest"] });
        let path = json!({ "role_claim": "https://example.com/roles" });
        assert_eq!(role_of(&url, &path), Some(Role::Viewer));
        let scopes = json!({ "scope": "openid staff" });
        assert_eq!(role_of(&scopes, &json!({ "role_claim": "scope" })), Some(Role::Operator));
        assert_eq!(role_of(&json!({ "roles": "openid staff" }), &json!({})), None);
    }
}
