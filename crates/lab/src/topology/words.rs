//! A command line as words, by the rules of the library that containerlab splits `exec` and `cmd` with.

/// Why a text is no command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadWords {
    #[error("a quote is not closed")]
    OpenQuote,
    #[error("nothing follows the last backslash")]
    OpenEscape,
    #[error("there is no word in it")]
    Empty,
}

/// Splits at white space. Single quotes keep everything, double quotes all but the backslash, and a `#` at the start of a word
/// begins a comment. Nothing is expanded: what needs a shell says `sh -c`.
pub(super) fn split(text: &str) -> Result<Vec<String>, BadWords> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => while letters.next().is_some_and(|letter| letter != '\n') {},
            '\'' => quoted(&mut letters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut letters, '"', word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(letters.next().ok_or(BadWords::OpenEscape)?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(BadWords::Empty) } else { Ok(words) }
}

/// Takes what stands between the quote and its like.
fn quoted(letters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), BadWords> {
    loop {
        match letters.next().ok_or(BadWords::OpenQuote)? {
            letter if letter == quote => return Ok(()),
            '\\' if quote == '"' => word.push(letters.next().ok_or(BadWords::OpenEscape)?),
            letter => word.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_containerlab_does() {
        let table: &[(&str, &[&str])] = &[
            ("ip link show", &["ip", "link", "show"]),
            ("  a\t b\n", &["a", "b"]),
            ("sh -c 'serve >/log 2>&1 &'", &["sh", "-c", "serve >/log 2>&1 &"]),
            (r#"say "a 'b' c""#, &["say", "a 'b' c"]),
            (r#"say "a \"b\" c\d""#, &["say", "a \"b\" cd"]),
            (r"say 'a\b' a\ b \'", &["say", r"a\b", "a b", "'"]),
            ("a'b c'd", &["ab cd"]),
            ("say '' \"\"", &["say", "", ""]),
            ("say #no\nmore a#b", &["say", "more", "a#b"]),
            ("say $HOME *", &["say", "$HOME", "*"]),
        ];
        for (text, words) in table {
            assert_eq!(split(text).unwrap(), *words, "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        let table = [
            ("a 'b", BadWords::OpenQuote),
            ("a \"b", BadWords::OpenQuote),
            ("a \"b\\\"", BadWords::OpenQuote),
            ("a \\", BadWords::OpenEscape),
            ("a \"\\", BadWords::OpenEscape),
            ("", BadWords::Empty),
            (" # only a remark", BadWords::Empty),
        ];
        for (text, fault) in table {
            assert_eq!(split(text), Err(fault), "{text}");
        }
    }
}
