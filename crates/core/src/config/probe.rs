//! What each kind of check asks.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
};

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeConfig {
    /// A TCP connection is accepted.
    Tcp(TcpProbe),
    /// An HTTP/1.1 GET is answered as expected.
    Http(HttpProbe),
    /// A program exits as expected.
    Exec(ExecProbe),
}

impl ProbeConfig {
    /// The addresses it aims at, as far as the configuration names them.
    #[must_use]
    pub fn targets(&self) -> Vec<IpAddr> {
        match self {
            Self::Tcp(_) | Self::Http(_) | Self::Exec(_) => {
                self.sockets().into_iter().map(|(_, address)| address.ip()).collect()
            }
        }
    }

    /// The sockets it asks, as far as the configuration names them.
    #[must_use]
    pub fn sockets(&self) -> Vec<(Protocol, SocketAddr)> {
        match self {
            Self::Tcp(tcp) => tcp.addresses.iter().map(|address| (Protocol::Tcp, *address)).collect(),
            Self::Http(HttpProbe { target: HttpTarget::Address(address), .. }) => vec![(Protocol::Tcp, *address)],
            Self::Http(_) | Self::Exec(_) => Vec::new(),
        }
    }

    /// The type's name in the configuration file.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
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

/// A GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// As the operator wrote it.
    pub url: String,
    /// Whether TLS is spoken.
    pub tls: Option<TlsOptions>,
    /// Where to connect.
    pub target: HttpTarget,
    /// The `Host` field: host, and the port where it is not the scheme's own.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Status codes that are good; never empty.
    pub expect_status: Vec<RangeInclusive<u16>>,
    /// A text the first 64 KiB of the body must hold.
    pub expect_body: Option<String>,
}

/// Where an HTTP check connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpTarget {
    /// The URL named an address.
    Address(SocketAddr),
    /// The URL named a host, looked up for each run.
    Name {
        /// The host name.
        host: String,
        /// The TCP port.
        port: u16,
    },
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

/// A program, run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecProbe {
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
}
