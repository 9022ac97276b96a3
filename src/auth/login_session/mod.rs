//! LoginSessions: who is logged in, and telling open streams when that ends.
//!
//! A token is only as good as its session, which is checked on every request: a revoked session, a
//! disabled user and a lower role count from the next request on. LoginSessions that were looked up not
//! long ago are remembered; whatever ends or changes one in this process, or is heard of by the
//! bus, makes them forgotten at once. A change made elsewhere whose news was lost counts one
//! heartbeat later at the latest. Streams outlive requests, so each holds a [`Watch`]: a revocation
//! made in this process reaches it at once, one made elsewhere with the next [`LoginSessions::recheck`].

mod ended;
mod known;
mod principal;
mod refresh;
mod refresh_token;
mod rows;
mod sessions;
mod watch;

pub use ended::{Ended, SessionError};
pub use principal::{Opened, Principal};
pub use refresh::RefreshError;
pub use sessions::LoginSessions;
pub use watch::Watch;
