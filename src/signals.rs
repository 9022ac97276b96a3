//! What signals do to a command that runs until it is told to end.
//!
//! | signal | effect |
//! |---|---|
//! | TERM, INT, QUIT | ends in order; the second one ends without waiting |
//! | HUP | [`Hangup`] says |
//! | USR1, USR2 | a line in the log |
//! | ALRM, VTALRM, PROF, IO, XFSZ | nothing; a file at its size limit is an error of the write alone |

use std::sync::Arc;

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// What SIGHUP means. A terminal that closes sends it too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// Read again what can change, as services do.
    Reloads,
    /// End in order, however often it comes.
    Ends,
}

/// What signals have said.
pub(crate) struct Signals {
    /// Cancelled when the command is to end.
    pub shutdown: CancellationToken,
    /// Told when something is to be read again.
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
    // Once listened to, a signal does not kill any more. A line in the log for each would be no good:
    // a log file at its size limit would bring the next.
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
