//! `cargo lab systemd`: the package, installed, run and removed under a real systemd.
//!
//! A Debian root made with debootstrap is booted in a container of a Docker daemon of our own ([`docker`]). It has its own /tmp and
//! /run: a systemd that shares them with the machine empties them. Its network holds one end of a link of the lab, so that a real
//! router hears what the node says ([`node`]). What is seen to be so is told in [`stories`], in order: each begins where the last ended.

mod docker;
mod node;
mod reboot;
mod root;
mod stories;

use std::time::Instant;

use clap::Args;

use self::{docker::Docker, node::Node};
use crate::{
    exit::{Complaint, Exit},
    package,
    programs::Programs,
    setup,
};

/// `systemd`.
#[derive(Debug, Args)]
pub struct Options {
    /// Leave the container running when a story fails, until a key is pressed
    #[arg(long)]
    pub pause: bool,
}

/// Runs every story; the first that fails ends it.
///
/// # Errors
/// When the machine cannot hold it, with the exit code that says so, or a story is not so.
pub async fn run(programs: &Programs, options: &Options) -> anyhow::Result<Exit> {
    setup::ensure(setup::Purpose::Systemd).await?;
    let packed = package::Options { generate: false, output: "target/systemd".into(), raw: true };
    let package = package::make(programs, &packed)?.ok_or_else(|| anyhow::anyhow!("no package was made"))?;
    let docker = Docker::start().await?;
    // Up to here nothing of ours has run: what fails is the machine.
    root::import(&docker).await.map_err(|error| cannot("make a root of Debian", &error))?;
    let node = Node::boot(&docker, programs, &package).await;
    let node = node.map_err(|error| cannot("boot a systemd in a container", &error))?;
    let told = stories::tell(&node).await;
    if told.is_err() {
        eprintln!("{}", node.last_words().await);
        if options.pause {
            eprintln!("anycast-lab: `{}`; then press enter", docker.shell());
            let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
        }
    }
    told.map(|()| Exit::Done)
}

fn cannot(what: &str, error: &anyhow::Error) -> anyhow::Error {
    Complaint::unavailable(format!("this machine cannot {what}: {error:#}"))
}

/// Says what is being told, and how long it took.
async fn story(name: &str, told: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let done = told.await;
    let sign = if done.is_ok() { "✓" } else { "✗" };
    eprintln!("{sign} {name} ({:.1} s)", begun.elapsed().as_secs_f64());
    done.map_err(|error| error.context(name.to_owned()))
}
