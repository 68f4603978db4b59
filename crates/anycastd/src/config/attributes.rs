//! What is said of a route: the `up` and `degraded` of a service, and the `attributes` that change it for a neighbor.

use anycast_bgp::{Attributes, BitRate, LinkBandwidth, MAX_PREPEND};

use super::{
    diagnostic::Report,
    reader::{Listed, Section, set},
    values::{number, text, truth},
    yaml::{Kind, Node},
};

/// LOCAL_PREF where none is configured (RFC 4271 leaves it to the operator; routers agree on this).
const USUAL_PREFERENCE: u32 = 100;
/// How much longer the path of a degraded service is by default.
const PREPEND: u8 = 3;

/// Both sets. Each stands for itself: `degraded`, where it is written, takes nothing over from `up`.
pub(super) fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<(Attributes, Attributes)> {
    let up = attributes(section, "up", Attributes::default(), report);
    let default = up.as_ref().map(less_preferred).unwrap_or_default();
    let degraded = attributes(section, "degraded", default, report);
    Some((up?, degraded?))
}

/// What is changed for a neighbor: nothing where it is left out.
pub(super) fn changes(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Attributes> {
    attributes(section, "attributes", Attributes::default(), report)
}

/// A longer path for the routers of other systems, and, since nothing is prepended within one's own, half the preference
/// for those.
fn less_preferred(up: &Attributes) -> Attributes {
    Attributes {
        as_path_prepend: up.as_path_prepend.saturating_add(PREPEND).min(MAX_PREPEND),
        local_pref: Some(up.local_pref.unwrap_or(USUAL_PREFERENCE) / 2),
        ..up.clone()
    }
}

fn attributes(
    section: &mut Section<'_>,
    key: &'static str,
    default: Attributes,
    report: &mut Report<'_>,
) -> Option<Attributes> {
    if section.has(key).is_none() {
        return Some(default);
    }
    let mut section = section.inner(key, &format!("`{key}: {{ med: 0, communities: [\"65010:100\"] }}`"), report)?;
    let whole = 0..=u32::MAX;
    let med = section.maybe("med", report, |node, report| number(node, "med", whole.clone(), report));
    let local_pref = section.maybe("local_pref", report, |node, report| number(node, "local_pref", whole, report));
    let prepend = section.or("as_path_prepend", 0, report, |node, report| {
        number(node, "as_path_prepend", 0..=u32::from(MAX_PREPEND), report)
    });
    let standard = communities(&mut section, "communities", "\"65010:100\"", report);
    let extended = communities(&mut section, "extended_communities", "\"rt:65010:100\"", report);
    let large = communities(&mut section, "large_communities", "\"65010:1:2\"", report);
    let link_bandwidth = section.maybe("link_bandwidth", report, link_bandwidth);
    section.close(report);
    Some(Attributes {
        med: med?,
        local_pref: local_pref?,
        as_path_prepend: u8::try_from(prepend?).ok()?,
        communities: standard?,
        extended_communities: extended?,
        large_communities: large?,
        link_bandwidth: link_bandwidth?,
    })
}

/// Communities of one kind; `example` is one.
fn communities<T>(
    section: &mut Section<'_>,
    key: &'static str,
    example: &str,
    report: &mut Report<'_>,
) -> Option<std::collections::BTreeSet<T>>
where
    T: Ord + Clone + std::str::FromStr<Err: std::fmt::Display>,
{
    let all = |list: Listed<T>| list.whole.then(|| list.values().cloned().collect());
    section
        .or(key, Some([].into()), report, |node, report| {
            Some(all(set(node, key, example, report, |node, report| parsed(node, key, report))))
        })
        .flatten()
}

/// `10Gbps`, or with a word on how far it goes.
fn link_bandwidth(node: &Node, report: &mut Report<'_>) -> Option<LinkBandwidth> {
    let Kind::Map(_) = node.kind else {
        return Some(LinkBandwidth { rate: parsed(node, "link_bandwidth", report)?, transitive: true });
    };
    let mut section = Section::open(node, "`link_bandwidth`", "`link_bandwidth: 10Gbps`", report)?;
    let rate: Option<BitRate> = section
        .require("rate", "write what the link carries, such as `rate: 10Gbps`", report)
        .and_then(|node| parsed(node, "rate", report));
    let transitive = section.or("transitive", true, report, |node, report| truth(node, "transitive", report));
    section.close(report);
    Some(LinkBandwidth { rate: rate?, transitive: transitive? })
}

/// The errors of all kinds are a fault and a remedy, with `; ` between them.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(node: &Node, key: &str, report: &mut Report<'_>) -> Option<T> {
    match text(node, key, report)?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            let words = error.to_string();
            let (fault, remedy) = words.split_once("; ").unwrap_or((&words, "see the documentation of `up`"));
            report.error(node.span, fault, remedy);
            None
        }
    }
}
