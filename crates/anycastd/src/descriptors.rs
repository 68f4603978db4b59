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
    }
}
