//! How the packets of sessions go.

use anycast_api::{Finding, Severity};

use super::{Words, finding};
use crate::doctor::facts::{Facts, Flow, Interface, Session};

/// Frames of this size pass everywhere.
const ETHERNET: u32 = 1500;
/// Sent again in vain once, a segment may just have been lost.
const IN_VAIN: u8 = 2;

/// The headers of a segment without options, of an echo, and how ping is told the family.
const fn of_family(v4: bool) -> (u32, u32, &'static str) {
    if v4 { (40, 28, "-4") } else { (60, 48, "-6") }
}

/// What TCP knows of its connection.
fn flow(facts: &Facts, session: &Session) -> Option<Flow> {
    let (to, local) = (session.address?, session.local.filter(|_| session.established)?);
    let same = |socket: &&crate::doctor::facts::Socket| {
        let ends = socket.remote.is_some_and(|remote| remote.ip() == to) && socket.local.port() == local.port();
        socket.ours && ends && socket.local.ip() == local.ip().to_canonical()
    };
    facts.sockets.iter().find(same)?.flow
}

/// The interface by which a session goes, and whether the neighbor is on its link.
fn way<'a>(facts: &'a Facts, session: &Session) -> Option<(&'a String, &'a Interface, bool)> {
    let to = session.address?;
    let local = session.local.map(|local| local.ip().to_canonical());
    let leads_there = |net: &ipnet::IpNet| local.map_or_else(|| net.contains(&to), |local| net.addr() == local);
    let (name, interface) = facts.interfaces.iter().find(|(_, it)| it.networks.iter().any(leads_there))?;
    let on_link = interface.networks.iter().any(|net| net.prefix_len() < net.max_prefix_len() && net.contains(&to));
    Some((name, interface, on_link))
}

/// What a session over larger frames than usual may meet.
pub(super) fn mtu(facts: &Facts) -> Vec<Finding> {
    let told = facts.known.sessions.iter().filter_map(|session| {
        let (name, interface, on_link) = way(facts, session)?;
        let mtu = interface.mtu.filter(|_| !interface.loopback)?;
        let flow = flow(facts, session);
        let largest = flow.map(|flow| largest(session, flow));
        match largest {
            Some(largest) if on_link && largest < mtu && mtu > ETHERNET => Some(mismatch(session, name, mtu, flow?)),
            Some(largest) if largest <= ETHERNET => None,
            _ => unproven(facts, session, name, mtu),
        }
    });
    told.collect()
}

/// The size of the largest packet that the session sends. A neighbor that takes no more than an Ethernet frame says so by its
/// segments; what is larger may also be cut for the sake of its window, which says nothing.
fn largest(session: &Session, flow: Flow) -> u32 {
    let (headers, ..) = of_family(session.address.is_none_or(|address| address.is_ipv4()));
    let full = flow.segment.saturating_add(headers);
    if full <= ETHERNET { full.min(flow.path_mtu) } else { flow.path_mtu }
}

/// Two ends of one link that differ.
fn mismatch(session: &Session, name: &str, mtu: u32, flow: Flow) -> Finding {
    let seen = if flow.path_mtu < mtu {
        format!("{name} has an MTU of {mtu}, and the kernel was told that the way to it takes {}", flow.path_mtu)
    } else {
        format!("{name} has an MTU of {mtu}, and the neighbor on that link takes segments of {} octets", flow.segment)
    };
    finding(
        "mtu_mismatch",
        Severity::Warning,
        &session.name,
        Words {
            seen,
            why: "the session keeps to it, but the answers of the services do not: what is larger than the neighbor's MTU is dropped at the \
              link without a word, which hits long answers over UDP and QUIC first",
            remedy: format!(
                "the same MTU at both ends of the link: `ip link set {name} mtu {ETHERNET}`, or more at the neighbor (its `show interface`)"
            ),
        },
    )
}

/// Larger frames that nobody has tried.
fn unproven(facts: &Facts, session: &Session, name: &str, mtu: u32) -> Option<Finding> {
    if mtu <= ETHERNET || facts.mtu_probing.is_none_or(|probing| probing > 0) {
        return None;
    }
    let to = session.address?;
    // Where it holds, it may well be that all is as it should be.
    let severity = if session.established { Severity::Note } else { Severity::Warning };
    let (_, overhead, flag) = of_family(to.is_ipv4());
    Some(finding(
        "mtu",
        severity,
        &session.name,
        Words {
            seen: format!(
                "its session goes by {name} with an MTU of {mtu}, and the kernel does not probe (tcp_mtu_probing 0)"
            ),
            why: "where a switch or the router takes less and says nothing, keepalives pass and long UPDATEs never arrive: the session \
              is Established and ends again and again when there is much to say",
            remedy: format!(
                "try `ping {flag} -M do -s {} {to}`; if it is not answered: `sysctl -w net.ipv4.tcp_mtu_probing=1`, or the MTU of the path at {name}",
                mtu.saturating_sub(overhead)
            ),
        },
    ))
}

/// What was written and does not arrive.
pub(super) fn stalled(facts: &Facts) -> Vec<Finding> {
    let told = facts.known.sessions.iter().filter_map(|session| {
        let to = session.address?;
        let flow = flow(facts, session).filter(|flow| flow.retransmits >= IN_VAIN && flow.unacknowledged > 0)?;
        let (_, overhead, flag) = of_family(to.is_ipv4());
        Some(finding("stalled", Severity::Warning, &session.name, Words {
            seen: format!("{} octets are not acknowledged, and were sent again {} times", flow.unacknowledged, flow.retransmits),
            why: "it has not heard what was said last, a withdraw perhaps: packets are lost on the way there, all of them or the large \
                  ones; the session ends when its hold time is over",
            remedy: format!(
                "`ping {flag} -M do -s {} {to}` and `ping {flag} {to}`: where only the second is answered it is the MTU of the path; \
                 `ss -tino dst {to}`",
                flow.path_mtu.saturating_sub(overhead)
            ),
        }))
    });
    told.collect()
}
