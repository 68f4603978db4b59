//! What belongs to the node and the agent, not to a neighbor or a service.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use anycast_core::config::Node as NodeLabels;
use tracing::Level;

use crate::{peer::options, probe::may_ping};

use super::{
    Control, Log, LogFormat,
    diagnostic::{Report, quoted},
    needs::Need,
    privileges::Lacks,
    reader::{Section, list},
    values::{choice, duration, label, path, socket_address, text},
    yaml::{Kind, Node},
};

const STATE_DIRECTORY: &str = "/var/lib/anycastd";
/// How long an agent is believed that shows no sign of life, and a check that has no answer.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(10);
const CONTROL_SOCKET: &str = "/run/anycastd/control.sock";
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9273);
/// `sun_path` of unix(7) holds 108 bytes, the last of them zero.
const SOCKET_PATH: usize = 107;

/// What the machine says of itself, for the defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    /// As systemd passes it.
    pub(super) state_directory: Option<PathBuf>,
    /// The IPv4 addresses that are not on a loopback interface, in the kernel's order.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Where systemd has put the unit's credentials.
    pub(super) credentials: Option<PathBuf>,
    /// Whether the kernel has TCP-AO.
    pub(super) has_tcp_ao: bool,
    /// Neither a ping socket nor a raw one may be had.
    pub(super) cannot_ping: bool,
    /// What else this process may not do.
    pub(super) lacks: Lacks,
    /// Nothing is started: what only the unit has may be missing.
    pub(super) only_checks: bool,
    /// Whether it is looked whether what the file names is there.
    pub(super) looks: bool,
}

impl Host {
    /// This machine.
    pub(super) fn here(only_checks: bool) -> Self {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        // systemd separates several directories by colons.
        let state_directory = std::env::var("STATE_DIRECTORY").ok().and_then(|paths| {
            let first = paths.split(':').next().unwrap_or_default();
            first.starts_with('/').then(|| first.into())
        });
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            name: name.filter(|name| !name.is_empty()),
            state_directory,
            addresses: addresses(),
            credentials,
            has_tcp_ao: options::has_tcp_ao(),
            cannot_ping: !may_ping(),
            // Who checks the file is not the unit.
            lacks: if only_checks { Lacks::default() } else { Lacks::here() },
            only_checks,
            looks: true,
        }
    }
}

fn addresses() -> Vec<Ipv4Addr> {
    use nix::net::if_::InterfaceFlags;
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let elsewhere = all.filter(|found| !found.flags.contains(InterfaceFlags::IFF_LOOPBACK));
    elsewhere.filter_map(|found| Some(found.address?.as_sockaddr_in()?.ip())).collect()
}

/// `stale_after`; the checks have it too.
pub(super) fn stale_after(top: &mut Section<'_>, report: &mut Report<'_>) -> Option<Duration> {
    const RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
    top.or("stale_after", STALE_AFTER, report, |node, report| duration(node, "stale_after", RANGE, report))
}

/// `node`.
pub(super) fn node(top: &mut Section<'_>, host: &Host, report: &mut Report<'_>) -> Option<NodeLabels> {
    const EXAMPLE: &str = "`node: { name: edge-sin1, region: ap-southeast-1, country: SG }`";
    let here = top.has("node").unwrap_or(top.span);
    let default = |at, report: &mut Report<'_>| {
        if host.name.is_none() {
            report.error(at, "this node has no host name", format!("name it here: write {EXAMPLE}"));
        }
        host.name.clone()
    };
    if top.has("node").is_none() {
        return Some(NodeLabels { name: default(here, report)?, region: None, country: None });
    }
    let mut section = top.inner("node", EXAMPLE, report)?;
    let name = match section.take("name", report) {
        Some(node) => label(node, "name", report),
        None if section.has("name").is_some() => None,
        None => default(here, report),
    };
    let region = section.maybe("region", report, |node, report| label(node, "region", report));
    let country = section.maybe("country", report, country);
    section.close(report);
    Some(NodeLabels { name: name?, region: region?, country: country? })
}

fn country(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let text = text(node, "country", report)?;
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Some(text.to_owned());
    }
    let message = format!("{} is not a country code", quoted(text));
    report.error(node.span, message, "write two capital letters of ISO 3166-1, such as `SG`");
    None
}

/// `interface`: a name that the kernel allows (`dev_valid_name`; IFNAMSIZ is 16 with the final zero).
pub(super) fn interface(node: &Node, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = text(node, key, report)?;
    let odd = |character: char| character.is_whitespace() || character.is_control() || "/:".contains(character);
    if (1..=15).contains(&text.len()) && !matches!(text, "." | "..") && !text.contains(odd) {
        return Some(text.to_owned());
    }
    let message = format!("{} cannot be the name of an interface", quoted(text));
    report.error(node.span, message, "write 1 to 15 characters, without spaces, `/` or `:`, such as `lo`");
    None
}

/// `state`.
pub(super) fn state(top: &mut Section<'_>, host: &Host, report: &mut Report<'_>) -> Option<PathBuf> {
    let default = host.state_directory.clone().unwrap_or_else(|| STATE_DIRECTORY.into());
    if top.has("state").is_none() {
        return Some(default);
    }
    let mut section = top.inner("state", "`state: { directory: /var/lib/anycastd }`", report)?;
    let directory = section.or("directory", default, report, |node, report| path(node, "directory", report));
    section.close(report);
    directory
}

/// `control`.
pub(super) fn control(top: &mut Section<'_>, report: &mut Report<'_>) -> Option<Control> {
    if top.has("control").is_none() {
        return Some(Control { socket: CONTROL_SOCKET.into(), group: None, operators: Vec::new() });
    }
    let mut section =
        top.inner("control", "`control: { socket: /run/anycastd/control.sock, group: anycast }`", report)?;
    let socket = section.or("socket", CONTROL_SOCKET.into(), report, |node, report| {
        let socket = path(node, "socket", report)?;
        if socket.as_os_str().len() > SOCKET_PATH {
            let message = format!("`socket` is longer than {SOCKET_PATH} bytes");
            report.error(node.span, message, "the kernel takes no longer path for a socket: shorten it");
            return None;
        }
        Some(socket)
    });
    let group = section.maybe("group", report, |node, report| {
        let group = account(node, "group", report)?;
        report.need(node.span, Need::Group(group.clone()));
        Some(group)
    });
    let operators = section.or("operators", Some(Vec::new()), report, |node, report| {
        let names = list(node, "operators", "alice, bob", report, |node, report| {
            let name = account(node, "operators", report)?;
            report.need(node.span, Need::Operator(name.clone()));
            Some(name)
        });
        Some(names.whole.then(|| names.values().cloned().collect()))
    });
    section.close(report);
    Some(Control { socket: socket?, group: group?, operators: operators?? })
}

/// The name of a user or group.
fn account(node: &Node, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = text(node, key, report)?;
    let odd = |character: char| character.is_whitespace() || character.is_control() || ":/,".contains(character);
    if (1..=255).contains(&text.len()) && !text.contains(odd) {
        return Some(text.to_owned());
    }
    report.error(
        node.span,
        format!("`{key}` cannot be {}", quoted(text)),
        "write a name as in /etc/passwd or /etc/group",
    );
    None
}

/// `http`: the inner `None` is `none`.
pub(super) fn http(top: &mut Section<'_>, report: &mut Report<'_>) -> Option<Option<SocketAddr>> {
    const EXAMPLE: &str = "`http: { listen: \"127.0.0.1:9273\" }`";
    let is_none = |node: &Node| matches!(&node.kind, Kind::Scalar { text, .. } if text == "none");
    if top.has("http").is_none() {
        return Some(Some(HTTP));
    }
    if top.take("http", report).is_some_and(is_none) {
        return Some(None);
    }
    let mut section = top.inner("http", EXAMPLE, report)?;
    let listen = section.or("listen", Some(HTTP), report, |node, report| {
        if is_none(node) {
            return Some(None);
        }
        let hint = "write it as \"127.0.0.1:9273\" or \"[::1]:9273\", or `none`";
        let address = socket_address(node, "listen", hint, report)?;
        if !address.ip().is_loopback() {
            let hint = "everybody who can reach it can read the status: let a firewall decide who that is";
            report.warning(node.span, format!("{address} is not a loopback address"), hint);
        }
        Some(Some(address))
    });
    section.close(report);
    listen
}

/// `log`.
pub(super) fn log(top: &mut Section<'_>, report: &mut Report<'_>) -> Option<Log> {
    const FORMATS: [(&str, LogFormat); 3] =
        [("journal", LogFormat::Journal), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    const LEVELS: [(&str, Level); 5] = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    if top.has("log").is_none() {
        return Some(Log { format: LogFormat::Journal, level: Level::INFO });
    }
    let mut section = top.inner("log", "`log: { format: journal, level: info }`", report)?;
    let format =
        section.or("format", LogFormat::Journal, report, |node, report| choice(node, "format", &FORMATS, report));
    let level = section.or("level", Level::INFO, report, |node, report| choice(node, "level", &LEVELS, report));
    section.close(report);
    Some(Log { format: format?, level: level? })
}
