//! A TLS check: where to shake hands, and how the certificate is judged.

use std::time::Duration;

use anycast_core::config::{ProbeConfig, TlsProbe};

use super::{
    super::{
        diagnostic::Report,
        reader::{Section, list},
        values::{duration, text},
        yaml::Node,
    },
    Aim, Where, secure, sockets,
};

const WHERE: Where = Where {
    kind: "tls",
    key: "address",
    usual_port: Some(443),
    hint: "write `address: 203.0.113.53`, or leave it out for each address of the service",
};
const EXAMPLE: &str = "write the name that the certificate carries: `tls: { name: www.example.net }`";

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let addresses = sockets(section, aim, WHERE, report);
    let written = section.require("tls", EXAMPLE, report).and_then(|_| secure::options(section, false, report));
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
    // Without a name none is shown to the server (RFC 6066 §3: an address is none).
    let tls = written??.or(&addresses.first()?.ip().to_string());
    Some(ProbeConfig::Tls(TlsProbe { addresses, tls, alpn: alpn?, warn_before, fail_before }))
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
