//! A gRPC check: whom it asks, and about which service.

use anycast_core::config::{GrpcProbe, ProbeConfig};

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::Section,
        values::text,
    },
    Aim, Where, secure, sockets,
};

const WHERE: Where = Where {
    kind: "grpc",
    key: "address",
    usual_port: None,
    hint: "write `address: 203.0.113.53:50051`, or `port: 50051` for each address of the service",
};

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let addresses = sockets(section, aim, WHERE, report);
    let service = section.or("service", String::new(), report, |node, report| {
        let service = text(node, "service", report)?;
        if service.len() > 255 || service.chars().any(char::is_control) {
            let message = format!("`service` cannot be {}", quoted(service));
            report.error(node.span, message, "write its full name, such as `service: example.v1.Search`");
            return None;
        }
        Some(service.to_owned())
    });
    let written = secure::options(section, false, report);
    let addresses = addresses?;
    let tls = match written? {
        Some(written) => Some(written.or(&addresses.first()?.ip().to_string())),
        None => None,
    };
    Some(ProbeConfig::Grpc(GrpcProbe { addresses, service: service?, tls }))
}
