//! What the users may do that a tunnel is shared with. The owner may do everything.

use std::sync::Arc;

use entity::tunnel_share::ShareRole;
use serde::{Deserialize, Serialize};

/// The requests of a client that the gateway answers itself, or that only end what the client has begun.
const ALWAYS: [&str; 5] = [
    "initialize",
    "ping",
    "server/discover",
    "notifications/initialized",
    "notifications/cancelled",
];

/// The methods of the role `list`.
const LIST: [&str; 5] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "subscriptions/listen",
];

/// Names that are allowed, and names that are not. A name that ends with `*` stands for all names that begin so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRules {
    /// The allowed names. Absent if every name is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// The names that are not allowed, even if they are in `allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

impl NameRules {
    /// Whether a name is allowed.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let has = |rules: &[String]| rules.iter().any(|rule| matches(rule, name));
        self.allow.as_deref().is_none_or(has) && !has(&self.deny)
    }
}

fn matches(rule: &str, name: &str) -> bool {
    rule.strip_suffix('*').map_or(rule == name, |start| name.starts_with(start))
}

/// The methods and the tools that users may use if a tunnel is shared with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Methods of the protocol.
    #[serde(default)]
    pub methods: NameRules,
    /// Names of tools.
    #[serde(default)]
    pub tools: NameRules,
}

impl Policy {
    /// A policy that allows nothing.
    #[must_use]
    pub fn nothing() -> Self {
        let none = || NameRules { allow: Some(Vec::new()), deny: Vec::new() };
        Self { methods: none(), tools: none() }
    }
}

/// What a user may do with a tunnel.
#[derive(Clone, Debug)]
pub struct Permissions(Option<(ShareRole, Arc<Policy>)>);

impl Permissions {
    /// The owner may do everything.
    pub const OWNER: Self = Self(None);

    /// A user with this role may do what the policy allows.
    #[must_use]
    pub fn new(role: ShareRole, policy: Arc<Policy>) -> Self {
        Self(Some((role, policy)))
    }

    /// Whether there are no limits.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the user may send this method.
    #[must_use]
    pub fn allows_method(&self, method: &str) -> bool {
        let Some((role, policy)) = &self.0 else { return true };
        let of_role = *role == ShareRole::Call || LIST.contains(&method);
        ALWAYS.contains(&method) || of_role && policy.methods.allows(method)
    }

    /// Whether the user may see this tool, and call it if he may call tools.
    #[must_use]
    pub fn allows_tool(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|(_, policy)| policy.tools.allows(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: Option<&[&str]>, deny: &[&str]) -> NameRules {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NameRules { allow: allow.map(owned), deny: owned(deny) }
    }

    #[test]
    fn denied_name_is_refused_even_if_it_is_allowed() {
        let rules = rules(Some(&["read_*", "search"]), &["read_secrets", "search*"]);
        for (name, is_allowed) in [
            ("read_file", true),
            ("read_", true),
            ("read_secrets", false),
            ("read_secrets_of_others", true),
            ("search", false),
            ("write_file", false),
            ("", false),
        ] {
            assert_eq!(rules.allows(name), is_allowed, "{name}");
        }
        assert!(NameRules::default().allows("anything"));
        assert!(!NameRules { allow: Some(Vec::new()), deny: Vec::new() }.allows("anything"));
    }

    #[test]
    fn role_and_policy_limit_every_user_but_the_owner() {
        let methods = rules(None, &["prompts/*", "initialize"]);
        let policy = Arc::new(Policy { methods, tools: rules(Some(&["echo"]), &[]) });
        let may = |method: &str| {
            let [lister, caller] = [ShareRole::List, ShareRole::Call]
                .map(|role| Permissions::new(role, Arc::clone(&policy)));
            [Permissions::OWNER, lister, caller].map(|user| user.allows_method(method))
        };
        for (method, lister_may, caller_may) in [
            ("initialize", true, true),
            ("tools/list", true, true),
            ("tools/call", false, true),
            ("prompts/list", false, false),
            ("notifications/roots/list_changed", false, true),
        ] {
            assert_eq!(may(method), [true, lister_may, caller_may], "{method}");
        }
        assert!(Permissions::OWNER.allows_tool("delete"));
        assert!(!Permissions::new(ShareRole::Call, policy).allows_tool("delete"));
    }
}
