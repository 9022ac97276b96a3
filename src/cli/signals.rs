//! Signals of the commands that run until a signal ends them.
//!
//! | signal | effect |
//! |---|---|
//! | TERM, INT, QUIT | the first signal starts a shutdown; the next ends its delay; the one after that ends the command |
//! | HUP | see [`OnHangup`] |
//! | USR1, USR2 | ignored, with a line in the log |
//! | ALRM, VTALRM, PROF, IO, XFSZ | ignored; a write to a file at its size limit fails, and the process continues |

use std::sync::Arc;

use rustix::process::Signal;
use streamgate::shutdown_delay::ShutdownDelay;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// The effect of SIGHUP. A terminal that closes also sends this signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnHangup {
    /// Reload the configuration, as is usual for services.
    Reloads,
    /// Start a shutdown. A second SIGHUP has no effect.
    Ends,
}

/// Passes signals to a command.
pub(crate) struct Signals {
    /// Cancelled when the command must end.
    pub shutdown: CancellationToken,
    /// The delay of the shutdown.
    pub delay: ShutdownDelay,
    /// Notified by SIGHUP with [`OnHangup::Reloads`].
    pub reload: Arc<Notify>,
}

/// Runs `work` until it ends, or until the second TERM, INT or QUIT. A signal during the delay of the shutdown ends the
/// delay, and does not count as the second.
pub(crate) async fn until_signal<W>(
    hangup: OnHangup,
    work: impl FnOnce(Signals) -> W,
) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<()>>,
{
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut quit, mut hup) = (signal(SignalKind::quit())?, signal(SignalKind::hangup())?);
    let mut usr1 = signal(SignalKind::user_defined1())?;
    let mut usr2 = signal(SignalKind::user_defined2())?;
    // A signal with a handler does not end the process. These signals are not logged, because a line in a log file at
    // its size limit would raise the next SIGXFSZ.
    for silent in [Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO, Signal::XFSZ] {
        drop(signal(SignalKind::from_raw(silent.as_raw()))?);
    }
    let (shutdown, reload) = (CancellationToken::new(), Arc::<Notify>::default());
    let delay = ShutdownDelay::default();
    let signals =
        Signals { shutdown: shutdown.clone(), delay: delay.clone(), reload: Arc::clone(&reload) };
    let twice = async move {
        let mut signals = 0;
        while signals < 2 {
            let is_stop = tokio::select! {
                _ = term.recv() => true,
                _ = int.recv() => true,
                _ = quit.recv() => true,
                _ = hup.recv() => {
                    match hangup {
                        OnHangup::Reloads => reload.notify_one(),
                        OnHangup::Ends => shutdown.cancel(),
                    }
                    false
                }
                _ = usr1.recv() => {
                    tracing::info!("SIGUSR1 is ignored");
                    false
                }
                _ = usr2.recv() => {
                    tracing::info!("SIGUSR2 is ignored");
                    false
                }
            };
            if is_stop && !delay.end() {
                signals += 1;
                shutdown.cancel();
            }
        }
        anyhow::bail!("stopped without waiting, because of a second stop signal")
    };
    tokio::select! { done = work(signals) => done, ended = twice => ended }
}
