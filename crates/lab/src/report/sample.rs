//! A report that nobody measured, for tests: of the shape and about the size of a real one.

use super::data::{Event, Failure, Kind, Method, Program, Report, Run, Steering};

/// A method without runs.
pub(super) fn method(id: &str) -> Method {
    Method {
        id: id.to_owned(),
        title: format!("Method {id}"),
        meaning: format!("What {id} means."),
        steering: Steering::Anycast,
        failure: Failure::ServiceKilled,
        routers: None,
        ttl: None,
        computed_from: None,
        runs: Vec::new(),
    }
}

/// All kinds of methods, each with 30 runs.
pub(super) fn report() -> Report {
    let mut methods = vec![round_robin()];
    methods.extend([5, 30, 60, 300].map(switched));
    for routers in ["FRR", "BIRD"] {
        methods.extend(anycast(routers));
    }
    Report {
        version: 1,
        made: "2026-11-27T15:30:00Z".to_owned(),
        machine: "2 × a processor of nobody, Linux 6.18, load 0.40 0.52 0.61".to_owned(),
        quick: false,
        programs: [
            ("anycastd", "0.1.0"),
            ("frr", "8.4.4"),
            ("bird2", "2.0.12"),
            ("pdns-server", "4.7.3"),
            ("unbound", "1.17.1"),
        ]
        .map(|(name, version)| Program { name: name.to_owned(), version: version.to_owned() })
        .to_vec(),
        methods,
    }
}

/// From 0 to 1, always the same for the same run.
fn chance(run: u64, salt: u64) -> f64 {
    let mixed = (run * 31 + salt * 1009 + 7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as f64 / (1_u64 << 24) as f64
}

fn runs(of: impl Fn(u64) -> Run) -> Vec<Run> {
    (0..30).map(of).collect()
}

fn event(at_ms: f64, kind: Kind, node: &str, text: &str) -> Event {
    Event { at_ms, kind, node: node.to_owned(), text: text.to_owned() }
}

fn round_robin() -> Method {
    let run = |run| {
        let first = 20.0 + 180.0 * chance(run, 1);
        Run {
            requests: 18_000,
            lost: 5_800 + (400.0 * chance(run, 2)) as u64,
            first_good_ms: Some(first),
            recovered_ms: None,
            watched_ms: 90_000.0,
            events: vec![
                event(-4.0, Kind::Good, "us-client", "the last good answer from us-edge1"),
                event(0.0, Kind::Failure, "us-edge1", "the service is killed"),
                event(6.0, Kind::Lost, "us-client", "the first request is lost"),
                event(first, Kind::Good, "us-client", "the first good answer, from eu-edge1"),
            ],
        }
    };
    Method {
        title: "Round robin, nobody edits the zone".to_owned(),
        meaning:
            "Every client gets the addresses of all nodes, and takes one of them. Nothing is done about the failure."
                .to_owned(),
        steering: Steering::RoundRobin,
        runs: runs(run),
        ..method("dns-round-robin")
    }
}

fn switched(ttl: u32) -> Method {
    let run = |run| {
        let ttl = f64::from(ttl) * 1e3;
        let noticed = 1_000.0 + 2_000.0 * chance(run, 3);
        let expired = noticed + ttl * chance(run, u64::from(5_u8));
        Run {
            requests: 36_000,
            lost: (expired / 5.0) as u64,
            first_good_ms: Some(expired + 12.0),
            recovered_ms: Some(expired),
            watched_ms: 2.0 * ttl + 30_000.0,
            events: vec![
                event(-4.0, Kind::Good, "us-client", "the last good answer from us-edge1"),
                event(0.0, Kind::Failure, "us-edge1", "the service is killed"),
                event(5.5, Kind::Lost, "us-client", "the first request is lost"),
                event(noticed, Kind::Name, "ns", "answers without 198.51.100.11"),
                event(expired - 4.0, Kind::Packet, "us-resolver", "asks the name server again"),
                event(expired, Kind::Lost, "us-client", "the last request is lost"),
                event(expired + 2.0, Kind::Name, "us-resolver", "answers 198.51.100.21"),
                event(expired + 12.0, Kind::Good, "us-client", "the first good answer, from eu-edge1"),
            ],
        }
    };
    Method {
        title: format!("Switched, TTL {ttl} s"),
        meaning: format!("A health check of the name server takes the address out; answers may be kept for {ttl} s."),
        steering: Steering::SwitchedDns,
        ttl: Some(ttl),
        computed_from: (ttl == 300).then(|| "dns-ttl-60".to_owned()),
        runs: runs(run),
        ..method(&format!("dns-ttl-{ttl}"))
    }
}

/// Through such routers: what is done, the shortest time and how much longer it may take, whether requests are lost.
fn anycast(routers: &str) -> Vec<Method> {
    let ways = [
        ("listener", "withdraw by kernel hint", Failure::ServiceKilled, 22.0, 25.0),
        ("poll", "withdraw by polling at defaults", Failure::ServiceKilled, 2_020.0, 1_000.0),
        ("agent", "agent killed", Failure::AgentKilled, 9.0, 8.0),
        ("bfd", "node frozen, BFD 3 × 50 ms", Failure::NodeFrozen, 130.0, 60.0),
        ("hold", "node frozen, hold time 9 s only", Failure::NodeFrozen, 6_400.0, 2_700.0),
        ("drain", "planned drain", Failure::Drained, 0.0, 3.0),
    ];
    ways.map(|(id, title, failure, least, more)| {
        let shift = if routers == "BIRD" { 1.3 } else { 1.0 };
        let run = |run| travel(routers, failure, shift * (least + more * chance(run, id.len() as u64)));
        Method {
            title: format!("{}, {routers}", title[..1].to_uppercase() + &title[1..]),
            meaning: format!("The address is announced by every node; {title}."),
            failure,
            routers: Some(routers.to_owned()),
            runs: runs(run),
            ..method(&format!("anycast-{id}-{}", routers.to_lowercase()))
        }
    })
    .to_vec()
}

fn travel(routers: &str, failure: Failure, moved: f64) -> Run {
    let drained = failure == Failure::Drained;
    let mut events = vec![
        event(-3.0, Kind::Good, "us-client", "the last good answer from us-edge1"),
        event(0.0, Kind::Failure, "us-edge1", if drained { "the node is drained" } else { "the service is killed" }),
        event(moved * 0.5, Kind::Word, "us-edge1", "check “accepts” fails"),
        event(moved * 0.55, Kind::Packet, "us-edge1", "UPDATE withdraws 203.0.113.0/24"),
        event(moved * 0.8, Kind::Route, "us-rtr", &format!("{routers} has another route for 203.0.113.0/24")),
        event(moved, Kind::Good, "us-client", "the first good answer, from eu-edge1"),
    ];
    if !drained {
        events.insert(2, event(2.0, Kind::Lost, "us-client", "the first request is lost"));
        events.insert(6, event(moved * 0.9, Kind::Lost, "us-client", "the last request is lost"));
    }
    Run {
        requests: 4_000,
        lost: if drained { 0 } else { (moved / 5.0) as u64 },
        first_good_ms: Some(moved),
        recovered_ms: Some(if drained { 0.0 } else { moved * 0.9 }),
        watched_ms: 20_000.0,
        events,
    }
}
