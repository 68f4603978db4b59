//! Where the nodes of a topology run: in namespaces of this machine, or in containers that containerlab deployed.

use std::process::Stdio;

/// A lab that is up.
///
/// Everything that is done to a node goes through here, so that probes, captures and orders run the same way wherever the
/// nodes are.
pub trait Runner: Send + Sync {
    /// Starts `argv` in `node`, in all of its namespaces, standard streams as given. The program does not outlive the node.
    fn spawn(&self, node: &str, argv: &[&str], stdio: Streams) -> anyhow::Result<Process>;

    /// The path, as seen in `node`, of this very program: it brings the lab's own tools.
    fn tool(&self, node: &str) -> String;
}

/// The standard streams of a program in a node.
#[derive(Debug)]
pub struct Streams {
    /// Its input.
    pub input: Stdio,
    /// Its output.
    pub output: Stdio,
    /// Its errors.
    pub errors: Stdio,
}

/// A program in a node.
#[derive(Debug)]
pub struct Process {
    /// The program, or the client that stands for it; killed when this is dropped.
    pub child: tokio::process::Child,
}
