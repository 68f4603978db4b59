//! `upgrade`: the installed program in place of the one that runs.

use std::time::Duration;

use anycast_api::{Status, TRIAL_SECONDS, UpgradeRequest, UpgradeTrial, Upgraded};
use anyhow::Context as _;
use tokio::{
    pin,
    time::{Instant, sleep, timeout},
};

use super::{Session, order};
use crate::{
    cli,
    client::{Call, Fault},
    exit::{Complaint, Exit, remark},
    json, render,
};

/// What the agent may take by its nature: the installed program is tried, and whatever is under way ends first.
const PATIENCE: Duration = Duration::from_secs(35);
/// How long the agent may take to answer again.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Whoever waits for longer is told what for.
const SILENCE: Duration = Duration::from_secs(2);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(100);

impl Session {
    /// Has the agent go over to the installed program, and tells what came of it.
    pub(super) async fn upgrade(&self, args: cli::Upgrade) -> anyhow::Result<Exit> {
        let id = id();
        let call = order("/v1/upgrade", &UpgradeRequest { id: id.clone(), dry_run: args.dry_run })?;
        let asked = telling_of_the_wait(self.client.ask_patiently(call, PATIENCE)).await;
        if args.dry_run {
            return self.show(&asked?, |trial: &UpgradeTrial, view| render::upgrade::trial(trial, view));
        }
        match asked {
            // The connection has ended with the program that had it.
            Err(Fault::Talk(_)) => {}
            Err(fault) if fault.leaves_doubt() => {
                return Err(fault)
                    .context("it is not known whether the program was taken over (anycastctl status tells)");
            }
            Err(fault) => return Err(fault.into()),
            Ok(_) => {}
        }
        let upgraded = self.came_of(&id).await?;
        if self.json {
            self.output.text(&json::pretty(&serde_json::to_string(&upgraded)?))?;
        } else {
            self.output.page(&render::upgrade::page(&upgraded, self.output.view()))?;
        }
        Ok(if upgraded.lost.is_empty() { Exit::Done } else { Exit::NotSo })
    }

    /// Asks until the agent says what came of it, or that it is another.
    async fn came_of(&self, id: &str) -> anyhow::Result<Upgraded> {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        loop {
            let answer = self.client.ask(Call::get("/v1/status", &[])).await;
            let status = answer.and_then(|answer| answer.read::<Status>());
            match status {
                Ok(status) => match status.upgraded.filter(|upgraded| upgraded.id == id) {
                    Some(upgraded) => return Ok(upgraded),
                    None => return Err(begun_anew().into()),
                },
                Err(fault) if Instant::now() >= deadline => {
                    return Err(fault).context("the agent does not answer since it went over to the installed program");
                }
                Err(_) => sleep(INTERVAL).await,
            }
        }
    }
}

/// On stderr, so that it is in no answer.
async fn telling_of_the_wait<T>(asked: impl Future<Output = T>) -> T {
    pin!(asked);
    match timeout(SILENCE, &mut asked).await {
        Ok(asked) => asked,
        Err(_) => {
            remark(&format!(
                "waiting for the installed program to tell whether it can go on (at most {TRIAL_SECONDS} s)"
            ));
            asked.await
        }
    }
}

fn begun_anew() -> Complaint {
    Complaint {
        exit: Exit::NotSo,
        message:
            "the agent answers, but did not go on from the one before: it has begun anew, and its sessions with it"
                .into(),
        hint: Some("journalctl -u anycastd tells why; anycastctl status tells how it is now".into()),
    }
}

/// One that nobody else chooses.
fn id() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_nanos())
}
