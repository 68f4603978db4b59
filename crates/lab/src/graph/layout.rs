//! Where the boxes are: nodes above their router, routers side by side, transits below them.

use std::collections::BTreeMap;

use super::{
    LINE,
    facts::{self, Facts, Kind},
};
use crate::topology::{Endpoint, Link, Topology};

/// Between boxes of a row.
const GAP: f64 = 26.0;
/// Between a router with its nodes and the next one.
const APART: f64 = 44.0;
/// Between rows, for the lines and the names of interfaces.
const BETWEEN: f64 = 84.0;
/// Of a character of the facts, a little more than it needs.
const CHARACTER: f64 = 6.7;
const LEAST: f64 = 124.0;

/// A box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Place {
    fn middle(&self) -> f64 {
        self.x + self.width / 2.0
    }
}

/// All boxes.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) places: BTreeMap<&'a str, Place>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// The links at the upper and at the lower edge of a node, from left to right.
    ports: BTreeMap<(&'a str, bool), Vec<usize>>,
}

impl<'a> Layout<'a> {
    /// Of these nodes.
    pub(super) fn of(topology: &'a Topology, facts: &BTreeMap<String, Facts>) -> Self {
        let rows = Rows::of(topology, facts);
        let size = |name: &str| size(name, &facts[name]);
        let mut places = BTreeMap::new();
        let mut left = 0.0;
        for (router, leaves) in &rows.groups {
            let widths: f64 = leaves.iter().map(|leaf| size(leaf).0 + GAP).sum::<f64>() - GAP;
            let width = router.map_or(0.0, |router| size(router).0).max(widths);
            let mut x = left + (width - widths) / 2.0;
            for leaf in leaves {
                places.insert(*leaf, x);
                x += size(leaf).0 + GAP;
            }
            if let Some(router) = router {
                places.insert(*router, left + (width - size(router).0) / 2.0);
            }
            left += width + APART;
        }
        let below: f64 = rows.transits.iter().map(|transit| size(transit).0 + APART).sum::<f64>() - APART;
        let width = (left - APART).max(below);
        let mut x = (width - below) / 2.0;
        for transit in &rows.transits {
            places.insert(*transit, x);
            x += size(transit).0 + APART;
        }
        let tallest = |names: Vec<&str>| names.iter().map(|name| size(name).1).fold(0.0, f64::max);
        let leaves = tallest(rows.groups.iter().flat_map(|(_, leaves)| leaves.iter().copied()).collect());
        let routers = tallest(rows.groups.iter().filter_map(|(router, _)| *router).collect());
        let second = if leaves > 0.0 { leaves + BETWEEN } else { 0.0 };
        let third = if routers > 0.0 { second + routers + BETWEEN } else { second };
        let place = |(name, x): (&'a str, f64)| {
            let (width, height) = size(name);
            // The nodes above stand on one line, so that their cables are as long.
            let y = match facts[name].kind {
                Kind::Edge | Kind::Host => leaves - height,
                Kind::Router => second,
                Kind::Transit => third,
            };
            (name, Place { x, y, width, height })
        };
        let places: BTreeMap<_, _> = places.into_iter().map(place).collect();
        let height = places.values().map(|place| place.y + place.height).fold(0.0, f64::max);
        let mut layout = Self { places, width, height, ports: BTreeMap::new() };
        layout.connect(topology);
        layout
    }

    /// Gives every link its place at the edges of its boxes, so that none crosses another near them.
    fn connect(&mut self, topology: &'a Topology) {
        let mut ports: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, link) in topology.links.iter().enumerate().filter(|(_, link)| !self.is_sideways(link)) {
            let [a, b] = &link.ends;
            let above = self.places[&*a.node].y < self.places[&*b.node].y;
            ports.entry((&*a.node, !above)).or_default().push(index);
            ports.entry((&*b.node, above)).or_default().push(index);
        }
        let places = &self.places;
        for ((node, _), links) in &mut ports {
            let far = |index: &usize| {
                let other = topology.links[*index].ends.iter().find(|end| end.node != *node);
                other.map_or(0.0, |end| places[&*end.node].middle())
            };
            links.sort_by(|a, b| far(a).total_cmp(&far(b)));
        }
        self.ports = ports;
    }

    /// Whether both ends are in one row.
    pub(super) fn is_sideways(&self, link: &Link) -> bool {
        let foot = |end: &Endpoint| self.places.get(&*end.node).map(|place| (place.y, place.y + place.height));
        let [Some(a), Some(b)] = [foot(&link.ends[0]), foot(&link.ends[1])] else { return false };
        a.0 < b.1 && b.0 < a.1
    }

    /// Where a link begins and ends.
    pub(super) fn ends(&self, index: usize, link: &Link) -> Option<[(f64, f64); 2]> {
        let [a, b] = [self.places.get(&*link.ends[0].node)?, self.places.get(&*link.ends[1].node)?];
        if self.is_sideways(link) {
            let y = a.y.max(b.y) + 26.0 + 18.0 * (index % 4) as f64;
            let (left, right) = if a.x < b.x { (a, b) } else { (b, a) };
            let ends = [(left.x + left.width, y), (right.x, y)];
            return Some(if a.x < b.x { ends } else { [ends[1], ends[0]] });
        }
        let end = |name: &str, place: &Place, upper: bool| {
            let ports = self.ports.get(&(name, upper))?;
            let at = ports.iter().position(|other| *other == index)? as f64;
            let x = place.x + place.width * (at + 1.0) / (ports.len() + 1) as f64;
            Some((x, if upper { place.y } else { place.y + place.height }))
        };
        let above = a.y < b.y;
        Some([end(&link.ends[0].node, a, !above)?, end(&link.ends[1].node, b, above)?])
    }
}

/// As wide as its longest line.
fn size(name: &str, facts: &Facts) -> (f64, f64) {
    let lines = facts.lines();
    let longest = lines.iter().map(|line| line.chars().count() as f64 * CHARACTER).fold(0.0, f64::max);
    let width = longest.max(name.chars().count() as f64 * 9.0).max(LEAST - 28.0) + 28.0;
    (width.ceil(), 34.0 + LINE * lines.len() as f64)
}

/// What is above what.
#[derive(Debug)]
struct Rows<'a> {
    /// Routers in the order in which links name them, each with the nodes above it.
    groups: Vec<(Option<&'a str>, Vec<&'a str>)>,
    transits: Vec<&'a str>,
}

impl<'a> Rows<'a> {
    fn of(topology: &'a Topology, facts: &BTreeMap<String, Facts>) -> Self {
        let kind = |name: &str| facts[name].kind;
        let mut order: Vec<&str> = Vec::new();
        let linked = topology.links.iter().flat_map(|link| &link.ends).map(|end| &*end.node);
        for name in linked.chain(topology.nodes.keys().map(String::as_str)) {
            if !order.contains(&name) {
                order.push(name);
            }
        }
        let is = |wanted: Kind| order.iter().copied().filter(move |name| facts[*name].kind == wanted);
        let mut groups: Vec<(Option<&str>, Vec<&str>)> =
            is(Kind::Router).map(|router| (Some(router), Vec::new())).collect();
        let mut alone = Vec::new();
        for leaf in order.iter().copied().filter(|name| matches!(kind(name), Kind::Edge | Kind::Host)) {
            let mut routers = facts::neighbors(topology, leaf).filter(|other| kind(other) == Kind::Router);
            let router = routers.next();
            match groups.iter_mut().find(|(other, _)| router.is_some() && *other == router) {
                Some((_, leaves)) => leaves.push(leaf),
                None => alone.push(leaf),
            }
        }
        if !alone.is_empty() {
            groups.push((None, alone));
        }
        Self { groups, transits: is(Kind::Transit).collect() }
    }
}
