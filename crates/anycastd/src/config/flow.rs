//! Where brackets and quotes are open, line by line: within them indentation means nothing.
//!
//! It need not understand a file that is no YAML: who asks hides what it takes for open.

/// What is open at a place of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// How many brackets.
    pub(super) depth: usize,
    /// The quote that is not closed yet.
    pub(super) quote: Option<char>,
}

impl Flow {
    /// What is open after a part of a line; `before` is what of the line came before it.
    pub(super) fn after(mut self, before: &str, part: &str) -> Self {
        let mut last = before.chars().next_back().unwrap_or(' ');
        // The last that is no blank: a bracket or a quote within a plain text is none.
        let mut mark = before.trim_end().chars().next_back().unwrap_or('-');
        let mut characters = part.chars();
        while let Some(character) = characters.next() {
            match (self.quote, character) {
                (Some('"'), '\\') => drop(characters.next()),
                (Some(quote), _) if quote == character => self.quote = None,
                (Some(_), _) => {}
                (None, '#') if last.is_whitespace() => return self,
                (None, '"' | '\'') if begins_after(mark, last) => self.quote = Some(character),
                (None, '{' | '[') if self.depth > 0 || begins_after(mark, last) => self.depth += 1,
                (None, '}' | ']') => self.depth = self.depth.saturating_sub(1),
                (None, _) => {}
            }
            last = character;
            if !character.is_whitespace() {
                mark = character;
            }
        }
        self
    }
}

/// Whether a value may begin after that.
fn begins_after(mark: char, last: char) -> bool {
    matches!(mark, '{' | '[' | ',') || (matches!(mark, ':' | '-' | '?') && (last == mark || last.is_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_are_counted_where_values_begin() {
        let cases = [
            ("a: {", 1, None),
            ("a: { b: [1, 2], c: \"}", 1, Some('"')),
            ("a: 'it''s', b", 0, None),
            ("a: \"x\\\"", 0, Some('"')),
            ("a: don't [x", 0, None),
            ("a: 1 # {", 0, None),
            ("- [", 1, None),
            ("{\"a\":{", 2, None),
            ("]]", 0, None),
        ];
        for (line, depth, quote) in cases {
            assert_eq!(Flow::default().after("", line), Flow { depth, quote }, "{line}");
        }
    }
}
