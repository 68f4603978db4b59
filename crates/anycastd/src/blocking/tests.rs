use std::sync::{atomic::AtomicUsize, mpsc};

use futures_util::future::join_all;

use super::*;

const AMPLE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

static FEW: Pool = Pool::new("few", 2, 2);
static SOME: Pool = Pool::new("some", 4, 4);
static ONE_AT_A_TIME: Pool = Pool::new("one", 8, 1);

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

/// As if those who have it had had it for longer.
fn age(slot: &Slot, by: Duration) {
    for since in lock(&slot.0.taken).values_mut() {
        *since = since.checked_sub(by).unwrap();
    }
}

#[tokio::test]
async fn what_hangs_takes_few_threads_however_many_ask() {
    let slot = Slot::of(&FILES, "/test/hangs");
    let mut held = vec![];
    for _ in 0..2 * TURNS {
        let (go, hang) = hanging();
        held.push(go);
        assert!(slot.run(SHORT, hang).await.is_err());
    }
    assert_eq!(slot.holders(), TURNS);
    // As after a reload: nobody holds the first any more but the threads that hang.
    drop(slot);
    for _ in 0..10 {
        let slot = Slot::of(&FILES, "/test/hangs");
        let again = slot.run(Duration::from_millis(10), || unreachable!("all turns are taken")).await;
        assert!(matches!(again, Err(Hang::Before(_))), "{again:?}");
    }
    assert_eq!(Slot::of(&FILES, "/test/other").run(AMPLE, || 1).await, Ok(1), "nobody else is held up");
    let slot = Slot::of(&FILES, "/test/hangs");
    drop(held);
    assert_eq!(slot.run(AMPLE, || 2).await, Ok(2), "whoever waits has the next turn");
}

#[tokio::test]
async fn nobody_is_sent_after_one_that_is_slow() {
    let slot = Slot::of(&FILES, "/test/slow");
    let (go, hang) = hanging();
    assert_eq!(slot.run(SHORT, hang).await, Err(Hang::Late));
    assert_eq!(slot.run(AMPLE, || 1).await, Ok(1), "it is not slow yet");
    age(&slot, SLOW);
    let after = slot.run(SHORT, || unreachable!("it is slow")).await;
    assert!(matches!(after, Err(Hang::Before(time)) if time >= SLOW), "{after:?}");
    let (waits, ()) = tokio::join!(slot.run(AMPLE, || 2), async { drop(go) });
    assert_eq!(waits, Ok(2), "its end lets the others go on");
}

#[tokio::test]
async fn our_own_queue_proves_nothing() {
    let slot = Slot::of(&FILES, "/test/queue");
    let mut held = vec![];
    for _ in 0..TURNS {
        let (go, hang) = hanging();
        held.push(go);
        let _ = slot.run(Duration::from_millis(1), hang).await;
    }
    eventually("all have begun", || slot.holders() == TURNS).await;
    for since in lock(&slot.0.taken).values_mut() {
        *since = Instant::now() + AMPLE; // They have taken turns meanwhile.
    }
    assert_eq!(slot.run(SHORT, || ()).await, Err(Hang::Busy));
    // And so it is for one whose turn comes late.
    let late = Span { asked: Instant::now().checked_sub(SHORT / 2).unwrap(), limit: SHORT };
    let (go, hang) = hanging();
    assert_eq!(Slot::of(&FILES, "/test/late").run_within(late, hang).await, Err(Hang::Busy));
    drop((held, go));
}

#[tokio::test]
async fn who_asks_the_same_has_the_same_answer() {
    let slot = Slot::of(&FILES, "/test/same");
    let asked = Arc::new(AtomicUsize::new(0));
    let work = || {
        let asked = Arc::clone(&asked);
        move || {
            std::thread::sleep(Duration::from_millis(20));
            asked.fetch_add(1, Ordering::Relaxed)
        }
    };
    let all: Vec<_> = (0..300).map(|_| slot.board("same", Duration::ZERO, work()).1).collect();
    let all = join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "all came before it had begun");
    assert_eq!(slot.share(AMPLE, "same", AMPLE, work()).await, Ok(1), "an answer that is there is not kept");
    assert_eq!(slot.share(AMPLE, "other", AMPLE, || "other").await, Ok("other"));
}

#[tokio::test]
async fn one_who_asks_later_has_an_answer_of_his_own_unless_an_old_one_will_do() {
    let slot = Slot::of(&FILES, "/test/later");
    let (go, wait) = mpsc::channel::<()>();
    let first = slot.share(AMPLE, "same", Duration::ZERO, move || {
        let _ = wait.recv();
        1
    });
    let later = async {
        eventually("it has begun", || slot.holders() == 1).await;
        assert_eq!(slot.share(AMPLE, "same", Duration::ZERO, || 2).await, Ok(2));
        let (old, ()) = tokio::join!(slot.share(AMPLE, "same", AMPLE, || 3), async { drop(go) });
        assert_eq!(old, Ok(1));
    };
    assert_eq!(tokio::join!(first, later).0, Ok(1));
}

#[tokio::test]
async fn who_leaves_takes_the_answer_from_nobody() {
    let slot = Slot::of(&FILES, "/test/leaves");
    let leaves = slot.share(AMPLE, "same", Duration::ZERO, || 1);
    let stays = slot.share(AMPLE, "same", Duration::ZERO, || 2);
    // Both have asked, and nothing has begun.
    let mut leaves = Box::pin(leaves);
    let full = Arc::clone(&slot.0.turns).acquire_many_owned(u32::try_from(TURNS).unwrap()).await.unwrap();
    assert!(futures_util::poll!(&mut leaves).is_pending());
    let (answer, ()) = tokio::join!(stays, async {
        drop(leaves);
        drop(full);
    });
    assert_eq!(answer, Ok(1), "it was the first who asked");
}

#[tokio::test]
async fn a_pool_that_is_full_of_what_hangs_holds_nobody_else_up() {
    let (one, first) = hanging();
    let (other, second) = hanging();
    let slots = ["a", "b", "c"].map(|what| Slot::of(&FEW, what));
    assert_eq!(slots[0].run(SHORT, first).await, Err(Hang::Late));
    assert_eq!(slots[1].run(SHORT, second).await, Err(Hang::Late));
    assert_eq!(slots[2].run(SHORT, || ()).await, Err(Hang::Full(2)), "there is no third thread");
    let runtimes = tokio::task::spawn_blocking(|| "the runtime's own");
    assert_eq!(
        tokio::time::timeout(AMPLE, runtimes).await.expect("it has its own threads").unwrap(),
        "the runtime's own"
    );
    assert_eq!(Slot::of(&FILES, "/test/elsewhere").run(AMPLE, || 1).await, Ok(1));
    drop((one, other));
    assert_eq!(slots[2].run(AMPLE, || 1).await, Ok(1));
    eventually("what was late is done with", || slots.iter().all(|slot| slot.holders() == 0)).await;
}

/// What hangs first must not take all that is left from those that answer.
#[tokio::test]
async fn when_half_of_a_pool_is_gone_each_that_hangs_gets_one_thread() {
    let mut held = vec![];
    let mut ask = async |slot: &Slot| {
        let (go, hang) = hanging();
        held.push(go);
        let _ = slot.run(SHORT, hang).await;
        slot.holders()
    };
    let slots = ["first", "second", "third"].map(|what| Slot::of(&SOME, what));
    assert_eq!((ask(&slots[0]).await, ask(&slots[0]).await), (1, 2), "it may be one that was lost");
    age(&slots[0], BRISK);
    assert_eq!(ask(&slots[0]).await, 2);
    assert_eq!(ask(&slots[1]).await, 1);
    age(&slots[1], BRISK);
    assert_eq!(ask(&slots[1]).await, 1);
    assert_eq!(slots[2].run(AMPLE, || 1).await, Ok(1));
    drop(held);
}

#[tokio::test]
async fn what_hangs_does_not_keep_others_from_beginning() {
    let mut held = vec![];
    for number in 0..3 {
        let (go, hang) = hanging();
        held.push(go);
        let hung = Slot::of(&ONE_AT_A_TIME, &format!("hangs {number}"));
        tokio::spawn(async move { hung.run(AMPLE, hang).await });
    }
    tokio::task::yield_now().await;
    assert_eq!(Slot::of(&ONE_AT_A_TIME, "good").run(AMPLE, || 1).await, Ok(1));
}

#[tokio::test]
async fn that_it_hangs_is_told_once() {
    let slot = Slot::alone(&FILES, "/test/told");
    let (go, hang) = hanging();
    assert_eq!(slot.run(SHORT, hang).await, Err(Hang::Late));
    assert!(!slot.has_told(), "slow is not hanging yet");
    age(&slot, HANGS);
    let waits = slot.take(Span::of(SHORT)).await;
    assert!(matches!(waits, Err(Hang::Before(time)) if time >= HANGS));
    assert!(slot.has_told());
    drop(go);
    eventually("it comes back", || slot.holders() == 0).await;
    assert!(!slot.has_told(), "the next time is told again");
}
