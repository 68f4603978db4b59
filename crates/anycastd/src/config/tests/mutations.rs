//! Whatever the bytes: settings, or a report with a place in the file; never a panic.

use proptest::prelude::*;

use super::*;

/// What begins a command to a terminal.
const ESCAPE: char = '\u{1b}';

fn judge(bytes: &[u8]) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().count().max(1);
    let Err(error) = read_bytes(bytes) else { return Ok(()) };
    prop_assert!(error.count() > 0, "refused without a mistake: {text:?}");
    for found in error.found().found() {
        let place = found.place.as_ref().expect("only a file as a whole has none");
        prop_assert!((1..=lines).contains(&place.line), "{found:?} in {text:?}");
        let line = text.trim_start_matches('\u{feff}').lines().nth(place.line - 1).unwrap_or_default();
        prop_assert!(place.column <= line.chars().count() + 1, "{found:?} in {text:?}");
        prop_assert!(!found.message.is_empty() && !found.hint.is_empty(), "{found:?}");
    }
    prop_assert!(!error.to_string().contains(ESCAPE));
    Ok(())
}

/// Pieces that mean something to YAML or to the configuration, so that random texts get past the first character.
fn yaml_like() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "bgp",
        "services",
        "name",
        "asn",
        "checks",
        "neighbors",
        "type",
        "tcp",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "#",
        " #",
        "&a ",
        "*a",
        "!t ",
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "? ",
        "%",
        "\t",
        "\r\n",
        "ü",
        "1",
        "~",
        "<<",
        "203.0.113.0/24",
        "2001:db8::",
        "@",
        "`",
        "\\",
        "-",
        "0",
    ]);
    prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

#[derive(Debug, Clone)]
enum Mutation {
    DropLine(prop::sample::Index),
    DoubleLine(prop::sample::Index),
    Indent(prop::sample::Index, usize),
    Put(prop::sample::Index, char),
    Cut(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let odd = prop::sample::select(vec![
        ':', '-', '[', ']', '{', '}', '"', '\'', '#', '&', '*', '\t', '\n', ' ', '0', 'ü', '\r',
    ]);
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Mutation::DropLine),
        any::<prop::sample::Index>().prop_map(Mutation::DoubleLine),
        (any::<prop::sample::Index>(), 0_usize..8).prop_map(|(at, depth)| Mutation::Indent(at, depth)),
        (any::<prop::sample::Index>(), odd).prop_map(|(at, character)| Mutation::Put(at, character)),
        any::<prop::sample::Index>().prop_map(Mutation::Cut),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return String::new();
    }
    match mutation {
        Mutation::DropLine(at) => drop(lines.remove(at.index(lines.len()))),
        Mutation::DoubleLine(at) => lines.insert(at.index(lines.len()), lines[at.index(lines.len())].clone()),
        Mutation::Indent(at, depth) => {
            let line = &mut lines[at.index(text.lines().count())];
            *line = format!("{}{}", " ".repeat(*depth), line.trim_start());
        }
        Mutation::Put(at, character) => {
            let at = at.index(characters.len());
            characters[at] = *character;
            return characters.into_iter().collect();
        }
        Mutation::Cut(at) => return characters[..at.index(characters.len())].iter().collect(),
    }
    lines.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        judge(&bytes)?;
    }

    #[test]
    fn any_text(text in ".{0,200}") {
        judge(text.as_bytes())?;
    }

    #[test]
    fn anything_like_yaml(text in yaml_like()) {
        judge(text.as_bytes())?;
    }

    #[test]
    fn any_change_of_a_good_file(
        mutations in prop::collection::vec(mutation(), 1..4),
        file in prop::sample::select(vec![FULL, PAGE, SMALL]),
    ) {
        let text = mutations.iter().fold(file.to_owned(), |text, mutation| mutate(&text, mutation));
        judge(text.as_bytes())?;
    }
}
