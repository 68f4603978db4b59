//! `bgp.neighbors[].next_hop`: the addresses that a neighbor is to send to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anycast_bgp::LinkLocal;

use super::{
    diagnostic::{Report, quoted},
    reader::Section,
    values::{address, family, text},
    yaml::Node,
};

/// What is left out follows from the session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NextHops {
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) link_local: LinkLocal,
}

impl NextHops {
    /// The addresses among them that no other machine has, with words for what they are. A link-local one is of no concern to others.
    pub(super) fn ours(self) -> impl Iterator<Item = (&'static str, IpAddr)> {
        let ours = [self.ipv4.map(IpAddr::V4), self.ipv6.map(IpAddr::V6)];
        ours.into_iter().flatten().map(|address| ("the next hop", address))
    }
}

/// The IPv6 next hop as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The one that the interface has.
    Own,
    This(Ipv6Addr),
    None,
}

pub(super) fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<NextHops> {
    if section.has("next_hop").is_none() {
        return Some(NextHops::default());
    }
    let example = "`next_hop: { ipv4: 192.0.2.11, ipv6: \"2001:db8::11\" }`";
    let mut section = section.inner("next_hop", example, report)?;
    let at = section.span;
    let ipv4 = section.maybe("ipv4", report, |node, report| match of_family(node, "ipv4", true, report)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    let global = section.or("ipv6", Wanted::Own, report, global);
    let link_local = section.maybe("ipv6_link_local", report, link_local);
    section.close(report);
    let (ipv6, link_local) = match (global?, link_local?) {
        (Wanted::Own, chosen) => (None, beside(chosen)),
        (Wanted::This(address), chosen) => (Some(address), beside(chosen)),
        (Wanted::None, None | Some(Wanted::Own)) => (None, LinkLocal::Alone(None)),
        (Wanted::None, Some(Wanted::This(address))) => (None, LinkLocal::Alone(Some(address))),
        (Wanted::None, Some(Wanted::None)) => {
            let hint =
                "an IPv6 route needs one: leave one of the two out, or write `families: [ipv4]` for the neighbor";
            report.error(at, "neither a global nor a link-local next hop", hint);
            return None;
        }
    };
    Some(NextHops { ipv4: ipv4?, ipv6, link_local })
}

fn beside(chosen: Option<Wanted>) -> LinkLocal {
    match chosen {
        None => LinkLocal::AsConnected,
        Some(Wanted::Own) => LinkLocal::Beside(None),
        Some(Wanted::This(address)) => LinkLocal::Beside(Some(address)),
        Some(Wanted::None) => LinkLocal::Never,
    }
}

fn of_family(node: &Node, key: &str, wants_v4: bool, report: &mut Report<'_>) -> Option<IpAddr> {
    let address = address(node, "next_hop", report)?;
    if address.is_ipv4() != wants_v4 {
        let message = format!("{} is an {} address", quoted(&address.to_string()), family(address));
        report.error(node.span, message, format!("`next_hop.{key}` takes an address of the other family"));
        return None;
    }
    Some(address)
}

/// An address, or `none`.
fn global(node: &Node, report: &mut Report<'_>) -> Option<Wanted> {
    if text(node, "next_hop", report)? == "none" {
        return Some(Wanted::None);
    }
    match of_family(node, "ipv6", false, report)? {
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            let hint = format!("write `ipv6_link_local: {address}`, and `ipv6: none` where it is to be the only one");
            report.error(node.span, format!("{address} is a link-local address"), hint);
            None
        }
        IpAddr::V6(address) => Some(Wanted::This(address)),
        IpAddr::V4(_) => None,
    }
}

/// An address, `auto` or `none`.
fn link_local(node: &Node, report: &mut Report<'_>) -> Option<Wanted> {
    match text(node, "next_hop", report)? {
        "none" => return Some(Wanted::None),
        "auto" => return Some(Wanted::Own),
        _ => {}
    }
    match of_family(node, "ipv6_link_local", false, report)? {
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(Wanted::This(address)),
        address => {
            let hint = "write an address that begins with fe80, `auto` for that of the interface, or `none`";
            report.error(node.span, format!("{address} is not a link-local address"), hint);
            None
        }
    }
}
