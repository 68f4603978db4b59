//! What the signals order: the end, or a reload.

use std::{io, path::PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{agent::Handle, config, manager};

/// The signals we obey; from [`Signals::new`] on none of them ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Obeys them until it is dropped.
    pub(crate) async fn obey(mut self, file: PathBuf, agent: Handle) {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => stop(&agent, "SIGTERM").await,
                Some(()) = self.interrupt.recv() => stop(&agent, "SIGINT").await,
                Some(()) = self.hangup.recv() => reload(&agent, file.clone()).await,
                else => return,
            }
        }
    }
}

async fn stop(agent: &Handle, why: &'static str) {
    manager::stopping();
    if agent.ask(move |agent| agent.stop(why)).await.is_err() {
        // A loop that does not answer cannot withdraw. The end of the process closes the sessions, and that does.
        tracing::error!("{why}: the decision loop does not answer; ending without it");
        std::process::exit(crate::cli::Exit::Failed as i32);
    }
}

/// Reads the file and applies the difference; a file that cannot be used changes nothing.
async fn reload(agent: &Handle, file: PathBuf) {
    let read = tokio::task::spawn_blocking(move || config::load(&file)).await;
    let applied = match read {
        Ok(Ok(loaded)) => {
            loaded.warnings.lines().for_each(|warning| tracing::warn!("{warning}"));
            agent.ask(|agent| agent.reload(loaded.settings)).await
        }
        Ok(Err(error)) => {
            error.lines().for_each(|mistake| tracing::error!("{mistake}"));
            tracing::error!("reload refused, the old configuration stands");
            let why = error.summary();
            agent.ask(|agent| agent.reload_failed(why)).await.map(|()| Vec::new())
        }
        Err(error) => {
            let why = error.to_string();
            agent.ask(|agent| agent.reload_failed(why)).await.map(|()| Vec::new())
        }
    };
    match applied {
        Ok(needs_restart) if needs_restart.is_empty() => {}
        Ok(needs_restart) => tracing::warn!("changes of {} take effect at the next start", needs_restart.join(", ")),
        Err(error) => tracing::error!(%error, "reload"),
    }
}
