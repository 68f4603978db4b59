//! A TCP check: where to connect.

use anycast_core::config::{ProbeConfig, TcpProbe};

use super::{
    super::{diagnostic::Report, reader::Section},
    Aim, Where, sockets,
};

const WHERE: Where = Where {
    kind: "tcp",
    key: "address",
    usual_port: None,
    hint: "write `address: 203.0.113.53:53`, or `port: 53` for each address of the service",
};

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    Some(ProbeConfig::Tcp(TcpProbe { addresses: sockets(section, aim, WHERE, report)? }))
}
