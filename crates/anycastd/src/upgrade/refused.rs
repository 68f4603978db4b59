//! Why there is no other program, in full for who asked, and in brief for who comes later.

use std::path::PathBuf;

use super::trial::Unfit;
use crate::agent::{NoAnswer, Refusal};

/// So many lines of what a program says are told in brief.
const LINES: usize = 2;

/// Why there is no other program, and this one goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Not(String),
    #[error("{program}: {why}; the agent that runs goes on", program = .program.display(), why = .unfit.why)]
    Program { program: PathBuf, unfit: Unfit },
    #[error(transparent)]
    Agent(#[from] Refusal),
}

impl From<NoAnswer> for Refused {
    fn from(none: NoAnswer) -> Self {
        Self::Agent(none.into())
    }
}

impl Refused {
    /// What to do about it, where it does not say that itself.
    pub(crate) fn remedy(&self) -> Option<&str> {
        match self {
            Self::Program { unfit, .. } => Some(&unfit.remedy),
            Self::Not(_) | Self::Agent(_) => None,
        }
    }

    /// On one line, with the remedy.
    pub(super) fn in_brief(&self) -> String {
        match self {
            Self::Program { program, unfit } => {
                let lines = unfit.why.lines().map(str::trim).filter(|line| !line.is_empty());
                let told: Vec<&str> = lines.clone().take(LINES).collect();
                let more = if lines.count() > LINES { " …" } else { "" };
                format!("{}: {}{more}; {}", program.display(), told.join(": "), unfit.remedy)
            }
            Self::Not(_) | Self::Agent(_) => self.to_string(),
        }
    }

    /// Whether it is so until somebody does something: not where the agent is ending, or busy.
    pub(super) const fn lasts(&self) -> bool {
        match self {
            Self::Program { .. } | Self::Not(_) => true,
            Self::Agent(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_brief_it_is_one_line_with_the_remedy() {
        let refused = |why: &str| {
            let unfit = Unfit { why: why.to_owned(), remedy: "mend it".to_owned() };
            Refused::Program { program: PathBuf::from("/bin/a"), unfit }
        };
        let table = [
            ("cannot be run: no", "/bin/a: cannot be run: no; mend it"),
            ("not for this version\nerror: unknown key", "/bin/a: not for this version: error: unknown key; mend it"),
            ("one\n\n  two\n | three\n", "/bin/a: one: two …; mend it"),
        ];
        for (why, brief) in table {
            assert_eq!(refused(why).in_brief(), brief);
            assert!(refused(why).to_string().contains(why), "who asked hears all of it");
        }
        assert!(refused("x").lasts() && !Refused::from(NoAnswer).lasts());
    }
}
