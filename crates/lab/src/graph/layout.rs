//! Where the boxes and the lines are: nodes above their router, routers side by side, transits below them. No line runs behind a box.

use std::collections::BTreeMap;

use super::{
    LINE,
    facts::{self, Facts, Kind},
};
use crate::topology::{Link, Topology};

/// Between boxes of a row.
const GAP: f64 = 26.0;
/// Between a router with its nodes and the next one.
const APART: f64 = 44.0;
/// Between rows, for the lines and the names of interfaces.
const BETWEEN: f64 = 84.0;
/// Beside a row for lines around its boxes, where no other row is.
const AROUND: f64 = 62.0;
/// Of a character of the facts, a little more than it needs.
const CHARACTER: f64 = 6.7;
/// Between the names of two interfaces and around them, where a line joins boxes that stand side by side.
const SPACES: f64 = 28.0;
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

/// An edge of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

/// Where a line ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Of its box.
    pub(super) side: Side,
    /// Until this height the line goes straight up or down: there the highest box of the row ends.
    pub(super) clear: f64,
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Route {
    /// In the order of the link's.
    pub(super) ends: [End; 2],
    /// The height towards which it bends between them; `None` where it is straight.
    pub(super) bend: Option<f64>,
}

/// All boxes and lines.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) places: BTreeMap<&'a str, Place>,
    /// In the order of the links.
    pub(super) routes: Vec<Route>,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl<'a> Layout<'a> {
    /// Of these nodes.
    pub(super) fn of(topology: &'a Topology, facts: &BTreeMap<String, Facts>) -> Self {
        let sizes = Sizes { topology, facts };
        let (columns, width) = Rows::of(topology, facts).columns(&sizes);
        let ways: Vec<_> = topology.links.iter().map(|link| sizes.way(link, &columns)).collect();
        let (shelves, height) = sizes.shelves(&ways);
        let place = |(name, x): (&&'a str, &f64)| {
            let ((width, height), shelf) = (sizes.of(name), shelves[&sizes.row(name)]);
            // The nodes above stand on one line, so that their cables are as long.
            let y = if sizes.row(name) == Row::Leaves { shelf.foot - height } else { shelf.top };
            (*name, Place { x: *x, y, width, height })
        };
        let places: BTreeMap<_, _> = columns.iter().map(place).collect();
        let routes = Lines { sizes: &sizes, ways: &ways, places: &places, shelves: &shelves }.routes();
        Self { places, routes, width, height }
    }
}

/// From top to bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Leaves,
    Routers,
    Transits,
}

impl Row {
    const ALL: [Self; 3] = [Self::Leaves, Self::Routers, Self::Transits];

    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Edge | Kind::Host => Self::Leaves,
            Kind::Router => Self::Routers,
            Kind::Transit => Self::Transits,
        }
    }

    /// The edge at which all its boxes stand in one line, where lines around boxes begin and end.
    const fn even(self) -> Side {
        match self {
            Self::Leaves => Side::Bottom,
            Self::Routers | Self::Transits => Side::Top,
        }
    }
}

/// Between which heights the boxes of a row are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shelf {
    top: f64,
    foot: f64,
}

/// Which way a link's line takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From one row to the next.
    Across,
    /// To the next box of the row.
    Beside,
    /// Round those that stand between, in the space beside the row.
    Around(Row),
}

/// How large boxes are, and how far apart.
struct Sizes<'a> {
    topology: &'a Topology,
    facts: &'a BTreeMap<String, Facts>,
}

impl<'a> Sizes<'a> {
    /// As wide as its longest line.
    fn of(&self, name: &str) -> (f64, f64) {
        let lines = self.facts[name].lines();
        let longest = lines.iter().map(|line| line.chars().count() as f64 * CHARACTER).fold(0.0, f64::max);
        let width = longest.max(name.chars().count() as f64 * 9.0).max(LEAST - 28.0) + 28.0;
        (width.ceil(), 34.0 + LINE * lines.len() as f64)
    }

    fn row(&self, name: &str) -> Row {
        Row::of(self.facts[name].kind)
    }

    /// Between two boxes of a row, which a line may join: then the names of its interfaces have room.
    fn gap(&self, a: &str, b: &str, least: f64) -> f64 {
        let joining = self.topology.links.iter().filter(|link| is_between(link, a, b));
        let names = joining.map(|link| link.ends.iter().map(|end| end.interface.chars().count()).sum::<usize>());
        names.map(|count| (count as f64 * CHARACTER + SPACES).ceil()).fold(least, f64::max)
    }

    /// Boxes side by side: where each begins, and how wide they are together.
    fn beside<'n>(&self, names: &[&'n str], least: f64) -> (Vec<(&'n str, f64)>, f64) {
        let (mut begins, mut width) = (Vec::new(), 0.0);
        for (index, name) in names.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| names[before]);
            width += before.map_or(0.0, |before| self.gap(before, name, least));
            begins.push((*name, width));
            width += self.of(name).0;
        }
        (begins, width)
    }

    fn way(&self, link: &Link, columns: &BTreeMap<&str, f64>) -> Way {
        let [a, b] = [&*link.ends[0].node, &*link.ends[1].node];
        let row = self.row(a);
        if row != self.row(b) {
            return Way::Across;
        }
        let (left, right) = (columns[a].min(columns[b]), columns[a].max(columns[b]));
        let between = |(name, x): (&&str, &f64)| self.row(name) == row && *x > left && *x < right;
        if a == b || columns.iter().any(between) { Way::Around(row) } else { Way::Beside }
    }

    /// The heights of the rows that there are, and of them all.
    fn shelves(&self, ways: &[Way]) -> (BTreeMap<Row, Shelf>, f64) {
        let is_around = |row| ways.contains(&Way::Around(row));
        let (mut shelves, mut top, mut end) = (BTreeMap::new(), 0.0, 0.0);
        for row in Row::ALL {
            let names = self.facts.keys().filter(|name| self.row(name) == row);
            let height = names.map(|name| self.of(name).1).fold(0.0, f64::max);
            if height <= 0.0 {
                continue;
            }
            if shelves.is_empty() && row.even() == Side::Top && is_around(row) {
                top = AROUND;
            }
            shelves.insert(row, Shelf { top, foot: top + height });
            end = top + height;
            top = end + BETWEEN;
        }
        let below = if shelves.len() == 1 && is_around(Row::Leaves) { AROUND } else { 0.0 };
        (shelves, end + below)
    }
}

fn is_between(link: &Link, a: &str, b: &str) -> bool {
    let [one, other] = [&*link.ends[0].node, &*link.ends[1].node];
    (one, other) == (a, b) || (one, other) == (b, a)
}

/// A router, and the nodes above it.
type Group<'a> = (Option<&'a str>, Vec<&'a str>);

/// What is above what.
#[derive(Debug)]
struct Rows<'a> {
    /// In the order in which links name the routers.
    groups: Vec<Group<'a>>,
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
        let is = |wanted: Kind| order.iter().copied().filter(move |name| kind(name) == wanted);
        let mut groups: Vec<Group<'_>> = is(Kind::Router).map(|router| (Some(router), Vec::new())).collect();
        let mut alone = Vec::new();
        for leaf in order.iter().copied().filter(|name| Row::of(kind(name)) == Row::Leaves) {
            let mut routers = facts::neighbors(topology, leaf).filter(|other| kind(other) == Kind::Router);
            let router = routers.next();
            match groups.iter_mut().find(|(other, _)| router.is_some() && *other == router) {
                Some((_, leaves)) => leaves.push(leaf),
                None => alone.push(leaf),
            }
        }
        attach(topology, &mut groups, &mut alone);
        if !alone.is_empty() {
            groups.push((None, alone));
        }
        Self { groups, transits: is(Kind::Transit).collect() }
    }

    /// Where each box begins, and how wide they are together.
    fn columns(&self, sizes: &Sizes<'_>) -> (BTreeMap<&'a str, f64>, f64) {
        let (mut columns, mut width) = (BTreeMap::<&str, f64>::new(), 0.0_f64);
        // Of the group before.
        let (mut last_leaf, mut last_router) = (None, None);
        for (router, leaves) in &self.groups {
            let (begins, above) = sizes.beside(leaves, GAP);
            let wide = router.map_or(0.0, |router| sizes.of(router).0);
            let whole = above.max(wide);
            let mut group: Vec<_> = begins.iter().map(|(leaf, x)| (*leaf, (whole - above) / 2.0 + x)).collect();
            group.extend(router.map(|router| (router, (whole - wide) / 2.0)));
            let mut left = if columns.is_empty() { 0.0 } else { width + APART };
            for (name, x) in &group {
                let last: Option<&str> = if Some(*name) == *router { last_router } else { last_leaf };
                let needed = last.map(|last| columns[last] + sizes.of(last).0 + sizes.gap(last, name, APART) - x);
                left = needed.map_or(left, |needed| left.max(needed));
            }
            columns.extend(group.into_iter().map(|(name, x)| (name, left + x)));
            width = left + whole;
            (last_leaf, last_router) = (leaves.last().copied().or(last_leaf), router.or(last_router));
        }
        let (begins, below) = sizes.beside(&self.transits, APART);
        let aside = ((below - width) / 2.0).max(0.0);
        columns.values_mut().for_each(|x| *x += aside);
        let width = width.max(below);
        columns.extend(begins.into_iter().map(|(name, x)| (name, (width - below) / 2.0 + x)));
        (columns, width)
    }
}

/// Puts nodes that are connected to another node, and to no router, beside it.
fn attach<'a>(topology: &'a Topology, groups: &mut [Group<'a>], alone: &mut Vec<&'a str>) {
    while let Some((at, (group, index))) =
        alone.iter().enumerate().find_map(|(at, leaf)| Some((at, beside(topology, groups, leaf)?)))
    {
        groups[group].1.insert(index + 1, alone.remove(at));
    }
}

/// In which group, and where there, is a node that this one is connected to.
fn beside(topology: &Topology, groups: &[Group<'_>], leaf: &str) -> Option<(usize, usize)> {
    let is_near = |other: &&str| facts::neighbors(topology, leaf).any(|neighbor| neighbor == *other);
    groups.iter().enumerate().find_map(|(group, (_, leaves))| Some((group, leaves.iter().position(is_near)?)))
}

/// What is known when lines are drawn.
struct Lines<'a> {
    sizes: &'a Sizes<'a>,
    ways: &'a [Way],
    places: &'a BTreeMap<&'a str, Place>,
    shelves: &'a BTreeMap<Row, Shelf>,
}

/// The ends of lines at an edge, from left to right: which link's, and which of its two.
type Ports<'a> = BTreeMap<(&'a str, Side), Vec<(usize, usize)>>;

impl<'a> Lines<'a> {
    fn routes(&self) -> Vec<Route> {
        let ports = self.ports();
        let route = |(index, link): (usize, &'a Link)| match self.ways[index] {
            Way::Beside => self.straight(index, link),
            way => Route {
                ends: [self.end(index, 0, &ports), self.end(index, 1, &ports)],
                bend: Some(self.bend(index, link, way)),
            },
        };
        self.links().iter().enumerate().map(route).collect()
    }

    fn links(&self) -> &'a [Link] {
        &self.sizes.topology.links
    }

    fn name(&self, index: usize, which: usize) -> &'a str {
        &self.links()[index].ends[which].node
    }

    fn place(&self, index: usize, which: usize) -> Place {
        self.places[self.name(index, which)]
    }

    /// At which edge a line that bends ends.
    fn side(&self, index: usize, which: usize) -> Side {
        let row = |which| self.sizes.row(self.name(index, which));
        match self.ways[index] {
            Way::Across if row(which) < row(1 - which) => Side::Bottom,
            Way::Across => Side::Top,
            Way::Around(row) => row.even(),
            Way::Beside if self.place(index, which).x < self.place(index, 1 - which).x => Side::Right,
            Way::Beside => Side::Left,
        }
    }

    /// Gives every line that bends its place at the edges of its boxes, so that none crosses another near them.
    fn ports(&self) -> Ports<'a> {
        let mut ports = Ports::new();
        let bent = (0..self.ways.len()).filter(|index| self.ways[*index] != Way::Beside);
        for (index, which) in bent.flat_map(|index| [(index, 0), (index, 1)]) {
            ports.entry((self.name(index, which), self.side(index, which))).or_default().push((index, which));
        }
        let far = |(index, which): &(usize, usize)| self.place(*index, 1 - which).middle();
        for ends in ports.values_mut() {
            ends.sort_by(|a, b| far(a).total_cmp(&far(b)));
        }
        ports
    }

    fn end(&self, index: usize, which: usize, ports: &Ports<'_>) -> End {
        let (name, side) = (self.name(index, which), self.side(index, which));
        let (place, shelf) = (self.places[name], self.shelves[&self.sizes.row(name)]);
        let all = &ports[&(name, side)];
        let at = all.iter().position(|port| *port == (index, which)).unwrap_or_default() as f64;
        let x = place.x + place.width * (at + 1.0) / (all.len() + 1) as f64;
        let (y, clear) = if side == Side::Top { (place.y, shelf.top) } else { (place.y + place.height, shelf.foot) };
        End { x, y, side, clear }
    }

    /// Half way between two rows; beside a row the farther, the longer the line.
    fn bend(&self, index: usize, link: &Link, way: Way) -> f64 {
        let shelf = |end: usize| self.shelves[&self.sizes.row(&link.ends[end].node)];
        let Way::Around(row) = way else {
            let (upper, lower) = if self.side(index, 0) == Side::Bottom { (0, 1) } else { (1, 0) };
            return f64::midpoint(shelf(upper).foot, shelf(lower).top);
        };
        let length = |index: usize| (self.place(index, 0).x - self.place(index, 1).x).abs();
        let others = (0..self.ways.len()).filter(|other| self.ways[*other] == way);
        let mut order: Vec<_> = others.collect();
        order.sort_by(|a, b| length(*a).total_cmp(&length(*b)));
        let rank = order.iter().position(|other| *other == index).unwrap_or_default() as f64;
        // A curve reaches three quarters of the way to what it bends towards.
        let depth = AROUND * (0.6 + 0.7 * (rank + 1.0) / (order.len() + 1) as f64);
        if row.even() == Side::Top { shelf(0).top - depth } else { shelf(0).foot + depth }
    }

    /// Between boxes that stand side by side; several lines share the height that both boxes have.
    fn straight(&self, index: usize, link: &Link) -> Route {
        let [a, b] = [self.place(index, 0), self.place(index, 1)];
        let (top, foot) = (a.y.max(b.y), (a.y + a.height).min(b.y + b.height));
        let same = |other: &&Link| is_between(other, &link.ends[0].node, &link.ends[1].node);
        let (before, all) = (self.links()[..index].iter(), self.links().iter());
        let y = top + (foot - top) * (before.filter(same).count() + 1) as f64 / (all.filter(same).count() + 1) as f64;
        let end = |which: usize| {
            let (place, side) = (self.place(index, which), self.side(index, which));
            End { x: if side == Side::Right { place.x + place.width } else { place.x }, y, side, clear: y }
        };
        Route { ends: [end(0), end(1)], bend: None }
    }
}

#[cfg(test)]
mod tests;
