//! `up` and `degraded`: what is said of a service's routes.

use anycast_bgp::{Attributes, Community, LargeCommunity, MAX_PREPEND};

use super::{
    diagnostic::Report,
    reader::{Listed, Section, set},
    values::{number, text},
    yaml::Node,
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
    let communities = section.or("communities", Some([].into()), report, |node, report| {
        Some(all(set(node, "communities", "\"65010:100\"", report, community)))
    });
    let large = section.or("large_communities", Some([].into()), report, |node, report| {
        Some(all(set(node, "large_communities", "\"65010:1:2\"", report, large_community)))
    });
    section.close(report);
    Some(Attributes {
        med: med?,
        local_pref: local_pref?,
        as_path_prepend: u8::try_from(prepend?).ok()?,
        communities: communities??,
        large_communities: large??,
    })
}

fn all<T: Ord + Clone>(list: Listed<T>) -> Option<std::collections::BTreeSet<T>> {
    list.whole.then(|| list.values().cloned().collect())
}

fn community(node: &Node, report: &mut Report<'_>) -> Option<Community> {
    parsed(node, "communities", report)
}

fn large_community(node: &Node, report: &mut Report<'_>) -> Option<LargeCommunity> {
    parsed(node, "large_communities", report)
}

/// The errors of both kinds are a fault and a remedy, with `; ` between them.
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
