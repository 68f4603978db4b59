//! What an HTTP check expects of the answer.

use std::{collections::BTreeMap, ops::RangeInclusive};

use anycast_core::config::HttpMethod;

use super::{
    super::super::{
        diagnostic::Report,
        reader::{Section, list, wrong_type},
        values::text,
        yaml::{Kind, Node},
    },
    fields,
};

/// RFC 9110 §15.3: successful.
const SUCCESSFUL: RangeInclusive<u16> = 200..=299;
/// How much of a body is searched.
const BODY_LIMIT: usize = 64 * 1024;

pub(super) struct Expected {
    pub(super) status: Vec<RangeInclusive<u16>>,
    pub(super) body: Option<String>,
    pub(super) headers: BTreeMap<String, Option<String>>,
}

/// `method`: as far as it could be read.
pub(super) fn read(section: &mut Section<'_>, method: Option<HttpMethod>, report: &mut Report<'_>) -> Option<Expected> {
    if section.has("expect").is_none() {
        return Some(Expected { status: vec![SUCCESSFUL], body: None, headers: BTreeMap::new() });
    }
    let mut section = section.inner("expect", "`expect: { status: 200-299, body: \"ok\" }`", report)?;
    let status = section.or("status", vec![SUCCESSFUL], report, statuses);
    let body = section.maybe("body", report, |node, report| {
        let body = text(node, "body", report)?;
        if body.is_empty() || body.len() > BODY_LIMIT {
            let message = format!("`body` of {} bytes", body.len());
            report.error(node.span, message, "write a text of 1 to 65536 bytes that the answer must hold");
            return None;
        }
        if method == Some(HttpMethod::Head) {
            report.error(node.span, "`body` of an answer to HEAD", "it has none: leave it out, or `method: HEAD`");
            return None;
        }
        Some(body.to_owned())
    });
    let headers = section.or("header", BTreeMap::new(), report, fields::expected);
    section.close(report);
    Some(Expected { status: status?, body: body?, headers: headers? })
}

fn statuses(node: &Node, report: &mut Report<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    if !matches!(node.kind, Kind::List(_)) {
        return Some(vec![status(node, report)?]);
    }
    let statuses = list(node, "status", "200-299, 301", report, status);
    if statuses.whole && statuses.items.is_empty() {
        report.error(node.span, "`status` is empty", "leave it out for 200-299");
        return None;
    }
    statuses.whole.then(|| statuses.values().cloned().collect())
}

fn status(node: &Node, report: &mut Report<'_>) -> Option<RangeInclusive<u16>> {
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().filter(|code| (100..=599).contains(code))
    };
    let range = match &node.kind {
        Kind::Scalar { text, .. } => match text.split_once('-') {
            Some((first, last)) => code(first).zip(code(last)).filter(|(first, last)| first <= last),
            None => code(text).map(|code| (code, code)),
        },
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    };
    if range.is_none() {
        let hint = "write `200`, `200-299`, or a list of these; codes are from 100 to 599";
        wrong_type(node, "`status`", "a status code or a range of them", hint, report);
    }
    range.map(|(first, last)| first..=last)
}
