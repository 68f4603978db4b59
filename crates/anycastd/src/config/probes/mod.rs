//! The types of checks: what each asks, one file per type.

mod dns;
mod exec;
mod file;
mod grpc;
mod http;
mod icmp;
mod process;
mod secure;
mod systemd;
mod tcp;
mod tls;
mod udp;

use std::net::{IpAddr, SocketAddr};

use anycast_core::config::ProbeConfig;

pub(super) use self::icmp::echoes_permitted;

use super::{
    diagnostic::{Report, quoted},
    reader::{Section, in_words, nearest},
    source::Span,
    values::{non_zero, text},
};

/// Reads what a check of one type asks.
pub(super) type Read = fn(&mut Section<'_>, &mut Aim<'_>, &mut Report<'_>) -> Option<ProbeConfig>;

/// The types, in the order in which people are told of them.
#[rustfmt::skip] // One a line, so that each comes and goes alone.
const TYPES: &[(&str, Read)] = &[
    ("tcp", tcp::read),
    ("http", http::read),
    ("grpc", grpc::read),
    ("systemd", systemd::read),
    ("process", process::read),
    ("file", file::read),
    ("exec", exec::read),
    ("dns", dns::read),
    ("udp", udp::read),
    ("icmp", icmp::read),
    ("tls", tls::read),
];
/// What others call them.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("https", "write `type: http` with `url: https://…`"),
    ("http2", "write `type: http` with `http_version: \"2\"`"),
    ("h2", "write `type: http` with `http_version: \"2\"`"),
    ("ping", "write `type: icmp`"),
    ("ssl", "write `type: tls`"),
    ("pid", "write `type: process` with `pid_file: /run/….pid`"),
    ("pid_file", "write `type: process` with `pid_file: /run/….pid`"),
    ("unit", "write `type: systemd` with `unit: ….service`"),
    ("script", "write `type: exec` with `command: [/path/to/program]`"),
    ("command", "write `type: exec` with `command: [/path/to/program]`"),
];

/// What the checks of a service aim at.
#[derive(Debug)]
pub(super) struct Aim<'a> {
    /// The service's own addresses, where they are known for certain.
    pub(super) addresses: Option<&'a [IpAddr]>,
    /// The addresses that are written, each with its place.
    pub(super) targets: Vec<(Span, IpAddr)>,
    /// Where a check sends ICMP echoes.
    pub(super) echoes: Vec<Span>,
}

impl Aim<'_> {
    /// Takes an address that is written. One machine must answer there.
    fn at(&mut self, span: Span, target: IpAddr, report: &mut Report<'_>) -> Option<IpAddr> {
        if target.is_unspecified() || target.is_multicast() {
            let message = format!("nobody answers at {target}");
            report.error(span, message, "write the address at which the service answers");
            return None;
        }
        self.targets.push((span, target));
        Some(target)
    }
}

/// How a check is told where to connect.
#[derive(Debug, Clone, Copy)]
struct Where {
    /// The type of the check.
    kind: &'static str,
    /// The key that holds an address.
    key: &'static str,
    /// The port that need not be written.
    usual_port: Option<u16>,
    /// How it is written.
    hint: &'static str,
}

/// At the address that is written, or at each of the service's.
fn sockets(
    section: &mut Section<'_>,
    aim: &mut Aim<'_>,
    place: Where,
    report: &mut Report<'_>,
) -> Option<Vec<SocketAddr>> {
    let Where { kind, key, usual_port, hint } = place;
    let at_port = section.has("port");
    let port = section.maybe("port", report, |node, report| non_zero(node, "port", report))?.map(u16::from);
    if section.has(key).is_none() {
        let Some(port) = port.or(usual_port) else {
            report.error(section.span, format!("a {kind} check without `{key}` or `port`"), hint);
            return None;
        };
        return Some(aim.addresses?.iter().map(|address| SocketAddr::new(*address, port)).collect());
    }
    let node = section.take(key, report)?;
    let written = text(node, key, report)?;
    let alone = written.parse::<IpAddr>().ok().filter(|_| usual_port.is_some());
    let whole = written.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    let address = match (alone, whole) {
        (Some(address), _) => SocketAddr::new(address, port.or(usual_port)?),
        (None, Some(address)) => {
            if let Some(span) = at_port {
                let hint = "write the port within the address: `203.0.113.53:53`";
                report.error(span, format!("`{key}` and `port` together"), hint);
                return None;
            }
            address
        }
        (None, None) => {
            let wanted = if usual_port.is_some() { "an address" } else { "an address with a port" };
            report.error(node.span, format!("`{key}`: {} is not {wanted}", quoted(written)), hint);
            return None;
        }
    };
    aim.at(node.span, address.ip(), report)?;
    Some(vec![address])
}

/// The type. The keys of another are not judged: what they mean is not known.
pub(super) fn kind(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Read> {
    let built: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let node = section.require("type", &format!("write one of {}", in_words(&built)), report)?;
    let kind = text(node, "type", report)?;
    if let Some((_, read)) = TYPES.iter().find(|(name, _)| *name == kind) {
        return Some(*read);
    }
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == kind).map(|(_, hint)| *hint);
    let hint = match nearest(kind, built.iter().copied()) {
        _ if other.is_some() => other.unwrap_or_default().to_owned(),
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", in_words(&built)),
    };
    report.error(node.span, format!("`type` cannot be {}", quoted(kind)), hint);
    None
}
