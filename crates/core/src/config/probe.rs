//! What each kind of check asks.

mod grpc;
mod http;
mod local;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
    time::Duration,
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
    /// A DNS query is answered as expected.
    Dns(DnsProbe),
    /// A datagram is answered as expected.
    Udp(UdpProbe),
    /// ICMP echoes are answered.
    Icmp(IcmpProbe),
    /// A TLS handshake shows a good certificate.
    Tls(TlsProbe),
}

impl ProbeConfig {
    /// The addresses it aims at, as far as the configuration names them.
    #[must_use]
    pub fn targets(&self) -> Vec<IpAddr> {
        match self {
            Self::Icmp(icmp) => icmp.addresses.clone(),
            Self::Tcp(_) | Self::Http(_) | Self::Grpc(_) | Self::Dns(_) | Self::Udp(_) | Self::Tls(_) => {
                self.sockets().into_iter().map(|(_, address)| address.ip()).collect()
            }
            Self::Systemd(_) | Self::Process(_) | Self::File(_) | Self::Exec(_) => Vec::new(),
        }
    }

    /// The sockets it asks, as far as the configuration names them.
    #[must_use]
    pub fn sockets(&self) -> Vec<(Protocol, SocketAddr)> {
        let all = |protocol, addresses: &[SocketAddr]| addresses.iter().map(|address| (protocol, *address)).collect();
        match self {
            Self::Tcp(tcp) => all(Protocol::Tcp, &tcp.addresses),
            Self::Tls(tls) => all(Protocol::Tcp, &tls.addresses),
            Self::Udp(udp) => all(Protocol::Udp, &udp.addresses),
            Self::Dns(dns) => dns.asked().collect(),
            Self::Grpc(grpc) => all(Protocol::Tcp, &grpc.addresses),
            Self::Http(HttpProbe { target: HttpTarget::Addresses(addresses), .. }) => all(Protocol::Tcp, addresses),
            Self::Http(_) | Self::Systemd(_) | Self::Process(_) | Self::File(_) | Self::Exec(_) | Self::Icmp(_) => {
                Vec::new()
            }
        }
    }

    /// Where a connection can be held open ([`CheckConfig::hold_connection`](super::CheckConfig::hold_connection)).
    #[must_use]
    pub fn connections(&self) -> Vec<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.addresses.clone(),
            Self::Grpc(grpc) => grpc.addresses.clone(),
            Self::Http(HttpProbe { target: HttpTarget::Addresses(addresses), .. }) => addresses.clone(),
            Self::Http(_)
            | Self::Systemd(_)
            | Self::Process(_)
            | Self::File(_)
            | Self::Exec(_)
            | Self::Dns(_)
            | Self::Udp(_)
            | Self::Icmp(_)
            | Self::Tls(_) => Vec::new(),
        }
    }

    /// Whether it says by what the processes of its service are known: a unit, a file, or the socket that they listen on.
    #[must_use]
    pub fn names_process(&self) -> bool {
        matches!(self, Self::Systemd(_) | Self::Process(_)) || !self.sockets().is_empty()
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
            Self::Dns(_) => "dns",
            Self::Udp(_) => "udp",
            Self::Icmp(_) => "icmp",
            Self::Tls(_) => "tls",
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

/// A DNS query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsProbe {
    /// Whom to ask; each of them must answer. Never empty.
    pub servers: Vec<SocketAddr>,
    /// The name asked for, in presentation format.
    pub name: String,
    /// The type asked for, by its mnemonic.
    pub kind: String,
    /// Over what it is asked.
    pub transport: DnsTransport,
    /// Whether the server is asked to look further for the answer (RD).
    pub recursion_desired: bool,
    /// Whether signatures are asked for (EDNS with DO).
    pub dnssec_ok: bool,
    /// The response code, with the upper bits of EDNS.
    pub rcode: u16,
    /// Record data, in presentation format, that must all be in the answer.
    pub answers: Vec<String>,
    /// How many records the answer must have.
    pub min_answers: u16,
    /// Header flags that must be set, or must not.
    pub flags: Vec<(DnsFlag, bool)>,
}

impl DnsProbe {
    /// The sockets asked in each run.
    pub fn asked(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> + '_ {
        let protocols: &[Protocol] = match self.transport {
            DnsTransport::Udp => &[Protocol::Udp],
            DnsTransport::Tcp => &[Protocol::Tcp],
            DnsTransport::Both => &[Protocol::Udp, Protocol::Tcp],
        };
        self.servers.iter().flat_map(|server| protocols.iter().map(|protocol| (*protocol, *server)))
    }

    /// What is expected of a flag, where it matters.
    #[must_use]
    pub fn expects(&self, flag: DnsFlag) -> Option<bool> {
        self.flags.iter().find(|(known, _)| *known == flag).map(|(_, set)| *set)
    }
}

/// Over what a DNS query goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsTransport {
    /// UDP; a truncated answer is asked for again over TCP, as resolvers do.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// Both, and both must be answered.
    Both,
}

/// A flag in the header of a DNS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsFlag {
    /// Authoritative answer.
    Aa,
    /// Truncated.
    Tc,
    /// Recursion desired.
    Rd,
    /// Recursion available.
    Ra,
    /// Authentic data.
    Ad,
    /// Checking disabled.
    Cd,
}

impl DnsFlag {
    /// All of them, in the order of the header.
    pub const ALL: [Self; 6] = [Self::Aa, Self::Tc, Self::Rd, Self::Ra, Self::Ad, Self::Cd];

    /// As RFC 1035 and RFC 4035 write it, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aa => "aa",
            Self::Tc => "tc",
            Self::Rd => "rd",
            Self::Ra => "ra",
            Self::Ad => "ad",
            Self::Cd => "cd",
        }
    }
}

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpProbe {
    /// Where to; each of them must answer. Never empty.
    pub addresses: Vec<SocketAddr>,
    /// What is sent; never empty.
    pub send: Vec<u8>,
    /// What makes an answer good.
    pub expect: UdpExpect,
}

/// What makes the answer to a datagram good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum UdpExpect {
    /// Any will do.
    #[default]
    Any,
    /// It holds these bytes; never empty.
    Holds(Vec<u8>),
    /// None is needed: only a refusal is bad.
    Nothing,
}

/// ICMP echoes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpProbe {
    /// Where to; each of them must answer. Never empty.
    pub addresses: Vec<IpAddr>,
    /// How many are sent to each in a run.
    pub packets: NonZeroU16,
    /// How many of them may be lost; fewer than are sent.
    pub max_loss: u16,
}

/// A TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsProbe {
    /// Where to; each of them must shake hands. Never empty.
    pub addresses: Vec<SocketAddr>,
    /// How the certificate is judged.
    pub tls: TlsOptions,
    /// Protocols to offer (ALPN), one of which must be chosen; none are offered where it is empty.
    pub alpn: Vec<String>,
    /// With less validity left, the service is degraded; `None`: 14 days, or a sixth of the certificate's lifetime where that is
    /// shorter.
    pub warn_before: Option<Duration>,
    /// With less validity left, the service is down.
    pub fail_before: Duration,
}
