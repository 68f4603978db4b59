use std::{net::SocketAddr, time::Duration};

use super::*;
use crate::doctor::facts::{
    Address, Asked, Clock, File, Flow, Installed, Knock, Known, Owned, Program, Socket, State, Way,
};

fn interface(networks: &[&str]) -> Interface {
    Interface {
        arp: true,
        mtu: Some(1500),
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        rp_filter: Some(0),
        arp_ignore: Some(0),
        arp_announce: Some(0),
        ..Interface::default()
    }
}

fn session() -> Session {
    Session {
        last_error: None,
        name: "rtr".into(),
        address: Some("192.0.2.1".parse().unwrap()),
        port: 179,
        passive: false,
        external: false,
        established: true,
        ever: true,
        came: false,
        remedy: None,
        since: Duration::from_secs(300),
        local: Some("192.0.2.2:40000".parse().unwrap()),
        routes: 2,
        way: Way::default(),
    }
}

fn socket(local: &str, remote: Option<&str>) -> Socket {
    let (local, remote) = (local.parse().unwrap(), remote.map(|text| text.parse().unwrap()));
    Socket { local, remote, ours: false, uid: 101, flow: None }
}

/// Our own connection to the router, at which TCP knows this.
fn goes(facts: &mut Facts, path_mtu: u32, segment: u32, (retransmits, unacknowledged): (u8, u32)) {
    let flow = Some(Flow { path_mtu, segment, retransmits, unacknowledged });
    facts.sockets = vec![Socket { ours: true, flow, ..socket("192.0.2.2:40000", Some("192.0.2.1:179")) }];
}

/// A router that was to connect and did not.
fn awaited(facts: &mut Facts, knock: Option<Knock>) {
    let rtr = rtr(facts);
    (rtr.passive, rtr.established, rtr.ever, rtr.routes, rtr.local) = (true, false, false, 0, None);
    facts.knocks = knock.map(|knock| ("rtr".to_owned(), knock)).into_iter().collect();
}

/// The file with this mode and group, in a directory with that one.
fn owned(facts: &mut Facts, (mode, gid): (u32, u32), directory: u32) {
    let of = |mode, gid| Owned { mode, uid: 0, gid, trusted: true };
    facts.file.as_mut().unwrap().about = Some([of(mode, gid), of(directory, 997)]);
}

/// This is where the agent was started from.
fn installed(facts: &mut Facts, installed: Installed) {
    facts.program = Some(Program { path: "/usr/bin/anycastd".into(), installed });
}

/// A node with nothing wrong.
fn well() -> Facts {
    let address = Address { address: "203.0.113.53".parse().unwrap(), interface: Some("lo".into()), foreign: false };
    let mut loopback = interface(&["127.0.0.1/8", "203.0.113.53/32"]);
    (loopback.loopback, loopback.arp, loopback.mtu) = (true, false, Some(65536));
    Facts {
        known: Known { sessions: vec![session()], addresses: vec![address], ..Known::default() },
        interfaces: [
            ("lo".to_owned(), loopback),
            ("eth1".to_owned(), interface(&["192.0.2.2/24"])),
            ("eth2".to_owned(), interface(&["198.51.100.2/24"])),
        ]
        .into(),
        clock: Some(Clock { synchronised: true }),
        files: Some((1024, 100)),
        capabilities: Some(1 << 12),
        ping_groups: Some((1, 0, 997)),
        first_port: Some(1024),
        mtu_probing: Some(0),
        state: Some(State { fault: None, free: 1 << 30, free_inodes: 1 << 20 }),
        file: Some(File {
            path: "/etc/anycastd/anycastd.yaml".into(),
            about: Some([(0o640, 997), (0o750, 997)].map(|(mode, gid)| Owned { mode, uid: 0, gid, trusted: true })),
            mistakes: Vec::new(),
        }),
        program: Some(Program { path: "/usr/bin/anycastd".into(), installed: Installed::Same }),
        ..Facts::default()
    }
}

fn eth1(facts: &mut Facts) -> &mut Interface {
    facts.interfaces.get_mut("eth1").unwrap()
}

fn rtr(facts: &mut Facts) -> &mut Session {
    &mut facts.known.sessions[0]
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(judge(&well()), []);
    assert_eq!(judge(&Facts::default()), [], "what was not seen is not judged");
}

/// What is changed of a node that is well, what is found then, and a part of the remedy.
#[test]
fn each_fault_is_found() {
    type Change = fn(&mut Facts);
    fn down(it: &mut Facts, error: &str) {
        (it.known.sessions[0].established, it.known.sessions[0].last_error) = (false, Some(error.to_owned()));
    }
    let table: [(Change, &str, &str); 58] = [
        (|it| down(it, "connect: refused"), "no_session rtr Problem", "whether BGP runs"),
        (|it| down(it, "connect: no answer within 10 s"), "no_session rtr Problem", "the same password"),
        (|it| eth1(it).rp_filter = Some(1), "rp_filter eth1 Warning", "net.ipv4.conf.all.rp_filter=2"),
        (|it| eth1(it).rp_filter = Some(2), "", ""),
        (
            |it| {
                eth1(it).rp_filter = Some(1);
                it.interfaces.remove("eth2");
            },
            "",
            "",
        ),
        (
            |it| eth1(it).networks = ["203.0.113.2/24".parse().unwrap()].into(),
            "arp 203.0.113.53 at eth1 Warning",
            "net.ipv4.conf.eth1.arp_ignore=1 net.ipv4.conf.eth1.arp_announce=2",
        ),
        (
            |it| {
                let eth1 = eth1(it);
                eth1.networks = ["203.0.113.2/24".parse().unwrap()].into();
                (eth1.arp_ignore, eth1.arp_announce) = (Some(1), Some(2));
            },
            "",
            "",
        ),
        (|it| eth1(it).mtu = Some(9000), "mtu rtr Note", "ping -4 -M do -s 8972 192.0.2.1"),
        (
            |it| {
                eth1(it).mtu = Some(9000);
                (rtr(it).established, rtr(it).local) = (false, None);
            },
            "mtu rtr Warning",
            "ping -4 -M do -s 8972 192.0.2.1",
        ),
        (
            |it| {
                eth1(it).mtu = Some(9000);
                it.mtu_probing = Some(1);
            },
            "",
            "",
        ),
        (
            |it| it.sockets = vec![socket("192.0.2.2:41000", Some("192.0.2.1:179"))],
            "same_session rtr Problem",
            "ss -tnp dst 192.0.2.1",
        ),
        (
            |it| {
                it.sockets = vec![socket("192.0.2.2:41000", Some("192.0.2.1:179"))];
                it.sockets[0].ours = true;
            },
            "",
            "",
        ),
        (|it| it.sockets = vec![socket("192.0.2.2:41000", Some("192.0.2.77:179"))], "", ""),
        (
            |it| it.sockets = vec![socket("0.0.0.0:179", None)],
            "other_speaker 0.0.0.0:179 Warning",
            "ss -tlnp sport = :179",
        ),
        (
            |it| {
                it.sockets = vec![socket("[::]:179", None)];
                it.known.listen = ["192.0.2.2:179".parse::<SocketAddr>().unwrap()].into();
                it.capabilities = Some(1 << 12 | 1 << 10);
            },
            "other_speaker [::]:179 Problem",
            "",
        ),
        (|it| goes(it, 1500, 1448, (0, 0)), "", ""),
        (|it| goes(it, 1500, 536, (0, 0)), "", ""),
        (
            |it| {
                eth1(it).mtu = Some(9000);
                goes(it, 9000, 8948, (0, 0));
            },
            "mtu rtr Note",
            "-s 8972",
        ),
        (
            |it| {
                eth1(it).mtu = Some(9000);
                goes(it, 9000, 1448, (0, 0));
            },
            "mtu_mismatch rtr Warning",
            "ip link set eth1 mtu 1500",
        ),
        (
            |it| {
                eth1(it).mtu = Some(9000);
                goes(it, 1500, 1448, (0, 0));
            },
            "mtu_mismatch rtr Warning",
            "ip link set eth1 mtu 1500",
        ),
        // Behind a router it is usual that the way takes less, and half a small window says nothing.
        (
            |it| {
                eth1(it).mtu = Some(9000);
                eth1(it).networks = ["192.0.2.2/32".parse().unwrap()].into();
                goes(it, 1500, 1448, (0, 0));
            },
            "",
            "",
        ),
        (
            |it| {
                eth1(it).mtu = Some(9000);
                it.mtu_probing = Some(1);
                goes(it, 9000, 8180, (0, 0));
            },
            "",
            "",
        ),
        (|it| goes(it, 1500, 1448, (5, 4000)), "stalled rtr Warning", "ping -4 -M do -s 1472 192.0.2.1"),
        (|it| goes(it, 1500, 1448, (1, 4000)), "", ""),
        (|it| awaited(it, None), "both_passive rtr Problem", "connect: active"),
        (|it| awaited(it, Some(Knock::Listens)), "both_passive rtr Problem", "that way is open"),
        (|it| awaited(it, Some(Knock::Refuses)), "never_connects rtr Problem", "whether BGP runs"),
        (|it| awaited(it, Some(Knock::Silent)), "never_connects rtr Problem", "ping 192.0.2.1"),
        (
            |it| {
                let rtr = rtr(it);
                (rtr.passive, rtr.established, rtr.ever, rtr.since) = (true, false, false, Duration::from_secs(3));
            },
            "",
            "",
        ),
        // It was here before: away, or changed there meanwhile.
        (
            |it| {
                awaited(it, None);
                rtr(it).ever = true;
            },
            "both_passive rtr Warning",
            "take `passive` away there",
        ),
        (
            |it| {
                awaited(it, None);
                rtr(it).way.signed = true;
            },
            "both_passive rtr Problem",
            "the same password there",
        ),
        // It comes, and nothing comes of it.
        (
            |it| {
                awaited(it, None);
                rtr(it).came = true;
            },
            "",
            "",
        ),
        (
            |it| {
                awaited(it, None);
                rtr(it).came = true;
                (rtr(it).last_error, rtr(it).remedy) = (Some("it says AS 65002".into()), Some("`asn: 65002`".into()));
            },
            "open_refused rtr Problem",
            "`asn: 65002`",
        ),
        (|it| rtr(it).remedy = Some("`asn: 65002`".into()), "", ""),
        (
            |it| {
                let rtr = rtr(it);
                (rtr.established, rtr.ever, rtr.routes) = (false, false, 0);
                it.known.refused = [("dialled_by_us".to_owned(), 4)].into();
            },
            "both_dial rtr Warning",
            "connect: passive",
        ),
        (|it| rtr(it).external = true, "ebgp_policy rtr Note", "show bgp neighbors 192.0.2.2"),
        (
            |it| {
                it.known.addresses[0].foreign = true;
                it.known.addresses[0].interface = Some("dummy0".into());
            },
            "foreign_address 203.0.113.53 Warning",
            "ip address del 203.0.113.53/32 dev dummy0",
        ),
        (
            |it| {
                it.interfaces
                    .get_mut("eth2")
                    .unwrap()
                    .networks
                    .extend(["203.0.113.53/32".parse::<ipnet::IpNet>().unwrap()]);
            },
            "address_twice 203.0.113.53 Warning",
            "ip address del",
        ),
        (
            |it| it.known.asked = vec![Asked { check: "dns/up".into(), target: "198.51.100.99".parse().unwrap() }],
            "remote_check dns/up Warning",
            "scope: shared",
        ),
        (|it| it.known.asked = vec![Asked { check: "dns/up".into(), target: "127.0.0.53".parse().unwrap() }], "", ""),
        (|it| it.clock = Some(Clock { synchronised: false }), "clock clock Warning", "timedatectl"),
        (|it| it.known.clock_set = -3600, "clock_set clock Note", "order anew"),
        (|it| it.known.clock_set = 3, "", ""),
        (
            |it| {
                let mistake =
                    ["anycastd.yaml:7:3", "/etc/anycastd/p can be read by others", "`chmod 640 /etc/anycastd/p`"];
                it.file.as_mut().unwrap().mistakes = vec![mistake.map(str::to_owned)];
            },
            "next_start anycastd.yaml:7:3 Problem",
            "`chmod 640 /etc/anycastd/p`; then `anycastd --check",
        ),
        (
            |it| {
                let mistake =
                    |line| [format!("anycastd.yaml:{line}:3"), "no such key".to_owned(), "remove it".to_owned()];
                it.file.as_mut().unwrap().mistakes = vec![mistake(7), mistake(8), mistake(9)];
            },
            "next_start anycastd.yaml:7:3 Problem",
            "remove it; then `anycastd --check",
        ),
        (
            |it| installed(it, Installed::Other(Ok("anycastd 9.9".into()))),
            "installed_program /usr/bin/anycastd Warning",
            "anycastctl upgrade",
        ),
        (
            |it| installed(it, Installed::Other(Err("does not end".into()))),
            "installed_program /usr/bin/anycastd Problem",
            "--version",
        ),
        (
            |it| installed(it, Installed::Unfit("No such file".into())),
            "installed_program /usr/bin/anycastd Problem",
            "install it again",
        ),
        (|it| owned(it, (0o660, 997), 0o750), "configuration_file /etc/anycastd/anycastd.yaml Warning", "chmod 0640"),
        (|it| owned(it, (0o660, 0), 0o755), "", ""),
        (|it| owned(it, (0o646, 0), 0o750), "", ""),
        (|it| owned(it, (0o640, 0), 0o770), "configuration_file /etc/anycastd/anycastd.yaml Warning", "0750"),
        (|it| owned(it, (0o644, 0), 0o755), "", ""),
        (
            |it| {
                it.known.secrets = true;
                owned(it, (0o644, 0), 0o755);
            },
            "configuration_file /etc/anycastd/anycastd.yaml Warning",
            "new passwords",
        ),
        (|it| it.files = Some((1024, 5000)), "limits LimitNOFILE Warning", "LimitNOFILE=5000"),
        (|it| it.capabilities = Some(0), "capability CAP_NET_ADMIN Problem", "AmbientCapabilities=CAP_NET_ADMIN"),
        (
            |it| it.known.listen = ["192.0.2.2:179".parse::<SocketAddr>().unwrap()].into(),
            "capability CAP_NET_BIND_SERVICE Problem",
            "drop-in bind.conf gives it",
        ),
        (|it| it.known.echoes = true, "ping_group_range net.ipv4.ping_group_range Problem", "\"997 997\""),
    ];
    for (change, expected, remedy) in table {
        let mut facts = well();
        change(&mut facts);
        let found = judge(&facts);
        let told: Vec<String> = found.iter().map(|it| format!("{} {} {:?}", it.id, it.subject, it.severity)).collect();
        assert_eq!(told.join(", "), expected);
        assert!(found.iter().all(|it| it.remedy.contains(remedy)), "{remedy}: {found:#?}");
    }
}

#[test]
fn a_state_directory_that_takes_nothing_is_a_problem() {
    let mut facts = well();
    let mut with = |state: State| {
        facts.state = Some(state);
        judge(&facts).first().map(|it| (it.severity, it.seen.clone()))
    };
    let fault = Some("Read-only file system (os error 30)".to_owned());
    let told = with(State { fault, free: 1 << 30, free_inodes: 9999 }).unwrap();
    assert!(told.0 == Severity::Problem && told.1.contains("Read-only file system"), "{told:?}");
    assert_eq!(with(State { fault: None, free: 4096, free_inodes: 9999 }).unwrap().0, Severity::Warning);
    assert_eq!(with(State { fault: None, free: 1 << 30, free_inodes: 0 }).unwrap().0, Severity::Warning);
}
