//! `probe`: the checks of a service, run now.

use anycast_api::{Health, ProbeReply, ProbeRequest, ProbedCheck};

use super::{Session, order};
use crate::{cli, exit::Exit, render};

impl Session {
    /// Has the agent run checks, and shows what they see.
    pub(super) async fn probe(&self, args: cli::Probe) -> anyhow::Result<Exit> {
        let cli::Probe { service, check, timeout } = args;
        let request = ProbeRequest { service, check, timeout_seconds: timeout.as_secs_f64() };
        let answer = self.client.ask_patiently(order("/v1/probe", &request)?, timeout).await?;
        self.show(&answer, |reply: &ProbeReply, view| render::probe::page(reply, view))?;
        let is_up = |check: &ProbedCheck| check.answer.as_ref().is_some_and(|answer| answer.health == Health::Up);
        Ok(if answer.read::<ProbeReply>()?.checks.iter().all(is_up) { Exit::Done } else { Exit::NotSo })
    }
}
