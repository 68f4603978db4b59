//! A page of the documentation, taken apart as far as the tests need it.

use std::{fs, path::PathBuf};

use anycast_lab::programs::repository;

/// One file.
pub(crate) struct Page {
    /// Below the repository.
    pub(crate) path: PathBuf,
    text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// `docs/src/x.md:12`, the line of its fence.
    pub(crate) place: String,
    /// What stands behind the fence.
    pub(crate) info: String,
    /// Its lines.
    pub(crate) text: String,
}

/// Every page that users read.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        ["README.md", "docs/CHANGELOG.md", "deploy/README.md", "lab/README.md"].map(PathBuf::from).into();
    paths.extend(book());
    paths.into_iter().map(Page::read).collect()
}

/// The pages of the book, in the order of their names.
pub(crate) fn book() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("docs/src")).unwrap();
    let names = entries.map(|entry| PathBuf::from("docs/src").join(entry.unwrap().file_name()));
    let mut pages: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.sort();
    pages
}

impl Page {
    pub(crate) fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(repository().join(&path)).unwrap();
        Self { path, text }
    }

    /// Each line with its number, and whether it is part of a block.
    fn lines(&self) -> impl Iterator<Item = (usize, bool, &str)> {
        let mut open = false;
        self.text.lines().enumerate().map(move |(number, line)| {
            let fence = line.starts_with("```");
            let inside = open || fence;
            open ^= fence;
            (number + 1, inside, line)
        })
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, _, line) in self.lines().filter(|(_, inside, _)| *inside) {
            match (line.strip_prefix("```"), &mut open) {
                (Some(info), None) => {
                    let place = format!("{}:{number}", self.path.display());
                    open = Some(Block { place, info: info.trim().to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => unreachable!("only a fence opens a block"),
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path.display());
        blocks
    }

    /// The lines that are no block, each with its place.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (String, &str)> {
        let place = move |number| format!("{}:{number}", self.path.display());
        self.lines().filter(|(_, inside, _)| !inside).map(move |(number, _, line)| (place(number), line))
    }

    /// What stands between backticks, each with its place.
    pub(crate) fn spans(&self) -> Vec<(String, &str)> {
        self.prose()
            .flat_map(|(place, line)| {
                line.split('`').skip(1).step_by(2).map(move |span| (place.clone(), span)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Where its links lead, each with its place. Code has none.
    pub(crate) fn links(&self) -> Vec<(String, String)> {
        let targets = |line: &str| {
            let bare: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
            let parts: Vec<&str> = bare.split("](").skip(1).collect();
            parts.iter().filter_map(|rest| rest.split_once(')')).map(|(to, _)| to.to_owned()).collect::<Vec<_>>()
        };
        self.prose()
            .flat_map(|(place, line)| targets(line).into_iter().map(move |to| (place.clone(), to)).collect::<Vec<_>>())
            .collect()
    }

    /// What a link may name behind `#`, as mdBook and GitHub make it of the headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors = Vec::<String>::new();
        for (_, line) in self.prose() {
            let Some((_, title)) = line.split_once("# ").filter(|(marks, _)| marks.chars().all(|mark| mark == '#'))
            else {
                continue;
            };
            let slug = slug(title);
            let before = anchors.iter().filter(|anchor| **anchor == slug).count();
            anchors.push(if before == 0 { slug } else { format!("{slug}-{before}") });
        }
        anchors
    }
}

fn slug(title: &str) -> String {
    let letter = |letter: char| match letter {
        _ if letter.is_alphanumeric() || matches!(letter, '_' | '-') => Some(letter.to_ascii_lowercase()),
        _ if letter.is_whitespace() => Some('-'),
        _ => None,
    };
    title.trim().chars().filter_map(letter).collect()
}

#[test]
fn headings_become_anchors() {
    for (title, anchor) in [("`services[].checks[]`", "serviceschecks"), ("At 3 a.m.", "at-3-am"), ("BFD", "bfd")] {
        assert_eq!(slug(title), anchor);
    }
}
