//! An agent that is stopped, written down, and goes on.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Mutex,
};

use super::*;
use crate::{
    agent::handover::GoesOn,
    handover::{Document, Places},
    lock::lock,
};

/// A neighbor that takes every connection, and keeps what it hears over all of them.
struct Neighbor {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
}

impl Neighbor {
    fn new() -> Self {
        Self::at("127.0.0.1")
    }

    fn at(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, connections) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicUsize>::default());
        let (ears, count) = (Arc::clone(&heard), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let message =
                    |kind: u8, body: &[u8]| [&[0xFF; 16], &[0, 19 + body.len() as u8, kind][..], body].concat();
                let open = message(1, &[4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 1, 0]);
                stream.write_all(&[open, message(4, &[])].concat()).unwrap();
                let mut buffer = [0; 4096];
                while let Ok(octets @ 1..) = stream.read(&mut buffer) {
                    lock(&ears).extend_from_slice(&buffer[..octets]);
                }
            }
        });
        Self { port, heard, connections }
    }

    /// Each message in full.
    fn messages(&self) -> Vec<Vec<u8>> {
        let heard = lock(&self.heard);
        let (mut rest, mut messages) = (&heard[..], Vec::new());
        while let Some(length) = rest.get(16..18).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])))
        {
            let Some((message, others)) = rest.split_at_checked(length) else { break };
            messages.push(message.to_vec());
            rest = others;
        }
        messages
    }

    /// Of every UPDATE that is no End-of-RIB whether it withdraws.
    fn updates(&self) -> Vec<bool> {
        let updates = self.messages().into_iter().filter(|message| message[18] == 2 && message.len() > 23);
        updates.map(|message| message[19..21] != [0, 0]).collect()
    }

    /// Whether there was a message of this type.
    fn has_heard(&self, kind: u8) -> bool {
        self.messages().iter().any(|message| message[18] == kind)
    }
}

/// The others are none the wiser.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_go_on_begins_anew_alone() {
    let (good, bad) = (Neighbor::new(), Neighbor::at("127.0.0.2"));
    let bgp = format!(
        "[{{ name: good, address: 127.0.0.1, port: {}, asn: 65001 }}, {{ name: bad, address: 127.0.0.2, port: {}, asn: 65001 }}]",
        good.port, bad.port
    );
    let home = Home::of(&bgp, "    checks: [{ name: asks, type: file, path: {}/alive, interval: 100ms }]\n");
    std::fs::write(home.directory.path().join("alive"), "").unwrap();
    let told = |neighbor: &Neighbor| neighbor.updates().len();
    let until = async |what: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < end, "{:?} {:?}", good.updates(), bad.updates());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until(&|| told(&good) == 1 && told(&bad) == 1).await;

    let (mut document, seats) = home.handle.order(|agent| agent.freeze()).await.unwrap().unwrap();
    document.order = Some(crate::handover::Upgrade { id: "1".into(), by: "root".into(), missed: BTreeMap::new() });
    let mut sessions = collect(seats, &mut document).await;
    let mut text: serde_json::Value = serde_json::from_slice(&document.write().unwrap()).unwrap();
    text["neighbors"]["bad"]["session"]["sent"]["acked"] = serde_json::json!(u64::MAX);
    let document = Document::read(text.to_string().as_bytes()).unwrap();
    let broken = document.neighbors["bad"].session.clone();
    sessions.get_mut(&PeerId::new("bad").unwrap()).unwrap().session = broken;
    home.handle.order(move |agent| agent.thaw(GoesOn::new(document, sessions, Places::default()))).await.unwrap();

    until(&|| bad.connections.load(Ordering::Relaxed) == 2 && told(&bad) == 2).await;
    assert_eq!((good.connections.load(Ordering::Relaxed), told(&good)), (1, 1));
    let events: Vec<_> = home.handle.ask(|agent| agent.ring().since(None)).await.unwrap();
    let anew = events.iter().filter(|event| event.text.contains("begins anew")).map(|event| &*event.subject);
    assert_eq!(anew.collect::<Vec<_>>(), ["bad"]);
}

/// There is no other program then, and the sessions that were taken out of their tasks are withdrawn from, and end with a word.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_end_that_comes_while_nothing_is_decided_is_obeyed() {
    let neighbor = Neighbor::new();
    let bgp = format!("[{{ name: leaf, address: 127.0.0.1, port: {}, asn: 65001 }}]", neighbor.port);
    let home = Home::of(&bgp, "    checks: [{ name: asks, type: file, path: {}/alive, interval: 100ms }]\n");
    std::fs::write(home.directory.path().join("alive"), "").unwrap();
    let until = async |what: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < end, "{:?}", neighbor.updates());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until(&|| neighbor.updates() == [false]).await;
    let (mut document, seats) = home.handle.order(|agent| agent.freeze()).await.unwrap().unwrap();
    let sessions = collect(seats, &mut document).await;
    home.handle.order(|agent| agent.stop("a test")).await.unwrap();
    assert!(home.handle.order(|agent| agent.is_stopping()).await.unwrap());
    home.handle.order(move |agent| agent.thaw(GoesOn::new(document, sessions, Places::default()))).await.unwrap();
    until(&|| neighbor.has_heard(3)).await;
    assert_eq!((neighbor.updates(), neighbor.connections.load(Ordering::Relaxed)), (vec![false, true], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_goes_on_as_if_nothing_had_been() {
    let neighbor = Neighbor::new();
    let checks = "    checks: [{ name: asks, type: file, path: {}/alive, interval: 100ms, fast_interval: 20ms }]\n    \
                  hold_down: { after: 3 flaps in 1m, initial: 10s, max: 2m }\n";
    let bgp = format!("[{{ name: leaf, address: 127.0.0.1, port: {}, asn: 65001 }}]", neighbor.port);
    let home = Home::of(&bgp, checks);
    let alive = home.directory.path().join("alive");
    std::fs::write(&alive, "").unwrap();
    let seen = |agent: &mut Agent| {
        let status = agent.status();
        let (service, leaf) = (&status.services[0], &status.neighbors[0]);
        (service.since, leaf.state.clone(), leaf.since, service.checks[0].runs, service.checks[0].since)
    };
    let updates = async |count: usize| {
        let end = Instant::now() + Duration::from_secs(60);
        while neighbor.updates().len() < count {
            assert!(Instant::now() < end, "{:?}", neighbor.updates());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    updates(1).await;

    for round in 1..=3 {
        let before = home.handle.ask(seen).await.unwrap();
        let (mut document, seats) = home.handle.order(|agent| agent.freeze()).await.unwrap().unwrap();
        let sessions = collect(seats, &mut document).await;
        assert_eq!((sessions.len(), document.neighbors.len(), document.bound.len()), (1, 1, 2));
        let document = Document::read(&document.write().unwrap()).unwrap();
        home.handle.order(move |agent| agent.thaw(GoesOn::new(document, sessions, Places::default()))).await.unwrap();
        let runs = before.3;
        let after = home.until(seen, |seen| seen.3 > runs + 2).await;
        assert_eq!((after.0, &after.1, after.4), (before.0, &before.1, before.4), "round {round}");
        assert_eq!(neighbor.updates(), [false], "round {round}: it is told nothing");
        assert_eq!(neighbor.connections.load(Ordering::Relaxed), 1);
    }

    // And it is as awake as before.
    std::fs::remove_file(&alive).unwrap();
    updates(2).await;
    assert_eq!((neighbor.updates(), neighbor.connections.load(Ordering::Relaxed)), (vec![false, true], 1));
}
