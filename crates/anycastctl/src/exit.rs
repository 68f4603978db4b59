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

/// How those of a verb are headed.
pub(crate) const HEADING: &str = "Exit codes:";

/// Codes that every verb has which asks the agent, and those that none lacks.
const ASKING: [(u8, &str); 2] = [(69, "the agent does not answer"), (77, "permission")];
const EVERY: [(u8, &str); 2] = [(64, "usage"), (74, "the output cannot be written")];

/// What the codes of a verb mean, in their order; empty: there is no such verb.
pub(crate) fn codes(verb: &str) -> Vec<(u8, &'static str)> {
    let own: &[(u8, &str)] = match verb {
        "status" => &[
            (0, "shown; with --exit-code: and all is healthy"),
            (1, "with --exit-code: something is not healthy"),
            (2, "there is no such service"),
        ],
        "explain" => {
            &[(0, "told, whether it is announced or not"), (2, "it is no service, prefix or address of this node")]
        }
        "withdraw" => &[
            (0, "the order is accepted; with --wait: and it is safe to stop"),
            (1, "--wait ran into its --timeout, and the order stands; or somebody ended the maintenance meanwhile"),
            (2, "refused, and nothing was changed"),
            (130, "interrupted while it waited: the order stands"),
        ],
        "announce" => &[(0, "the maintenance has ended, or there was none"), (2, "refused, and nothing was changed")],
        "probe" => &[(0, "every check is up"), (1, "one is not"), (2, "there is no such service or check")],
        "neighbors" | "routes" => &[(0, "shown"), (2, "there is no such neighbor")],
        "events" => &[(0, "shown"), (2, "refused")],
        "capture" => &[
            (0, "the file is written"),
            (1, "there was no connection with the neighbor yet"),
            (2, "there is no such neighbor"),
        ],
        "reload" => &[
            (0, "done, or nothing to do; with --dry-run: it would be done"),
            (2, "refused, and the old configuration stands; with --dry-run: it would be refused"),
        ],
        "upgrade" => &[
            (0, "every session went on; with --dry-run: would go on"),
            (1, "the installed program runs, and a session had to begin anew"),
            (2, "nothing was done"),
        ],
        "doctor" => &[(0, "nothing that bites"), (1, "a problem or a warning")],
        "completions" | "man" => &[(0, "printed")],
        _ => return Vec::new(),
    };
    let asking = if matches!(verb, "completions" | "man") { &[][..] } else { &ASKING };
    let mut codes: Vec<_> = own.iter().chain(asking).chain(&EVERY).copied().collect();
    codes.sort_by_key(|(code, _)| *code);
    codes
}

/// The same for readers; stands below the `--help` of a verb.
pub(crate) fn table(verb: &str) -> String {
    let lines = codes(verb).into_iter().map(|(code, means)| format!("\n {code:>3}  {means}"));
    format!("{HEADING}{}", lines.collect::<String>())
}

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
