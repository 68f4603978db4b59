//! `status`: what runs where, and which sessions are up.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use futures_util::future::join_all;

use crate::{
    exit::Exit,
    frr::{self, Neighbor},
    runner::{self, Runner},
};

/// The names of a node's programs, one a line, without those that have ended and that a container's first process, a mere
/// `sleep` perhaps, does not reap. Both runners' nodes have a shell and /proc, and not all have ps.
const PROGRAMS: &str = r#"
for file in /proc/[0-9]*/stat; do
    read -r line <"$file" || continue
    case "$line" in *") Z "* | *") X "*) continue ;; esac
    name=${line#*\(}
    echo "${name%\)*}"
done 2>/dev/null"#;
const ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn run(runner: &dyn Runner) -> anyhow::Result<Exit> {
    let nodes = runner.topology().nodes.iter();
    let nodes = join_all(nodes.map(async |(name, node)| (name, node, programs(runner, name).await))).await;
    // Only then: what asks the routers is no program of theirs.
    let sessions = frr::all_neighbors(runner).await;
    let mut text = format!("{:<12}  {:<28}  PROGRAMS\n", "NODE", "IMAGE");
    for (name, node, programs) in nodes {
        writeln!(text, "{name:<12}  {:<28}  {}", node.image, programs?)?;
    }
    writeln!(
        text,
        "\n{:<12}  {:<12}  {:>6}  {:<6}  {:<12}  {:>8}",
        "ROUTER", "NEIGHBOR", "AS", "FAMILY", "STATE", "PREFIXES"
    )?;
    for (router, n) in sessions? {
        let Neighbor { remote_as, family, state, received, .. } = &n;
        writeln!(text, "{router:<12}  {:<12}  {remote_as:>6}  {family:<6}  {state:<12}  {received:>8}", n.name())?;
    }
    super::show(&text)?;
    Ok(Exit::Done)
}

async fn programs(runner: &dyn Runner, node: &str) -> anyhow::Result<String> {
    let said = runner::output(runner, node, &["sh", "-c", PROGRAMS], ANSWER).await?;
    Ok(counted(&said))
}

/// `bgpd, sleep ×2`, without the shell that asked.
fn counted(lines: &str) -> String {
    let mut programs = BTreeMap::<_, usize>::new();
    for name in lines.lines().filter(|name| *name != "sh") {
        *programs.entry(name).or_default() += 1;
    }
    let word = |(name, count): (&str, usize)| if count == 1 { name.to_owned() } else { format!("{name} ×{count}") };
    programs.into_iter().map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command, thread, time::Instant};

    use super::*;

    #[test]
    fn what_has_ended_is_no_program() {
        let home = tempfile::tempdir().unwrap();
        // A name with everything that could be taken for something else, and that nobody else has.
        let start = |name: &str, seconds: &str| {
            let program = home.path().join(name);
            symlink("/bin/sleep", &program).unwrap();
            Command::new(program).arg(seconds).spawn().unwrap()
        };
        let (mut runs, mut ended) = (start("lab(1) (2)", "600"), start("lab(3) (4)", "0"));
        let (stat, end) = (format!("/proc/{}/stat", ended.id()), Instant::now() + ANSWER);
        while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
            assert!(Instant::now() < end);
            thread::yield_now();
        }
        let said = Command::new("sh").args(["-c", PROGRAMS]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let listed = |name: &str| said.lines().any(|line| line == name);
        assert_eq!((listed("lab(1) (2)"), listed("lab(3) (4)")), (true, false), "{said}");
        runs.kill().unwrap();
        runs.wait().unwrap();
        ended.wait().unwrap();
    }

    #[test]
    fn programs_are_counted() {
        assert_eq!(counted("zebra\nsh\nbgpd\nsleep\nsleep\n"), "bgpd, sleep ×2, zebra");
        assert_eq!(counted(""), "");
    }
}
