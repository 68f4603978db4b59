//! What is wrong with the file, each mistake at its place and with its remedy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

use super::{
    needs::Need,
    redact::{self, shown},
    source::{Place, Source, Span},
};

/// More are counted, not shown.
const SHOWN: usize = 100;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably says something else than was meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) hint: String,
    /// `None`: it is about the file as a whole.
    pub(super) place: Option<Place>,
}

/// The findings of one file, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostics {
    file: String,
    found: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    /// The files that it names and that cannot be used, where nothing else is wrong.
    at_fault: BTreeSet<String>,
}

impl Diagnostics {
    /// A single mistake that has no place in the file.
    pub(super) fn of_file(file: String, message: String, hint: &str) -> Self {
        let found = Diagnostic { severity: Severity::Error, message, hint: hint.to_owned(), place: None };
        Self { file, found: vec![found], errors: 1, warnings: 0, at_fault: BTreeSet::new() }
    }

    /// How many mistakes there are.
    pub(crate) const fn errors(&self) -> usize {
        self.errors
    }

    /// The files that it names and that cannot be used, where nothing else is wrong.
    pub(crate) const fn at_fault(&self) -> &BTreeSet<String> {
        &self.at_fault
    }

    /// How many warnings there are.
    #[cfg(test)]
    pub(crate) const fn warnings(&self) -> usize {
        self.warnings
    }

    /// Each on one line, with its place: for a log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.graded().map(|(_, line)| line)
    }

    /// Each on one line, with how grave it is.
    pub(crate) fn graded(&self) -> impl Iterator<Item = (Severity, String)> {
        self.found.iter().map(|found| (found.severity, found.line(&self.file)))
    }

    /// Each mistake as its place, what is wrong and what to do: for a reader that shows them apart.
    pub(crate) fn parts(&self) -> impl Iterator<Item = [String; 3]> {
        let clean = |text: &str| normalize_untrusted_str(text);
        let mistakes = self.found.iter().filter(|found| found.severity == Severity::Error);
        mistakes.map(move |found| {
            [found.at(&self.file), found.message.clone(), found.hint.clone()].map(|text| clean(&text))
        })
    }

    /// Each with the offending line and the hint; `colour` is for a terminal.
    pub(crate) fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for found in &self.found {
            text.push_str(&renderer.render(&[found.group(&self.file)]));
            text.push_str("\n\n");
        }
        let unseen = self.errors + self.warnings - self.found.len();
        if unseen > 0 {
            text.push_str(&format!("… and {unseen} more\n\n"));
        }
        text
    }

    #[cfg(test)]
    pub(super) fn found(&self) -> &[Diagnostic] {
        &self.found
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Diagnostic {
    fn at(&self, file: &str) -> String {
        let place = self.place.as_ref().map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
        format!("{file}{place}")
    }

    fn line(&self, file: &str) -> String {
        normalize_untrusted_str(&format!("{}: {}; {}", self.at(file), self.message, self.hint))
    }

    fn group<'a>(&'a self, file: &'a str) -> Group<'a> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = Group::with_title(level.primary_title(&*self.message));
        let group = match &self.place {
            Some(place) => {
                let origin = Origin::path(file).line(place.line).char_column(place.column);
                let mark = AnnotationKind::Primary.span(place.marked.clone());
                let snippet = |excerpt: &'a str| Snippet::source(excerpt).line_start(place.line).annotation(mark);
                // The column cannot be counted in a part of the line.
                match place.cut {
                    true => group.element(origin).element(snippet(&place.excerpt)),
                    false => group.element(snippet(&place.excerpt).path(file)),
                }
            }
            None => group.element(Origin::path(file)),
        };
        group.element(Level::HELP.message(normalize_untrusted_str(&self.hint)))
    }
}

/// Collects what is found, so that the reading goes on and all mistakes come at once.
#[derive(Debug)]
pub(super) struct Report<'a> {
    source: &'a Source,
    found: Vec<(Span, Severity, String, String)>,
    /// By line, how much of it may be shown.
    hidden: BTreeMap<usize, usize>,
    needs: Vec<(Span, Need)>,
    only_checks: bool,
    /// Where a file is named that cannot be used.
    at_fault: BTreeMap<Span, String>,
}

impl<'a> Report<'a> {
    pub(super) const fn new(source: &'a Source) -> Self {
        Self {
            source,
            found: Vec::new(),
            hidden: BTreeMap::new(),
            needs: Vec::new(),
            only_checks: false,
            at_fault: BTreeMap::new(),
        }
    }

    /// Whether nothing is started with what is read: who runs this need not be the agent's user.
    pub(super) const fn only_checks(&self) -> bool {
        self.only_checks
    }

    /// Sets that.
    pub(super) const fn set_only_checks(&mut self, only_checks: bool) {
        self.only_checks = only_checks;
    }

    /// There may be a secret on the line: no more than its first key is shown, whatever is wrong with it.
    pub(super) fn hide(&mut self, span: Span) {
        let line = self.line(span);
        self.cut(line, redact::after_key(self.source.line_text(line)));
    }

    /// There may be a secret from there on.
    pub(super) fn hide_from(&mut self, at: usize) {
        let line = self.source.line(at);
        self.cut(line, at.saturating_sub(self.source.line_range(line).start));
    }

    fn cut(&mut self, line: usize, at: usize) {
        let most = self.hidden.entry(line).or_insert(at);
        *most = at.min(*most);
    }

    /// What is written from a place on, to the end of the line.
    pub(super) fn rest_of_line(&self, at: usize) -> &'a str {
        let (source, line) = (self.source, self.source.line(at));
        source.line_text(line).get(at - source.line_range(line).start..).unwrap_or_default()
    }

    /// What is named there must be on this machine.
    pub(super) fn need(&mut self, span: Span, need: Need) {
        self.needs.push((span, need));
    }

    /// What must be on this machine, as far as it has been read.
    pub(super) fn take_needs(&mut self) -> Vec<(Span, Need)> {
        std::mem::take(&mut self.needs)
    }

    /// What is wrong, and what to do about it.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push((span, Severity::Error, message.into(), hint.into()));
    }

    /// What is wrong with a file that is named there: what is written here may be as it was when it was good.
    pub(super) fn error_in(&mut self, file: String, span: Span, (message, hint): (String, String)) {
        self.at_fault.insert(span, file);
        self.error(span, message, hint);
    }

    /// What is probably not meant, and what to do about it.
    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push((span, Severity::Warning, message.into(), hint.into()));
    }

    /// The line of another place, to name it in a message.
    pub(super) fn line(&self, span: Span) -> usize {
        self.source.line(span.start)
    }

    /// In the order of the file, each once: a node that is repeated by an alias has one place.
    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort();
        self.found.dedup();
        let errors = self.found.iter().filter(|(_, severity, ..)| *severity == Severity::Error).count();
        let warnings = self.found.len() - errors;
        let at_fault = if self.at_fault.len() == errors { self.at_fault } else { BTreeMap::new() };
        // Where there is no room for all, a mistake goes before a warning.
        self.found.sort_by_key(|(_, severity, ..)| *severity);
        self.found.truncate(SHOWN);
        self.found.sort();
        let shown = self.found.into_iter().map(|(span, severity, message, hint)| Diagnostic {
            severity,
            message,
            hint,
            place: Some(self.source.place(span, self.hidden.get(&self.source.line(span.start)).copied())),
        });
        let at_fault = at_fault.into_values().collect();
        Diagnostics { file: self.source.name.clone(), found: shown.collect(), errors, warnings, at_fault }
    }
}

/// A text of the operator's, in backticks, on one line, not too long, and without what may be a secret.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let text = &*shown(text);
    let shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    // Quotes are harmless between backticks; escaped they would only puzzle.
    let shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    let more = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("`{shown}{more}`")
}
