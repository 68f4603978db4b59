//! One run of a method, with everything that happened.

use super::{
    super::{
        data::{Event, Kind, Method, Report, Run},
        statistics, words,
    },
    plot::{self, FOOT, HEAD},
    scale::{self, Scale},
};
use crate::markup::{Element, tag};

/// Before the failure is at the left of this, in per cent.
const ZERO: f64 = 14.0;
const TITLE: f64 = 30.0;
const LEVEL: f64 = 27.0;
/// Marks are above each other if nearer, in per cent.
const NEAR: f64 = 7.5;
/// What is lost and what is good, one below the other.
const TRACKS: f64 = 34.0;

/// The axis of all of them, so that they can be compared.
pub(super) fn axis(report: &Report) -> Scale {
    let shown = report.methods.iter().filter_map(|method| Some(statistics::median_run(method)?.1));
    let times = shown
        .flat_map(|run| run.events.iter().map(|event| event.at_ms).chain(run.recovered_ms).chain(run.first_good_ms));
    Scale::logarithmic(times).between(ZERO, 96.0)
}

/// Lanes above each other.
pub(super) fn timeline(id: &str, methods: &[&Method], axis: &Scale) -> Element {
    let shown: Vec<_> = methods.iter().filter_map(|method| Some((*method, statistics::median_run(method)?))).collect();
    let (mut lanes, mut y) = (Vec::new(), HEAD);
    for (method, (index, run)) in &shown {
        let lane = Lane { run, axis, levels: levels(run, axis) };
        let text = format!("run {} of {}", index + 1, method.runs.len());
        lanes.extend(plot::row_title(
            method,
            y + 17.0,
            &words::wait(run.first_good_ms.into()),
            &format!("  ·  {text}"),
        ));
        lanes.extend(lane.draw(y + TITLE));
        y += TITLE + lane.height() + TRACKS;
    }
    let height = y + FOOT;
    let mut body = plot::grid(axis, height, scale::time_at);
    body.push(plot::label("tick", (0.0, HEAD - 13.0), "start", "before"));
    body.extend(lanes);
    let title = "What happened in one run, on a logarithmic axis that begins with the failure";
    let describe = |(method, (_, run)): &(&Method, (usize, &Run))| {
        let events = run.events.iter().enumerate().map(|(index, event)| said(index, event)).collect::<Vec<_>>();
        format!("{}: {}.", method.title, events.join("; "))
    };
    let description = shown.iter().map(describe).collect::<Vec<_>>().join(" ");
    plot::plot(id, title, &description, height, body)
}

struct Lane<'a> {
    run: &'a Run,
    axis: &'a Scale,
    /// How far above the tracks each event is.
    levels: Vec<usize>,
}

impl Lane<'_> {
    fn height(&self) -> f64 {
        LEVEL * (self.levels.iter().max().map_or(0, |most| most + 1) as f64)
    }

    fn draw(&self, top: f64) -> Vec<Element> {
        let foot = top + self.height();
        let mut elements = self.tracks(foot);
        let places = || self.run.events.iter().zip(&self.levels).enumerate();
        let place = |event: &Event, level: usize| {
            (place(event.at_ms, self.run, self.axis), foot - LEVEL * (level as f64 + 0.5) - 3.0)
        };
        elements.extend(places().map(|(_, (event, level))| {
            let (x, y) = place(event, *level);
            plot::line("stem", (x, y), (x, foot + 16.0))
        }));
        elements.extend(places().flat_map(|(index, (event, level))| {
            let at = place(event, *level);
            let number = plot::label(number_class(event.kind), (at.0, at.1 + 4.0), "middle", &(index + 1).to_string());
            [plot::mark(name(event.kind), &kind_class(event.kind), at, &said(index, event)), number]
        }));
        elements
    }

    /// From the failure until nothing more is lost; from the first good answer to the end.
    fn tracks(&self, y: f64) -> Vec<Element> {
        let at = |ms: Option<f64>| ms.map_or(100.0, |ms| self.axis.at(ms));
        let recovered = at(self.run.recovered_ms);
        // Where nothing is lost the failed node has answered up to the first answer of another.
        let good = if self.run.recovered_ms == Some(0.0) { ZERO } else { at(self.run.first_good_ms) };
        let mut elements = vec![plot::bar("track", (0.0, 100.0), y + 7.0, 14.0)];
        elements.push(plot::bar("track-good", (0.0, ZERO), y + 7.0, 14.0));
        elements.push(plot::bar("track-good", (good, 100.0), y + 11.0, 6.0));
        elements.push(plot::bar("track-lost", (ZERO, recovered), y + 3.5, 7.0));
        if self.run.recovered_ms.is_none() {
            elements.push(plot::mark(
                "arrow",
                "arrow-lost",
                (99.0, y + 3.5),
                "requests are lost still at the end of the run",
            ));
        }
        elements
    }
}

/// What was before the failure is at its left, as far away as its time says among those before.
fn place(at_ms: f64, run: &Run, axis: &Scale) -> f64 {
    if at_ms >= 0.0 {
        return axis.at(at_ms);
    }
    let before = Scale::logarithmic(run.events.iter().map(|event| -event.at_ms)).between(0.0, 5.0);
    ZERO - 8.0 - before.at(-at_ms)
}

/// The lowest place of each where it is not over another.
fn levels(run: &Run, axis: &Scale) -> Vec<usize> {
    let mut taken: Vec<Vec<f64>> = Vec::new();
    let mut level = |event: &Event| {
        let x = place(event.at_ms, run, axis);
        let free = |taken: &Vec<f64>| taken.iter().all(|other| (other - x).abs() >= NEAR);
        let level = taken.iter().position(free).unwrap_or(taken.len());
        if level == taken.len() {
            taken.push(Vec::new());
        }
        taken[level].push(x);
        level
    };
    run.events.iter().map(&mut level).collect()
}

/// The events of the run that is shown, with the numbers and shapes of the drawing.
pub(super) fn events(method: &Method) -> Element {
    let run = statistics::median_run(method);
    let item = |(index, event): (usize, &Event)| {
        let mark = tag("svg")
            .class("key")
            .with("width", 26)
            .with("height", 26)
            .with("aria-hidden", "true")
            .child(
                tag("use")
                    .class(kind_class(event.kind))
                    .with("href", format!("#{}", name(event.kind)))
                    .with("x", 13)
                    .with("y", 13),
            )
            .child(
                tag("text")
                    .class(number_class(event.kind))
                    .with("x", 13)
                    .with("y", 17)
                    .with("text-anchor", "middle")
                    .text(index + 1),
            );
        let words = tag("span")
            .class("what")
            .child(tag("b").class("node").text(&event.node))
            .text(" ")
            .text(&event.text)
            .child(tag("span").class("kind").text(format!(" ({})", kind(event.kind))));
        tag("li").child(mark).child(tag("span").class("when").text(words::moment(event.at_ms))).child(words)
    };
    let items = run.into_iter().flat_map(|(_, run)| run.events.iter().enumerate().map(item)).collect::<Vec<_>>();
    tag("div")
        .class("story")
        .child(tag("h4").text(words::title(method)))
        .child(tag("ol").with("role", "list").children(items))
}

/// The shapes of events and what they stand for.
pub(super) fn legend() -> Element {
    let all = [Kind::Failure, Kind::Lost, Kind::Good, Kind::Packet, Kind::Route, Kind::Name, Kind::Word];
    let item = |of: Kind| {
        let mark = tag("use").class(kind_class(of)).with("href", format!("#{}", name(of))).with("x", 13).with("y", 13);
        let drawing =
            tag("svg").class("key").with("width", 26).with("height", 26).with("aria-hidden", "true").child(mark);
        tag("li").child(drawing).child(tag("span").text(kind(of)))
    };
    tag("ul").class("legend").with("role", "list").children(all.map(item))
}

fn said(index: usize, event: &Event) -> String {
    format!("{}. {}, {}: {}", index + 1, words::moment(event.at_ms), event.node, event.text)
}

fn kind_class(kind: Kind) -> String {
    format!("event event-{}", name(kind))
}

/// What is hollow has dark numbers.
const fn number_class(kind: Kind) -> &'static str {
    if matches!(kind, Kind::Word) { "number number-word" } else { "number" }
}

/// Of its shape.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Failure => "failure",
        Kind::Packet => "packet",
        Kind::Route => "route",
        Kind::Name => "name",
        Kind::Lost => "lost",
        Kind::Good => "good",
        Kind::Word => "word",
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Failure => "failure or order",
        Kind::Packet => "packet on the wire",
        Kind::Route => "route in a router",
        Kind::Name => "name server or resolver",
        Kind::Lost => "request lost",
        Kind::Good => "good answer",
        Kind::Word => "agent's own word",
    }
}
