//! What follows from the state of a service: `on_down`, `hold_down`, `on_hold` and `depends_on`.

use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};

use anycast_core::config::{HoldDownTimes, OnDown, OnHold};

use super::{
    diagnostic::{Report, quoted},
    reader::{Listed, Section, in_words, nearest, set, wrong_type},
    services::Draft,
    source::Span,
    values::{self, LONGEST, choice, text},
    yaml::{Kind, Node},
};

const EXAMPLE: &str = "`hold_down: { after: 3 flaps in 1m, initial: 10s, max: 2m }`";
const INITIAL: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(120);
/// Shorter times would be over before a router has noticed.
const SHORTEST: Duration = Duration::from_secs(1);
/// More flaps than these are not waited for by anybody.
const MOST_FLAPS: u16 = 1000;

/// As far as it could be read.
#[derive(Debug)]
pub(super) struct States {
    pub(super) on_down: Option<OnDown>,
    /// The inner `None`: never held down.
    pub(super) hold_down: Option<Option<HoldDownTimes>>,
    /// The names that are written.
    pub(super) depends_on: Option<Listed<String>>,
}

pub(super) fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> States {
    let down_at = section.has("on_down");
    let on_down = section.or("on_down", OnDown::default(), report, |node, report| {
        let choices = [("withdraw", OnDown::Withdraw), ("degrade", OnDown::Degrade), ("keep", OnDown::Keep)];
        choice(node, "on_down", &choices, report)
    });
    let hold_at = section.has("on_hold");
    let on_hold = section.or("on_hold", OnHold::default(), report, |node, report| {
        choice(node, "on_hold", &[("withdraw", OnHold::Withdraw), ("degrade", OnHold::Degrade)], report)
    });
    let hold_down = hold_down(section, report);
    let hold_down = match (hold_down, on_hold) {
        (Some(Some(times)), Some(on_hold)) => Some(Some(HoldDownTimes { on_hold, ..times })),
        (Some(None), Some(_)) => Some(None),
        (None, _) | (_, None) => None,
    };
    if let (Some(None), Some(span)) = (&hold_down, hold_at) {
        report.error(span, "`on_hold` without `hold_down`", format!("remove it, or write {EXAMPLE}"));
    }
    if let (Some(Some(times)), Some(on_down), Some(span)) = (&hold_down, on_down, down_at) {
        contradiction(on_down, times.on_hold, span, report);
    }
    States { on_down, hold_down, depends_on: depends_on(section, report) }
}

/// A service that flaps must not be worse off than one that is down.
fn contradiction(on_down: OnDown, on_hold: OnHold, span: Span, report: &mut Report<'_>) {
    match (on_down, on_hold) {
        (OnDown::Keep, _) => {
            let message = "`on_down: keep` with `hold_down`: routes that stay while it is down do not flap";
            report.error(span, message, "remove one of the two");
        }
        (OnDown::Degrade, OnHold::Withdraw) => {
            let message =
                "`on_down: degrade` with `hold_down`: it would be announced while down, and withdrawn while held";
            report.error(span, message, "write `on_hold: degrade` too, or remove one of the two");
        }
        (OnDown::Degrade, OnHold::Degrade) | (OnDown::Withdraw, _) => {}
    }
}

fn hold_down(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Option<HoldDownTimes>> {
    if section.has("hold_down").is_none() {
        return Some(None);
    }
    if let Some(Node { kind: Kind::Scalar { text, .. }, .. }) = section.take("hold_down", report)
        && text == "none"
    {
        return Some(None);
    }
    let mut section = section.inner("hold_down", EXAMPLE, report)?;
    let after = section
        .require("after", "write how many flaps in how long begin a hold: `after: 3 flaps in 1m`", report)
        .and_then(|node| after(node, report));
    let time = |key: &'static str, section: &mut Section<'_>, report: &mut Report<'_>| {
        section.maybe(key, report, |node, report| {
            Some((node.span, values::duration(node, key, SHORTEST..=LONGEST, report)?))
        })
    };
    let (initial, max) = (time("initial", &mut section, report), time("max", &mut section, report));
    section.close(report);
    let initial = initial?.map_or(INITIAL, |(_, time)| time);
    let max = match max? {
        Some((span, max)) if max < initial => {
            let message = format!("`max` is shorter than `initial`, {}", values::in_words(initial));
            report.error(
                span,
                message,
                "each hold lasts twice as long as the one before, up to `max`: write a longer one",
            );
            return None;
        }
        Some((_, max)) => max,
        None => MAX.max(initial),
    };
    let (flaps, within) = after?;
    Some(Some(HoldDownTimes { flaps, within, initial, max, on_hold: OnHold::default() }))
}

/// `3 flaps in 1m`.
fn after(node: &Node, report: &mut Report<'_>) -> Option<(NonZeroU16, Duration)> {
    let text = text(node, "after", report)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let read = match words[..] {
        [number, "flap" | "flaps", "in", time] => {
            number.parse::<NonZeroU16>().ok().zip(humantime::parse_duration(time).ok())
        }
        _ => None,
    };
    let fits =
        |(flaps, within): &(NonZeroU16, Duration)| flaps.get() <= MOST_FLAPS && (SHORTEST..=LONGEST).contains(within);
    let read = read.filter(fits);
    if read.is_none() {
        let hint = format!("write `3 flaps in 1m`: 1 to {MOST_FLAPS}, in 1s to 24h");
        report.error(node.span, format!("`after` cannot be {}", quoted(text)), hint);
    }
    read
}

fn depends_on(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Listed<String>> {
    let span = section.span;
    section.or("depends_on", Listed { span, items: Vec::new(), whole: true }, report, |node, report| {
        Some(set(node, "depends_on", "dns", report, |node, report| {
            if let Kind::Map(_) = node.kind {
                let hint = "write the name of the service alone: `depends_on: [dns]`";
                wrong_type(node, "an item of `depends_on`", "a name", hint, report);
                return None;
            }
            text(node, "depends_on", report).map(str::to_owned)
        }))
    })
}

/// Reports services that depend on what does not exist, or on themselves.
pub(super) fn check(services: &Listed<Draft>, report: &mut Report<'_>) {
    let named = services.values().filter_map(|service| Some((service.name.as_ref()?.text.as_str(), service)));
    let names: BTreeMap<&str, &Draft> = named.collect();
    let needs =
        |service: &'_ Draft| service.states.depends_on.as_ref().map(|listed| listed.items.clone()).unwrap_or_default();
    for (span, name) in services.values().flat_map(needs) {
        if services.whole && !names.contains_key(name.as_str()) {
            let hint = match nearest(&name, names.keys().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the services are {}", in_words(&Vec::from_iter(names.keys()))),
            };
            report.error(span, format!("unknown service {}", quoted(&name)), hint);
        }
    }
    circle(&names, report);
}

/// The first circle, said where it is closed; once it is broken, others may come to light.
fn circle(names: &BTreeMap<&str, &Draft>, report: &mut Report<'_>) {
    let mut done = Vec::new();
    for name in names.keys() {
        if let Some((span, path)) = walk(name, names, &mut Vec::new(), &mut done) {
            if let [name, _] = path[..] {
                report.error(span, format!("`{name}` depends on itself"), "it could never be up: remove its own name");
                return;
            }
            let message = format!("`{}` depends on itself: {}", path[0], path.join(" → "));
            report.error(span, message, "neither could ever be up: remove one of these dependencies");
            return;
        }
    }
}

/// The path from a service back to itself, if one of those that `name` needs is on such a path.
fn walk<'a>(
    name: &'a str,
    names: &BTreeMap<&'a str, &'a Draft>,
    path: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
) -> Option<(Span, Vec<&'a str>)> {
    if done.contains(&name) {
        return None;
    }
    path.push(name);
    let needs = names.get(name).and_then(|service| service.states.depends_on.as_ref());
    for (span, other) in needs.iter().flat_map(|listed| &listed.items) {
        if let Some(at) = path.iter().position(|before| before == other) {
            let closed = path[at..].iter().copied().chain([other.as_str()]).collect();
            return Some((*span, closed));
        }
        if let found @ Some(_) = walk(other, names, path, done) {
            return found;
        }
    }
    path.pop();
    done.push(name);
    None
}
