//! One order after the other: planned, put on the disk, obeyed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anycast_api::{AnnounceRequest, OrderReply, WithdrawRequest};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{AGAIN, Actor, DISK, Plan, Refusal, STALE};
use crate::{
    agent::{Agent, Handle},
    state::{self, Book, StateError},
};

/// Serialises orders from planning to commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderDesk(Arc<Mutex<()>>);

impl OrderDesk {
    /// Keeps every order waiting, once none is under way.
    pub(crate) async fn hold(&self) -> Turn {
        self.0.clone().lock_owned().await
    }

    /// Plans, saves, obeys.
    pub(crate) async fn withdraw(
        &self,
        agent: &Handle,
        request: WithdrawRequest,
        by: Actor,
    ) -> Result<OrderReply, Refusal> {
        let turn = self.turn().await?;
        let plan = agent.order(move |agent| agent.plan_withdraw(&request, &by)).await??;
        carry_out(turn, agent, plan).await
    }

    /// Likewise, the other way.
    pub(crate) async fn announce(
        &self,
        agent: &Handle,
        request: AnnounceRequest,
        by: Actor,
    ) -> Result<OrderReply, Refusal> {
        let turn = self.turn().await?;
        let AnnounceRequest { services, force } = request;
        let named = services.clone();
        let plan = agent.order(move |agent| agent.plan_announce(&named, force, &by)).await??;
        let reply = self.end(turn, agent, plan).await?;
        if force {
            agent.order(move |agent| agent.release(&services)).await??;
        }
        Ok(reply)
    }

    /// Ends a maintenance. Where the disk does not take that, it is said that a restart will not know of it.
    async fn end(&self, turn: Turn, agent: &Handle, plan: Plan) -> Result<OrderReply, Refusal> {
        let file = plan.file.clone();
        // A write that hangs keeps its turn until what is in force then is on the disk.
        let written = write(turn, agent, &file, plan.book()).await;
        // Whoever announces while the disk cannot be written gets no second chance before the reply.
        let (_turn, warning) = match written {
            Ok(turn) => (Some(turn), None),
            Err(Refusal::NoAnswer(none)) => return Err(none.into()),
            Err(error) => {
                let text = format!(
                    "in force, but not on the disk ({}): an agent that starts before {} can be written withdraws again",
                    why_not_written(&error),
                    file.display()
                );
                (None, Some(text))
            }
        };
        let mut reply = agent.order(move |agent| agent.commit(plan)).await?;
        if let Some(text) = &warning {
            tracing::warn!("the end of a maintenance is {text}");
            self.retry(agent, file, format!("the end of a maintenance is {text}")).await?;
        }
        reply.warning = warning;
        Ok(reply)
    }

    /// A problem until the disk has the orders that are in force.
    async fn retry(&self, agent: &Handle, file: PathBuf, text: String) -> Result<(), Refusal> {
        let first = agent.order(|agent| agent.problems.insert(STALE, text).is_none()).await?;
        if first {
            tokio::spawn(self.clone().write_later(agent.clone(), file));
        }
        Ok(())
    }

    /// Ends orders whose time is over, whether or not the disk takes that: what it says of them is over as well.
    pub(super) async fn expire(&self, agent: &Handle, services: Vec<String>) -> Result<(), Refusal> {
        let turn = self.turn().await?;
        let by = Actor("the time it was ordered for".to_owned());
        let ended = agent.order(move |agent| {
            let plan = agent.plan_announce(&services, false, &by)?;
            let written = (plan.file.clone(), plan.book());
            agent.commit(plan);
            Ok::<_, Refusal>(written)
        });
        let (file, book) = ended.await??;
        if let Err(error) = write(turn, agent, &file, book).await {
            let text = format!("{} still has an order whose time is over: {error}", file.display());
            tracing::warn!("{text}");
            self.retry(agent, file, text).await?;
        }
        Ok(())
    }

    /// Until the disk has the orders that are in force.
    async fn write_later(self, agent: Handle, file: PathBuf) {
        loop {
            tokio::time::sleep(AGAIN).await;
            let Ok(turn) = self.turn().await else { continue };
            let Ok(book) = agent.order(|agent| agent.book()).await else { return };
            if write(turn, &agent, &file, book).await.is_ok() {
                let _ = agent.order(|agent| agent.problem(STALE, None)).await;
                return;
            }
        }
    }

    /// One order at a time; it may be the disk that has one before us wait.
    async fn turn(&self) -> Result<Turn, Refusal> {
        tokio::time::timeout(DISK, self.hold()).await.map_err(|_| Refusal::DiskHangs)
    }
}

type Turn = OwnedMutexGuard<()>;

async fn carry_out(turn: Turn, agent: &Handle, plan: Plan) -> Result<OrderReply, Refusal> {
    let _turn = write(turn, agent, &plan.file, plan.book()).await?;
    Ok(agent.order(move |agent| agent.commit(plan)).await?)
}

/// Puts the order book on the disk, and gives the turn back.
async fn write(turn: Turn, agent: &Handle, file: &Path, book: Book) -> Result<Turn, Refusal> {
    let mut saving = save(file, book);
    match tokio::time::timeout(DISK, &mut saving).await {
        Ok(Ok(saved)) => saved?,
        Ok(Err(_)) => return Err(Refusal::DiskHangs),
        Err(_) => {
            tokio::spawn(take_back(turn, agent.clone(), file.to_owned(), saving));
            return Err(Refusal::DiskHangs);
        }
    }
    Ok(turn)
}

type Saving = tokio::task::JoinHandle<Result<(), StateError>>;

fn save(file: &Path, book: Book) -> Saving {
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || state::save(&file, &book))
}

/// A write that took too long may come through in the end, and a restart would obey what was refused. Until what holds is
/// on the disk again nobody else has a turn: two writes must not overtake each other.
async fn take_back(_turn: Turn, agent: Handle, file: PathBuf, saving: Saving) {
    let _ = saving.await;
    let Ok(book) = agent.order(|agent| agent.book()).await else { return };
    match save(&file, book).await {
        Ok(Ok(())) => tracing::info!("the disk of the state directory answers again"),
        Ok(Err(error)) => {
            tracing::error!(%error, "an order that was refused may stand on the disk; the next one mends it");
        }
        Err(_) => {}
    }
}

fn why_not_written(error: &Refusal) -> String {
    match error {
        Refusal::Disk(StateError::Write { source, .. }) => source.to_string(),
        Refusal::DiskHangs => format!("it did not answer within {} s", DISK.as_secs()),
        other => other.to_string(),
    }
}

impl Agent {
    /// Why the disk has not the orders that are in force yet, where somebody was told; empty where nobody was.
    pub(in super::super) fn unwritten(&self) -> Option<String> {
        self.problems.get(STALE).cloned().or_else(|| self.untidy.then(String::new))
    }

    /// Another program began that, or was about to.
    pub(in super::super) fn go_on_writing(&mut self, text: String) {
        if text.is_empty() {
            return self.tidy_orders("orders are in force");
        }
        self.problems.insert(STALE, text);
        tokio::spawn(self.desk.clone().write_later(self.handle.clone(), self.orders_file.clone()));
    }

    /// The disk has other orders than are in force. Those that went with their service leave it too: else a restart would obey them,
    /// should the names come back.
    pub(in super::super) fn tidy_orders(&mut self, what: &'static str) {
        self.untidy = true;
        let (agent, desk, file) = (self.handle.clone(), self.desk.clone(), self.orders_file.clone());
        tokio::spawn(async move {
            let tidy = async || {
                let turn = desk.turn().await?;
                let book = agent.order(|agent| agent.book()).await?;
                write(turn, &agent, &file, book).await?;
                agent.order(|agent| agent.untidy = false).await?;
                Ok(())
            };
            while let Err(error) = tidy().await {
                if matches!(error, Refusal::NoAnswer(_)) {
                    return;
                }
                tracing::warn!(%error, "{what}, which the disk is to have; trying again in 10 s");
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}
