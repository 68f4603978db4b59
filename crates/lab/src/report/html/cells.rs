//! What is said in words and figures: the table, and how all of it was made.

use super::{
    super::{
        data::{Method, Report},
        statistics::Summary,
        words,
    },
    plot, section,
};
use crate::markup::{Element, tag};

/// A row for each method. It moves sideways in its own frame where it is too wide.
pub(super) fn table(report: &Report) -> Element {
    let lead = "All figures. A row with a star was computed, and is no measurement.";
    let frame = tag("div").class("frame").with("role", "region").with("tabindex", 0).with("aria-label", "All figures");
    let stars = words::stars(report).into_iter().map(|star| tag("p").class("note").text(star));
    let body = tag("tbody").children(report.methods.iter().map(row));
    let table = tag("table").child(head()).child(body);
    section("The figures", lead).child(frame.child(table)).children(stars)
}

fn head() -> Element {
    let group = |span: usize, text: &str| tag("th").with("colspan", span).with("scope", "colgroup").text(text);
    let column = |text: &str| tag("th").with("scope", "col").text(text);
    let groups = tag("tr")
        .child(tag("th").with("rowspan", 2).with("scope", "col").text("Method"))
        .child(tag("th").with("rowspan", 2).with("scope", "col").text("Runs"))
        .child(group(4, "First good answer"))
        .child(group(2, "Nothing lost after"))
        .child(group(3, "Requests lost"));
    let columns = ["p50", "p95", "p99", "worst", "p50", "worst", "p50", "worst", "share"];
    tag("thead").child(groups).child(tag("tr").children(columns.map(column)))
}

fn row(method: &Method) -> Element {
    let computed = method.computed_from.is_some();
    let row = tag("tr").class(format!("{}{}", plot::class(method), if computed { " computed" } else { "" }));
    let row = row.child(tag("th").with("scope", "row").text(words::title(method)));
    let Some(Summary { runs, first_good, recovered, lost, share }) = Summary::of(method) else {
        return row.child(tag("td").with("colspan", 10).text("no runs"));
    };
    let first = [first_good.p50, first_good.p95, first_good.p99, first_good.worst].map(words::wait);
    let rest = [
        words::wait(recovered.p50),
        words::wait(recovered.worst),
        words::lost(lost.p50),
        words::lost(lost.worst),
        words::share(share),
    ];
    row.children([runs.to_string()].into_iter().chain(first).chain(rest).map(|cell| tag("td").text(cell)))
}

/// Machine, programs, methods, definitions, and what all of it cannot say.
pub(super) fn making(report: &Report) -> Element {
    let lead = "Times are of one clock of the machine, taken by probes and from captured packets; no figure is the agent's own word.";
    let heading = |text: &str| tag("h3").text(text);
    section("How it was made", lead)
        .child(heading("Machine and programs"))
        .child(tag("p").text(&report.machine))
        .child(
            pairs(report.programs.iter().map(|program| (program.name.clone(), program.version.clone())))
                .class("programs"),
        )
        .child(heading("Methods"))
        .child(methods(report))
        .child(heading("What the figures mean"))
        .child(pairs(words::DEFINITIONS.map(|(term, meaning)| (term.to_owned(), meaning.to_owned()))))
        .child(heading("What this lab cannot say"))
        .child(tag("ul").children(words::LIMITS.map(|limit| tag("li").text(limit))))
}

/// What is said of several, one after the other, is said once.
fn methods(report: &Report) -> Element {
    let group = |methods: &[Method]| {
        let terms = methods.iter().map(|method| tag("dt").text(words::title(method)));
        let said = methods.first().map(|method| tag("dd").text(meaning(method)));
        terms.chain(said).collect::<Vec<_>>()
    };
    tag("dl").children(report.methods.chunk_by(|one, other| meaning(one) == meaning(other)).flat_map(group))
}

fn meaning(method: &Method) -> String {
    let computed = method.computed_from.as_ref().map(|from| format!(" Computed from the runs of {from}."));
    format!(
        "{} What happens to the node: {}.{}",
        method.meaning,
        words::failure(method.failure),
        computed.unwrap_or_default()
    )
}

fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Element {
    let pair = |(term, meaning): (String, String)| [tag("dt").text(term), tag("dd").text(meaning)];
    tag("dl").children(pairs.into_iter().flat_map(pair))
}
