//! The command line of the agent.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser};

/// How a run ended, after `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Asked to end, and ended; or the configuration is good.
    Done = 0,
    /// It could not start, or not go on.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 64,
    /// A fault of the agent itself.
    Software = 70,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const EXIT_CODES: &str = "\
Signals:
  TERM, INT  end as `shutdown` says; a second one ends fast
  HUP        read the configuration again and apply the difference

Exit codes:
   0  ended as asked, or the configuration is good
   1  could not start or go on; standard error and the log say why
  64  usage
  70  a fault of the agent itself
  78  the configuration is wrong";

/// Announces anycast prefixes over BGP while the services behind them are healthy.
///
/// One process per node: it checks the local services, binds the anycast addresses, speaks BGP to the upstream routers and withdraws what
/// cannot be served. `anycastctl` asks and directs it.
#[derive(Debug, Parser)]
#[command(name = "anycastd", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/anycastd/anycastd.yaml")]
    pub(crate) config: PathBuf,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the JSON schema of the configuration, for editors
    #[arg(long, exclusive = true)]
    pub(crate) schema: bool,
    /// Print the manual as a man page
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) man: bool,
    /// The descriptor of what the program before this one has left, in the same process
    #[arg(long, hide = true, value_name = "DESCRIPTOR")]
    pub(crate) handover: Option<std::os::fd::RawFd>,
    /// Tell whether what another program has, on the standard input, could go on here
    #[arg(long, hide = true)]
    pub(crate) handover_trial: bool,
}

impl Arguments {
    /// The arguments of this process, or how to end because there is nothing (sensible) to do.
    pub(crate) fn read() -> Result<Self, Exit> {
        Self::try_parse().map_err(|error| {
            // Nothing is left to tell anybody when even this cannot be printed.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        })
    }

    /// anycastd(8).
    pub(crate) fn manual() -> std::io::Result<String> {
        let man = clap_mangen::Man::new(Self::command()).section("8");
        let mut page = Vec::new();
        man.render(&mut page)?;
        let page = String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH NOTES\n");
        Ok(format!("{page}{SEE_ALSO}"))
    }
}

/// The end of the manual.
const SEE_ALSO: &str = "\
.SH FILES
.TP
/etc/anycastd/anycastd.yaml
the configuration; /usr/share/doc/anycastd/configuration.md tells every key
.TP
/usr/share/anycastd/anycastd.schema.json
its JSON schema, for editors
.TP
/var/lib/anycastd
what outlives the process: orders of operators
.TP
/run/anycastd/control.sock
where anycastctl asks
.SH \"SEE ALSO\"
anycastctl(1), systemd.service(5)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_sound() {
        Arguments::command().debug_assert();
        let arguments = Arguments::try_parse_from(["anycastd", "--config", "/x", "--check"]).unwrap();
        assert_eq!((arguments.config, arguments.check), (PathBuf::from("/x"), true));
        assert!(Arguments::try_parse_from(["anycastd", "start"]).is_err());
    }

    #[test]
    fn the_manual_tells_options_and_exit_codes() {
        let page = Arguments::manual().unwrap();
        for text in [".TH anycastd 8", "\\-\\-config", "\\-\\-check", "\\-\\-schema", "Exit codes", ".SH FILES"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!page.contains("\\-\\-man"), "hidden options stay hidden");
        assert!(!page.contains("EXTRA"), "{page}");
    }
}
