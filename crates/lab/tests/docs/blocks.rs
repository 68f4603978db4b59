//! The blocks: what each is said to be, it is.
//!
//! | info string | what it must be |
//! |---|---|
//! | none, `sh` | commands: the shell reads them, and those of ours are known |
//! | none with `$ ` or `# ` before the first, `console` | commands, and what they answer |
//! | `yaml` | a whole configuration that `anycastd --check` finds good |
//! | `yaml,of=top`, `neighbor`, `service`, `check` | keys of that; where one is there twice, each is an example for itself |
//! | `yaml,of=scenario` | a scenario that `cargo lab demo` would play |
//! | `frr`, `bird` | a configuration that `vtysh` or `bird` reads |
//! | `ini` | a drop-in that systemd knows |
//! | `json` | JSON |
//! | `nft` | a rule set that `nft` reads |
//! | `text` | a drawing, or an answer |

use std::{fs, process::Command};

use anycast_lab::{programs::repository, setup};

use crate::{
    commands::{checked, faults},
    page::{Block, pages},
};

/// What a command line of the documentation may begin with.
const PROGRAMS: [&str; 51] = [
    "anycastctl",
    "anycastd",
    "apt",
    "apt-get",
    "arping",
    "bash",
    "bgpdump",
    "birdc",
    "cargo",
    "chmod",
    "chown",
    "containerlab",
    "curl",
    "cd",
    "date",
    "deploy/build-images",
    "deploy/check-static",
    "dig",
    "docker",
    "dpkg",
    "git",
    "grep",
    "install",
    "ip",
    "journalctl",
    "jq",
    "just",
    "ls",
    "mdbook",
    "mkdir",
    "nc",
    "nft",
    "nstat",
    "ping",
    "pip",
    "promtool",
    "python3",
    "sed",
    "sleep",
    "ss",
    "ssh",
    "sudo",
    "sysctl",
    "systemctl",
    "systemd-sysusers",
    "tcpdump",
    "test",
    "timedatectl",
    "tshark",
    "vi",
    "vtysh",
];

#[test]
fn every_block_is_what_it_says() {
    setup::root().unwrap();
    let all: Vec<Block> = pages().iter().flat_map(crate::page::Page::blocks).collect();
    assert!(all.len() > 20, "the pages are not found");
    let wrong: Vec<String> =
        all.iter().filter_map(|block| Some(format!("{}: {}", block.place, fault(&block.info, &block.text)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a block.
fn fault(info: &str, text: &str) -> Option<String> {
    match info {
        "" if is_console(text) => console(text),
        "" | "sh" => shell(text),
        "console" => console(text),
        "yaml" => configuration(text),
        "yaml,of=scenario" => read_by(&[env!("CARGO_BIN_EXE_anycast-lab"), "demo", "--list"], text),
        "frr" => read_by(&["vtysh", "-C", "-f"], text),
        "bird" => read_by(&["bird", "-p", "-c"], text),
        "nft" => read_by(&["nft", "-c", "-f"], text),
        "ini" => drop_in(text),
        "json" => serde_json::from_str::<serde_json::Value>(text).err().map(|error| error.to_string()),
        "text" => None,
        _ => match info.strip_prefix("yaml,of=") {
            Some(part) => fragment(part, text),
            None => Some(format!("nobody knows how to check `{info}`: see crates/lab/tests/docs/blocks.rs")),
        },
    }
}

fn is_console(text: &str) -> bool {
    text.starts_with("$ ") || text.starts_with("# ")
}

fn console(text: &str) -> Option<String> {
    let typed: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("$ ").or(line.strip_prefix("# ")))
        .map(|line| format!("{line}\n"))
        .collect();
    if typed.is_empty() {
        return Some("no command is typed in it".to_owned());
    }
    shell(&typed)
}

/// The shell must be able to read it, and each line begin with a command that there is, or may be.
fn shell(text: &str) -> Option<String> {
    let unread = read_by(&["bash", "-n"], text);
    let unknown = text.lines().find(|line| first_word(line).is_some_and(|word| !PROGRAMS.contains(&word)));
    let wrong: Vec<String> = text.lines().flat_map(faults).collect();
    unread
        .or(unknown.map(|line| format!("`{line}`: no program is known by this name: is it a command?")))
        .or((!wrong.is_empty()).then(|| wrong.join("\n")))
}

/// What a line begins with, behind variables; a comment and a line that goes on have none.
fn first_word(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.contains('='));
    words.next().filter(|word| !word.starts_with('#') && !line.starts_with(' '))
}

/// What a program that reads a file has against a text.
fn read_by(argv: &[&str], text: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("block");
    fs::write(&file, text).unwrap();
    let said = Command::new(place_of(argv[0])).args(&argv[1..]).arg(&file).output();
    let said = said.unwrap_or_else(|error| panic!("{}: {error}", argv[0]));
    (!said.status.success()).then(|| String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
}

/// Root's PATH may lack what only root runs.
fn place_of(program: &str) -> std::path::PathBuf {
    let places = ["/usr/sbin", "/sbin"].map(|directory| std::path::Path::new(directory).join(program));
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| program.into())
}

fn configuration(text: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("anycastd.yaml");
    fs::write(&file, text).unwrap();
    checked(&file)
}

/// Keys of a part, within the smallest file that has that part.
fn fragment(part: &str, text: &str) -> Option<String> {
    let all = examples(text);
    all.iter().find_map(|keys| configuration(&around(part, keys)?).map(|error| format!("{keys}{error}"))).or(around(
        part, "",
    )
    .is_none()
    .then(|| format!("there is no part `{part}`")))
}

/// The keys together; or, where one of them is there twice, each for itself.
fn examples(text: &str) -> Vec<String> {
    let mut single: Vec<String> = Vec::new();
    for line in text.lines() {
        match single.last_mut() {
            Some(last) if line.starts_with([' ', '#']) || line.is_empty() => last.extend([line, "\n"]),
            Some(_) | None => single.push(format!("{line}\n")),
        }
    }
    let key = |example: &String| example.split(':').next().unwrap_or_default().to_owned();
    let mut keys: Vec<String> = single.iter().map(key).collect();
    keys.sort();
    keys.dedup();
    if keys.len() == single.len() { vec![text.to_owned()] } else { single }
}

fn around(part: &str, keys: &str) -> Option<String> {
    let has = |key: &str| keys.lines().any(|line| line.starts_with(&format!("{key}:")));
    let unless = |key: &str, text: &'static str| if has(key) { "" } else { text };
    let indent = |by: usize| keys.lines().map(|line| format!("{:by$}{line}\n", "")).collect::<String>();
    let neighbors = "  neighbors:\n    - name: leaf1\n      asn: 65001\n";
    let bgp = "bgp:\n  asn: 65010\n  router_id: 192.0.2.11\n";
    let address = "      address: 192.0.2.1\n";
    let service = "services:\n  - name: dns\n";
    let bound = "    addresses: [203.0.113.53]\n    prefixes: [203.0.113.0/24]\n";
    let checks = "    checks:\n      - { name: accepts, type: tcp, port: 53 }\n";
    Some(match part {
        "top" => format!(
            "{}{keys}",
            unless(
                "bgp",
                "bgp:\n  asn: 65010\n  router_id: 192.0.2.11\n  neighbors:\n    - { name: leaf1, address: 192.0.2.1, asn: 65001 }\n"
            )
        ),
        "neighbor" => format!(
            "{bgp}{neighbors}{}{}",
            if has("interface") || has("prefix") || has("address") { "" } else { address },
            indent(6)
        ),
        "service" => format!(
            "{bgp}{neighbors}{address}{service}{}{}{}",
            if has("addresses") || has("prefixes") { "" } else { bound },
            unless("checks", checks),
            indent(4)
        ),
        "check" => {
            format!("{bgp}{neighbors}{address}{service}{bound}    checks:\n      - name: example\n{}", indent(8))
        }
        _ => return None,
    })
}

/// A drop-in of the unit, as systemd reads it.
fn drop_in(text: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(repository().join("deploy/systemd/anycastd.service")).unwrap();
    let file = home.path().join("example.service");
    fs::write(&file, format!("{unit}\n{text}")).unwrap();
    let Ok(said) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output() else {
        eprintln!("not looked at: there is no systemd-analyze");
        return None;
    };
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let of_ours = |line: &&str| {
        line.contains("example.service")
            && ["Unknown", "Failed to parse", "Invalid"].iter().any(|word| line.contains(word))
    };
    said.lines().find(of_ours).map(str::to_owned)
}

#[test]
fn a_block_that_is_not_what_it_says_is_seen() {
    for (info, bad) in [
        ("", "anycastctl nonsense\n"),
        ("", "if true; then\n"),
        ("", "router said: no\n"),
        ("", "$ anycastctl status --wacth\n"),
        ("yaml", "bgp: { asn: 0 }\n"),
        ("yaml,of=neighbor", "bfd: true\nbfd: { intervall: 50ms }\n"),
        ("yaml,of=service", "hold_down: { after: 3 }\n"),
        ("yaml,of=check", "type: tpc\nport: 53\n"),
        ("yaml,of=top", "on_exit: stay\n"),
        ("yaml,of=nothing", "a: b\n"),
        ("yaml,of=scenario", "title: x\nsteps: [{ do: kill-everybody, node: us-edge1, title: x }]\n"),
        ("frr", "router bgp 65001\n neighbour 192.0.2.1 remote-as 1\n"),
        ("bird", "protocol bgp { neighbour 192.0.2.1; }\n"),
        ("json", "{ a: 1 }\n"),
        ("ini", "[Service]\nLoadCredentials=x:/y\n"),
        ("ruby", "puts 1\n"),
    ] {
        assert!(fault(info, bad).is_some(), "{info}: {bad}");
    }
}
