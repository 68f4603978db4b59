//! A network namespace for each test, and an agent's half in it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    panic::resume_unwind,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anycast_core::config::Anchor;
use futures_util::TryStreamExt;
use netlink_packet_route::address::AddressAttribute;
use nix::sched::{CloneFlags, unshare};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::{SockFilter, SockRef};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::super::{AddressPlan, AddressState, KernelState, Options, Owner, start_from, start_with};
use crate::signal::{Happening, Sink};

/// No test waits for as long, unless it fails.
pub(crate) const AMPLE: Duration = Duration::from_secs(20);

/// Runs `test` in a fresh network namespace with `lo` up, on a thread of its own: a namespace belongs to a thread.
pub(crate) fn isolated<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED, NOT RUN: a network namespace of its own needs root");
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(AMPLE * 3, test()).await.expect("a test ends") });
    });
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// Runs iproute2 in the namespace of this thread: somebody else.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// From now on no netlink socket of this namespace receives anything.
pub(super) fn deafen_netlink() {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let inodes: Vec<_> = table.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let mut deafened = 0;
    for entry in std::fs::read_dir("/proc/thread-self/fd").unwrap().flatten() {
        let Ok(name) = std::fs::read_link(entry.path()) else { continue };
        let name = name.to_str().unwrap_or_default();
        if inodes.iter().any(|inode| name == format!("socket:[{inode}]")) {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).unwrap();
            let nothing = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
            SockRef::from(&socket).attach_filter(&[nothing]).unwrap();
            deafened += 1;
        }
    }
    assert!(deafened >= 2, "one for questions and one for events");
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < AMPLE, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every address of the namespace with its tag, by address and interface, but for those the kernel makes itself.
pub(super) async fn held() -> BTreeMap<(IpAddr, u32), Option<u8>> {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    let connection = tokio::spawn(connection);
    let messages: Vec<_> = handle.address().get().execute().try_collect().await.unwrap();
    connection.abort();
    let read = messages.into_iter().map(|message| {
        let (mut address, mut tag) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(given) => address = Some(*given),
                AddressAttribute::Protocol(protocol) => tag = Some(u8::from(*protocol)),
                _ => {}
            }
        }
        ((address.unwrap(), message.header.index), tag)
    });
    read.filter(|((address, _), _)| !address.is_loopback() && !is_link_local(*address)).collect()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn plan(addresses: &[&str], anchors: &[&str]) -> AddressPlan {
    AddressPlan {
        interface: "lo".to_owned(),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        anchor: Anchor::Unreachable,
        anchors: anchors.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

/// A running task, with what its owner holds of it.
pub(super) struct World {
    plan: watch::Sender<Option<Arc<AddressPlan>>>,
    state: watch::Receiver<Arc<KernelState>>,
    happenings: mpsc::Receiver<Happening>,
    pub(super) task: JoinHandle<()>,
    intents: PathBuf,
    options: Options,
    _home: Option<tempfile::TempDir>,
}

impl World {
    pub(super) fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub(super) fn start_with(options: Options) -> Self {
        let home = tempfile::tempdir().unwrap();
        let intents = home.path().join("addresses.json");
        Self { _home: Some(home), ..Self::start_in(intents, options) }
    }

    fn start_in(intents: PathBuf, options: Options) -> Self {
        let (plan, plan_seen) = watch::channel(None);
        let (sink, happenings) = Sink::new(4096);
        let (state, task) = start_with(plan_seen, intents.clone(), sink, watch::channel(None).0, options);
        Self { plan, state, happenings, task, intents, options, _home: None }
    }

    /// The process dies and another takes its place.
    pub(super) async fn crash(mut self) -> Self {
        self.task.abort();
        let _ = (&mut self.task).await;
        Self { _home: self._home.take(), ..Self::start_in(self.intents.clone(), self.options) }
    }

    /// Another program goes on for this one, with what it knows.
    pub(super) async fn hand_over(mut self) -> Self {
        self.task.abort();
        let _ = (&mut self.task).await;
        let (plan, plan_seen) = watch::channel(None);
        let (sink, happenings) = Sink::new(4096);
        let known = KernelState::left(self.now().addresses.clone());
        let links = watch::channel(None).0;
        let (state, task) = start_from(plan_seen, self.intents.clone(), sink, links, known, self.options);
        Self { plan, state, happenings, task, ..self }
    }

    /// What is told and was not asked for.
    pub(super) fn told_so_far(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.happenings.try_recv().ok()).collect()
    }

    pub(super) fn intents(&self) -> Option<String> {
        std::fs::read_to_string(&self.intents).ok()
    }

    pub(super) fn write_intents(&self, text: &str) {
        std::fs::write(&self.intents, text).unwrap();
    }

    /// Makes every write of the file fail, as a full disk would.
    pub(super) fn block_intents(&self) {
        std::fs::create_dir(self.intents.with_extension("json.new")).unwrap();
    }

    pub(super) fn unblock_intents(&self) {
        std::fs::remove_dir(self.intents.with_extension("json.new")).unwrap();
    }

    /// Nobody plans any more.
    pub(super) async fn end(self) {
        drop(self.plan);
        tokio::time::timeout(AMPLE, self.task).await.expect("it ends").unwrap();
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<KernelState>> {
        self.state.clone()
    }

    pub(super) fn plan(&self, plan: AddressPlan) {
        self.plan.send_replace(Some(Arc::new(plan)));
    }

    pub(super) fn now(&self) -> Arc<KernelState> {
        self.state.borrow().clone()
    }

    /// Waits for a state.
    pub(super) async fn until(&mut self, what: &str, so: impl Fn(&KernelState) -> bool) -> Arc<KernelState> {
        let waited = async { self.state.wait_for(|state| so(state)).await.map(|state| state.clone()) };
        match tokio::time::timeout(AMPLE, waited).await {
            Ok(state) => state.expect("the task lives"),
            Err(_) => panic!("it never came to this: {what}; it is {:#?}", self.now()),
        }
    }

    /// Waits until each of these is bound, by us on this interface.
    pub(super) async fn until_bound(&mut self, addresses: &[&str], on: &str) {
        let what = format!("{addresses:?} bound on {on}");
        let ours = |state: &AddressState| matches!(state, AddressState::Bound { owner: Owner::Ours, interface, .. } if interface == on);
        self.until(&what, |state| addresses.iter().all(|text| state.addresses.get(&address(text)).is_some_and(ours)))
            .await;
    }

    /// Waits until this one is missing for a reason with these words in it.
    pub(super) async fn until_missing(&mut self, text: &str, why: &str) {
        let what = format!("{text} missing: {why}");
        let missing =
            |state: &AddressState| matches!(state, AddressState::Missing { problem, .. } if problem.contains(why));
        self.until(&what, |state| state.addresses.get(&address(text)).is_some_and(missing)).await;
    }

    /// Waits for the report of this about that.
    pub(super) async fn told(&mut self, subject: &str, text: &str) -> Happening {
        let mut others = Vec::new();
        let wanted = async {
            while let Some(happening) = self.happenings.recv().await {
                if happening.subject == subject && happening.text.contains(text) {
                    return happening;
                }
                others.push(happening);
            }
            panic!("the task has ended");
        };
        match tokio::time::timeout(AMPLE, wanted).await {
            Ok(happening) => happening,
            Err(_) => panic!("nobody told that {subject} {text}, but {others:#?}"),
        }
    }
}
