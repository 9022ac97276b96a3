//! `[auth]`: other ways to authenticate requests.

use serde::Serialize;

use super::validate;

/// `[auth]`
#[derive(confique::Config, Clone, Debug, PartialEq, Eq)]
#[config(layer_attr(derive(Serialize)))]
pub struct Auth {
    /// Header in which a proxy names the user of a request, such as `X-Forwarded-User`. The proxy authenticates the user,
    /// and must remove the header from the requests of clients. The header counts only if `server.trusted_proxies`
    /// contains the address of the connection. Such a request needs an allowed `Origin`, like one with the session
    /// cookie. Absent: no header names a user.
    #[config(env = "STREAMGATE_AUTH__PROXY_USER_HEADER", validate = validate::header_name)]
    pub proxy_user_header: Option<String>,

    /// Whether the header of a proxy can name an administrator with all rights of an administrator. With `false`, such a
    /// request has the role operator.
    #[config(default = false, env = "STREAMGATE_AUTH__PROXY_ADMINISTRATORS")]
    pub proxy_administrators: bool,
}
