//! A topology: the part of containerlab's file format that both runners understand.
//!
//! Whatever a file says beyond that part is an error that names it: a lab that is silently not what its file says is worse
//! than none.

mod raw;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::input;

/// The size that containerlab gives its links.
const DEFAULT_MTU: u32 = 9500;
/// IFNAMSIZ, without its closing zero.
const LONGEST_INTERFACE: usize = 15;

/// What should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The lab's name.
    pub name: String,
    /// Where it was read from.
    pub file: PathBuf,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// The cables between them.
    pub links: Vec<Link>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The container image, which says what kind of machine it is.
    pub image: String,
    /// The main process, where it is not the image's own.
    pub cmd: Option<Vec<String>>,
    /// Environment of every program in it.
    pub env: BTreeMap<String, String>,
    /// Settings of its network, all of them under `net.`.
    pub sysctls: BTreeMap<String, String>,
    /// Files of its own.
    pub binds: Vec<Bind>,
    /// What is run in it, in this order, once every node runs and is cabled.
    pub exec: Vec<Vec<String>>,
}

impl Node {
    /// Whether its image is that of FRR, whose daemons then are its main process.
    #[must_use]
    pub fn is_router(&self) -> bool {
        let repository = self.image.rsplit('/').next().unwrap_or_default();
        repository.split([':', '@']).next() == Some("frr")
    }

    /// Whether a program is started in it, by name or by a shell.
    #[must_use]
    pub fn runs(&self, program: &str) -> bool {
        self.exec.iter().flatten().any(|word| word.split_whitespace().next() == Some(program))
    }
}

/// A file or directory of the lab that a node sees in a place of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Where it is, as an absolute path.
    pub source: PathBuf,
    /// Where the node sees it.
    pub target: PathBuf,
    /// Whether the node must not change it.
    pub read_only: bool,
}

/// A cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its ends.
    pub ends: [Endpoint; 2],
    /// The largest packet.
    pub mtu: u32,
}

/// One end of a cable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The node.
    pub node: String,
    /// The interface in it.
    pub interface: String,
}

/// Why a file is no topology for this lab.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file cannot be read.
    #[error("cannot read the topology {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not understood, or says what cannot be.
    #[error("{path}: {fault}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where it says so, what is wrong, and what would be right: a few lines of a terminal, however much it quotes.
        fault: String,
    },
}

/// A fault and its place, before the file's name is put to it.
struct Wrong {
    place: String,
    fault: String,
}

fn wrong(place: impl Into<String>, fault: impl Into<String>) -> Wrong {
    Wrong { place: place.into(), fault: fault.into() }
}

impl Topology {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is larger than 1 MiB, or says what this lab does not understand.
    pub fn read(path: &Path) -> Result<Self, TopologyError> {
        let fail = |source| TopologyError::Read { path: path.to_owned(), source };
        let text = input::read(path).map_err(fail)?;
        let file = fs::canonicalize(path).map_err(fail)?;
        Self::parse(&text, &file)
    }

    /// Understands the text of `file`; relative paths in it start where the file is.
    ///
    /// # Errors
    /// When it says what this lab does not understand.
    pub fn parse(text: &str, file: &Path) -> Result<Self, TopologyError> {
        let fail = |fault: String| TopologyError::Wrong { path: file.to_owned(), fault: input::brief(&fault) };
        let wrong = |Wrong { place, fault }| fail(format!("{place}: {fault}"));
        no_variables(text).map_err(wrong)?;
        let raw: raw::File = input::yaml(text).map_err(fail)?;
        convert(raw, file).map_err(wrong)
    }

    /// The interfaces of a node, in the order of the links.
    pub fn interfaces<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a str> {
        self.links.iter().flat_map(|link| &link.ends).filter(move |end| end.node == node).map(|end| &*end.interface)
    }
}

/// containerlab replaces `$NAME` all over the file before it reads it; nothing here needs that, and half of it would do harm.
fn no_variables(text: &str) -> Result<(), Wrong> {
    let line = text.lines().position(|line| line.contains('$'));
    line.map_or(Ok(()), |line| {
        Err(wrong(format!("line {}", line + 1), "`$` is not supported: containerlab would put a variable in its place"))
    })
}

fn convert(raw: raw::File, file: &Path) -> Result<Topology, Wrong> {
    named("name", &raw.name)?;
    let raw::Body { defaults, kinds, groups, nodes: written, links } = raw.topology;
    let shared = Commons { defaults, kinds, groups };
    let mut nodes = BTreeMap::new();
    for (name, node) in written {
        let place = format!("topology.nodes.{name}");
        named(&place, &name)?;
        nodes.insert(name, shared.node(node, &place, file.parent().unwrap_or(Path::new("/")))?);
    }
    let links = cables(links, &nodes)?;
    Ok(Topology { name: raw.name, file: file.to_owned(), nodes, links })
}

/// What nodes have in common: the nearest word counts, node before group before kind before defaults.
struct Commons {
    defaults: raw::Shared,
    kinds: BTreeMap<String, raw::Shared>,
    groups: BTreeMap<String, raw::Shared>,
}

impl Commons {
    fn node(&self, node: raw::Node, place: &str, directory: &Path) -> Result<Node, Wrong> {
        let group = match &node.group {
            Some(name) => Some(
                self.groups.get(name).ok_or_else(|| wrong(format!("{place}.group"), format!("no group `{name}`")))?,
            ),
            None => None,
        };
        let kind = [node.kind.as_ref(), group.and_then(|group| group.kind.as_ref()), self.defaults.kind.as_ref()];
        let kind = kind.into_iter().flatten().next().map_or("", String::as_str);
        if kind != "linux" {
            return Err(wrong(format!("{place}.kind"), format!("`{kind}` is not supported; only `linux` is")));
        }
        let layers: Vec<&raw::Shared> =
            [Some(&self.defaults), self.kinds.get(kind), group].into_iter().flatten().collect();
        let nearest = |own: Option<String>, of: fn(&raw::Shared) -> &Option<String>| {
            own.or_else(|| layers.iter().rev().find_map(|layer| of(layer).clone()))
        };
        let network = nearest(node.network_mode, |layer| &layer.network_mode).unwrap_or_default();
        if network != "none" {
            let fault = format!("`{network}` is not supported: write `none`, a node has no network but its links");
            return Err(wrong(format!("{place}.network-mode"), fault));
        }
        let image = nearest(node.image, |layer| &layer.image).ok_or_else(|| wrong(place, "it has no `image`"))?;
        let cmd =
            nearest(node.cmd, |layer| &layer.cmd).map(|text| command(&format!("{place}.cmd"), &text)).transpose()?;
        let merged = |own: &BTreeMap<String, raw::Scalar>, of: fn(&raw::Shared) -> &BTreeMap<String, raw::Scalar>| {
            let all = layers.iter().flat_map(|layer| of(layer)).chain(own);
            all.map(|(key, value)| (key.clone(), value.to_string())).collect::<BTreeMap<_, _>>()
        };
        let sysctls = merged(&node.sysctls, |layer| &layer.sysctls);
        if let Some(key) = sysctls.keys().find(|key| !is_of_the_network(key)) {
            let fault = "only settings under `net.` belong to a node; this one would be the whole machine's";
            return Err(wrong(format!("{place}.sysctls.{key}"), fault));
        }
        let env = merged(&node.env, |layer| &layer.env);
        let listed = |key: &'static str, index: usize| format!("{place}.{key}[{index}]");
        let binds = node.binds.iter().enumerate().map(|(i, text)| bind(&listed("binds", i), text, directory));
        let exec = node.exec.iter().enumerate().map(|(i, text)| command(&listed("exec", i), text));
        Ok(Node {
            image,
            cmd,
            env,
            sysctls,
            binds: binds.collect::<Result<_, _>>()?,
            exec: exec.collect::<Result<_, _>>()?,
        })
    }
}

/// `net.ipv4.ip_forward`, and nothing that could lead elsewhere.
fn is_of_the_network(key: &str) -> bool {
    key.starts_with("net.")
        && key.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        })
}

fn command(place: &str, text: &str) -> Result<Vec<String>, Wrong> {
    words::split(text).map_err(|fault| wrong(place, format!("{fault}: {text}")))
}

/// `source:target` or `source:target:ro`.
fn bind(place: &str, text: &str, directory: &Path) -> Result<Bind, Wrong> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, read_only) = match parts[..] {
        [source, target] | [source, target, "rw"] => (source, target, false),
        [source, target, "ro"] => (source, target, true),
        _ => {
            return Err(wrong(
                place,
                format!("`{text}` is not `source:target`, with `:ro` or `:rw` or neither behind it"),
            ));
        }
    };
    let odd = |part: &&str| part.is_empty() || part.starts_with('~') || part.contains("__");
    if let Some(part) = [source, target].into_iter().find(odd) {
        return Err(wrong(place, format!("the path `{part}` is not supported; write it out")));
    }
    if !target.starts_with('/') {
        return Err(wrong(place, format!("the node's path `{target}` does not begin with `/`")));
    }
    Ok(Bind { source: directory.join(source), target: target.into(), read_only })
}

fn cables(links: Vec<raw::Link>, nodes: &BTreeMap<String, Node>) -> Result<Vec<Link>, Wrong> {
    let mut taken = BTreeSet::new();
    let mut cable = |(index, link): (usize, raw::Link)| {
        let place = format!("topology.links[{index}]");
        let mut end = |text: &str| {
            let end = endpoint(&place, text, nodes)?;
            if !taken.insert(end.clone()) {
                return Err(wrong(&place, format!("`{text}` has a link already")));
            }
            Ok(end)
        };
        let ends = [end(&link.endpoints.0)?, end(&link.endpoints.1)?];
        // RFC 8200 §5: IPv6 needs 1280; the kernel's veth carries up to 65535.
        let mtu = link.mtu.unwrap_or(DEFAULT_MTU);
        if !(1280..=65535).contains(&mtu) {
            return Err(wrong(format!("{place}.mtu"), format!("{mtu} is not between 1280 and 65535")));
        }
        Ok(Link { ends, mtu })
    };
    links.into_iter().enumerate().map(&mut cable).collect()
}

fn endpoint(place: &str, text: &str, nodes: &BTreeMap<String, Node>) -> Result<Endpoint, Wrong> {
    let (node, interface) =
        text.split_once(':').ok_or_else(|| wrong(place, format!("`{text}` is not `node:interface`")))?;
    if !nodes.contains_key(node) {
        return Err(wrong(place, format!("`{text}`: there is no node `{node}`")));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=LONGEST_INTERFACE).contains(&interface.len()) || !interface.bytes().all(plain) || interface == "lo" {
        let fault = format!(
            "`{interface}` cannot be an interface; use 1 to {LONGEST_INTERFACE} letters, digits, `.`, `_` or `-`"
        );
        return Err(wrong(place, fault));
    }
    Ok(Endpoint { node: node.to_owned(), interface: interface.to_owned() })
}

/// Whether it can be a part of a path and of a host's name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn named(place: &str, name: &str) -> Result<(), Wrong> {
    if is_name(name) {
        return Ok(());
    }
    let rule = "use 1 to 63 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit";
    Err(wrong(place, format!("`{name}` cannot be a name; {rule}")))
}

#[cfg(test)]
mod tests;
