//! Links lead somewhere, and every page of the book is in its table of contents.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anycast_lab::programs::repository;

use crate::page::{Page, book, pages};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let broken: Vec<String> = pages()
        .iter()
        .flat_map(|page| {
            page.links()
                .into_iter()
                .filter_map(|(place, to)| {
                    let why = fault(&page.path, &to)?;
                    Some(format!("{place}: {to}: {why}"))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What is wrong with a link of a page; nothing is fetched.
fn fault(from: &Path, to: &str) -> Option<String> {
    if to.starts_with("https://") {
        return None;
    }
    if to.contains("://") {
        return Some("is no https link".to_owned());
    }
    let (file, anchor) = to.split_once('#').map_or((to, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { from.to_owned() } else { beside(from, file) };
    let of_book = Path::new("docs/src");
    if from.starts_with(of_book) && !path.starts_with(of_book) {
        return Some("leads out of the book, where it is a dead end".to_owned());
    }
    if !repository().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    let anchor = anchor?;
    let anchors = Page::read(path).anchors();
    (!anchors.iter().any(|known| known == anchor)).then(|| format!("no such heading among {anchors:?}"))
}

/// The path that a link means which stands in a file.
fn beside(from: &Path, link: &str) -> PathBuf {
    let mut path = from.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[test]
fn every_page_of_the_book_is_in_its_table_of_contents_once() {
    let summary = PathBuf::from("docs/src/SUMMARY.md");
    let mut listed: Vec<PathBuf> =
        Page::read(summary.clone()).links().iter().map(|(_, to)| beside(&summary, to)).collect();
    listed.sort();
    let mut there = book();
    there.retain(|page| *page != summary);
    assert_eq!(listed, there);
}

#[test]
fn what_a_page_includes_or_shows_is_there() {
    for page in pages() {
        let text = fs::read_to_string(repository().join(&page.path)).unwrap();
        for included in text.split("{{#include ").skip(1).filter_map(|rest| rest.split_once("}}")) {
            let path = beside(&page.path, included.0);
            assert!(repository().join(&path).is_file(), "{}: {}", page.path.display(), path.display());
        }
    }
}
