//! A UDP check: what is sent where, and what makes an answer good.

use anycast_core::config::{ProbeConfig, UdpExpect, UdpProbe};

use super::{
    super::{
        diagnostic::Report,
        reader::Section,
        values::{choice, text},
        yaml::Node,
    },
    Aim, Where, sockets,
};

const WHERE: Where = Where {
    kind: "udp",
    key: "address",
    usual_port: None,
    hint: "write `address: 203.0.113.53:123`, or `port: 123` for each address of the service",
};
const SEND: &str = "write `send: ping`, or `send_hex: \"70 69 6e 67\"`";
/// What IPv6 carries over every link in one piece: 1280 bytes, less its header and that of UDP.
const LARGEST: usize = 1232;

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let addresses = sockets(section, aim, WHERE, report);
    let send = bytes(section, "send", "send_hex", report);
    let expect = bytes(section, "expect", "expect_hex", report);
    let needed = section.or("reply", true, report, |node, report| {
        choice(node, "reply", &[("required", true), ("optional", false)], report)
    });
    let send = send?;
    if send.is_none() {
        report.error(section.span, "a udp check without `send` or `send_hex`", SEND);
    }
    let expect = match (expect?, needed?) {
        (Some(part), true) => UdpExpect::Holds(part),
        (None, true) => UdpExpect::Any,
        (None, false) => UdpExpect::Nothing,
        (Some(_), false) => {
            let span = section.has("reply")?;
            let hint = "an answer that need not come cannot be expected: leave out one of the two";
            report.error(span, "`reply: optional` beside an answer that is expected", hint);
            return None;
        }
    };
    Some(ProbeConfig::Udp(UdpProbe { addresses: addresses?, send: send?, expect }))
}

/// Bytes that are written as text or in hexadecimal digits.
fn bytes(
    section: &mut Section<'_>,
    key: &'static str,
    key_hex: &'static str,
    report: &mut Report<'_>,
) -> Option<Option<Vec<u8>>> {
    let (plain, at_hex) = (section.has(key), section.has(key_hex));
    if let (Some(_), Some(span)) = (plain, at_hex) {
        let _ = [key, key_hex].map(|key| section.take(key, report).is_some());
        report.error(span, format!("`{key}` and `{key_hex}` together"), "write it in one way");
        return None;
    }
    if at_hex.is_some() {
        return section
            .maybe(key_hex, report, |node, report| sized(node, key_hex, hex(node, key_hex, report)?, report));
    }
    section.maybe(key, report, |node, report| {
        let bytes = text(node, key, report)?.as_bytes().to_vec();
        sized(node, key, bytes, report)
    })
}

fn sized(node: &Node, key: &str, bytes: Vec<u8>, report: &mut Report<'_>) -> Option<Vec<u8>> {
    if (1..=LARGEST).contains(&bytes.len()) {
        return Some(bytes);
    }
    report.error(node.span, format!("`{key}` of {} bytes", bytes.len()), format!("write 1 to {LARGEST} bytes"));
    None
}

fn hex(node: &Node, key: &str, report: &mut Report<'_>) -> Option<Vec<u8>> {
    let written = text(node, key, report)?;
    let digits: Vec<char> = written.chars().filter(|character| !character.is_whitespace()).collect();
    let byte = |pair: &[char]| match pair {
        [high, low] => u8::try_from(high.to_digit(16)? << 4 | low.to_digit(16)?).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    if bytes.is_none() {
        let message = format!("`{key}` is not made of pairs of hexadecimal digits");
        report.error(node.span, message, "write two digits for each byte: `\"00 1b ff\"`");
    }
    bytes
}
