//! The command `demo`: a gateway on throw-away data, with users of every role and resources of every family. Clients
//! inside the process use the gateway over HTTP.

mod activity;
mod caller;
mod run;

pub(crate) use run::run;
