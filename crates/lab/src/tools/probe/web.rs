//! HTTP requests, each over a connection of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time;

use super::{ledger::Ledger, ticks};
use crate::tools::{record::How, slow::Asking};

/// Asks `target` from now on.
pub(super) fn start(target: SocketAddr, path: &str, every: Duration, timeout: Duration, ledger: &Arc<Ledger>) {
    let (ledger, path) = (ledger.clone(), Arc::<str>::from(path));
    tokio::spawn(async move {
        let mut ticks = ticks(every);
        loop {
            ticks.tick().await;
            tokio::spawn(ask(target, path.clone(), timeout, ledger.clone()));
        }
    });
}

async fn ask(target: SocketAddr, path: Arc<str>, timeout: Duration, ledger: Arc<Ledger>) {
    let ticket = ledger.enter(How::Http, target.ip(), 0);
    let mut node = None;
    let answer = async {
        let asking = Asking::connect(target).await?;
        ledger.set_flow(ticket, asking.flow());
        let mut answer = asking.get(&path).await?;
        node = Some(answer.node().to_owned());
        while answer.next().await?.is_some() {}
        anyhow::Ok(())
    };
    let error = match time::timeout(timeout, answer).await {
        Ok(end) => end.err().map(|error| format!("{error:#}")),
        Err(_) => Some("no answer in time".to_owned()),
    };
    ledger.close(ticket, node, error);
}
