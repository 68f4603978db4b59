//! `cargo lab package`: the Debian package, by the list that cargo-deb reads too (`[package.metadata.deb]` of crates/anycastd).
//!
//! What the list names below target/package is generated here by the programs themselves; so this comes before `cargo deb`.

mod layout;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use self::layout::{Layout, Placed};
use crate::{
    exit::Complaint,
    programs::{Programs, cargo, repository},
    setup,
};

/// Where the generated part is, seen from the repository.
const GENERATED: &str = "target/package";

/// `package`.
#[derive(Debug, Args)]
pub struct Options {
    /// Only generate manuals and completions, for `cargo deb --no-build`
    #[arg(long)]
    pub generate: bool,
    /// Where to put the package
    #[arg(long, value_name = "DIR", default_value = "target/debian")]
    pub output: PathBuf,
    /// Do not compress: for a package that is installed once
    #[arg(long)]
    pub raw: bool,
}

/// Makes it of these programs, and gives its path; `None`: nothing but the generated part was asked for.
///
/// # Errors
/// When something that belongs into it is missing, or dpkg-deb fails.
pub fn make(programs: &Programs, options: &Options) -> anyhow::Result<Option<PathBuf>> {
    generate(programs)?;
    if options.generate {
        return Ok(None);
    }
    let layout = Layout::read(&metadata()?)?;
    let tree = tempfile::tempdir().context("cannot make a directory to lay the package out in")?;
    for placed in layout.placed(&repository().join("crates/anycastd"), programs)? {
        lay(&placed, tree.path())?;
    }
    control(&layout, tree.path())?;
    let output = repository().join(&options.output);
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let package = output.join(layout.file_name());
    let dpkg = setup::find("dpkg-deb").ok_or_else(|| Complaint::unavailable("there is no dpkg-deb: install dpkg"))?;
    let mut command = Command::new(dpkg);
    command.args(if options.raw { ["-Znone"].as_slice() } else { &[] });
    command.args(["--root-owner-group", "--build"]).arg(tree.path()).arg(&package);
    run(command.stdout(Stdio::null()))?;
    Ok(Some(package))
}

/// Manuals and completions, by the programs themselves.
fn generate(programs: &Programs) -> anyhow::Result<()> {
    let into = repository().join(GENERATED);
    let manuals = into.join("man");
    fs::create_dir_all(&manuals).with_context(|| format!("cannot make {}", manuals.display()))?;
    let path = |name: &str| programs.all().find(|(found, _)| *found == name).map(|(_, path)| path.to_owned());
    let (agent, control) = path("anycastd").zip(path("anycastctl")).context("the programs are not there")?;
    run(Command::new(&control).args(["man", "--dir"]).arg(&manuals))?;
    let page = said(Command::new(agent).arg("--man"))?;
    fs::write(manuals.join("anycastd.8"), page)?;
    for shell in ["bash", "zsh", "fish"] {
        let script = said(Command::new(&control).args(["completions", shell]))?;
        fs::write(into.join(format!("anycastctl.{shell}")), script)?;
    }
    Ok(())
}

/// What cargo knows of the agent's package.
fn metadata() -> anyhow::Result<serde_json::Value> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(repository());
    serde_json::from_slice(&said(&mut command)?).context("cargo metadata says something else than JSON")
}

/// Puts a file into the tree; manuals compressed, as Debian has them.
fn lay(placed: &Placed, tree: &Path) -> anyhow::Result<()> {
    let to = tree.join(&placed.to);
    let directory = to.parent().context("a file lies in a directory")?;
    fs::create_dir_all(directory)?;
    fs::copy(&placed.from, &to).with_context(|| format!("the package lacks {}", placed.from.display()))?;
    fs::set_permissions(&to, fs::Permissions::from_mode(placed.mode))?;
    if placed.is_compressed() {
        run(Command::new("gzip").args(["-9nf"]).arg(&to))?;
    }
    Ok(())
}

/// The package's own files: what it is, which files are the administrator's, and what is done when.
fn control(layout: &Layout, tree: &Path) -> anyhow::Result<()> {
    let to = tree.join("DEBIAN");
    fs::create_dir(&to)?;
    fs::write(to.join("control"), layout.control(&architecture()?))?;
    fs::write(to.join("conffiles"), layout.conf_files())?;
    let scripts = repository().join("deploy/debian");
    for name in ["postinst", "prerm", "postrm"] {
        fs::copy(scripts.join(name), to.join(name)).with_context(|| format!("there is no deploy/debian/{name}"))?;
        fs::set_permissions(to.join(name), fs::Permissions::from_mode(0o755))?;
    }
    let copyright = tree.join("usr/share/doc/anycastd/copyright");
    fs::copy(repository().join("LICENSE"), &copyright)?;
    // Whoever builds may have another umask than files of a system have.
    for directory in walk(tree)? {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    }
    fs::set_permissions(copyright, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// The directory and all below it.
fn walk(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = vec![directory.to_owned()];
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.extend(walk(&entry.path())?);
        }
    }
    Ok(all)
}

fn architecture() -> anyhow::Result<String> {
    let said = said(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}

fn said(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let said = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !said.status.success() {
        bail!("{command:?} failed ({}): {}", said.status, String::from_utf8_lossy(&said.stderr));
    }
    Ok(said.stdout)
}
