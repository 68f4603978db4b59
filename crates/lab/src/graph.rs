//! A topology as a drawing: which nodes there are, what connects them, and what their files say of addresses and AS numbers.
//!
//! The drawing is the same for the same files, so that it can be kept beside them.

use crate::{
    markup::{Element, tag},
    topology::{Link, Topology},
};
use facts::Facts;
use layout::{Layout, Place, Route, Side};

mod facts;
mod layout;

/// Above the first row, for the title.
const TOP: f64 = 64.0;
/// Around all of it.
const MARGIN: f64 = 28.0;
/// Of a line of text in a box.
const LINE: f64 = 15.0;

/// The drawing as SVG, to be read in light and in darkness.
#[must_use]
pub fn svg(topology: &Topology) -> String {
    let facts = facts::of(topology);
    let layout = Layout::of(topology, &facts);
    let (width, height) = (layout.width + 2.0 * MARGIN, layout.height + TOP + MARGIN);
    let title = format!("The lab “{}”", topology.name);
    let said = |(name, facts): (&String, &Facts)| format!("{name}: {}.", facts.lines().join(", "));
    let description: Vec<_> = facts.iter().map(said).chain(topology.links.iter().map(cable)).collect();
    let drawing = tag("svg")
        .with("xmlns", "http://www.w3.org/2000/svg")
        .with("viewBox", format!("0 0 {width} {height}"))
        .with("width", width)
        .with("height", height)
        .with("role", "img")
        .with("aria-labelledby", "title description")
        .child(tag("title").with("id", "title").text(&title))
        .child(tag("desc").with("id", "description").text(description.join(" ")))
        .child(tag("style").verbatim(include_str!("graph/style.css")))
        .child(tag("rect").class("ground").with("width", width).with("height", height))
        .child(text("title", MARGIN, 36.0, &title));
    let inner = tag("g").with("transform", format!("translate({MARGIN} {TOP})"));
    let cables = layout.routes.iter().map(line);
    let names = topology.links.iter().zip(&layout.routes).flat_map(|(link, route)| names(link, route));
    let boxes = layout.places.iter().map(|(name, place)| node(name, place, &facts[*name]));
    format!("{}\n", drawing.child(inner.children(cables).children(boxes).children(names)))
}

fn cable(link: &Link) -> String {
    let [a, b] = &link.ends;
    format!("{} ({}) is connected to {} ({}).", a.node, a.interface, b.node, b.interface)
}

fn text(class: &str, x: f64, y: f64, text: &str) -> Element {
    tag("text").class(class).with("x", x).with("y", y).text(text)
}

/// A box: the name, what it is, and what is known of it.
fn node(name: &str, place: &Place, facts: &Facts) -> Element {
    let Place { x, y, width, height } = *place;
    let frame = tag("rect").with("width", width).with("height", height).with("rx", 8);
    let stripe = tag("rect").class("stripe").with("width", 6).with("height", height).with("rx", 3);
    let lines = facts.lines();
    let lines = lines.iter().enumerate().map(|(index, line)| {
        let class = if index == 0 { "kind" } else { "fact" };
        text(class, 16.0, 40.0 + LINE * index as f64, line)
    });
    tag("g")
        .class(format!("node {}", facts.kind.class()))
        .with("transform", format!("translate({x} {y})"))
        .child(frame)
        .child(stripe)
        .child(text("name", 16.0, 23.0, name))
        .children(lines)
}

/// From one box to the other.
fn line(route: &Route) -> Element {
    let [a, b] = &route.ends;
    let path = match route.bend {
        None => format!("M{:.1},{:.1} L{:.1},{:.1}", a.x, a.y, b.x, b.y),
        Some(bend) => {
            let (first, last) = (upright(a.y, a.clear), upright(b.clear, b.y));
            format!(
                "M{:.1},{:.1}{first} C{:.1},{bend:.1} {:.1},{bend:.1} {:.1},{:.1}{last}",
                a.x, a.y, a.x, b.x, b.x, b.clear
            )
        }
    };
    tag("path").class("cable").with("d", path)
}

/// Straight up or down, where there is a way to go.
fn upright(from: f64, to: f64) -> String {
    if from == to { String::new() } else { format!(" V{to:.1}") }
}

/// The interfaces, at their ends of the line.
fn names(link: &Link, route: &Route) -> [Element; 2] {
    [0, 1].map(|which| {
        let end = route.ends[which];
        let (x, y, anchor) = match end.side {
            Side::Right => (end.x + 5.0, end.y - 5.0, "start"),
            Side::Left => (end.x - 5.0, end.y - 5.0, "end"),
            Side::Bottom => (end.x, end.y + 15.0, "middle"),
            Side::Top => (end.x, end.y - 7.0, "middle"),
        };
        text("interface", x, y, &link.ends[which].interface).with("text-anchor", anchor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::repository;

    /// Those of the repository.
    pub(super) const FILES: [&str; 6] = [
        "lab/topology.clab.yml",
        "lab/drain.clab.yml",
        "lab/bfd.clab.yml",
        "lab/speaker.clab.yml",
        "lab/report.clab.yml",
        "lab/report-bird.clab.yml",
    ];

    fn drawn(file: &str) -> String {
        svg(&Topology::read(&repository().join(file)).unwrap())
    }

    #[test]
    fn the_drawing_in_the_repository_is_of_the_topology_that_is_there() {
        let kept = std::fs::read_to_string(repository().join("lab/topology.svg")).unwrap();
        let again = "`cargo lab graph --output lab/topology.svg` draws it anew";
        assert!(drawn("lab/topology.clab.yml") == kept, "lab/topology.svg is not what its topology says: {again}");
    }

    #[test]
    fn a_drawing_has_every_node_and_every_interface() {
        for file in FILES {
            let topology = Topology::read(&repository().join(file)).unwrap();
            let drawing = svg(&topology);
            for name in topology.nodes.keys() {
                assert_eq!(drawing.matches(&format!("y=\"23\">{name}</text>")).count(), 1, "{file}: {name}");
            }
            let ends = drawing.matches("class=\"interface\"").count();
            assert_eq!(ends, 2 * topology.links.len(), "{file}");
        }
    }

    #[test]
    fn what_the_files_say_is_drawn() {
        let drawing = drawn("lab/topology.clab.yml");
        for fact in ["AS65101", "AS65010", "192.0.2.18/30", "2001:db8:1:e1::1/64", "203.0.113.0/24"] {
            assert!(drawing.contains(fact), "{fact}");
        }
    }
}
