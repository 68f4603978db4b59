//! For how long requests are lost, on an axis that is not bent: what is ten times as long is drawn ten times as long.

use super::{
    super::{
        data::{Method, Report},
        statistics::{Spread, Summary, Wait},
        words,
    },
    plot,
    scale::{self, Scale},
};
use crate::markup::Element;

/// A bar for each method that was measured: the median of the times until nothing more is lost, and a whisker to the worst.
pub(super) fn recovered(report: &Report) -> Element {
    let methods = || report.methods.iter().filter(|method| method.computed_from.is_none());
    let worst = methods().filter_map(|method| Some(Summary::of(method)?.recovered));
    let values: Vec<_> = worst.flat_map(|spread| [spread.p50, spread.worst]).collect();
    let right = if values.contains(&Wait::Never) { plot::NEVER - 6.0 } else { 99.0 };
    let scale = Scale::linear(values.iter().filter_map(|wait| wait.ms())).between(0.0, right);
    let (rows, titles, height) = plot::rows(methods());
    let mut body = plot::grid(&scale, height, scale::time_at);
    if values.contains(&Wait::Never) {
        body.extend(plot::never(height));
    }
    body.extend(titles);
    body.extend(rows.iter().flat_map(|(y, method)| row(&scale, *y, method)));
    plot::plot(
        "plot-recovered",
        "Time from the failure until nothing more is lost, on a linear axis",
        &description(report),
        height,
        body,
    )
}

fn description(report: &Report) -> String {
    let row = |method: &Method| {
        let Spread { p50, worst, .. } = Summary::of(method)?.recovered;
        Some(format!("{}: median {}, worst {}.", method.title, words::wait(p50), words::wait(worst)))
    };
    let measured = report.methods.iter().filter(|method| method.computed_from.is_none());
    measured.filter_map(row).collect::<Vec<_>>().join(" ")
}

fn row(scale: &Scale, y: f64, method: &Method) -> Vec<Element> {
    let Some(Summary { recovered: Spread { p50, worst, .. }, .. }) = Summary::of(method) else {
        return plot::row_title(method, y + 14.0, "no runs", "");
    };
    let rest = format!("  ·  worst {}", words::wait(worst));
    let mut elements = plot::row_title(method, y + 14.0, &words::wait(p50), &rest);
    let (middle, at) = (y + 33.0, |wait: Wait| wait.ms().map_or(plot::NEVER, |ms| scale.at(ms)));
    let class = plot::class(method);
    elements.push(plot::line("base", (0.0, middle), (100.0, middle)));
    elements.push(plot::line(&format!("whisker {class}"), (at(p50), middle), (at(worst), middle)));
    elements.push(plot::line(&format!("whisker {class}"), (at(worst), middle - 5.0), (at(worst), middle + 5.0)));
    elements.push(plot::bar(&format!("bar {class}"), (0.0, at(p50)), middle, 13.0));
    elements.push(plot::line(&format!("start {class}"), (0.0, middle - 6.5), (0.0, middle + 6.5)));
    if p50 == Wait::Never {
        elements.push(plot::mark("arrow", &format!("mark {class}"), (plot::NEVER + 2.0, middle), ""));
    }
    elements
}
