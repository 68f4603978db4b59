//! Single values: words, numbers, durations, addresses, paths.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use anycast_bgp::{AS_TRANS, Asn, HoldTime, Prefix, RouterId};
use ipnet::IpNet;

use super::{
    diagnostic::{Report, quoted},
    reader::{one_of, wrong_type},
    redact,
    yaml::{Kind, Node},
};

/// Longer times are mistakes, and this keeps every deadline within what a clock can hold.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A word, number or quoted text, as it is written.
pub(super) fn text<'a>(node: &'a Node, key: &str, report: &mut Report<'_>) -> Option<&'a str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Map(_) => {
            let hint = "a text with `: ` in it, or with `:` at its end, must be quoted: \"2001:db8::\"";
            wrong_type(node, &quoted(key), "a text", hint, report);
            None
        }
        Kind::Null | Kind::List(_) => {
            wrong_type(node, &quoted(key), "a text", "write a single word, or a text in quotes", report);
            None
        }
    }
}

/// A text that people read: on one line, and not empty.
pub(super) fn label(node: &Node, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = text(node, key, report)?;
    let fits = !text.trim().is_empty() && text.chars().count() <= 255 && !text.chars().any(char::is_control);
    if !fits {
        let message = format!("`{key}` cannot be {}", quoted(text));
        report.error(node.span, message, "write one line of 1 to 255 printable characters");
        return None;
    }
    Some(text.to_owned())
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, key: &str, choices: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    let text = text(node, key, report)?;
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    one_of(node, key, text, &known, report);
    None
}

/// `true` or `false`.
pub(super) fn truth(node: &Node, key: &str, report: &mut Report<'_>) -> Option<bool> {
    match &node.kind {
        Kind::Scalar { text, plain: true } if text == "true" => Some(true),
        Kind::Scalar { text, plain: true } if text == "false" => Some(false),
        _ => {
            wrong_type(node, &quoted(key), "true or false", "write `true` or `false`, without quotes", report);
            None
        }
    }
}

/// A whole number, quoted or not.
pub(super) fn number(node: &Node, key: &str, range: RangeInclusive<u32>, report: &mut Report<'_>) -> Option<u32> {
    let wanted = format!("a number from {} to {}", range.start(), range.end());
    let value = match &node.kind {
        Kind::Scalar { text, .. } => digits(text).filter(|value| range.contains(value)),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    };
    if value.is_none() {
        wrong_type(node, &quoted(key), &wanted, &format!("write {wanted}, in decimal digits"), report);
    }
    value
}

/// A number from 1 to 65535.
pub(super) fn non_zero(node: &Node, key: &str, report: &mut Report<'_>) -> Option<NonZeroU16> {
    let value = number(node, key, 1..=u32::from(u16::MAX), report)?;
    u16::try_from(value).ok().and_then(NonZeroU16::new)
}

fn digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// An AS number that a speaker may use.
pub(super) fn asn(node: &Node, report: &mut Report<'_>) -> Option<Asn> {
    let text = text(node, "asn", report)?;
    let number = match (digits(text), text.split_once('.').map(|(high, low)| (digits(high), digits(low)))) {
        (Some(number), _) => number,
        (None, Some((Some(high @ 0..=0xFFFF), Some(low @ 0..=0xFFFF)))) => {
            let message = format!("AS number {} is in dotted notation", quoted(text));
            report.error(node.span, message, format!("write it as a plain number: `asn: {}`", high << 16 | low));
            return None;
        }
        _ => {
            let wanted = "an AS number from 1 to 4294967295";
            wrong_type(node, "`asn`", wanted, "write a plain number, such as `asn: 65010`", report);
            return None;
        }
    };
    if number == u32::from(AS_TRANS) {
        let message = format!("AS number {number} is AS_TRANS, which nobody has (RFC 6793 §9)");
        report.error(node.span, message, "write the real one, also where it is greater than 65535");
        return None;
    }
    let asn = Asn::new(number);
    if asn.is_none() {
        let hint = "write a number from 1 to 4294967295; 64512 to 65534 are for private use";
        report.error(node.span, "AS number 0 is reserved (RFC 7607)", hint);
    }
    asn
}

/// A BGP Identifier that routers accept.
pub(super) fn router_id(node: &Node, report: &mut Report<'_>) -> Option<RouterId> {
    let text = text(node, "router_id", report)?;
    // RFC 6286 §2.1 wants it not to be zero. Routers go on checking for a unicast address, as RFC 4271 §6.2 did.
    let id = text.parse().ok().filter(|id: &std::net::Ipv4Addr| id.octets()[0] < 224).and_then(RouterId::new);
    if id.is_none() {
        let message = format!("{} cannot be a router id", quoted(text));
        report.error(node.span, message, "write an IPv4 address of this node that no other router has as its id");
    }
    id
}

/// A duration with its unit.
pub(super) fn duration(
    node: &Node,
    key: &str,
    range: RangeInclusive<Duration>,
    report: &mut Report<'_>,
) -> Option<Duration> {
    let Kind::Scalar { text, .. } = &node.kind else {
        wrong_type(node, &quoted(key), "a duration", "write it as `90s`, `300ms` or `1m30s`", report);
        return None;
    };
    if let Some(number) = digits(text) {
        // Those of certificates are counted in days.
        let (usual, other) = if key.ends_with("_before") { ("d", "h") } else { ("s", "ms") };
        let hint = format!("write `{number}{usual}`, or `{number}{other}`");
        report.error(node.span, format!("`{key}: {number}` has no unit"), hint);
        return None;
    }
    let Ok(time) = humantime::parse_duration(text) else {
        let message = format!("`{key}`: {} is not a duration", quoted(text));
        report.error(node.span, message, "write it as `90s`, `300ms`, `1m30s` or `2h`");
        return None;
    };
    let (least, most) = (range.start(), range.end());
    if !range.contains(&time) {
        let message = format!("`{key}` of {} is out of range", quoted(text));
        report.error(node.span, message, format!("write a time from {} to {}", in_words(*least), in_words(*most)));
        return None;
    }
    Some(time)
}

/// `90s`, as it is written in the file.
pub(super) fn in_words(time: Duration) -> String {
    if time == LONGEST {
        return "24h".to_owned();
    }
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// RFC 4271 §4.2: none, or at least three seconds, in two octets.
pub(super) fn hold_time(node: &Node, report: &mut Report<'_>) -> Option<HoldTime> {
    const HINT: &str = "write at least 3s and at most 65535s, or 0s for a session without keepalives (RFC 4271 §4.2)";
    let time = duration(node, "hold_time", Duration::ZERO..=Duration::MAX, report)?;
    let whole = (time.subsec_nanos() == 0).then_some(time.as_secs());
    let hold_time = whole.and_then(|seconds| u16::try_from(seconds).ok()).and_then(HoldTime::from_secs);
    if hold_time.is_none() {
        report.error(node.span, format!("a hold time of {} is not possible", in_words(time)), HINT);
    }
    hold_time
}

/// An address of one machine, without its length.
pub(super) fn address(node: &Node, key: &str, report: &mut Report<'_>) -> Option<IpAddr> {
    let text = text(node, key, report)?;
    match text.parse() {
        Ok(address) => usable(node, address, report),
        Err(_) => {
            let message = format!("`{key}`: {} is not an IP address", quoted(text));
            report.error(node.span, message, "write it as 192.0.2.1 or \"2001:db8::1\", without a length or a port");
            None
        }
    }
}

/// The family of an address, for people.
pub(super) const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// An address that is bound: with its full length, or without any.
pub(super) fn host_address(node: &Node, report: &mut Report<'_>) -> Option<IpAddr> {
    let text = text(node, "addresses", report)?;
    let parsed = text.parse::<IpAddr>().or_else(|_| match text.parse::<IpNet>() {
        Ok(net) if net.prefix_len() == net.max_prefix_len() => Ok(net.addr()),
        Ok(net) => {
            let most = net.max_prefix_len();
            let hint = format!("write {}/{most}; the wider network belongs in `prefixes`", net.addr());
            Err((format!("{text} is not a single address"), hint))
        }
        Err(_) => {
            let hint = "write it as 203.0.113.53/32 or \"2001:db8::53/128\"".to_owned();
            Err((format!("{} is not an IP address", quoted(text)), hint))
        }
    });
    match parsed {
        Ok(address) => routable(node, usable(node, address, report)?, report),
        Err((message, hint)) => {
            report.error(node.span, message, hint);
            None
        }
    }
}

/// An address that one machine can have.
fn usable(node: &Node, address: IpAddr, report: &mut Report<'_>) -> Option<IpAddr> {
    let (what, hint) = match address {
        _ if address.is_unspecified() => ("the unspecified address", "write the address itself"),
        _ if address.is_multicast() => ("a multicast address", "write an address that one machine can have"),
        IpAddr::V4(v4) if v4.is_broadcast() => ("the broadcast address", "write an address that one machine can have"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => ("an IPv4 address in IPv6 form", "write it as IPv4"),
        IpAddr::V4(_) | IpAddr::V6(_) => return Some(address),
    };
    report.error(node.span, format!("{address} is {what}"), hint);
    None
}

/// An address that other machines can reach over a route.
fn routable(node: &Node, address: IpAddr, report: &mut Report<'_>) -> Option<IpAddr> {
    let what = match address {
        _ if address.is_loopback() => "a loopback address",
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V4(_) | IpAddr::V6(_) => return Some(address),
    };
    report.error(
        node.span,
        format!("{address} is {what}: no route leads to it"),
        "write an address of your own network",
    );
    None
}

/// A network to announce.
pub(super) fn prefix(node: &Node, report: &mut Report<'_>) -> Option<Prefix> {
    let text = text(node, "prefixes", report)?;
    match parse_prefix(text) {
        Ok(prefix) => Some(prefix),
        Err((message, hint)) => {
            report.error(node.span, message, hint);
            None
        }
    }
}

/// What is wrong with a text that should be a network to announce, and the remedy.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, (String, String)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err((format!("{text} has no length"), format!("write {}", Prefix::host(address))));
    }
    let Ok(net) = text.parse::<IpNet>() else {
        let hint = "write it as 203.0.113.0/24 or \"2001:db8:53::/48\"".to_owned();
        return Err((format!("{} is not a prefix", quoted(text)), hint));
    };
    let prefix = Prefix::new(net)
        .map_err(|bits| (format!("{net} has host bits set"), format!("the network is {}", bits.network)))?;
    let network = net.network();
    if net.prefix_len() == 0 {
        return Err((format!("{net} is the default route"), "announce what the services need, and no more".to_owned()));
    }
    if network.is_multicast() || network.is_loopback() || network.is_unspecified() {
        return Err((format!("{net} cannot be announced"), "write a network of your own".to_owned()));
    }
    Ok(prefix)
}

/// An address with a port.
pub(super) fn socket_address(node: &Node, key: &str, hint: &str, report: &mut Report<'_>) -> Option<SocketAddr> {
    let text = text(node, key, report)?;
    let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    if address.is_none() {
        report.error(node.span, format!("`{key}`: {} is not an address with a port", quoted(text)), hint);
    }
    address
}

/// A path that does not depend on where the agent was started.
pub(super) fn path(node: &Node, key: &str, report: &mut Report<'_>) -> Option<PathBuf> {
    let text = text(node, key, report)?;
    let message = if text.contains('\0') {
        format!("`{key}` cannot be {}", quoted(text))
    } else if !text.starts_with('/') && redact::is_secret(key) {
        // It may be what belongs into the file.
        report.hide(node.span);
        format!("`{key}` is not an absolute path")
    } else if !text.starts_with('/') {
        format!("`{key}`: {} is not an absolute path", quoted(text))
    } else {
        return Some(text.into());
    };
    report.error(node.span, message, "write the whole path, beginning with `/`");
    None
}
