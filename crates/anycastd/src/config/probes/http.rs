//! An HTTP check: its URL, what is expected, and how the certificate is judged.

use std::{net::SocketAddr, ops::RangeInclusive};

use anycast_core::config::{HttpProbe, HttpTarget, ProbeConfig, TlsOptions};
use hyper::Uri;
use rustls::pki_types::ServerName;

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::{Section, list, wrong_type},
        values::{path, text, truth},
        yaml::{Kind, Node},
    },
    Aim,
};

const EXAMPLE: &str = "write it as `url: https://203.0.113.53/healthz`";
/// RFC 9110 §15.3: successful.
const SUCCESSFUL: RangeInclusive<u16> = 200..=299;
/// How much of a body is searched.
const BODY_LIMIT: usize = 64 * 1024;

/// A URL taken apart.
struct Url {
    text: String,
    secure: bool,
    /// Without brackets.
    host: String,
    port: u16,
    authority: String,
    path: String,
}

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let url = section.require("url", EXAMPLE, report).and_then(|node| url(node, aim, report));
    let (expect_status, expect_body) = expect(section, report);
    let tls = tls(section, url.as_ref(), report);
    let url = url?;
    let target = match url.host.parse() {
        Ok(address) => HttpTarget::Address(SocketAddr::new(address, url.port)),
        Err(_) => HttpTarget::Name { host: url.host, port: url.port },
    };
    Some(ProbeConfig::Http(HttpProbe {
        url: url.text,
        tls: tls?,
        target,
        authority: url.authority,
        path: url.path,
        expect_status: expect_status?,
        expect_body: expect_body?,
    }))
}

fn url(node: &Node, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<Url> {
    let text = text(node, "url", report)?;
    match parse_url(text) {
        Ok(url) => {
            if let Ok(address) = url.host.parse() {
                aim.at(node.span, address, report)?;
            }
            Some(url)
        }
        Err((message, hint)) => {
            if text.contains('@') {
                report.hide(node.span);
            }
            report.error(node.span, message, hint);
            None
        }
    }
}

fn parse_url(text: &str) -> Result<Url, (String, &'static str)> {
    let bad = || (format!("{} is not a URL", quoted(text)), EXAMPLE);
    if !text.is_ascii() {
        return Err((format!("{} is not plain ASCII", quoted(text)), "write other characters as %XX, a host as xn--…"));
    }
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) => return Err((format!("{} is neither http nor https", quoted(text)), EXAMPLE)),
        None => return Err(bad()),
    };
    let authority = uri.authority().ok_or_else(bad)?;
    // Before an `@` is a name and perhaps a password.
    if authority.as_str().contains('@') {
        return Err(("a URL with a user in it".to_owned(), "remove what is before the `@`: a check does not log in"));
    }
    let written = authority.as_str().strip_prefix(authority.host()).ok_or_else(bad)?;
    let usual = if secure { 443 } else { 80 };
    let port = match written.strip_prefix(':') {
        None if written.is_empty() => usual,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| (format!("{} has no valid port", quoted(text)), "a port is a number from 1 to 65535"))?,
        None => return Err(bad()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if ServerName::try_from(host.as_str()).is_err() {
        return Err((format!("{} is neither a host name nor an address", quoted(&host)), EXAMPLE));
    }
    let shown = authority.host();
    let authority = if port == usual { shown.to_owned() } else { format!("{shown}:{port}") };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // `http://host?query` has an empty path, which is asked for as `/` (RFC 9112 §3.2.1).
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Url { text: text.to_owned(), secure, host, port, authority, path })
}

type Expected = (Option<Vec<RangeInclusive<u16>>>, Option<Option<String>>);

fn expect(section: &mut Section<'_>, report: &mut Report<'_>) -> Expected {
    if section.has("expect").is_none() {
        return (Some(vec![SUCCESSFUL]), Some(None));
    }
    let Some(mut section) = section.inner("expect", "`expect: { status: 200-299, body: \"ok\" }`", report) else {
        return (None, None);
    };
    let statuses = section.or("status", vec![SUCCESSFUL], report, statuses);
    let body = section.maybe("body", report, |node, report| {
        let body = text(node, "body", report)?;
        if body.is_empty() || body.len() > BODY_LIMIT {
            let message = format!("`body` of {} bytes", body.len());
            report.error(node.span, message, "write a text of 1 to 65536 bytes that the answer must hold");
            return None;
        }
        Some(body.to_owned())
    });
    section.close(report);
    (statuses, body)
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

fn tls(section: &mut Section<'_>, url: Option<&Url>, report: &mut Report<'_>) -> Option<Option<TlsOptions>> {
    let at = section.has("tls");
    if let (Some(span), Some(Url { secure: false, .. })) = (at, url) {
        report.error(span, "`tls` for an http URL", "write the URL with https, or leave `tls` out");
        return None;
    }
    let host = url.map(|url| url.host.clone()).unwrap_or_default();
    if at.is_none() {
        let options = TlsOptions { name: host, ca_file: None, verify: true };
        return Some(url?.secure.then_some(options));
    }
    let mut section = section.inner("tls", "`tls: { name: www.example.net, ca_file: /etc/ssl/ca.pem }`", report)?;
    let name = section.or("name", host, report, |node, report| {
        let name = text(node, "name", report)?;
        if ServerName::try_from(name).is_err() {
            let message = format!("`name`: {} is neither a host name nor an address", quoted(name));
            report.error(node.span, message, "write the name that the certificate carries");
            return None;
        }
        Some(name.to_owned())
    });
    let ca_file = section.maybe("ca_file", report, |node, report| path(node, "ca_file", report));
    let verify = section.or("verify", true, report, |node, report| truth(node, "verify", report));
    if let (Some(Some(_)), Some(false), Some(span)) = (&ca_file, verify, section.has("ca_file")) {
        report.error(span, "`ca_file` beside `verify: false`", "nothing is verified: leave out one of the two");
        return None;
    }
    section.close(report);
    Some(Some(TlsOptions { name: name?, ca_file: ca_file?, verify: verify? }))
}
