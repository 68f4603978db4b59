use super::{super::sample, *};

/// What XML asks for: every element is closed in its turn, attributes are quoted, and nothing else is opened.
fn check_nesting(page: &str) {
    let mut open = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    while let Some((text, tail)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
        let (inside, tail) = tail.split_once('>').expect("an end of the tag");
        rest = tail;
        let name = inside.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        match (inside.starts_with('/'), inside.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "{inside}"),
            (false, true) => {}
            (false, false) => open.push(name),
        }
        assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
        assert!(!inside.split('"').step_by(2).any(|outside| outside.contains('\'')), "{inside}");
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
}

/// Like what a peer, a file or a router may have put there.
fn hostile() -> Report {
    let mut report = sample::report();
    let evil = "</style></svg><script>alert(1)</script><img src=x onerror=\"alert(2)\">'&\u{0}";
    report.machine = evil.to_owned();
    report.made = evil.to_owned();
    report.programs[0].version = evil.to_owned();
    for method in &mut report.methods {
        method.title += evil;
        method.meaning += evil;
        method.routers = method.routers.take().map(|name| name + evil);
        method.computed_from = method.computed_from.take().map(|name| name + evil);
        for event in method.runs.iter_mut().flat_map(|run| &mut run.events) {
            event.node = evil.to_owned();
            event.text = evil.to_owned();
        }
    }
    report
}

#[test]
fn a_page_is_well_formed() {
    check_nesting(&html(&sample::report()));
}

#[test]
fn nothing_that_a_report_says_becomes_markup() {
    let page = html(&hostile());
    check_nesting(&page);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{0}'));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(page.matches("<style").count(), 1);
}

#[test]
fn a_page_needs_nothing_from_outside() {
    let page = html(&sample::report());
    for outside in ["http://", "https://", "@import", "src=", "<link", "<script", "fonts.g"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let places = |key: &str| page.split(key).skip(1).map(|rest| rest.chars().next()).collect::<Vec<_>>();
    assert!(places(" href=\"").iter().chain(&places("url(")).all(|first| *first == Some('#')));
    assert!(page.contains("default-src &#39;none&#39;"));
}

#[test]
fn names_within_the_page_are_there_once() {
    let page = html(&sample::report());
    let ids: Vec<_> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(unique.contains(&target), "{target}");
    }
}

#[test]
fn each_drawing_is_told_in_words() {
    let page = html(&sample::report());
    let drawings: Vec<_> = page.split("<svg class=\"plot\"").skip(1).collect();
    assert!(drawings.len() > 4);
    for drawing in drawings {
        let text =
            drawing.split_once("<desc").and_then(|(_, rest)| rest.split_once("</desc>")).expect("a description").0;
        assert!(text.len() > 100, "{text}");
    }
}

#[test]
fn what_is_said_of_several_methods_is_said_once() {
    let mut report = sample::report();
    let meaning = "What both of them mean.";
    report.methods[0].meaning = "What the first of them means.".to_owned();
    for method in &mut report.methods[1..3] {
        method.meaning = meaning.to_owned();
    }
    let page = html(&report);
    assert_eq!(page.matches(meaning).count(), 1);
    let titles = [&report.methods[1], &report.methods[2]].map(|method| format!("<dt>{}</dt>", method.title)).concat();
    assert!(page.contains(&format!("{titles}<dd>{meaning}")), "{page}");
}

#[test]
fn both_lights_are_provided_for() {
    let page = html(&sample::report());
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("content=\"light dark\""));
}

#[test]
fn what_never_came_is_drawn_at_the_edge_and_said() {
    let report = sample::report();
    let page = html(&report);
    assert!(page.contains(">never</text>"));
    let arrows = page.matches("href=\"#arrow\"").count();
    // One for each run of the round robin in the drawing of what was lost, and one in each of the bars and the run that is told.
    assert_eq!(arrows, 30 + 2);
}

#[test]
fn a_report_of_next_to_nothing_is_drawn() {
    let mut report = sample::report();
    report.methods.truncate(2);
    report.methods[0].runs.clear();
    for run in &mut report.methods[1].runs {
        (run.first_good_ms, run.recovered_ms, run.requests) = (None, None, 0);
        run.events.clear();
    }
    check_nesting(&html(&report));
    report.methods.clear();
    report.quick = true;
    let page = html(&report);
    check_nesting(&page);
    assert!(page.contains(words::QUICK));
}

#[test]
fn the_methods_that_make_the_point_are_one_for_each_way() {
    let report = sample::report();
    let ids: Vec<_> = contrast(&report).iter().map(|method| method.id.as_str()).collect();
    assert_eq!(ids, ["dns-round-robin", "dns-ttl-30", "anycast-listener-frr"]);
}
