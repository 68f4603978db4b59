use std::path::Path;

use super::*;
use crate::{graph::tests::FILES, programs::repository};

/// Steps along a line.
const STEPS: usize = 400;

/// A topology of nodes by name, with a router's image for those that begin with `r`, and links between them.
fn made(nodes: &[&str], links: &[(&str, &str)]) -> Topology {
    let mut taken = BTreeMap::<&str, usize>::new();
    let mut end = |node| {
        let next = taken.entry(node).or_default();
        *next += 1;
        format!("{node}:eth{next}")
    };
    let ends: Vec<_> = links.iter().map(|(a, b)| [end(*a), end(*b)]).collect();
    let orders = |node: &str| {
        let own = ends.iter().flatten().filter_map(|end| end.strip_prefix(node)?.strip_prefix(':'));
        own.map(|interface| format!("ip address add 192.0.2.1/24 dev {interface}")).collect::<Vec<_>>()
    };
    let image = |node: &str| if node.starts_with('r') { "frr" } else { "other" };
    let written = |node: &&str| ((*node).to_owned(), serde_json::json!({"image": image(node), "exec": orders(node)}));
    let file = serde_json::json!({
        "name": "made",
        "topology": {
            "defaults": {"kind": "linux", "network-mode": "none"},
            "nodes": nodes.iter().map(written).collect::<serde_json::Map<_, _>>(),
            "links": ends.iter().map(|ends| serde_json::json!({"endpoints": ends})).collect::<Vec<_>>(),
        },
    });
    Topology::parse(&file.to_string(), Path::new("/made.clab.yml")).unwrap()
}

/// Those of the repository, and shapes that they do not have.
fn all() -> Vec<(String, Topology)> {
    let kept = FILES.iter().map(|file| ((*file).to_owned(), Topology::read(&repository().join(file)).unwrap()));
    let shapes = [
        (
            "a ring of transits",
            made(&["r1", "r2", "r3", "r4"], &[("r1", "r2"), ("r2", "r3"), ("r3", "r4"), ("r4", "r1")]),
        ),
        (
            "a router past another",
            made(
                &["a", "b", "c", "r1", "r2", "r3"],
                &[("r1", "a"), ("r2", "b"), ("r3", "c"), ("r1", "r2"), ("r1", "r3"), ("r2", "r3"), ("r1", "r3")],
            ),
        ),
        ("a node past another", made(&["a", "b", "c"], &[("a", "b"), ("b", "c"), ("a", "c")])),
        (
            "nodes behind a node",
            made(&["a", "b", "c", "d", "r"], &[("r", "a"), ("r", "b"), ("a", "c"), ("c", "d"), ("a", "d")]),
        ),
        (
            "a high router beside a low one",
            made(
                &["a", "b", "r1", "r2", "rx", "ry", "rz"],
                &[
                    ("r1", "a"),
                    ("r2", "b"),
                    ("r1", "rx"),
                    ("r1", "ry"),
                    ("r1", "rz"),
                    ("r1", "rx"),
                    ("r1", "ry"),
                    ("r1", "rz"),
                    ("r2", "rx"),
                    ("r2", "ry"),
                    ("r2", "rz"),
                    ("r1", "rx"),
                    ("r1", "ry"),
                    ("r1", "rz"),
                ],
            ),
        ),
        (
            "two homes",
            made(
                &["a", "b", "c", "r1", "r2", "r3"],
                &[("r1", "a"), ("r2", "b"), ("r3", "c"), ("r3", "a"), ("r1", "c")],
            ),
        ),
        ("many lines between two", made(&["a", "b"], &[("a", "b"); 9])),
        ("a node that is connected to itself", made(&["a", "r"], &[("a", "a"), ("a", "r"), ("r", "r")])),
        ("nodes without links", made(&["a", "b", "r"], &[])),
    ];
    kept.chain(shapes.map(|(name, topology)| (name.to_owned(), topology))).collect()
}

/// Where a line is, step by step, its ends apart.
fn along(route: &Route) -> Vec<(f64, f64)> {
    let [a, b] = &route.ends;
    let mix = |from: f64, to: f64, t: f64| from * (1.0 - t) + to * t;
    let steps = (1..STEPS).map(|step| step as f64 / STEPS as f64);
    let Some(bend) = route.bend else {
        return steps.map(|t| (mix(a.x, b.x, t), mix(a.y, b.y, t))).collect();
    };
    steps
        .flat_map(|t| {
            let weights = [(1.0 - t).powi(3), 3.0 * (1.0 - t).powi(2) * t, 3.0 * (1.0 - t) * t.powi(2), t.powi(3)];
            let sum = |of: [f64; 4]| weights.iter().zip(of).map(|(weight, at)| weight * at).sum::<f64>();
            let curve = (sum([a.x, a.x, b.x, b.x]), sum([a.clear, bend, bend, b.clear]));
            [curve, (a.x, mix(a.y, a.clear, t)), (b.x, mix(b.y, b.clear, t))]
        })
        .collect()
}

#[test]
fn no_line_runs_behind_a_box_or_out_of_the_drawing() {
    for (name, topology) in all() {
        let layout = Layout::of(&topology, &facts::of(&topology));
        for (link, route) in topology.links.iter().zip(&layout.routes) {
            for (x, y) in along(route) {
                let is_behind = |place: &&Place| {
                    let inside = |at: f64, begin: f64, size: f64| at > begin + 0.5 && at < begin + size - 0.5;
                    inside(x, place.x, place.width) && inside(y, place.y, place.height)
                };
                assert_eq!(layout.places.values().find(is_behind), None, "{name}: {link:?}: {x} {y}");
                let inside = (0.0..=layout.width).contains(&x) && (-0.5..=layout.height + 0.5).contains(&y);
                assert!(inside, "{name}: {link:?}: {x} {y} is not in {} {}", layout.width, layout.height);
            }
        }
    }
}

#[test]
fn every_line_is_one_of_its_own() {
    for (name, topology) in all() {
        let routes = Layout::of(&topology, &facts::of(&topology)).routes;
        for (index, route) in routes.iter().enumerate() {
            assert!(!routes[..index].contains(route), "{name}: {route:?}");
        }
    }
}

#[test]
fn boxes_do_not_overlap_and_names_between_them_have_room() {
    for (name, topology) in all() {
        let layout = Layout::of(&topology, &facts::of(&topology));
        assert_eq!(layout.places.len(), topology.nodes.len(), "{name}");
        let places: Vec<_> = layout.places.iter().collect();
        for (index, (node, a)) in places.iter().enumerate() {
            for (other, b) in &places[..index] {
                let beside = a.x + a.width < b.x || b.x + b.width < a.x;
                let apart = a.y + a.height < b.y || b.y + b.height < a.y;
                assert!(beside || apart, "{name}: {node} and {other}: {a:?} {b:?}");
            }
        }
        for (link, route) in topology.links.iter().zip(&layout.routes).filter(|(_, route)| route.bend.is_none()) {
            let letters: usize = link.ends.iter().map(|end| end.interface.chars().count()).sum();
            let room = (route.ends[0].x - route.ends[1].x).abs();
            assert!(room > letters as f64 * CHARACTER + 10.0, "{name}: {link:?}: {room}");
        }
    }
}

#[test]
fn what_is_behind_a_node_stands_beside_it() {
    let topology = Topology::read(&repository().join("lab/bfd.clab.yml")).unwrap();
    let places = Layout::of(&topology, &facts::of(&topology)).places;
    let mut above = ["client", "far", "near", "peers"];
    above.sort_by(|a, b| places[a].x.total_cmp(&places[b].x));
    assert_eq!(above, ["near", "peers", "client", "far"]);
}
