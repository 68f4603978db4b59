//! What each kind of check asks.

mod grpc;
mod http;
mod local;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

pub use self::{grpc::*, http::*, local::*};

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeConfig {
    /// A TCP connection is accepted.
    Tcp(TcpProbe),
    /// An HTTP request is answered as expected.
    Http(HttpProbe),
    /// A gRPC server says that it serves.
    Grpc(GrpcProbe),
    /// A unit of systemd is active.
    Systemd(SystemdProbe),
    /// A process is alive.
    Process(ProcessProbe),
    /// A file is there, is not there, or is fresh.
    File(FileProbe),
    /// A program exits as expected.
    Exec(ExecProbe),
}

impl ProbeConfig {
    /// The addresses it aims at, as far as the configuration names them.
    #[must_use]
    pub fn targets(&self) -> Vec<IpAddr> {
        match self {
            Self::Tcp(_) | Self::Http(_) | Self::Grpc(_) => {
                self.sockets().into_iter().map(|(_, address)| address.ip()).collect()
            }
            Self::Systemd(_) | Self::Process(_) | Self::File(_) | Self::Exec(_) => Vec::new(),
        }
    }

    /// The sockets it asks, as far as the configuration names them.
    #[must_use]
    pub fn sockets(&self) -> Vec<(Protocol, SocketAddr)> {
        let tcp = |addresses: &[SocketAddr]| addresses.iter().map(|address| (Protocol::Tcp, *address)).collect();
        match self {
            Self::Tcp(probe) => tcp(&probe.addresses),
            Self::Http(HttpProbe { target: HttpTarget::Addresses(addresses), .. }) => tcp(addresses),
            Self::Grpc(probe) => tcp(&probe.addresses),
            Self::Http(_) | Self::Systemd(_) | Self::Process(_) | Self::File(_) | Self::Exec(_) => Vec::new(),
        }
    }

    /// The type's name in the configuration file.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Grpc(_) => "grpc",
            Self::Systemd(_) => "systemd",
            Self::Process(_) => "process",
            Self::File(_) => "file",
            Self::Exec(_) => "exec",
        }
    }
}

/// The protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpProbe {
    /// Where to; the check runs against each of them in one run and all must accept. Never empty.
    pub addresses: Vec<SocketAddr>,
}

/// How an HTTPS check judges the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The name the certificate must carry and that SNI shows: a DNS name or an address.
    pub name: String,
    /// PEM file of the trusted roots; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether chain, name and dates are verified.
    pub verify: bool,
}
