//! Fields of a header: those that a check sends, and those that it expects.

use std::collections::{BTreeMap, btree_map};

use anycast_core::Secret;
use hyper::header::{HeaderName, HeaderValue};

use super::super::super::{
    diagnostic::{Report, quoted},
    reader::{Section, wrong_type},
    secrets,
    values::{path, text},
    yaml::{Kind, Node},
};

/// Fields that belong to the connection or say how long the body is (RFC 9110 §7.6.1, RFC 9113 §8.2.2).
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Fields = BTreeMap<String, Secret>;

/// `headers` and `headers_file`: what is sent beside the usual fields. Values may be passwords, and are shown to nobody.
pub(super) fn sent(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Fields> {
    let written = section.or("headers", Fields::new(), report, |node, report| {
        let mut fields = Fields::new();
        each(node, "headers", "headers: { accept: text/html }", report, |name, node, report| {
            report.hide(node.span);
            let value = text(node, "headers", report)?;
            let value = match value_of(value.as_bytes()) {
                Ok(value) => value,
                Err(why) => {
                    report.error(node.span, format!("the value of `{name}` {why}"), "write one line of plain ASCII");
                    return None;
                }
            };
            fields.insert(name, value);
            Some(())
        })?;
        Some(fields)
    });
    let filed = section.or("headers_file", Fields::new(), report, |node, report| {
        let path = path(node, "headers_file", report)?;
        let wrong = |fault, report: &mut Report<'_>| report.error_in(secrets::called(&path), node.span, fault);
        let octets = secrets::file(&path, node.span, report)?;
        let shown = path.display().to_string();
        of_file(octets.expose(), &shown).map_err(|fault| wrong(fault, report)).ok()
    });
    let (mut written, filed) = (written?, filed?);
    for (name, value) in filed {
        match written.entry(name) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(value);
            }
            btree_map::Entry::Occupied(entry) => {
                let span = section.has("headers_file").unwrap_or(section.span);
                let message = format!("the field `{}` is in `headers` and in `headers_file`", entry.key());
                report.error(span, message, "remove one of the two");
                return None;
            }
        }
    }
    Some(written)
}

/// `expect.header`: each field with a text that it must hold; `*`: it must be there.
pub(super) fn expected(node: &Node, report: &mut Report<'_>) -> Option<BTreeMap<String, Option<String>>> {
    let mut fields = BTreeMap::new();
    each(node, "header", "header: { content-type: text/html }", report, |name, node, report| {
        let value = text(node, "header", report)?;
        if value.is_empty() || value.len() > 1024 || value.chars().any(char::is_control) {
            let message = format!("the value of `{name}` cannot be {}", quoted(value));
            report.error(node.span, message, "write a text that it must hold, or `\"*\"` where any value is good");
            return None;
        }
        fields.insert(name, (value != "*").then(|| value.to_owned()));
        Some(())
    })?;
    Some(fields)
}

/// Reads a mapping from names of fields.
fn each(
    node: &Node,
    key: &str,
    example: &str,
    report: &mut Report<'_>,
    mut read: impl FnMut(String, &Node, &mut Report<'_>) -> Option<()>,
) -> Option<()> {
    let Kind::Map(entries) = &node.kind else {
        wrong_type(node, &quoted(key), "a mapping of names to values", &format!("write `{example}`"), report);
        return None;
    };
    let mut seen = BTreeMap::new();
    let mut whole = true;
    for entry in entries {
        let name = match name_of(entry.key.name.as_bytes()) {
            Ok(name) => name,
            Err(why) => {
                report.hide(entry.key.span);
                report.error(entry.key.span, format!("{} {why}", quoted_name(&entry.key.name)), remedy(why));
                whole = false;
                continue;
            }
        };
        if let Some(first) = seen.insert(name.clone(), entry.key.span) {
            let message = format!("the field `{name}` twice; it is first on line {}", report.line(first));
            report.error(entry.key.span, message, "remove one of the two: capitals make no difference");
            whole = false;
        }
        whole &= read(name, &entry.value, report).is_some();
    }
    whole.then_some(())
}

/// A value may have got into its name: `"X-Api: abc"` in one pair of quotes.
pub(in super::super) fn quoted_name(name: &str) -> String {
    match name.find([':', '=']) {
        Some(end) => quoted(&format!("{}…", &name[..=end].trim_end())),
        None => quoted(name),
    }
}

/// `Name: value`, one a line.
fn of_file(octets: &[u8], file: &str) -> Result<Fields, (String, String)> {
    const HINT: &str = "write one field on each line: `Authorization: Bearer …`";
    let mut fields = Fields::new();
    for (number, line) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        // The line itself may be the password.
        let wrong = |why: &str| (format!("line {number} of {file} {why}"), HINT.to_owned());
        let colon = line.iter().position(|octet| *octet == b':').ok_or_else(|| wrong("has no `:`"))?;
        let name = name_of(&line[..colon]).map_err(&wrong)?;
        let value = value_of(line[colon + 1..].trim_ascii()).map_err(wrong)?;
        if fields.insert(name.clone(), value).is_some() {
            return Err((format!("the field `{name}` is twice in {file}"), "remove one of the two".to_owned()));
        }
    }
    if fields.is_empty() {
        return Err((format!("{file} is empty"), HINT.to_owned()));
    }
    Ok(fields)
}

const NO_NAME: &str = "is not the name of a field";
const HOST: &str = "says whom to ask";

fn remedy(why: &str) -> &'static str {
    match why {
        NO_NAME => "a name has letters, digits and `-`: `content-type`",
        HOST => "write the host in the URL, and with `address` where to connect",
        _ => "leave it out",
    }
}

/// In lower case, as HTTP/2 has it.
fn name_of(octets: &[u8]) -> Result<String, &'static str> {
    let name = HeaderName::from_bytes(octets).map_err(|_| NO_NAME)?;
    match name.as_str() {
        "host" => Err(HOST),
        name if OURS.contains(&name) => Err("is up to the connection"),
        name => Ok(name.to_owned()),
    }
}

fn value_of(octets: &[u8]) -> Result<Secret, &'static str> {
    let good =
        octets.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~')) && HeaderValue::from_bytes(octets).is_ok();
    if good && octets.len() <= 4096 { Ok(Secret::new(octets.to_vec())) } else { Err("cannot be sent") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_field_on_each_line() {
        let fields = of_file(b"Authorization: Bearer a:b \r\n\nX-Probe:1\n", "f").unwrap();
        let shown: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(shown, [("authorization", &b"Bearer a:b"[..]), ("x-probe", b"1")]);
        let cases: [(&[u8], &str); 7] = [
            (b"", "f is empty"),
            (b"hunter2", "line 1 of f has no `:`"),
            (b"\na b: c", "line 2 of f is not the name of a field"),
            (b"Host: x", "line 1 of f says whom to ask"),
            (b"TE: x", "line 1 of f is up to the connection"),
            (b"x: \x01", "line 1 of f cannot be sent"),
            (b"x: 1\nX: 2", "the field `x` is twice in f"),
        ];
        for (octets, message) in cases {
            assert_eq!(of_file(octets, "f").unwrap_err().0, message);
        }
    }
}
