//! The commands: each of ours is read by the program that it is for, or by its description.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use anycast_lab::{
    cli::{Cli, Verb},
    harness,
    programs::{BIN_DIR, Programs, repository},
};
use clap::{Parser as _, error::ErrorKind};

use crate::page::{Page, pages};

/// The programs that the commands are tried with.
fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(harness::programs()).unwrap().clone()
    })
}

/// Where a program of ours is.
pub(crate) fn program(name: &str) -> &'static Path {
    programs().all().find(|(known, _)| *known == name).map(|(_, path)| path).unwrap()
}

/// What is wrong with a line of a shell; the rest of it is the shell's.
pub(crate) fn faults(line: &str) -> Vec<String> {
    words_of(line).iter().filter_map(|words| fault(words)).collect()
}

/// What is wrong with one command, of which only ours are known.
fn fault(words: &[String]) -> Option<String> {
    let (program, rest) = ours(words)?;
    match (program.as_str(), rest.first().map(String::as_str)) {
        ("cargo", Some("lab")) => lab(&rest[1..]),
        ("just", Some(recipe)) => {
            (!recipes().contains(&recipe.to_owned())).then(|| format!("the justfile has no {recipe}"))
        }
        ("anycastctl" | "anycastd", _) => helped(program, rest),
        _ => None,
    }
}

/// Our program among the words of a command, and its arguments: the first word, or behind `sudo`, a variable or `docker exec CONTAINER`.
fn ours(words: &[String]) -> Option<(&String, &[String])> {
    let (first, rest) = words.split_first()?;
    match first.as_str() {
        "anycastctl" | "anycastd" | "cargo" | "just" => Some((first, rest)),
        "sudo" => ours(rest),
        "docker" if rest.first().is_some_and(|verb| verb == "exec") => {
            ours(rest.iter().position(|word| word.starts_with("anycast")).map(|at| &rest[at..])?)
        }
        _ if first.contains('=') => ours(rest),
        _ => None,
    }
}

fn recipes() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("justfile")).unwrap();
    let heads = text.lines().filter(|line| !line.starts_with([' ', '#'])).filter_map(|line| line.split_once(':'));
    heads.filter_map(|(head, _)| head.split_whitespace().next().map(str::to_owned)).collect()
}

/// The lab's own, whose description is at hand.
fn lab(arguments: &[String]) -> Option<String> {
    let all = std::iter::once("lab").chain(arguments.iter().map(String::as_str));
    match Cli::try_parse_from(all) {
        Ok(Cli { verb: Verb::Exec { command, .. }, .. }) => fault(&command),
        Ok(_) => None,
        // The tests may have their programs from where a variable says, which goes with no other place for them.
        Err(error) if error.kind() == ErrorKind::ArgumentConflict && std::env::var_os(BIN_DIR).is_some() => None,
        Err(error) => Some(format!("cargo lab {arguments:?}: {error}")),
    }
}

/// With `--help` behind it a command does nothing, and what stands before is read all the same.
fn helped(program: &str, arguments: &[String]) -> Option<String> {
    let said =
        Command::new(self::program(program)).args(arguments).arg("--help").stdin(Stdio::null()).output().unwrap();
    (!said.status.success())
        .then(|| format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&said.stderr)))
}

/// The simple commands of a line, each as its words, without redirections and comments.
pub(crate) fn words_of(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let ends = |commands: &mut Vec<Vec<String>>, word: &mut Option<String>| {
            if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
                command.push(word);
            }
        };
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, '|' | ';' | '&' | '(' | ')') => {
                ends(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            (None, '<' | '>') => {
                // What is redirected, and where: `2>&1`, `>file`.
                word = word.filter(|word| !word.chars().all(|digit| digit.is_ascii_digit()));
                ends(&mut commands, &mut word);
                while letters.next_if(|next| matches!(next, '>' | '&' | ' ')).is_some() {}
                while letters.next_if(|next| !next.is_whitespace() && !";|&)".contains(*next)).is_some() {}
            }
            (None, _) if letter.is_whitespace() => ends(&mut commands, &mut word),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    if let (Some(word), Some(command)) = (word, commands.last_mut()) {
        command.push(word);
    }
    commands.retain(|words| !words.is_empty());
    commands
}

#[test]
fn a_command_with_a_mistake_is_seen() {
    for bad in [
        "anycastctl withdraw --wiat",
        "sudo anycastctl stauts",
        "cargo lab bnech speaker",
        "true && cargo lab exec us-edge1 anycastctl status --jsno",
        "anycastd --config x --checks # a comment",
        "docker exec CONTAINER anycastctl withdraw --for soon",
        "just bok",
    ] {
        assert!(!faults(bad).is_empty(), "{bad}");
    }
    for good in [
        "anycastctl status --json 2>&1 | jq .node",
        "anycastd --check >x && systemctl reload anycastd",
        "echo 'anycastctl nonsense'",
        "systemctl restart anycastd",
        "install anycastd x",
    ] {
        assert_eq!(faults(good), [""; 0], "{good}");
    }
}

#[test]
fn every_command_in_a_sentence_is_known() {
    let wrong: Vec<String> = pages()
        .iter()
        .flat_map(|page| {
            let ours = page.spans().into_iter().filter(|(_, span)| is_ours(span));
            ours.flat_map(|(place, span)| {
                faults(&plain(span)).into_iter().map(move |fault| format!("{place}: {fault}")).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a span is a command of ours and not a name, an answer or an event.
fn is_ours(span: &str) -> bool {
    let mut words = span.split_whitespace();
    match (words.next(), words.next()) {
        (Some("anycastctl"), Some(verb)) => verb != "VERB",
        (Some("anycastd"), Some(option)) => option.starts_with('-'),
        (Some("cargo"), Some("lab")) => words.next().is_some(),
        (Some("just"), Some(_)) => true,
        _ => false,
    }
}

/// Without the marks of what may be left out, of a choice, and of more to come.
fn plain(span: &str) -> String {
    span.replace(['[', ']'], "").replace("\\|", "/").replace('…', "")
}

#[test]
fn the_examples_of_the_repository_are_good_configurations() {
    for file in ["deploy/examples/anycastd.yaml", "deploy/debian/anycastd.yaml"] {
        assert_eq!(checked(&repository().join(file)), None, "{file}");
    }
}

/// What `anycastd --check` has against a file.
pub(crate) fn checked(file: &Path) -> Option<String> {
    let said = Command::new(program("anycastd"))
        .arg("--check")
        .arg("--config")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (!said.status.success()).then(|| String::from_utf8_lossy(&said.stderr).into_owned())
}

#[test]
fn every_test_that_the_page_of_conformance_names_is_there() {
    let page = Page::read("docs/src/conformance.md".into());
    let named: Vec<_> = page
        .spans()
        .into_iter()
        .filter(|(_, span)| {
            span.contains('_')
                && span.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
        })
        .filter(|(_, span)| *span != "min_ttl")
        .collect();
    assert!(named.len() > 60, "{}", named.len());
    let sources = sources(&repository().join("crates"), true);
    let missing: Vec<_> = named.iter().filter(|(_, name)| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// All of the program texts below a directory, with those of tests or without.
pub(crate) fn sources(directory: &Path, tests: bool) -> String {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_test = |path: &Path| path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
    entries
        .filter(|path| tests || !is_test(path))
        .map(|path| match path.extension() {
            _ if path.is_dir() && !path.ends_with("target") => sources(&path, tests),
            Some(end) if end == "rs" => {
                let text = std::fs::read_to_string(&path).unwrap();
                let own = if tests { None } else { text.find("\n#[cfg(test)]\nmod tests {") };
                text[..own.unwrap_or(text.len())].to_owned()
            }
            _ => String::new(),
        })
        .collect()
}
