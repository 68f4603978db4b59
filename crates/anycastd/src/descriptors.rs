//! The limit of open files: raised as far as it makes sense, and shared out.

use rustix::process::{Resource, getrlimit, setrlimit};

/// As many as a node can need. More would be a burden for programs that checks run: some close every descriptor there may be.
const ENOUGH: u64 = 65_536;
/// What the agent keeps for checks, operators, the sessions it dials and itself.
const RESERVE: u64 = 256;

/// Raises the soft limit to the hard one, up to [`ENOUGH`].
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(ENOUGH);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

/// How many connections of others there may be beside what the agent keeps for itself.
pub(crate) fn spare() -> usize {
    shared_out(getrlimit(Resource::Nofile).current)
}

/// Of a kind of connections that may be as many, how many there may be: where there are few descriptors all that look must leave some.
pub(crate) fn at_most(wanted: usize) -> usize {
    part(wanted, getrlimit(Resource::Nofile).current)
}

/// How many files may be open, and how many these may need; `None`: there is no limit.
pub(crate) fn limit_and_need(checks: usize, neighbors: usize) -> Option<(u64, u64)> {
    Some((getrlimit(Resource::Nofile).current?, needed(checks, neighbors)))
}

/// Says so where this many checks and neighbors may need more than there are.
pub(crate) fn warn_if_few(checks: usize, neighbors: usize) {
    let limit = getrlimit(Resource::Nofile).current;
    let needed = needed(checks, neighbors);
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            "no more than {limit} files may be open, and {checks} checks and {neighbors} neighbors may need {needed} at a time: \
             those that get none prove nothing; raise the limit (`LimitNOFILE` of the unit, `ulimit -n`)"
        );
    }
}

/// A program has its pipes and its end to watch, a session its connection and one that it may be replaced by.
fn needed(checks: usize, neighbors: usize) -> u64 {
    64 + 4 * checks as u64 + 2 * neighbors as u64
}

fn part(wanted: usize, limit: Option<u64>) -> usize {
    let sixteenth = usize::try_from(limit.unwrap_or(ENOUGH) / 16).unwrap_or(usize::MAX);
    wanted.min(sixteenth.max(2))
}

fn shared_out(limit: Option<u64>) -> usize {
    let limit = limit.unwrap_or(ENOUGH);
    usize::try_from(limit.saturating_sub(RESERVE).max(limit / 4)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_never_get_all() {
        let shares = [Some(64), Some(256), Some(1024), Some(65_536), None].map(shared_out);
        assert_eq!(shares, [16, 64, 768, 65_280, 65_280]);
        let parts = [Some(20), Some(64), Some(1024), Some(65_536), None].map(|limit| part(64, limit));
        assert_eq!(parts, [2, 4, 64, 64, 64]);
        assert_eq!([needed(0, 0), needed(10, 2)], [64, 108]);
    }
}
