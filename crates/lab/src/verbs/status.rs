//! `status`: what runs where, and which sessions are up.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::{join, join_all};

use crate::{
    exit::Exit,
    frr::{self, Neighbor},
    runner::{self, Runner},
};

/// The names of a node's programs, one a line. Both runners' nodes have a shell and /proc, and not all have ps.
const PROGRAMS: &str = r#"for file in /proc/[0-9]*/comm; do read -r name <"$file" && echo "$name"; done 2>/dev/null"#;
const ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn run(runner: &dyn Runner) -> anyhow::Result<Exit> {
    let nodes = runner.topology().nodes.iter();
    let asked = join_all(nodes.map(async |(name, node)| (name, node, programs(runner, name).await)));
    let (nodes, sessions) = join(asked, frr::all_neighbors(runner)).await;
    println!("{:<12}  {:<28}  PROGRAMS", "NODE", "IMAGE");
    for (name, node, programs) in nodes {
        println!("{name:<12}  {:<28}  {}", node.image, programs?);
    }
    println!(
        "\n{:<12}  {:<12}  {:>6}  {:<6}  {:<12}  {:>8}",
        "ROUTER", "NEIGHBOR", "AS", "FAMILY", "STATE", "PREFIXES"
    );
    for (router, n) in sessions? {
        let Neighbor { remote_as, family, state, received, .. } = &n;
        println!("{router:<12}  {:<12}  {remote_as:>6}  {family:<6}  {state:<12}  {received:>8}", n.name());
    }
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
    use super::*;

    #[test]
    fn programs_are_counted() {
        assert_eq!(counted("zebra\nsh\nbgpd\nsleep\nsleep\n"), "bgpd, sleep ×2, zebra");
        assert_eq!(counted(""), "");
    }
}
