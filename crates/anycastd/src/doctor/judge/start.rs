//! What the next start will stumble over, and who can have a hand in it.

use anycast_api::{Finding, Severity};

use super::{Words, finding};
use crate::doctor::facts::{Facts, File, Installed, Owned};

/// The configuration on the disk, with the files that it names.
pub(super) fn configuration(facts: &Facts) -> Vec<Finding> {
    let Some(file) = &facts.file else { return Vec::new() };
    let path = file.path.display();
    // What follows from it is the same for all: the first stands for them.
    let more = match file.mistakes.len() {
        0 | 1 => String::new(),
        2 => ", for this and 1 mistake more".to_owned(),
        many => format!(", for this and {} mistakes more", many - 1),
    };
    let mistake = file.mistakes.first().map(|[place, fault, remedy]| {
        finding("next_start", Severity::Problem, place, Words {
            seen: format!("{fault}; an agent that starts now refuses the configuration{more}"),
            why: "the running agent goes on with what it has read; after a restart or a reboot there is none, and the node announces \
                  nothing until the file is mended",
            remedy: format!("{remedy}; then `anycastd --check --config {path}`, as the agent's user, until it finds none"),
        })
    });
    mistake.into_iter().chain(file.about.and_then(|about| exposed(facts, file, about))).collect()
}

/// The program that the next start would run.
pub(super) fn program(facts: &Facts) -> Vec<Finding> {
    let Some(program) = &facts.program else { return Vec::new() };
    let path = program.path.display();
    let found = |severity, words| vec![finding("installed_program", severity, path.to_string(), words)];
    let install = "install it again (`apt install --reinstall anycastd`)";
    match &program.installed {
        Installed::Same => Vec::new(),
        Installed::Other(Ok(version)) => found(Severity::Warning, Words {
            seen: format!("{version} is installed, and another program runs (anycastd {})", env!("CARGO_PKG_VERSION")),
            why: "the next start, of a reboot too, begins with a program that nobody has tried here",
            remedy: "`anycastctl upgrade`, which tries it first and keeps the sessions; `anycastctl upgrade --dry-run` tries it only"
                .to_owned(),
        }),
        Installed::Other(Err(why)) => found(Severity::Problem, Words {
            seen: format!("another program is installed than the one that runs, and it does not tell its version: {why}"),
            why: STARTS_NOTHING,
            remedy: format!("`{path} --version` tells more; {install}"),
        }),
        Installed::Unfit(why) => found(Severity::Problem, Words {
            seen: format!("it cannot be run: {why}"),
            why: STARTS_NOTHING,
            remedy: format!("`ls -l {path}`; {install}"),
        }),
    }
}

const STARTS_NOTHING: &str =
    "the running agent goes on; after a restart or a reboot there is none, and the node announces nothing";

/// Who can change it, or read what is secret in it.
fn exposed(facts: &Facts, file: &File, [own, directory]: [Owned; 2]) -> Option<Finding> {
    let path = file.path.display();
    let reached = directory.mode & 0o001 != 0;
    // A group of root's holds root alone.
    let writable = |it: Owned| it.mode & 0o002 != 0 || (it.mode & 0o020 != 0 && it.gid != 0);
    // In a directory with the sticky bit nobody replaces the files of others.
    let replaced = writable(directory) && directory.mode & 0o1000 == 0;
    let changed = writable(own) && (reached || own.mode & 0o020 != 0);
    let seen = match (own.trusted, directory.trusted) {
        (false, _) => format!("it belongs to somebody else (uid {})", own.uid),
        (_, false) => format!("its directory belongs to somebody else (uid {})", directory.uid),
        _ if changed => format!("others can change it (mode {:04o}, gid {})", own.mode, own.gid),
        _ if replaced => {
            format!("others can replace it (its directory has mode {:04o}, gid {})", directory.mode, directory.gid)
        }
        _ => return readable(facts, file, own, reached),
    };
    Some(finding(
        "configuration_file",
        Severity::Warning,
        path.to_string(),
        Words {
            seen,
            why: "whoever can change it has the agent run programs and announce addresses as they like, from the next reload on",
            remedy: format!("chown root:anycastd {path}; chmod 0640 {path}; and the directory: root:anycastd, 0750"),
        },
    ))
}

fn readable(facts: &Facts, file: &File, own: Owned, reached: bool) -> Option<Finding> {
    let path = file.path.display();
    (facts.known.secrets && reached && own.mode & 0o004 != 0).then(|| {
        finding("configuration_file", Severity::Warning, path.to_string(), Words {
            seen: format!("everybody can read it (mode {:04o})", own.mode),
            why: "it holds header fields of requests or variables of programs, which are often passwords and tokens",
            remedy: format!("chown root:anycastd {path}; chmod 0640 {path}; and new passwords, where there are any: others may have seen them"),
        })
    })
}
