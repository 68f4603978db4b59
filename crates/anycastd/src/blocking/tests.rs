use std::sync::mpsc;

use super::*;

const AMPLE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

static FEW: Pool = Pool::new("few", 2);

/// Work that hangs until the sender is dropped.
fn hanging() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
    let (go, wait) = mpsc::channel::<()>();
    (go, move || {
        let _ = wait.recv();
    })
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + AMPLE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_hangs_is_late_and_is_not_begun_again_by_anybody() {
    let slot = Slot::of(&FILES, "/test/hangs");
    let (go, hang) = hanging();
    assert_eq!(slot.run(SHORT, hang).await, Err(Hang::Late));
    // As after a reload: nobody holds the first any more but the thread that hangs.
    drop(slot);
    for _ in 0..10 {
        let slot = Slot::of(&FILES, "/test/hangs");
        let again = slot.run(Duration::from_millis(10), || unreachable!("the first still holds the slot")).await;
        assert!(matches!(again, Err(Hang::Before(_))), "{again:?}");
    }
    assert_eq!(Slot::of(&FILES, "/test/other").run(AMPLE, || 1).await, Ok(1), "nobody else is held up");
    let slot = Slot::of(&FILES, "/test/hangs");
    drop(go);
    assert_eq!(slot.run(AMPLE, || 2).await, Ok(2), "whoever waits has the next turn");
}

#[tokio::test]
async fn those_who_ask_about_one_thing_take_turns() {
    let slot = Slot::of(&FILES, "/test/turns");
    let work = |_| slot.run(AMPLE, || std::thread::sleep(Duration::from_millis(1)));
    let all = futures_util::future::join_all((0..20).map(work)).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test]
async fn a_pool_that_is_full_of_what_hangs_holds_nobody_else_up() {
    let (one, first) = hanging();
    let (other, second) = hanging();
    let slots = ["a", "b", "c"].map(|what| Slot::of(&FEW, what));
    assert_eq!(slots[0].run(SHORT, first).await, Err(Hang::Late));
    assert_eq!(slots[1].run(SHORT, second).await, Err(Hang::Late));
    assert_eq!(slots[2].run(SHORT, || ()).await, Err(Hang::Late), "there is no third thread");
    let runtimes = tokio::task::spawn_blocking(|| "the runtime's own");
    assert_eq!(
        tokio::time::timeout(AMPLE, runtimes).await.expect("it has its own threads").unwrap(),
        "the runtime's own"
    );
    assert_eq!(Slot::of(&FILES, "/test/elsewhere").run(AMPLE, || 1).await, Ok(1));
    drop((one, other));
    eventually("what was late is done with", || !slots.iter().any(Slot::is_taken)).await;
}

#[tokio::test]
async fn that_it_hangs_is_told_once() {
    let slot = Slot::of(&FILES, "/test/told");
    let (go, hang) = hanging();
    assert_eq!(slot.run(SHORT, hang).await, Err(Hang::Late));
    assert!(!slot.has_told(), "slow is not hanging yet");
    *slot.0.begun() = Instant::now().checked_sub(HANGS);
    assert!(matches!(slot.take(), Err(Hang::Before(time)) if time >= HANGS));
    assert!(slot.has_told());
    drop(go);
    eventually("it comes back", || !slot.is_taken()).await;
    assert!(!slot.has_told(), "the next time is told again");
}
