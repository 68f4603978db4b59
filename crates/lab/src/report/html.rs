//! The report as a page: one file that needs nothing from outside, no script, and no more room than a telephone has.
//!
//! It is XML as well as HTML: all of it is built from [elements](crate::markup), which escape what is put into them.

use super::{
    data::{Failure, Method, Report, Steering},
    statistics::Summary,
    words,
};
use crate::markup::{Element, tag};

mod bars;
mod cells;
mod plot;
mod scale;
mod strips;
mod timeline;

#[cfg(test)]
mod tests;

const TITLE: &str = "Failover by DNS and by anycast, side by side";
/// Nothing is loaded and nothing is run, whatever gets into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    let head = tag("head")
        .child(tag("meta").with("charset", "utf-8"))
        .child(tag("meta").with("http-equiv", "Content-Security-Policy").with("content", POLICY))
        .child(tag("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"))
        .child(tag("meta").with("name", "color-scheme").with("content", "light dark"))
        .child(tag("title").text(TITLE))
        .child(tag("style").verbatim(include_str!("html/style.css")));
    let body = tag("body").child(plot::shapes()).child(top(report)).child(main(report));
    format!("<!DOCTYPE html>\n{}\n", tag("html").with("lang", "en").child(head).child(body))
}

fn top(report: &Report) -> Element {
    let lead = "The same service is ended in the same lab, again and again, and every request of every client is counted. \
                What differs is how users are led to a node that works.";
    let made = format!("Made {} on {}.", report.made, report.machine);
    let warning = report.quick.then(|| tag("p").class("warning").with("role", "note").text(words::QUICK));
    tag("header")
        .child(tag("h1").text(TITLE))
        .child(tag("p").class("lead").text(lead))
        .children(warning)
        .child(tiles(report))
        .child(tag("p").class("made").text(made))
}

/// The methods that make the point, one for each way to find a node: a service is killed; of DNS with the TTL nearest to 30 s.
fn contrast(report: &Report) -> Vec<&Method> {
    let measured = |steering: Steering| {
        let found = move |method: &&Method| {
            let is = method.steering == steering && method.failure == Failure::ServiceKilled;
            is && method.computed_from.is_none() && !method.runs.is_empty()
        };
        report.methods.iter().filter(found)
    };
    let switched = measured(Steering::SwitchedDns).min_by_key(|method| method.ttl.unwrap_or(u32::MAX).abs_diff(30));
    measured(Steering::RoundRobin)
        .next()
        .into_iter()
        .chain(switched)
        .chain(measured(Steering::Anycast).next())
        .collect()
}

/// What is to be seen before anything is read.
fn tiles(report: &Report) -> Element {
    let tile = |method: &Method| {
        let Summary { runs, first_good, recovered, lost, .. } = Summary::of(method)?;
        let first = format!("First good answer: {}, p95 {}", words::wait(first_good.p50), words::wait(first_good.p95));
        let lost = format!("Requests lost: {}, worst {}", words::lost(lost.p50), words::lost(lost.worst));
        let tile = tag("li")
            .class(format!("tile {}", plot::class(method)))
            .child(tag("h2").text(words::steering(method.steering)))
            .child(tag("p").class("method").text(&method.title))
            .child(tag("p").class("big").text(words::wait(recovered.p50)))
            .child(tag("p").class("unit").text(match recovered.p50.ms() {
                Some(_) => "after the failure, nothing is lost any more",
                None => "was there an end of losses before the end of the run",
            }))
            .child(tag("p").text(together(&first)))
            .child(tag("p").text(lost))
            .child(tag("p").class("quiet").text(format!("Medians of {}", words::runs(runs))));
        Some(tile)
    };
    tag("ul").class("tiles").with("role", "list").children(contrast(report).into_iter().filter_map(tile))
}

/// A number and its unit stay on one line.
fn together(text: &str) -> String {
    text.replace(" ms", "\u{A0}ms").replace(" s", "\u{A0}s").replace("p95 ", "p95\u{A0}")
}

fn main(report: &Report) -> Element {
    let lasting = section(
        "How long requests are lost",
        "The bar is the median of the time from the failure until nothing more is lost, the whisker \
        goes to the worst run. Twice as long is drawn twice as long; what was only computed is left out.",
    );
    let first = section(
        "The first good answer",
        "Every mark is a run: how long after the failure a user of the failed node got a good answer again. \
        Each step of the axis is ten times the one before. Hollow marks: through BIRD, or computed.",
    );
    let lost = section(
        "Requests lost",
        "Every mark is a run: how many requests had no good answer before it ended. An arrow: requests were \
        lost still when it ended, so that there would have been more. Each client asks once a second in round robin, every 50 ms by \
        switched names and every 10 ms by anycast: a number says something beside others of the same pace, while how long requests are \
        lost is to be compared with all.",
    );
    tag("main")
        .child(lasting.child(bars::recovered(report)))
        .child(first.child(strip_legend(report)).child(strips::first_good(report)))
        .child(lost.child(strip_legend(report)).child(strips::lost(report)))
        .child(stories(report))
        .child(cells::table(report))
        .child(cells::making(report))
}

fn section(title: &str, lead: &str) -> Element {
    tag("section").child(tag("h2").text(title)).child(tag("p").text(lead))
}

/// What stands for what in the distributions.
fn strip_legend(report: &Report) -> Element {
    let key = |drawn: Vec<Element>, words: &str| {
        let svg = tag("svg").class("key").with("width", 26).with("height", 26).with("aria-hidden", "true");
        tag("li").child(svg.children(drawn)).child(tag("span").text(words))
    };
    let all = [
        (Steering::RoundRobin, "rr", "round robin"),
        (Steering::SwitchedDns, "dns", "switched DNS"),
        (Steering::Anycast, "any", "anycast"),
    ];
    let present = all.into_iter().filter(|(of, ..)| report.methods.iter().any(|method| method.steering == *of));
    let mark = |(of, class, words): (Steering, &str, &str)| {
        let shape = tag("use").class(format!("mark {class}")).with("href", format!("#{}", plot::shape(of)));
        key(vec![shape.with("x", 13).with("y", 13)], words)
    };
    tag("ul")
        .class("legend")
        .with("role", "list")
        .children(present.map(mark))
        .child(key(vec![plot::line("p50", (50.0, 2.0), (50.0, 24.0))], "p50"))
        .child(key(vec![plot::line("p95", (50.0, 4.0), (50.0, 22.0))], "p95"))
}

/// One run of each method: side by side those that make the point, the others folded.
fn stories(report: &Report) -> Element {
    let axis = timeline::axis(report);
    let contrast = contrast(report);
    let lead = "The run with the median time to the first good answer, of one method for each way. Hatched: requests are lost. Solid: there \
                are good answers.";
    let fold = |(index, method): (usize, &Method)| {
        tag("details")
            .child(tag("summary").text(words::title(method)))
            .child(timeline::timeline(&format!("plot-run-{index}"), &[method], &axis))
            .child(timeline::events(method))
    };
    let told = |method: &Method| contrast.iter().any(|other| other.id == method.id);
    let others = report.methods.iter().filter(|method| !told(method) && !method.runs.is_empty());
    let others: Vec<_> = others.filter(|method| method.computed_from.is_none()).enumerate().map(fold).collect();
    let more = (!others.is_empty()).then(|| tag("h3").text("The other methods"));
    section("One run, with everything that happened", lead)
        .child(timeline::legend())
        .child(timeline::timeline("plot-run", &contrast, &axis))
        .child(tag("div").class("stories").children(contrast.iter().map(|method| timeline::events(method))))
        .children(more)
        .children(others)
}
