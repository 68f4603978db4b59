//! The file as a tree in which every key and value knows its place.
//!
//! saphyr-parser yields the events; the tree is built without recursion, and bounded in depth and size, so that no file
//! can exhaust the stack or, by aliases, the memory.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::{
    diagnostic::{Report, quoted},
    source::{Source, Span},
};

/// The deepest key of the configuration is at 7.
const DEEPEST: usize = 32;
/// How many nodes aliases may repeat in all. The nodes of the file itself are bounded by its size.
const MOST_REPEATED: usize = 20_000;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Nothing was written, or `null`.
    Null,
    /// A text, a number or a truth value: the key decides which. `plain`: it is not quoted.
    Scalar { text: String, plain: bool },
    /// `- a` or `[a]`.
    List(Vec<Node>),
    /// `key: value`; no key is there twice.
    Map(Vec<Entry>),
}

/// One key of a mapping, with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Node,
}

/// A key with its place.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Span,
}

impl Node {
    fn size(&self) -> usize {
        // Bounded by the depth of the tree.
        1 + match &self.kind {
            Kind::Null | Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Self::size).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }
}

/// Reads the one document of the file; `None` once it has been reported why there is none.
pub(super) fn parse(source: &Source, report: &mut Report<'_>) -> Option<Node> {
    if let Some((at, character)) = source.text.char_indices().find(|(at, it)| is_forbidden(&source.text, *at, *it)) {
        let message = format!("control character U+{:04X}", u32::from(character));
        report.error(Span::new(at, at + 1), message, "remove it; within double quotes it can be written as an escape");
        return None;
    }
    let offsets = Offsets::new(&source.text);
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                report_syntax(source, &offsets, &error, report);
                return None;
            }
        };
        let span = offsets.span(span);
        if builder.handle(event, span, report).is_err() {
            return None;
        }
    }
    if builder.root.is_none() {
        report.error(Span::new(0, 0), "the file is empty", "begin with the keys `bgp` and `services`");
    }
    builder.root
}

/// YAML allows none of them unescaped (YAML 1.2 §5.1), and the parser takes U+0000 for the end of the file.
fn is_forbidden(text: &str, at: usize, character: char) -> bool {
    let ends_line = character == '\r' && text[at + 1..].starts_with('\n');
    character.is_control() && !matches!(character, '\n' | '\t') && !ends_line
}

fn report_syntax(source: &Source, offsets: &Offsets, error: &ScanError, report: &mut Report<'_>) {
    let at = offsets.byte(error.marker().index());
    let line = source.line(at);
    // A tab in the indentation is what the parser trips over, at times only on the line after the one it names.
    for line in [line, line + 1] {
        let text = source.line_text(line);
        let indentation = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
        if let Some(tab) = indentation.find('\t') {
            let at = source.line_range(line).start + tab;
            report.error(Span::new(at, at + 1), "a tab in the indentation", "indent with spaces: YAML allows no tabs");
            return;
        }
    }
    let hint = match source.text[at..].chars().next() {
        Some('@' | '`' | '%' | '*' | '&' | '!' | '|' | '>') => {
            "quote a value that begins with this character: `key: \"…\"`"
        }
        _ => {
            "look at this line and the one above it: indentation, brackets and quotes must match, and a value with `: ` \
             in it or `:` at its end must be quoted"
        }
    };
    report.error(Span::new(at, at), format!("not valid YAML: {}", error.info()), hint);
}

/// The parser counts characters; everything else here counts bytes.
struct Offsets {
    /// `None`: every character is one byte.
    bytes: Option<Vec<usize>>,
    length: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { bytes, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.bytes {
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.length),
            None => character.min(self.length),
        }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        Span::new(self.byte(span.start.index()), self.byte(span.end.index()))
    }
}

/// It has been reported, and reading cannot go on.
struct Hopeless;

/// Collections that are open, innermost last, and what became of those that are closed.
#[derive(Default)]
struct Builder {
    open: Vec<Collection>,
    anchors: BTreeMap<usize, Node>,
    repeated: usize,
    documents: usize,
    root: Option<Node>,
}

struct Collection {
    span: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeMap<String, Span>,
        /// The key whose value comes next.
        key: Option<Key>,
    },
}

impl Builder {
    fn handle(&mut self, event: Event<'_>, span: Span, report: &mut Report<'_>) -> Result<(), Hopeless> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    report.error(span, "a second document", "keep everything in one: remove `---`");
                    return Err(Hopeless);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), span, report);
                let plain = style == ScalarStyle::Plain;
                let kind = match &*text {
                    "" | "~" | "null" if plain => Kind::Null,
                    text => Kind::Scalar { text: text.to_owned(), plain },
                };
                self.place(Node { span, kind }, anchor, report)?;
            }
            Event::Alias(anchor) => {
                let node = self.repeat(anchor, span, report)?;
                self.place(node, 0, report)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span, report);
                self.enter(span, anchor, Content::List(Vec::new()), report)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span, report);
                let content = Content::Map { entries: Vec::new(), seen: BTreeMap::new(), key: None };
                self.enter(span, anchor, content, report)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Collection { span, anchor, content }) = self.open.pop() else { return Ok(()) };
                let node = match content {
                    Content::List(items) => Node { span, kind: Kind::List(items) },
                    Content::Map { entries, .. } => {
                        // A mapping without braces has no first character but that of its first key.
                        let first = entries.first().map(|entry| entry.key.span).filter(|_| span.start == span.end);
                        Node { span: first.unwrap_or(span), kind: Kind::Map(entries) }
                    }
                };
                self.place(node, anchor, report)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn no_tag(&self, tagged: bool, span: Span, report: &mut Report<'_>) {
        if tagged {
            report.error(span, "a YAML tag", "leave it out: the key alone says what its value is");
        }
    }

    fn enter(&mut self, span: Span, anchor: usize, content: Content, report: &mut Report<'_>) -> Result<(), Hopeless> {
        if self.open.len() == DEEPEST {
            let message = format!("nested more than {DEEPEST} deep");
            report.error(span, message, "nothing in the configuration is: look for a bracket too many");
            return Err(Hopeless);
        }
        self.open.push(Collection { span, anchor, content });
        Ok(())
    }

    fn repeat(&mut self, anchor: usize, span: Span, report: &mut Report<'_>) -> Result<Node, Hopeless> {
        let Some(node) = self.anchors.get(&anchor) else {
            report.error(span, "an alias within its own anchor", "repeat only what is complete");
            return Err(Hopeless);
        };
        self.repeated += node.size();
        if self.repeated > MOST_REPEATED {
            let message = format!("aliases repeat more than {MOST_REPEATED} values");
            report.error(span, message, "write the values out instead");
            return Err(Hopeless);
        }
        Ok(node.clone())
    }

    /// A node is complete: it goes where the innermost open collection has room for it.
    fn place(&mut self, node: Node, anchor: usize, report: &mut Report<'_>) -> Result<(), Hopeless> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(collection) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut collection.content {
            Content::List(items) => items.push(node),
            Content::Map { key: key @ None, .. } => *key = Some(as_key(node, report)?),
            Content::Map { entries, seen, key } => {
                let Some(key) = key.take() else { return Ok(()) };
                // What is not written has no place of its own.
                let span = if matches!(node.kind, Kind::Null) { key.span } else { node.span };
                let value = Node { span, ..node };
                if let Some(first) = seen.get(&key.name) {
                    let message =
                        format!("duplicate key {}; it is first on line {}", quoted(&key.name), report.line(*first));
                    report.error(key.span, message, "keep one of the two");
                } else {
                    seen.insert(key.name.clone(), key.span);
                    entries.push(Entry { key, value });
                }
            }
        }
        Ok(())
    }
}

fn as_key(node: Node, report: &mut Report<'_>) -> Result<Key, Hopeless> {
    match node.kind {
        Kind::Scalar { text, .. } => Ok(Key { name: text, span: node.span }),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            let hint = "write `key: value`; a value that begins with `{` or `[` must be quoted";
            report.error(node.span, "a key must be a plain text", hint);
            Err(Hopeless)
        }
    }
}
