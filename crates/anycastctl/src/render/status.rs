//! The whole node on one screen.

use anycast_api::{Address, Check, DrainPhase, Health, PrefixSummary, Service, ServiceState, Status};

use super::{
    Page, View,
    line::{Line, Style},
    mark, neighbors, nothing,
    table::{Cell, Column, Table},
    when,
};

/// Services, checks, addresses, neighbors and problems.
pub(crate) fn page(status: &Status, view: View) -> Page {
    let mut page = Page::default();
    for line in header(status).wrap(view.width) {
        page.line(line);
    }
    page.section(idle(status).into_iter().flat_map(|line| line.wrap(view.width)).collect());
    page.section(services(&status.services, view));
    page.section(addresses(&status.addresses, view));
    page.section(neighbors::table(&status.neighbors, view));
    let problems: Vec<Line> = status.problems.iter().map(|problem| Line::plain(problem)).collect();
    page.list("PROBLEMS", (Style::Bad, "✗"), &problems, view.width);
    page
}

/// The screen while the agent does not answer.
pub(crate) fn missing(fault: &str, hint: Option<&str>, view: View) -> Page {
    let mut page = Page::default();
    page.section(Line::styled(Style::Bad, fault).wrap(view.width));
    page.section(hint.map(|hint| Line::plain("hint: ").and(hint).wrap(view.width)).unwrap_or_default());
    page
}

/// Who and where.
fn header(status: &Status) -> Line {
    let mut line = Line::styled(Style::Bold, &status.node).and(&format!("  AS{}", status.asn));
    if let Some(region) = &status.region {
        line = line.and(&format!("  {region}"));
    }
    line = line.and(&format!("  up {}  anycastd {}", when::clock(status.uptime_seconds), status.version));
    if status.stopping { line.and("  ").with(Style::Warn, "stopping") } else { line }
}

/// A node with nothing to announce does not look like one that is well. That services have nobody to go to is a problem, which the
/// agent tells.
fn idle(status: &Status) -> Option<Line> {
    let text = match status.neighbors.is_empty() {
        _ if !status.services.is_empty() => return None,
        true => "no services and no neighbors are configured: there is nothing to announce, and nobody to tell",
        false => "no services are configured: there is nothing to announce",
    };
    Some(Line::styled(Style::Warn, text))
}

fn services(services: &[Service], view: View) -> Vec<Line> {
    let mut table = Table::new(vec![
        Column::fixed("SERVICE"),
        Column::fixed("STATE"),
        Column::fixed("SINCE"),
        Column::flexible("ANNOUNCED", 24),
        Column::flexible("CHECKS", 20),
    ]);
    for service in services {
        table.row(vec![
            Cell::wrap(Line::plain(&service.name)),
            state(service.state).into(),
            Line::plain(&when::clock(service.since_seconds)).into(),
            Cell::Flow(announced(service, view)),
            Cell::Flow(service.checks.iter().map(|known| (3, check(known))).collect()),
        ]);
    }
    table.lay_out(view.width)
}

/// A service's state in a word.
pub(super) fn state(state: ServiceState) -> Line {
    match state {
        ServiceState::Unknown => Line::styled(Style::Dim, "unknown"),
        ServiceState::Down => Line::styled(Style::Bad, "down"),
        ServiceState::Degraded => Line::styled(Style::Warn, "degraded"),
        ServiceState::Up => Line::styled(Style::Good, "up"),
        ServiceState::Held => Line::styled(Style::Warn, "held"),
        ServiceState::Draining => Line::styled(Style::Warn, "draining"),
        ServiceState::Drained => Line::styled(Style::Warn, "drained"),
    }
}

/// What is announced, what is missing though it should be, and why: another service, a hold, a maintenance.
fn announced(service: &Service, view: View) -> Vec<(usize, Line)> {
    let mut items: Vec<_> = service.prefixes.iter().filter(|prefix| prefix.announced).map(prefix).collect();
    let serves = matches!(service.state, ServiceState::Up | ServiceState::Degraded);
    if serves || !items.is_empty() {
        let missing = service.prefixes.iter().filter(|prefix| !prefix.announced);
        let missing = missing.map(|prefix| (Line::styled(Style::Bad, &format!("not {}", prefix.prefix)), prefix));
        items.extend(missing.map(|(line, prefix)| line.and(&notes(prefix))));
    }
    if items.is_empty() {
        items.push(nothing());
    }
    let mut items: Vec<_> = items.into_iter().map(|item| (2, item)).collect();
    let why = [service.lacks.clone(), hold(service), maintenance(service, view)];
    items.extend(why.into_iter().flatten().map(|text| (3, Line::plain(&text))));
    items
}

fn prefix(prefix: &PrefixSummary) -> Line {
    Line::plain(&prefix.prefix).and(&notes(prefix))
}

fn notes(prefix: &PrefixSummary) -> String {
    if prefix.notes.is_empty() { String::new() } else { format!(" ({})", prefix.notes.join(", ")) }
}

/// A hold in few words: `held 00:00:35 more (3 flaps in 00:01:00)`.
pub(super) fn hold(service: &Service) -> Option<String> {
    let hold_down = service.hold_down.as_ref().filter(|hold_down| hold_down.held)?;
    let (left, within) = (when::clock(hold_down.left_seconds.ceil()), when::clock(hold_down.within_seconds));
    let flaps = if hold_down.after_flaps == 1 { "flap" } else { "flaps" };
    Some(format!("held {left} more ({} {flaps} in {within})", hold_down.after_flaps))
}

/// A maintenance in few words: `"kernel update" until 15:00Z`.
pub(super) fn maintenance(service: &Service, view: View) -> Option<String> {
    let drain = service.drain.as_ref()?;
    let mut words = Vec::new();
    words.extend(drain.reason.as_ref().map(|reason| format!("\"{reason}\"")));
    words.extend(drain.until_boot.then(|| "until the machine starts anew".to_owned()));
    words.extend(
        drain.until.filter(|_| !drain.until_boot).map(|until| format!("until {}", when::until(until, view.now))),
    );
    // Its own order names it already.
    let beside =
        drain.disable_file.as_ref().filter(|file| !drain.reason.as_ref().is_some_and(|why| why.contains(*file)));
    words.extend(beside.map(|file| format!("and while {file} is there")));
    let left = drain.phase_ends.map(|end| when::left(end, view.now));
    match drain.phase {
        DrainPhase::GracefulShutdown => words.push(ahead("withdraws", left)),
        DrainPhase::Withdrawing => words.push("(waits for acknowledgement)".into()),
        DrainPhase::Lingering => words.push(ahead("safe to stop", left)),
        DrainPhase::Degraded | DrainPhase::Drained if words.is_empty() => words.push(format!("by {}", drain.by)),
        DrainPhase::Degraded | DrainPhase::Drained => {}
    }
    Some(words.join(" "))
}

/// What comes next, and when if that is known.
fn ahead(what: &str, left: Option<String>) -> String {
    left.map_or_else(|| format!("({what} soon)"), |left| format!("({what} in {left})"))
}

/// A check in few words: `resolves ✓ 0.4 ms`, `load ! "load 9.1"`.
fn check(check: &Check) -> Line {
    let (style, sign) = match (check.health, &check.cannot_run) {
        (Health::Up, Some(_)) => mark(Health::Degraded),
        (health, _) => mark(health),
    };
    let mut line = Line::plain(&check.name).and(" ").with(style, sign);
    if !check.counts {
        line = line.with(Style::Dim, " (does not count yet)");
    }
    if let Some(why) = &check.paused {
        return line.with(Style::Dim, &format!(" {why}"));
    }
    if let Some((so_far, needed)) = check.turning {
        line = line.with(Style::Warn, &format!(" {so_far}/{needed}"));
    }
    if let (Some(why), Health::Up | Health::Degraded | Health::Down) = (&check.cannot_run, check.health) {
        return line.and(&format!(" cannot be done: \"{why}\"{}", held(check)));
    }
    match &check.last {
        Some(last) if last.health == Health::Up => line.and(&format!(" {}", when::took(last.took_seconds))),
        Some(last) => line.and(&format!(" \"{}\"", last.detail)),
        None => match check.starts_in_seconds {
            Some(left) => line.and(&format!(" {}", super::service::starts_in(left))),
            None => line,
        },
    }
}

/// For how long what is known holds, where that is not for ever.
pub(super) fn held(check: &Check) -> String {
    let left =
        check.holds_seconds.map(|left| format!(" ({} for {} more)", health_word(check.health), when::soon(left)));
    left.unwrap_or_default()
}

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Degraded => "degraded",
        Health::Down => "down",
        Health::Unknown => "unknown",
    }
}

/// The addresses something remarkable is to be said of.
fn addresses(addresses: &[Address], view: View) -> Vec<Line> {
    let remarkable = |address: &&Address| !address.bound || address.foreign || address.problem.is_some();
    address_table(addresses.iter().filter(remarkable), view, 0)
}

/// Addresses and what the kernel says of them.
pub(super) fn address_table<'a>(addresses: impl Iterator<Item = &'a Address>, view: View, indent: usize) -> Vec<Line> {
    let mut table = Table::new(vec![
        Column::fixed("ADDRESS"),
        Column::fixed("ON"),
        Column::fixed("STATE"),
        Column::fixed("SINCE"),
        Column::flexible("PROBLEM", 24),
    ])
    .indented(indent);
    for address in addresses {
        let state = match (address.bound, address.foreign) {
            (true, false) => Line::styled(Style::Good, "bound"),
            (true, true) => Line::styled(Style::Warn, "bound by another"),
            (false, _) => Line::styled(Style::Bad, "not bound"),
        };
        table.row(vec![
            Cell::wrap(Line::plain(&address.address)),
            address.interface.as_ref().map_or_else(nothing, |name| Line::plain(name)).into(),
            state.into(),
            Line::plain(&when::age(address.since, view.now)).into(),
            Cell::wrap(address.problem.as_ref().map_or_else(nothing, |problem| Line::plain(problem))),
        ]);
    }
    table.lay_out(view.width)
}

#[cfg(test)]
mod tests;
