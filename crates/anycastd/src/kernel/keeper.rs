//! The task that lists, does what is to be done, and shows what is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use anycast_core::{
    Reconciler,
    reconcile::{AddressPlan, Failure, Listed, Listing, Operation, Owner},
};
use tokio::sync::watch;

use super::{
    KernelState, Links, Options, TAG,
    events::{Events, Heard},
    intents::Intents,
    links,
    losses::Lookout,
    netlink::{Fault, Netlink, Raw, RawAddress},
    show::Board,
};
use crate::signal::Sink;

pub(super) struct Keeper {
    plan: watch::Receiver<Option<Arc<AddressPlan>>>,
    /// The plan that was taken last.
    taken: Option<Arc<AddressPlan>>,
    state: watch::Sender<Arc<KernelState>>,
    links: watch::Sender<Links>,
    options: Options,
    reconciler: Reconciler,
    sockets: Option<Sockets>,
    intents: Intents,
    /// Whether this kernel is known to keep a tag. Until it is, what we add is written down first.
    tags: bool,
    board: Board,
    lookout: Lookout,
    /// Why the last listing failed.
    error: Option<String>,
}

struct Sockets {
    netlink: Netlink,
    events: Events,
}

impl Sockets {
    /// The events first: what changes after the first listing is then heard.
    fn open(options: Options) -> Result<Self, Fault> {
        let events = Events::open(options.receive_buffer).map_err(Fault::Open)?;
        Ok(Self { netlink: Netlink::open(options.tags)?, events })
    }
}

/// The addresses of ours that are bound, before there is a plan.
pub(super) async fn left_behind(intents: PathBuf) -> Result<BTreeSet<IpAddr>, Fault> {
    let (_, plan) = watch::channel(None);
    let (state, _) = watch::channel(Arc::default());
    let (sink, _) = Sink::new(1);
    let (links, _) = watch::channel(None);
    let mut keeper = Keeper::new(plan, intents, sink, state, links, Options::default());
    keeper.intents.load().await;
    let raw = keeper.sockets()?.netlink.list().await?;
    let ours = keeper.judge(raw).addresses.into_iter().filter(|listed| listed.owner == Owner::Ours && listed.usable);
    Ok(ours.map(|listed| listed.address).collect())
}

/// What ended a wait.
enum Step {
    Plan,
    Over,
    Heard(Heard),
    Timeout,
}

impl Keeper {
    pub(super) fn new(
        plan: watch::Receiver<Option<Arc<AddressPlan>>>,
        intents: PathBuf,
        sink: Sink,
        state: watch::Sender<Arc<KernelState>>,
        links: watch::Sender<Links>,
        options: Options,
    ) -> Self {
        // What is known beforehand is no news.
        let board = Board::new(sink, &state.borrow().addresses);
        Self {
            plan,
            taken: None,
            state,
            links,
            options,
            reconciler: Reconciler::new(Instant::now()),
            sockets: None,
            intents: Intents::new(intents),
            tags: false,
            board,
            lookout: Lookout::default(),
            error: None,
        }
    }

    /// Runs until the plan's sender is gone. A drop between two operations leaves each of them done or not begun.
    pub(super) async fn run(mut self) {
        self.intents.load().await;
        loop {
            self.take_plan();
            if self.reconciler.poll_listing(Instant::now()) {
                self.list().await;
            }
            self.operate().await;
            self.publish();
            match self.wait().await {
                Step::Over => return,
                Step::Plan | Step::Timeout => {}
                Step::Heard(heard) => self.handle_heard(heard),
            }
        }
    }

    fn take_plan(&mut self) {
        self.taken = self.plan.borrow_and_update().clone();
        self.reconciler.handle_plan(self.taken.as_deref());
    }

    async fn wait(&mut self) -> Step {
        let timeout = self.reconciler.poll_timeout();
        let events = async {
            match &mut self.sockets {
                Some(sockets) => sockets.events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.plan.changed() => changed.map_or(Step::Over, |()| Step::Plan),
            heard = events => Step::Heard(heard),
            () = tokio::time::sleep_until(timeout.into()) => Step::Timeout,
        }
    }

    fn handle_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Change => {}
            Heard::Overrun => tracing::info!("the kernel dropped events; listing anew"),
            Heard::Broken(error) => return self.fail(&Fault::Broken(error)),
        }
        self.reconciler.handle_event(Instant::now());
    }

    async fn list(&mut self) {
        let started = Instant::now();
        let listed = match self.sockets() {
            Ok(sockets) => sockets.netlink.list().await,
            Err(fault) => Err(fault),
        };
        match listed {
            Ok(raw) => {
                self.learn_tags(&raw);
                self.tell_links(Some(Arc::new(links::of(&raw, |address, name| self.is_anycast(address, name)))));
                self.lookout.handle_listing(&raw);
                let listing = self.judge(raw);
                let now = Instant::now();
                self.reconciler.handle_listing(listing, now.duration_since(started), now);
                self.settle_intents().await;
                if self.error.take().is_some() {
                    tracing::info!("the kernel answers again");
                }
            }
            Err(fault) => self.fail(&fault),
        }
    }

    fn sockets(&mut self) -> Result<&mut Sockets, Fault> {
        match &mut self.sockets {
            Some(sockets) => Ok(sockets),
            none => Ok(none.insert(Sockets::open(self.options)?)),
        }
    }

    /// Nothing new is known; the reconciler says when to try again.
    fn fail(&mut self, fault: &Fault) {
        if fault.is_final() {
            self.sockets = None;
        }
        self.reconciler.handle_unlisted(Instant::now());
        self.tell_links(None);
        let error = format!("netlink: {fault}; addresses are shown as last seen");
        if self.error.as_ref() != Some(&error) {
            tracing::warn!("{error}");
            self.error = Some(error);
        }
    }

    /// Once any address carries a tag (the kernel tags its own, such as ::1), the kernel is known to keep them.
    fn learn_tags(&mut self, raw: &Raw) {
        self.tags |= raw.addresses.iter().any(|address| address.tag.is_some());
    }

    fn is_ours(&self, address: &RawAddress, interface: &Arc<str>) -> bool {
        let recorded = || !self.tags && self.intents.contains(address.address, interface);
        address.is_host() && (address.tag == Some(TAG) || recorded())
    }

    /// Whether it is, or was, for a service, whoever bound it.
    fn is_anycast(&self, address: &RawAddress, interface: &Arc<str>) -> bool {
        let planned = self.taken.as_ref().is_some_and(|plan| plan.addresses.contains(&address.address));
        planned || self.is_ours(address, interface)
    }

    /// Whose everything is.
    fn judge(&mut self, raw: Raw) -> Listing {
        self.learn_tags(&raw);
        let names: BTreeMap<u32, &Arc<str>> = raw.links.iter().map(|(name, link)| (link.index, name)).collect();
        let listed = raw.addresses.iter().filter_map(|address| {
            let interface = *names.get(&address.index)?;
            let ours = self.is_ours(address, interface);
            Some(Listed {
                address: address.address,
                interface: interface.clone(),
                owner: if ours { Owner::Ours } else { Owner::Foreign },
                usable: address.usable,
            })
        });
        let addresses = listed.collect();
        Listing { addresses, anchors: raw.anchors, links: raw.links }
    }

    /// Does what is due, until nothing is or there is another plan.
    async fn operate(&mut self) {
        loop {
            let operations = self.reconciler.operations(Instant::now());
            if operations.is_empty() {
                return;
            }
            let recorded = self.record_intents(&operations).await;
            for operation in &operations {
                let result = match (operation, &recorded) {
                    (Operation::Add(_), Err(why)) => Err(Failure::Other(why.clone())),
                    _ => match self.perform(operation).await {
                        Ok(result) => result,
                        Err(fault) => return self.fail(&fault),
                    },
                };
                self.reconciler.handle_result(operation, result, Instant::now());
                if self.plan.has_changed().unwrap_or(true) {
                    break;
                }
            }
            self.settle_intents().await;
            if self.plan.has_changed().unwrap_or(true) {
                return;
            }
        }
    }

    async fn perform(&mut self, operation: &Operation) -> Result<Result<(), Failure>, Fault> {
        let link = operation.target().interface().and_then(|interface| self.reconciler.link(interface));
        self.sockets()?.netlink.perform(operation, link).await
    }

    async fn record_intents(&mut self, operations: &[Operation]) -> Result<(), String> {
        if self.tags {
            return Ok(());
        }
        let adds = operations.iter().filter_map(|operation| match operation {
            Operation::Add(target) => Some(target),
            Operation::Delete(_) => None,
        });
        self.intents.record(adds).await.map_err(|error| error.to_string())
    }

    /// Keeps written down what is there; with tags, nothing.
    async fn settle_intents(&mut self) {
        let (tags, reconciler) = (self.tags, &self.reconciler);
        self.intents.keep(|target| !tags && reconciler.holds(target)).await;
    }

    fn tell_links(&self, links: Links) {
        self.links.send_if_modified(|held| {
            let changed = *held != links;
            *held = links;
            changed
        });
    }

    fn publish(&mut self) {
        let wants_nothing =
            self.taken.as_ref().is_some_and(|plan| plan.addresses.is_empty() && plan.anchors.is_empty());
        let (addresses, problems) = self.board.update(&mut self.reconciler, self.taken.is_some());
        let error = self.error.clone();
        let ours = self.reconciler.ours();
        let known = self.taken.is_some() && ours.is_some() && error.is_none();
        let reconciled = known && self.reconciler.operations(Instant::now()).is_empty();
        let losses = self.lookout.losses().clone();
        let state = KernelState { addresses, problems, error, losses, ours, wants_nothing, reconciled };
        self.state.send_if_modified(|held| {
            let changed = **held != state;
            if changed {
                *held = Arc::new(state);
            }
            changed
        });
    }
}
