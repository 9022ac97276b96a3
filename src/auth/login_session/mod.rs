//! Login sessions, and their end for open streams.
//!
//! Every request checks the login session of its token. A revoked session, a disabled user and a lower role take
//! effect with the next request. Login sessions are cached. A change invalidates the cached session at once, in
//! this process directly, and in other processes through the bus. If the message is lost, the change takes effect
//! there within a heartbeat.
//!
//! A stream lives longer than its request, so it holds a [`SessionWatch`]. A revocation in this process reaches it at
//! once. A revocation in another process reaches it through the bus, or with the next
//! [`LoginSessions::recheck`].

mod cached_sessions;
mod ended;
mod families;
mod issuer;
mod principal;
mod proxy;
mod refresh;
mod refresh_token;
mod rows;
mod sessions;
mod watch;

pub use ended::{Ended, SessionError};
pub use families::Families;
pub use issuer::IssuerToken;
pub use principal::{Principal, SessionGrant};
pub use refresh::RefreshError;
pub(in crate::auth) use rows::revoke_sessions;
pub use sessions::{Lifetimes, LoginSessions};
pub use watch::SessionWatch;
