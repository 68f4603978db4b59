//! `tls`: how a check judges the certificate of whom it asks.

use std::path::PathBuf;

use anycast_core::config::TlsOptions;
use rustls::pki_types::ServerName;

use super::super::{
    diagnostic::{Report, quoted},
    needs::Need,
    reader::Section,
    values::{path, text, truth},
    yaml::Node,
};

const NAME: &str = "write the name that the certificate carries: `name: www.example.net`";

/// What is written about TLS.
pub(super) struct Written {
    /// `None`: the name of whom is asked, or nothing is verified.
    name: Option<String>,
    ca_file: Option<PathBuf>,
    verify: bool,
}

impl Written {
    /// With this name, where none is written.
    pub(super) fn or(self, name: &str) -> TlsOptions {
        let name = self.name.unwrap_or_else(|| name.to_owned());
        TlsOptions { name, ca_file: self.ca_file, verify: self.verify }
    }
}

/// What is asked of a certificate where nothing is written.
pub(super) fn of(host: &str) -> TlsOptions {
    TlsOptions { name: host.to_owned(), ca_file: None, verify: true }
}

/// The options that are written, if any are. Where no host is `named` elsewhere the name must be, if anything is verified.
pub(super) fn options(section: &mut Section<'_>, named: bool, report: &mut Report<'_>) -> Option<Option<Written>> {
    if section.has("tls").is_none() {
        return Some(None);
    }
    let mut section = section.inner("tls", "`tls: { name: www.example.net, ca_file: /etc/ssl/ca.pem }`", report)?;
    let verify = section.or("verify", true, report, |node, report| truth(node, "verify", report));
    let name = if named || verify == Some(false) {
        section.maybe("name", report, server_name)
    } else {
        section.require("name", NAME, report).and_then(|node| server_name(node, report)).map(Some)
    };
    let ca_file = section.maybe("ca_file", report, |node, report| {
        let file = path(node, "ca_file", report)?;
        report.need(node.span, Need::Roots(file.clone()));
        Some(file)
    });
    if let (Some(Some(_)), Some(false), Some(span)) = (&ca_file, verify, section.has("ca_file")) {
        report.error(span, "`ca_file` beside `verify: false`", "nothing is verified: leave out one of the two");
        return None;
    }
    section.close(report);
    Some(Some(Written { name: name?, ca_file: ca_file?, verify: verify? }))
}

fn server_name(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let name = text(node, "name", report)?;
    if ServerName::try_from(name).is_err() {
        let message = format!("`name`: {} is neither a host name nor an address", quoted(name));
        report.error(node.span, message, "write the name that the certificate carries");
        return None;
    }
    Some(name.to_owned())
}
