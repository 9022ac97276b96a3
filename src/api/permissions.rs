//! The rights of each role in each family, as `GET /v1/auth/me` shows them. The operations check roles themselves; a test
//! compares.

use entity::user::Role;
use poem_openapi::{Enum, Object, types::Example};

use super::stream_tokens::StreamFamily;
use crate::{auth::login_session::Principal, event::Family};

/// A right of a caller on the resources of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum Permission {
    /// Read resources and watch their streams.
    Watch,
    /// Create resources.
    Create,
    /// Change resources: their status, their content, or whether they are read.
    Change,
    /// Claim work and report on it, or publish events.
    Work,
}

/// The rights of the caller in one family.
#[derive(Object)]
#[oai(example)]
pub(super) struct FamilyPermissions {
    /// The family.
    family: StreamFamily,
    /// Rights of the caller: `watch` (read resources and watch streams), `create`, `change`, and `work` (claim and report
    /// work, or publish events). Empty if the API key is not for the family.
    permissions: Vec<Permission>,
}

impl Example for FamilyPermissions {
    fn example() -> Self {
        Self {
            family: StreamFamily::Task,
            permissions: vec![Permission::Watch, Permission::Create, Permission::Change],
        }
    }
}

/// The rights of a caller in every family.
pub(super) fn permissions(principal: &Principal) -> Vec<FamilyPermissions> {
    let of_family = |family: Family| {
        let all = [Permission::Watch, Permission::Create, Permission::Change, Permission::Work];
        let may = |permission: &Permission| {
            let lowest = role(family, *permission);
            principal.families.contains(family)
                && lowest.is_some_and(|lowest| principal.role >= lowest)
        };
        FamilyPermissions {
            family: family.into(),
            permissions: all.into_iter().filter(may).collect(),
        }
    };
    Family::ALL.into_iter().map(of_family).collect()
}

/// The lowest role that has a right. `None` if the family has nothing of the kind.
fn role(family: Family, permission: Permission) -> Option<Role> {
    Some(match (family, permission) {
        (Family::Notification | Family::Tunnel, Permission::Work) => return None,
        (Family::Notification, Permission::Create) | (_, Permission::Work) => Role::Agent,
        (Family::Topology, Permission::Create | Permission::Change) => Role::Operator,
        (_, Permission::Watch | Permission::Create | Permission::Change) => Role::Viewer,
    })
}
