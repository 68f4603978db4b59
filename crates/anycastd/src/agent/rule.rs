//! What `require` makes of the checks of a service, in words.

use anycast_core::{
    CheckName, Health,
    config::{Require, Scope},
};

/// A check that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) name: &'a CheckName,
    pub(super) scope: Scope,
    pub(super) health: Health,
}

/// `3 of 7 checks pass, 4 must`; the shared ones are not among them.
pub(super) fn words(require: Require, seen: &[Seen<'_>]) -> String {
    let local: Vec<Health> = local(seen).map(|check| check.health).collect();
    let kind = if local.len() < seen.len() { "local " } else { "" };
    let pass = local.iter().filter(|health| **health >= Health::Degraded).count();
    let must = match require {
        Require::All => "all".to_owned(),
        Require::Any => "one".to_owned(),
        Require::AtLeast(number) if number.get() == 1 => "one".to_owned(),
        Require::AtLeast(number) => number.to_string(),
    };
    match (pass, local.len()) {
        // All of them were added by a reload, and do not count yet.
        (_, 0) => format!("{must} of its local checks must pass, none counts yet"),
        (0, 1) => format!("its only {kind}check does not pass"),
        (_, 1) => format!("its only {kind}check passes"),
        (0, all) => format!("none of {all} {kind}checks passes, {must} must"),
        (pass, all) if pass == all => format!("all {all} {kind}checks pass, {must} must"),
        (1, all) => format!("1 of {all} {kind}checks passes, {must} must"),
        (pass, all) => format!("{pass} of {all} {kind}checks pass, {must} must"),
    }
}

/// Why a service is degraded: `its shared check `db` is down`.
pub(super) fn blamed(require: Require, seen: &[Seen<'_>]) -> Option<String> {
    const MOST: usize = 3;
    let (up, all) = (local(seen).filter(|check| check.health == Health::Up).count(), local(seen).count());
    let needed = require.of(all);
    // Where enough of the local ones are up, the others make nothing worse.
    let to_blame = |check: &&Seen<'_>| check.health != Health::Up && (check.scope == Scope::Shared || up < needed);
    let blamed: Vec<String> = seen
        .iter()
        .filter(to_blame)
        .map(|check| {
            let kind = if check.scope == Scope::Shared { "shared check" } else { "check" };
            format!("its {kind} `{}` is {}", check.name, check.health)
        })
        .collect();
    let (more, shown) = (blamed.len().saturating_sub(MOST), &blamed[..blamed.len().min(MOST)]);
    let shown = (!shown.is_empty()).then(|| shown.join(", "))?;
    Some(if more == 0 { shown } else { format!("{shown} and {more} more") })
}

fn local<'a>(seen: &'a [Seen<'a>]) -> impl Iterator<Item = &'a Seen<'a>> {
    seen.iter().filter(|check| check.scope == Scope::Local)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    /// `u`p, `d`own, `g` degraded, `?`; in capitals of a shared one.
    fn told(require: Require, checks: &str) -> (String, String) {
        let checks: Vec<(CheckName, char)> =
            checks.chars().zip(1..).map(|(mark, n)| (CheckName::new(&format!("c{n}")).unwrap(), mark)).collect();
        let seen = checks.iter().map(|(name, mark)| Seen {
            name,
            scope: if mark.is_uppercase() { Scope::Shared } else { Scope::Local },
            health: match mark.to_ascii_lowercase() {
                'u' => Health::Up,
                'd' => Health::Down,
                'g' => Health::Degraded,
                _ => Health::Unknown,
            },
        });
        let seen: Vec<Seen<'_>> = seen.collect();
        (words(require, &seen), blamed(require, &seen).unwrap_or_default())
    }

    #[test]
    fn a_rule_is_told_with_how_far_it_is_met() {
        let four = Require::AtLeast(NonZeroUsize::new(4).unwrap());
        let one = Require::AtLeast(NonZeroUsize::MIN);
        for (require, checks, said) in [
            (four, "uuudddd", "3 of 7 checks pass, 4 must"),
            (four, "uuudddu", "4 of 7 checks pass, 4 must"),
            (four, "udddd??", "1 of 7 checks passes, 4 must"),
            (Require::All, "ugd", "2 of 3 checks pass, all must"),
            (Require::All, "uuu", "all 3 checks pass, all must"),
            (Require::Any, "dd", "none of 2 checks passes, one must"),
            (one, "ud", "1 of 2 checks passes, one must"),
            (Require::Any, "uuD", "all 2 local checks pass, one must"),
            (Require::All, "u", "its only check passes"),
            (Require::All, "?U", "its only local check does not pass"),
            (Require::All, "D", "all of its local checks must pass, none counts yet"),
        ] {
            assert_eq!(told(require, checks).0, said, "{require:?} {checks}");
        }
    }

    #[test]
    fn who_is_degraded_knows_the_check() {
        let two = Require::AtLeast(NonZeroUsize::new(2).unwrap());
        for (require, checks, said) in [
            (Require::All, "uD", "its shared check `c2` is down"),
            (Require::All, "ugU", "its check `c2` is degraded"),
            (Require::All, "gG", "its check `c1` is degraded, its shared check `c2` is degraded"),
            (Require::Any, "udD", "its shared check `c3` is down"),
            (two, "ugd", "its check `c2` is degraded, its check `c3` is down"),
            (two, "uudD", "its shared check `c4` is down"),
            (
                Require::All,
                "uDDDDD",
                "its shared check `c2` is down, its shared check `c3` is down, its shared check `c4` is down and 2 more",
            ),
            (Require::All, "uu", ""),
        ] {
            assert_eq!(told(require, checks).1, said, "{require:?} {checks}");
        }
    }
}
