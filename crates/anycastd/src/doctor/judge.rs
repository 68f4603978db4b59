//! From what was seen to what bites.

mod bfd;
mod flow;
mod sides;
mod start;

use std::{collections::BTreeSet, net::IpAddr};

use anycast_api::{Finding, Severity};

use super::facts::{Facts, Interface, Session};
use crate::drop_in;

/// An order is a few kilobytes; what is written besides is more.
const ROOM: u64 = 1 << 20;
const FEW_INODES: u64 = 16;
/// A wall clock that was set by less has moved nothing that matters; in seconds.
const SET_BY: u64 = 10;

/// All that is found.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let parts = [
        start::configuration,
        start::program,
        rp_filter,
        arp,
        flow::mtu,
        flow::stalled,
        other_speakers,
        sides::one_sided,
        sides::refused,
        sides::away,
        bfd::others,
        bfd::real_time,
        bfd::not_up,
        policy,
        elsewhere,
        clock,
        files,
        capabilities,
        echoes,
        state,
    ];
    parts.into_iter().flat_map(|part| part(facts)).collect()
}

struct Words {
    seen: String,
    why: &'static str,
    remedy: String,
}

fn finding(id: &str, severity: Severity, subject: impl ToString, words: Words) -> Finding {
    let Words { seen, why, remedy } = words;
    Finding { id: id.to_owned(), severity, subject: subject.to_string(), seen, why: why.to_owned(), remedy }
}

/// Interfaces by which IPv4 packets come from elsewhere.
fn outward(facts: &Facts) -> impl Iterator<Item = (&String, &Interface)> {
    facts
        .interfaces
        .iter()
        .filter(|(_, interface)| !interface.loopback && interface.networks.iter().any(|net| net.addr().is_ipv4()))
}

/// RFC 3704: strict mode drops what the routing table would not answer by the same interface.
fn rp_filter(facts: &Facts) -> Vec<Finding> {
    let serves_v4 = facts.known.addresses.iter().any(|address| address.address.is_ipv4());
    if !serves_v4 || outward(facts).count() < 2 {
        return Vec::new();
    }
    let strict = outward(facts).filter(|(_, interface)| interface.rp_filter == Some(1));
    let told = strict.map(|(name, _)| {
        finding("rp_filter", Severity::Warning, name, Words {
            seen: "rp_filter is strict (1), and packets can come by more than one interface".to_owned(),
            why: "what comes by another interface than the answer would take is dropped without a word: with several routers, \
                  some of the clients get no answer",
            // The greater of the two is in force: both are set.
            remedy: format!("sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{name}.rp_filter=2"),
        })
    });
    told.collect()
}

/// An anycast address on a shared segment must not be answered for by whoever is asked first.
fn arp(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for address in facts.known.addresses.iter().filter(|address| address.address.is_ipv4()) {
        let shared = outward(facts).filter(|(name, interface)| {
            let on_it = address.interface.as_ref() == Some(*name);
            let on_link =
                |net: &&ipnet::IpNet| net.prefix_len() < net.max_prefix_len() && net.contains(&address.address);
            interface.arp && (on_it || interface.networks.iter().any(|net| on_link(&net)))
        });
        for (name, interface) in shared {
            // With 1 the kernel answers by the interface that has the address, and announces others all the same.
            if interface.arp_ignore.is_none_or(|value| value >= 1)
                && interface.arp_announce.is_none_or(|value| value >= 2)
            {
                continue;
            }
            let (ignore, announce) = (shown(interface.arp_ignore), shown(interface.arp_announce));
            found.push(finding("arp", Severity::Warning, format!("{} at {name}", address.address), Words {
                seen: format!("the segment at {name} can ask for the address by ARP (arp_ignore {ignore}, arp_announce {announce})"),
                why: "this node answers for it whatever is announced or withdrawn: neighbors on the segment send here past all routing, \
                      and two nodes on it answer for the same address",
                remedy: format!(
                    "sysctl -w net.ipv4.conf.{name}.arp_ignore=1 net.ipv4.conf.{name}.arp_announce=2, and the address on `lo` \
                     (`interface: lo`)"
                ),
            }));
        }
    }
    found
}

fn shown(value: Option<u8>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

/// Somebody else who speaks BGP here.
fn other_speakers(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let foreign = |remote: bool| facts.sockets.iter().filter(move |it| !it.ours && it.remote.is_some() == remote);
    for session in &facts.known.sessions {
        let Some(address) = session.address else { continue };
        let same = |socket: &&super::facts::Socket| socket.remote.is_some_and(|remote| remote.ip() == address);
        if let Some(socket) = foreign(true).find(same) {
            let port = socket.remote.map_or(session.port, |remote| remote.port());
            let why = "a router has one session with an address of ours: each of the two daemons is refused, or ends the other's session \
                       (RFC 4271 §6.8, connection collision)";
            found.push(finding("same_session", Severity::Problem, &session.name, Words {
                seen: format!("another process (uid {}) has a BGP connection to {address}, from {}", socket.uid, socket.local),
                why,
                remedy: format!("`ss -tnp dst {address}` tells which (port {port} there); stop it, or take {address} out of its configuration"),
            }));
        }
    }
    let listeners: BTreeSet<_> =
        foreign(false).filter(|socket| socket.local.port() == 179).map(|it| (it.local, it.uid)).collect();
    for (local, uid) in listeners {
        let wants = facts.known.listen.iter().any(|ours| {
            let any = |ip: IpAddr| ip.is_unspecified();
            ours.port() == local.port() && (any(ours.ip()) || any(local.ip()) || ours.ip() == local.ip())
        });
        let severity = if wants { Severity::Problem } else { Severity::Warning };
        found.push(finding("other_speaker", severity, local, Words {
            seen: format!("another process (uid {uid}) listens there"),
            why: "a second BGP daemon on the node: neighbors that dial us reach it and not the agent, and what it announces is not \
                  withdrawn when a service fails",
            remedy: format!("`ss -tlnp sport = :{}` tells which; stop it (`systemctl disable --now frr bird`), or have it listen elsewhere", local.port()),
        }));
    }
    found
}

/// RFC 8212: without a policy an eBGP speaker uses nothing, and says nothing.
fn policy(facts: &Facts) -> Vec<Finding> {
    let told =
        facts.known.sessions.iter().filter(|session| session.established && session.external && session.routes > 0);
    let note = |session: &Session| {
        let us = session.local.map_or_else(|| "ADDRESS".to_owned(), |local| local.ip().to_canonical().to_string());
        let words = Words {
            seen: format!(
                "Established, and told {} routes; whether it uses them cannot be seen from here",
                session.routes
            ),
            why: "a router without an import policy for an eBGP neighbor drops all it hears (RFC 8212), and the session looks well",
            remedy: format!(
                "look there. FRR: `show bgp neighbors {us}` (no \"policy missing\"), `show bgp ipv4 unicast neighbors {us} routes`; BIRD: `show route \
                 protocol NAME all`; Junos: `show route receive-protocol bgp {us}`; IOS: `show bgp ipv4 unicast neighbors {us} routes`; add an \
                 import policy (route-map, filter, `policy-statement`) where there is none"
            ),
        };
        finding("ebgp_policy", Severity::Note, &session.name, words)
    };
    told.map(note).collect()
}

/// Addresses that are where they should not be.
fn elsewhere(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for address in facts.known.addresses.iter().filter(|address| address.foreign) {
        let at = address.interface.as_deref().unwrap_or("another interface");
        let remove = format!("ip address del {} dev {at}", ipnet::IpNet::from(address.address));
        found.push(finding("foreign_address", Severity::Warning, address.address, Words {
            seen: format!("somebody else put it on {at}"),
            why: "it stays when the service is withdrawn and when the agent ends: what reaches the node is still answered, and the \
                  network manager that put it there may take it away",
            remedy: format!("take it out of the network's configuration (netplan, networkd, ifupdown), then `{remove}`: the agent puts it back"),
        }));
    }
    for address in &facts.known.addresses {
        let is_it = |net: &ipnet::IpNet| net.addr() == address.address;
        let on: Vec<&str> = facts
            .interfaces
            .iter()
            .filter(|(_, it)| it.networks.iter().any(is_it))
            .map(|(name, _)| name.as_str())
            .collect();
        if on.len() > 1 {
            found.push(finding(
                "address_twice",
                Severity::Warning,
                address.address,
                Words {
                    seen: format!("it is on {}", on.join(" and ")),
                    why: "the agent minds one of them: the other stays whatever happens to the service",
                    remedy: format!(
                        "ip address del {} dev INTERFACE, for the one that is not the agent's",
                        ipnet::IpNet::from(address.address)
                    ),
                },
            ));
        }
    }
    let local = |target: &IpAddr| {
        target.is_loopback() || facts.interfaces.values().any(|it| it.networks.iter().any(|net| net.addr() == *target))
    };
    for asked in facts.known.asked.iter().filter(|asked| !facts.interfaces.is_empty() && !local(&asked.target)) {
        found.push(finding("remote_check", Severity::Warning, &asked.check, Words {
            seen: format!("it asks {}, which is no address of this node", asked.target),
            why: "the answer of another machine proves nothing of the service here: when that one fails every node withdraws at the same time",
            remedy: "ask an address of the service, or say `scope: shared`: it then degrades, and does not withdraw".to_owned(),
        }));
    }
    found
}

fn clock(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.clock.is_some_and(|clock| !clock.synchronised) {
        found.push(finding("clock", Severity::Warning, "clock", Words {
            seen: "the kernel's clock is not synchronised (STA_UNSYNC)".to_owned(),
            why: "sessions and checks do not depend on it, but the dates of certificates and of events do, and after a restart of the \
                  agent the ends of maintenances (`--for`)",
            remedy: "timedatectl set-ntp true, or see `chronyc tracking`".to_owned(),
        }));
    }
    let set = facts.known.clock_set;
    if set.unsigned_abs() >= SET_BY {
        let way = if set > 0 { "forward" } else { "back" };
        found.push(finding("clock_set", Severity::Note, "clock", Words {
            seen: format!("it was set {way} by {} s since the agent began, or the machine stood still meanwhile", set.unsigned_abs()),
            why: "times of events before and after do not compare; a maintenance with an end (`--for`) lasts as long as was ordered, but \
                  if the agent is restarted it ends by the new time",
            remedy: "`anycastctl status` shows the ends: order anew what ends at a wrong time; see who sets the clock (`journalctl -u chrony \
                     -u systemd-timesyncd`)"
                .to_owned(),
        }));
    }
    found
}

fn files(facts: &Facts) -> Vec<Finding> {
    let few = facts.files.filter(|(limit, needed)| limit < needed);
    let words = |(limit, needed)| Words {
        seen: format!("{limit} files may be open, and {needed} may be needed at a time"),
        why: "a check that gets none proves nothing, and its service is withdrawn in the end",
        remedy: format!("systemctl edit anycastd: [Service] LimitNOFILE={needed}, then restart it"),
    };
    few.map(words).map(|words| finding("limits", Severity::Warning, "LimitNOFILE", words)).into_iter().collect()
}

fn capabilities(facts: &Facts) -> Vec<Finding> {
    let Some(mask) = facts.capabilities else { return Vec::new() };
    let known = &facts.known;
    let low = facts.first_port.unwrap_or(1024);
    let dials_in = known.listen.iter().any(|address| address.port() < low);
    let table = [
        (
            "CAP_NET_ADMIN",
            12,
            !known.addresses.is_empty(),
            "addresses and anchor routes cannot be set: nothing is announced",
        ),
        (
            "CAP_NET_BIND_SERVICE",
            10,
            dials_in,
            "the agent cannot listen on a port below 1024: neighbors that dial it find nobody",
        ),
        ("CAP_SETUID", 7, known.other_users, "checks that run as another `user` cannot be run, and prove nothing"),
        ("CAP_SETGID", 6, known.other_users, "checks that run as another `user` cannot be run, and prove nothing"),
    ];
    let missing = table.into_iter().filter(|(_, bit, needed, _)| *needed && mask & (1 << bit) == 0);
    let told = missing.map(|(name, _, _, why)| {
        finding(
            "capability",
            Severity::Problem,
            name,
            Words { seen: "the agent does not have it".to_owned(), why, remedy: capability_from(name) },
        )
    });
    told.collect()
}

fn capability_from(name: &str) -> String {
    let drop_in = match name {
        "CAP_NET_BIND_SERVICE" => drop_in::BIND,
        "CAP_SETUID" | "CAP_SETGID" => drop_in::USERS,
        _ => {
            return format!(
                "systemctl edit anycastd: [Service] AmbientCapabilities={name} and CapabilityBoundingSet={name}, then restart it"
            );
        }
    };
    format!("give the agent {}, then restart it", drop_in.replace("gives them", &format!("gives {name}")))
}

/// icmp(7): `ping_group_range`, or a raw socket.
fn echoes(facts: &Facts) -> Vec<Finding> {
    let raw = facts.capabilities.is_none_or(|mask| mask & (1 << 13) != 0);
    let Some((first, last, own)) = facts.ping_groups.filter(|_| facts.known.echoes && !raw) else { return Vec::new() };
    if (first..=last).contains(&own) {
        return Vec::new();
    }
    let words = Words {
        seen: format!("the groups {first} to {last} may send echoes, and the agent's is {own}"),
        why: "checks of type `icmp` cannot be done, and prove nothing",
        remedy: format!("sysctl -w net.ipv4.ping_group_range=\"{own} {own}\", or give the agent {}", drop_in::RAW),
    };
    vec![finding("ping_group_range", Severity::Problem, "net.ipv4.ping_group_range", words)]
}

fn state(facts: &Facts) -> Vec<Finding> {
    let Some(state) = &facts.state else { return Vec::new() };
    let directory = facts.known.state_directory.display();
    let why = "orders are refused that cannot be kept: nobody can begin a maintenance, and one that ends may come back after a restart";
    if let Some(fault) = &state.fault {
        let words = Words {
            seen: format!("nothing can be written there: {fault}"),
            why,
            remedy: format!("df -h {directory}; df -i {directory}; ls -ld {directory}; findmnt -T {directory}"),
        };
        return vec![finding("state_directory", Severity::Problem, directory, words)];
    }
    if state.free >= ROOM && state.free_inodes >= FEW_INODES {
        return Vec::new();
    }
    let words = Words {
        seen: format!("{} KiB and {} files are left there", state.free / 1024, state.free_inodes),
        why,
        remedy: format!("df -h {directory}; df -i {directory}: free some"),
    };
    vec![finding("state_directory", Severity::Warning, directory, words)]
}

#[cfg(test)]
mod tests;
