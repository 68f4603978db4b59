//! The units: what systemd says of how exposed they are, and that the table in deploy/README.md is true.

use std::{fs, path::Path, process::Command};

use anycast_lab::programs::repository;
use anyhow::Context as _;

/// Exposure of the agent's unit, with a drop-in or without; `None`: there is no systemd-analyze that can tell.
fn exposure(drop_in: Option<&Path>) -> anyhow::Result<Option<String>> {
    let home = tempfile::tempdir()?;
    let units = home.path().join("etc/systemd/system");
    fs::create_dir_all(units.join("anycastd.service.d"))?;
    fs::copy(repository().join("deploy/systemd/anycastd.service"), units.join("anycastd.service"))?;
    if let Some(file) = drop_in {
        fs::copy(file, units.join("anycastd.service.d").join(file.file_name().context("a file has a name")?))?;
    }
    let root = format!("--root={}", home.path().display());
    let said = Command::new("systemd-analyze").args(["security", "--offline=true", &root, "anycastd.service"]).output();
    let Some(said) = said.ok().filter(|said| said.status.success()) else { return Ok(None) };
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let rest = text.split_once("exposure level for anycastd.service: ").map(|(_, rest)| rest);
    Ok(rest.and_then(|rest| rest.split_whitespace().next()).map(str::to_owned))
}

/// Other versions weigh otherwise; the table is of this one.
fn is_version(number: &str) -> bool {
    let said = Command::new("systemd-analyze").arg("--version").output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).starts_with(&format!("systemd {number} ")))
}

#[test]
fn the_unit_is_as_closed_as_the_table_says() {
    let Some(alone) = exposure(None).unwrap() else {
        eprintln!("not looked at: there is no systemd-analyze that knows --offline");
        return;
    };
    assert!(alone.parse::<f64>().unwrap() <= 1.5, "{alone}");
    if !is_version("252") {
        return;
    }
    let readme = fs::read_to_string(repository().join("deploy/README.md")).unwrap();
    let row = |name: &str, exposure: &str| {
        let found = readme.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        assert!(found.is_some_and(|line| line.ends_with(&format!("| {exposure} |"))), "{name}: {exposure}; {found:?}");
    };
    row("anycastd.service", &alone);
    let mut count = 0;
    for entry in fs::read_dir(repository().join("deploy/systemd/anycastd.service.d")).unwrap() {
        let path = entry.unwrap().path();
        row(path.file_name().unwrap().to_str().unwrap(), &exposure(Some(&path)).unwrap().unwrap());
        count += 1;
    }
    assert!(count >= 5, "the drop-ins are not there");
}

#[test]
fn the_units_name_nothing_that_systemd_does_not_know() {
    for unit in ["anycastd.service", "anycastd-drain.service"] {
        let file = repository().join("deploy/systemd").join(unit);
        let Ok(said) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output() else { return };
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        let unknown: Vec<&str> = text.lines().filter(|line| line.contains(unit) && line.contains("Unknown")).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
