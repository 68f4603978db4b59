//! `tls`: how a check judges the certificate of whom it asks.

use anycast_core::config::TlsOptions;
use rustls::pki_types::ServerName;

use super::super::{
    diagnostic::{Report, quoted},
    reader::Section,
    values::{path, text, truth},
};

/// What is asked of a certificate where nothing is written.
pub(super) fn of(host: &str) -> TlsOptions {
    TlsOptions { name: host.to_owned(), ca_file: None, verify: true }
}

/// The options that are written, if any are. `host`: the name that is expected where none is; without it there must be one.
pub(super) fn options(
    section: &mut Section<'_>,
    host: Option<&str>,
    report: &mut Report<'_>,
) -> Option<Option<TlsOptions>> {
    if section.has("tls").is_none() {
        return Some(None);
    }
    let mut section = section.inner("tls", "`tls: { name: www.example.net, ca_file: /etc/ssl/ca.pem }`", report)?;
    if host.is_none() {
        section.require("name", "write the name that the certificate carries: `name: www.example.net`", report);
    }
    let name = section.or("name", host.unwrap_or_default().to_owned(), report, |node, report| {
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
