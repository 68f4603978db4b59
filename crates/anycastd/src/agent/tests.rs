use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const CONFIG: &str = "\
bgp: { asn: 65010, router_id: 192.0.2.2, neighbors: [] }
services: []
";

/// A loop with nothing to do, and its handle.
fn idle(home: &std::path::Path) -> (impl Future<Output = ()> + Send + use<>, Handle) {
    let file = home.join("anycastd.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let settings = crate::config::load(&file, false).unwrap().settings;
    let (sink, happenings) = Sink::new(16);
    new(Parts {
        settings,
        orders: Orders::new(),
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
        fence: Fence::new(Duration::from_secs(10), Instruments::new().unwrap().fencings()),
    })
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
