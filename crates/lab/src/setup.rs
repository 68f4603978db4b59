//! What the lab needs of this machine, and how it gets what is missing.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{process::Command, time::timeout};

use crate::{
    exit::{Complaint, Exit},
    frr,
};

/// Fetching packages over a slow line takes its time; an apt that waits for ever is not waited for.
const INSTALL: Duration = Duration::from_secs(600);
/// Debian's `policy-rc.d`: asked by every package before it starts a service; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Ours, for as long as packages are installed.
const FORBID: &str =
    "#!/bin/sh\n# Of anycast-lab, while it installs packages. When none runs, remove this file.\nexit 101\n";

/// A program that the lab runs, and the package of Debian and its like that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

/// What is to be done with the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To bring it up.
    Run,
    /// To compare failovers: through other routers, and by name.
    Report,
    /// To run every test in it: beside other routers, and read by tshark.
    Test,
    /// To run the package under a real systemd.
    Systemd,
}

/// The lab's needs, besides what every Linux machine has.
const RUN: [Need; 6] = [
    Need { program: "ip", package: "iproute2" },
    Need { program: "nft", package: "nftables" },
    Need { program: "bash", package: "bash" },
    Need { program: "vtysh", package: "frr" },
    Need { program: "zebra", package: "frr" },
    Need { program: "bgpd", package: "frr" },
];

/// What the tests need besides. OpenBGPD's daemon is called as FRR's is, so it is known by its other program; the validator of schemas by
/// where the package puts it, as others bring one that is of no use to Debian's Python.
const TEST: [Need; 10] = [
    Need { program: "bird", package: "bird2" },
    Need { program: "bgpctl", package: "openbgpd" },
    Need { program: "gobgpd", package: "gobgpd" },
    Need { program: "exabgp", package: "exabgp" },
    Need { program: "tshark", package: "tshark" },
    Need { program: "bgpdump", package: "bgpdump" },
    Need { program: "/usr/bin/jsonschema", package: "python3-jsonschema" },
    Need { program: "curl", package: "curl" },
    Need { program: "chromium", package: "chromium" },
    Need { program: "promtool", package: "prometheus" },
];

/// What the report of failovers needs besides.
const REPORT: [Need; 4] = [
    Need { program: "bird", package: "bird2" },
    Need { program: "gdnsd", package: "gdnsd" },
    Need { program: "unbound", package: "unbound" },
    Need { program: "unbound-control", package: "unbound" },
];

/// What a systemd in a container needs.
const SYSTEMD: [Need; 4] = [
    Need { program: "dockerd", package: "docker.io" },
    Need { program: "docker", package: "docker.io" },
    Need { program: "debootstrap", package: "debootstrap" },
    Need { program: "dpkg-deb", package: "dpkg" },
];

/// The packages that bring a service, and what it is called.
const SERVICES: [(&str, &str); 9] = [
    ("docker.io", "docker"),
    ("frr", "frr"),
    ("bird2", "bird"),
    ("openbgpd", "openbgpd"),
    ("gobgpd", "gobgpd"),
    ("exabgp", "exabgp"),
    ("prometheus", "prometheus"),
    ("gdnsd", "gdnsd"),
    ("unbound", "unbound"),
];

/// Says no to everybody but root.
///
/// # Errors
/// For everybody but root.
pub fn root() -> anyhow::Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let message =
        "the lab needs root, for its network namespaces; run it with sudo: `sudo -E env \"PATH=$PATH\" cargo lab …`";
    Err(Complaint { exit: Exit::Permission, message: message.to_owned() }.into())
}

/// Makes sure that everything is there; installs what is missing, and says so.
///
/// # Errors
/// When something is missing and cannot be installed.
pub async fn ensure(purpose: Purpose) -> anyhow::Result<()> {
    let missing = missing(purpose);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(apt) = find("apt-get") else {
        let message = format!("this machine lacks what the lab needs; install the packages that Debian calls: {list}");
        return Err(Complaint::unavailable(message));
    };
    eprintln!("anycast-lab: installing {list} with apt-get; no service of them is started");
    let _policy = Policy::forbid()?;
    if install(&apt, &missing).await.is_err() {
        // The lists of a fresh machine are empty or old.
        apt_get(&apt, &["update"]).await?;
        install(&apt, &missing).await?;
    }
    if Path::new("/run/systemd/system").is_dir() {
        // Nobody asked for routing daemons at the next boot.
        for (_, service) in SERVICES.iter().filter(|(package, _)| missing.contains(package)) {
            let _ = Command::new("systemctl").args(["disable", "--quiet", service]).status().await;
        }
    }
    let still = self::missing(purpose);
    if still.is_empty() {
        return Ok(());
    }
    Err(Complaint::unavailable(format!("apt-get installed {list}, but {} is still not found", still.join(" "))))
}

/// The packages whose programs are not there.
#[must_use]
pub fn missing(purpose: Purpose) -> Vec<&'static str> {
    let beside: [&[Need]; 2] = match purpose {
        Purpose::Run => [&[], &[]],
        Purpose::Report => [&REPORT, &[]],
        // Some of them run the report.
        Purpose::Test => [&TEST, &REPORT],
        Purpose::Systemd => [&SYSTEMD, &[]],
    };
    let needs = RUN.iter().chain(beside.into_iter().flatten());
    let mut packages: Vec<_> = needs.filter(|need| find(need.program).is_none()).map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Where a program is. Root's PATH may lack what only root runs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", frr::DAEMONS];
    let places = std::env::split_paths(&path).chain(usual.into_iter().map(PathBuf::from));
    places.map(|directory| directory.join(program)).find(|file| file.is_file())
}

async fn install(apt: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(apt, &arguments).await
}

async fn apt_get(apt: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(apt);
    // Somebody else's apt may be at work, as it is on a machine that was booted just now.
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let what = || format!("`apt-get {}`", arguments.join(" "));
    let status = timeout(INSTALL, command.status()).await.with_context(|| format!("{} takes too long", what()))?;
    let status = status.with_context(what)?;
    if status.success() {
        return Ok(());
    }
    Err(Complaint::unavailable(format!("{} failed ({status}); install what is missing by hand", what())))
}

/// Our own `policy-rc.d`, for as long as it lives. Somebody else's decides for itself.
struct Policy {
    ours: bool,
}

impl Policy {
    fn forbid() -> anyhow::Result<Self> {
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY) {
            Ok(mut file) => {
                let policy = Self { ours: true };
                file.write_all(FORBID.as_bytes()).with_context(|| format!("cannot write {POLICY}"))?;
                Ok(policy)
            }
            // One of us that was killed may have left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(Self { ours: fs::read_to_string(POLICY).is_ok_and(|text| text == FORBID) })
            }
            Err(error) => Err(error).with_context(|| format!("cannot write {POLICY}")),
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
