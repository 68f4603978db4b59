//! One node: five namespaces, held by their first process.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::{
    io::Errno,
    process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

use super::init::{Birth, Report, STAY};
use crate::{runner::Streams, topology};

/// What a node has of its own. All of them are entered at once, or none.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNET
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC);

/// How long the processes of a node that was killed may take to be gone.
const REAPED_WITHIN: Duration = Duration::from_secs(20);
/// How long is waited for the same where nobody asks for the outcome.
const DROPPED_WITHIN: Duration = Duration::from_millis(50);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What programs in a node know of the caller's environment.
const INHERITED: [&str; 6] = ["TERM", "LANG", "LC_ALL", "NO_COLOR", "RUST_LOG", "RUST_BACKTRACE"];

/// A process that can be found again: its number alone may by then be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot.
    pub started: u64,
}

impl Pin {
    /// Of a process that is there.
    fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { pid, started: started(pid)? })
    }

    /// The process, when it is still the one that was meant.
    fn open(self) -> anyhow::Result<OwnedFd> {
        let held = hold(self.pid)?;
        // Asked after it is held: from here on the number cannot be another's.
        if started(self.pid)? != self.started {
            bail!("process {} is another one by now", self.pid);
        }
        Ok(held)
    }

    /// Kills it, when it is there.
    ///
    /// # Errors
    /// When this process may not.
    pub fn kill(self) -> anyhow::Result<()> {
        self.open().map_or(Ok(()), |held| kill(&held)).with_context(|| format!("cannot kill process {}", self.pid))
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.open().is_ok()
    }
}

fn kill(process: &OwnedFd) -> rustix::io::Result<()> {
    match pidfd_send_signal(process, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}

fn hold(pid: u32) -> anyhow::Result<OwnedFd> {
    let number = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let number = number.ok_or_else(|| anyhow!("{pid} is no process"))?;
    pidfd_open(number, PidfdFlags::empty()).with_context(|| format!("process {pid}"))
}

/// The 22nd field of proc_pid_stat(5); the second is a name in parentheses that may hold anything, the third the state.
fn started(pid: u32) -> anyhow::Result<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let mut fields = line.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        bail!("process {pid} has ended");
    }
    let field = fields.nth(18).and_then(|field| field.parse().ok());
    field.ok_or_else(|| anyhow!("process {pid}: /proc is not understood"))
}

/// What ties a program in a node to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bond {
    /// Nothing: it is the node's own.
    None,
    /// It is killed when its handle is dropped.
    Handle,
    /// The same, and it has our terminal.
    Terminal,
}

/// A node that runs.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    pin: Pin,
    first: OwnedFd,
    env: BTreeMap<String, String>,
    /// Ours to end, as long as we have not let go of it.
    tie: Option<Tie>,
}

#[derive(Debug)]
struct Tie {
    child: Child,
    lifeline: ChildStdin,
}

impl Node {
    /// Begins a node: its first process is on its way, see [`ready`](Self::ready). `init` is the path of this very program.
    pub(super) fn begin(
        name: &str,
        spec: &topology::Node,
        binds: &[topology::Bind],
        init: &Path,
    ) -> anyhow::Result<Self> {
        let mut child = apart(|| {
            unshare(NAMESPACES).context("the kernel gives it no namespaces")?;
            let mut command = Command::new(init);
            command.arg("init").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().with_context(|| format!("cannot start {}", init.display()))
        })?;
        let lifeline = child.stdin.take().context("it has no input")?;
        let (pin, first) = Pin::of(child.id()).and_then(|pin| Ok((pin, pin.open()?)))?;
        let mut tie = Tie { child, lifeline };
        let binds = spec.binds.iter().chain(binds).cloned().collect();
        let birth = Birth { hostname: name.to_owned(), sysctls: spec.sysctls.clone(), binds };
        let told = writeln!(tie.lifeline, "{}", serde_json::to_string(&birth)?);
        let node = Self { name: name.to_owned(), pin, first, env: spec.env.clone(), tie: Some(tie) };
        told.context("it does not listen")?;
        Ok(node)
    }

    /// Finds a node that was let go of.
    pub(super) fn find(name: &str, spec: &topology::Node, pin: Pin) -> anyhow::Result<Self> {
        Ok(Self { name: name.to_owned(), pin, first: pin.open()?, env: spec.env.clone(), tie: None })
    }

    /// Waits until it says that it is what it should be.
    pub(super) fn ready(&mut self) -> anyhow::Result<()> {
        let Some(tie) = &mut self.tie else { return Ok(()) };
        let output = tie.child.stdout.take().context("it was asked already")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Report::Ready) => Ok(()),
            Ok(Report::Failed(why)) => Err(anyhow!(why)),
            Err(_) => {
                let mut errors = String::new();
                if let Some(stream) = &mut tie.child.stderr {
                    stream.read_to_string(&mut errors)?;
                }
                Err(anyhow!("its first process ended: {}", errors.trim()))
            }
        }
    }

    /// How to find it again.
    pub(super) const fn pin(&self) -> Pin {
        self.pin
    }

    /// Lets go of it: it stays when we end.
    pub(super) fn stay(&mut self) -> anyhow::Result<()> {
        if let Some(tie) = &mut self.tie {
            tie.lifeline.write_all(STAY.as_bytes()).with_context(|| format!("{}: it does not listen", self.name))?;
            self.tie = None;
        }
        Ok(())
    }

    /// Starts a program in it.
    pub(super) fn start(&self, argv: &[&str], streams: Streams, bond: Bond) -> anyhow::Result<tokio::process::Child> {
        let (program, arguments) = argv.split_first().context("there is no program to start")?;
        let runtime = tokio::runtime::Handle::try_current().context("there is no runtime")?;
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).env_clear().env("PATH", PATH).env("HOME", "/root").envs(inherited()).envs(&self.env);
        command.stdin(streams.input).stdout(streams.output).stderr(streams.errors);
        if bond != Bond::Terminal {
            // What the terminal tells us is not meant for it.
            command.process_group(0);
        }
        command.kill_on_drop(bond != Bond::None);
        apart(|| {
            // A thread that shares its working directory with others cannot go where they are not.
            unshare(CloneFlags::CLONE_FS).context("cannot part from the other threads")?;
            setns(&self.first, NAMESPACES).with_context(|| format!("cannot enter {}", self.name))?;
            let _guard = runtime.enter();
            command.spawn().with_context(|| format!("{}: cannot run {program}", self.name))
        })
    }

    /// Does something in its network. What is opened there stays there: a socket keeps the network it was made in.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        apart(|| {
            setns(&self.first, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", self.name))?;
            work()
        })
    }

    /// Kills all that is in it.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.kill_within(REAPED_WITHIN)
    }

    fn kill_within(&mut self, limit: Duration) -> anyhow::Result<()> {
        kill(&self.first).with_context(|| format!("cannot end {}", self.name))?;
        if let Some(mut tie) = self.tie.take() {
            // It ends once every process of the node is reaped, those too that we started in it and have not waited for.
            let patience = Instant::now() + limit;
            while tie.child.try_wait()?.is_none() {
                if Instant::now() >= patience {
                    bail!("{} does not end: a program that was started in it was not waited for", self.name);
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.tie.is_some() {
            // Those that we started and have not waited for may be reaped only when we end, too.
            let _ = self.kill_within(DROPPED_WITHIN);
        }
    }
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// Does something on a thread of its own, which may change the namespaces it is in and ends with them.
fn apart<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().spawn_scoped(scope, work).context("cannot start a thread")?;
        worker.join().unwrap_or_else(|_| Err(anyhow!("the thread that should have done it panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_number_and_start() {
        let own = Pin::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(!Pin { started: own.started + 1, ..own }.is_alive());
        assert!(!Pin { pid: 0, started: 0 }.is_alive());
    }

    #[test]
    fn a_process_that_was_reaped_is_not_found() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pin = Pin::of(child.id()).unwrap();
        assert!(pin.is_alive());
        pin.kill().unwrap();
        child.wait().unwrap();
        assert!(!pin.is_alive());
    }
}
