//! The table of keys and the reader say the same: which keys there are, what is in force without them, what is out of range.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::config::{
    Settings,
    diagnostic::Report,
    keys::{Key, Keys, LeftOut, Shape, TOP},
    reader::ASKED,
    source::{Source, Span},
    top,
    yaml::{self, Kind, Node},
};

/// The keys that [`FULL`] cannot have, since they need files or leave no room for others.
const REST: &str = "\
bgp:
  asn: 65010
  router_id: 192.0.2.11
  neighbors:
    - { name: leaf1, address: 192.0.2.1, asn: 65001, password_file: FILE }
    - { name: leaf2, address: 192.0.2.2, asn: 65001, graceful_restart: { restart_time: 60s } }
    - name: leaf3
      address: 192.0.2.3
      asn: 65001
      tcp_ao: { password_file: FILE, send_id: 1, recv_id: 2, algorithm: aes-128-cmac-96 }
      bfd: { authentication: { type: keyed-sha1, key_id: 7, password_file: FILE } }
    - { name: leaf4, address: 192.0.2.4, asn: 65001, credential: secret }
    - { name: leaf5, address: 192.0.2.5, asn: 65001, tcp_ao: { credential: secret, send_id: 1, recv_id: 2 } }
    - { name: leaf6, address: 192.0.2.6, asn: 65001, bfd: { authentication: { type: keyed-sha1, credential: secret } } }
services:
  - name: dns
    addresses: [203.0.113.53]
    checks:
      - { name: a, type: http, port: 80, headers_file: FILE, hold_connection: true }
      - { name: b, type: grpc, address: \"203.0.113.53:80\", hold_connection: true }
      - { name: c, type: udp, port: 7, send: x, expect: y }
http: { listen: \"127.0.0.1:9000\" }
";

/// A text that is good, on a machine that has what it names.
struct Example {
    host: Host,
    source: Source,
    root: Node,
    _home: tempfile::TempDir,
}

impl Example {
    fn new(text: &str) -> Self {
        use std::{fs, os::unix::fs::PermissionsExt as _};

        let home = tempfile::tempdir().unwrap();
        for (name, holds) in [("secret", "hunter2"), ("file", "x: y")] {
            fs::write(home.path().join(name), holds).unwrap();
            fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o400)).unwrap();
        }
        let file = |line: &str| if line.contains("headers_file") { "file" } else { "secret" };
        let placed = |line: &str| line.replace("FILE", &home.path().join(file(line)).display().to_string()) + "\n";
        let text: String = text.lines().map(placed).collect();
        let source = Source::new("example.yaml", text);
        let root = yaml::parse(&source, &mut Report::new(&source)).unwrap();
        let host = Host { credentials: Some(home.path().into()), has_tcp_ao: true, ..host() };
        Self { host, source, root, _home: home }
    }

    fn both() -> [Self; 2] {
        [Self::new(FULL), Self::new(REST)]
    }

    /// What becomes of the tree, and all that is wrong: each with its place.
    fn read(&self, root: &Node) -> (Option<Settings>, Vec<(usize, String)>) {
        let mut report = Report::new(&self.source);
        let settings = top::read(root, &self.host, &mut report);
        let found = report.finish();
        let errors = found.found().iter().filter(|found| found.severity == Severity::Error);
        let at = |found: &Diagnostic| found.place.as_ref().map_or(0, |place| place.line * 1000 + place.column);
        let errors: Vec<_> = errors.map(|found| (at(found), found.message.clone())).collect();
        (settings.filter(|_| errors.is_empty()), errors)
    }

    /// The same with another text at a place.
    fn with(&self, at: Span, text: &str) -> (Option<Settings>, Vec<(usize, String)>) {
        let mut root = self.root.clone();
        change(&mut root, &|value| (value.span == at).then(|| scalar(text, at)));
        self.read(&root)
    }

    /// The same without a key.
    fn without(&self, key: Span) -> (Option<Settings>, Vec<(usize, String)>) {
        let mut root = self.root.clone();
        remove(&mut root, key);
        self.read(&root)
    }

    /// Each key that is written, with its place in the table, in the file, and its value.
    fn written(&self) -> Vec<(&'static Keys, &'static Key, Span, &Node)> {
        let mut all = Vec::new();
        walk(&self.root, &Shape::Keys(&TOP), &mut |table, key, at, value| all.push((table, key, at, value)));
        all
    }
}

fn scalar(text: &str, span: Span) -> Node {
    let plain = !text.starts_with('"');
    Node { span, kind: Kind::Scalar { text: text.trim_matches('"').to_owned(), plain } }
}

fn change(node: &mut Node, with: &impl Fn(&Node) -> Option<Node>) {
    if let Some(other) = with(node) {
        *node = other;
    }
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| change(item, with)),
        Kind::Map(entries) => entries.iter_mut().for_each(|entry| change(&mut entry.value, with)),
        Kind::Null | Kind::Scalar { .. } => {}
    }
}

fn remove(node: &mut Node, key: Span) {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| remove(item, key)),
        Kind::Map(entries) => {
            entries.retain(|entry| entry.key.span != key);
            entries.iter_mut().for_each(|entry| remove(&mut entry.value, key));
        }
        Kind::Null | Kind::Scalar { .. } => {}
    }
}

/// Goes through the file and the table side by side.
fn walk<'a>(node: &'a Node, shape: &'static Shape, seen: &mut impl FnMut(&'static Keys, &'static Key, Span, &'a Node)) {
    match (&node.kind, shape) {
        (_, Shape::Either(shapes)) => {
            let fits = |shape: &&Shape| match node.kind {
                Kind::Map(_) => matches!(shape, Shape::Keys(_)),
                Kind::List(_) => matches!(shape, Shape::List(_)),
                Kind::Null | Kind::Scalar { .. } => false,
            };
            if let Some(shape) = shapes.iter().find(fits) {
                walk(node, shape, seen);
            }
        }
        (Kind::List(items), Shape::List(item)) => items.iter().for_each(|node| walk(node, item, seen)),
        (Kind::Map(entries), Shape::Named(value)) => entries.iter().for_each(|entry| walk(&entry.value, value, seen)),
        (Kind::Map(entries), Shape::Keys(_) | Shape::Kinds(_)) => {
            let tables = tables(node, shape);
            for entry in entries {
                let known = tables
                    .iter()
                    .find_map(|(table, keys)| Some((*table, keys.iter().find(|key| key.name == entry.key.name)?)));
                let Some((table, key)) = known else {
                    panic!("`{}` is not in the table of {}", entry.key.name, tables[0].0.place)
                };
                seen(table, key, entry.key.span, &entry.value);
                walk(&entry.value, &key.shape, seen);
            }
        }
        _ => {}
    }
}

/// The tables of a mapping.
fn tables(node: &Node, shape: &'static Shape) -> Vec<(&'static Keys, &'static [Key])> {
    match shape {
        Shape::Keys(keys) => vec![(keys, keys.keys)],
        Shape::Kinds(kinds) => {
            let Kind::Map(entries) = &node.kind else { panic!("not a mapping") };
            let by = entries.iter().find(|entry| entry.key.name == kinds.by.name).unwrap();
            let Kind::Scalar { text, .. } = &by.value.kind else { panic!("no word") };
            let own = &kinds.kinds.iter().find(|(name, _)| name == text).unwrap().1;
            let by = std::slice::from_ref(&kinds.by);
            vec![(kinds.common, kinds.common.keys), (own, own.keys), (kinds.common, by)]
        }
        _ => Vec::new(),
    }
}

/// Every key of the table, as its place and its name.
fn all_keys() -> BTreeSet<(&'static str, &'static str)> {
    fn add(shape: &'static Shape, all: &mut BTreeSet<(&'static str, &'static str)>) {
        let mut table = |keys: &'static Keys| {
            for key in keys.keys {
                all.insert((keys.place, key.name));
                add(&key.shape, all);
            }
        };
        match shape {
            Shape::Keys(keys) => table(keys),
            Shape::Kinds(kinds) => {
                table(kinds.common);
                kinds.kinds.iter().for_each(|(_, keys)| table(keys));
            }
            Shape::List(item) | Shape::Named(item) => add(item, all),
            Shape::Either(shapes) => shapes.iter().for_each(|shape| add(shape, all)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    add(&Shape::Keys(&TOP), &mut all);
    all
}

#[test]
fn the_examples_are_good_and_have_every_key_of_the_table() {
    let mut missing = all_keys();
    for example in &Example::both() {
        assert_eq!(example.read(&example.root).1, []);
        for (table, key, ..) in example.written() {
            missing.remove(&(table.place, key.name));
        }
    }
    // What is the same everywhere is tried at one place.
    missing.retain(|(place, _)| {
        !place.ends_with(".attributes") && !matches!(*place, "services[].up" | "services[].degraded")
    });
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn the_reader_asks_for_the_keys_of_the_table_and_no_others() {
    // By the kind of mapping: a `tls` of one type of check is another than that of the next.
    let mut asked = BTreeMap::<Vec<&str>, BTreeSet<&str>>::new();
    let mut told = BTreeMap::<Vec<&str>, BTreeSet<&str>>::new();
    for example in &Example::both() {
        ASKED.with_borrow_mut(Vec::clear);
        example.read(&example.root);
        let by_place: BTreeMap<Span, Vec<&str>> = ASKED.with_borrow(|asked| asked.iter().cloned().collect());
        maps(&example.root, &Shape::Keys(&TOP), &mut |node, shape| {
            let Kind::Map(entries) = &node.kind else { return };
            let Some(first) = entries.first() else { return };
            let tables = tables(node, shape);
            let place: Vec<&str> = tables.iter().map(|(table, _)| table.place).collect();
            let keys = tables.iter().flat_map(|(_, keys)| keys.iter().map(|key| key.name));
            told.entry(place.clone()).or_default().extend(keys);
            let known = by_place.get(&first.key.span).unwrap_or_else(|| panic!("{place:?} is not read as a mapping"));
            asked.entry(place).or_default().extend(known);
        });
    }
    assert!(told.len() > 30, "{}", told.len());
    assert_eq!(asked, told);
}

/// Every mapping with keys of its own.
fn maps(node: &Node, shape: &'static Shape, seen: &mut impl FnMut(&Node, &'static Shape)) {
    seen(node, shape);
    walk(node, shape, &mut |_, key, _, value| {
        let mut inner = |shape: &'static Shape, value: &Node| {
            if matches!((shape, &value.kind), (Shape::Keys(_) | Shape::Kinds(_), Kind::Map(_))) {
                seen(value, shape);
            }
        };
        each(&key.shape, value, &mut inner);
    });
}

/// The values of a shape that is one of several, of a list, or of a mapping by names.
fn each(shape: &'static Shape, value: &Node, seen: &mut impl FnMut(&'static Shape, &Node)) {
    match (shape, &value.kind) {
        (Shape::Either(shapes), _) => shapes.iter().for_each(|shape| each(shape, value, seen)),
        (Shape::List(item), Kind::List(nodes)) => nodes.iter().for_each(|node| each(item, node, seen)),
        (Shape::Named(item), Kind::Map(entries)) => entries.iter().for_each(|entry| each(item, &entry.value, seen)),
        _ => seen(shape, value),
    }
}

#[test]
fn what_is_left_out_is_as_the_table_says() {
    let mut tried = 0;
    for example in &Example::both() {
        for (table, key, at, value) in example.written() {
            let without = example.without(at);
            match key.left_out {
                LeftOut::Is(text) => {
                    let with = example.with(value.span, text);
                    assert_eq!(with, without, "{} `{}`: {text}", table.place, key.name);
                    tried += usize::from(with.0.is_some());
                }
                LeftOut::Required => assert!(without.0.is_none(), "{} `{}` may be left out", table.place, key.name),
                LeftOut::Says(_) => {}
            }
        }
    }
    assert!(tried > 40, "only {tried} defaults were compared in a good file");
}

/// Edges that are refused in the example for what stands beside them there.
const BESIDE: [(&str, &str); 4] =
    [("send_hold_time", "3s"), ("max_announced", "1"), ("fast_interval", "24h"), ("max", "1s")];

#[test]
fn ranges_are_as_the_table_says() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for example in &Example::both() {
        for (table, key, _, value) in example.written() {
            let Some((good, bad)) = edges(&key.shape, value) else { continue };
            tried += 1;
            let place = example.with(value.span, "no such value").1.iter().map(|(at, _)| *at).next();
            let refused = |text: &str| {
                let errors = example.with(value.span, text).1;
                errors.into_iter().find(|(at, _)| Some(*at) == place).map(|(_, message)| message)
            };
            let name = format!("{} `{}`", table.place, key.name);
            wrong.extend(
                good.iter()
                    .filter(|text| !BESIDE.contains(&(key.name, text.as_str())))
                    .filter_map(|text| Some(format!("{name}: {text}: {}", refused(text)?))),
            );
            wrong.extend(
                bad.iter().filter(|text| refused(text).is_none()).map(|text| format!("{name}: {text} is taken")),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried > 40, "{tried}");
}

/// Values at the edges of a range, and beyond; `None`: it has none, or another shape is written.
fn edges(shape: &Shape, value: &Node) -> Option<(Vec<String>, Vec<String>)> {
    let Kind::Scalar { text, .. } = &value.kind else { return None };
    match shape {
        Shape::Number(least, most) => Some((
            vec![least.to_string(), most.to_string()],
            [least.checked_sub(1).map(u64::from), Some(u64::from(*most) + 1)]
                .into_iter()
                .flatten()
                .map(|number| number.to_string())
                .collect(),
        )),
        Shape::Time(least, most) => {
            let shorter = humantime::parse_duration(least).unwrap().checked_sub(std::time::Duration::from_micros(1));
            let shorter =
                shorter.filter(|time| !time.is_zero()).map(|time| humantime::format_duration(time).to_string());
            Some((
                vec![(*least).to_owned(), (*most).to_owned()],
                shorter.into_iter().chain([format!("{most} 1ms")]).collect(),
            ))
        }
        Shape::Either(shapes) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            shapes.iter().find_map(|shape| edges(shape, value))
        }
        _ => None,
    }
}
