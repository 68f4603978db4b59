//! The agent's JSON, laid out for reading, with every field and number as it came.

/// Lays out valid JSON over lines; anything else comes out as some text.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json.trim().chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                out.push('"');
                string(&mut rest, &mut out);
            }
            '{' | '[' => {
                out.push(c);
                skip_space(&mut rest);
                if rest.peek() == Some(&closing(c)) {
                    out.extend(rest.next());
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

/// One line of JSON as it came, but harmless to a terminal.
pub(crate) fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        push(c, &mut out);
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Copies a string up to and with its closing quote.
fn string(rest: &mut Chars<'_>, out: &mut String) {
    while let Some(c) = rest.next() {
        push(c, out);
        match c {
            '\\' => out.extend(rest.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// JSON escapes the C0 controls by itself, but DEL and C1 may stand in a string as they are, and a terminal obeys them.
/// The escaped form is the same string to every reader.
fn push(c: char, out: &mut String) {
    if c.is_control() {
        out.push_str(&format!("\\u{:04x}", u32::from(c)));
    } else {
        out.push(c);
    }
}

fn skip_space(rest: &mut Chars<'_>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

const fn closing(opening: char) -> char {
    if opening == '{' { '}' } else { ']' }
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lays_out_as_serde_json_does() {
        let text = r#"{"z":[1,2.50,{}],"a":{"s":"a \"b\" {c}, [d]: \\","n":null},"e":[ ], "t":true}"#;
        let shown = pretty(text);
        assert!(shown.starts_with("{\n  \"z\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"a\": {\n"), "{shown}");
        assert!(shown.ends_with("  \"e\": [],\n  \"t\": true\n}\n"), "{shown}");
        let before: serde_json::Value = serde_json::from_str(text).unwrap();
        let after: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(before, after);
        assert_eq!(pretty("[]"), "[]\n");
    }

    #[test]
    fn a_terminal_is_not_told_anything() {
        let text = "{\"a\":\"x\u{9b}31m\u{7f}\"}";
        assert_eq!(harmless(text), "{\"a\":\"x\\u009b31m\\u007f\"}");
        let shown = pretty(text);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        let after: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(after["a"], "x\u{9b}31m\u{7f}");
    }
}
