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
    println!("look around: `cargo lab status`, `cargo lab exec NODE COMMAND…`; take it down: `cargo lab down`");
    Ok(Exit::Done)
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
