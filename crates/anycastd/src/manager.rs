//! What the service manager is told (sd_notify(3)); nothing where there is none.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::sync::{broadcast::error::RecvError, watch};

use crate::{agent::Handle, kernel::KernelState};

/// How often the status line is renewed where nothing happened that is told as an event.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// What happens within this time of a change is told together with it: a node that flaps does not keep the manager busy.
const BUNDLE: Duration = Duration::from_millis(500);
/// How long a start waits for the kernel before it counts as started all the same: the status says what is missing.
const KERNEL_WITHIN: Duration = Duration::from_secs(20);

/// Says that the agent is up once the kernel holds what it is to hold, then how it is. The watchdog is fed by the
/// [fence](crate::fence), for as long as it sees the decision loop and the scheduler beat.
pub(crate) async fn report(agent: Handle, kernel: watch::Receiver<Arc<KernelState>>) {
    report_to(agent, kernel, tell).await;
}

async fn report_to(agent: Handle, mut kernel: watch::Receiver<Arc<KernelState>>, tell: impl Fn(&[NotifyState<'_>])) {
    tell(&[NotifyState::Status("starting: the addresses are being bound")]);
    let _ = tokio::time::timeout(KERNEL_WITHIN, kernel.wait_for(|state| state.is_reconciled())).await;
    tell(&[NotifyState::Ready]);
    // Followed from before the first line on, or a change between the two would not be told for long.
    let mut events = agent.order(|agent| agent.ring().follow()).await.ok();
    let mut told = String::new();
    loop {
        if let Some(line) = line(&agent).await.filter(|line| *line != told) {
            tell(&[NotifyState::Status(&line)]);
            told = line;
        }
        let changed = async {
            match &mut events {
                // Whoever is too slow for the events has at least heard that there are some.
                Some(events) => !matches!(events.recv().await, Err(RecvError::Closed)),
                None => false,
            }
        };
        match tokio::time::timeout(STATUS_EVERY, changed).await {
            Ok(true) => tokio::time::sleep(BUNDLE).await,
            // There is nothing to follow: the loop did not answer, or has ended.
            Ok(false) => {
                tokio::time::sleep(STATUS_EVERY).await;
                events = agent.order(|agent| agent.ring().follow()).await.ok();
            }
            Err(_) => {}
        }
        if let Some(events) = &mut events {
            *events = events.resubscribe();
        }
    }
}

/// How the agent is, in one line; `None`: it does not answer.
async fn line(agent: &Handle) -> Option<String> {
    let status = agent.order(|agent| agent.status()).await.ok()?;
    let up = status.neighbors.iter().filter(|neighbor| neighbor.state == "Established").count();
    let announced =
        status.services.iter().flat_map(|service| &service.prefixes).filter(|prefix| prefix.announced).count();
    let more = match (status.stopping, status.healthy) {
        (true, _) => "; stopping",
        (false, false) => "; not all is well: see `anycastctl status`",
        (false, true) => "",
    };
    Some(format!("{announced} prefixes announced, {up} of {} neighbors Established{more}", status.neighbors.len()))
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

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::timeout};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::reload::{Reloader, Wish};

    /// Long enough for any machine, and shorter than what is renewed by itself.
    const AMPLE: Duration = Duration::from_secs(8);

    #[tokio::test]
    async fn the_line_follows_what_happens() {
        let home = tempfile::tempdir().unwrap();
        let (run, agent) = crate::agent::tests::idle(home.path());
        // A kernel of which nothing is heard any more keeps nobody.
        let (_, kernel) = watch::channel(Arc::default());
        let (lines, mut told) = mpsc::unbounded_channel();
        let tell = move |states: &[NotifyState<'_>]| {
            let _ = lines.send(states.iter().map(|state| format!("{state:?}")).collect::<String>());
        };
        let _running = AbortOnDropHandle::new(tokio::spawn(run));
        let _reporting = AbortOnDropHandle::new(tokio::spawn(report_to(agent.clone(), kernel, tell)));
        let mut next = async || timeout(AMPLE, told.recv()).await.expect("it is told in time").unwrap();
        assert!(next().await.contains("starting"));
        assert!(next().await.contains("Ready"));
        let first = next().await;
        assert!(first.contains("0 prefixes announced, 0 of 0 neighbors"), "{first}");

        let file = home.path().join("anycastd.yaml");
        let neighbor = "{ name: leaf1, address: 127.0.0.1, asn: 65001, connect: passive }";
        let text = format!("bgp: {{ asn: 65010, router_id: 192.0.2.2, neighbors: [{neighbor}] }}\nservices: []\n");
        std::fs::write(&file, text).unwrap();
        let wish = Wish { dry_run: false, yes: true, by: "a test".to_owned() };
        let reply = Reloader::new(agent, file).now(wish).await.unwrap();
        assert_eq!(reply.verdict, anycast_api::ReloadVerdict::Done, "{reply:?}");
        // What it was before may have to be told first.
        while !next().await.contains("0 of 1 neighbors") {}
    }
}
