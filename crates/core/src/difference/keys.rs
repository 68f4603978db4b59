//! Which keys of the configuration differ. Each type is taken apart in full, so that a field that is added must be named here.

use super::Keys;
use crate::config::{Bfd, CheckConfig, CheckTiming, Config, Distance, Endpoint, Neighbor, Service, Transport};

fn differing<const N: usize>(table: [(&'static str, bool); N]) -> Keys {
    table.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// The keys of the node itself, without neighbors and services.
pub(super) fn of_node(old: &Config, new: &Config) -> Keys {
    let Config { node, asn, router_id, listen, on_exit, neighbors: _, services: _, interface, anchor, prefixes } = old;
    differing([
        ("name, region or country", *node != new.node),
        ("bgp.asn", *asn != new.asn),
        ("bgp.router_id", *router_id != new.router_id),
        ("bgp.listen", *listen != new.listen),
        ("on_exit", *on_exit != new.on_exit),
        ("interface", *interface != new.interface),
        ("anchor", *anchor != new.anchor),
        ("prefixes", *prefixes != new.prefixes),
    ])
}

/// The keys for which the session of a neighbor begins anew, each neighbor with the configuration that it is part of.
#[must_use]
pub fn session_keys(before: (&Config, &Neighbor), after: (&Config, &Neighbor)) -> Keys {
    let ((old, before), (new, after)) = (before, after);
    let Neighbor {
        endpoint,
        connect,
        port,
        peer_as,
        transport,
        timing,
        hold_time,
        families,
        offers,
        role,
        role_strict,
        restart_time,
        bfd: _,
        drain_by: _,
        attributes: _,
        next_hop_ipv4,
        next_hop_ipv6,
        link_local,
        limits: _,
    } = before;
    let mut keys = differing([
        ("bgp.asn", old.asn != new.asn),
        ("bgp.router_id", old.router_id != new.router_id),
        (place(&after.endpoint), is_elsewhere(endpoint, &after.endpoint)),
        ("connect", *connect != after.connect),
        ("port", *port != after.port),
        ("asn", *peer_as != after.peer_as),
        ("connect_retry", timing.connect_retry != after.timing.connect_retry),
        ("send_hold_time", timing.send_hold_time != after.timing.send_hold_time),
        ("hold_time", *hold_time != after.hold_time),
        ("families", *families != after.families),
        ("capabilities", *offers != after.offers),
        ("role", *role != after.role),
        ("role_strict", *role_strict != after.role_strict),
        ("graceful_restart", *restart_time != after.restart_time),
        ("next_hop.ipv4", *next_hop_ipv4 != after.next_hop_ipv4),
        ("next_hop.ipv6", *next_hop_ipv6 != after.next_hop_ipv6),
        ("next_hop.ipv6_link_local", *link_local != after.link_local),
    ]);
    keys.extend(of_transport(transport, &after.transport));
    keys
}

/// A password is told by its key alone.
fn of_transport(before: &Transport, after: &Transport) -> Keys {
    let Transport { source, device, distance, md5, tcp_ao } = before;
    let secured = |distance| matches!(distance, Distance::Secured(_));
    let gtsm = secured(*distance) || secured(after.distance);
    differing([
        ("source", *source != after.source),
        ("bind_device", *device != after.device),
        (if gtsm { "ttl_security" } else { "multihop" }, *distance != after.distance),
        ("password", *md5 != after.md5),
        ("tcp_ao", *tcp_ao != after.tcp_ao),
    ])
}

const fn place(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Address(_) => "address",
        Endpoint::Interface(_) => "interface",
        Endpoint::Network(..) => "prefix",
    }
}

/// The routers of a network that another still covers do not notice.
fn is_elsewhere(before: &Endpoint, after: &Endpoint) -> bool {
    match (before, after) {
        (Endpoint::Network(before, _), Endpoint::Network(after, _)) => !after.contains(before),
        _ => before != after,
    }
}

/// The keys of a neighbor that change under its session.
pub(super) fn under_a_session(before: &Neighbor, after: &Neighbor) -> Keys {
    let network = before.endpoint != after.endpoint && !is_elsewhere(&before.endpoint, &after.endpoint);
    let mut keys = differing([
        ("prefix or max_sessions", network),
        ("drain_by", before.drain_by != after.drain_by),
        ("attributes", before.attributes != after.attributes),
        ("max_announced", before.limits.max_announced != after.limits.max_announced),
        ("max_prefixes", before.limits.max_prefixes != after.limits.max_prefixes),
    ]);
    keys.extend(of_bfd(before.bfd.as_ref(), after.bfd.as_ref()));
    keys
}

/// Whatever becomes of the BFD session, that of BGP goes on. A password is told by its key alone.
fn of_bfd(before: Option<&Bfd>, after: Option<&Bfd>) -> Keys {
    let (Some(before), Some(after)) = (before, after) else {
        return differing([("bfd", before.is_some() != after.is_some())]);
    };
    let Bfd { interval, multiplier, strict, multihop, min_ttl, authentication } = before;
    differing([
        ("bfd.interval", *interval != after.interval),
        ("bfd.multiplier", *multiplier != after.multiplier),
        ("bfd.strict", *strict != after.strict),
        ("bfd.multihop", *multihop != after.multihop),
        ("bfd.min_ttl", *min_ttl != after.min_ttl),
        ("bfd.authentication", *authentication != after.authentication),
    ])
}

/// The keys of a service, without its checks.
pub(super) fn of_service(before: &Service, after: &Service) -> Keys {
    let Service {
        addresses,
        prefixes,
        neighbors,
        checks: _,
        require,
        depends_on,
        on_down,
        hold_down,
        up,
        degraded,
        drain,
        unbind,
        watch,
        disable_file,
        traffic,
    } = before;
    differing([
        ("addresses", *addresses != after.addresses),
        ("prefixes", *prefixes != after.prefixes),
        ("neighbors", *neighbors != after.neighbors),
        ("require", *require != after.require),
        ("depends_on", *depends_on != after.depends_on),
        ("on_down", *on_down != after.on_down),
        ("hold_down", *hold_down != after.hold_down),
        ("up", *up != after.up),
        ("degraded", *degraded != after.degraded),
        ("drain", *drain != after.drain),
        ("unbind", *unbind != after.unbind),
        ("watch", *watch != after.watch),
        ("disable_file", *disable_file != after.disable_file),
        ("traffic", *traffic != after.traffic),
    ])
}

/// The keys of a check.
pub(super) fn of_check(before: &CheckConfig, after: &CheckConfig) -> Keys {
    let CheckConfig { timing, scope, probe, hold_connection } = before;
    let CheckTiming { interval, fast_interval, timeout, rise, fall, start_delay, restart_grace, stale_after } = *timing;
    differing([
        ("interval", interval != after.timing.interval),
        ("fast_interval", fast_interval != after.timing.fast_interval),
        ("timeout", timeout != after.timing.timeout),
        ("rise", rise != after.timing.rise),
        ("fall", fall != after.timing.fall),
        ("start_delay", start_delay != after.timing.start_delay),
        ("restart_grace", restart_grace != after.timing.restart_grace),
        ("stale_after", stale_after != after.timing.stale_after),
        ("scope", *scope != after.scope),
        ("what it asks or expects", *probe != after.probe),
        ("hold_connection", *hold_connection != after.hold_connection),
    ])
}
