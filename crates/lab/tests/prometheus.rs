//! What is given to operators for Prometheus and Grafana: the rules do what they say, and nothing names what there is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anycast_lab::programs::repository;
use serde_json::Value;

/// Of every Prometheus client; that the agent has them is seen beside a router (`agent::metrics`).
const PROCESS: [&str; 5] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

fn deploy(file: &str) -> PathBuf {
    repository().join("deploy").join(file)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(file: &str) -> Value {
    serde_yaml::from_str(&read(&deploy(file))).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn page() -> String {
    read(&repository().join("docs/src/metrics.md"))
}

/// `promtool` with these arguments, in the directory of the rules; what it says where it finds fault.
fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    let said = command.args(arguments).current_dir(deploy("prometheus")).output();
    let said = said.unwrap_or_else(|error| panic!("promtool: {error}; `cargo lab test` installs it"));
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success(), "promtool {arguments:?}: {words}");
}

/// The metrics that the page lists, each with its type.
fn documented() -> BTreeMap<String, String> {
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| `anycastd_"));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        Some((cells.next()?.trim_matches('`').to_owned(), cells.next()?.to_owned()))
    };
    rows.filter_map(row).collect()
}

/// The metrics that an expression names and the page does not know.
fn unknown(expression: &str, documented: &BTreeMap<String, String>) -> Vec<String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
    let words = expression.split(|character| !is_word(character));
    let metrics = words.filter(|word| word.starts_with("anycastd_") || word.starts_with("process_"));
    let is_known = |name: &&str| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let of_histogram = histogram.and_then(|base| documented.get(base)).is_some_and(|kind| kind == "histogram");
        of_histogram || PROCESS.contains(name) || documented.get(*name).is_some_and(|kind| kind != "histogram")
    };
    metrics.filter(|name| !is_known(name)).map(str::to_owned).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every rule for an alert.
fn alerts() -> Vec<Value> {
    rules(&yaml("prometheus/alerts.yml"))
}

fn rules(file: &Value) -> Vec<Value> {
    list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

/// The anchors that the page's headings have in the book.
fn anchors() -> BTreeSet<String> {
    let page = page();
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| heading.to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let (anchors, documented) = (anchors(), documented());
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = text(&alert["alert"]);
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let severity = text(&alert["labels"]["severity"]);
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity:?}");
        for key in ["summary", "description"] {
            assert!(!text(&alert["annotations"][key]).is_empty(), "{name} has no {key}");
        }
        let anchor = text(&alert["annotations"]["runbook_url"]).strip_prefix("metrics.md#");
        assert!(anchor.is_some_and(|anchor| anchors.contains(anchor)), "{name}: no such section: {anchor:?}");
        assert_eq!(unknown(text(&alert["expr"]), &documented), [""; 0], "{name} is about metrics that there are not");
    }
    let about: Vec<&String> = anchors.iter().filter(|anchor| anchor.starts_with("anycast")).collect();
    assert_eq!(about.len(), names.len(), "sections {about:?}, alerts {names:?}");
}

#[test]
fn every_alert_fires_and_has_a_case_in_which_it_does_not() {
    let cases = yaml("prometheus/alerts_test.yml");
    let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in list(&cases["tests"]).iter().flat_map(|test| list(&test["alert_rule_test"])) {
        let (fires, silent) = seen.entry(text(&case["alertname"]).to_owned()).or_default();
        *if list(&case["exp_alerts"]).is_empty() { silent } else { fires } += 1;
    }
    let names: BTreeSet<String> = alerts().iter().map(|alert| text(&alert["alert"]).to_owned()).collect();
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), names);
    assert!(seen.values().all(|(fires, silent)| *fires > 0 && *silent > 0), "{seen:?}");
    promtool(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn the_line_that_gives_the_runbooks_an_address_does_so_and_the_rules_stay_good() {
    let page = page();
    let typed = page.lines().find(|line| line.starts_with("sed -i 's|runbook_url")).expect("the page has the line");
    let home = tempfile::tempdir().unwrap();
    for file in ["alerts.yml", "alerts_test.yml"] {
        fs::copy(deploy("prometheus").join(file), home.path().join(file)).unwrap();
    }
    assert!(Command::new("sh").args(["-c", typed]).current_dir(home.path()).status().unwrap().success());
    let changed: Value = serde_yaml::from_str(&read(&home.path().join("alerts.yml"))).unwrap();
    for (alert, before) in rules(&changed).iter().zip(alerts()) {
        let (now, before) = (&alert["annotations"]["runbook_url"], text(&before["annotations"]["runbook_url"]));
        let anchor = before.strip_prefix("metrics.md").unwrap();
        assert_eq!(text(now), format!("https://docs.example.net/anycastd/metrics.html{anchor}"));
    }
    let tests = home.path().join("alerts_test.yml");
    promtool(&["test", "rules", tests.to_str().unwrap()]);
}

#[test]
fn prometheus_takes_the_example_of_a_configuration() {
    promtool(&["check", "config", "scrape.yml"]);
}

/// A panel, and what it holds.
fn panels(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).iter().flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"]))).collect()
}

/// Every expression of the dashboard, with its variables filled in, and where it stands.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let filled = |expression: &str| {
        let fillings = [("$__rate_interval", "5m"), ("$__range", "6h"), ("$node", ".*"), ("$service", ".*")];
        fillings.iter().fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value))
    };
    let of_panel = |panel: &Value| {
        let title = text(&panel["title"]).to_owned();
        let targets = list(&panel["targets"]).iter().map(|target| filled(text(&target["expr"])));
        targets.map(move |expression| (title.clone(), expression)).collect::<Vec<_>>()
    };
    let notes = list(&dashboard["annotations"]["list"]).iter().filter(|note| note["expr"].is_string());
    let notes = notes.map(|note| (text(&note["name"]).to_owned(), filled(text(&note["expr"]))));
    panels(dashboard).into_iter().flat_map(of_panel).chain(notes).collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read(&deploy("grafana/anycastd.json"))).unwrap();
    let (documented, expressions) = (documented(), expressions(&dashboard));
    assert!(expressions.len() > 30, "{expressions:?}");
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for (number, (title, expression)) in expressions.iter().enumerate() {
        assert_eq!(unknown(expression, &documented), [""; 0], "{title}");
        assert!(!expression.contains('$'), "{title}: {expression}");
        let quoted = serde_json::to_string(expression).unwrap();
        rules.push_str(&format!("      - {{ record: 'panel:{number}', expr: {quoted} }}\n"));
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("dashboard.yml");
    fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

#[test]
fn the_dashboard_is_one_that_grafana_imports() {
    let dashboard: Value = serde_json::from_str(&read(&deploy("grafana/anycastd.json"))).unwrap();
    let panels = panels(&dashboard);
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("a panel has an id")).collect();
    assert_eq!(ids.len(), panels.len(), "ids are given once");
    let variables = list(&dashboard["templating"]["list"]).iter();
    let variables: Vec<(&str, &str)> =
        variables.map(|variable| (text(&variable["name"]), text(&variable["type"]))).collect();
    assert_eq!(variables, [("datasource", "datasource"), ("node", "query"), ("service", "query")]);
    for panel in &panels {
        let title = text(&panel["title"]);
        let GridPos { x, w } = grid(panel);
        assert!(!title.is_empty() && w > 0 && x + w <= 24, "{title}: {x} + {w}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    let rows: Vec<&str> =
        panels.iter().filter(|panel| panel["type"] == "row").map(|panel| text(&panel["title"])).collect();
    let expected = ["Is it announced?", "Services and checks", "Sessions", "BFD", "Time to withdraw"];
    assert_eq!(rows[..5], expected);
    assert_eq!(dashboard["schemaVersion"], 38, "of Grafana 10; later ones migrate it");
}

struct GridPos {
    x: u64,
    w: u64,
}

fn grid(panel: &Value) -> GridPos {
    let of = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_default();
    GridPos { x: of("x"), w: of("w") }
}
