//! A TCP check: where to connect.

use std::net::SocketAddr;

use anycast_core::config::{ProbeConfig, TcpProbe};

use super::{
    super::{
        diagnostic::Report,
        reader::Section,
        values::{non_zero, socket_address},
    },
    Aim,
};

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    Some(ProbeConfig::Tcp(TcpProbe { addresses: addresses("tcp", section, aim, report)? }))
}

/// `address`, or `port` for each address of the service.
pub(super) fn addresses(
    kind: &str,
    section: &mut Section<'_>,
    aim: &mut Aim<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<SocketAddr>> {
    const HINT: &str = "write `address: 203.0.113.53:53`, or `port: 53` for each address of the service";
    match (section.has("address"), section.has("port")) {
        (None, None) => {
            report.error(section.span, format!("a {kind} check without `address` or `port`"), HINT);
            None
        }
        (Some(_), Some(span)) => {
            report.error(span, "`address` and `port` together", "write the port within the address: `203.0.113.53:53`");
            None
        }
        (Some(_), None) => {
            let node = section.take("address", report)?;
            let address = socket_address(node, "address", HINT, report)?;
            aim.at(node.span, address.ip(), report)?;
            Some(vec![address])
        }
        (None, Some(_)) => {
            let node = section.take("port", report)?;
            let port = non_zero(node, "port", report)?;
            Some(aim.addresses?.iter().map(|address| SocketAddr::new(*address, port.get())).collect())
        }
    }
}
