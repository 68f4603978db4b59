//! `docs/src/reference.md`: every key, of the table. `UPDATE=1 cargo nextest run -p anycastd reference schema` writes it anew.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use crate::config::keys::{Key, Keys, LeftOut, Shape, TOP};

const HEAD: &str = "\
# Reference of the keys

Made of the table that the JSON schema is made of too; tests hold it against the reader: the keys, their ranges, and what is in force without them. What they do together is told in
[Configuration](configuration.md), where [the ways to write values](configuration.md#how-values-are-written) are as well.

";

/// A file of the book is as it should be; with `UPDATE` in the environment it is made so.
pub(super) fn current(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    let differs = there.lines().zip(text.lines()).find(|(is, should)| is != should);
    assert!(there == text, "{name} is not current: run this test with UPDATE=1; the first difference: {differs:?}");
}

#[test]
fn the_reference_is_current() {
    current("reference.md", &page());
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut seen = BTreeSet::new();
    section(&mut page, &TOP, "The top", &mut seen);
    // One empty line at the end of it is none.
    page.truncate(page.trim_end().len());
    page + "\n"
}

/// A table, then those of its keys.
fn section(page: &mut String, keys: &'static Keys, title: &str, seen: &mut BTreeSet<&'static str>) {
    if !seen.insert(keys.place) {
        return;
    }
    let _ = writeln!(page, "## {title}\n\n| key | value | left out | meaning |\n|---|---|---|---|");
    for key in keys.keys {
        let _ = writeln!(page, "{}", row(key));
    }
    page.push('\n');
    keys.keys.iter().for_each(|key| below(page, &key.shape, seen));
}

fn below(page: &mut String, shape: &'static Shape, seen: &mut BTreeSet<&'static str>) {
    match shape {
        Shape::Keys(keys) => section(page, keys, &format!("`{}`", keys.place), seen),
        Shape::Kinds(kinds) => {
            section(page, kinds.common, &format!("`{}`", kinds.common.place), seen);
            for (_, keys) in kinds.kinds {
                section(page, keys, &format!("`{}`", keys.place), seen);
            }
        }
        Shape::List(item) | Shape::Named(item) => below(page, item, seen),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| below(page, shape, seen)),
        _ => {}
    }
}

fn row(key: &Key) -> String {
    let left_out = match key.left_out {
        LeftOut::Required => "**required**".to_owned(),
        LeftOut::Is(text) => format!("`{}`", text.trim_matches('"')),
        LeftOut::Says("") => "–".to_owned(),
        LeftOut::Says(words) => words.to_owned(),
    };
    format!("| `{}` | {} | {left_out} | {} |", key.name, value(&key.shape), key.doc)
}

/// How it is written, in words.
fn value(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Form(_, what) => (*what).to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Truth => "`true`, `false`".to_owned(),
        Shape::Number(least, most) => format!("{least} to {most}"),
        Shape::Time(least, most) => format!("duration, {least} to {most}"),
        Shape::List(item) => format!("list: {}", value(item)),
        Shape::Named(item) => format!("mapping by names: {}", value(item)),
        Shape::Keys(keys) => format!("keys of `{}`", keys.place),
        Shape::Kinds(kinds) => format!("keys of `{}`, and those of its `{}`", kinds.common.place, kinds.by.name),
        Shape::Either(shapes) => shapes.iter().map(value).collect::<Vec<_>>().join("; or "),
    }
}
