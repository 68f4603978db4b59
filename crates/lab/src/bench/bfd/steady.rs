//! Nothing happens, or nothing but work: no session may end for that, and packets keep their times.

use std::{net::IpAddr, thread, time::Duration};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{
    Sizes,
    scene::{self, NEAR, ROUTER, Scene},
    subject::{self, anycastd},
};
use crate::{
    bench::{
        health::Quantiles,
        report::{Figure, Outcome, Row, Section},
    },
    harness::{
        control::{Capture, Control, gaps, losses},
        service::silent,
    },
};

/// Busy threads for each processor.
const EACH: usize = 2;
/// Checks beside them, each of them once a second: of programs, and of the service over HTTP.
const PROGRAMS: usize = 20;
const REQUESTS: usize = 980;
/// Sessions of one agent, at once: their ends, ours first, and their intervals in milliseconds.
const SESSIONS: [([&str; 2], u32); 2] =
    [(["192.0.2.2", "192.0.2.1"], 50), (["2001:db8:1:e::2", "2001:db8:1:e::1"], 10)];

/// How the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Idle,
    Busy { real_time: bool },
}

impl Manner {
    const ALL: [Self; 3] = [Self::Idle, Self::Busy { real_time: true }, Self::Busy { real_time: false }];

    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy { real_time: true } => "busy",
            Self::Busy { real_time: false } => "busy, no priority",
        }
    }

    const fn is_real_time(self) -> bool {
        !matches!(self, Self::Busy { real_time: false })
    }
}

pub(super) async fn measure(scene: &Scene, sizes: &Sizes) -> anyhow::Result<[Section; 2]> {
    let (mut alarms, mut jitter) = (Vec::new(), Vec::new());
    prepare(scene).await?;
    for manner in Manner::ALL {
        let time = if manner == Manner::Idle { sizes.idle } else { sizes.busy };
        eprintln!("anycast-lab: steady, {}, {} s", manner.name(), time.as_secs());
        let packets = watched(scene, manner, time).await?;
        for (ends, interval) in SESSIONS {
            let subject = format!("{interval} ms × 3, {}", manner.name());
            let ends = [ends[0].parse()?, ends[1].parse()?];
            alarms.push(Row { subject: subject.clone(), outcome: Outcome::Figures(counted(&packets, ends, time)) });
            jitter.push(Row { subject, outcome: Outcome::Figures(spread(&packets, ends[0], interval)) });
        }
    }
    restore(scene).await?;
    Ok([
        Section {
            title: "False alarms".to_owned(),
            meaning: "Sessions of one agent with its router, while threads that do nothing but spin, two for each processor, take all of them, \
                      beside a thousand checks each second, twenty of programs and the others over HTTP. BY ROUTER: how often the router took the agent for gone; BY AGENT: the \
                      reverse. GAP: the longest time between two packets, of either end. All from the packets at the router, whose own daemon has \
                      a real-time priority (SCHED_FIFO 10) meanwhile: it is not what is measured.",
            rows: alarms,
        },
        Section {
            title: "Times between two packets of the agent".to_owned(),
            meaning: "From the kernel's times at the router. RFC 5880 wants 75 to 100 % of the interval, at random. OVER: the share of those that \
                      were longer than the interval; OVER 150: by a half and more.",
            rows: jitter,
        },
    ])
}

/// The router's other session, and its priority.
async fn prepare(scene: &Scene) -> anyhow::Result<()> {
    // On the line of the neighbor itself FRR takes 50 ms and more.
    let lines = ["configure terminal", "bfd", "profile fast", "receive-interval 10", "transmit-interval 10"];
    let argv: Vec<&str> = ["vtysh"].into_iter().chain(lines.iter().flat_map(|line| ["-c", *line])).collect();
    scene.lab.run(ROUTER, &argv).await?;
    scene
        .router(&[
            "neighbor 192.0.2.2 bfd 3 50 50",
            "neighbor 2001:db8:1:e::2 remote-as 65010",
            "neighbor 2001:db8:1:e::2 passive",
            "neighbor 2001:db8:1:e::2 bfd profile fast",
            // Without it FRR takes no connection from there.
            "address-family ipv6 unicast",
            "neighbor 2001:db8:1:e::2 activate",
        ])
        .await?;
    for pid in scene.lab.pids(ROUTER, "bfdd").await? {
        // Where the machine does not allow it, the figures are what they are.
        let _ = scene.lab.run(ROUTER, &["chrt", "-a", "-f", "-p", "10", &pid.to_string()]).await;
    }
    Ok(())
}

async fn restore(scene: &Scene) -> anyhow::Result<()> {
    scene.router(&["no neighbor 2001:db8:1:e::2", "no neighbor 192.0.2.2 bfd"]).await?;
    for pid in scene.lab.pids(ROUTER, "bfdd").await? {
        let _ = scene.lab.run(ROUTER, &["chrt", "-a", "-o", "-p", "0", &pid.to_string()]).await;
    }
    Ok(())
}

async fn watched(scene: &Scene, manner: Manner, time: Duration) -> anyhow::Result<Vec<Control>> {
    let neighbors = SESSIONS.map(|([_, router], interval)| {
        let family = if router.contains(':') { "ipv6" } else { "ipv4" };
        format!("address: \"{router}\", families: [{family}], bfd: {{ interval: {interval}ms, multiplier: 3 }}")
    });
    let program = |n| format!("      - {{ name: p{n}, type: exec, command: [/bin/true], interval: 1s }}\n");
    let request = |n| {
        let url = "http://203.0.113.80/healthz";
        format!("      - {{ name: h{n}, type: http, url: \"{url}\", interval: 1s }}\n")
    };
    let checks: String = (0..PROGRAMS).map(program).chain((0..REQUESTS).map(request)).collect();
    let agent = subject::start_agent(&scene.lab, &anycastd(&neighbors, &checks), manner.is_real_time()).await?;
    scene.up(SESSIONS.len()).await?;
    // The intervals have been agreed on by then.
    sleep(Duration::from_secs(2)).await;
    let capture = Capture::watch(&scene.lab, ROUTER, "edge").await?;
    let spin = match manner {
        Manner::Idle => None,
        Manner::Busy { .. } => {
            let threads = (EACH * thread::available_parallelism().map_or(1, usize::from)).to_string();
            let tool = scene.lab.runner().tool(NEAR);
            let argv = [tool.as_str(), "tool", "spin", "--threads", &threads];
            Some(scene.lab.runner().spawn(NEAR, &argv, silent())?)
        }
    };
    sleep(time).await;
    if let Some(spin) = spin {
        spin.signal(Signal::SIGKILL)?;
        scene::end(spin).await?;
    }
    let packets = capture.end().await?.controls().await;
    scene::end(agent).await?;
    packets
}

fn counted(packets: &[Control], [agent, router]: [IpAddr; 2], time: Duration) -> Vec<Figure> {
    let longest = |end| gaps(packets, end).into_iter().fold(0.0, f64::max);
    vec![
        Figure::new("minutes", time.as_secs_f64() / 60.0, 1),
        Figure::new("packets", packets.iter().filter(|packet| packet.from == agent).count() as f64, 0),
        Figure::new("by_router", losses(packets, router) as f64, 0),
        Figure::new("by_agent", losses(packets, agent) as f64, 0),
        Figure::new("gap_agent_ms", longest(agent), 1),
        Figure::new("gap_router_ms", longest(router), 1),
    ]
}

fn spread(packets: &[Control], agent: IpAddr, interval: u32) -> Vec<Figure> {
    let gaps = gaps(packets, agent);
    let over = |part: f64| {
        let limit = f64::from(interval) * part;
        gaps.iter().filter(|gap| **gap > limit).count() as f64 / gaps.len() as f64 * 100.0
    };
    let (over_interval, over_half) = (over(1.0), over(1.5));
    let Quantiles { p50, p99, most, .. } = Quantiles::of(gaps.clone());
    vec![
        Figure::new("gaps", gaps.len() as f64, 0),
        Figure::new("p50_ms", p50, 2),
        Figure::new("p99_ms", p99, 2),
        Figure::new("max_ms", most, 2),
        Figure::new("over_pct", over_interval, 2),
        Figure::new("over_150_pct", over_half, 3),
    ]
}
