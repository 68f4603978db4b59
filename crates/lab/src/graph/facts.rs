//! What the files of a topology tell of its nodes. A file that says nothing of what is looked for is no fault: the drawing has less then.

use std::{collections::BTreeMap, path::Path};

use serde_yaml::Value;

use crate::{
    input,
    topology::{Node, Topology},
};

/// Where a node has the agent's configuration.
const AGENT: &str = "/etc/anycastd/anycastd.yaml";

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It runs the agent.
    Edge,
    /// It runs FRR or BIRD, and something that is no router is connected to it.
    Router,
    /// It runs FRR or BIRD, and only routers are connected to it.
    Transit,
    /// Anything else.
    Host,
}

impl Kind {
    /// Of its box.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Router => "router",
            Self::Transit => "transit",
            Self::Host => "host",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Edge => "edge node",
            Self::Router => "router",
            Self::Transit => "transit",
            Self::Host => "host",
        }
    }
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    /// Its AS number.
    asn: Option<String>,
    /// What it announces while its service is well.
    prefixes: Vec<String>,
    /// The addresses of its interfaces, in the order of the links.
    addresses: Vec<(String, Vec<String>)>,
}

impl Facts {
    /// As a box tells it.
    pub(super) fn lines(&self) -> Vec<String> {
        let asn = self.asn.as_ref().map(|asn| format!(" · AS{asn}")).unwrap_or_default();
        let mut lines = vec![format!("{}{asn}", self.kind.title())];
        lines.extend(self.prefixes.iter().map(|prefix| format!("▲ {prefix}")));
        let several = self.addresses.len() > 1;
        for (interface, addresses) in self.addresses.iter().filter(|(_, addresses)| !addresses.is_empty()) {
            if several {
                lines.push(format!("{interface:<9}{}", addresses.join("  ")));
            } else {
                lines.extend(addresses.iter().cloned());
            }
        }
        lines
    }
}

/// Of every node.
pub(super) fn of(topology: &Topology) -> BTreeMap<String, Facts> {
    let facts = |(name, node): (&String, &Node)| {
        let frr = bound(node, "/etc/frr/frr.conf").unwrap_or_default();
        let bird = bound(node, "/etc/bird/bird.conf").unwrap_or_default();
        let agent = bound(node, AGENT);
        let agent_yaml = agent.as_deref().and_then(|text| serde_yaml::from_str(text).ok()).unwrap_or(Value::Null);
        let addresses = topology.interfaces(name).map(|interface| {
            (interface.to_owned(), configured(&frr, interface).chain(ordered(node, interface)).collect())
        });
        let facts = Facts {
            kind: kind(topology, name, node),
            asn: router_as(&frr).or_else(|| local_as(&bird)).or_else(|| asn(&agent_yaml["bgp"]["asn"])),
            prefixes: prefixes(&agent_yaml),
            addresses: addresses.collect(),
        };
        (name.clone(), facts)
    };
    topology.nodes.iter().map(facts).collect()
}

fn kind(topology: &Topology, name: &str, node: &Node) -> Kind {
    if is_edge(node) {
        return Kind::Edge;
    }
    if !is_router(node) {
        return Kind::Host;
    }
    let routes = |other: &str| topology.nodes.get(other).is_some_and(is_router);
    let mut others = neighbors(topology, name).peekable();
    if others.peek().is_some() && others.all(routes) { Kind::Transit } else { Kind::Router }
}

fn is_edge(node: &Node) -> bool {
    node.runs("anycastd") || node.binds.iter().any(|bind| bind.target == Path::new(AGENT))
}

fn is_router(node: &Node) -> bool {
    !is_edge(node) && (node.is_router() || node.runs("bird"))
}

/// The nodes at the other ends of a node's links.
pub(super) fn neighbors<'a>(topology: &'a Topology, name: &'a str) -> impl Iterator<Item = &'a str> {
    topology.links.iter().filter_map(move |link| match &link.ends {
        [a, b] if a.node == name => Some(b.node.as_str()),
        [a, b] if b.node == name => Some(a.node.as_str()),
        _ => None,
    })
}

/// The text of a file that a node sees there.
fn bound(node: &Node, target: &str) -> Option<String> {
    let bind = node.binds.iter().find(|bind| bind.target == Path::new(target))?;
    input::read(&bind.source).ok()
}

fn router_as(frr: &str) -> Option<String> {
    let asn = frr.lines().find_map(|line| line.strip_prefix("router bgp "))?;
    asn.split_whitespace().next().map(str::to_owned)
}

/// The first AS number that BIRD has as its own: `local as 65001;`, with an address before `as` or without.
fn local_as(bird: &str) -> Option<String> {
    let own = bird.lines().filter_map(|line| line.trim().strip_prefix("local ")).find_map(|rest| {
        let mut words = rest.split([' ', '\t', ';']).filter(|word| !word.is_empty());
        words.find(|word| *word == "as")?;
        words.next()
    })?;
    own.bytes().all(|byte| byte.is_ascii_digit()).then(|| own.to_owned())
}

fn asn(value: &Value) -> Option<String> {
    value.as_u64().map(|asn| asn.to_string()).or_else(|| value.as_str().map(str::to_owned))
}

fn prefixes(agent: &Value) -> Vec<String> {
    let services = agent["services"].as_sequence().into_iter().flatten();
    let prefixes = services.flat_map(|service| service["prefixes"].as_sequence().into_iter().flatten());
    let mut found: Vec<String> = Vec::new();
    for prefix in prefixes.filter_map(Value::as_str) {
        if !found.iter().any(|other| other == prefix) {
            found.push(prefix.to_owned());
        }
    }
    found
}

/// The addresses that FRR's file gives an interface.
fn configured<'a>(frr: &'a str, interface: &'a str) -> impl Iterator<Item = String> + 'a {
    let mut inside = false;
    frr.lines().filter_map(move |line| {
        if !line.starts_with(' ') {
            inside = line.strip_prefix("interface ").is_some_and(|name| name.trim() == interface);
        }
        let line = line.trim();
        let address = line.strip_prefix("ip address ").or_else(|| line.strip_prefix("ipv6 address "))?;
        inside.then(|| address.to_owned())
    })
}

/// The addresses that `ip address add ADDRESS dev INTERFACE` gives it.
fn ordered<'a>(node: &'a Node, interface: &'a str) -> impl Iterator<Item = String> + 'a {
    node.exec.iter().filter_map(move |command| {
        let words: Vec<_> = command.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
        match words[..] {
            ["ip", "address" | "addr" | "a", "add", address, "dev", name, ..] if name == interface => {
                Some(address.to_owned())
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::repository;

    #[test]
    fn an_interface_has_the_addresses_of_its_own_block() {
        let frr = "interface a\n ip address 192.0.2.1/30\n ipv6 address 2001:db8::1/64\nexit\n!\ninterface ab\n ip address 192.0.2.5/30\nexit\n\
                   router bgp 65001 vrf x\n neighbor 192.0.2.9 remote-as 1\n";
        assert_eq!(configured(frr, "a").collect::<Vec<_>>(), ["192.0.2.1/30", "2001:db8::1/64"]);
        assert_eq!(router_as(frr).as_deref(), Some("65001"));
        assert_eq!(router_as("log stdout"), None);
    }

    #[test]
    fn the_as_of_bird_is_its_own_and_no_neighbors() {
        // (a file, what it tells)
        let table = [
            ("protocol bgp a {\n  neighbor 192.0.2.2 as 65010;\n  local as 65101;\n}\n", Some("65101")),
            ("protocol bgp a {\n\tlocal 192.0.2.1 as 65101 ;\n}\n", Some("65101")),
            ("  local port 1790 as 65101;\n  local as 65102;", Some("65101")),
            ("# local as 65101;\n", None),
            ("local as OWN;", None),
            ("local role peer;", None),
            ("", None),
        ];
        for (file, own) in table {
            assert_eq!(local_as(file).as_deref(), own, "{file}");
        }
    }

    #[test]
    fn what_runs_bird_is_a_router() {
        let facts = of(&Topology::read(&repository().join("lab/report-bird.clab.yml")).unwrap());
        let told = |name: &str| facts[name].lines()[0].clone();
        assert_eq!(
            ["us-rtr", "transit", "eu-rtr", "us-client"].map(told),
            ["router · AS65101", "transit · AS65001", "router · AS65102", "host"]
        );
    }

    #[test]
    fn what_is_no_configuration_tells_nothing() {
        assert_eq!((prefixes(&Value::Null), asn(&Value::Null)), (Vec::new(), None));
        let agent: Value =
            serde_yaml::from_str("services: [{prefixes: [192.0.2.0/24, 7]}, {prefixes: 192.0.2.0/24}, 3]").unwrap();
        assert_eq!(prefixes(&agent), ["192.0.2.0/24"]);
    }
}
