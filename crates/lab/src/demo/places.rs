//! What the demonstration knows of the topology: names, and who should serve whom.

use anyhow::ensure;
use serde::Serialize;

use crate::topology::Topology;

/// A region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Region {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) client: &'static str,
    pub(super) router: &'static str,
    pub(super) edges: &'static [&'static str],
}

/// Virginia.
pub(super) const US: Region =
    Region { name: "us-east-1", place: "Virginia", client: "us-client", router: "us-rtr", edges: &["us-edge1"] };
/// Ireland.
pub(super) const EU: Region =
    Region { name: "eu-west-1", place: "Ireland", client: "eu-client", router: "eu-rtr", edges: &["eu-edge1"] };
/// Singapore, which has two edge nodes.
pub(super) const AP: Region = Region {
    name: "ap-southeast-1",
    place: "Singapore",
    client: "ap-client",
    router: "ap-rtr",
    edges: &["ap-edge1", "ap-edge2"],
};
/// All of them.
pub(super) const REGIONS: [Region; 3] = [US, EU, AP];

/// The anycast addresses.
pub(super) const TARGETS: [&str; 2] = ["203.0.113.80", "2001:db8:53::80"];
/// The prefixes they are announced in.
pub(super) const PREFIXES: [&str; 2] = ["203.0.113.0/24", "2001:db8:53::/48"];

/// All edge nodes but those.
pub(super) fn edges_without(gone: &[&str]) -> Vec<&'static str> {
    let all = REGIONS.iter().flat_map(|region| region.edges.iter().copied());
    all.filter(|edge| !gone.contains(edge)).collect()
}

/// Refuses a topology without the nodes that are talked about.
pub(super) fn check(topology: &Topology) -> anyhow::Result<()> {
    for region in REGIONS {
        for node in [region.client, region.router].iter().chain(region.edges) {
            let file = topology.file.display();
            ensure!(topology.nodes.contains_key(*node), "{file} has no node {node}, which the demonstration needs");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::repository;

    #[test]
    fn the_topology_of_the_repository_will_do() {
        let topology = Topology::read(&repository().join("lab/topology.clab.yml")).unwrap();
        check(&topology).unwrap();
        assert_eq!(edges_without(&["ap-edge1", "eu-edge1"]), ["us-edge1", "ap-edge2"]);
    }
}
