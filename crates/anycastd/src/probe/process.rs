//! Whether the process of a pid file is alive. Of its work that says nothing.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use anycast_core::config::ProcessProbe;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::Finding;
use crate::{
    blocking::{FILES, Slot},
    pid_file,
};

/// A process check, made ready.
#[derive(Debug)]
pub(super) struct ProcessProber {
    config: Arc<ProcessProbe>,
    /// Who asks the same has the same answer.
    question: String,
    slot: Slot,
}

impl ProcessProber {
    pub(super) fn new(config: &ProcessProbe) -> Self {
        let slot = Slot::of(&FILES, &config.pid_file.display().to_string());
        let question = format!("process {:?}", config.comm);
        Self { config: Arc::new(config.clone()), question, slot }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let config = self.config.clone();
        // One that began before may have been before a hint, too.
        let looked = self.slot.share(timeout, &self.question, Duration::ZERO, move || look(&config)).await;
        looked.unwrap_or_else(|hang| Finding::hanging(&self.slot, hang, timeout))
    }
}

fn look(config: &ProcessProbe) -> Finding {
    let pid = match pid_file::read(&config.pid_file) {
        Ok(pid) => pid,
        Err(why) => return Finding::down(why),
    };
    let number = pid.as_raw_nonzero();
    // Held, the descriptor means this process, whoever gets its number.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Finding::down(format!("no process {number}")),
        // Of a thread that leads no process: the number has been given to another.
        Err(rustix::io::Errno::INVAL) => return Finding::down(format!("{number} is not a process")),
        Err(error) => return Finding::fault(&format!("cannot look at process {number}"), &io::Error::from(error)),
    };
    // Where /proc hides the processes of others, the descriptor still knows whether it lives.
    let name = name_of(pid).ok();
    match ended(&process) {
        Ok(true) => {
            return Finding::down(format!("process {number} has ended (a zombie: its parent has not reaped it)"));
        }
        Ok(false) => {}
        Err(error) => return Finding::fault(&format!("cannot look at process {number}"), &error),
    }
    match (&config.comm, name) {
        (Some(wanted), Some(name)) if *wanted != name => Finding::down(format!(
            "process {number} is {name}, not {wanted}: another program has this pid and the pid file is stale, or `comm` \
                 is not what it is called (at most 15 characters)"
        )),
        (Some(wanted), None) => Finding::unknown(format!(
            "process {number} is alive, but whether it is {wanted} cannot be seen: /proc hides it from the agent"
        )),
        (_, Some(name)) => Finding::up(format!("process {number} ({name}) is alive")),
        (None, None) => Finding::up(format!("process {number} is alive")),
    }
}

/// As the kernel keeps it: at most fifteen octets.
fn name_of(pid: Pid) -> io::Result<String> {
    let octets = fs::read(format!("/proc/{}/comm", pid.as_raw_nonzero()))?;
    Ok(String::from_utf8_lossy(octets.strip_suffix(b"\n").unwrap_or(&octets)).into_owned())
}

/// The descriptor of a process becomes readable when it ends, whether it is reaped or not.
fn ended(process: &OwnedFd) -> io::Result<bool> {
    let mut wanted = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
    poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(wanted[0].revents().contains(PollFlags::IN))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Command};

    use anycast_core::{Health, config::ProbeConfig};

    use super::{
        super::{
            Prober,
            testing::{AMPLE, run},
        },
        *,
    };

    async fn ask(pid_file: &Path, comm: Option<&str>) -> (Health, String) {
        let config = ProcessProbe { pid_file: pid_file.to_owned(), comm: comm.map(str::to_owned) };
        let outcome = run(&Prober::new(&ProbeConfig::Process(config)), AMPLE).await;
        (outcome.health, outcome.detail)
    }

    #[tokio::test]
    async fn a_process_is_alive_or_a_zombie_or_gone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let missing = format!("{} is not there", file.display());
        assert_eq!(ask(&file, None).await, (Health::Down, missing));

        let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let number = child.id();
        // The kernel lets us go on before the child has its new name.
        while name_of(Pid::from_child(&child)).unwrap() != "sleep" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fs::write(&file, format!("{number}\n")).unwrap();
        let alive = (Health::Up, format!("process {number} (sleep) is alive"));
        assert_eq!(ask(&file, None).await, alive);
        assert_eq!(ask(&file, Some("sleep")).await, alive);
        let other = format!(
            "process {number} is sleep, not nginx: another program has this pid and the pid file is stale, or `comm` is not \
             what it is called (at most 15 characters)"
        );
        assert_eq!(ask(&file, Some("nginx")).await, (Health::Down, other));

        child.kill().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
        let zombie = format!("process {number} has ended (a zombie: its parent has not reaped it)");
        assert_eq!(ask(&file, Some("sleep")).await, (Health::Down, zombie));

        child.wait().unwrap();
        // Nobody else gets that number so soon: the kernel gives them out in turn.
        assert_eq!(ask(&file, None).await, (Health::Down, format!("no process {number}")));
    }

    #[tokio::test]
    async fn a_file_without_a_number_is_down() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        fs::write(&file, "-1\n").unwrap();
        let words = format!("{} does not hold the number of a process", file.display());
        assert_eq!(ask(&file, None).await, (Health::Down, words));
    }
}
