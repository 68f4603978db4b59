//! How a run ended, as an exit code and as words on stderr.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{client::Fault, render::clean};

/// The exit codes, after `sysexits.h` from 64 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked is done.
    Done = 0,
    /// What was asked about is not so.
    NotSo = 1,
    /// The agent refused.
    Refused = 2,
    /// The command line makes no sense.
    Usage = 64,
    /// The agent does not answer, or not in a way that can be understood.
    Unavailable = 69,
    /// The output could not be written.
    Output = 74,
    /// The socket may not be used by this user.
    Permission = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The same for readers; stands below `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
   0  done
   1  it is not so: --wait ran into its --timeout, status --exit-code found something not healthy,
      probe a check that is not up, or doctor something that will bite
   2  the agent refused
  64  usage
  69  the agent does not answer
  74  the output cannot be written
  77  permission";

/// A fault that is found on this side of the socket.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Complaint {
    /// How to exit.
    pub(crate) exit: Exit,
    /// The fault.
    pub(crate) message: String,
    /// The remedy.
    pub(crate) hint: Option<String>,
}

/// Says on stderr what went wrong and with which code to end.
///
/// A reader that has seen enough (`anycastctl events | head -1`) is no fault.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    if error.chain().any(is_broken_pipe) {
        return Exit::Done;
    }
    let (exit, hint) = if let Some(fault) = error.downcast_ref::<Fault>() {
        (fault.exit(), fault.hint())
    } else if let Some(complaint) = error.downcast_ref::<Complaint>() {
        (complaint.exit, complaint.hint.clone())
    } else {
        (Exit::Output, None)
    };
    let mut lines = format!("anycastctl: {}\n", clean(&format!("{error:#}")));
    if let Some(hint) = hint {
        lines.push_str(&format!("  hint: {}\n", clean(&hint)));
    }
    // Where stderr is closed, the exit code has to do.
    let _ = io::stderr().write_all(lines.as_bytes());
    exit
}

/// Says on stderr how it goes, to whoever waits.
pub(crate) fn remark(text: &str) {
    // Where stderr is closed, nobody waits for it.
    let _ = io::stderr().write_all(format!("anycastctl: {}\n", clean(text)).as_bytes());
}

/// Whether the one we write to has gone.
fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    // Only our own output counts: a broken pipe on the socket is wrapped in a fault that has the agent for its subject.
    cause.downcast_ref::<Written>().is_some_and(|written| written.0.kind() == io::ErrorKind::BrokenPipe)
}

/// Output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output: {0}")]
pub(crate) struct Written(pub(crate) io::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_broken_pipe_is_quiet() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(report(&anyhow::Error::new(Written(pipe()))), Exit::Done);
        assert_eq!(report(&anyhow::Error::new(Written(io::Error::other("disk full")))), Exit::Output);
        let fault = Fault::Connect { socket: "/x".into(), source: pipe() };
        assert_eq!(report(&fault.into()), Exit::Unavailable);
    }
}
