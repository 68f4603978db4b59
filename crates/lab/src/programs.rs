//! The programs that the lab puts into its nodes: freshly built, or those of a given directory.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};

use crate::exit::Complaint;

/// The packages, each with one program of its name.
const NAMES: [&str; 3] = ["anycastd", "anycastctl", "anycast-lab"];

/// The variable that names a directory of programs to run instead of building them.
pub const BIN_DIR: &str = "ANYCAST_LAB_BIN_DIR";

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    paths: [PathBuf; 3],
}

impl Programs {
    /// Those of a directory.
    ///
    /// # Errors
    /// When one is missing.
    pub fn of(directory: &Path) -> anyhow::Result<Self> {
        let find = |name: &str| {
            let path = directory.join(name);
            let found = path.canonicalize().ok().filter(|path| path.is_file());
            found.ok_or_else(|| {
                Complaint::unavailable(format!(
                    "there is no program {}; build it, or give another --bin-dir",
                    path.display()
                ))
            })
        };
        let [agent, control, lab] = NAMES;
        Ok(Self { paths: [find(agent)?, find(control)?, find(lab)?] })
    }

    /// Builds them from this repository, as this program itself was built or, where asked for, for release.
    ///
    /// # Errors
    /// When cargo cannot be run, or fails.
    pub async fn build(release: bool) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let (target, profile) = placed(&own).with_context(|| {
            format!("{} does not lie where cargo builds; give --bin-dir with the programs to run", own.display())
        })?;
        Self::build_in(&target, if release { "release" } else { &profile }).await
    }

    /// Builds them into a target directory.
    ///
    /// # Errors
    /// When cargo cannot be run, or fails.
    pub async fn build_in(target: &Path, profile: &str) -> anyhow::Result<Self> {
        let mut command = tokio::process::Command::new(cargo());
        command.args(["build", "--quiet", "--profile", if profile == "debug" { "dev" } else { profile }]);
        command.args(NAMES.iter().flat_map(|name| ["--package", name]));
        command.arg("--bins").arg("--target-dir").arg(target).current_dir(repository());
        let status = command.stdin(Stdio::null()).kill_on_drop(true).status().await.context("cannot run cargo")?;
        if !status.success() {
            bail!("the build failed ({status})");
        }
        Self::of(&target.join(profile))
    }

    /// Each with its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        NAMES.into_iter().zip(self.paths.iter().map(PathBuf::as_path))
    }

    /// The lab itself.
    #[must_use]
    pub fn lab(&self) -> &Path {
        &self.paths[2]
    }
}

/// The cargo that runs us, or that built us, or any.
#[must_use]
pub fn cargo() -> PathBuf {
    let built_by = Some(PathBuf::from(env!("CARGO"))).filter(|path| path.is_file());
    std::env::var_os("CARGO").map(PathBuf::from).or(built_by).unwrap_or_else(|| "cargo".into())
}

/// The root of the repository that this program was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// The target directory and the profile's directory that a program of ours lies in; tests lie one below.
fn placed(program: &Path) -> Option<(PathBuf, String)> {
    let directory = program.parent()?;
    let profile = if directory.file_name() == Some(OsStr::new("deps")) { directory.parent()? } else { directory };
    let name = profile.file_name()?.to_str()?;
    let target = profile.parent()?;
    // Cargo marks its target directories (https://bford.info/cachedir/).
    target.join("CACHEDIR.TAG").is_file().then(|| (target.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_that_of_this_program() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("target");
        std::fs::create_dir(&target).unwrap();
        let place = |path: &str| placed(&target.join(path));
        assert_eq!(place("debug/anycast-lab"), None);
        std::fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        for (path, profile) in [("debug/anycast-lab", "debug"), ("release/x", "release"), ("ci/deps/e2e-1f", "ci")] {
            assert_eq!(place(path), Some((target.clone(), profile.to_owned())), "{path}");
        }
        assert_eq!(placed(Path::new("/usr/bin/anycast-lab")), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let home = tempfile::tempdir().unwrap();
        for name in ["anycastd", "anycastctl"] {
            std::fs::write(home.path().join(name), "").unwrap();
        }
        let error = Programs::of(home.path()).unwrap_err().to_string();
        assert!(error.contains(&home.path().join("anycast-lab").display().to_string()), "{error}");
    }

    #[test]
    fn the_repository_is_found() {
        assert!(repository().join("lab/topology.clab.yml").is_file());
    }
}
