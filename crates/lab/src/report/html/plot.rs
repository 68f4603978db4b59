//! What the drawings have in common. Places from left to right are in per cent, those from top to bottom in pixels, so that a drawing
//! is as wide as there is room while its letters keep their size.

use std::iter;

use super::{
    super::{
        data::{Method, Steering},
        words,
    },
    scale::Scale,
};
use crate::markup::{Element, tag};

/// Above the rows, for what stands at the lines.
pub(super) const HEAD: f64 = 26.0;
/// A row: its title, and below it what is drawn.
pub(super) const ROW: f64 = 50.0;
/// The title of some rows.
pub(super) const GROUP: f64 = 34.0;
/// Below the rows.
pub(super) const FOOT: f64 = 22.0;
/// In the middle of what is drawn when something did not come before the end of a run, in per cent.
pub(super) const NEVER: f64 = 96.0;

/// A drawing with what a screen reader says of it.
pub(super) fn plot(
    id: &str,
    title: &str,
    description: &str,
    height: f64,
    body: impl IntoIterator<Item = Element>,
) -> Element {
    let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
    tag("svg")
        .class("plot")
        .with("width", "100%")
        .with("height", height)
        .with("role", "img")
        .with("aria-labelledby", format!("{title_id} {description_id}"))
        .child(tag("title").with("id", title_id).text(title))
        .child(tag("desc").with("id", description_id).text(description))
        .children(body)
}

/// A place from left to right.
pub(super) fn x(percent: f64) -> String {
    format!("{percent:.2}%")
}

/// A line from one place to another.
pub(super) fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Element {
    tag("line").class(class).with("x1", x(from.0)).with("y1", from.1).with("x2", x(to.0)).with("y2", to.1)
}

/// A bar whose middle is at a height.
pub(super) fn bar(class: &str, (from, to): (f64, f64), middle: f64, thick: f64) -> Element {
    tag("rect")
        .class(class)
        .with("x", x(from))
        .with("y", middle - thick / 2.0)
        .with("width", x((to - from).max(0.0)))
        .with("height", thick)
}

/// One of the shapes of [`shapes`], and what it says to those who point at it.
pub(super) fn mark(shape: &str, class: &str, (at, y): (f64, f64), says: &str) -> Element {
    let shape = tag("use").class(class).with("href", format!("#{shape}")).with("x", x(at)).with("y", y);
    if says.is_empty() { shape } else { shape.child(tag("title").text(says)) }
}

/// Words, of which the place is at their start, middle or end.
pub(super) fn label(class: &str, (at, y): (f64, f64), anchor: &str, text: &str) -> Element {
    tag("text").class(class).with("x", x(at)).with("y", y).with("text-anchor", anchor).text(text)
}

/// Lines through the whole height, each with its value above and below.
pub(super) fn grid(scale: &Scale, height: f64, says: fn(f64) -> String) -> Vec<Element> {
    let zero = scale.at(0.0);
    let tick = |value: f64| {
        let at = scale.at(value);
        let anchor = if at < 3.0 {
            "start"
        } else if at > scale.right() - 3.0 {
            "end"
        } else {
            "middle"
        };
        // On a telephone there is room for one of two that are so near.
        let class = if value > 0.0 && at - zero < 9.0 { "tick wide" } else { "tick" };
        [
            line("grid", (at, HEAD - 8.0), (at, height - FOOT)),
            label(class, (at, HEAD - 13.0), anchor, &says(value)),
            label(class, (at, height - 6.0), anchor, &says(value)),
        ]
    };
    scale.ticks().into_iter().flat_map(tick).collect()
}

/// Where what never came is drawn.
pub(super) fn never(height: f64) -> Vec<Element> {
    vec![
        bar("never", (NEVER - 4.0, 100.0), (height - FOOT + HEAD - 8.0) / 2.0, height - FOOT - HEAD + 8.0),
        label("tick", (NEVER, HEAD - 13.0), "middle", "never"),
        label("tick", (NEVER, height - 6.0), "middle", "never"),
    ]
}

/// A method's title at the left and its figure at the right; the rest of the figures where there is room.
pub(super) fn row_title(method: &Method, y: f64, figure: &str, rest: &str) -> Vec<Element> {
    let figures = tag("text")
        .class("figure")
        .with("x", "100%")
        .with("y", y)
        .with("text-anchor", "end")
        .child(tag("tspan").class("strong").text(figure))
        .child(tag("tspan").class("wide").text(rest));
    vec![label("row", (0.0, y), "start", &shortened(&words::title(method))), figures]
}

/// What a row can show on a telephone.
fn shortened(title: &str) -> String {
    const MOST: usize = 46;
    if title.chars().count() <= MOST {
        return title.to_owned();
    }
    title.chars().take(MOST - 1).chain(iter::once('…')).collect()
}

/// The methods from top to bottom with where their rows begin, titles between them, and the height of all.
pub(super) fn rows<'a>(methods: impl IntoIterator<Item = &'a Method>) -> (Vec<(f64, &'a Method)>, Vec<Element>, f64) {
    let (mut rows, mut titles, mut y, mut last) = (Vec::new(), Vec::new(), HEAD, None);
    for method in methods {
        if last.replace(method.steering) != Some(method.steering) {
            titles.push(label("group", (0.0, y + GROUP - 12.0), "start", words::steering(method.steering)));
            y += GROUP;
        }
        rows.push((y, method));
        y += ROW;
    }
    (rows, titles, y + FOOT)
}

/// How a method is told from others: by colour, and for BIRD by hollow shapes.
pub(super) fn class(method: &Method) -> String {
    let steering = match method.steering {
        Steering::RoundRobin => "rr",
        Steering::SwitchedDns => "dns",
        Steering::Anycast => "any",
    };
    let hollow = method.computed_from.is_some() || method.routers.as_deref() == Some("BIRD");
    format!("{steering}{}", if hollow { " hollow" } else { "" })
}

/// The shape of a method's runs.
pub(super) const fn shape(steering: Steering) -> &'static str {
    match steering {
        Steering::RoundRobin => "square",
        Steering::SwitchedDns => "triangle",
        Steering::Anycast => "circle",
    }
}

/// Shapes and what fills some of them, for all drawings of a page.
pub(super) fn shapes() -> Element {
    let path = |id: &str, d: &str| tag("path").with("id", id).with("d", d);
    let circle = |id: &str, r: f64| tag("circle").with("id", id).with("r", r);
    let hatch = tag("pattern")
        .with("id", "hatch")
        .with("width", 6)
        .with("height", 6)
        .with("patternUnits", "userSpaceOnUse")
        .child(tag("rect").class("hatch-ground").with("width", 6).with("height", 6))
        .child(tag("path").class("hatch-line").with("d", "M-1,7 L7,-1 M-1,1 L1,-1 M5,7 L7,5"));
    let definitions = tag("defs").child(hatch).children([
        circle("circle", 3.6),
        path("square", "M-3.3,-3.3 H3.3 V3.3 H-3.3 Z"),
        path("triangle", "M0,-4.4 L4.2,3.2 H-4.2 Z"),
        path("arrow", "M-4,-4.5 L5,0 L-4,4.5 Z"),
        path("failure", "M-4,-9.5 H4 L9.5,-4 V4 L4,9.5 H-4 L-9.5,4 V-4 Z"),
        path("packet", "M-11,-7.5 H11 V7.5 H-11 Z"),
        path("route", "M-8.5,-8.5 H8.5 V8.5 H-8.5 Z"),
        path("name", "M-5.5,-9 H5.5 L11,0 L5.5,9 H-5.5 L-11,0 Z"),
        path("lost", "M0,-12 L12,0 L0,12 L-12,0 Z"),
        circle("good", 9.5),
        circle("word", 9.5),
    ]);
    tag("svg").class("shapes").with("width", 0).with("height", 0).with("aria-hidden", "true").child(definitions)
}
