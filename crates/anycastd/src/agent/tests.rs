use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use anycast_api as api;

mod handover;
mod words;

const CONFIG: &str = "\
bgp: { asn: 65010, router_id: 192.0.2.2, neighbors: [] }
services: []
";

/// A loop with nothing to do, and its handle.
pub(crate) fn idle(home: &std::path::Path) -> (impl Future<Output = ()> + Send + use<>, Handle) {
    let file = home.join("anycastd.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let settings = crate::config::load(&file, false).unwrap().settings;
    new(Parts { settings, ..parts(home) })
}

/// Of a loop without neighbors.
fn parts(home: &std::path::Path) -> Parts {
    let file = home.join("nothing.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let (sink, happenings) = Sink::new(16);
    let settings = crate::config::load(&file, false).unwrap().settings;
    Parts {
        lasting: Lasting::of(&settings),
        settings,
        text: CONFIG.into(),
        loaded: crate::state::Loaded::default(),
        looks: BTreeMap::new(),
        disable_files: watch::channel(crate::disable::DisableFiles::default()).0,
        orders_file: home.join("orders.json"),
        flaps: Flaps::load(&home.join("flaps.json")).0,
        plan: watch::channel(None).0,
        kernel: watch::channel(Arc::default()).1,
        links: watch::channel(None).1,
        wake: Wake::default(),
        sink,
        happenings,
        instruments: Instruments::new().unwrap(),
        desk: OrderDesk::default(),
        listening: Listening {
            plan: watch::channel(ListenPlan::default()).0,
            deaf: watch::channel(Deaf::new()).1,
            arrivals: mpsc::channel(1).1,
            refusals: Arc::default(),
        },
        restarted: false,
        connections: 64,
        bfd: crate::bfd::Bfd::for_tests(),
        traffic: crate::traffic::Meter::start().unwrap().0,
        fence: Fence::new(Duration::from_secs(10), Instruments::new().unwrap().fencings()),
        goes_on: None,
    }
}

#[tokio::test]
async fn an_order_overtakes_the_questions() {
    let home = tempfile::tempdir().unwrap();
    let (run, handle) = idle(home.path());
    let answered = Arc::new(AtomicUsize::new(0));
    let questions: Vec<_> = (0..100)
        .map(|_| {
            let (handle, answered) = (handle.clone(), answered.clone());
            tokio::spawn(async move { handle.ask(move |_| answered.fetch_add(1, Ordering::Relaxed)).await })
        })
        .collect();
    let order = tokio::spawn(async move { handle.order(move |_| answered.load(Ordering::Relaxed)).await });
    tokio::task::yield_now().await;
    let running = tokio::spawn(run);
    let before = order.await.unwrap().unwrap();
    assert!(before <= 1, "{before} questions came first");
    for question in questions {
        question.await.unwrap().unwrap();
    }
    running.abort();
}

/// The problem of an agent that has no neighbors.
const NOBODY: &str = "no neighbors: nothing is announced to anybody";

/// An agent whose service `dns` has a bound address, with these keys below it.
struct Home {
    directory: tempfile::TempDir,
    handle: Handle,
    _running: tokio_util::task::AbortOnDropHandle<()>,
    kernel: watch::Sender<Arc<KernelState>>,
}

impl Home {
    /// `{}` stands for the directory.
    fn with(keys: &str) -> Self {
        Self::of("[]", keys)
    }

    /// With neighbors.
    fn of(neighbors: &str, keys: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = keys.replace("{}", &directory.path().display().to_string());
        let text = format!(
            "bgp: {{ asn: 65010, router_id: 192.0.2.2, neighbors: {neighbors} }}\nservices:\n  - name: dns\n    \
             addresses: [203.0.113.53]\n{keys}"
        );
        let file = directory.path().join("anycastd.yaml");
        std::fs::write(&file, text).unwrap();
        let settings = crate::config::load(&file, false).unwrap_or_else(|error| panic!("{error}")).settings;
        let bound = AddressState::Bound {
            owner: crate::kernel::Owner::Ours,
            interface: "lo".to_owned(),
            since: SystemTime::now(),
        };
        let mut known = Arc::<KernelState>::default();
        let addresses = &mut Arc::make_mut(&mut known).addresses;
        addresses.extend([53, 54].map(|host| ([203, 0, 113, host].into(), bound.clone())));
        let (kernel, seen) = watch::channel(known);
        let (sink, happenings) = Sink::new(1024);
        let (run, handle) = new(Parts { settings, kernel: seen, sink, happenings, ..parts(directory.path()) });
        let running = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(run));
        Self { directory, handle, _running: running, kernel }
    }

    /// Asks until the answer is good.
    async fn until<T: std::fmt::Debug + Send + 'static>(
        &self,
        ask: impl Fn(&mut Agent) -> T + Copy + Send + Sync + 'static,
        good: impl Fn(&T) -> bool,
    ) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.handle.ask(move |agent| ask(agent)).await.unwrap();
            if good(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{answer:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn explained(&self, part: &str) -> api::PrefixExplanation {
        let ask = |agent: &mut Agent| agent.explain("dns").unwrap().prefixes.remove(0);
        self.until(ask, |told| told.summary.contains(part)).await
    }

    async fn problem(&self, start: &str) -> String {
        let find = |problems: &[String]| problems.iter().find(|problem| problem.starts_with(start)).cloned();
        find(&self.until(|agent| agent.status().problems, |problems| find(problems).is_some()).await).unwrap()
    }

    /// Of the only check there is.
    async fn check(&self) -> api::Check {
        self.handle.ask(|agent| agent.status().services.remove(0).checks.remove(0)).await.unwrap()
    }

    async fn announce(&self, services: &[&str], force: bool) -> String {
        let services = services.iter().map(ToString::to_string).collect();
        let request = api::AnnounceRequest { services, force };
        let reply = OrderDesk::default().announce(&self.handle, request, Actor("test".to_owned())).await.unwrap();
        reply.services[0].note.clone()
    }

    async fn order(&self, services: &[&str], mode: api::WithdrawMode) -> api::OrderReply {
        let services = services.iter().map(ToString::to_string).collect();
        let request = api::WithdrawRequest { services, mode, reason: None, for_seconds: None, boot: false };
        OrderDesk::default().withdraw(&self.handle, request, Actor("noc".to_owned())).await.unwrap()
    }

    async fn withdraw(&self, services: &[&str], reason: &str) {
        let services = services.iter().map(ToString::to_string).collect();
        let (mode, reason) = (api::WithdrawMode::Now, Some(reason.to_owned()));
        let request = api::WithdrawRequest { services, mode, reason, for_seconds: None, boot: false };
        OrderDesk::default().withdraw(&self.handle, request, Actor("noc".to_owned())).await.unwrap();
    }

    async fn events(&self) -> Vec<String> {
        let ask = |agent: &mut Agent| agent.ring().since(None);
        let all = self.handle.ask(ask).await.unwrap();
        all.into_iter().map(|event| format!("{} {}: {}", event.kind, event.subject, event.text)).collect()
    }
}

#[tokio::test]
async fn a_check_that_cannot_be_done_is_told_as_that() {
    let home = Home::with(
        "    checks: [{ name: asks, type: exec, command: [/no/such/program], interval: 100ms, fast_interval: 10ms }]\n",
    );
    let told = home.explained("its check `asks` cannot be done: ").await;
    assert!(told.summary.contains("dns is not proven healthy yet: "), "{}", told.summary);
    assert!(told.summary.contains("/no/such/program"), "{}", told.summary);
    let link = |kind: &str| told.chain.iter().find(|link| link.kind == kind).unwrap();
    assert!(link("check").hint.as_ref().unwrap().contains("says nothing of the service"), "{told:#?}");
    assert!(link("service").text.contains("unknown: its check `asks` cannot be done"), "{told:#?}");
    home.problem("check dns/asks proves nothing: ").await;
}

#[tokio::test]
async fn a_check_that_has_not_begun_tells_when_it_does() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: /, start_delay: 1h }]\n");
    let told = home.explained("its check `asks` begins in ").await;
    assert!(told.summary.contains("(`start_delay`)"), "{}", told.summary);
    assert!(told.chain[0].text.starts_with("unknown: begins in "), "{told:#?}");
    let status = home.handle.ask(|agent| agent.status()).await.unwrap();
    let left = status.services[0].checks[0].starts_in_seconds.unwrap();
    assert!((3000.0..=3600.0).contains(&left), "{left}");
    assert_eq!(status.problems, [NOBODY], "that is as it should be");
}

const FILE: &str = "    checks: [{ name: asks, type: file, path: \"{}/well\", interval: 20ms, fast_interval: 10ms, rise: 1, fall: 1 }]\n";

#[tokio::test]
async fn what_is_announced_all_the_same_says_so_and_tells_when_it_changes() {
    let home = Home::with(&format!("{FILE}    on_down: degrade\n    degraded: {{ as_path_prepend: 3 }}\n"));
    let told = home.explained("dns is down").await;
    assert!(told.summary.contains("announced as degraded (`on_down: degrade`)"), "{}", told.summary);
    assert!(!told.summary.contains("stays"), "it never was announced before: {}", told.summary);
    let status = home.handle.ask(|agent| agent.status()).await.unwrap();
    assert_eq!(status.services[0].prefixes[0].notes, ["degraded while down", "prepend 3", "0 of 0 neighbors"]);
    std::fs::write(home.directory.path().join("well"), "").unwrap();
    home.explained("dns is up").await;
    std::fs::remove_file(home.directory.path().join("well")).unwrap();
    home.explained("dns is down").await;
    let events = home.events().await;
    let routes: Vec<&str> = events.iter().filter_map(|event| event.strip_prefix("route 203.0.113.53/32: ")).collect();
    assert_eq!(
        routes,
        [
            "announced: dns is down, announced as degraded (`on_down: degrade`)",
            "announced with other attributes: dns is up",
            "announced with other attributes (prepend 3): dns is down, announced as degraded (`on_down: degrade`)",
        ]
    );
}

#[tokio::test]
async fn what_is_kept_says_so() {
    let home = Home::with(&format!("{FILE}    on_down: keep\n"));
    let told = home.explained("is not announced: dns is down").await;
    let service = told.chain.iter().find(|link| link.kind == "service").unwrap();
    assert!(service.text.contains("it has not served yet, so that there is nothing to keep"), "{}", service.text);
    std::fs::write(home.directory.path().join("well"), "").unwrap();
    home.explained("dns is up").await;
    std::fs::remove_file(home.directory.path().join("well")).unwrap();
    home.explained("dns is down, and stays announced as it was (`on_down: keep`)").await;
    let status = home.handle.ask(|agent| agent.status()).await.unwrap();
    assert_eq!(status.services[0].prefixes[0].notes, ["kept while down", "0 of 0 neighbors"]);
}

#[tokio::test]
async fn an_order_that_ends_a_hold_says_so_and_what_it_does_not_do() {
    let home = Home::with(&format!("{FILE}    hold_down: {{ after: 1 flaps in 1m, initial: 1h, max: 1h }}\n"));
    let well = home.directory.path().join("well");
    std::fs::write(&well, "").unwrap();
    home.explained("dns is up").await;
    std::fs::remove_file(&well).unwrap();
    let held = |status: &api::Status| status.services[0].hold_down.as_ref().is_some_and(|hold| hold.held);
    home.until(|agent| agent.status(), held).await;
    let begun = "hold_down dns: held down for 1 h after 1 flap in 1 min".to_owned();
    assert!(home.events().await.contains(&begun), "{:#?}", home.events().await);
    let announce = async || home.announce(&["dns"], true).await;
    let down = "it is down, which an order does not change: `anycastctl explain dns` tells why";
    assert_eq!(announce().await, format!("the hold-down has ended; {down}"));
    assert_eq!(announce().await, format!("there was no maintenance to end; {down}"));
    std::fs::write(&well, "").unwrap();
    home.explained("dns is up").await;
    assert_eq!(
        announce().await,
        "there was no maintenance to end; announced once a session is Established: there is none now"
    );
}

/// The problem is what is in force, not what the last reload changed.
#[tokio::test]
async fn a_setting_waits_for_a_restart_until_it_is_what_is_in_force() {
    let home = tempfile::tempdir().unwrap();
    let (run, handle) = idle(home.path());
    let running = tokio::spawn(run);
    let reload = async |keys: &str| {
        let file = home.path().join("anycastd.yaml");
        let text = format!("{CONFIG}{keys}");
        std::fs::write(&file, &text).unwrap();
        let settings = crate::config::load(&file, false).unwrap().settings;
        let order = handle.order(move |agent| {
            let weighed = agent.reload(settings, &BTreeMap::new(), text.into(), false, "test");
            let changes: Vec<String> =
                weighed.changes.iter().map(|it| format!("{}: {}", it.subject, it.text)).collect();
            (changes.join(", "), agent.status().problems.join(", "))
        });
        order.await.unwrap()
    };
    let (later, waits) = (
        "log: takes effect at the next start of the agent",
        "changes of log take effect at the next start of the agent",
    );
    assert_eq!(reload("log: { level: debug }\n").await, (later.to_owned(), waits.to_owned()));
    assert_eq!(reload("log: { level: debug }\n").await, (String::new(), waits.to_owned()), "it goes on waiting");
    assert_eq!(reload("log: { level: trace }\n").await, (later.to_owned(), waits.to_owned()));
    let again = "log: is again what is in force: it waits for no restart any more";
    assert_eq!(reload("").await, (again.to_owned(), String::new()));
    running.abort();
}
