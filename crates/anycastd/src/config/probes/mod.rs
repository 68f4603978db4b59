//! The types of checks: what each asks, one file per type.

mod exec;
mod file;
mod grpc;
mod http;
mod process;
mod secure;
mod systemd;
mod tcp;

use std::net::IpAddr;

use anycast_core::config::ProbeConfig;

use super::{
    diagnostic::{Report, quoted},
    reader::{Section, in_words, nearest, not_supported},
    source::Span,
    values::text,
};

/// Reads what a check of one type asks.
pub(super) type Read = fn(&mut Section<'_>, &mut Aim<'_>, &mut Report<'_>) -> Option<ProbeConfig>;

/// The types that are built, in the order in which people are told of them.
#[rustfmt::skip] // One a line, so that each comes and goes alone.
const TYPES: &[(&str, Read)] = &[
    ("tcp", tcp::read),
    ("http", http::read),
    ("grpc", grpc::read),
    ("systemd", systemd::read),
    ("process", process::read),
    ("file", file::read),
    ("exec", exec::read),
];
#[rustfmt::skip]
const LATER: &[&str] = &[
    "dns",
    "udp",
    "icmp",
    "tls",
];

/// What the checks of a service aim at.
#[derive(Debug)]
pub(super) struct Aim<'a> {
    /// The service's own addresses, where they are known for certain.
    pub(super) addresses: Option<&'a [IpAddr]>,
    /// The addresses that are written, each with its place.
    pub(super) targets: Vec<(Span, IpAddr)>,
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

/// The type, if it is built. The keys of another are not judged: their meaning is not known yet.
pub(super) fn kind(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Read> {
    let built: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let node = section.require("type", &format!("write one of {}", in_words(&built)), report)?;
    let kind = text(node, "type", report)?;
    if let Some((_, read)) = TYPES.iter().find(|(name, _)| *name == kind) {
        return Some(*read);
    }
    if LATER.contains(&kind) {
        let hint = format!("there are {}", in_words(&built));
        not_supported(node.span, &format!("`type: {kind}`"), &hint, report);
        return None;
    }
    let hint = match nearest(kind, built.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", in_words(&built)),
    };
    report.error(node.span, format!("`type` cannot be {}", quoted(kind)), hint);
    None
}
