//! The servers that are compared, and the differences between them.

use super::packages;
use crate::{
    load_generator::{Form, Ready},
    streamgate::{POSTGRES, VARIANTS},
};

/// A server that is measured. Each is one row in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The variant of [`VARIANTS`] with this index.
    Streamgate(usize),
    /// A bare `write()` to each subscriber.
    Floor,
    Nchan,
    Pushpin,
    /// poem's `SSE` over tokio's `broadcast`.
    Broadcast,
}

impl Peer {
    /// Lists the servers that are installed, in the order of the tables.
    pub(crate) fn all() -> Vec<Self> {
        let mut peers: Vec<Self> = (0..POSTGRES).map(Self::Streamgate).collect();
        peers.push(Self::Floor);
        peers.extend(packages::nchan_version().map(|_| Self::Nchan));
        peers.extend(packages::pushpin_version().map(|_| Self::Pushpin));
        peers.push(Self::Broadcast);
        peers
    }

    /// Name in the tables. `--peers` takes its beginning.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Streamgate(variant) => VARIANTS[variant].name,
            Self::Floor => "floor, write()",
            Self::Nchan => "Nchan",
            Self::Pushpin => "Pushpin",
            Self::Broadcast => "poem SSE, broadcast",
        }
    }

    pub(crate) fn is_streamgate(self) -> bool {
        matches!(self, Self::Streamgate(_))
    }

    /// The moment at which one of its streams counts as open.
    pub(crate) fn ready(self) -> Ready {
        if self.is_streamgate() { Ready::Snapshot } else { Ready::Head }
    }

    /// The form and the path of a publish request.
    pub(crate) fn form(self) -> (Form, &'static str) {
        let form = if self == Self::Pushpin { Form::Items } else { Form::Data };
        (form, "/publish")
    }
}

/// The credential that a stream is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Each stream has a stream token.
    StreamToken,
    /// The streams share the access tokens of a thousand users.
    AccessToken,
}
