//! Signals of the commands that run until they are told to end.
//!
//! | signal | effect |
//! |---|---|
//! | TERM, INT, QUIT | the command ends in order; after the second signal it ends without waiting |
//! | HUP | see [`Hangup`] |
//! | USR1, USR2 | a line in the log |
//! | ALRM, VTALRM, PROF, IO, XFSZ | none; a file at its size limit is an error of that write only |

use std::sync::Arc;

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// The meaning of SIGHUP. A terminal that closes sends it too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Reload the configuration, by convention of services.
    Reloads,
    /// End in order. A second SIGHUP changes nothing.
    Ends,
}

/// Tells a command which signals came.
pub(crate) struct Signals {
    /// Cancelled when the command is to end.
    pub shutdown: CancellationToken,
    /// Notified by SIGHUP, see [`Hangup::Reloads`].
    pub reload: Arc<Notify>,
}

/// Runs `work` until it ends, or until the second signal that asks for the end.
pub(crate) async fn until_signal<W>(
    hangup: Hangup,
    work: impl FnOnce(Signals) -> W,
) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<()>>,
{
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut quit, mut hup) = (signal(SignalKind::quit())?, signal(SignalKind::hangup())?);
    let mut usr1 = signal(SignalKind::user_defined1())?;
    let mut usr2 = signal(SignalKind::user_defined2())?;
    // A signal that has a handler does not end the process. These are not logged: writing the line to
    // a log file at its size limit would raise the next SIGXFSZ.
    for silent in [Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO, Signal::XFSZ] {
        drop(signal(SignalKind::from_raw(silent.as_raw()))?);
    }
    let (shutdown, reload) = (CancellationToken::new(), Arc::<Notify>::default());
    let signals = Signals { shutdown: shutdown.clone(), reload: Arc::clone(&reload) };
    let twice = async move {
        let mut asked = 0;
        while asked < 2 {
            tokio::select! {
                _ = term.recv() => asked += 1,
                _ = int.recv() => asked += 1,
                _ = quit.recv() => asked += 1,
                _ = hup.recv() => match hangup {
                    Hangup::Reloads => reload.notify_one(),
                    Hangup::Ends => shutdown.cancel(),
                },
                _ = usr1.recv() => tracing::info!("SIGUSR1 is ignored"),
                _ = usr2.recv() => tracing::info!("SIGUSR2 is ignored"),
            }
            if asked > 0 {
                shutdown.cancel();
            }
        }
        anyhow::bail!("told to end twice: ended without waiting")
    };
    tokio::select! { done = work(signals) => done, ended = twice => ended }
}
