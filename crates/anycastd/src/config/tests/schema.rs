//! The JSON schema takes what the reader takes, and knows the mistakes that a schema can know.

use std::{fs, path::Path};

use regex::Regex;
use serde_json::{Value, json};

use super::*;
use crate::config::{
    diagnostic::Report,
    schema,
    source::Source,
    yaml::{self, Kind, Node},
};

/// As YAML 1.2 reads it, which is what the language servers of editors do.
fn value_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "false") => json!(text == "true"),
        Kind::Scalar { text, plain: true } => {
            let number = text.parse::<i64>().ok().map(|number| json!(number));
            let number = number.or_else(|| Some(json!(text.parse::<f64>().ok().filter(|_| text.contains('.'))?)));
            number.unwrap_or_else(|| json!(text))
        }
        Kind::Scalar { text, .. } => json!(text),
        Kind::List(items) => items.iter().map(value_of).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.name.clone(), value_of(&entry.value))).collect())
        }
    }
}

/// What the schema has against a text, by the keywords that it uses.
fn faults(text: &str) -> Vec<String> {
    let source = Source::new("f", text.to_owned());
    let root = yaml::parse(&source, &mut Report::new(&source)).unwrap();
    validate(&schema(), &value_of(&root), "")
}

fn validate(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (keyword, wanted) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" => types(wanted).iter().any(|name| is_of(value, name)),
            "enum" => wanted.as_array().unwrap().contains(value),
            "const" => wanted == value,
            "pattern" => value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "anyOf" => shapes(wanted).any(|shape| validate(shape, value, at).is_empty()),
            "oneOf" => shapes(wanted).filter(|shape| validate(shape, value, at).is_empty()).count() == 1,
            "required" => value.as_object().is_none_or(|map| types(wanted).iter().all(|key| map.contains_key(*key))),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                faults.extend(items.flat_map(|(number, item)| validate(wanted, item, &format!("{at}[{number}]"))));
                true
            }
            "properties" => {
                let known = wanted.as_object().unwrap().iter();
                let there = known.filter_map(|(key, shape)| Some((key, shape, value.get(key)?)));
                faults.extend(there.flat_map(|(key, shape, value)| validate(shape, value, &format!("{at}.{key}"))));
                true
            }
            "additionalProperties" => {
                let others =
                    value.as_object().into_iter().flatten().filter(|(key, _)| schema["properties"].get(key).is_none());
                faults.extend(others.flat_map(|(key, value)| match wanted {
                    Value::Bool(_) => vec![format!("{at}: unknown key {key}")],
                    shape => validate(shape, value, &format!("{at}.{key}")),
                }));
                true
            }
            other => panic!("the schema uses `{other}`, which nobody here knows"),
        };
        if !good {
            faults.push(format!("{at}: {keyword} {wanted}"));
        }
    }
    faults
}

fn shapes(all: &Value) -> impl Iterator<Item = &Value> {
    all.as_array().unwrap().iter()
}

fn types(names: &Value) -> Vec<&str> {
    match names {
        Value::String(name) => vec![name],
        several => several.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

#[test]
fn every_good_file_of_the_repository_is_good_by_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = vec![("full".to_owned(), FULL.to_owned()), ("small".to_owned(), SMALL.to_owned())];
    for file in ["deploy/examples/anycastd.yaml", "deploy/debian/anycastd.yaml", "lab/configs/ap-edge1/anycastd.yaml"] {
        texts.push((file.to_owned(), fs::read_to_string(root.join(file)).unwrap()));
    }
    for page in ["README.md", "docs/src/configuration.md", "docs/src/quick-start.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        texts.extend(blocks.map(|block| (page.to_owned(), block.to_owned())));
    }
    assert!(texts.len() >= 9);
    for (name, text) in texts {
        assert_eq!(faults(&text), [""; 0], "{name}");
    }
}

#[test]
fn mistakes_are_seen_where_they_are() {
    for (from, to) in [
        ("asn: 65010", "asm: 65010"),
        ("asn: 65010", "asn: 0"),
        ("asn: 65010", "asn: 4294967296"),
        ("asn: 65010", "asn: \"1.10\""),
        ("      asn: 65001", "      asn: exteral"),
        ("      asn: 65001", "      asn: 65001\n      hold_time: 9"),
        ("      asn: 65001", "      asn: 65001\n      drain_by: gsut"),
        ("      asn: 65001", "      asn: 65001\n      bfd: { intervall: 50ms }"),
        ("      asn: 65001\n", ""),
        ("type: tcp", "type: tpc"),
        ("port: 53", "url: http://x/"),
        ("port: 53", "port: 0"),
        ("port: 53", "port: 53\n        rise: 0"),
        ("neighbors: [leaf1]", "neighbours: [leaf1]"),
        ("[203.0.113.0/24]", "[203.0.113.0]"),
        ("    addresses: [203.0.113.53/32]\n", ""),
        ("services:", "log: { level: loud }\nservices:"),
        ("services:", "policy: {}\nservices:"),
    ] {
        let text = small_with(from, to);
        assert!(read(&text).is_err(), "{to}: the reader takes it");
        assert!(!faults(&text).is_empty(), "{to}: the schema takes it");
    }
}

#[test]
fn the_schema_that_is_shipped_is_this_one() {
    reference::current("anycastd.schema.json", &format!("{:#}\n", schema()));
}
