//! What the service manager is told (sd_notify(3)); nothing where there is none.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::{agent::Handle, kernel::KernelState};

/// How often the status line is renewed.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How long a start waits for the kernel before it counts as started all the same: the status says what is missing.
const KERNEL_WITHIN: Duration = Duration::from_secs(20);

/// Says that the agent is up once the kernel holds what it is to hold, then how it is. The watchdog is fed by the
/// [fence](crate::fence), for as long as it sees the decision loop and the scheduler beat.
pub(crate) async fn report(agent: Handle, mut kernel: watch::Receiver<std::sync::Arc<KernelState>>) {
    let _ = tokio::time::timeout(KERNEL_WITHIN, kernel.wait_for(|state| state.is_reconciled())).await;
    tell(&[NotifyState::Ready]);
    let mut tick = tokio::time::interval(STATUS_EVERY);
    loop {
        tick.tick().await;
        let Ok(status) = agent.order(|agent| agent.status()).await else { continue };
        let up = status.neighbors.iter().filter(|neighbor| neighbor.state == "Established").count();
        let announced =
            status.services.iter().flat_map(|service| &service.prefixes).filter(|prefix| prefix.announced).count();
        let line = format!(
            "{announced} prefixes announced, {up} of {} neighbors Established{}",
            status.neighbors.len(),
            if status.healthy { "" } else { "; not all is well: see `anycastctl status`" }
        );
        tell(&[NotifyState::Status(&line)]);
    }
}

/// The agent is ending.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
