//! What of the file may be shown: reports end up in logs and tickets, and a password must not get there by a slip of the pen.
//!
//! It works on the bare text, because that is all there is of a file that is no YAML. It hides too much rather than too little.

use std::borrow::Cow;

/// Names with one of these in them have a secret for a value, or for values.
const PARTS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "md5",
    "key",
    "credential",
    "cookie",
    "authorization",
    "authentication",
    "signature",
    "header",
    "environ",
];
/// As do these.
const WHOLE: [&str; 7] = ["pass", "pwd", "auth", "sig", "env", "bearer", "basic"];
/// As do those that were probably meant for one of these.
const NEARLY: [&str; 4] = ["headers", "environment", "password", "authorization"];
/// Keys whose value only names a secret: that of a systemd unit.
const NAMES: &str = "credential";

/// What stands for what is not shown.
const DOTS: char = '…';

/// Whether what has this name is probably not for everybody.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_start_matches('-');
    let near = |word: &str| name.len().abs_diff(word.len()) <= 2 && strsim::damerau_levenshtein(name, word) <= 2;
    PARTS.iter().any(|part| name.contains(part)) || WHOLE.contains(&name) || NEARLY.into_iter().any(near)
}

/// A text of the operator's, up to where a secret may begin.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    match secret_from(text) {
        Some(at) => format!("{}{DOTS}", &text[..at]).into(),
        None => text.into(),
    }
}

/// Where on a line, or in a value, a secret may begin; `None`: it holds none.
fn secret_from(text: &str) -> Option<usize> {
    [user_from(text), named_from(text)].into_iter().flatten().min()
}

/// `http://user:password@host`: what is before the `@`.
fn user_from(text: &str) -> Option<usize> {
    text.match_indices("//").map(|(at, slashes)| at + slashes.len()).find(|from| {
        let authority = text[*from..].split(['/', '?', '#', ' ', '"', '\'']).next().unwrap_or_default();
        // A password may have any of these in it that was not written as %XX.
        authority.contains('@') || (text[*from..].contains('@') && authority.contains(':'))
    })
}

/// `token=…`, `password: …`, `Bearer …`, `--password …`: what follows.
fn named_from(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some((from, to)) = next_name(text, at) {
        at = to;
        let (name, rest) = (&text[from..to], &text[to..]);
        let quote = rest.len() - rest.trim_start_matches(['"', '\'']).len();
        let blank = rest[quote..].len() - rest[quote..].trim_start_matches(' ').len();
        let mark = rest[quote + blank..].chars().next();
        let begins = match mark {
            Some(':' | '=') => to + quote + blank + 1,
            // The word is a scheme (RFC 9110 §11.4), or an option whose value is the next word.
            _ if name.starts_with('-') || ["bearer", "basic"].contains(&name.to_ascii_lowercase().as_str()) => {
                to + quote
            }
            _ => continue,
        };
        let value = &text[begins..];
        if is_secret(name) && !value.trim().is_empty() && !only_names(name, value) {
            return Some(begins + usize::from(value.starts_with(' ')));
        }
    }
    None
}

/// The value says where the secret is, and not what it is.
fn only_names(key: &str, value: &str) -> bool {
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    key == NAMES || (key.ends_with("_file") && value.starts_with('/'))
}

/// The next run of characters of which names are made.
fn next_name(text: &str, at: usize) -> Option<(usize, usize)> {
    let part = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    let from = at + text[at..].find(part)?;
    let to = text[from..].find(|character| !part(character)).map_or(text.len(), |end| from + end);
    Some((from, to))
}

/// How much of each line of a file may be shown.
#[derive(Debug)]
pub(super) struct Kept {
    /// By line, from its start; `None`: all of it.
    lines: Vec<Option<usize>>,
}

impl Kept {
    pub(super) fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        // How far lines are indented that go on with what may be a secret.
        let mut within: Option<usize> = None;
        let lines = lines.map(|line| {
            let start = line.len() - line.trim_start_matches([' ', '\t']).len();
            if line.len() == start {
                return None;
            }
            // Items may be no further in than the key that they belong to.
            if within.is_some_and(|key| start > key || (start == key && line[start..].starts_with('-'))) {
                return Some(after_key(line));
            }
            within = None;
            let key = start + line[start..].len() - line[start..].trim_start_matches(['-', ' ']).len();
            let flows = line[key..].starts_with(['{', '[']);
            let cut = secret_from(line).or_else(|| opens(line).then_some(line.len()));
            within = cut.map(|_| if flows { start } else { key });
            cut.filter(|cut| *cut < line.len())
        });
        Self { lines: lines.collect() }
    }

    /// For the line with this number, from 1.
    pub(super) fn of_line(&self, number: usize) -> Option<usize> {
        self.lines.get(number.checked_sub(1)?).copied().flatten()
    }
}

/// Whether the lines below this one are the value of something secret.
fn opens(line: &str) -> bool {
    let line = line.trim_end_matches([' ', '|', '>', '-', '+', '{', '[', '"', '\'']);
    let Some(line) = line.strip_suffix(':') else { return false };
    let from = line.rfind([' ', '\t', '{', ',', '"', '\'']).map_or(0, |at| at + 1);
    is_secret(&line[from..])
}

/// Where the value begins on a line that is `key: value`, or one item `- …`.
pub(super) fn after_key(line: &str) -> usize {
    let start = line.len() - line.trim_start_matches([' ', '\t', '-']).len();
    match next_name(line, start) {
        Some((from, to)) if from == start => match line[to..].strip_prefix(':') {
            Some("") => line.len(),
            Some(rest) if rest.starts_with(' ') => to + 2,
            Some(_) | None => start,
        },
        Some(_) | None => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_up_to_the_secret() {
        let cases = [
            ("Authorization: Bearer xyz", "Authorization: …"),
            ("Bearer xyz", "Bearer …"),
            ("TOKEN=abc", "TOKEN=…"),
            ("http://127.0.0.1/?a=1&token=abc&b=2", "http://127.0.0.1/?a=1&token=…"),
            ("http://127.0.0.1/?api-key=abc", "http://127.0.0.1/?api-key=…"),
            ("http://me:hunter2@127.0.0.1/", "http://…"),
            ("http://me:hun/ter2@127.0.0.1/", "http://…"),
            ("http://hunter2@127.0.0.1/", "http://…"),
            ("--password hunter2", "--password …"),
            ("[/bin/x, \"--password\", \"hunter2\"]", "[/bin/x, \"--password\"…"),
            ("{ name: leaf1, password: hunter2, asn: 1 }", "{ name: leaf1, password: …"),
            ("\"password\" : hunter2", "\"password\" : …"),
            ("password: ", "password: "),
            ("password_file: /etc/p", "password_file: /etc/p"),
            ("password_file: hunter2", "password_file: …"),
            ("credential: leaf1", "credential: leaf1"),
            ("{ password_file: /etc/p, password: x }", "{ password_file: /etc/p, password: …"),
            ("http://127.0.0.1/token/healthz?a=1", "http://127.0.0.1/token/healthz?a=1"),
            ("url: http://127.0.0.1:80/a@b", "url: http://…"),
            ("address: 192.0.2.1", "address: 192.0.2.1"),
            ("keepalive", "keepalive"),
            ("enviroment: { X: y }", "enviroment: …"),
            ("haeders: x", "haeders: …"),
            ("", ""),
        ];
        for (text, seen) in cases {
            assert_eq!(shown(text), seen, "{text}");
        }
    }

    #[test]
    fn lines_below_a_secret_key_show_their_own_keys_only() {
        const FILE: &str = "\
checks:
  - name: a
    headers:
      x-api: abc
      - one
    path: /b
  - headers:
    - x
    port: 80
  - { type: http, environment: { A: b,
      C: d },
    E: f }
environment: # x
- TOKEN: abc
- def

  \"g h\": i
services: x
password: |
  hunter2

 hunter3
tls: {}
";
        const SHOWN: &str = "\
checks:
  - name: a
    headers:
      x-api: …
      - …
    path: /b
  - headers:
    - …
    port: 80
  - { type: http, environment: …
      C: …
    E: …
environment: …
- TOKEN: …
- …

  …
services: x
password: …
  …

 …
tls: {}
";
        let kept = Kept::of(FILE.lines());
        let shown = FILE.lines().zip(1..).map(|(line, number)| match kept.of_line(number) {
            Some(cut) => format!("{}{DOTS}\n", &line[..cut]),
            None => format!("{line}\n"),
        });
        assert_eq!(shown.collect::<String>(), SHOWN);
    }
}
