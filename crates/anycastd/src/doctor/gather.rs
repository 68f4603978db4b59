//! Looks at the machine: `/proc`, interfaces, sockets, the clock, the disk of the state.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, sys::socket::SockaddrStorage};

use super::{
    facts::{Clock, Facts, Interface, Known, State},
    file, knock, program, sockets,
};
use crate::{
    blocking::{FILES, Hang, Slot},
    descriptors,
};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(3);
/// A disk may hang: it is looked at apart from the rest.
const DISK: Duration = Duration::from_secs(1);
/// What the configuration names is looked up too.
const READ: Duration = Duration::from_secs(3);

/// Looks at everything; what does not answer in time is told as that.
pub(super) async fn gather(known: Known, configuration: PathBuf, program: Result<PathBuf, String>) -> Facts {
    let directory = known.state_directory.clone();
    let looks = tokio::task::spawn_blocking({
        let known = known.clone();
        move || look(known)
    });
    let known_sessions = known.sessions.clone();
    let slot = Slot::of(&FILES, "the state directory");
    let disk = slot.run(DISK, move || state(&directory));
    let slot = Slot::of(&FILES, "the configuration");
    let name = configuration.display().to_string();
    let read = slot.run(READ, move || file::look(&configuration));
    let looks = tokio::time::timeout(WITHIN, looks);
    let program = program::look(program);
    let (looked, disk, read, program, knocks) =
        tokio::join!(looks, disk, read, program, knock::at_all(&known_sessions));
    let mut facts = match looked {
        Ok(Ok(facts)) => facts,
        _ => Facts { known, unread: vec!["the machine: it did not answer in time".to_owned()], ..Facts::default() },
    };
    facts.knocks = knocks;
    match read {
        Ok(file) => facts.file = Some(file),
        Err(_) => facts.unread.push(format!("the configuration: {name} cannot be read in time")),
    }
    match program {
        Ok(program) => facts.program = Some(program),
        Err(why) => facts.unread.push(format!("the installed program: {why}")),
    }
    match disk {
        Ok(state) => facts.state = Some(state),
        // A disk that hangs is no better than one that is full: an order cannot be kept either way.
        Err(Hang::Late | Hang::Before(_)) => {
            let fault = Some(format!("its disk has not answered for {} s", DISK.as_secs()));
            facts.state = Some(State { fault, free: 0, free_inodes: 0 });
        }
        Err(Hang::Busy | Hang::Full(_)) => facts.unread.push("the state directory: no thread is free".to_owned()),
        Err(Hang::Fault(fault)) => facts.unread.push(format!("the state directory: {fault}")),
    }
    facts
}

fn look(known: Known) -> Facts {
    let mut unread = Vec::new();
    let mut keep = |what: &str, fault: String| unread.push(format!("{what}: {fault}"));
    let interfaces = interfaces().unwrap_or_else(|error| {
        keep("interfaces", error.to_string());
        BTreeMap::new()
    });
    if !Path::new("/proc/sys/net/ipv4").is_dir() {
        keep("sysctls", "there is no /proc/sys/net here (ProcSubset=pid of the unit?)".to_owned());
    }
    let ports: BTreeSet<u16> = known.sessions.iter().map(|session| session.port).chain([179]).collect();
    let mut found = Vec::new();
    for port in ports {
        match sockets::on(port) {
            Ok(some) => found.extend(some),
            Err(error) => keep("sockets", error.to_string()),
        }
    }
    let mut bfd_sockets = Vec::new();
    let bfd_ports = [anycast_bfd::SINGLE_HOP_PORT, anycast_bfd::MULTIHOP_PORT];
    for port in bfd_ports.into_iter().filter(|_| !known.bfd.is_empty()) {
        match sockets::on_udp(port) {
            Ok(some) => bfd_sockets.extend(some),
            Err(error) => keep("sockets of BFD", error.to_string()),
        }
    }
    let clock = clock();
    if clock.is_none() {
        keep("clock", "adjtimex is refused".to_owned());
    }
    let number = |path: &str| read::<u32>(path);
    let groups = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").ok();
    let groups = groups.and_then(|text| {
        let mut numbers = text.split_whitespace().map(u32::from_str);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, nix::unistd::getegid().as_raw()))
    });
    Facts {
        files: descriptors::limit_and_need(known.checks, known.neighbors),
        known,
        interfaces,
        sockets: found,
        bfd_sockets,
        clock,
        capabilities: capabilities(),
        ping_groups: groups,
        first_port: number("/proc/sys/net/ipv4/ip_unprivileged_port_start").and_then(|port| port.try_into().ok()),
        mtu_probing: read("/proc/sys/net/ipv4/tcp_mtu_probing"),
        state: None,
        file: None,
        program: None,
        knocks: BTreeMap::new(),
        unread,
    }
}

fn read<T: FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn interfaces() -> nix::Result<BTreeMap<String, Interface>> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for one in getifaddrs()?.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)) {
        let name = &one.interface_name;
        let interface = found.entry(name.clone()).or_insert_with(|| Interface {
            loopback: one.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            arp: !one.flags.intersects(InterfaceFlags::IFF_NOARP | InterfaceFlags::IFF_LOOPBACK),
            mtu: read(&format!("/sys/class/net/{name}/mtu")),
            networks: BTreeSet::new(),
            rp_filter: in_force(name, "rp_filter"),
            arp_ignore: in_force(name, "arp_ignore"),
            arp_announce: in_force(name, "arp_announce"),
        });
        let address = one.address.as_ref().and_then(ip);
        let mask = one.netmask.as_ref().and_then(ip);
        let length = mask.and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
        interface.networks.extend(address.zip(length).and_then(|(address, length)| IpNet::new(address, length).ok()));
    }
    Ok(found)
}

/// The greater of an interface's own value and that of all (ip-sysctl.rst).
fn in_force(interface: &str, key: &str) -> Option<u8> {
    let own = |name: &str| read::<u8>(&format!("/proc/sys/net/ipv4/conf/{name}/{key}"));
    Some(own(interface)?.max(own("all")?))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// Only asks.
fn clock() -> Option<Clock> {
    // SAFETY: all of `timex` is numbers, for which zeros are good; no mode is set, so that nothing is changed; the kernel writes
    // into what is ours.
    #[allow(unsafe_code)]
    let (answer, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex.status)
    };
    (answer >= 0).then_some(Clock { synchronised: status & libc::STA_UNSYNC == 0 })
}

/// Whether an order could be written.
fn state(directory: &Path) -> State {
    let probe = directory.join(".doctor");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&probe)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[b'.'; 512]));
    let _ = fs::remove_file(&probe);
    let room = nix::sys::statvfs::statvfs(directory).ok();
    State {
        fault: written.err().map(|error| error.to_string()),
        free: room.as_ref().map_or(u64::MAX, |room| room.blocks_available().saturating_mul(room.fragment_size())),
        // Some file systems do not count them.
        free_inodes: room.filter(|room| room.files() > 0).map_or(u64::MAX, |room| room.files_available()),
    }
}
