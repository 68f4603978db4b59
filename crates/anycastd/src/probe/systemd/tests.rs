use anycast_core::{Health, Outcome, config::ProbeConfig};

use super::{
    super::{
        Prober,
        testing::{AMPLE, SHORT, run},
    },
    *,
};
use crate::units::testing::Fake;

const RUNNING: [&str; 4] = ["loaded", "active", "running", "success"];
const FAILED: [&str; 4] = ["loaded", "failed", "failed", "exit-code"];

fn prober(bus: &std::path::Path, unit: &str) -> Prober {
    Prober::new(&ProbeConfig::Systemd(SystemdProbe { unit: unit.to_owned(), bus: bus.to_owned() }))
}

fn check(outcome: &Outcome, health: Health, words: &str) {
    assert_eq!((outcome.health, outcome.detail.as_str()), (health, words));
}

/// Asks until it is so.
async fn becomes(prober: &Prober, health: Health, words: &str) {
    let deadline = std::time::Instant::now() + AMPLE;
    loop {
        let outcome = run(prober, AMPLE).await;
        if outcome.health == health && outcome.detail.starts_with(words) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "expected {words:?}, got {outcome:?}");
        time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_unit_is_active_or_down() {
    let state = |[load, active, sub, result]: [&str; 4]| State {
        load: load.to_owned(),
        active: active.to_owned(),
        sub: sub.to_owned(),
        result: (!result.is_empty()).then(|| result.to_owned()),
    };
    let cases = [
        (["loaded", "active", "running", ""], Health::Up, "a.service is active (running)"),
        (["loaded", "active", "exited", ""], Health::Up, "a.service is active (exited)"),
        (["loaded", "active", "active", ""], Health::Up, "a.service is active"),
        (["loaded", "reloading", "reload", ""], Health::Up, "a.service is reloading (reload)"),
        (["loaded", "refreshing", "refresh", ""], Health::Up, "a.service is refreshing (refresh)"),
        // Its file is gone, but it runs.
        (["error", "active", "running", ""], Health::Up, "a.service is active (running)"),
        (["loaded", "activating", "start", ""], Health::Down, "a.service is activating (start)"),
        (
            ["loaded", "activating", "auto-restart", "exit-code"],
            Health::Down,
            "a.service is activating (auto-restart), result exit-code",
        ),
        (
            ["loaded", "deactivating", "stop-sigterm", "success"],
            Health::Down,
            "a.service is deactivating (stop-sigterm)",
        ),
        (["loaded", "inactive", "dead", "success"], Health::Down, "a.service is inactive (dead)"),
        (["loaded", "failed", "failed", "signal"], Health::Down, "a.service is failed, result signal"),
        (["loaded", "maintenance", "", ""], Health::Down, "a.service is maintenance"),
        (["not-found", "inactive", "dead", ""], Health::Down, "there is no a.service"),
        (["masked", "inactive", "dead", ""], Health::Down, "a.service is masked"),
        (
            ["bad-setting", "inactive", "dead", ""],
            Health::Down,
            "a.service cannot be loaded (bad-setting); it is inactive",
        ),
    ];
    for (told, health, words) in cases {
        let finding = judge("a.service", &state(told));
        assert_eq!((finding.health, finding.detail.as_str()), (health, words));
    }
}

#[tokio::test]
async fn a_signal_makes_the_check_ask_at_once() {
    let fake = Fake::new();
    fake.set("a.service", RUNNING);
    let prober = prober(&fake.socket(), "a.service");
    check(&run(&prober, AMPLE).await, Health::Up, "a.service is active (running)");
    // The first state is not a change, and neither is the same again.
    assert!(time::timeout(SHORT, prober.changed()).await.is_err());
    fake.signal("a.service", RUNNING).await;
    assert!(time::timeout(SHORT, prober.changed()).await.is_err());

    fake.signal("a.service", FAILED).await;
    time::timeout(AMPLE, prober.changed()).await.expect("the change is told");
    check(&run(&prober, AMPLE).await, Health::Down, "a.service is failed, result exit-code");
    // A change that nobody waited for is not lost.
    fake.signal("a.service", RUNNING).await;
    becomes(&prober, Health::Up, "a.service is active (running)").await;
    time::timeout(AMPLE, prober.changed()).await.expect("the change is told");
}

#[tokio::test]
async fn without_a_bus_nothing_is_known_until_it_is_there() {
    let mut fake = Fake::new();
    fake.set("a.service", RUNNING);
    fake.stop().await;
    let prober = prober(&fake.socket(), "a.service");
    let outcome = run(&prober, AMPLE).await;
    assert_eq!(outcome.health, Health::Unknown, "{outcome:?}");
    assert!(outcome.detail.starts_with("cannot ask systemd: "), "{outcome:?}");
    assert!(outcome.detail.contains("No such file"), "{outcome:?}");

    fake.start();
    becomes(&prober, Health::Up, "a.service is active (running)").await;
    fake.stop().await;
    becomes(&prober, Health::Unknown, "cannot ask systemd: ").await;
    fake.set("a.service", FAILED);
    fake.start();
    becomes(&prober, Health::Down, "a.service is failed, result exit-code").await;
}

#[tokio::test]
async fn a_bus_that_says_nothing_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus");
    let _silent = tokio::net::UnixListener::bind(&socket).unwrap();
    let outcome = run(&prober(&socket, "a.service"), SHORT).await;
    let words = format!("systemd has not answered on {} within 300 ms", socket.display());
    check(&outcome, Health::Unknown, &words);
}

#[tokio::test]
async fn a_refusal_is_told_and_others_are_not_concerned() {
    let fake = Fake::new();
    fake.set("a.service", RUNNING);
    fake.set("b.service", ["refused", "", "", ""]);
    let (good, bad) = (prober(&fake.socket(), "a.service"), prober(&fake.socket(), "b.service"));
    becomes(&bad, Health::Unknown, "systemd refuses: not you").await;
    check(&run(&good, AMPLE).await, Health::Up, "a.service is active (running)");
}
