//! Taking a mapping apart: every key is asked for by name, and what nobody asked for is a mistake.
//!
//! A reader returns `None` once it has reported what is wrong, and its caller goes on with the next key.

use super::{
    diagnostic::{Report, quoted},
    redact,
    source::Span,
    yaml::{Entry, Kind, Node},
};

/// A mapping being taken apart. End with [`close`](Self::close).
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// Where to say that something is missing.
    pub(super) span: Span,
    entries: &'a [Entry],
    known: Vec<&'static str>,
    /// Keys that must be there and are not, each with how it is written. Said at the end: one may only be misspelt.
    missing: Vec<(&'static str, String)>,
}

impl<'a> Section<'a> {
    /// `what` names it in the message when it is no mapping; `example` is how one is written.
    pub(super) fn open(node: &'a Node, what: &str, example: &str, report: &mut Report<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) => Some(Self { span: node.span, entries, known: Vec::new(), missing: Vec::new() }),
            _ => {
                wrong_type(node, what, "a mapping of keys to values", &format!("write {example}"), report);
                None
            }
        }
    }

    /// As [`open`](Self::open), for a key of this section; what is missing is said at the key.
    pub(super) fn inner(&mut self, key: &'static str, example: &str, report: &mut Report<'_>) -> Option<Self> {
        let entry = self.entry(key)?;
        let node = self.take(key, report)?;
        Some(Self { span: entry.key.span, ..Self::open(node, &quoted(key), example, report)? })
    }

    /// The value of a key that may be left out.
    pub(super) fn take(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<&'a Node> {
        let entry = self.entry(key)?;
        if matches!(entry.value.kind, Kind::Null) {
            report.error(entry.key.span, format!("`{key}` has no value"), "give it one, or leave the key out");
            return None;
        }
        Some(&entry.value)
    }

    /// The value of a key that must be there; `hint` says how it is written.
    pub(super) fn require(&mut self, key: &'static str, hint: &str, report: &mut Report<'_>) -> Option<&'a Node> {
        if self.entry(key).is_none() {
            self.missing.push((key, hint.to_owned()));
            return None;
        }
        self.take(key, report)
    }

    /// An optional value: the default where the key is left out, `None` where it is wrong.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        report: &mut Report<'_>,
        read: impl FnOnce(&'a Node, &mut Report<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.entry(key) {
            None => Some(default),
            Some(_) => self.take(key, report).and_then(|node| read(node, report)),
        }
    }

    /// As [`or`](Self::or), where leaving the key out is an answer of its own.
    pub(super) fn maybe<T>(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
        read: impl FnOnce(&'a Node, &mut Report<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.or(key, None, report, |node, report| read(node, report).map(Some))
    }

    /// Whether the key is there, and where.
    pub(super) fn has(&mut self, key: &'static str) -> Option<Span> {
        self.entry(key).map(|entry| entry.key.span)
    }

    /// A key of the configuration that is not built yet.
    pub(super) fn unsupported(&mut self, key: &'static str, report: &mut Report<'_>) {
        if let Some(span) = self.has(key) {
            not_supported(span, &format!("`{key}`"), "leave it out", report);
        }
        self.untold(key);
    }

    /// A key that was asked for and that would be a mistake here: it is not recommended to anybody.
    pub(super) fn untold(&mut self, key: &'static str) {
        if !self.entries.iter().any(|entry| entry.key.name == key) {
            self.known.retain(|known| *known != key);
        }
    }

    /// Reports every key that nobody asked for, and every key that is missing.
    pub(super) fn close(mut self, report: &mut Report<'_>) {
        self.tell_tests();
        let known = std::mem::take(&mut self.known);
        for Entry { key, .. } in self.entries.iter().filter(|entry| !known.contains(&entry.key.name.as_str())) {
            let near = nearest(&key.name, known.iter().copied());
            let elsewhere = misplaced(&key.name, &known);
            let hint = match near {
                _ if elsewhere.is_some() => elsewhere.unwrap_or_default().to_owned(),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys known here are {}", in_words(&known)),
            };
            // Nobody knows what was to be told there.
            let rest = report.rest_of_line(key.span.end);
            let colon = rest.find(':').map_or(0, |colon| colon + 1);
            report.hide_from(key.span.end + colon + usize::from(rest[colon..].starts_with(' ')));
            if redact::is_secret(&key.name) {
                report.hide(key.span);
            }
            report.error(key.span, format!("unknown key {}", quoted(&key.name)), hint);
            self.missing.retain(|(missing, _)| near != Some(missing));
        }
        self.close_open(report);
    }

    /// As [`close`](Self::close), where it is not known what other keys mean.
    pub(super) fn close_open(self, report: &mut Report<'_>) {
        for (key, hint) in self.missing {
            report.error(self.span, format!("missing key `{key}`"), hint);
        }
    }

    /// What was asked for, for who holds it against the table of keys.
    fn tell_tests(&self) {
        #[cfg(test)]
        if let Some(first) = self.entries.first() {
            ASKED.with_borrow_mut(|asked| asked.push((first.key.span, self.known.clone())));
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|entry| entry.key.name == key)
    }
}

#[cfg(test)]
thread_local! {
    /// The mappings that were taken apart on this thread, by the place of their first key, each with the keys that it was asked for.
    pub(super) static ASKED: std::cell::RefCell<Vec<(Span, Vec<&'static str>)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Where a key belongs that is known, but not here.
fn misplaced(key: &str, known: &[&str]) -> Option<&'static str> {
    const OF_CHECKS: [&str; 6] = ["interval", "fast_interval", "timeout", "rise", "fall", "start_delay"];
    const OF_SERVICES: [&str; 9] =
        ["addresses", "checks", "depends_on", "drain", "hold_down", "on_down", "require", "restart_grace", "unbind"];
    if known.contains(&key) {
        None
    } else if OF_CHECKS.contains(&key) && !known.contains(&"interval") {
        Some("it belongs in a check: `services: [{ checks: [{ … }] }]`")
    } else if OF_SERVICES.contains(&key) && !known.contains(&"checks") {
        Some("it belongs in a service: `services: [{ … }]`")
    } else if key == "key" && known.contains(&"key_id") {
        Some("write `password_file` with the path of a file that holds the key alone, or `key_id` for its number")
    } else if ["password", "passwd", "md5", "tcp_md5", "key", "secret"].contains(&key)
        && known.contains(&"password_file")
    {
        Some("write `password_file` instead, with the path of a file that holds the password alone")
    } else if known.contains(&"multiplier") {
        of_bfd(key)
    } else {
        None
    }
}

/// What routers call the keys of `bfd`.
fn of_bfd(key: &str) -> Option<&'static str> {
    match key {
        "min_tx" | "min_rx" | "desired_min_tx" | "required_min_rx" | "transmit_interval" | "receive_interval"
        | "tx_interval" | "rx_interval" | "minimum_interval" | "min_interval" => {
            Some("write `interval`: it holds for what is sent and for what is received")
        }
        "detect_mult" | "detect_multiplier" | "detection_multiplier" | "detection_time" => {
            Some("write `multiplier`: a dead path is noticed after so many intervals")
        }
        "echo" | "echo_mode" | "demand" | "demand_mode" => {
            Some("remove it: the session is in asynchronous mode, without echoes; the router may use demand mode")
        }
        _ => None,
    }
}

/// The items of a list that could be read, each with its place.
#[derive(Debug, Clone)]
pub(super) struct Listed<T> {
    pub(super) span: Span,
    pub(super) items: Vec<(Span, T)>,
    /// Nothing of it was wrong: what is not among the items is not in the list.
    pub(super) whole: bool,
}

impl<T> Listed<T> {
    /// A list that could not be read at all.
    pub(super) const fn broken(span: Span) -> Self {
        Self { span, items: Vec::new(), whole: false }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, value)| value)
    }
}

/// A list; `example` is an item.
pub(super) fn list<'a, T>(
    node: &'a Node,
    key: &str,
    example: &str,
    report: &mut Report<'_>,
    mut read: impl FnMut(&'a Node, &mut Report<'_>) -> Option<T>,
) -> Listed<T> {
    let Kind::List(nodes) = &node.kind else {
        wrong_type(
            node,
            &quoted(key),
            "a list",
            &format!("write `[{example}]`, or one item per line after `- `"),
            report,
        );
        return Listed::broken(node.span);
    };
    let mut items = Vec::new();
    for node in nodes {
        if matches!(node.kind, Kind::Null) {
            report.error(node.span, format!("an empty item in `{key}`"), "give it a value, or remove it");
            continue;
        }
        items.extend(read(node, report).map(|value| (node.span, value)));
    }
    Listed { span: node.span, whole: items.len() == nodes.len(), items }
}

/// As [`list`], and no value may be there twice.
pub(super) fn set<T: Ord + Clone>(
    node: &Node,
    key: &str,
    example: &str,
    report: &mut Report<'_>,
    mut read: impl FnMut(&Node, &mut Report<'_>) -> Option<T>,
) -> Listed<T> {
    let mut seen = std::collections::BTreeMap::new();
    list(node, key, example, report, |node, report| {
        let value = read(node, report)?;
        if let Some(first) = seen.insert(value.clone(), node.span) {
            let message = format!("twice in `{key}`; it is first on line {}", report.line(first));
            report.error(node.span, message, "remove one of the two");
        }
        Some(value)
    })
}

pub(super) fn not_supported(span: Span, what: &str, hint: &str, report: &mut Report<'_>) {
    report.error(span, format!("{what} is not supported in this version"), hint);
}

pub(super) fn wrong_type(node: &Node, what: &str, wanted: &str, hint: &str, report: &mut Report<'_>) {
    let secret = redact::is_private(what.trim_matches('`'));
    if secret {
        report.hide(node.span);
    }
    let got = match &node.kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Scalar { .. } if secret => "what is there".to_owned(),
        Kind::Scalar { text, .. } => quoted(text),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping".to_owned(),
    };
    report.error(node.span, format!("{what} must be {wanted}, not {got}"), hint);
}

/// The value is none of the words that are known.
pub(super) fn one_of(node: &Node, key: &str, text: &str, known: &[&str], report: &mut Report<'_>) {
    let hint = match nearest(text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", in_words(known)),
    };
    report.error(node.span, format!("`{key}` cannot be {}", quoted(text)), hint);
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let far = (word.chars().count() / 3).clamp(1, 3);
    known
        .filter(|known| known.len().abs_diff(word.len()) <= 2 * far)
        .map(|known| (strsim::damerau_levenshtein(&word, &known.to_lowercase()), known))
        // A word that has no letter in common is another.
        .filter(|(distance, _)| *distance <= far && *distance < word.chars().count())
        .min()
        .map(|(_, known)| known)
}

/// `a, b and c`, each in backticks.
pub(super) fn in_words(words: &[impl AsRef<str>]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_that_may_have_been_meant() {
        let known = ["asn", "address", "hold_time", "name"];
        let cases = [
            ("adress", Some("address")),
            ("holdtime", Some("hold_time")),
            ("hold-time", Some("hold_time")),
            ("ASN", Some("asn")),
            ("nmae", Some("name")),
            ("x", None),
            ("password", None),
            ("", None),
        ];
        for (word, near) in cases {
            assert_eq!(nearest(word, known.into_iter()), near, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(1_000_000), known.into_iter()), None);
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(in_words(&["a"]), "`a`");
        assert_eq!(in_words(&["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(in_words(&[""; 0]), "none");
    }
}
