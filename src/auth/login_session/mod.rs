//! LoginSessions: who is logged in, and telling open streams when that ends.
//!
//! A token is only as good as its login session, which every request checks. A revoked session, a disabled user
//! and a lower role count from the next request on. Login sessions are cached. Everything that ends or changes
//! one invalidates it at once, in this process and through the bus. A change made elsewhere whose message was lost
//! counts one heartbeat later at the latest. Streams outlive requests, so each holds a [`Watch`]: a revocation
//! made in this process reaches it at once, one made elsewhere with the next [`LoginSessions::recheck`].

mod cached_sessions;
mod ended;
mod principal;
mod refresh;
mod refresh_token;
mod rows;
mod sessions;
mod watch;

pub use ended::{Ended, SessionError};
pub use principal::{Principal, SessionGrant};
pub use refresh::RefreshError;
pub use sessions::LoginSessions;
pub use watch::Watch;
