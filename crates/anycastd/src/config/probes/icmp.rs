//! An ICMP check: whom to send how many echoes.

use std::num::NonZeroU16;

use anycast_core::config::{IcmpProbe, ProbeConfig};

use super::{
    super::{
        diagnostic::Report,
        reader::Section,
        settings::Host,
        source::Span,
        values::{address, number},
    },
    Aim,
};
use crate::drop_in;

const MOST: u32 = 100;

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    aim.echoes.push(section.span);
    let addresses = match section.has("address") {
        None => aim.addresses.map(<[_]>::to_vec),
        Some(_) => section.take("address", report).and_then(|node| {
            let address = address(node, "address", report)?;
            Some(vec![aim.at(node.span, address, report)?])
        }),
    };
    let packets = section.or("packets", 1, report, |node, report| number(node, "packets", 1..=MOST, report));
    let max_loss = section.or("max_loss", 0, report, |node, report| number(node, "max_loss", 0..=MOST, report));
    let (packets, max_loss) = (packets?, max_loss?);
    if max_loss >= packets {
        let span = section.has("max_loss")?;
        let message = format!("`max_loss` of {max_loss}, with {packets} sent");
        report.error(span, message, "it would be good without any answer: write less than `packets`");
        return None;
    }
    let packets = u16::try_from(packets).ok().and_then(NonZeroU16::new)?;
    Some(ProbeConfig::Icmp(IcmpProbe { addresses: addresses?, packets, max_loss: u16::try_from(max_loss).ok()? }))
}

/// Warns where the checks could not be done.
pub(in crate::config) fn echoes_permitted<'a>(
    echoes: impl Iterator<Item = &'a Span>,
    host: &Host,
    report: &mut Report<'_>,
) {
    for span in echoes.filter(|_| host.cannot_ping) {
        let hint = format!(
            "give the agent {}, or give its group a place in the sysctl net.ipv4.ping_group_range",
            drop_in::RAW
        );
        report.warning(*span, "this process may not send ICMP echoes: the check would never know anything", hint);
    }
}
