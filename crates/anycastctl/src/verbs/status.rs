//! `status`: once, or again and again.

use std::time::Duration;

use anycast_api::{Service, ServiceState, Status};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time;

use super::Session;
use crate::{
    cli,
    client::{Answer, Call, Fault},
    exit::{Complaint, Exit},
    json,
    render::{self, Page},
};

/// How often the screen is redrawn.
const INTERVAL: Duration = Duration::from_secs(1);

impl Session {
    /// Shows the node or one service.
    pub(super) async fn status(&self, args: cli::Status) -> anyhow::Result<Exit> {
        let name = args.service.as_deref();
        if args.watch {
            return self.watch(name).await;
        }
        let answer = self.ask_status().await?;
        let status: Status = answer.read()?;
        self.print(&answer, &status, name)?;
        let healthy = match name {
            Some(name) => is_healthy(&status, find(&status, name)?),
            None => status.healthy,
        };
        Ok(if args.exit_code && !healthy { Exit::NotSo } else { Exit::Done })
    }

    async fn ask_status(&self) -> Result<Answer, Fault> {
        self.client.ask(Call::get("/v1/status", &[])).await
    }

    fn print(&self, answer: &Answer, status: &Status, name: Option<&str>) -> anyhow::Result<()> {
        if self.json {
            self.output.text(&json::pretty(own_words(answer, status, name)?))?;
        } else {
            self.output.page(&self.draw(status, name)?)?;
        }
        Ok(())
    }

    fn draw(&self, status: &Status, name: Option<&str>) -> Result<Page, Complaint> {
        let view = self.output.view();
        Ok(match name {
            Some(name) => render::service::page(status, find(status, name)?, view),
            None => render::status::page(status, view),
        })
    }

    /// Keeps it live until interrupted; only the first answer is owed.
    async fn watch(&self, name: Option<&str>) -> anyhow::Result<Exit> {
        let in_place = self.output.is_terminal() && !self.json;
        let mut first = true;
        loop {
            match self.ask_status().await.and_then(|answer| Ok((answer.read::<Status>()?, answer))) {
                Ok((status, _)) if in_place => self.output.redraw(&self.draw(&status, name)?, first)?,
                Ok((status, answer)) => {
                    self.print(&answer, &status, name)?;
                    if !self.json {
                        self.output.text("\n")?;
                    }
                }
                // Whoever watches a restart wants to see the agent come back.
                Err(fault) if in_place && !first => {
                    let hint = fault.hint();
                    let words = format!("{:#}", anyhow::Error::new(fault));
                    self.output.redraw(&render::status::missing(&words, hint.as_deref(), self.output.view()), false)?;
                }
                Err(fault) => return Err(fault.into()),
            }
            first = false;
            time::sleep(INTERVAL).await;
        }
    }
}

/// The agent's own words about the node or one service.
fn own_words<'a>(answer: &'a Answer, status: &Status, name: Option<&str>) -> anyhow::Result<&'a str> {
    /// Status, its services untouched.
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        services: Vec<&'a RawValue>,
    }
    let Some(name) = name else { return Ok(answer.text()) };
    find(status, name)?;
    let raw: Raw<'a> = serde_json::from_str(answer.text()).map_err(Fault::Meaning)?;
    let at = status.services.iter().position(|service| service.name == name);
    Ok(at.and_then(|at| raw.services.get(at)).map_or_else(|| answer.text(), |service| service.get()))
}

/// The named service.
fn find<'a>(status: &'a Status, name: &str) -> Result<&'a Service, Complaint> {
    let unknown = || {
        let names: Vec<&str> = status.services.iter().map(|service| service.name.as_str()).collect();
        let nearest = names
            .iter()
            .map(|other| (strsim::osa_distance(name, other), other))
            .min()
            .filter(|(distance, _)| *distance <= name.len().div_ceil(3));
        let meant = nearest.map_or_else(String::new, |(_, other)| format!("did you mean {other}? "));
        Complaint {
            exit: Exit::Refused,
            message: format!("there is no service {name:?}"),
            hint: Some(format!("{meant}the services here: {}", names.join(", "))),
        }
    };
    status.services.iter().find(|service| service.name == name).ok_or_else(unknown)
}

/// What the agent calls healthy, for one service: up, announced and bound.
fn is_healthy(status: &Status, service: &Service) -> bool {
    let bound = |address: &String| status.addresses.iter().any(|known| known.address == *address && known.bound);
    service.state == ServiceState::Up
        && service.prefixes.iter().all(|prefix| prefix.announced)
        && service.addresses.iter().all(bound)
}
