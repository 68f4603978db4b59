//! `up` and `down`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use super::{Lab, programs};
use crate::{
    cli::{Binaries, Which},
    exit::Exit,
    frr,
    runner::{containerlab::Containers, namespaces::Namespaces},
    setup,
    state::Standing,
    topology::Topology,
};

/// For every BGP session to come up.
const SETTLE: Duration = Duration::from_secs(60);
/// For killed processes to be gone.
const GONE: Duration = Duration::from_secs(10);
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

pub(super) async fn up(lab: Lab, binaries: &Binaries) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let _lock = lab.register.lock(&lab.name)?;
    let standing = lab.standing()?.is_some_and(|standing| standing.is_alive());
    if standing || lab.containers()?.is_some() {
        bail!("lab {} is up already; take it down with `cargo lab down`, or give another a --name", lab.name);
    }
    if lab.which == Which::Containerlab {
        Containers::up(&lab.topology, &lab.name)?;
        return settled(&lab, frr::settle(&*lab.find()?, SETTLE).await, begun);
    }
    setup::ensure(setup::Purpose::Run).await?;
    let programs = programs(binaries).await?;
    let built = Instant::now();
    let file = lab.topology.file.clone();
    let running = Namespaces::up(lab.topology.clone(), &programs).await?;
    let settling = frr::settle(&running, SETTLE).await;
    // First known, then let go of: a lab that nobody knows could not be taken down.
    lab.register.keep(&lab.name, &Standing::new(file, running.pins()))?;
    running.stay()?;
    settled(&lab, settling, built)
}

/// A lab whose sessions are not all up is left up all the same: to see why.
fn settled(lab: &Lab, sessions: anyhow::Result<()>, begun: Instant) -> anyhow::Result<Exit> {
    let nodes = lab.topology.nodes.len();
    sessions.with_context(|| format!("lab {} is up, but look at it: `cargo lab status`", lab.name))?;
    println!(
        "lab {} is up: {nodes} nodes, every BGP session established, after {:.1} s",
        lab.name,
        begun.elapsed().as_secs_f64()
    );
    println!("{}", hint(&lab.topology, &lab.options));
    Ok(Exit::Done)
}

/// What to type now, with the names of this lab; `options` are those that found it.
fn hint(topology: &Topology, options: &str) -> String {
    let lab = |words: &str| format!("cargo lab{options} {words}");
    let mut lines = vec![(lab("status"), "what runs in each node, and the BGP sessions")];
    let agent = topology.nodes.iter().find(|(_, node)| node.runs("anycastd"));
    if let Some((name, _)) = agent {
        lines.push((lab(&format!("exec {name} anycastctl status")), "what the agent of an edge node thinks"));
    }
    if let Some((name, _)) = topology.nodes.iter().find(|(_, node)| node.is_router()) {
        lines.push((lab(&format!("exec {name} vtysh -c 'show bgp ipv4'")), "which routes a router knows"));
    }
    if agent.is_none()
        && let Some(name) = topology.nodes.keys().next()
    {
        lines.push((lab(&format!("exec {name} bash")), "a shell in a node"));
    }
    lines.push((lab("down"), "take it down"));
    let width = lines.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> = lines.iter().map(|(command, what)| format!("  {command:<width$}   # {what}")).collect();
    format!("try:\n{}", lines.join("\n"))
}

pub(super) async fn down(lab: &Lab) -> anyhow::Result<Exit> {
    let _lock = lab.register.lock(&lab.name)?;
    let Some(standing) = lab.standing()? else {
        let state = match lab.containers()? {
            Some(containers) => containers.down().map(|()| "down")?,
            None => "not up",
        };
        println!("lab {} is {state}", lab.name);
        return Ok(Exit::Done);
    };
    for pin in standing.nodes.values() {
        pin.kill()?;
    }
    let deadline = Instant::now() + GONE;
    while standing.is_alive() {
        if Instant::now() >= deadline {
            bail!("lab {}: some nodes are still there {GONE:?} after they were killed; try again", lab.name);
        }
        sleep(POLL).await;
    }
    lab.register.forget(&lab.name)?;
    println!("lab {} is down", lab.name);
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::repository;

    #[test]
    fn the_hint_names_nodes_of_this_lab() {
        let topology = Topology::read(&repository().join("lab/topology.clab.yml")).unwrap();
        insta::assert_snapshot!(hint(&topology, ""), @r"
        try:
          cargo lab status                                 # what runs in each node, and the BGP sessions
          cargo lab exec ap-edge1 anycastctl status        # what the agent of an edge node thinks
          cargo lab exec ap-rtr vtysh -c 'show bgp ipv4'   # which routes a router knows
          cargo lab down                                   # take it down
        ");
        let topology = Topology::read(&repository().join("lab/speaker.clab.yml")).unwrap();
        let hint = hint(&topology, " --name x");
        assert!(hint.contains("cargo lab --name x exec ") && !hint.contains("vtysh"), "{hint}");
    }
}
