//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{bench::Bench, demo, exit, package, programs::BIN_DIR, report, systemd, tools::Tool};

/// Runs a topology of routers, edge nodes and clients on this machine, and shows on it how anycast fails over.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", version, after_help = exit::TABLE, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true, subcommand_value_name = "VERB")]
#[command(subcommand_help_heading = "Verbs")]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes, before or after the verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// The topology, in containerlab's format [default: lab/topology.clab.yml of the repository]
    #[arg(long, global = true, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// What to call the lab: labs of different names do not collide [default: the topology's name]
    #[arg(long, global = true, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// Where the nodes are: `namespaces`, `containerlab`, or `auto`: where a lab of that name is up, else namespaces
    #[arg(long, global = true, value_name = "WHERE", default_value = "auto", hide_possible_values = true)]
    pub runner: Which,
}

/// Where the nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// Wherever a lab of that name is.
    Auto,
    /// In namespaces of this machine.
    Namespaces,
    /// In containers.
    Containerlab,
}

/// Which programs to run in the nodes.
#[derive(Debug, Args)]
pub struct Binaries {
    /// Build the agent for release
    #[arg(long)]
    pub release: bool,
    /// Take anycastd, anycastctl and anycast-lab from here instead of building them; ANYCAST_LAB_BIN_DIR names it as well
    #[arg(long, env = BIN_DIR, hide_env = true, value_name = "DIR", conflicts_with = "release")]
    pub bin_dir: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring the lab up, and leave it up
    Up {
        /// Which programs to run.
        #[command(flatten)]
        binaries: Binaries,
    },
    /// Take the lab down
    Down,
    /// Show what runs in each node, and each router's BGP sessions
    Status,
    /// Run a command in a node of the lab that is up
    Exec {
        /// The node
        node: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Draw the topology as SVG, on standard output
    Graph {
        /// Write it into this file instead
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show failovers with measured times, in a lab of its own
    Demo {
        /// Which programs to run.
        #[command(flatten)]
        binaries: Binaries,
        /// How to show it.
        #[command(flatten)]
        options: demo::Options,
    },
    /// Measure, and print the figures
    Bench {
        /// What.
        #[command(subcommand)]
        bench: Bench,
    },
    /// Compare failover by DNS and by anycast: run both many times, and write report.html and report.json
    Report(report::Options),
    /// Build the Debian package
    Package {
        /// Which programs it has.
        #[command(flatten)]
        binaries: Binaries,
        /// What else.
        #[command(flatten)]
        options: package::Options,
    },
    /// Install, run and remove the package under a real systemd, in a container of Docker's
    Systemd {
        /// Which programs the package has.
        #[command(flatten)]
        binaries: Binaries,
        /// How.
        #[command(flatten)]
        options: systemd::Options,
    },
    /// Run everything that is checked: formatting, lints and tests, those with real routers included
    Test {
        /// Only the tests that have this in their name, and neither formatting nor lints
        filter: Option<String>,
    },
    /// Run one of the lab's own tools
    #[command(hide = true)]
    Tool {
        /// Which.
        #[command(subcommand)]
        tool: Tool,
    },
    /// Be the first process of a node
    #[command(hide = true)]
    Init,
}

fn name(text: &str) -> Result<String, String> {
    if crate::topology::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 63 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_in_a_node_keeps_its_options() {
        let cli =
            Cli::try_parse_from(["lab", "--name", "x", "exec", "r1", "vtysh", "-c", "show bgp", "--name"]).unwrap();
        assert_eq!(cli.globals.name.as_deref(), Some("x"));
        let Verb::Exec { node, command } = cli.verb else { panic!("{:?}", cli.verb) };
        assert_eq!((&*node, command), ("r1", ["vtysh", "-c", "show bgp", "--name"].map(str::to_owned).into()));
    }

    #[test]
    fn a_name_that_leads_out_of_its_directory_is_refused() {
        for bad in ["../x", "", ".", "a/b"] {
            assert!(Cli::try_parse_from(["lab", "--name", bad, "up"]).is_err(), "{bad}");
        }
    }
}
