//! What many sessions take: a program answers in the name of as many routers.

use std::{fs, time::Duration};

use anycast_api::{BfdSession, Neighbor};
use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::{
    Sizes,
    scene::{self, NEAR, Scene},
    subject::{self, anycastd},
};
use crate::{
    bench::report::{Figure, Outcome, Row, Section},
    burden,
    harness::service::silent,
};

/// The intervals, in milliseconds.
const INTERVALS: [u32; 2] = [300, 50];
/// Where the other ends of all sessions are, and the agent's end of them.
const PEERS: &str = "peers";
const AGENT: &str = "198.19.0.1";
/// As the kernel knows the agent's thread.
const THREAD: &str = "bfd";
/// Runs a tool with a real-time priority, where the machine allows it.
const PROMPTLY: &str = r#"chrt -f 10 true 2>/dev/null && exec chrt -f 10 "$0" "$@"; exec "$0" "$@""#;

pub(super) async fn measure(scene: &Scene, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut rows = Vec::new();
    for count in sizes.sessions {
        for interval in INTERVALS {
            eprintln!("anycast-lab: {count} BFD sessions at {interval} ms, {} s", sizes.load.as_secs());
            let outcome = one(scene, *count, interval, sizes.load).await;
            let outcome = outcome.with_context(|| format!("{count} sessions at {interval} ms"))?;
            rows.push(Row { subject: format!("{count}, {interval} ms × 3"), outcome });
        }
    }
    Ok(Section {
        title: "Processor time by number of sessions".to_owned(),
        meaning: "The other ends are addresses of one program, which has a real-time priority: it is not what is measured. In percent of one \
                  core, user and system: THREAD: the agent's thread for BFD alone; AGENT: all of it, which has as many neighbors that wait to \
                  be dialled, and nobody dials. PACKETS A SECOND: sent and received. There are no figures where a session was lost meanwhile.",
        rows,
    })
}

/// One of 65,000.
fn address(n: u16) -> String {
    let [high, low] = (n + 1).to_be_bytes();
    format!("198.18.{high}.{low}")
}

async fn one(scene: &Scene, count: u16, interval: u32, time: Duration) -> anyhow::Result<Outcome> {
    let runner = scene.lab.runner();
    let (tool, every) = (runner.tool(PEERS), format!("--interval={interval}ms"));
    let peers = runner.spawn(PEERS, &["sh", "-c", PROMPTLY, &tool, "tool", "bfd", &every], silent())?;
    // Who waits to be dialled has no connections to make; and a strict one begins with BFD.
    let neighbor = |n| {
        let at = address(n);
        format!(
            "address: {at}, source: {AGENT}, connect: passive, \
             bfd: {{ interval: {interval}ms, multiplier: 3, strict: true, multihop: false }}"
        )
    };
    let neighbors: Vec<String> = (0..count).map(neighbor).collect();
    let agent = subject::start_agent(&scene.lab, &anycastd(&neighbors, ""), true).await?;
    let measured = match agent.child.id() {
        Some(id) => watched(scene, id, usize::from(count), interval, time).await,
        None => Err(anyhow::anyhow!("the agent has ended")),
    };
    let said = match measured {
        Ok(_) => String::new(),
        Err(_) => scene.lab.run(NEAR, &["tail", "-n", "5", subject::LOG]).await.unwrap_or_default(),
    };
    scene::end(agent).await?;
    scene::end(peers).await?;
    measured.with_context(|| format!("the agent says: {said}"))
}

async fn watched(scene: &Scene, agent: u32, count: usize, interval: u32, time: Duration) -> anyhow::Result<Outcome> {
    let paced = async || {
        let all = sessions(scene).await?;
        let pace = f64::from(interval) / 1000.0;
        let paced = |session: &&BfdSession| {
            session.state == "Up" && session.transmit_seconds == pace && session.receive_seconds == pace
        };
        let well = all.iter().filter(paced).count();
        let other = all.iter().find(|session| !paced(session));
        ensure!(well == count, "{well} of {count} are; another is so: {other:?}");
        Ok(Some(losses(&all)))
    };
    let before = scene.lab.wait(&format!("{count} BFD sessions are Up, {interval} ms each"), paced).await?;
    let (begun, from) = (Instant::now(), Taken::by(agent)?);
    sleep(time).await;
    let (took, to) = (begun.elapsed().as_secs_f64(), Taken::by(agent)?);
    let all = sessions(scene).await?;
    let lost = losses(&all).saturating_sub(before);
    let up = all.iter().filter(|session| session.state == "Up").count();
    if lost > 0 || up != count {
        return Ok(Outcome::Not(format!("{lost} sessions were lost, and {up} are Up")));
    }
    let percent = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / took * 100.0;
    Ok(Outcome::Figures(vec![
        Figure::new("thread_pct", percent(from.thread, to.thread), 2),
        Figure::new("agent_pct", percent(from.agent, to.agent), 2),
        Figure::new("packets_a_second", to.packets.saturating_sub(from.packets) as f64 / took, 0),
    ]))
}

/// All that have begun.
async fn sessions(scene: &Scene) -> anyhow::Result<Vec<BfdSession>> {
    let said = scene.lab.run(NEAR, &["anycastctl", "--json", "neighbors"]).await?;
    let neighbors: Vec<Neighbor> = serde_json::from_str(&said)?;
    Ok(neighbors.into_iter().filter_map(|neighbor| neighbor.bfd?.session).collect())
}

/// Until now, in all of them.
fn losses(all: &[BfdSession]) -> u64 {
    all.iter().map(|session| session.losses).sum()
}

/// What was taken until a moment.
struct Taken {
    /// Processor time of the agent, and of its thread for BFD alone.
    agent: Duration,
    thread: Duration,
    /// Datagrams that its node has sent and received.
    packets: u64,
}

impl Taken {
    fn by(agent: u32) -> anyhow::Result<Self> {
        Ok(Self { agent: burden::of(agent)?.processor, thread: of_thread(agent)?, packets: datagrams(agent)? })
    }
}

/// Processor time of the agent's thread for BFD (schedstat, in nanoseconds).
fn of_thread(process: u32) -> anyhow::Result<Duration> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).context("the agent has ended")?;
    let mut found = None;
    for thread in threads.flatten().map(|thread| thread.path()) {
        let read = |file| fs::read_to_string(thread.join(file)).unwrap_or_default();
        if read("comm").trim() == THREAD {
            let time = read("schedstat").split_whitespace().next().and_then(|time| time.parse().ok());
            ensure!(found.is_none(), "there are several threads called {THREAD}");
            found = Some(Duration::from_nanos(time.context("the kernel keeps no schedstat")?));
        }
    }
    found.with_context(|| format!("the agent has no thread called {THREAD}"))
}

/// Over IPv4, by the network of a process: nothing else there speaks UDP.
fn datagrams(process: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/net/snmp")).context("the agent has ended")?;
    datagrams_in(&text).context("/proc/net/snmp is not understood")
}

/// A line of names, and one of their values.
fn datagrams_in(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?.split_whitespace(), lines.next()?.split_whitespace());
    let wanted = names.zip(values).filter(|(name, _)| ["InDatagrams", "OutDatagrams"].contains(name));
    let counts: Vec<u64> = wanted.map(|(_, value)| value.parse().ok()).collect::<Option<_>>()?;
    (counts.len() == 2).then(|| counts.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_an_address_of_its_own() {
        assert_eq!([0, 254, 255, 511].map(address), ["198.18.0.1", "198.18.0.255", "198.18.1.0", "198.18.2.0"]);
    }

    #[test]
    fn datagrams_of_both_directions_are_counted() {
        let text = "Tcp: InSegs\nTcp: 9\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 30 1 2 12\nUdpLite: InDatagrams\nUdpLite: 5\n";
        assert_eq!(datagrams_in(text), Some(42));
        assert_eq!(datagrams_in("Udp: InDatagrams\nUdp: 30\n"), None);
        assert!(datagrams(std::process::id()).is_ok());
    }
}
