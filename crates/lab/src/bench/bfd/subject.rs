//! Who announces from the near node: the agent with BFD or without, and two routing daemons in its place.

use std::fmt::Write as _;

use anyhow::Context as _;
use nix::sys::signal::Signal;

use super::scene::NEAR;
use crate::{
    harness::{Lab, service::silent},
    runner::Process,
    setup,
};

/// What is announced, and where the service answers.
const PREFIXES: [&str; 2] = ["203.0.113.0/24", "2001:db8:53::/48"];
const ADDRESSES: [&str; 2] = ["203.0.113.80/32", "2001:db8:53::80/128"];
/// Where its configuration and its log are, in the node.
const DIRECTORY: &str = "/run/bench";
const CONFIG: &str = "/run/bench/config";
pub(super) const LOG: &str = "/run/bench/log";
/// Daemons that go into the background.
const FRR: &str = "set -e; export PATH=/usr/lib/frr:$PATH; install -d -o frr -g frr /run/frr; \
                   zebra -d -A 127.0.0.1; bfdd -d -A 127.0.0.1; bgpd -d -A 127.0.0.1; vtysh -b";

/// Who, and how soon it is to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The agent with BFD at so many milliseconds, three of them; `None`: with a hold time of 3 s.
    Anycastd(Option<u32>),
    /// At 50 ms × 3, as what follows.
    Bird,
    Frr,
}

impl Subject {
    pub(super) const OURS: [Self; 3] = [Self::Anycastd(Some(50)), Self::Anycastd(Some(300)), Self::Anycastd(None)];
    pub(super) const OTHERS: [Self; 2] = [Self::Bird, Self::Frr];

    pub(super) fn name(self) -> String {
        match self {
            Self::Anycastd(Some(interval)) => format!("anycastd, {interval} ms × 3"),
            Self::Anycastd(None) => "anycastd, no BFD, hold time 3 s".to_owned(),
            Self::Bird => "BIRD, 50 ms × 3".to_owned(),
            Self::Frr => "FRR, 50 ms × 3".to_owned(),
        }
    }

    /// The interval of BFD, in milliseconds.
    pub(super) const fn interval(self) -> Option<u32> {
        match self {
            Self::Anycastd(interval) => interval,
            Self::Bird | Self::Frr => Some(50),
        }
    }

    pub(super) fn is_installed(self) -> bool {
        match self {
            Self::Anycastd(_) => true,
            Self::Bird => setup::find("bird").is_some(),
            Self::Frr => setup::find("bfdd").is_some(),
        }
    }

    /// Its processes, by name.
    const fn processes(self) -> &'static [&'static str] {
        match self {
            Self::Anycastd(_) => &["anycastd"],
            Self::Bird => &["bird"],
            Self::Frr => &["bgpd", "bfdd", "zebra"],
        }
    }

    /// Starts it.
    pub(super) async fn start(self, lab: &Lab) -> anyhow::Result<Option<Process>> {
        for address in ADDRESSES {
            // The agent brings its addresses itself.
            let verb = if matches!(self, Self::Anycastd(_)) { "del" } else { "replace" };
            let script = format!("ip address {verb} {address} dev lo 2>/dev/null || true");
            lab.run(NEAR, &["sh", "-c", &script]).await?;
        }
        match self {
            Self::Anycastd(interval) => {
                let bfd = interval
                    .map_or(String::new(), |interval| format!(", bfd: {{ interval: {interval}ms, multiplier: 3 }}"));
                lab.write(NEAR, CONFIG, &anycastd(&[format!("address: 192.0.2.1, hold_time: 3s{bfd}")], "")).await?;
                spawn(lab, &agent(true)).map(Some)
            }
            Self::Bird => {
                lab.write(NEAR, CONFIG, BIRD).await?;
                spawn(lab, &format!("exec bird -f -c {CONFIG} -s /run/bird.ctl >{LOG} 2>&1")).map(Some)
            }
            Self::Frr => {
                lab.write(NEAR, "/etc/frr/vtysh.conf", "service integrated-vtysh-config\n").await?;
                lab.write(NEAR, "/etc/frr/frr.conf", &frr()).await?;
                lab.run(NEAR, &["sh", "-c", FRR]).await.map(|_| None)
            }
        }
    }

    /// Kills it, frozen or not.
    pub(super) async fn end(self, lab: &Lab, process: Option<Process>) -> anyhow::Result<()> {
        for name in self.processes() {
            if !lab.pids(NEAR, name).await?.is_empty() {
                lab.kill(NEAR, name, Signal::SIGKILL).await?;
            }
        }
        if let Some(mut process) = process {
            process.wait().await.context("it does not end")?;
        }
        lab.run(NEAR, &["rm", "-rf", DIRECTORY, "/var/lib/anycastd"]).await.map(drop)
    }
}

/// A shell's words that become the agent, which may have a real-time thread or not.
pub(super) fn agent(real_time: bool) -> String {
    // RLIMIT_RTPRIO and CAP_SYS_NICE are the two ways to it (sched(7)).
    let without = if real_time { "" } else { "setpriv --bounding-set -sys_nice prlimit --rtprio=0:0 " };
    format!("exec {without}anycastd --config {CONFIG} >{LOG} 2>&1")
}

/// Starts the agent with this configuration.
pub(super) async fn start_agent(lab: &Lab, config: &str, real_time: bool) -> anyhow::Result<Process> {
    lab.write(NEAR, CONFIG, config).await?;
    spawn(lab, &agent(real_time))
}

fn spawn(lab: &Lab, command: &str) -> anyhow::Result<Process> {
    lab.runner().spawn(NEAR, &["sh", "-c", &format!("mkdir -p {DIRECTORY}; {command}")], silent())
}

/// The agent with the lab's service, neighbors of these keys, and more checks.
pub(super) fn anycastd(neighbors: &[String], checks: &str) -> String {
    let mut text = "bgp:\n  asn: 65010\n  router_id: 192.0.2.2\n  neighbors:\n".to_owned();
    for (n, keys) in neighbors.iter().enumerate() {
        let _ = writeln!(text, "    - {{ name: r{n}, asn: 65101, {keys} }}");
    }
    let _ = write!(
        text,
        "services:\n  - name: web\n    addresses: [203.0.113.80, \"2001:db8:53::80\"]\n    \
         prefixes: [{}, \"{}\"]\n    checks:\n      \
         - {{ name: ipv4, type: http, url: \"http://203.0.113.80/healthz\" }}\n{checks}\
         log: {{ format: text, level: info }}\n",
        PREFIXES[0], PREFIXES[1]
    );
    text
}

const BIRD: &str = "router id 192.0.2.2;\nprotocol device {}\n\
    protocol bfd { interface \"eth1\" { interval 50 ms; multiplier 3; }; }\n\
    protocol static { ipv4; route 203.0.113.0/24 unreachable; }\n\
    protocol static { ipv6; route 2001:db8:53::/48 unreachable; }\n\
    protocol bgp rtr {\n  local as 65010; neighbor 192.0.2.1 as 65101; bfd on; hold time 9;\n  \
    connect delay time 1; connect retry time 1; error wait time 1, 2;\n  \
    ipv4 { import none; export all; };\n  ipv6 { import none; export all; next hop address 2001:db8:1:e::2; };\n}\n";

fn frr() -> String {
    let families = [("ipv4", PREFIXES[0]), ("ipv6", PREFIXES[1])];
    let family = |(family, prefix): &(&str, &str)| {
        format!(
            " address-family {family} unicast\n  network {prefix}\n  neighbor 192.0.2.1 activate\n exit-address-family\n"
        )
    };
    format!(
        "router bgp 65010\n bgp router-id 192.0.2.2\n no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n timers bgp 3 9\n neighbor 192.0.2.1 remote-as 65101\n \
         neighbor 192.0.2.1 timers connect 1\n neighbor 192.0.2.1 advertisement-interval 0\n \
         neighbor 192.0.2.1 bfd 3 50 50\n{}exit\n",
        families.iter().map(family).collect::<String>()
    )
}
