//! Every key of the configuration in one table: its shape, its range, what it is when it is left out, and a sentence.
//!
//! The JSON schema ([`schema`]) and the reference of the documentation are made of it. The reader takes the file apart by itself, with
//! hints that no table could give; tests hold the two against each other both ways: the keys that it asks for, the defaults that it takes,
//! and the ranges that it allows (`tests/keys.rs`). So a new key is read there, and told here.

mod check;
mod neighbor;
pub(super) mod schema;
mod service;
mod top;

pub(super) use self::top::TOP;

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) left_out: LeftOut,
    /// A sentence, for editors and the reference; Markdown.
    pub(super) doc: &'static str,
}

/// What it is when it is left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeftOut {
    /// A mistake.
    Required,
    /// Just as if this were written.
    Is(&'static str),
    /// What is said; where nothing is, nothing.
    Says(&'static str),
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// A text of a form, with its pattern and what to call it.
    Form(&'static str, &'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    /// A whole number, from and to.
    Number(u32, u32),
    /// A duration, from and to as they are written.
    Time(&'static str, &'static str),
    /// A list of items.
    List(&'static Self),
    /// A mapping whose keys anybody chooses.
    Named(&'static Self),
    /// A mapping with keys of its own.
    Keys(&'static Keys),
    /// A mapping whose keys depend on one of them, by its value; with keys that they have in common.
    Kinds(&'static Kinds),
    /// One of several shapes.
    Either(&'static [Self]),
}

/// The keys of a mapping.
#[derive(Debug)]
pub(super) struct Keys {
    /// Where it stands, as the reference calls it.
    pub(super) place: &'static str,
    pub(super) keys: &'static [Key],
}

/// Mappings that are told apart by a key.
#[derive(Debug)]
pub(super) struct Kinds {
    /// The key that tells.
    pub(super) by: Key,
    /// What all have.
    pub(super) common: &'static Keys,
    /// The value of `by`, and what only that kind has.
    pub(super) kinds: &'static [(&'static str, Keys)],
}

/// A key that may be left out; then nothing is said.
const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, left_out: LeftOut::Says(""), doc }
}

impl Key {
    const fn required(self) -> Self {
        Self { left_out: LeftOut::Required, ..self }
    }

    const fn or(self, value: &'static str) -> Self {
        Self { left_out: LeftOut::Is(value), ..self }
    }

    const fn else_says(self, words: &'static str) -> Self {
        Self { left_out: LeftOut::Says(words), ..self }
    }
}

const LONGEST: &str = "24h";
const MOST: u32 = u32::MAX;
const PORT: Shape = Shape::Number(1, 65_535);
const COUNT: Shape = Shape::Number(1, 65_535);
const ADDRESS: Shape = Shape::Form("^[0-9a-fA-F:.]+$", "address");
const ADDRESS_AND_PORT: Shape = Shape::Form(r"^([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]+$", "address with a port");
/// A host may have its length behind it.
const HOST: Shape = Shape::Form("^[0-9a-fA-F:.]+(/(32|128))?$", "address, alone or as /32 or /128");
const PREFIX: Shape = Shape::Form("^[0-9a-fA-F:.]+/[0-9]+$", "prefix");
const PATH: Shape = Shape::Form("^/", "absolute path");
const NAME: Shape = Shape::Form("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", "name");
const INTERFACE: Shape = Shape::Form("^[^ /:]{1,15}$", "interface");
const FAMILIES: Shape = Shape::List(&Shape::Word(&["ipv4", "ipv6"]));
const TRUTH: Shape = Shape::Truth;
const TEXT: Shape = Shape::Text;
