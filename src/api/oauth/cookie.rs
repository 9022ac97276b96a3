//! The one-time cookie that binds an authorization to a browser.

use crate::api::middleware::RequestInfo;

/// The name on this connection. `None` on plain HTTP from another machine, where a cookie would not be safe.
pub(super) fn name(info: &RequestInfo) -> Option<&'static str> {
    let session = info.cookie_name?;
    Some(if session.starts_with("__Host-") { "__Host-streamgate-link" } else { "streamgate-link" })
}

/// `Set-Cookie` with this value, for the ten minutes of an authorization. The provider's redirect to the callback comes
/// from another site, so the cookie is not `Strict`.
pub(super) fn set(name: &str, value: &str) -> String {
    attributes(name, value, 600)
}

/// `Set-Cookie` that removes the cookie.
pub(super) fn remove(name: &str) -> String {
    attributes(name, "", 0)
}

fn attributes(name: &str, value: &str, seconds: u32) -> String {
    let secure = if name.starts_with("__Host-") { "; Secure" } else { "" };
    format!("{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}")
}
