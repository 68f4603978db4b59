//! What of the file may be shown: reports end up in logs and tickets, and a password must not get there by a slip of the pen.
//!
//! It works on the bare text, because that is all there is of a file that is no YAML. It hides too much rather than too little.

use std::borrow::Cow;

use super::flow::Flow;

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

/// Keys of which the values are no secrets, but hold one at times: a login in a command, in what is sent, a key where its number belongs.
const PRIVATE: [&str; 8] = ["command", "send", "send_hex", "expect_hex", "body", "tcp_ao", "send_id", "recv_id"];

/// What stands for what is not shown.
const DOTS: char = '…';

/// Whether what has this name is probably not for everybody.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_start_matches('-');
    let near = |word: &str| name.len().abs_diff(word.len()) <= 2 && strsim::damerau_levenshtein(name, word) <= 2;
    PARTS.iter().any(|part| name.contains(part)) || WHOLE.contains(&name) || NEARLY.into_iter().any(near)
}

/// As [`is_secret`], or the value may hold something that is.
pub(super) fn is_private(name: &str) -> bool {
    PRIVATE.contains(&name) || is_secret(name)
}

/// A text of the operator's, up to where a secret may begin.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    match secret_from(text) {
        Some(at) => format!("{}{DOTS}", &text[..at]).into(),
        None => text.into(),
    }
}

/// A URL or a path, without the values of its query.
pub(super) fn without_query(text: &str) -> Cow<'_, str> {
    match query_from(text) {
        Some(at) => format!("{}{DOTS}", &text[..at]).into(),
        None => text.into(),
    }
}

/// Where in a value a secret may begin; `None`: it holds none.
fn secret_from(text: &str) -> Option<usize> {
    [url_user_from(text), user_from(text), named_from(text, |name, _| is_secret(name))].into_iter().flatten().min()
}

/// The same for a line of the file.
fn private_from(line: &str) -> Option<usize> {
    // That of HTTP says what is expected of what, that of UDP is a text.
    let text = |value: &str| !value.trim().is_empty() && !value.trim_start().starts_with('{');
    let named = named_from(line, |name, value| is_private(name) || (name == "expect" && text(value)));
    [url_user_from(line), user_from(line), query_from(line), named].into_iter().flatten().min()
}

/// `http://user:password@host`: what is before the `@`.
fn url_user_from(text: &str) -> Option<usize> {
    text.match_indices("//").map(|(at, slashes)| at + slashes.len()).find(|from| {
        let authority = text[*from..].split(['/', '?', '#', ' ', '"', '\'']).next().unwrap_or_default();
        // A password may have any of these in it that was not written as %XX.
        authority.contains('@') || (text[*from..].contains('@') && authority.contains(':'))
    })
}

/// `user:password@host` and `http:/user:password@host`.
fn user_from(text: &str) -> Option<usize> {
    let before = &text[..text.rfind('@')?];
    let joins = |(at, _): &(usize, &str)| {
        let rest = &text[at + 1..];
        !rest.starts_with([' ', '\t']) && !rest.starts_with("//")
    };
    let (colon, _) = before.match_indices(':').find(joins)?;
    let slashes = text[colon + 1..].len() - text[colon + 1..].trim_start_matches('/').len();
    if slashes > 0 {
        return Some(colon + 1 + slashes);
    }
    let begins = before[..colon].rfind([' ', '\t', '"', '\'', '[', '{', ',']).map_or(0, |at| at + 1);
    Some(before[..colon].rfind("//").map_or(begins, |at| begins.max(at + 2)))
}

/// `http://host/?a=b` and `/path?a=b`: what is after the `?`.
fn query_from(text: &str) -> Option<usize> {
    text.match_indices('?').map(|(at, _)| at).find_map(|at| {
        let begins = text[..at].rfind([' ', '\t', '"', '\'']).map_or(0, |at| at + 1);
        let query = text[at + 1..].split([' ', '\t', '"', '\'', ',', '}']).next().unwrap_or_default();
        (text[begins..at].contains('/') && !query.is_empty()).then_some(at + 1)
    })
}

/// `token=…`, `password: …`, `Bearer …`, `--password …`: what follows.
fn named_from(text: &str, hides: impl Fn(&str, &str) -> bool) -> Option<usize> {
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
        if hides(name, value) && !value.trim().is_empty() && !only_names(name, value) {
            return Some(begins + usize::from(value.starts_with(' ')));
        }
    }
    None
}

/// The value says where the secret is, and not what it is.
fn only_names(key: &str, value: &str) -> bool {
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    let value = value.split(['"', '\'', ',', '}', ']']).next().unwrap_or_default().trim_end();
    (key == NAMES && names_credential(value)) || (key.ends_with("_file") && names_file(value))
}

/// Whether it looks like the name of a credential, and not like a password.
pub(super) fn names_credential(value: &str) -> bool {
    value.chars().all(|character| character.is_ascii_alphanumeric() || "_-.@+/".contains(character))
}

/// Whether it looks like a path: a password may begin with a slash, but hardly has a directory.
pub(super) fn names_file(value: &str) -> bool {
    value.strip_prefix('/').is_some_and(|rest| rest.trim_matches('/').contains('/'))
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
        let mut state = State::default();
        Self { lines: lines.map(|line| state.next(line)).collect() }
    }

    /// For the line with this number, from 1.
    pub(super) fn of_line(&self, number: usize) -> Option<usize> {
        self.lines.get(number.checked_sub(1)?).copied().flatten()
    }
}

/// What of the lines before tells how the next is to be taken.
#[derive(Debug, Default)]
struct State {
    flow: Flow,
    /// How far lines are indented that go on with what may be a secret.
    indented: Option<usize>,
    /// How many brackets are open around what may be a secret.
    around: Option<usize>,
    /// What may be a secret is in a quote that goes on.
    quoted: bool,
    /// There was a tag in what may be a secret, after which nobody knows what is a quote: no value is shown any more.
    lost: bool,
    /// How far in the line above is, where that is an item of its own with what may be a secret in it.
    apart: Option<usize>,
}

impl State {
    /// How much of the next line may be shown.
    fn next(&mut self, line: &str) -> Option<usize> {
        let start = line.len() - line.trim_start_matches([' ', '\t']).len();
        if line.len() == start {
            return None;
        }
        let alone = self.flow == Flow::default() && !self.quoted && stands_alone(line, start);
        let apart = std::mem::take(&mut self.apart) == Some(start) && alone;
        let cut = if self.lost {
            Some(after_key(line))
        } else if self.quoted {
            Some(start)
        } else if !apart && self.goes_on(line, start) {
            Some(after_key(line))
        } else {
            (self.indented, self.around) = (None, None);
            self.apart = alone.then_some(start);
            private_from(line).or_else(|| opens(line).then_some(line.len()))
        };
        let Some(cut) = cut else {
            self.apart = None;
            self.flow = self.flow.after("", line);
            return None;
        };
        self.enter(line, start, cut);
        Some(cut).filter(|cut| *cut < line.len())
    }

    /// Whether the line belongs to what may be a secret above it.
    fn goes_on(&self, line: &str, start: usize) -> bool {
        let within = self.around.is_some_and(|around| self.flow.depth >= around);
        // Nobody knows how far in a tab is; and items may be no further in than the key that they belong to.
        let deeper =
            |key| start > key || line[..start].contains('\t') || (start == key && line[start..].starts_with('-'));
        within || self.indented.is_some_and(deeper)
    }

    /// What may be a secret begins, or goes on, at `cut`.
    fn enter(&mut self, line: &str, start: usize, cut: usize) {
        let tag = |(at, _): (usize, &str)| at == cut || line[..at].ends_with([' ', '\t', '[', '{', ',', ':']);
        self.lost |= line.match_indices('!').filter(|(at, _)| *at >= cut).any(tag);
        if !self.quoted {
            // Of a quote that was never closed nothing is believed.
            let before = Flow { quote: None, ..self.flow }.after("", &line[..cut]);
            // Its bracket is closed where fewer are open than here.
            self.around.get_or_insert(before.depth.max(1));
            let key = start + line[start..].len() - line[start..].trim_start_matches(['-', ' ']).len();
            let key = if line[key..].starts_with(['{', '[']) { start } else { key };
            self.indented.get_or_insert(if line[..start].contains('\t') { 0 } else { key });
            self.flow = before.after(&line[..cut], &line[cut..]);
        } else {
            self.flow = self.flow.after("", line);
        }
        self.quoted = self.flow.quote.is_some();
    }
}

/// Whether the line is one item `- {…}` whole, without anything that another reader of YAML could see otherwise: then what is in it
/// ends with it, and what is above it has ended.
fn stands_alone(line: &str, start: usize) -> bool {
    const LONGEST: usize = 1024;
    let item = line[start..].trim_end_matches(' ');
    // Tags, anchors and escapes, blanks that have no width, comments, block scalars.
    let doubtful = ['\\', '!', '&', '*', '\t', '#', '|', '>'];
    let even = |quote: char| item.matches(quote).count().is_multiple_of(2);
    if line.len() > LONGEST || line.contains(doubtful) || !even('"') || !even('\'') || !item.starts_with("- {") {
        return false;
    }
    let depth_after = |end: usize| Flow::default().after("", &item[..end]);
    let closes = item.match_indices(['}', ']']).find(|(at, _)| depth_after(at + 1) == Flow::default());
    closes.is_some_and(|(at, bracket)| bracket == "}" && at + 1 == item.len())
}

/// Whether the lines below this one are the value of something secret.
fn opens(line: &str) -> bool {
    let line = line.trim_end_matches([' ', '|', '>', '-', '+', '{', '[', '"', '\'']);
    let Some(line) = line.strip_suffix(':') else { return false };
    let from = line.rfind([' ', '\t', '{', ',', '"', '\'']).map_or(0, |at| at + 1);
    is_private(&line[from..])
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
            ("http://192.0.2.1/@a/b", "http://192.0.2.1/@a/b"),
            ("http:/me:hunter2@127.0.0.1/", "http:/…"),
            ("me:hunter2@127.0.0.1/", "…"),
            ("me:hunter 2@127.0.0.1:80", "…"),
            ("address: \"me:hunter2@127.0.0.1:80\"", "address: \"…"),
            ("unit: getty@tty1.service", "unit: getty@tty1.service"),
            ("password_file: /hunter2", "password_file: …"),
            ("credential: \"hunter 2\"", "credential: …"),
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

    proptest::proptest! {
        /// Whatever a file has in it, what is shown of a line is a part of it.
        #[test]
        fn any_text_can_be_cut(text in "([ \\t:?/@=#{}\\[\\],\"'-]|password|token|é|\\PC|\\n){0,60}") {
            let kept = Kept::of(text.lines());
            for (line, number) in text.lines().zip(1..) {
                assert!(kept.of_line(number).is_none_or(|cut| line.is_char_boundary(cut)), "{line:?}");
                shown(line);
                without_query(line);
                after_key(line);
            }
        }
    }

    /// The file as it may be shown.
    fn seen(file: &str) -> String {
        let kept = Kept::of(file.lines());
        let shown = file.lines().zip(1..).map(|(line, number)| match kept.of_line(number) {
            Some(cut) => format!("{}{DOTS}\n", &line[..cut]),
            None => format!("{line}\n"),
        });
        shown.collect()
    }

    #[test]
    fn items_on_a_line_each_stand_for_themselves() {
        const ITEM: &str = "- { name: z, type: tcp, port: 70000 }";
        let shows = |above: &str, below: &str| seen(&format!("{above}\n{below}\n")).ends_with(&format!("\n{below}\n"));
        for above in [
            "- { name: a, command: [/bin/x, \"}\"] }",
            "- { name: a, headers: { X: hunter2 }, port: 1 }",
            "- { name: a, send: hunter2 }\n- { name: b, command: [x] }",
            "- { url: \"http://me:hunter2@h/\" } ",
        ] {
            assert!(shows(above, ITEM), "{above}");
            assert!(!shows(above, "- hunter2") && !shows(above, "  - { a: hunter2 }"), "{above}");
        }
        // In doubt it is not shown.
        for above in [
            "headers:",
            "headers:\n- { a: b }",
            "headers:\n- { command: b }",
            "- { command: [x,",
            "- { command: \"x }",
            "- { command: !!str \"x }",
            "- { command: x } }",
            "- { command: x }, y",
            "- { command: x ] }",
            "- { command: x }\n  y",
            "- [ command: x ]",
            "a: [\n- { command: x }",
            "a: \"\n- { command: x }",
        ] {
            assert!(!shows(above, ITEM), "{above}");
        }
        for below in
            ["- { a: b } c", "- { a: b", "- { a: \"b }", "- { a: !x b }", "-  { a: b }", "- { a: b }}", "- [ a ]"]
        {
            assert!(!shows("- { command: x }", below), "{below}");
        }
    }

    proptest::proptest! {
        /// However lines with secrets, whole or broken, follow each other.
        #[test]
        fn no_secret_is_shown(parts in proptest::collection::vec((proptest::sample::select(PARTS_OF_FILES), 0_usize..3), 0..12)) {
            let mut text = String::new();
            for (part, deep) in parts {
                for line in part.lines() {
                    text += &format!("{}{line}\n", "  ".repeat(deep));
                }
            }
            let seen = seen(&text);
            assert!(!seen.contains("hunter2"), "{text}\nis shown as\n{seen}");
        }
    }

    /// Each with its secret under its key.
    const PARTS_OF_FILES: &[&str] = &[
        "- { name: z, type: tcp, port: 70000 }",
        "- { name: z, path: \"/it's\" }",
        "- name: z\n  port: 1",
        "checks:",
        "- { name: a, command: [x, hunter2] }",
        "- { name: a, command: [x, hunter2], port: 1 }",
        "- { name: a, send: \"hunter2\" }",
        "- { name: a, headers: { A: hunter2, B: hunter2 } }",
        "- { headers: { A: \"hunter2 }\n- { a: hunter2 }\n- { b: \" } }",
        "- { command: [x,\n- hunter2 ] }",
        "- { command: [x,\n{ a: hunter2 } ] }",
        "- { command: x\n  - { a: hunter2 }\n- { b: c }",
        "- { command: x }\n  hunter2",
        "- { command: \"x }\", y\n- { a: hunter2 }\n}",
        "- { command: [x, y}\n- { a: hunter2 }\n]",
        "headers:\n- { A: hunter2 }\n- { B: hunter2 }",
        "headers:\n- { command: hunter2 }\n- { B: hunter2 }",
        "- headers:\n  - { A: hunter2 }\n  - { B: hunter2 }",
        "- headers: { A: hunter2 }",
        "password: |\n  - { a: hunter2 }\n  - { command: hunter2 }\n  - { a: hunter2 }",
        "password: hunter2",
        "environment: {\n  A: hunter2,\n  B: hunter2 }",
        "send: \"a\n- { command: x }\n- { a: hunter2 }\n\"",
        "- { a: b }}",
        "- [",
        "]",
        "# - { command: x }",
        "- { command: !!str \"x }\n- { b: hunter2\n- c: hunter2 \" }",
        "password: !\"a\nhunter2\n\"",
    ];

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
  - headers: {
 A: [b],
C: d}
    e: f
  - environment: { \"PW\":
hunter2, B: [1]}
    g: h
  - headers: { X: \"a
hunter2: b
 c\" }
    i: j
    environment:
\tPW: hunter2
    command: [x, -u, me:hunter2]
    command:
    - me
    send: hunter2
    expect: { status: 200, body: hunter2 }
    expect: hunter2
    tcp_ao: { send_id: hunter2 }
    url: http://[::1]/a?hunter2
    k: l
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
  - headers: …
 A: …
C: …
    e: f
  - environment: …
…
    g: h
  - headers: …
…
 …
    i: j
    environment:
\tPW: …
    command: …
    command:
    - …
    send: …
    expect: { status: 200, body: …
    expect: …
    tcp_ao: …
    url: http://[::1]/a?…
    k: l
";
        assert_eq!(seen(FILE), SHOWN);
    }
}
