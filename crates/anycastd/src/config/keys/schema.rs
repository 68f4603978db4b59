//! The table as a JSON schema, draft-07: what the language servers of editors know.
//!
//! It is narrower than the reader where that helps whoever writes (`policy` is no key of it), and wider where a schema cannot say what the
//! reader asks for: ranges of durations, and whatever spans several keys.

use serde_json::{Map, Value, json};

use super::{Key, Keys, Kinds, LeftOut, Shape, TOP};

/// Any number of units; the ranges are told in words.
const TIME: &str = "^([0-9]+ ?[a-zµ]+ ?)+$";

/// The schema of a whole file.
pub(in crate::config) fn schema() -> Value {
    let mut schema = mapping(&TOP);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("anycastd");
    schema["description"] = json!("The configuration of anycastd, the anycast agent of an edge node.");
    schema
}

fn mapping(keys: &Keys) -> Value {
    let mut object = object(keys.keys.iter().map(|key| (key.name, property(key))), &[keys]);
    object["title"] = json!(keys.place);
    object
}

fn object(properties: impl Iterator<Item = (&'static str, Value)>, of: &[&Keys]) -> Value {
    let properties: Map<String, Value> = properties.map(|(name, value)| (name.to_owned(), value)).collect();
    let all = of.iter().flat_map(|keys| keys.keys);
    let required: Vec<&str> = all.filter(|key| matches!(key.left_out, LeftOut::Required)).map(|key| key.name).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// A value with its sentence, as editors show it.
fn property(key: &Key) -> Value {
    let mut value = shape(&key.shape);
    value["description"] = json!(sentence(key));
    if let LeftOut::Is(text) = key.left_out {
        value["default"] = scalar(text);
    }
    value
}

fn sentence(key: &Key) -> String {
    let range = match key.shape {
        Shape::Time(least, most) => format!(" From {least} to {most}."),
        _ => String::new(),
    };
    match key.left_out {
        LeftOut::Says(words) if !words.is_empty() => format!("{}{range} Left out: {words}.", key.doc),
        _ => format!("{}{range}", key.doc),
    }
}

/// As YAML reads it where it is not quoted.
fn scalar(text: &str) -> Value {
    match (text.trim_matches('"'), text.parse::<u32>()) {
        ("true", _) => json!(true),
        ("false", _) => json!(false),
        (_, Ok(number)) => json!(number),
        (bare, Err(_)) => json!(bare),
    }
}

fn shape(shape: &Shape) -> Value {
    match shape {
        // `007` and `true` are texts here, whatever YAML makes of them.
        Shape::Text => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Form(pattern, what) => {
            json!({ "title": what, "type": ["string", "number", "boolean"], "pattern": pattern })
        }
        Shape::Word(words) => json!({ "enum": words.iter().flat_map(|word| both(word)).collect::<Vec<_>>() }),
        Shape::Truth => json!({ "type": "boolean" }),
        Shape::Number(least, most) => {
            json!({ "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^[0-9]+$" })
        }
        Shape::Time(..) => json!({ "type": "string", "pattern": TIME }),
        Shape::List(item) => json!({ "type": "array", "items": self::shape(item) }),
        Shape::Named(value) => json!({ "type": "object", "additionalProperties": self::shape(value) }),
        Shape::Keys(keys) => mapping(keys),
        Shape::Kinds(kinds) => json!({ "oneOf": each(kinds) }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(self::shape).collect::<Vec<_>>() }),
    }
}

/// A word, and the number that it is where it is not quoted.
fn both(word: &str) -> Vec<Value> {
    let number = word.parse::<f64>().ok().map(|number| json!(number));
    [json!(word)].into_iter().chain(number).collect()
}

/// Each kind as a mapping of its own: the key that tells has one value there.
fn each(kinds: &Kinds) -> Vec<Value> {
    let one = |(value, own): &(&'static str, Keys)| {
        let all = kinds.common.keys.iter().chain(own.keys).map(|key| (key.name, property(key)));
        let by = json!({ "const": value, "description": kinds.by.doc });
        let mut object = object(std::iter::once((kinds.by.name, by)).chain(all), &[kinds.common, own]);
        object["title"] = json!(own.place);
        if let Some(required) = object["required"].as_array_mut() {
            required.insert(0, json!(kinds.by.name));
        }
        object
    };
    kinds.kinds.iter().map(one).collect()
}
