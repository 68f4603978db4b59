//! What the page of symptoms quotes, the programs say.
//!
//! A quoted message is compared without what stands for something else: `…`, what is in quotes, and words with a digit, which are
//! addresses, names and numbers. What is left between those and the marks of punctuation must stand in the programs' texts,
//! word for word where it is three words or more; of fewer, each word.

use anycast_lab::programs::repository;

use crate::{commands::sources, page::Page};

/// Its messages are those of routers.
const OF_ROUTERS: &str = "## It is announced, and there is no traffic";
/// The crates that say something to users.
const SAYING: [&str; 6] = ["anycastd", "anycastctl", "api", "core", "bgp", "bfd"];
/// Names that the examples give.
const NAMES: [&str; 3] = ["root", "web", "SERVICE"];

#[test]
fn what_the_page_of_symptoms_quotes_is_said() {
    let page = Page::read("docs/src/troubleshooting.md".into());
    let quoted = quoted(&page);
    assert!(quoted.len() > 40, "{quoted:?}");
    let said = said();
    let wrong: Vec<String> = quoted
        .iter()
        .flat_map(|(place, span)| missing(span, &said).into_iter().map(move |part| format!("{place}: {span}: {part}")))
        .collect();
    assert!(wrong.is_empty(), "nobody says\n{}", wrong.join("\n"));
}

/// The first cell of each row has what is seen.
fn quoted(page: &Page) -> Vec<(String, &str)> {
    let mut of_routers = false;
    let mut found = Vec::new();
    for (place, line) in page.prose() {
        if line.starts_with("## ") {
            of_routers = line == OF_ROUTERS;
        }
        let cell = line.strip_prefix("| ").and_then(|row| row.split(" | ").next()).filter(|_| !of_routers);
        found.extend(
            cell.into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(|span| (place.clone(), span)),
        );
    }
    found
}

/// The texts of the programs, on one line, without comments and tests.
fn said() -> String {
    let all: String =
        SAYING.iter().map(|name| sources(&repository().join("crates").join(name).join("src"), false)).collect();
    let lines = all.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    // A text goes on in the next line behind a backslash.
    let joined: String = lines.flat_map(|line| [line.strip_suffix('\\').unwrap_or(line), " "]).collect();
    joined.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of a message that the programs do not have.
fn missing(message: &str, said: &str) -> Vec<String> {
    parts(message)
        .into_iter()
        .filter(|part| match part.len() {
            1 | 2 => part.iter().any(|word| !has(said, word)),
            _ => !has(said, &part.join(" ")),
        })
        .map(|part| part.join(" "))
        .collect()
}

/// The words that stand together.
fn parts(message: &str) -> Vec<Vec<&str>> {
    let own = message.split('"').step_by(2).flat_map(|text| text.split(['…', '(', ')', '/']));
    let mut parts = vec![Vec::new()];
    for word in own.flat_map(|text| text.split_whitespace().chain(["…"])) {
        let bare = word.trim_matches([':', ';', ',']);
        let is_example = bare.contains(|letter: char| letter.is_ascii_digit()) || NAMES.contains(&bare);
        match parts.last_mut() {
            Some(part) if !is_example && bare.contains(char::is_alphabetic) => part.push(bare),
            Some(_) | None => parts.push(Vec::new()),
        }
        if bare.len() < word.len() {
            parts.push(Vec::new());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether whole words stand in a text.
fn has(text: &str, words: &str) -> bool {
    let is_end = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
    text.match_indices(words)
        .any(|(at, _)| is_end(text[..at].chars().next_back()) && is_end(text[at + words.len()..].chars().next()))
}

#[test]
fn a_message_that_nobody_says_is_seen() {
    let said =
        "format!(\"the neighbor says it is AS {found}, but {} is configured\") \"; sent NOTIFICATION {}\" AS but s a_b";
    let table = [
        ("the neighbor says it is AS 65101, but AS 65109 is configured; sent NOTIFICATION 2/2", None),
        ("the neighbor says that it is AS 65101", Some("the neighbor says that it is AS")),
        ("a_b", None),
        ("a_c", Some("a_c")),
        ("sent … by \"nobody at all\"", Some("by")),
        ("the neighbor says it", None),
        ("neighbors says it is", Some("neighbors says it is")),
    ];
    for (message, wrong) in table {
        assert_eq!(missing(message, said).first().map(String::as_str), wrong, "{message}");
    }
}
