//! `cargo lab test`: everything that is checked, in the order in which a fault is cheapest to find.

use std::{
    process::{ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::Command;

use crate::{
    exit::Exit,
    programs::{cargo, repository},
    setup,
};

/// Tests at a time for each processor: most of them wait, for routers.
const EACH: usize = 2;

/// Runs it all, or only the tests that have `filter` in their name; stops at the first step that fails, with its exit code.
///
/// # Errors
/// When a step cannot be run.
pub async fn run(filter: Option<&str>) -> anyhow::Result<Exit> {
    setup::ensure(setup::Purpose::Test).await?;
    let threads = (EACH * thread::available_parallelism().map_or(1, usize::from)).to_string();
    let threads = has_nextest().await.then_some(threads.as_str());
    let mut taken = Vec::new();
    for arguments in steps(filter, threads) {
        let name = format!("cargo {}", arguments.join(" "));
        eprintln!("── {name}");
        let begun = Instant::now();
        let status = step(&arguments).await.with_context(|| format!("cannot run `{name}`"))?;
        if !status.success() {
            eprintln!("── FAILED after {}: {name}", seconds(begun.elapsed()));
            return Ok(Exit::of(status));
        }
        taken.push((name, begun.elapsed()));
    }
    eprintln!("── all is well");
    for (name, time) in taken {
        eprintln!("{:>8}  {name}", seconds(time));
    }
    Ok(Exit::Done)
}

/// What cargo is called with, one after the other; `threads`: how many tests nextest runs at a time, where it is there.
fn steps<'a>(filter: Option<&'a str>, threads: Option<&'a str>) -> Vec<Vec<&'a str>> {
    let mut tests = match threads {
        Some(threads) => vec!["nextest", "run", "--workspace", "--test-threads", threads],
        None => vec!["test", "--workspace"],
    };
    // Tests that run the product's programs need them all, and build them each by itself otherwise.
    let build = vec!["build", "--workspace", "--bins"];
    match filter {
        Some(filter) => {
            tests.push(filter);
            vec![build, tests]
        }
        None => vec![
            vec!["fmt", "--all", "--check"],
            vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
            build,
            tests,
        ],
    }
}

async fn step(arguments: &[&str]) -> anyhow::Result<ExitStatus> {
    let mut command = Command::new(cargo());
    command.args(arguments).current_dir(repository()).stdin(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let status = child.wait().await?;
    std::mem::forget(group);
    Ok(status)
}

/// What a step has started; told to end when we are interrupted before the step is over.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Its leader is not reaped, so that the number is its own.
            let _ = killpg(group, Signal::SIGTERM);
        }
    }
}

async fn has_nextest() -> bool {
    let mut command = Command::new(cargo());
    command.args(["nextest", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_checked_in_order() {
        let verbs = |filter, threads| steps(filter, threads).iter().map(|step| step[0].to_owned()).collect::<Vec<_>>();
        assert_eq!(verbs(None, Some("4")), ["fmt", "clippy", "build", "nextest"]);
        assert_eq!(verbs(None, None), ["fmt", "clippy", "build", "test"]);
        assert_eq!(verbs(Some("pair"), Some("4")), ["build", "nextest"]);
        assert_eq!(steps(Some("pair"), Some("4"))[1], ["nextest", "run", "--workspace", "--test-threads", "4", "pair"]);
        assert_eq!(steps(Some("pair"), None)[1], ["test", "--workspace", "pair"]);
    }
}
