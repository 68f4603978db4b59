//! A TLS check: where to shake hands, and how the certificate is judged.

use std::{path::PathBuf, time::Duration};

use anycast_core::config::{ProbeConfig, TlsOptions, TlsProbe};
use rustls::pki_types::ServerName;

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::{Section, list},
        values::{duration, path, text, truth},
        yaml::Node,
    },
    Aim, Where, sockets,
};

const WHERE: Where = Where {
    kind: "tls",
    key: "address",
    usual_port: Some(443),
    hint: "write `address: 203.0.113.53`, or leave it out for each address of the service",
};
const EXAMPLE: &str = "write the name that the certificate carries: `tls: { name: www.example.net }`";
const NAME: &str = "write the name that the certificate carries: `name: www.example.net`";

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let addresses = sockets(section, aim, WHERE, report);
    let options = options(section, report);
    let alpn = section.or("alpn", Vec::new(), report, protocols);
    let time = |key: &'static str, section: &mut Section<'_>, report: &mut Report<'_>| {
        section.maybe(key, report, |node, report| duration(node, key, Duration::ZERO..=Duration::MAX, report))
    };
    let warn_before = time("warn_before", section, report);
    let fail_before = time("fail_before", section, report);
    let (warn_before, fail_before) = (warn_before?, fail_before?.unwrap_or_default());
    if let (Some(warn), Some(span)) = (warn_before, section.has("warn_before"))
        && warn < fail_before
    {
        let hint = "degraded comes before down: write a longer one, or leave it out";
        report.error(span, "`warn_before` is shorter than `fail_before`", hint);
        return None;
    }
    let addresses = addresses?;
    let options = options?;
    // Without a name none is shown to the server (RFC 6066 §3: an address is none).
    let name = options.name.or_else(|| addresses.first().map(|address| address.ip().to_string()))?;
    let tls = TlsOptions { name, ca_file: options.ca_file, verify: options.verify };
    Some(ProbeConfig::Tls(TlsProbe { addresses, tls, alpn: alpn?, warn_before, fail_before }))
}

struct Options {
    /// `None`: nothing is verified.
    name: Option<String>,
    ca_file: Option<PathBuf>,
    verify: bool,
}

/// The keys that an `https` check has too; there the URL gives a name, here it must be written.
fn options(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Options> {
    section.require("tls", EXAMPLE, report)?;
    let mut section = section.inner("tls", "`tls: { name: www.example.net, ca_file: /etc/ssl/ca.pem }`", report)?;
    let verify = section.or("verify", true, report, |node, report| truth(node, "verify", report));
    let name = if verify == Some(false) {
        section.maybe("name", report, server_name)
    } else {
        section.require("name", NAME, report).and_then(|node| server_name(node, report)).map(Some)
    };
    let ca_file = section.maybe("ca_file", report, |node, report| path(node, "ca_file", report));
    if let (Some(Some(_)), Some(false), Some(span)) = (&ca_file, verify, section.has("ca_file")) {
        report.error(span, "`ca_file` beside `verify: false`", "nothing is verified: leave out one of the two");
        return None;
    }
    section.close(report);
    Some(Options { name: name?, ca_file: ca_file?, verify: verify? })
}

fn server_name(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let name = text(node, "name", report)?;
    if ServerName::try_from(name).is_err() {
        report.error(node.span, format!("`name`: {} is neither a host name nor an address", quoted(name)), NAME);
        return None;
    }
    Some(name.to_owned())
}

fn protocols(node: &Node, report: &mut Report<'_>) -> Option<Vec<String>> {
    let protocols = list(node, "alpn", "h2, http/1.1", report, |node, report| {
        let protocol = text(node, "alpn", report)?;
        if protocol.is_empty() || protocol.len() > 255 {
            let message = format!("`alpn`: a protocol of {} bytes", protocol.len());
            report.error(node.span, message, "write its registered name, such as `h2`, `http/1.1` or `dot`");
            return None;
        }
        Some(protocol.to_owned())
    });
    protocols.whole.then(|| protocols.values().cloned().collect())
}
