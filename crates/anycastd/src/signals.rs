//! What the signals order: the end, or a reload.

use std::{future::Future, io, pin::Pin};

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    agent::Handle,
    manager,
    reload::{Reloader, Wish},
};

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
    pub(crate) async fn obey(mut self, reloader: Reloader, agent: Handle) {
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
                    let reloader = reloader.clone();
                    let wish = Wish { dry_run: false, yes: false, by: "SIGHUP".to_owned() };
                    reloading = Some(Box::pin(async move { reloader.in_time(wish).await }));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
