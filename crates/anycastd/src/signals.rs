//! What the signals order: the end, or a reload.

use std::{future::Future, io, path::PathBuf, pin::Pin, time::Duration};

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{agent::Handle, config, manager};

/// After this long a reload that is still reading its file is a problem to be shown.
const SLOW: Duration = Duration::from_secs(5);

/// The signals we obey; from [`Signals::new`] on none of them ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Until [`Signals::new`], an order to reload waits: it would end a process that does not know of it yet. For the thread that runs
/// `main`, before there are others, which take it over.
pub(crate) fn hold_hangup() {
    let _ = SigSet::from(Number::SIGHUP).thread_block();
}

/// Ends that for the thread that calls, once there are [`Signals`].
pub(crate) fn release_hangup() -> io::Result<()> {
    Ok(SigSet::from(Number::SIGHUP).thread_unblock()?)
}

impl Signals {
    /// What was held comes now.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new() -> io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        release_hangup()?;
        Ok(signals)
    }

    /// Obeys them until it is dropped. The end does not wait for a reload whose file hangs; another reload does.
    pub(crate) async fn obey(mut self, file: PathBuf, agent: Handle) {
        let mut reloading: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        loop {
            let idle = reloading.is_none();
            let reloaded = async {
                match &mut reloading {
                    Some(reloading) => reloading.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = self.terminate.recv() => stop(&agent, "SIGTERM").await,
                Some(()) = self.interrupt.recv() => stop(&agent, "SIGINT").await,
                Some(()) = self.hangup.recv(), if idle => {
                    reloading = Some(Box::pin(reload(agent.clone(), file.clone())));
                }
                () = reloaded => reloading = None,
            }
        }
    }
}

async fn stop(agent: &Handle, why: &'static str) {
    manager::stopping();
    if agent.order(move |agent| agent.stop(why)).await.is_err() {
        // A loop that does not answer cannot withdraw. The end of the process closes the sessions, and that does.
        tracing::error!("{why}: the decision loop does not answer; ending without it");
        std::process::exit(crate::cli::Exit::Failed as i32);
    }
}

/// Reads the file and applies the difference; a file that cannot be used changes nothing.
async fn reload(agent: Handle, file: PathBuf) {
    let slow = format!("{} has not been read for {} s; the old configuration stands", file.display(), SLOW.as_secs());
    let mut reading = tokio::task::spawn_blocking(move || config::load(&file, false));
    let read = match tokio::time::timeout(SLOW, &mut reading).await {
        Ok(read) => read,
        Err(_) => {
            tracing::warn!("{slow}");
            let _ = agent.order(|agent| agent.problem("reload", Some(slow))).await;
            reading.await
        }
    };
    let applied = match read {
        Ok(Ok(loaded)) => {
            loaded.warnings.lines().for_each(|warning| tracing::warn!("{warning}"));
            agent.order(|agent| agent.reload(loaded.settings)).await
        }
        Ok(Err(error)) => {
            error.lines().for_each(|mistake| tracing::error!("{mistake}"));
            tracing::error!("reload refused, the old configuration stands");
            let why = error.summary();
            agent.order(|agent| agent.reload_failed(why)).await.map(|()| Vec::new())
        }
        Err(error) => {
            let why = error.to_string();
            agent.order(|agent| agent.reload_failed(why)).await.map(|()| Vec::new())
        }
    };
    match applied {
        Ok(needs_restart) if needs_restart.is_empty() => {}
        Ok(needs_restart) => tracing::warn!("changes of {} take effect at the next start", needs_restart.join(", ")),
        Err(error) => tracing::error!(%error, "reload"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever starts the agent and reloads it at once must not kill it.
    #[tokio::test]
    async fn an_order_to_reload_that_comes_too_early_is_kept() {
        hold_hangup();
        nix::sys::signal::raise(Number::SIGHUP).unwrap();
        let mut signals = Signals::new().unwrap();
        let came = tokio::time::timeout(Duration::from_secs(20), signals.hangup.recv()).await;
        assert_eq!(came.expect("it comes"), Some(()));
    }
}
