//! HTTP requests, each over a connection of its own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time;

use super::{ledger::Ledger, ticks};
use crate::tools::{record::How, slow::Asking};

/// Asks `target` from now on.
pub(super) fn start(target: IpAddr, port: u16, every: Duration, timeout: Duration, ledger: &Arc<Ledger>) {
    let ledger = ledger.clone();
    tokio::spawn(async move {
        let mut ticks = ticks(every);
        loop {
            ticks.tick().await;
            tokio::spawn(ask(SocketAddr::new(target, port), timeout, ledger.clone()));
        }
    });
}

async fn ask(target: SocketAddr, timeout: Duration, ledger: Arc<Ledger>) {
    let ticket = ledger.enter(How::Http, target.ip(), 0);
    let answer = async {
        let asking = Asking::connect(target).await?;
        ledger.set_flow(ticket, asking.flow());
        let mut answer = asking.get("/").await?;
        let node = answer.node().to_owned();
        while answer.next().await?.is_some() {}
        anyhow::Ok(node)
    };
    let end = match time::timeout(timeout, answer).await {
        Ok(end) => end.map_err(|error| format!("{error:#}")),
        Err(_) => Err("no answer in time".to_owned()),
    };
    ledger.close(ticket, end);
}
