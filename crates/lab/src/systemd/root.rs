//! The root that is booted: this machine's own distribution, since the programs were linked here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{process::Command, time::timeout};

use super::docker::Docker;
use crate::{exit::Complaint, programs::repository, setup};

/// What the image is called.
pub(super) const IMAGE: &str = "anycast-lab-systemd";
/// Besides what is essential.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,procps";
/// Fetching and unpacking some hundred packages.
const LONG: Duration = Duration::from_secs(900);

/// Makes it where it is not kept from another run, and gives it to the daemon.
pub(super) async fn import(docker: &Docker) -> anyhow::Result<()> {
    let (release, mirror) = release(&fs::read_to_string("/etc/os-release").unwrap_or_default())?;
    let kept = repository().join(format!("target/systemd/{release}.tar"));
    if !kept.is_file() {
        make(&release, mirror, &kept).await?;
    }
    docker.run(&["import", &kept.display().to_string(), IMAGE]).await.map(drop)
}

/// The name of the release, and where its packages are.
fn release(os: &str) -> anyhow::Result<(String, &'static str)> {
    let value = |key: &str| {
        let line = os.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let mirror = match value("ID").as_str() {
        "debian" => "http://deb.debian.org/debian",
        "ubuntu" => "http://archive.ubuntu.com/ubuntu",
        other => {
            let message = format!("the node is made of this machine's distribution: Debian or Ubuntu, not `{other}`");
            return Err(Complaint::unavailable(message));
        }
    };
    let name = value("VERSION_CODENAME");
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    ensure!(is_name, "/etc/os-release does not name this release");
    Ok((name, mirror))
}

async fn make(release: &str, mirror: &str, kept: &Path) -> anyhow::Result<()> {
    eprintln!("anycast-lab: making a root of {release}, which is kept in {}", kept.display());
    let directory = kept.parent().context("it lies in a directory")?;
    fs::create_dir_all(directory)?;
    let work = tempfile::tempdir_in(directory)?;
    let (root, archive) = (work.path().join("root"), work.path().join("root.tar"));
    let mut command = Command::new(find("debootstrap")?);
    command.args(["--variant=minbase", &format!("--include={PACKAGES}"), release]).arg(&root).arg(mirror);
    done(command).await.map_err(|error| {
        Complaint::unavailable(format!("debootstrap cannot make a root here, as it needs {mirror}: {error:#}"))
    })?;
    let mut command = Command::new("tar");
    command.arg("-C").arg(&root).args(["--exclude=./var/cache/apt/archives/*.deb", "-cf"]).arg(&archive).arg(".");
    done(command).await?;
    fs::rename(&archive, kept).context("cannot keep the root")
}

fn find(program: &str) -> anyhow::Result<PathBuf> {
    setup::find(program).ok_or_else(|| Complaint::unavailable(format!("there is no {program} on this machine")))
}

async fn done(mut command: Command) -> anyhow::Result<()> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let said = timeout(LONG, command.output()).await.context("it takes too long")??;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next_back().unwrap_or_default().to_owned();
    ensure!(said.status.success(), "{}: {} {}", said.status, last(&said.stdout), last(&said.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_this_machines() {
        let debian = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(release(debian).unwrap(), ("bookworm".to_owned(), "http://deb.debian.org/debian"));
        assert!(release("ID=\"ubuntu\"\nVERSION_CODENAME=noble\n").unwrap().1.contains("ubuntu"));
        assert!(release("ID=fedora\n").unwrap_err().to_string().contains("`fedora`"));
        assert!(release("ID=debian\n").is_err(), "sid has no name");
    }
}
