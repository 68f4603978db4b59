//! BFD that does not come about, and what may make it lie.

use anycast_api::{Finding, Severity};
use anycast_bfd::{Discard, MULTIHOP_PORT, SINGLE_HOP_PORT};

use super::{Words, finding};
use crate::{
    agent::Ailment,
    config::NEEDS_REAL_TIME,
    doctor::facts::{Bfd, Facts},
    drop_in,
};

/// Another daemon of BFD on the node.
pub(super) fn others(facts: &Facts) -> Vec<Finding> {
    let foreign = facts.bfd_sockets.iter().filter(|socket| !socket.ours);
    let mut found: Vec<Finding> = foreign
        .map(|socket| {
            let (local, port) = (socket.local, socket.local.port());
            finding("other_bfd", Severity::Problem, local, Words {
                seen: format!("another process (uid {}) has that UDP port", socket.uid),
                why: "a second BFD daemon on the node: it takes packets that are for the agent, or has the port for itself, and \
                      neighbors hear two who say different things",
                remedy: format!(
                    "`ss -ulnp sport = :{port}` tells which; stop it (FRR: `bfdd=no` in /etc/frr/daemons; BIRD: without `protocol bfd`), or take `bfd` \
                     out of the configuration here"
                ),
            })
        })
        .collect();
    found.dedup();
    found
}

/// Intervals that a thread among others cannot keep.
pub(super) fn real_time(facts: &Facts) -> Vec<Finding> {
    let Some(why_not) = &facts.known.bfd_without_priority else { return Vec::new() };
    let fast = facts.known.bfd.iter().filter(|bfd| bfd.interval < NEEDS_REAL_TIME);
    let told = fast.map(|bfd| {
        finding("bfd_real_time", Severity::Warning, &bfd.name, Words {
            seen: format!(
                "its interval is {} ms, and BFD runs without a real-time priority: {why_not}",
                bfd.interval.as_micros() as f64 / 1000.0
            ),
            why: "where the processors are busy packets are sent late: the neighbor takes that for a dead path, and the routes go",
            remedy: format!("give the agent {}, then restart it; or write `interval: 50ms` or more", drop_in::REAL_TIME),
        })
    });
    told.collect()
}

/// Sessions that are not Up, although they are to be.
pub(super) fn not_up(facts: &Facts) -> Vec<Finding> {
    // There is one while there is a session of BGP, or while that waits for it.
    facts.known.bfd.iter().filter_map(|bfd| Some(of(bfd, bfd.ailment.as_ref()?))).chain(held(facts)).collect()
}

/// Paths that are there, and were lost too often to be believed in at once.
fn held(facts: &Facts) -> impl Iterator<Item = Finding> {
    let held = facts.known.bfd.iter().filter(|bfd| bfd.ailment.is_none());
    held.filter_map(|bfd| {
        Some(finding("bfd_held_back", Severity::Warning, &bfd.name, Words {
            seen: format!("the path to the router was lost: {}", bfd.held.as_ref()?),
            why: "a path that comes and goes would be announced and withdrawn everywhere each time; until then this neighbor is told nothing",
            remedy: format!(
                "`anycastctl neighbors {}` tells how it was lost, `anycastctl events` how often; see to the link. A reload without `bfd` for this \
                 neighbor ends the wait",
                bfd.name
            ),
        }))
    })
}

fn of(bfd: &Bfd, ailment: &Ailment) -> Finding {
    let (port, path) = match bfd.multihop {
        true => (MULTIHOP_PORT, "several hops (multihop)"),
        false => (SINGLE_HOP_PORT, "one hop"),
    };
    let address = bfd.address.map_or_else(|| "ADDRESS".to_owned(), |address| address.to_string());
    let us = bfd.local.map_or_else(|| "ADDRESS".to_owned(), |local| local.to_string());
    let named = if bfd.by_interface { "INTERFACE".to_owned() } else { us.clone() };
    let why = match bfd.established {
        true => "a dead path, or a router that hangs, is noticed by the hold timer only",
        false if bfd.strict => "with `bfd.strict` there is no session of BGP before: this neighbor is told nothing",
        false => "the session of BGP ended with the path, and does not come back before it is Up",
    };
    let filters = format!(
        "packet filters of both: UDP to port {port}, from ports 49152 to 65535, both ways; `tcpdump -ni any udp port {port} and host {address}`"
    );
    let (id, severity, remedy) = match ailment {
        Ailment::Ours(_) => (
            "bfd_not_possible",
            Severity::Problem,
            format!("`anycastctl neighbors {}` tells more; `ss -ulnp sport = :{port}`", bfd.name),
        ),
        Ailment::Unanswered { before } => (
            "bfd_unanswered",
            if bfd.established { Severity::Warning } else { Severity::Problem },
            format!(
                "{again}configure it there for {us}, as a path of {path}. FRR: `neighbor {named} bfd`, and `bfdd=yes` in /etc/frr/daemons; BIRD: `bfd on` in \
                 the protocol of BGP, and a `protocol bfd`; Junos: `bfd-liveness-detection`; IOS-XR: `bfd fast-detect`; EOS: `neighbor {named} bfd`. Then \
                 the {filters}. Or take `bfd` out here",
                again = if *before { "it did answer before: see whether its BFD daemon runs. Else " } else { "" }
            ),
        ),
        Ailment::Discarded(Discard::Unauthentic(_), _) => (
            "bfd_discarded",
            Severity::Warning,
            "the same type, key ID and password at both ends (`bfd.authentication` here), or none at both (FRR has none)".to_owned(),
        ),
        Ailment::Discarded(Discard::Discriminator, _) | Ailment::NotUp(_) => (
            "bfd_one_way",
            if bfd.established { Severity::Warning } else { Severity::Problem },
            format!("it is heard, and does not hear us, or not in time: the {filters}"),
        ),
        Ailment::Discarded(Discard::Ttl, _) if bfd.multihop => (
            "bfd_discarded",
            Severity::Warning,
            "`bfd.min_ttl` is too much for the hops that there are, or the packets come from farther away than the router is. BIRD sends with a TTL \
             of 64, most others with 255"
                .to_owned(),
        ),
        Ailment::Discarded(..) => (
            "bfd_discarded",
            Severity::Warning,
            format!(
                "both ends must take the path for the same, here for {path}: `bfd.multihop`. FRR takes it for several hops after `ebgp-multihop`, BIRD \
                 after `multihop`; `tcpdump -vni any udp portrange 3784-4784 and host {address}` shows ports and TTL"
            ),
        ),
        Ailment::AdminDown => (
            "bfd_admin_down",
            Severity::Note,
            "whoever operates the router has shut it down there (FRR: `shutdown` of the BFD peer), or disables BFD: ask".to_owned(),
        ),
    };
    finding(id, severity, &bfd.name, Words { seen: format!("BFD: the router {}", ailment.seen()), why, remedy })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anycast_bfd::Unauthentic;

    use super::*;
    use crate::doctor::{
        facts::{Known, Session, Socket, Way},
        judge::judge,
    };

    fn rtr() -> Bfd {
        Bfd {
            name: "rtr".to_owned(),
            interval: Duration::from_millis(50),
            strict: false,
            multihop: false,
            address: Some([192, 0, 2, 1].into()),
            local: Some([192, 0, 2, 2].into()),
            established: true,
            ailment: None,
            held: None,
            by_interface: false,
        }
    }

    fn found(facts: &Facts) -> Vec<String> {
        let told = judge(facts).into_iter();
        told.map(|it| format!("{} {} {:?}: {}; {}; {}", it.id, it.subject, it.severity, it.seen, it.why, it.remedy))
            .collect()
    }

    fn of(bfd: Bfd) -> Vec<String> {
        found(&Facts { known: Known { bfd: vec![bfd], ..Known::default() }, ..Facts::default() })
    }

    #[test]
    fn each_ailment_has_its_remedy() {
        assert_eq!(of(rtr()), [""; 0]);
        let of = |ailment: Ailment| {
            let all = of(Bfd { ailment: Some(ailment), ..rtr() });
            let [one] = &all[..] else { panic!("{all:#?}") };
            one.clone()
        };
        let table = [
            (Ailment::Unanswered { before: false }, "bfd_unanswered rtr Warning", "FRR: `neighbor 192.0.2.2 bfd`"),
            (
                Ailment::Unanswered { before: false },
                "bfd_unanswered rtr Warning",
                "from ports 49152 to 65535, both ways",
            ),
            (Ailment::Unanswered { before: true }, "bfd_unanswered rtr Warning", "see whether its BFD daemon runs"),
            (Ailment::Ours("x".to_owned()), "bfd_not_possible rtr Problem", "ss -ulnp sport = :3784"),
            (Ailment::NotUp("Down".to_owned()), "bfd_one_way rtr Warning", "does not hear us"),
            (Ailment::AdminDown, "bfd_admin_down rtr Note", "shut it down there"),
            (Ailment::Discarded(Discard::Ttl, "x".to_owned()), "bfd_discarded rtr Warning", "`bfd.multihop`"),
            (Ailment::Discarded(Discard::Port, "x".to_owned()), "bfd_discarded rtr Warning", "`bfd.multihop`"),
            (Ailment::Discarded(Discard::Discriminator, String::new()), "bfd_one_way rtr Warning", "does not hear us"),
            (
                Ailment::Discarded(Discard::Unauthentic(Unauthentic::Digest), "x".to_owned()),
                "bfd_discarded rtr Warning",
                "the same type, key ID and password",
            ),
        ];
        for (ailment, head, remedy) in table {
            let told = of(ailment.clone());
            assert!(told.starts_with(head) && told.contains(remedy), "{ailment:?}: {told}");
        }
    }

    #[test]
    fn one_that_the_session_waits_for_is_the_thing_to_look_at() {
        let down = Bfd { established: false, ailment: Some(Ailment::Unanswered { before: false }), ..rtr() };
        assert!(of(down.clone())[0].contains("does not come back before it is Up"));
        let linked = of(Bfd { by_interface: true, ..down.clone() });
        assert!(linked[0].contains("FRR: `neighbor INTERFACE bfd`"), "{linked:#?}");
        let one_way = of(Bfd { ailment: Some(Ailment::NotUp("Down".to_owned())), ..down.clone() });
        assert!(one_way[0].starts_with("bfd_one_way rtr Problem"), "{one_way:#?}");
        let held = Bfd { ailment: None, held: Some("BGP comes back".to_owned()), ..down.clone() };
        let told = of(held.clone());
        assert!(told.len() == 1 && told[0].starts_with("bfd_held_back rtr Warning: the path"), "{told:#?}");
        assert_eq!(of(Bfd { held: None, ..held }), [""; 0]);
        let down = Bfd { strict: true, multihop: true, ..down };
        let session = |name: &str| Session {
            name: name.to_owned(),
            address: Some([192, 0, 2, 1].into()),
            port: 179,
            passive: false,
            external: false,
            established: false,
            ever: false,
            came: false,
            last_error: Some("waits".to_owned()),
            remedy: None,
            since: Duration::from_secs(60),
            local: None,
            routes: 0,
            way: Way::default(),
        };
        let known =
            Known { bfd: vec![down.clone()], sessions: vec![session("rtr"), session("other")], ..Known::default() };
        let both = found(&Facts { known, ..Facts::default() });
        let [no_session, waits] = &both[..] else { panic!("each is told of once: {both:#?}") };
        assert!(
            no_session.starts_with("no_session other") && waits.starts_with("bfd_unanswered rtr Problem"),
            "{both:#?}"
        );
        let strict = of(down);
        assert!(strict[0].contains("with `bfd.strict` there is no session of BGP before"), "{strict:#?}");
        assert!(strict[0].contains("UDP to port 4784"), "{strict:#?}");
    }

    #[test]
    fn another_daemon_and_a_missing_priority_are_told() {
        let socket =
            |local: &str, ours| Socket { local: local.parse().unwrap(), remote: None, ours, uid: 101, flow: None };
        let sockets = vec![socket("0.0.0.0:3784", true), socket("0.0.0.0:3784", false), socket("[::]:4784", false)];
        let all = found(&Facts { bfd_sockets: sockets, ..Facts::default() });
        let [one, other] = &all[..] else { panic!("{all:#?}") };
        assert!(one.starts_with("other_bfd 0.0.0.0:3784 Problem: another process (uid 101)"), "{one}");
        assert!(other.contains("`ss -ulnp sport = :4784`"), "{other}");

        let at = |interval, why: Option<&str>| {
            let bfd = vec![Bfd { interval: Duration::from_micros(interval), ..rtr() }];
            let known = Known { bfd, bfd_without_priority: why.map(str::to_owned), ..Known::default() };
            found(&Facts { known, ..Facts::default() })
        };
        assert_eq!(at(49_999, None), [""; 0]);
        assert_eq!(at(50_000, Some("not permitted")), [""; 0]);
        let [told] = &at(12_500, Some("not permitted"))[..] else { panic!() };
        assert!(told.starts_with("bfd_real_time rtr Warning: its interval is 12.5 ms"), "{told}");
        assert!(told.contains("real-time.conf") && told.contains("not permitted"), "{told}");
    }
}
