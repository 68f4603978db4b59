//! What takes part, and its versions, as each says itself.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::data::Program;
use crate::{frr::DAEMONS, setup};

/// For one program to say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// All that there are.
pub(super) async fn all() -> Vec<Program> {
    let program = |name: &str, version: String| Program { name: name.to_owned(), version };
    let mut all = vec![program("anycastd", env!("CARGO_PKG_VERSION").to_owned())];
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let others = [
        ("FRR", "bgpd", "--version"),
        ("BIRD", "bird", "--version"),
        ("gdnsd", "gdnsd", "help"),
        ("unbound", "unbound", "-V"),
    ];
    for (name, file, argument) in others {
        all.extend(said(file, argument).await.and_then(|said| version(&said)).map(|version| program(name, version)));
    }
    all.push(program("Linux", kernel.trim().to_owned()));
    all
}

/// What a program says first, on either stream.
async fn said(file: &str, argument: &str) -> Option<String> {
    // OpenBGPD has a program of the same name.
    let path = if file == "bgpd" { format!("{DAEMONS}/bgpd").into() } else { setup::find(file)? };
    let mut command = Command::new(path);
    command.arg(argument).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The first word that is one: `bgpd version 8.4.4`, `BIRD version 2.0.12`, `Version 1.17.1`.
fn version(said: &str) -> Option<String> {
    let words = said.split_whitespace().map(|word| word.trim_end_matches([',', ';']));
    let mut words = words.skip_while(|word| !word.eq_ignore_ascii_case("version")).skip(1);
    words.next().filter(|word| word.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stands_behind_the_word() {
        for (said, expected) in [
            ("bgpd version 8.4.4\nCopyright 1996-2005 Kunihiro Ishiguro", Some("8.4.4")),
            ("BIRD version 2.0.12\n", Some("2.0.12")),
            ("Version 1.17.1\n\nConfigure line: --build=x", Some("1.17.1")),
            ("gdnsd version 3.8.1\nUsage: gdnsd", Some("3.8.1")),
            ("no version here", None),
            ("", None),
        ] {
            assert_eq!(version(said).as_deref(), expected, "{said}");
        }
    }
}
