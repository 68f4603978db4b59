//! A program in a container, which the client that `docker exec` left here stands for.
//!
//! Killing that client does not reach the program, nor does an interrupt at the terminal, which ends the client alone. So the
//! program bears a mark in its environment, and a signal is brought to it by a second `docker exec` that looks for the mark.

use std::{
    os::unix::process::CommandExt as _,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use nix::sys::signal::Signal;

use super::{client, docker};

/// How long the client may take to have the program started.
const START: Duration = Duration::from_secs(5);
/// Finds the program with the mark `$0` and sends it the signal `$1`; looks `$2` times more, 0.1 s apart, if it is not there.
///
/// What Docker starts in a container has its parent outside, so its parent's number is 0: the program's children and what it
/// left in the background, which have its mark too, are told from it by that.
const KILL: &str = r#"
left=$2
while :; do
    for it in /proc/[0-9]*; do
        grep -qs '^PPid:[[:space:]]*0$' "$it/status" || continue
        { tr '\0' '\n' <"$it/environ"; } 2>/dev/null | grep -qxF "$0" || continue
        kill -s "$1" "${it#/proc/}"
        exit
    done
    test "$left" -gt 0 || { echo 'it is not there' >&2; exit 3; }
    left=$((left - 1))
    sleep 0.1
done"#;

/// A program in a container; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Remote {
    container: String,
    mark: String,
    /// When it must have been started at the latest: until then it may still appear.
    appears: Instant,
    ended: bool,
}

impl Remote {
    pub(super) fn new(container: String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("ANYCAST_LAB_PROGRAM={}.{count}", std::process::id());
        Self { container, mark, appears: Instant::now() + START, ended: false }
    }

    /// To be told how the client ended.
    ///
    /// Its success is the program's. Its failure may be its own, and then the program goes on.
    pub(crate) fn set_ended(&mut self, client: ExitStatus) {
        self.ended = client.success();
        self.appears = Instant::now();
    }

    /// To be told that the client was interrupted: its end says nothing then, some versions exit with 0.
    pub(crate) const fn set_interrupted(&mut self) {
        self.ended = false;
    }

    /// What Docker's client is to be called with for the program to run.
    pub(super) fn exec(&self, argv: &[&str], terminal: bool) -> Vec<String> {
        let mode = if terminal { "-it" } else { "-i" };
        let docker = ["exec", mode, "--env", &self.mark, &self.container];
        docker.iter().chain(argv).map(|&word| word.to_owned()).collect()
    }

    /// What it is to be called with for the program to get a signal.
    fn kill(&self, signal: Signal) -> Vec<String> {
        let name = signal.as_str().trim_start_matches("SIG");
        let looks = self.appears.saturating_duration_since(Instant::now()).as_millis() / 100;
        ["exec", &self.container, "sh", "-c", KILL, &self.mark, name, &looks.to_string()].map(str::to_owned).into()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let said = docker(&self.kill(signal))?;
        if !said.status.success() {
            bail!("{}: cannot send {signal}: {}", self.container, String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Nobody waits for it, and many may be dropped at once. It is out of reach of an interrupt at the terminal, and outlives
        // us if it must.
        let mut client = client(&self.kill(Signal::SIGKILL));
        if let Ok(mut client) = client.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn() {
            thread::spawn(move || client.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{Child, Command},
    };

    use super::*;

    fn remote() -> Remote {
        let mut remote = Remote::new("clab-anycast-r1".to_owned());
        // There is no such container.
        remote.ended = true;
        remote
    }

    #[test]
    fn a_program_is_started_by_the_docker_client() {
        let (remote, other) = (remote(), remote());
        assert_ne!(remote.mark, other.mark);
        let expected = ["exec", "-i", "--env", &remote.mark, "clab-anycast-r1", "vtysh", "-c", "show version"];
        assert_eq!(remote.exec(&["vtysh", "-c", "show version"], false), expected);
        assert_eq!(remote.exec(&["bash"], true)[1], "-it");
    }

    #[test]
    fn only_a_client_that_succeeded_speaks_for_its_program() {
        let mut remote = remote();
        // Success; exit 1; killed by SIGINT.
        for (status, ended) in [(0x100, false), (2, false), (0, true)] {
            remote.set_ended(ExitStatus::from_raw(status));
            assert_eq!(remote.ended, ended, "{status}");
            assert_eq!(remote.kill(Signal::SIGKILL).last().unwrap(), "0", "a program is not started any more");
        }
        remote.set_interrupted();
        assert!(!remote.ended);
        remote.ended = true;
    }

    #[test]
    fn a_signal_reaches_the_program_itself() {
        // A namespace stands for the container, and entering it for the Docker client.
        let container = Fake::new();
        let remote = remote();
        // An early signal waits for the program.
        let mut kill = container.enter(&remote.kill(Signal::SIGTERM)[2..]);
        let mut program = container.enter(&marked(&remote, &["sh", "-c", "sleep 600 & echo started; wait"]));
        assert!(kill.wait().unwrap().success());
        // nsenter ends as its child did.
        assert_eq!(program.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
        // What it left behind bears its mark as well, and is not it.
        let mut again = remote.kill(Signal::SIGTERM);
        *again.last_mut().unwrap() = "0".to_owned();
        assert_eq!(container.enter(&again[2..]).wait().unwrap().code(), Some(3));
    }

    fn marked(remote: &Remote, argv: &[&str]) -> Vec<String> {
        let marked = remote.exec(argv, false);
        std::iter::once("env").chain([marked[3].as_str()]).chain(argv.iter().copied()).map(str::to_owned).collect()
    }

    /// All of it ends with its first process.
    struct Fake(Child);

    impl Fake {
        fn new() -> Self {
            let mut unshare = Command::new("unshare");
            unshare.args(["--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 600"]);
            let mut child = unshare.stdout(Stdio::piped()).spawn().unwrap();
            // Its /proc is there once it says something.
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
            Self(child)
        }

        fn enter(&self, argv: &[String]) -> Child {
            let first = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0.id())).unwrap();
            let mut nsenter = Command::new("nsenter");
            nsenter.args(["--pid", "--mount", "--target", first.trim(), "--"]).args(argv);
            nsenter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}
