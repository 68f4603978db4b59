//! One function per verb: ask, render, print.

mod capture;
mod doctor;
mod events;
mod orders;
mod probe;
mod reload;
mod status;
mod upgrade;

use anycast_api::{Explanation, Neighbor, NeighborRoutes};
use serde::de::DeserializeOwned;

use crate::{
    cli::Verb,
    client::{Answer, Call, Client, Fault},
    exit::{Complaint, Exit},
    json,
    output::Output,
    render::{self, Page, View},
};

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    /// The agent.
    pub(crate) client: Client,
    /// The user.
    pub(crate) output: Output,
    /// Whether the agent's own words are wanted.
    pub(crate) json: bool,
}

impl Session {
    /// Does what was asked.
    pub(crate) async fn run(self, verb: Verb) -> anyhow::Result<Exit> {
        match verb {
            Verb::Status(args) => self.status(args).await,
            Verb::Explain { target } => self.explain(&target).await,
            Verb::Withdraw(args) => self.withdraw(args).await,
            Verb::Announce { services, force } => self.announce(services, force).await,
            Verb::Probe(args) => self.probe(args).await,
            Verb::Neighbors { name } => self.neighbors(name.as_deref()).await,
            Verb::Routes { neighbor } => self.routes(neighbor.as_deref()).await,
            Verb::Events(args) => self.events(args).await,
            Verb::Capture(args) => self.capture(args).await,
            Verb::Reload(args) => self.reload(args).await,
            Verb::Upgrade(args) => self.upgrade(args).await,
            Verb::Doctor => self.doctor().await,
            // They need no agent and never come here; were it otherwise, there is nothing to do.
            Verb::Completions { .. } | Verb::Man { .. } => Ok(Exit::Done),
        }
    }

    async fn explain(&self, target: &str) -> anyhow::Result<Exit> {
        let answer = self.client.ask(Call::get("/v1/explain", &[("target", Some(target))])).await?;
        self.show(&answer, |explanation: &Explanation, view| render::explain::page(explanation, view))
    }

    async fn neighbors(&self, name: Option<&str>) -> anyhow::Result<Exit> {
        let answer = self.client.ask(Call::get("/v1/neighbors", &[("name", name)])).await?;
        if let Some(name) = name {
            not_empty(&answer.read::<Vec<Neighbor>>()?, name)?;
            return self.show(&answer, |list: &Vec<Neighbor>, view| render::neighbors::details(list, view));
        }
        self.show(&answer, |list: &Vec<Neighbor>, view| render::neighbors::page(list, view))
    }

    async fn routes(&self, neighbor: Option<&str>) -> anyhow::Result<Exit> {
        let answer = self.client.ask(Call::get("/v1/routes", &[("neighbor", neighbor)])).await?;
        self.show(&answer, |list: &Vec<NeighborRoutes>, view| render::routes::page(list, neighbor, view))
    }

    /// Prints an answer: as JSON once it is known to be one of the right kind, or as a page.
    fn show<T: DeserializeOwned>(&self, answer: &Answer, page: impl FnOnce(&T, View) -> Page) -> anyhow::Result<Exit> {
        let value = answer.read()?;
        if self.json {
            self.output.text(&json::pretty(answer.text()))?;
        } else {
            self.output.page(&page(&value, self.output.view()))?;
        }
        Ok(Exit::Done)
    }
}

/// An agent that answers with nothing where one neighbor was named knows no such neighbor.
fn not_empty<T>(list: &[T], name: &str) -> Result<(), Complaint> {
    if list.is_empty() {
        return Err(Complaint {
            exit: Exit::Refused,
            message: format!("there is no neighbor {name:?}"),
            hint: Some("anycastctl neighbors lists them".into()),
        });
    }
    Ok(())
}

/// An order that cannot be put as JSON does not exist; the types do not know that.
fn order(path: &str, order: &impl serde::Serialize) -> Result<Call, Fault> {
    Call::post(path, order).map_err(Fault::Meaning)
}
