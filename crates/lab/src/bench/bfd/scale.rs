//! What many sessions take, with a router that has as many addresses.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::{
    Sizes,
    scene::{self, NEAR, ROUTER, Scene},
    subject::{self, anycastd},
};
use crate::{
    bench::report::{Figure, Outcome, Row, Section},
    burden,
};

/// The intervals, in milliseconds.
const INTERVALS: [u32; 2] = [300, 50];
/// The agent's end of all sessions (RFC 2544's network).
const AGENT: &str = "198.18.3.254";
/// As the kernel knows the agent's thread.
const THREAD: &str = "bfd";

pub(super) async fn measure(scene: &Scene, sizes: &Sizes) -> anyhow::Result<Section> {
    scene.lab.run(NEAR, &["ip", "address", "replace", &format!("{AGENT}/22"), "dev", "eth1"]).await?;
    scene.router(&["no neighbor 192.0.2.2 bfd"]).await?;
    let mut rows = Vec::new();
    for count in sizes.sessions {
        for interval in INTERVALS {
            eprintln!("anycast-lab: {count} BFD sessions at {interval} ms");
            peers(scene, *count, Some(interval)).await?;
            let figures = one(scene, *count, interval, sizes.load).await;
            peers(scene, *count, None).await?;
            let figures = figures.with_context(|| format!("{count} sessions at {interval} ms"))?;
            rows.push(Row { subject: format!("{count}, {interval} ms × 3"), outcome: Outcome::Figures(figures) });
        }
    }
    Ok(Section {
        title: "Processor time by number of sessions".to_owned(),
        meaning: "The other end of each is an address of its own at one FRR, which wants multihop sessions for that. In percent of one core, user and system: THREAD: the agent's thread \
                  for BFD alone; AGENT: all of it. PACKETS: sent and received a second, by the packets that a second should have.",
        rows,
    })
}

fn address(n: u16) -> String {
    let n = n + 1;
    format!("198.18.{}.{}", n >> 8, n & 255)
}

/// Gives the router so many sessions, or takes them away.
async fn peers(scene: &Scene, count: u16, interval: Option<u32>) -> anyhow::Result<()> {
    let (mut links, mut text) = (String::new(), "bfd\n".to_owned());
    for address in (0..count).map(address) {
        let peer = format!("peer {AGENT} multihop local-address {address}");
        match interval {
            Some(interval) => {
                let _ = writeln!(links, "address add {address}/32 dev edge");
                let _ = writeln!(
                    text,
                    " {peer}\n  detect-multiplier 3\n  receive-interval {interval}\n  transmit-interval {interval}\n  \
                     no shutdown\n exit"
                );
            }
            None => {
                let _ = writeln!(links, "address del {address}/32 dev edge");
                let _ = writeln!(text, " no {peer}");
            }
        }
    }
    text.push_str("exit\n");
    if interval.is_some() {
        links.push_str("route replace 198.18.0.0/22 dev edge\n");
    }
    scene.lab.write(ROUTER, "/run/links", &links).await?;
    scene.lab.write(ROUTER, "/run/peers", &text).await?;
    scene.lab.run(ROUTER, &["ip", "-batch", "/run/links"]).await?;
    scene.lab.run(ROUTER, &["vtysh", "-f", "/run/peers"]).await.map(drop)
}

async fn one(scene: &Scene, count: u16, interval: u32, time: Duration) -> anyhow::Result<Vec<Figure>> {
    // Who waits to be dialled has no connections to make; and a strict one begins with BFD.
    let neighbor = |n| {
        let at = address(n);
        format!(
            "address: {at}, source: {AGENT}, connect: passive, bfd: {{ interval: {interval}ms, multiplier: 3, strict: true }}"
        )
    };
    let neighbors: Vec<String> = (0..count).map(neighbor).collect();
    let agent = subject::start_agent(&scene.lab, &anycastd(&neighbors, ""), true).await?;
    let measured = async {
        scene.up(usize::from(count)).await?;
        sleep(Duration::from_secs(2)).await;
        let id = agent.child.id().context("the agent has ended")?;
        let (begun, before, thread) = (Instant::now(), burden::of(id)?.processor, of_thread(id)?);
        sleep(time).await;
        let (took, after, thread_after) = (begun.elapsed().as_secs_f64(), burden::of(id)?.processor, of_thread(id)?);
        scene.up(usize::from(count)).await.context("a session was lost")?;
        let percent = |time: Duration| time.as_secs_f64() / took * 100.0;
        // 87.5 % of the interval lie between two packets, on average.
        let packets = 2.0 * f64::from(count) * 1000.0 / (f64::from(interval) * 0.875);
        anyhow::Ok(vec![
            Figure::new("thread_pct", percent(thread_after.saturating_sub(thread)), 2),
            Figure::new("agent_pct", percent(after.saturating_sub(before)), 2),
            Figure::new("packets_a_second", packets, 0),
        ])
    };
    let measured = measured.await;
    scene::end(agent).await?;
    measured
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
