//! Programs that run inside the nodes: services, loads, and what measures.
//!
//! `anycast-lab tool NAME …`. Each says one JSON object a line ([`record::Record`]) and ends when its input does or at
//! SIGTERM; the services and the loads run until they are killed.

mod bfd;
mod capture;
mod client;
mod freeze;
mod kill;
mod names;
mod output;
mod probe;
pub mod record;
pub mod routes;
mod serve;
mod server;
mod slow;
mod spin;

use clap::Subcommand;

/// Where the service answers datagrams (RFC 862's port: it echoes, and adds its name).
pub const UDP_PORT: u16 = 7;
/// Where the service answers HTTP.
pub const HTTP_PORT: u16 = 80;
/// The header of every HTTP answer that names the node.
const NODE_HEADER: &str = "x-node";
/// The longest name of a node that is believed.
const LONGEST_NAME: usize = 63;

/// The tools.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// The small web service of an edge node
    Serve(serve::Serve),
    /// A service to be checked: TCP, HTTP or UDP, on one port or on many
    Server(server::Server),
    /// The other end of many BFD sessions
    Bfd(bfd::Bfd),
    /// Many short TCP connections a second
    Client(client::Client),
    /// Keep processors busy
    Spin(spin::Spin),
    /// Ask, again and again, and tell what became of each request
    Probe(probe::Probe),
    /// Ask a name server, again and again, and tell each answer that is another
    Names(names::Names),
    /// One request whose answer takes long
    Slow(slow::Slow),
    /// Tell the BGP messages that pass
    Capture(capture::Capture),
    /// Send a signal to a program of this node
    Kill(kill::Kill),
    /// Stop every program of this node where it is, or let all of them go on
    Freeze(freeze::Freeze),
}

/// Runs a tool until it is over.
///
/// # Errors
/// When it cannot do its work.
pub async fn run(tool: Tool) -> anyhow::Result<()> {
    match tool {
        Tool::Serve(serve) => serve.run().await,
        Tool::Server(server) => server.run().await,
        Tool::Bfd(bfd) => tokio::task::spawn_blocking(move || bfd.run()).await?,
        Tool::Client(client) => tokio::task::spawn_blocking(move || client.run()).await?,
        Tool::Spin(spin) => spin.run().await,
        Tool::Probe(probe) => probe.run().await,
        Tool::Names(names) => names.run().await,
        Tool::Slow(slow) => slow.run().await,
        Tool::Capture(capture) => capture.run().await,
        Tool::Kill(kill) => kill.run().await,
        Tool::Freeze(freeze) => {
            freeze.run();
            Ok(())
        }
    }
}
