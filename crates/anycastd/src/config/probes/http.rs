//! An HTTP check: whom it asks, and how.

mod expect;
mod fields;

use std::net::{IpAddr, SocketAddr};

use anycast_core::config::{HttpMethod, HttpProbe, HttpTarget, HttpVersion, ProbeConfig};
use hyper::Uri;
use rustls::pki_types::ServerName;

pub(super) use self::fields::quoted_name;
use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::Section,
        redact::{shown, without_query},
        values::{choice, non_zero, text},
        yaml::Node,
    },
    Aim, secure,
};

const EXAMPLE: &str = "write it as `url: https://203.0.113.53/healthz`";

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

/// Whom to ask, and for what.
struct Question {
    url: String,
    secure: bool,
    target: HttpTarget,
    /// `None`: the address that is connected to.
    authority: Option<String>,
    /// The name in the URL, without brackets.
    host: Option<String>,
    path: String,
}

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let question = question(section, aim, report);
    let method = method(section, report);
    let version = section.or("http_version", HttpVersion::Http1, report, |node, report| {
        choice(node, "http_version", &[("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)], report)
    });
    let headers = fields::sent(section, report);
    let expected = expect::read(section, method, report);
    let tls = tls(section, question.as_ref(), report);
    let (question, expected) = (question?, expected?);
    Some(ProbeConfig::Http(HttpProbe {
        url: question.url,
        tls: tls?,
        target: question.target,
        authority: question.authority,
        path: question.path,
        method: method?,
        version: version?,
        headers: headers?,
        expect_status: expected.status,
        expect_body: expected.body,
        expect_headers: expected.headers,
    }))
}

fn method(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<HttpMethod> {
    section.or("method", HttpMethod::Get, report, |node, report| {
        choice(node, "method", &[("GET", HttpMethod::Get), ("HEAD", HttpMethod::Head)], report)
    })
}

fn question(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<Question> {
    let (url, port) = (section.has("url"), section.has("port"));
    if let (Some(_), Some(span)) = (url, port) {
        report.error(span, "`url` and `port` together", "write the port within the URL, or leave the URL out");
        return None;
    }
    if port.is_some() {
        return each_address(section, aim, report);
    }
    let node = section.require("url", &format!("{EXAMPLE}, or `port: 80` for each address of the service"), report);
    let url = node.and_then(|node| self::url(node, aim, report));
    if let Some(span) = section.has("path") {
        report.error(span, "`path` without `port`", "write the path within the URL, or `port: 80` instead of a URL");
        return None;
    }
    let target = target(section, url.as_ref(), aim, report);
    let url = url?;
    let (authority, host) = (Some(url.authority), Some(url.host));
    Some(Question { url: url.text, secure: url.secure, target: target?, authority, host, path: url.path })
}

/// `port` and `path`: in the clear, of each of the service's addresses by its own name.
fn each_address(section: &mut Section<'_>, aim: &Aim<'_>, report: &mut Report<'_>) -> Option<Question> {
    let port = section.take("port", report).and_then(|node| non_zero(node, "port", report));
    let path = section.or("path", "/".to_owned(), report, path);
    if let Some(span) = section.has("address") {
        report.error(span, "`address` and `port` together", "write a URL instead: `url: http://203.0.113.53:8080/`");
        return None;
    }
    let (port, path) = (port?, path?);
    let addresses: Vec<SocketAddr> = aim.addresses?.iter().map(|address| (*address, port.get()).into()).collect();
    // As it is for the first of them; it only has to say what is asked for.
    let url = addresses.first().map(|address| format!("http://{address}{path}")).unwrap_or_default();
    let target = HttpTarget::Addresses(addresses);
    let url = shown(&url).into_owned();
    Some(Question { url, secure: false, target, authority: None, host: None, path })
}

fn path(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let path = text(node, "path", report)?;
    let good = path.starts_with('/') && path.is_ascii() && path.parse::<hyper::http::uri::PathAndQuery>().is_ok();
    if !good {
        let message = format!("`path` cannot be {}", quoted(&without_query(path)));
        report.error(node.span, message, "write it with a `/` first, and other characters as %XX: `path: /healthz`");
        return None;
    }
    Some(path.to_owned())
}

/// Where to connect: to the address in the URL, or for a host by name to what `address` says.
fn target(
    section: &mut Section<'_>,
    url: Option<&Url>,
    aim: &mut Aim<'_>,
    report: &mut Report<'_>,
) -> Option<HttpTarget> {
    const HINT: &str = "write an address to connect to, with or without a port, or `lookup` to ask the resolver; \
                        left out, it is each of the service's own";
    let written = section.has("address");
    let node = section.take("address", report);
    let url = url?;
    if let Ok(address) = url.host.parse::<IpAddr>() {
        if let Some(span) = written {
            let message = format!("`address` beside a URL that has one, {address}");
            report.error(span, message, "leave it out, or write the host's name in the URL");
            return None;
        }
        return Some(HttpTarget::Addresses(vec![SocketAddr::new(address, url.port)]));
    }
    let lookup = || HttpTarget::Name { host: url.host.clone(), port: url.port };
    if written.is_none() {
        // RFC 6761 §6.3: that name is never another machine's, and never the service's own.
        if url.host.eq_ignore_ascii_case("localhost") {
            return Some(lookup());
        }
        let addresses = aim.addresses?.iter().map(|address| SocketAddr::new(*address, url.port)).collect();
        return Some(HttpTarget::Addresses(addresses));
    }
    let node = node?;
    let text = text(node, "address", report)?;
    if text == "lookup" {
        return Some(lookup());
    }
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, url.port));
    let address = address.or_else(|_| text.parse::<SocketAddr>()).ok().filter(|address| address.port() != 0);
    let Some(address) = address else {
        report.error(node.span, format!("`address`: {} is not an address", quoted(text)), HINT);
        return None;
    };
    aim.at(node.span, address.ip(), report)?;
    Some(HttpTarget::Addresses(vec![address]))
}

fn url(node: &Node, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<Url> {
    let text = text(node, "url", report)?;
    match parse_url(text) {
        Ok(url) => {
            if !url.secure && url.port == 443 {
                let hint = "write `https://…` if the server speaks TLS there: it would refuse what is in the clear";
                report.warning(node.span, "`http` in the clear at port 443, that of https", hint);
            }
            if let Ok(address) = url.host.parse() {
                aim.at(node.span, address, report)?;
            }
            Some(url)
        }
        Err((message, hint)) => {
            report.error(node.span, message, hint);
            None
        }
    }
}

fn parse_url(text: &str) -> Result<Url, (String, &'static str)> {
    let bad = || (format!("{} is not a URL", quoted(&without_query(text))), EXAMPLE);
    if !text.is_ascii() {
        return Err((
            format!("{} is not plain ASCII", quoted(&without_query(text))),
            "write other characters as %XX, a host as xn--…",
        ));
    }
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) => return Err((format!("{} is neither http nor https", quoted(&without_query(text))), EXAMPLE)),
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
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            (format!("{} has no valid port", quoted(&without_query(text))), "a port is a number from 1 to 65535")
        })?,
        None => return Err(bad()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if ServerName::try_from(host.as_str()).is_err() {
        return Err((format!("{} is neither a host name nor an address", quoted(&host)), EXAMPLE));
    }
    let host_shown = authority.host();
    let authority = if port == usual { host_shown.to_owned() } else { format!("{host_shown}:{port}") };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // `http://host?query` has an empty path, which is asked for as `/` (RFC 9112 §3.2.1).
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // What is asked for is told in errors and in the log; what is sent is the path.
    Ok(Url { text: shown(text).into_owned(), secure, host, port, authority, path })
}

fn tls(
    section: &mut Section<'_>,
    question: Option<&Question>,
    report: &mut Report<'_>,
) -> Option<Option<anycast_core::config::TlsOptions>> {
    if let (Some(span), Some(Question { secure: false, .. })) = (section.has("tls"), question) {
        report.error(span, "`tls` for an http URL", "write the URL with https, or leave `tls` out");
        return None;
    }
    let host = question.and_then(|question| question.host.clone()).unwrap_or_default();
    let written = secure::options(section, true, report);
    let question = question?;
    Some(match written? {
        Some(written) => Some(written.or(&host)),
        None => question.secure.then(|| secure::of(&host)),
    })
}
