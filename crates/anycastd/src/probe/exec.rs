//! A program says how the service is, by the monitoring-plugins convention: 0 up, 1 degraded, anything else down.
//!
//! It runs without a shell, in a process group of its own, with nothing on stdin, no descriptor but the three, a small
//! environment and no ambient capabilities, and as another user where one is named. Its group does not outlive the run: what it left behind is killed when it
//! ends, and all of it at the timeout. Whoever leaves the group (setsid) is out of reach, but cannot hold the run up.

mod identity;
mod output;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anycast_core::{Health, Secret, config::ExecProbe};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::{Child, Command},
    runtime::Handle,
    task,
    time::{Instant, timeout, timeout_at},
};

use self::{identity::Identity, output::Output};
use super::{Finding, words};
use crate::blocking::{Hang, PROGRAMS, Slot, Span, Taken};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_millis(200);
/// How long a killed program may take to be gone; one in the kernel's uninterruptible sleep takes longer.
const REAP: Duration = Duration::from_millis(500);
/// How long output is awaited once the program is gone: somebody else may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The longest a run lasts beyond its timeout.
#[cfg_attr(not(test), allow(dead_code, reason = "stated for the documentation, and for the tests that hold it to it"))]
pub(super) const OVERRUN: Duration = GRACE.saturating_add(REAP).saturating_add(LAST_WORDS);

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_LANG: &str = "C.UTF-8";

/// An exec check, made ready.
#[derive(Debug)]
pub(super) struct ExecProber {
    command: Arc<Launch>,
    /// Held until the program is reaped: one that cannot be killed, or hangs in being started, is not started again.
    slot: Slot,
    /// Of its start: a program file that hangs takes few threads, however many checks run it.
    starts: Slot,
}

/// What is started.
#[derive(Debug, Clone)]
struct Launch {
    command: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    /// What the operator adds.
    added: BTreeMap<String, Secret>,
    user: Option<String>,
}

impl ExecProber {
    pub(super) fn new(config: &ExecProbe) -> Self {
        let inherited = |name, default: &str| (name, std::env::var_os(name).unwrap_or_else(|| default.into()));
        let environment = vec![inherited("PATH", DEFAULT_PATH), inherited("LANG", DEFAULT_LANG)];
        let ExecProbe { command, user, environment: added } = config.clone();
        let command = Arc::new(Launch { command, environment, added, user });
        let slot = Slot::alone(&PROGRAMS, command.program());
        let starts = Slot::of(&PROGRAMS, &command.start_of());
        Self { command, slot, starts }
    }

    pub(super) fn set_names(&mut self, service: &str, check: &str) {
        let launch = Arc::make_mut(&mut self.command);
        launch.environment.push(("ANYCASTD_SERVICE", service.into()));
        launch.environment.push(("ANYCASTD_CHECK", check.into()));
        // A reload that asks another program has nothing to wait for; the same one is never there twice.
        let key = format!("{service}/{check} {:?}", launch.command);
        self.slot = Slot::single(&PROGRAMS, key, &format!("{} of {service}/{check}", launch.program()));
    }

    pub(super) async fn run(&self, limit: Duration) -> Finding {
        let span = Span::of(limit);
        let taken = match self.slot.take(span).await {
            Ok(taken) => taken,
            Err(hang) => return self.not_ended(&hang),
        };
        let mut running = match self.start(taken, span).await {
            Ok(Ok(running)) => running,
            Ok(Err(finding)) => return finding,
            Err(hang) => return self.not_started(hang, limit),
        };
        match timeout_at(span.deadline(), running.ended()).await {
            Ok(Ok(())) => running.conclude().await,
            Ok(Err(error)) => Finding::fault("cannot watch the program", &error),
            Err(_) => running.stop(span).await,
        }
    }

    /// On a thread that may block: the program's file system may hang. When the run is dropped meanwhile, what the thread
    /// comes back with is dropped too, and killed by that; the next run waits for it.
    async fn start(&self, taken: Taken, span: Span) -> Result<Result<Running, Finding>, Hang> {
        let launch = self.command.clone();
        let runtime = Handle::current();
        let start = move || {
            // Its pipes and its end are watched by the runtime that waits for them.
            let _within = runtime.enter();
            launch.start(taken)
        };
        self.starts.run_within(span, start).await
    }

    /// Another run has kept the slot all the time. It proves the service bad only where its program was started, and has not
    /// ended in its time; a start that is slow, and runs that nobody waited for, prove nothing.
    fn not_ended(&self, hang: &Hang) -> Finding {
        let program = self.command.program();
        match hang {
            Hang::Before(_) if self.slot.is_running() => {
                Finding::down(format!("the last run of {program} has not ended yet"))
            }
            Hang::Before(time) => {
                Finding::unknown(format!("cannot start {program}: not started for {}", words::age(*time)))
            }
            _ => Finding::unknown(format!("not run: an earlier run of {program} has only just begun")),
        }
    }

    /// The service was not asked, so that nothing is known of it.
    fn not_started(&self, hang: Hang, limit: Duration) -> Finding {
        let why = match hang {
            Hang::Late => format!("not started within {}", words::time(limit)),
            Hang::Before(time) => format!("the file system has not answered for {}", words::age(time)),
            Hang::Busy => "too many programs are being started".to_owned(),
            Hang::Full(threads) => words::full(threads),
            Hang::Fault(why) => why,
        };
        Finding::unknown(format!("cannot start {}: {why}", self.command.program()))
    }
}

impl Launch {
    fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// What may hang in being started: the file, and the user database.
    fn start_of(&self) -> String {
        let user = self.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        format!("{}{user}", self.program())
    }

    fn start(&self, taken: Taken) -> Result<Running, Finding> {
        let begun = Instant::now();
        // Ambient capabilities belong to the thread, and are only there for programs it starts. The agent's own
        // capabilities are not touched by this.
        rustix::thread::clear_ambient_capability_set()
            .map_err(|error| Finding::unknown(format!("cannot drop ambient capabilities: {error}")))?;
        let file = self.file();
        let mut command = Command::new(&file);
        command
            .args(self.command.iter().skip(1))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(user) = &self.user
            && let Some(identity) = Identity::of(user).map_err(Finding::unknown)?
        {
            identity.assume(&mut command);
        }
        command.envs(self.added.iter().map(|(name, value)| (name, OsStr::from_bytes(value.expose()))));
        // A child takes over what this thread holds back.
        let spawned = crate::signals::released(|| command.spawn());
        let spawned = spawned.map_err(|error| Finding::unknown(format!("cannot unblock signals: {error}")))?;
        let mut child = spawned.map_err(|error| self.cannot_run(&file, &error))?;
        let unwatched =
            |error: io::Error| Finding::unknown(format!("cannot watch a program: {}", words::fault(&error)));
        let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        let group = Group::led_by(id);
        let exit = watch(id).map_err(unwatched)?;
        let output = Output::of(&mut child);
        taken.set_running();
        Ok(Running { group, child, exit, output, begun, _taken: taken })
    }

    /// The search of PATH is done here: the standard library's own, with a changed environment, would fork the whole
    /// agent instead of spawning, as it must for another user, and hand a file that is no program to a shell.
    fn file(&self) -> PathBuf {
        let program = self.program();
        if program.contains('/') {
            return program.into();
        }
        let path = self.environment.iter().find(|(name, _)| *name == "PATH").map(|(_, value)| value.as_os_str());
        std::env::split_paths(path.unwrap_or_default())
            .map(|directory| directory.join(program))
            .find(|file| file.is_file())
            .unwrap_or_else(|| Path::new("/nonexistent").join(program))
    }

    /// Nothing was asked, so that nothing is known of the service: a plugin that a package removed proves it neither good nor bad.
    fn cannot_run(&self, file: &Path, error: &io::Error) -> Finding {
        let program = self.program();
        let why = match error.kind() {
            io::ErrorKind::NotFound if file.exists() => "its interpreter is missing".to_owned(),
            io::ErrorKind::NotFound if !program.contains('/') => "not found in PATH".to_owned(),
            _ => words::fault(error),
        };
        Finding::unknown(format!("cannot run {program}: {why}"))
    }
}

/// A program under way. Dropped, all its group is killed; the runtime reaps it.
#[derive(Debug)]
struct Running {
    /// Before the child, so that it is dropped before it: while the child is not reaped its number is its own.
    group: Group,
    child: Child,
    /// Readable when the program has ended; reaping is left to us, see [`reap`](Self::reap).
    exit: AsyncFd<OwnedFd>,
    output: Output,
    /// When it was to be started.
    begun: Instant,
    _taken: Taken,
}

impl Running {
    /// Waits for the end of the program and takes its output meanwhile, so that it does not block on a full pipe.
    async fn ended(&mut self) -> io::Result<()> {
        let Self { exit, output, .. } = self;
        let reading = async {
            output.read_to_end().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ready = exit.readable() => ready.map(drop),
            () = reading => Ok(()),
        }
    }

    /// The program has ended by itself.
    async fn conclude(mut self) -> Finding {
        match self.reap() {
            Ok(status) => {
                let _ = timeout(LAST_WORDS, self.output.read_to_end()).await;
                verdict(status, &self.output)
            }
            Err(error) => Finding::fault("cannot reap the program", &error),
        }
    }

    /// The program takes too long; which proves nothing where we have kept it waiting.
    async fn stop(self, span: Span) -> Finding {
        let (fair, begun) = (span.is_fair(self.begun), self.begun);
        let stopped = self.killed_in_words(span.limit()).await;
        if fair {
            return stopped;
        }
        let had = words::time(span.deadline().saturating_duration_since(begun));
        Finding::unknown(format!("too many programs are being started: this one had only {had} to run"))
    }

    async fn killed_in_words(mut self, limit: Duration) -> Finding {
        let late = format!("timed out after {}", words::time(limit));
        if !self.killed().await {
            // It keeps its slot until it is gone.
            task::spawn(async move {
                if self.ended().await.is_ok() {
                    let _ = self.reap();
                }
            });
            return Finding::late(format!("{late}; cannot be killed"));
        }
        let _ = self.reap();
        let said = self.output.first_line().map(|line| format!("; it said: {line}")).unwrap_or_default();
        Finding::late(format!("{late}; killed{said}"))
    }

    async fn killed(&mut self) -> bool {
        self.group.signal(Signal::SIGTERM);
        if let Ok(Ok(())) = timeout(GRACE, self.ended()).await {
            return true;
        }
        self.group.signal(Signal::SIGKILL);
        matches!(timeout(REAP, self.ended()).await, Ok(Ok(())))
    }

    /// Kills what is left of the group, then reaps its leader: in this order, because until then the leader's number, dead
    /// as it is, cannot become that of somebody else's group.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.group.signal(Signal::SIGKILL);
        let status = self.child.try_wait()?.ok_or_else(|| io::Error::other("it has not ended"))?;
        self.group.forget();
        Ok(status)
    }
}

/// The process group of a child that has not been reaped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    /// No program has a number below 2: 0 and 1 would mean our own group and everybody.
    fn led_by(id: i32) -> Self {
        Self((id > 1).then(|| Pid::from_raw(id)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // ESRCH: nobody left. EPERM: it runs as another user; the caller sees that it does not end.
            let _ = killpg(group, signal);
            // It may have left its own group. Its number is its own until it is reaped.
            let _ = kill(group, signal);
        }
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// A pidfd: unlike a wait, it tells of the end without reaping.
#[allow(deprecated, reason = "the successor is unsafe for types that can swap their descriptor; an OwnedFd cannot")]
fn watch(id: i32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = rustix::process::Pid::from_raw(id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    AsyncFd::with_interest(pidfd_open(pid, PidfdFlags::empty())?, Interest::READABLE)
}

fn verdict(status: ExitStatus, output: &Output) -> Finding {
    let (health, what) = match (status.code(), status.signal()) {
        (Some(0), _) => (Health::Up, "exit 0".to_owned()),
        (Some(1), _) => (Health::Degraded, "exit 1".to_owned()),
        (Some(code), _) => (Health::Down, format!("exit {code}")),
        (None, Some(signal)) => (Health::Down, format!("killed by signal {signal}")),
        (None, None) => (Health::Down, status.to_string()),
    };
    let detail = output.first_line().map_or_else(|| what.clone(), |line| format!("{what}: {line}"));
    Finding { performance: output.performance(), ..Finding::answered(health, detail) }
}

#[cfg(test)]
mod tests;
