//! The names of neighbors, services and checks: each is there once among its kind.

use std::collections::BTreeMap;

use anycast_core::BadName;

use super::{
    diagnostic::{Report, quoted},
    reader::Section,
    source::Span,
    values::text,
};

/// A name, with its place.
#[derive(Debug, Clone)]
pub(super) struct Named<T> {
    pub(super) span: Span,
    /// As it is written.
    pub(super) text: String,
    /// `None`: it is no name, or another has it already.
    pub(super) id: Option<T>,
}

/// The names of one kind.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<String, Span>,
}

impl Names {
    /// The name of one more of `kind`; `None` where it has none.
    pub(super) fn take<T>(
        &mut self,
        section: &mut Section<'_>,
        kind: &str,
        new: fn(&str) -> Result<T, BadName>,
        report: &mut Report<'_>,
    ) -> Option<Named<T>> {
        let node = section.require("name", "write `name: …`; orders, logs and metrics use it", report)?;
        let text = text(node, "name", report)?;
        let id = new(text).ok();
        if id.is_none() {
            let hint = "use 1 to 63 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit";
            report.error(node.span, format!("{} cannot be a name", quoted(text)), hint);
        }
        let first = *self.seen.entry(text.to_owned()).or_insert(node.span);
        if first != node.span {
            let message = format!("the name {} is used by another {kind} on line {}", quoted(text), report.line(first));
            report.error(node.span, message, format!("give each {kind} a name of its own"));
            return Some(Named { span: node.span, text: text.to_owned(), id: None });
        }
        Some(Named { span: node.span, text: text.to_owned(), id })
    }
}
