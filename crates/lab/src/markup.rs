//! Elements, from which pages and drawings are built: whatever is put into one is escaped, and each that is opened is closed.

use std::fmt;

/// An element with its attributes and what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    Element(Element),
    Text(String),
    /// Written as it is: style sheets of this program.
    Verbatim(&'static str),
}

/// An empty element.
pub(crate) const fn tag(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), children: Vec::new() }
}

impl Element {
    /// With an attribute.
    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With classes.
    pub(crate) fn class(self, classes: impl fmt::Display) -> Self {
        self.with("class", classes)
    }

    /// With text at its end.
    pub(crate) fn text(mut self, text: impl fmt::Display) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// With an element at its end.
    pub(crate) fn child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// With elements at its end.
    pub(crate) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// With text of this program that is not escaped.
    pub(crate) fn verbatim(mut self, text: &'static str) -> Self {
        self.children.push(Node::Verbatim(text));
        self
    }
}

/// Elements of HTML that have no end.
const VOID: [&str; 2] = ["meta", "br"];

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, attributes, children } = self;
        write!(f, "<{name}")?;
        attributes.iter().try_for_each(|(name, value)| write!(f, " {name}=\"{}\"", Escaped(value)))?;
        if VOID.contains(name) {
            return f.write_str("/>");
        }
        f.write_str(">")?;
        children.iter().try_for_each(|child| child.fmt(f))?;
        write!(f, "</{name}>")
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(element) => element.fmt(f),
            Self::Text(text) => Escaped(text).fmt(f),
            Self::Verbatim(text) => f.write_str(text),
        }
    }
}

/// In text as in the value of an attribute. What XML has no way to say is replaced.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\t' | '\n' => write!(f, "{c}"),
            '\u{FFFE}' | '\u{FFFF}' => f.write_str("\u{FFFD}"),
            c if c.is_control() => f.write_str("\u{FFFD}"),
            c => write!(f, "{c}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_element() {
        let hostile = "\"'><script>alert(1)</script>&\u{0}\u{1b}\u{9f}\u{FFFE}\r";
        let page = tag("p").with("title", hostile).text(hostile).child(tag("br")).to_string();
        let escaped =
            "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}";
        assert_eq!(page, format!("<p title=\"{escaped}\">{escaped}<br/></p>"));
    }
}
