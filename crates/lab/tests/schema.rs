//! The topologies are what containerlab's published schema allows: whoever has containerlab can deploy them.

use std::{fs, path::PathBuf, process::Command};

use anycast_lab::programs::repository;

/// Says what is wrong with the topology, and nothing if nothing is. Python's regular expressions have no classes of Unicode.
const CHECK: &str = r"
import json, sys
from jsonschema import Draft7Validator
schema = json.loads(open(sys.argv[1]).read().replace(r'\\p{N}\\p{L}', r'\\w'))
for error in Draft7Validator(schema).iter_errors(json.load(open(sys.argv[2]))):
    print('.'.join(map(str, error.absolute_path)), error.message[:400])
";
/// Debian's, for which the package is.
const PYTHON: &str = "/usr/bin/python3";

fn topologies() -> Vec<PathBuf> {
    let directories = ["lab", "crates/lab/topologies", "crates/lab/tests/topologies"];
    let entries =
        directories.iter().flat_map(|name| fs::read_dir(repository().join(name)).expect("the directory is there"));
    let files = entries.map(|entry| entry.expect("it can be listed").path());
    files.filter(|path| path.to_str().is_some_and(|path| path.ends_with(".clab.yml"))).collect()
}

/// What the schema has against this text.
fn faults(text: &str) -> String {
    let value: serde_json::Value = serde_yaml::from_str(text).expect("it is YAML");
    let file = tempfile::NamedTempFile::new().expect("there is room");
    fs::write(file.path(), value.to_string()).expect("there is room");
    let schema = repository().join("lab/schema/clab.schema.json");
    let said = Command::new(PYTHON).args(["-c", CHECK]).arg(schema).arg(file.path()).output().expect("Python runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn every_topology_is_what_containerlab_takes() {
    let files = topologies();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let faults = faults(&fs::read_to_string(&file).unwrap());
        assert!(faults.is_empty(), "{}: {faults}", file.display());
    }
}

#[test]
fn what_containerlab_does_not_know_is_found() {
    let text = "name: x\ntopology:\n  nodes:\n    a: { kind: linux, image: y, surprise: 1 }\n";
    assert!(faults(text).contains("surprise"));
}
