//! Distributions: a row for each method, and in it a mark for each run.

use super::{
    super::{
        data::{Method, Report, Run},
        statistics::{Lost, Spread, Summary, Wait},
        words,
    },
    plot,
    scale::{self, Scale},
};
use crate::markup::Element;

/// A value of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    At(f64),
    AtLeast(f64),
    Never,
}

impl Point {
    const fn value(self) -> Option<f64> {
        match self {
            Self::At(value) | Self::AtLeast(value) => Some(value),
            Self::Never => None,
        }
    }
}

impl From<Wait> for Point {
    fn from(wait: Wait) -> Self {
        wait.ms().map_or(Self::Never, Self::At)
    }
}

impl From<Lost> for Point {
    fn from(Lost { count, at_least }: Lost) -> Self {
        if at_least { Self::AtLeast(count as f64) } else { Self::At(count as f64) }
    }
}

/// What is drawn of the runs.
struct Quantity {
    id: &'static str,
    title: &'static str,
    of: fn(&Run) -> Point,
    spread: fn(&Summary) -> Spread<Point>,
    say: fn(Point) -> String,
    tick: fn(f64) -> String,
}

const FIRST_GOOD: Quantity = Quantity {
    id: "plot-first-good",
    title: "Time from the failure to the first good answer, every run, on a logarithmic axis",
    of: |run| Wait::from(run.first_good_ms).into(),
    spread: |summary| convert(summary.first_good),
    say: |point| words::wait(point.value().into()),
    tick: scale::time_at,
};

const LOST: Quantity = Quantity {
    id: "plot-lost",
    title: "Requests lost, every run, on a logarithmic axis",
    of: |run| Lost::of(run).into(),
    spread: |summary| convert(summary.lost),
    say: |point| match point {
        Point::At(count) => format!("{count}"),
        Point::AtLeast(count) => format!("{count}+"),
        Point::Never => "?".to_owned(),
    },
    tick: |count| format!("{count}"),
};

fn convert<T: Into<Point>>(Spread { p50, p95, p99, worst }: Spread<T>) -> Spread<Point> {
    Spread { p50: p50.into(), p95: p95.into(), p99: p99.into(), worst: worst.into() }
}

/// The times to the first good answer.
pub(super) fn first_good(report: &Report) -> Element {
    strips(report, &FIRST_GOOD)
}

/// The requests lost.
pub(super) fn lost(report: &Report) -> Element {
    strips(report, &LOST)
}

fn strips(report: &Report, quantity: &Quantity) -> Element {
    let points = || report.methods.iter().flat_map(|method| &method.runs).map(quantity.of);
    let some_never = points().any(|point| point == Point::Never);
    let right = if some_never { plot::NEVER - 6.0 } else { 99.0 };
    let scale = Scale::logarithmic(points().filter_map(Point::value)).between(1.0, right);
    let (rows, titles, height) = plot::rows(&report.methods);
    let mut body = plot::grid(&scale, height, quantity.tick);
    if some_never {
        body.extend(plot::never(height));
    }
    body.extend(titles);
    body.extend(rows.iter().flat_map(|(y, method)| row(quantity, &scale, *y, method)));
    plot::plot(quantity.id, quantity.title, &description(report, quantity), height, body)
}

/// What the drawing shows, in words.
fn description(report: &Report, quantity: &Quantity) -> String {
    let row = |method: &Method| {
        let Spread { p50, p95, worst, .. } = (quantity.spread)(&Summary::of(method)?);
        let say = quantity.say;
        Some(format!("{}: p50 {}, p95 {}, worst {}.", words::title(method), say(p50), say(p95), say(worst)))
    };
    report.methods.iter().filter_map(row).collect::<Vec<_>>().join(" ")
}

fn row(quantity: &Quantity, scale: &Scale, y: f64, method: &Method) -> Vec<Element> {
    let Some(summary) = Summary::of(method) else {
        return plot::row_title(method, y + 14.0, "no runs", "");
    };
    let Spread { p50, p95, worst, .. } = (quantity.spread)(&summary);
    let say = quantity.say;
    let rest = format!("  ·  p95 {}  ·  worst {}", say(p95), say(worst));
    let mut elements = plot::row_title(method, y + 14.0, &say(p50), &rest);
    let (middle, at) = (y + 33.0, |point: Point| point.value().map_or(plot::NEVER, |value| scale.at(value)));
    elements.push(plot::line("base", (0.0, middle), (100.0, middle)));
    elements.extend(marks(quantity, method, middle, at));
    elements.push(plot::line("p95", (at(p95), middle - 9.0), (at(p95), middle + 9.0)));
    elements.push(plot::line("p50-edge", (at(p50), middle - 12.0), (at(p50), middle + 12.0)));
    elements.push(plot::line("p50", (at(p50), middle - 11.0), (at(p50), middle + 11.0)));
    elements
}

/// A mark for each run, beside each other where they are near.
fn marks(quantity: &Quantity, method: &Method, middle: f64, at: impl Fn(Point) -> f64) -> Vec<Element> {
    let class = format!("mark {}", plot::class(method));
    let mut points: Vec<_> =
        method.runs.iter().map(quantity.of).enumerate().map(|(run, point)| (at(point), run, point)).collect();
    points.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let mut ends = [f64::NEG_INFINITY; OFFSETS.len()];
    let mark = |(x, run, point): (f64, usize, Point)| {
        let lane = ends.iter().position(|end| *end <= x).unwrap_or(run % OFFSETS.len());
        ends[lane] = x + NEAR;
        let shape = if matches!(point, Point::At(_)) { plot::shape(method.steering) } else { "arrow" };
        plot::mark(shape, &class, (x, middle + OFFSETS[lane]), &format!("run {}: {}", run + 1, (quantity.say)(point)))
    };
    points.into_iter().map(mark).collect()
}

/// Marks are beside each other if nearer, in per cent.
const NEAR: f64 = 1.1;
/// From the middle of a row, in the order in which they are taken.
const OFFSETS: [f64; 5] = [0.0, -4.5, 4.5, -9.0, 9.0];
