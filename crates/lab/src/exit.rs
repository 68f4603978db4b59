//! How a run ended, as an exit code and as words on stderr.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// The exit codes, after `sysexits.h` from 64 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked is done.
    Done,
    /// It could not be done, or is not as expected.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Something that the lab needs is not on this machine.
    Unavailable,
    /// The lab needs root.
    Permission,
    /// What another program said.
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Permission => 77,
            Exit::Code(code) => code,
        })
    }
}

impl Exit {
    /// How a program ended, as a shell would tell it.
    #[must_use]
    pub fn of(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        if code == 0 { Self::Done } else { Self::Code(u8::try_from(code).unwrap_or(1)) }
    }
}

/// The same for readers; stands below `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
   0  done
   1  it failed, or is not as expected
  64  usage
  69  something that the lab needs is missing
  77  the lab needs root
`exec` and `test` pass on the code of the program that they ran.";

/// A fault with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Complaint {
    /// How to exit.
    pub exit: Exit,
    /// The fault, and the remedy.
    pub message: String,
}

impl Complaint {
    /// Something is missing on this machine.
    pub(crate) fn unavailable(message: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Unavailable, message: message.into() }.into()
    }

    /// The command line does not fit the lab.
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Usage, message: message.into() }.into()
    }
}

/// Says on stderr what went wrong and with which code to end.
pub fn report(error: &anyhow::Error) -> Exit {
    // Where stderr is closed, the exit code has to do.
    let _ = writeln!(io::stderr(), "anycast-lab: {error:#}");
    error.downcast_ref::<Complaint>().map_or(Exit::Failed, |complaint| complaint.exit)
}
