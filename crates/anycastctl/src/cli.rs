//! The command line.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use anycast_api::{DEFAULT_SOCKET, Timestamp};
use clap::{
    Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
    builder::{NonEmptyStringValueParser, StyledStr},
};
use clap_complete::Shell;

use crate::exit;

/// The longest time the agent lets a client wait for checks.
const LONGEST_PROBE: Duration = Duration::from_secs(3600);
/// The longest time the agent lets a client wait.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Where the agent is to be asked, if no option says so.
const SOCKET: &str = "ANYCASTD_SOCKET";

/// The description of the command line, with the exit codes of each verb.
pub(crate) fn command() -> Command {
    let command = Cli::command();
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names.iter().fold(command, |command, name| command.mut_subcommand(name, |verb| with_codes(verb, name)))
}

fn with_codes(verb: Command, name: &str) -> Command {
    let before = verb.get_after_help().map(StyledStr::to_string);
    let before = before.map_or_else(String::new, |text| format!("{text}\n\n"));
    verb.after_help(before + &exit::table(name))
}

/// What this process was called with. The variable is a default like any other: an option that it sets would be shown as if it had
/// to be given.
pub(crate) fn read() -> Result<Cli, clap::Error> {
    let socket = env::var_os(SOCKET).filter(|path| !path.is_empty());
    parse(env::args_os().collect(), socket)
}

fn parse(arguments: Vec<OsString>, socket: Option<OsString>) -> Result<Cli, clap::Error> {
    let command = match socket {
        Some(path) => command().mut_arg("socket", |arg| arg.default_value(path)),
        None => command(),
    };
    let matches = command.clone().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command.clone()))
}

/// Ask and direct anycastd, the anycast agent of this node.
#[derive(Debug, Parser)]
#[command(name = "anycastctl", version, after_help = exit::TABLE, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true, subcommand_value_name = "VERB")]
#[command(subcommand_help_heading = "Verbs")]
pub(crate) struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes, before or after the verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The agent's control socket; the variable ANYCASTD_SOCKET names it as well
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
    /// Print the agent's answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub(crate) color: Color,
    /// For how long a request may take
    #[arg(long, global = true, hide = true, value_name = "TIME", default_value = "5s", value_parser = some_time)]
    pub(crate) request_timeout: Duration,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// What can be asked and ordered.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show services, checks, addresses and neighbors on one screen
    Status(Status),
    /// Tell why a prefix is, or is not, announced: the whole chain, each link with its time
    Explain {
        /// A prefix, an address or the name of a service
        #[arg(value_name = "PREFIX|ADDRESS|SERVICE", value_parser = NonEmptyStringValueParser::new())]
        target: String,
    },
    /// Begin a maintenance: announce GRACEFUL_SHUTDOWN, wait, withdraw; the whole node when no service is named
    #[command(after_help = "It returns once the order is accepted and will survive a restart of the agent.")]
    Withdraw(Withdraw),
    /// End a maintenance; of the whole node when no service is named
    Announce {
        /// The services to announce again
        #[arg(value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
        services: Vec<String>,
        /// Announce also what is held down because it flaps, or in quarantine because a neighbor refused it
        #[arg(long)]
        force: bool,
    },
    /// Run the checks of a service once, now, and show what each of them sees
    #[command(after_help = PROBE)]
    Probe(Probe),
    /// Show the neighbors; of one its session, capabilities, timers, counters and last error
    #[command(after_help = NEIGHBORS)]
    Neighbors {
        /// The neighbor to show in detail: NAME, or NAME@ADDRESS for one router of a network
        #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// Show what each neighbor holds from us, with attributes
    Routes {
        /// Only this neighbor: NAME, or NAME@ADDRESS for one router of a network
        #[arg(value_name = "NEIGHBOR", value_parser = NonEmptyStringValueParser::new())]
        neighbor: Option<String>,
    },
    /// Show the latest changes of state, one a line
    Events(Events),
    /// Write the recent messages of a neighbor's sessions into a file, in both directions
    #[command(after_help = CAPTURE)]
    Capture(Capture),
    /// Read the configuration file anew and do what it says, telling what changes
    #[command(after_help = RELOAD)]
    Reload(Reload),
    /// Run the installed program in place of the one that runs: same process, same sessions, no flap
    #[command(after_help = UPGRADE)]
    Upgrade(Upgrade),
    /// Look for what will bite: sysctls, ARP, MTU, other BGP daemons, BFD, addresses, clock, limits, capabilities
    #[command(after_help = DOCTOR)]
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual as a man page
    Man {
        /// Write one page per verb into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The service to show in detail
    #[arg(value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) service: Option<String>,
    /// Keep it live, every second, until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    /// Exit with 1 when something is not healthy
    #[arg(long, conflicts_with = "watch")]
    pub(crate) exit_code: bool,
}

/// `withdraw`.
#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// The services to withdraw
    #[arg(value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) services: Vec<String>,
    /// Why: it is kept and shown
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// End it by itself after this time, like 2h or 1h30m
    #[arg(long = "for", value_name = "TIME", value_parser = some_time)]
    pub(crate) duration: Option<Duration>,
    /// End it by itself with the next start of the machine; a restart of the agent keeps it
    #[arg(long, conflicts_with = "duration")]
    pub(crate) boot: bool,
    /// Withdraw at once, without GRACEFUL_SHUTDOWN
    #[arg(long, conflicts_with = "degrade")]
    pub(crate) now: bool,
    /// Stay announced with the degraded attributes, so that others are preferred
    #[arg(long)]
    pub(crate) degrade: bool,
    /// Return when it is safe to stop: every Established neighbor has acknowledged the withdraw and the linger is over.
    /// Says what still arrives where that is counted (`traffic: true`)
    // Degrading ends nowhere: there is nothing to wait for.
    #[arg(long, conflicts_with = "degrade")]
    pub(crate) wait: bool,
    /// How long to wait before exiting with 1, at most 24h; 0s asks once
    #[arg(long, value_name = "TIME", requires = "wait", default_value = "5m", value_parser = wait_time)]
    pub(crate) timeout: Duration,
}

/// Stands below `probe --help`.
const PROBE: &str = "\
The agent runs them, as the user and from where it always does, and never at the same time as a run of its own: \
where one is under way, its end is waited for. What is found is shown and changes nothing. It exits with 1 unless \
every check is up.";

/// `probe`.
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// The service
    #[arg(value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) service: String,
    /// Only this check of it
    #[arg(value_name = "CHECK", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) check: Option<String>,
    /// How long to wait for all of them, at most 1h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = probe_time)]
    pub(crate) timeout: Duration,
}

/// Stands below `capture --help`.
const CAPTURE: &str = "\
The agent keeps the latest messages and changes of state of each neighbor at all times, over the ends of \
sessions. The file is MRT (RFC 6396, BGP4MP_ET): `bgpdump -H FILE` shows it. Wireshark reads no MRT: give \
it a file made with --pcap.";

/// `capture`.
#[derive(Debug, Args)]
pub(crate) struct Capture {
    /// The neighbor: NAME, or NAME@ADDRESS for a router of a network (`prefix`)
    #[arg(value_name = "NEIGHBOR", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) neighbor: String,
    /// The file to write; `-` is the standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the messages as a pcap file for Wireshark and tshark instead
    #[arg(long)]
    pub(crate) pcap: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Stands below `doctor --help`.
const DOCTOR: &str = "\
The agent looks, in its own network namespace and with its own rights, and changes nothing. It exits with 1 where a \
problem or a warning was found; notes are what nobody can see from here. An agent that does not answer is the first \
finding: then it exits with 69.";

/// Stands below `reload --help`.
const RELOAD: &str = "\
The exit code is the verdict: 0 where it was done or there was nothing to do, 2 where it was refused and the old \
configuration stands: for a mistake in the file, or because everything that this node announces would be withdrawn. \
With --dry-run likewise, for what would be.";

/// `reload`.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// Only tell what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it also where everything that this node announces is withdrawn by it
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Stands below `neighbors --help`.
const NEIGHBORS: &str = "\
STATE is that of the BGP session (RFC 4271); Listen stands for a network whose routers connect. BFD is the state of the BFD session \
(RFC 5880): Up, Init (the neighbor is heard, and has not heard this node), Down, AdminDown (this node has taken it down), or – where \
there is none. With a NAME `held back` tells what a session waits for that was lost with its path.";

/// Stands below `upgrade --help`.
const UPGRADE: &str = "\
The installed program is first asked whether it can go on with the configuration in force and with every session; one that \
cannot changes nothing. Neighbors see neither an UPDATE nor the end of a connection. It exits with 0 where all \
sessions went on, with 1 where one had to begin anew, and with 2 where nothing was done.";

/// `upgrade`.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// Only have the installed program tell whether it could
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on with new ones as they come, until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only those since a time ago, like 10m, or since a point in time, like 2026-11-23T20:16:21Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Only those of this service: its own, and those of its checks, prefixes and addresses
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) service: Option<String>,
    /// Only those of this neighbor; with --service, those of either
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) neighbor: Option<String>,
}

/// Since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// This long ago.
    Ago(Duration),
    /// A point in time.
    At(Timestamp),
}

/// A duration that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing, like 2h".into()),
        Ok(time) => Ok(time),
        Err(_) => Err("expected a time like 90s, 30m, 2h or 1h30m".into()),
    }
}

/// A duration the agent is ready to wait.
fn wait_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(time) if time > LONGEST_WAIT => Err("the longest wait is 24h".into()),
        Ok(time) => Ok(time),
        Err(_) => Err("expected a time like 90s, 5m or 1h".into()),
    }
}

/// A duration the agent is ready to have checks take.
fn probe_time(text: &str) -> Result<Duration, String> {
    some_time(text).and_then(|time| if time > LONGEST_PROBE { Err("the longest wait is 1h".into()) } else { Ok(time) })
}

/// A duration or a point in time.
fn since(text: &str) -> Result<Since, String> {
    let text = text.trim();
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Since::Ago(ago));
    }
    text.parse().map(Since::At).map_err(|_| "expected a time like 10m, or a date like 2026-11-23T20:16:21Z".into())
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        parsed(line, None).map_err(|error| error.kind())
    }

    fn parsed(line: &str, socket: Option<&str>) -> Result<Cli, clap::Error> {
        super::parse(line.split_whitespace().map(OsString::from).collect(), socket.map(OsString::from))
    }

    #[test]
    fn the_description_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_variable_names_the_socket_unless_an_option_does_and_is_nothing_that_must_be_given() {
        let socket = |line, variable| parsed(line, variable).unwrap().globals.socket;
        assert_eq!(socket("anycastctl status", None), PathBuf::from(DEFAULT_SOCKET));
        assert_eq!(socket("anycastctl status", Some("/v")), PathBuf::from("/v"));
        assert_eq!(socket("anycastctl --socket /o status", Some("/v")), PathBuf::from("/o"));
        assert_eq!(socket("anycastctl status --socket /o", Some("/v")), PathBuf::from("/o"));
        let usage = parsed("anycastctl explain", Some("/v")).unwrap_err().to_string();
        assert!(usage.contains("Usage: anycastctl explain <PREFIX|ADDRESS|SERVICE>\n"), "{usage}");
        let help = parsed("anycastctl status --help", Some("/v")).unwrap_err().to_string();
        assert!(help.contains("[default: /v]"), "{help}");
    }

    #[test]
    fn every_verb_tells_its_exit_codes() {
        for verb in command().get_subcommands() {
            let name = verb.get_name();
            let help = parsed(&format!("anycastctl {name} --help"), None).unwrap_err().to_string();
            let (_, codes) = help.split_once(exit::HEADING).unwrap_or_else(|| panic!("{help}"));
            assert!(codes.contains("\n   0  ") && codes.contains("\n  64  usage"), "{help}");
        }
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in ["anycastctl --json --socket /s status", "anycastctl status --socket /s --json"] {
            let cli = parse(line).unwrap();
            assert!(cli.globals.json);
            assert_eq!(cli.globals.socket, PathBuf::from("/s"));
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (line, kind) in [
            ("anycastctl withdraw --now --degrade", ErrorKind::ArgumentConflict),
            ("anycastctl withdraw --wait --degrade", ErrorKind::ArgumentConflict),
            ("anycastctl withdraw --boot --for 2h", ErrorKind::ArgumentConflict),
            ("anycastctl withdraw --timeout 5s", ErrorKind::MissingRequiredArgument),
            ("anycastctl withdraw --wait --timeout 25h", ErrorKind::ValueValidation),
            ("anycastctl withdraw --for soon", ErrorKind::ValueValidation),
            ("anycastctl withdraw --for 0s", ErrorKind::ValueValidation),
            ("anycastctl events --since yesterday", ErrorKind::ValueValidation),
            ("anycastctl status --watch --exit-code", ErrorKind::ArgumentConflict),
            ("anycastctl probe", ErrorKind::MissingRequiredArgument),
            ("anycastctl probe dns --timeout 0s", ErrorKind::ValueValidation),
            ("anycastctl probe dns --timeout 2h", ErrorKind::ValueValidation),
            ("anycastctl doctor web", ErrorKind::UnknownArgument),
            ("anycastctl reload now", ErrorKind::UnknownArgument),
            ("anycastctl explain", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(line).map(|_| ()), Err(kind), "{line}");
        }
        let empty = Cli::try_parse_from(["anycastctl", "withdraw", ""]);
        assert!(empty.is_err(), "an unset variable must not name a service");
    }

    #[test]
    fn times_are_read() {
        let Verb::Withdraw(withdraw) = parse("anycastctl withdraw dns --wait --timeout 0s --for 1h30m").unwrap().verb
        else {
            panic!("not a withdraw");
        };
        assert_eq!((withdraw.timeout, withdraw.duration), (Duration::ZERO, Some(Duration::from_secs(5_400))));
        assert_eq!(since("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        assert!(matches!(since("2026-11-23T20:16:21Z"), Ok(Since::At(_))));
    }
}
