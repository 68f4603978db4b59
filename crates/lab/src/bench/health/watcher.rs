//! Who watches the service: the agent in three manners, and three others that announce from a host, each with the checker that
//! it is run with.

use std::{process::Stdio, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::config::{self, ADDRESS, HEALTHCHECKER_FILE, PREFIX};
use crate::{
    bench::subject::GOBGP,
    harness::Lab,
    runner::{Process, Streams},
    setup,
};

/// For a clean end.
const FAREWELL: Duration = Duration::from_secs(10);

/// A program that announces while a service is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Anycastd,
    /// With its `healthcheck` module.
    ExaBgp,
    /// anycast-healthchecker, which writes a file for BIRD.
    Healthchecker,
    /// With a script.
    GoBgp,
}

/// How soon it is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// `watch: listener`, and otherwise the defaults.
    Listener,
    /// A check each 100 ms, and one answer decides.
    Fast,
    /// What it does when nothing is said.
    Default,
}

/// One of them at one pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watcher {
    pub(super) program: Program,
    pub(super) pace: Pace,
}

impl Watcher {
    pub(super) const OURS: [Self; 3] = [
        Self::new(Program::Anycastd, Pace::Listener),
        Self::new(Program::Anycastd, Pace::Fast),
        Self::new(Program::Anycastd, Pace::Default),
    ];
    /// A script has no defaults.
    pub(super) const OTHERS: [Self; 5] = [
        Self::new(Program::ExaBgp, Pace::Fast),
        Self::new(Program::ExaBgp, Pace::Default),
        Self::new(Program::Healthchecker, Pace::Fast),
        Self::new(Program::Healthchecker, Pace::Default),
        Self::new(Program::GoBgp, Pace::Fast),
    ];

    pub(super) const fn new(program: Program, pace: Pace) -> Self {
        Self { program, pace }
    }

    pub(super) fn name(self) -> String {
        let program = match self.program {
            Program::Anycastd => "anycastd",
            Program::ExaBgp => "ExaBGP",
            Program::Healthchecker => "anycast-healthchecker",
            Program::GoBgp => "GoBGP, script",
        };
        let pace = match self.pace {
            Pace::Listener => "watch: listener",
            Pace::Fast => "100 ms",
            Pace::Default => "defaults",
        };
        format!("{program}, {pace}")
    }

    /// What it lacks on this machine.
    pub(super) fn missing(self) -> Option<&'static str> {
        let needs: &[(&str, &str)] = match self.program {
            Program::Anycastd => &[],
            Program::ExaBgp => &[("exabgp", "not installed"), ("curl", "curl is not installed")],
            Program::Healthchecker => &[
                ("anycast-healthchecker", "not installed (pip install anycast-healthchecker)"),
                ("bird", "BIRD is not installed"),
                ("curl", "curl is not installed"),
            ],
            Program::GoBgp => &[("gobgpd", "not installed"), ("curl", "curl is not installed")],
        };
        needs.iter().find(|(program, _)| setup::find(program).is_none()).map(|(_, words)| *words)
    }

    /// Whether it dials its neighbor; one that only listens is dialled.
    pub(super) fn dials(self) -> bool {
        // GoBGP would wait for some seconds first.
        self.program != Program::GoBgp
    }

    /// From one look at a healthy service to the next.
    pub(super) const fn interval(self) -> Duration {
        match (self.program, self.pace) {
            (_, Pace::Fast) => Duration::from_millis(100),
            (Program::Anycastd, Pace::Listener | Pace::Default) => Duration::from_secs(1),
            (Program::ExaBgp, Pace::Listener | Pace::Default) => Duration::from_secs(5),
            (Program::Healthchecker | Program::GoBgp, Pace::Listener | Pace::Default) => Duration::from_secs(10),
        }
    }

    /// Puts its files, and what it does not put there itself, into the node.
    pub(super) async fn prepare(self, lab: &Lab) -> anyhow::Result<()> {
        if self.program != Program::Anycastd {
            lab.run("edge", &["ip", "address", "replace", PREFIX, "dev", "lo"]).await?;
        }
        for (path, text) in self.files() {
            lab.write("edge", path, &text).await?;
        }
        Ok(())
    }

    fn files(self) -> Vec<(&'static str, String)> {
        match self.program {
            Program::Anycastd => vec![("/run/bench/anycastd.yaml", config::anycastd(self.pace))],
            Program::ExaBgp => vec![("/run/bench/exabgp.conf", config::exabgp(self.pace))],
            Program::Healthchecker => vec![
                ("/run/bench/bird.conf", config::bird()),
                (HEALTHCHECKER_FILE, config::healthchecker_file()),
                ("/run/bench/healthchecker.conf", config::healthchecker(self.pace)),
            ],
            Program::GoBgp => {
                vec![("/run/bench/gobgp.toml", GOBGP.to_owned()), ("/run/bench/check.sh", config::script())]
            }
        }
    }

    /// Starts it: the speaker first, then what checks for it.
    pub(super) fn start(self, lab: &Lab) -> anyhow::Result<Vec<Process>> {
        let commands: &[&str] = match self.program {
            Program::Anycastd => &["exec anycastd --config /run/bench/anycastd.yaml >/run/bench/log 2>&1"],
            Program::ExaBgp => &["exec env exabgp.daemon.user=root exabgp.api.ack=false exabgp.api.cli=false \
                                  exabgp.log.all=false exabgp /run/bench/exabgp.conf >/run/bench/log 2>&1"],
            Program::Healthchecker => &[
                "exec bird -f -c /run/bench/bird.conf -s /run/bird.ctl >/run/bench/log 2>&1",
                "until birdc -s /run/bird.ctl show status; do sleep 0.1; done; \
                 exec anycast-healthchecker -f /run/bench/healthchecker.conf -F /run/bench/healthchecker.conf \
                 >/run/bench/checker.log 2>&1",
            ],
            Program::GoBgp => &[
                "exec gobgpd -f /run/bench/gobgp.toml --log-level=error >/run/bench/log 2>&1",
                "exec sh /run/bench/check.sh >/run/bench/checker.log 2>&1",
            ],
        };
        let start = |command: &&str| {
            let streams = Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() };
            lab.runner().spawn("edge", &["sh", "-c", command], streams)
        };
        commands.iter().map(start).collect()
    }

    /// What it has said of late.
    pub(super) async fn said(self, lab: &Lab) -> String {
        let logs = "tail -qn 3 /run/bench/log /run/bench/checker.log 2>/dev/null; true";
        lab.run("edge", &["sh", "-c", logs]).await.unwrap_or_default().trim().replace('\n', "; ")
    }

    /// Ends it, and takes back what it has done to the node.
    pub(super) async fn end(self, lab: &Lab, processes: Vec<Process>) -> anyhow::Result<()> {
        // Whoever checks first, so that it says nothing of a speaker that has gone.
        for mut process in processes.into_iter().rev() {
            process.signal(Signal::SIGTERM)?;
            // One that does not end is killed when this is dropped.
            let _ = timeout(FAREWELL, process.wait()).await;
        }
        let tidy = format!("rm -rf /run/bench /var/lib/anycastd; ip address del {ADDRESS}/32 dev lo 2>/dev/null; true");
        lab.run("edge", &["sh", "-c", &tidy]).await.map(drop)
    }
}
