//! The reader as operators meet it: a text in, settings or reports out.

mod attributes;
mod bfd;
mod good;
mod keys;
mod kinds;
mod mistakes;
mod mutations;
mod probes;
mod reference;
mod schema;
mod syntax;
mod together;

use super::{
    diagnostic::{Diagnostic, Severity},
    load::{ConfigError, Loaded, parse, parse_bytes},
    settings::Host,
};

const FULL: &str = include_str!("fixtures/full.yaml");
const PAGE: &str = include_str!("fixtures/page.yaml");

fn host() -> Host {
    Host {
        name: Some("here".to_owned()),
        state_directory: None,
        addresses: vec![[198, 51, 100, 7].into()],
        ..Host::default()
    }
}

fn read(text: &str) -> Result<Loaded, ConfigError> {
    parse("anycastd.yaml", text, &host())
}

fn read_bytes(bytes: &[u8]) -> Result<Loaded, ConfigError> {
    parse_bytes("anycastd.yaml", bytes, &host())
}

/// All that is found in a text, good or bad.
fn findings(text: &str) -> Vec<Diagnostic> {
    match read(text) {
        Ok(loaded) => loaded.warnings.found().to_vec(),
        Err(error) => error.found().found().to_vec(),
    }
}

/// `line:column`.
fn place(found: &Diagnostic) -> String {
    found.place.as_ref().map_or_else(|| "-".to_owned(), |place| format!("{}:{}", place.line, place.column))
}

/// A small file that is read without a word; the tests break one thing in it at a time.
const SMALL: &str = "\
bgp:
  asn: 65010
  router_id: 192.0.2.11
  neighbors:
    - name: leaf1
      address: 192.0.2.1
      asn: 65001
services:
  - name: dns
    addresses: [203.0.113.53/32]
    prefixes: [203.0.113.0/24]
    neighbors: [leaf1]
    checks:
      - name: accepts
        type: tcp
        port: 53
";

/// [`SMALL`] with one text replaced by another.
fn small_with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from:?} is not in the file");
    SMALL.replacen(from, to, 1)
}

/// A text of [`SMALL`], its replacement, and what is to be found then: line:column, message, hint.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

fn errors(cases: &[Case<'_>]) {
    expect_one(cases, Severity::Error);
}

/// Each case has exactly one finding.
fn expect_one(cases: &[Case<'_>], severity: Severity) {
    for (from, to, at, message, hint) in cases {
        let found = findings(&small_with(from, to));
        let [only] = &found[..] else { panic!("{to:?}: not one finding but {found:#?}") };
        assert_eq!(only.severity, severity, "{to:?}: {only:#?}");
        assert_eq!(place(only), *at, "{to:?}: {only:#?}");
        assert!(only.message.contains(message), "{to:?}: {only:#?}");
        assert!(only.hint.contains(hint), "{to:?}: {only:#?}");
    }
}
