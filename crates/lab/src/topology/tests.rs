use super::*;

const SMALL: &str = "
name: small
topology:
  defaults: { kind: linux, network-mode: none, env: { A: 1, B: far } }
  groups:
    router: { image: 'quay.io/frrouting/frr:8.4.4', sysctls: { net.ipv4.ip_forward: 1 } }
  kinds:
    linux: { image: other, cmd: sleep infinity, env: { B: near } }
  nodes:
    r1:
      group: router
      binds: [configs/r1/frr.conf:/etc/frr/frr.conf:ro, /abs:/there]
    e1:
      sysctls: { net.ipv4.ip_forward: '0' }
      env: { C: own }
      exec: [ip link show, \"sh -c 'a | b'\"]
  links:
    - endpoints: ['r1:eth1', 'e1:eth1']
    - endpoints: ['r1:eth2', 'e1:eth2']
      mtu: 1500
";

fn parse(text: &str) -> Result<Topology, TopologyError> {
    Topology::parse(text, Path::new("/labs/small.clab.yml"))
}

#[test]
fn a_node_is_what_it_says_and_what_its_group_kind_and_defaults_say() {
    let topology = parse(SMALL).unwrap();
    assert_eq!(topology.name, "small");
    let (router, edge) = (&topology.nodes["r1"], &topology.nodes["e1"]);
    assert!(router.is_router() && !edge.is_router());
    assert_eq!(edge.image, "other");
    assert_eq!(edge.cmd.as_deref().unwrap(), ["sleep", "infinity"]);
    assert_eq!(edge.exec, [vec!["ip", "link", "show"], vec!["sh", "-c", "a | b"]]);
    let env: Vec<_> = edge.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(env, ["A=1", "B=near", "C=own"]);
    assert_eq!((&*router.sysctls["net.ipv4.ip_forward"], &*edge.sysctls["net.ipv4.ip_forward"]), ("1", "0"));
    assert_eq!(
        router.binds,
        [
            Bind { source: "/labs/configs/r1/frr.conf".into(), target: "/etc/frr/frr.conf".into(), read_only: true },
            Bind { source: "/abs".into(), target: "/there".into(), read_only: false },
        ]
    );
    assert_eq!(topology.interfaces("e1").collect::<Vec<_>>(), ["eth1", "eth2"]);
    assert_eq!(topology.links.iter().map(|link| link.mtu).collect::<Vec<_>>(), [9500, 1500]);
}

#[test]
fn routers_are_known_by_their_image() {
    let table = [
        ("quay.io/frrouting/frr:8.4.4", true),
        ("frr", true),
        ("localhost:5000/frr@sha256:0", true),
        ("anycastd-lab:latest", false),
        ("frr/other", false),
        ("quay.io/frrouting/frr-tools:1", false),
    ];
    for (image, router) in table {
        let topology = parse(&SMALL.replace("image: other", &format!("image: '{image}'"))).unwrap();
        assert_eq!(topology.nodes["e1"].is_router(), router, "{image}");
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let table = [
        ("name: small", "name: a/b", "name: `a/b` cannot be a name"),
        ("name: small", "name: small\nmgmt: {}", "unknown field `mgmt`"),
        ("image: other", "image: other, ports: ['80:80']", "unknown field `ports`"),
        ("    e1:", "    e1:\n      startup-delay: 3", "unknown field `startup-delay`"),
        ("    e1:", "    r1:", "`r1` stands here twice"),
        ("{ C: own }", "{ C: own, C: again }", "`C` stands here twice"),
        ("group: router", "group: routers", "topology.nodes.r1.group: no group `routers`"),
        ("kind: linux, ", "kind: bridge, ", "topology.nodes.e1.kind: `bridge` is not supported"),
        ("network-mode: none", "network-mode: host", "topology.nodes.e1.network-mode: `host` is not supported"),
        (", network-mode: none", "", "network-mode: `` is not supported: write `none`"),
        ("image: other, ", "", "topology.nodes.e1: it has no `image`"),
        ("cmd: sleep infinity", "cmd: \"sleep 'infinity\"", "topology.nodes.e1.cmd: a quote is not closed"),
        ("[ip link show,", "[ip link show, ' ',", "topology.nodes.e1.exec[1]: there is no word in it"),
        ("'a | b'", "'a | $HOME'", "line 16: `$` is not supported"),
        ("net.ipv4.ip_forward: '0'", "kernel.pid_max: '0'", "sysctls.kernel.pid_max: only settings under `net.`"),
        ("net.ipv4.ip_forward: '0'", "net.ipv4/../x: '0'", "only settings under `net.`"),
        ("/abs:/there", "/abs:/there:z", "topology.nodes.r1.binds[1]: `/abs:/there:z` is not"),
        ("/abs:/there", "/abs", "binds[1]: `/abs` is not"),
        ("/abs:/there", "/abs:there", "does not begin with `/`"),
        ("/abs:/there", "__clabNodeDir__/x:/there", "is not supported; write it out"),
        ("'e1:eth2'", "'e2:eth2'", "topology.links[1]: `e2:eth2`: there is no node `e2`"),
        ("'e1:eth2'", "'e1:eth1'", "topology.links[1]: `e1:eth1` has a link already"),
        ("'e1:eth2'", "'e1'", "`e1` is not `node:interface`"),
        ("'e1:eth2'", "'e1:an-interface-too-long'", "cannot be an interface"),
        ("'e1:eth2'", "'e1:lo'", "cannot be an interface"),
        ("mtu: 1500", "mtu: 100", "topology.links[1].mtu: 100 is not between"),
        ("mtu: 1500", "type: veth", "unknown field `type`"),
    ];
    for (good, bad, words) in table {
        assert!(SMALL.contains(good), "{good}");
        let error = parse(&SMALL.replacen(good, bad, 1)).expect_err(bad).to_string();
        assert!(error.starts_with("/labs/small.clab.yml: ") && error.contains(words), "{bad}: {error}");
    }
}

#[test]
fn what_is_wrong_is_said_once_and_in_few_words() {
    let said = |error: TopologyError| format!("{:#}", anyhow::Error::from(error));
    let long = "x".repeat(100_000);
    // (what is right, what stands in its place, how the message begins, of what else it tells)
    let table = [
        (
            "    e1:",
            format!("    e1:\n      ? {long}\n      : 3"),
            "topology.nodes.e1: unknown field `xx",
            "`exec` at line 1",
        ),
        ("mtu: 1500", format!("mtu: {long}"), "topology.links[1].mtu: invalid type: string", "expected u32 at line 2"),
        ("'e1:eth2'", format!("'e1:{long}'"), "topology.links[1]: `xx", "` cannot be an interface; use"),
        ("    e1:", format!("    ? {long}\n    :"), "topology.nodes.xx", "xx` cannot be a name; use"),
    ];
    for (good, bad, begin, words) in table {
        let message = said(parse(&SMALL.replacen(good, &bad, 1)).expect_err(begin));
        assert!(message.chars().count() < 700, "{} characters", message.chars().count());
        assert!(message.starts_with(&format!("/labs/small.clab.yml: {begin}")), "{message}");
        assert_eq!(message.matches(words).count(), 1, "{message}");
    }
    let message = said(Topology::read(Path::new("/dev/zero")).unwrap_err());
    assert_eq!(message, "cannot read the topology /dev/zero: it is no regular file");
}

#[test]
fn the_labs_own_topology_is_understood_and_its_files_are_there() {
    let topology = Topology::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/topology.clab.yml")).unwrap();
    let routers = topology.nodes.values().filter(|node| node.is_router()).count();
    assert_eq!((topology.nodes.len(), routers, topology.links.len()), (12, 5, 13));
    for bind in topology.nodes.values().flat_map(|node| &node.binds) {
        assert!(bind.source.is_file(), "{}", bind.source.display());
    }
}
