//! Sends a signal to a program of this node and tells when: the moment of a fault, taken where it happens.

use std::{fs, path::Path, time::Duration};

use anyhow::bail;
use clap::{Args, ValueEnum};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, getpid},
};
use tokio::time::{self, Instant};

use super::{
    output::Lines,
    record::{Nanos, Record},
};

/// How long a process may take to end.
const WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// `kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// What to send; none: only look whether it runs
    #[arg(long, value_name = "SIGNAL", default_value = "term")]
    signal: Kind,
    /// The program, and the words its command line must begin with
    #[arg(value_name = "PROGRAM", required = true)]
    command: Vec<String>,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Term,
    /// Nothing.
    None,
}

impl Kill {
    /// Sends it, and waits for the end of whatever was sent it.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let signal = match self.signal {
            Kind::Kill => Some(Signal::SIGKILL),
            Kind::Term => Some(Signal::SIGTERM),
            Kind::None => None,
        };
        let mut lines = Lines::new();
        let found: Vec<Pid> = processes().filter(|pid| *pid != getpid() && is(*pid, &self.command)).collect();
        if found.is_empty() {
            bail!("no process of this node is a {:?}", self.command.join(" "));
        }
        for pid in &found {
            let at = Nanos::now();
            match kill(*pid, signal) {
                // It may have ended by itself since it was found.
                Ok(()) | Err(Errno::ESRCH) => lines.say(&Record::Killed { at, pid: pid.as_raw() }),
                Err(error) => bail!("cannot signal process {pid}: {error}"),
            }
        }
        if signal.is_none() {
            return Ok(());
        }
        let end = Instant::now() + WITHIN;
        for pid in found {
            while !has_ended(pid) {
                if Instant::now() > end {
                    bail!("process {pid} is still there {} s after the signal", WITHIN.as_secs());
                }
                time::sleep(LOOK).await;
            }
            lines.say(&Record::Gone { at: Nanos::now(), pid: pid.as_raw() });
        }
        Ok(())
    }
}

/// The processes of this node.
pub(super) fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw)
}

/// Whether a process was started as `command`, whatever the path of its program.
fn is(pid: Pid, command: &[String]) -> bool {
    // A process that has ended, even where nobody has reaped it, has no command line.
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    begins_with(&line, command)
}

fn begins_with(line: &[u8], command: &[String]) -> bool {
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    command.iter().enumerate().all(|(index, wanted)| {
        words.next().is_some_and(|word| match index {
            0 => Path::new(word.as_ref()).file_name().is_some_and(|name| name == wanted.as_str()),
            _ => word == wanted.as_str(),
        })
    })
}

/// Gone, or dead and only not reaped: a node's first process may be a `sleep` that reaps nobody.
fn has_ended(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name before it may hold anything, parentheses too.
    stat.rsplit_once(')').is_none_or(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_command_is_known_by_its_first_words() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, command, expected) in [
            (&b"/usr/local/bin/anycastd\0--config\0/etc/x\0"[..], "anycastd", true),
            (b"anycastd\0", "anycastd", true),
            (b"anycastd-old\0", "anycastd", false),
            (b"sh\0-c\0anycastd --config\0", "anycastd", false),
            (b"/bin/anycast-lab\0tool\0serve\0--node\0a\0", "anycast-lab tool serve", true),
            (b"/bin/anycast-lab\0tool\0probe\0serve\0", "anycast-lab tool serve", false),
            (b"/bin/anycast-lab\0tool\0", "anycast-lab tool serve", false),
            (b"", "anycastd", false),
            (b"\xff\0\xfe", "anycastd", false),
        ] {
            assert_eq!(begins_with(line, &words(command)), expected, "{line:?} {command}");
        }
    }

    #[test]
    fn a_process_that_nobody_reaped_has_ended() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let cat = ["cat".to_owned()];
        // The command line is there a moment after the process.
        until(|| is(pid, &cat));
        assert!(!has_ended(pid));
        child.kill().unwrap();
        until(|| has_ended(pid));
        assert!(!is(pid, &cat), "a corpse is not the program");
        child.wait().unwrap();
        assert!(has_ended(pid));
    }

    fn until(so: impl Fn() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !so() {
            assert!(std::time::Instant::now() < end);
            std::thread::yield_now();
        }
    }
}
