//! `reload`: the configuration anew, or what it would change.

use std::time::Duration;

use anycast_api::{ReloadReply, ReloadRequest, ReloadVerdict};
use anyhow::Context as _;

use super::{Session, order};
use crate::{
    cli,
    exit::Exit,
    render::{self, reload::Kind},
};

/// What the agent may take by its nature: another reload before this one, a disk that is slow, addresses that are bound.
const PATIENCE: Duration = Duration::from_secs(15);

impl Session {
    /// Has the agent read its file, and shows what changes.
    pub(super) async fn reload(&self, args: cli::Reload) -> anyhow::Result<Exit> {
        let cli::Reload { dry_run, yes } = args;
        let call = order("/v1/reload", &ReloadRequest { dry_run, yes })?;
        let asked = self.client.ask_patiently(call, PATIENCE).await;
        let answer = match asked {
            Err(fault) if fault.leaves_doubt() && !dry_run => {
                return Err(fault).context("it is not known whether the file was taken over (anycastctl events tells)");
            }
            asked => asked?,
        };
        let kind = if dry_run { Kind::DryRun { yes } } else { Kind::Order };
        self.show(&answer, |reply: &ReloadReply, view| render::reload::page(reply, kind, view))?;
        Ok(match answer.read::<ReloadReply>()?.verdict {
            ReloadVerdict::Done | ReloadVerdict::WouldBeDone | ReloadVerdict::Unchanged => Exit::Done,
            ReloadVerdict::Refused => Exit::Refused,
        })
    }
}
