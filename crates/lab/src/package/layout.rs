//! What lies where in the package, as `[package.metadata.deb]` says it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::programs::Programs;

/// The list, in cargo-deb's words.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    name: String,
    maintainer: String,
    section: String,
    priority: String,
    depends: String,
    recommends: String,
    extended_description: String,
    conf_files: Vec<String>,
    assets: Vec<(String, String, String)>,
}

/// The list, with what cargo itself knows.
#[derive(Debug)]
pub(super) struct Layout {
    listed: Listed,
    version: String,
    description: String,
}

/// A file of the package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// What.
    pub(super) from: PathBuf,
    /// Where, seen from the root.
    pub(super) to: PathBuf,
    /// Who may.
    pub(super) mode: u32,
}

impl Placed {
    /// Debian compresses manuals.
    pub(super) fn is_compressed(&self) -> bool {
        self.to.starts_with("usr/share/man")
    }
}

impl Layout {
    /// From what `cargo metadata` says.
    pub(super) fn read(metadata: &Value) -> anyhow::Result<Self> {
        let packages = metadata["packages"].as_array().context("cargo knows no packages")?;
        let package = packages.iter().find(|package| package["name"] == "anycastd").context("there is no anycastd")?;
        let listed = Listed::deserialize(&package["metadata"]["deb"])
            .context("crates/anycastd/Cargo.toml: [package.metadata.deb]")?;
        let word =
            |key: &str| package[key].as_str().map(str::to_owned).with_context(|| format!("anycastd has no {key}"));
        Ok(Self { listed, version: word("version")?, description: word("description")? })
    }

    /// As `cargo deb` would call it, but for the architecture.
    pub(super) fn file_name(&self) -> String {
        format!("{}_{}.deb", self.listed.name, self.version)
    }

    /// deb-control(5).
    pub(super) fn control(&self, architecture: &str) -> String {
        let Listed { name, maintainer, section, priority, depends, recommends, extended_description, .. } =
            &self.listed;
        let depends = depends.replace("$auto", "libc6");
        let long = extended_description.trim().lines().map(|line| format!(" {line}\n")).collect::<String>();
        let (version, short) = (&self.version, &self.description);
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {maintainer}\nSection: {section}\n\
             Priority: {priority}\nDepends: {depends}\nRecommends: {recommends}\nDescription: {short}\n{long}"
        )
    }

    /// deb-conffiles(5).
    pub(super) fn conf_files(&self) -> String {
        self.listed.conf_files.iter().map(|file| format!("{file}\n")).collect()
    }

    /// Each file; `home` is the directory from which the list sees them.
    pub(super) fn placed(&self, home: &Path, programs: &Programs) -> anyhow::Result<Vec<Placed>> {
        let mut all = Vec::new();
        for (from, to, mode) in &self.listed.assets {
            let mode = u32::from_str_radix(mode, 8).with_context(|| format!("{from}: the mode {mode}"))?;
            let found = match from.strip_prefix("target/release/") {
                Some(name) => {
                    let program = programs.all().find(|(found, _)| *found == name);
                    vec![program.with_context(|| format!("{name} is no program of ours"))?.1.to_owned()]
                }
                None => expand(&home.join(from))?,
            };
            for from in found {
                let name = from.file_name().context("a file has a name")?;
                let to = if to.ends_with('/') { Path::new(to).join(name) } else { to.into() };
                all.push(Placed { from, to, mode });
            }
        }
        Ok(all)
    }
}

/// The files of a pattern, which is a path, or `*` and an ending in one directory.
fn expand(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(|name| name.to_str()).context("a pattern ends in a name")?;
    let Some(end) = name.strip_prefix('*') else { return Ok(vec![pattern.to_owned()]) };
    let directory = pattern.parent().context("a pattern has a directory")?;
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)));
    found.sort();
    if found.is_empty() {
        bail!("there is no {}", pattern.display());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_matches_nothing_is_a_fault() {
        let home = tempfile::tempdir().unwrap();
        for name in ["b.1", "a.1", "c.8"] {
            fs::write(home.path().join(name), "").unwrap();
        }
        let names = |pattern: &str| {
            let found = expand(&home.path().join(pattern));
            found.map(|found| found.iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(names("*.1").unwrap(), ["a.1", "b.1"]);
        assert_eq!(names("c.8").unwrap(), ["c.8"]);
        assert!(names("*.5").unwrap_err().to_string().contains("*.5"));
    }
}
