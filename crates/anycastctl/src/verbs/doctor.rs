//! `doctor`: what will bite.

use std::{fs, time::Duration};

use anycast_api::{DoctorReply, Finding, Severity};

use super::Session;
use crate::{
    client::{Call, Fault},
    exit::Exit,
    json, render,
};

/// What the agent may take to look.
const PATIENCE: Duration = Duration::from_secs(5);

impl Session {
    /// Has the agent look; where it does not answer, that is the finding, with what can be seen without it.
    pub(super) async fn doctor(&self) -> anyhow::Result<Exit> {
        let answer = match self.client.ask_patiently(Call::get("/v1/doctor", &[]), PATIENCE).await {
            Err(fault) if fault.exit() == Exit::Unavailable => return self.alone(fault),
            asked => asked?,
        };
        self.show(&answer, |reply: &DoctorReply, view| render::doctor::page(reply, view))?;
        let bites = |finding: &Finding| finding.severity != Severity::Note;
        Ok(if answer.read::<DoctorReply>()?.findings.iter().any(bites) { Exit::NotSo } else { Exit::Done })
    }

    fn alone(&self, fault: Fault) -> anyhow::Result<Exit> {
        let remedy = fault.hint().unwrap_or_else(|| "systemctl status anycastd; journalctl -u anycastd".to_owned());
        let words = format!("{:#}", anyhow::Error::new(fault));
        let reply = without_agent(words, remedy, &|path| fs::read_to_string(path).ok());
        if self.json {
            self.output.text(&json::pretty(&serde_json::to_string(&reply)?))?;
        } else {
            self.output.page(&render::doctor::page(&reply, self.output.view()))?;
        }
        Ok(Exit::Unavailable)
    }
}

/// What can be seen from a shell: nothing of the configuration is known here.
fn without_agent(seen: String, remedy: String, read: &dyn Fn(&str) -> Option<String>) -> DoctorReply {
    let mut findings = vec![Finding {
        id: "agent".to_owned(),
        severity: Severity::Problem,
        subject: "anycastd".to_owned(),
        seen,
        why: "nothing is announced by it, or nobody can ask what is".to_owned(),
        remedy,
    }];
    if read("/proc/sys/net/ipv4/conf/all/rp_filter").is_some_and(|value| value.trim() == "1") {
        findings.push(Finding {
            id: "rp_filter".to_owned(),
            severity: Severity::Warning,
            subject: "all interfaces".to_owned(),
            seen: "rp_filter is strict (1)".to_owned(),
            why: "where packets come by more than one interface, some of them are dropped without a word".to_owned(),
            remedy: "sysctl -w net.ipv4.conf.all.rp_filter=2".to_owned(),
        });
    }
    let listens = |path: &str| read(path).is_some_and(|table| table.lines().any(listens_on_bgp));
    if listens("/proc/net/tcp") || listens("/proc/net/tcp6") {
        findings.push(Finding {
            id: "other_speaker".to_owned(),
            severity: Severity::Warning,
            subject: "port 179".to_owned(),
            seen: "somebody listens on the port of BGP".to_owned(),
            why: "if it is not the agent, a second BGP daemon has its place".to_owned(),
            remedy: "`ss -tlnp sport = :179` tells which".to_owned(),
        });
    }
    let not_looked_at = vec!["all that only the agent knows, or sees in its network namespace".to_owned()];
    DoctorReply { findings, not_looked_at }
}

/// A line of `/proc/net/tcp`: `0: 00000000:00B3 00000000:0000 0A …`.
fn listens_on_bgp(line: &str) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let (local, state) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
    local.ends_with(":00B3") && state == "0A"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_without_the_agent() {
        let table = "  sl  local_address rem_address   st\n   0: 00000000:00B3 00000000:0000 0A 00000000:00000000\n";
        let other = "   0: 020200C0:9C40 010200C0:00B3 01 0\n   1: 00000000:00B3 010200C0:1234 01 0\n";
        let ids = |rp_filter: &str, table: &str| -> Vec<String> {
            let read = |path: &str| match path {
                "/proc/net/tcp" => Some(table.to_owned()),
                path if path.ends_with("rp_filter") => Some(rp_filter.to_owned()),
                _ => None,
            };
            without_agent("away".into(), "start it".into(), &read).findings.into_iter().map(|it| it.id).collect()
        };
        assert_eq!(ids("1\n", table), ["agent", "rp_filter", "other_speaker"]);
        assert_eq!(ids("2\n", other), ["agent"]);
    }
}
