//! Whether an answer is the one that is expected.

use std::{ops::RangeInclusive, time::Instant};

use anycast_core::config::HttpProbe;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Response, body::Incoming};

use super::super::{Finding, words};

/// How much of a body is searched.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Status and header decide first; the body is read only where a text is expected in it.
///
/// # Errors
/// When the body cannot be read.
pub(super) async fn judge(
    config: &HttpProbe,
    response: Response<Incoming>,
    started: Instant,
) -> Result<Finding, hyper::Error> {
    let status = response.status().as_u16();
    if !config.expect_status.iter().any(|range| range.contains(&status)) {
        let hint = if response.status().is_redirection() { " (redirects are not followed)" } else { "" };
        let expected = ranges(&config.expect_status);
        return Ok(Finding::down(format!("status {status}, expected {expected}{hint}")));
    }
    for (name, text) in &config.expect_headers {
        if let Some(fault) = header_fault(response.headers(), name, text.as_deref()) {
            return Ok(Finding::down(fault));
        }
    }
    let Some(text) = &config.expect_body else {
        return Ok(Finding::up(format!("status {status} in {}", words::took(started.elapsed()))));
    };
    let shown = shown(text);
    Ok(match search(response.into_body(), text.as_bytes()).await? {
        Search::Found => {
            Finding::up(format!("status {status}, body has \"{shown}\", in {}", words::took(started.elapsed())))
        }
        Search::Absent => Finding::down(format!("body lacks \"{shown}\"")),
        Search::NotSoFar => Finding::down(format!("first 64 KiB of the body lack \"{shown}\"")),
    })
}

/// A field may be there several times; one of them must hold the text.
fn header_fault(headers: &HeaderMap, name: &str, text: Option<&str>) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Some(format!("header lacks `{name}`")) };
    let text = text?;
    let holds = |value: &[u8]| value.windows(text.len()).any(|window| window == text.as_bytes());
    if holds(first.as_bytes()) || values.any(|value| holds(value.as_bytes())) {
        return None;
    }
    let got = shown(&String::from_utf8_lossy(first.as_bytes()));
    Some(format!("header `{name}` is \"{got}\" and lacks \"{}\"", shown(text)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    Found,
    Absent,
    /// Not in as much as is read.
    NotSoFar,
}

async fn search(mut body: Incoming, text: &[u8]) -> Result<Search, hyper::Error> {
    let mut seen = Vec::new();
    if text.is_empty() {
        return Ok(Search::Found);
    }
    loop {
        let Some(frame) = body.frame().await else { return Ok(Search::Absent) };
        let Ok(data) = frame?.into_data() else { continue };
        let room = BODY_LIMIT - seen.len();
        // A text that began in the bytes before may end in these.
        let from = seen.len().saturating_sub(text.len() - 1);
        seen.extend_from_slice(&data[..data.len().min(room)]);
        if seen[from..].windows(text.len()).any(|window| window == text) {
            return Ok(Search::Found);
        }
        if data.len() > room {
            return Ok(Search::NotSoFar);
        }
    }
}

/// `200-299, 301`.
fn ranges(expected: &[RangeInclusive<u16>]) -> String {
    let words: Vec<String> = expected
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        })
        .collect();
    words.join(", ")
}

/// As much of an expected text as leaves room for the rest of the sentence.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
